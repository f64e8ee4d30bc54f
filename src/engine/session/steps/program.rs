//! Steps made ready once, for every connection of every worker: a list of operations. Nothing in it changes.

use super::client::MOST_TAKEN;
use super::matcher::{Matcher, Taking};
use crate::engine::data::{Column, Drawn, Tables};
use crate::engine::session::ScriptError;
use crate::engine::session::request::{RequestHead, Wanted};
use crate::model::Lifetime;
use crate::plan::steps::{self, Act, Match, OpenStep, Payload, Step, StepHeader};
use crate::plan::{Connection, Header, Session, Statuses};
use crate::protocol::websocket::Opcode;
use crate::protocol::{Alphabet, Application, Kind, Template};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub(in crate::engine) struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) reactions: Vec<Reaction>,
    /// Names of the values that are taken, by their index.
    taken: Vec<String>,
    /// Rows that clients take.
    pub(in crate::engine) data: Arc<Tables>,
    /// Columns of them, by their index beyond [`MOST_TAKEN`].
    pub(super) columns: Vec<Column>,
    /// Tables that the columns are of; empty where no placeholder stands for any.
    tables: Vec<bool>,
}

/// Common ground of the programs of all populations.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Common {
    /// Rows that clients take.
    pub(in crate::engine) data: Arc<Tables>,
    /// Number of the first step of this population: steps are numbered over all of them.
    pub(in crate::engine) first_step: u16,
}

/// Step of the opening of a WebSocket that no step asks for.
const NO_STEP: u16 = u16::MAX;

/// An operation.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) act: Do,
    /// Number of its step; [`NO_STEP`] where it is of none.
    pub(super) step: u16,
    /// Longest wait.
    pub(super) within: Duration,
    /// Operation after the outermost repetition that lasts to the end and that it is part of; `None`: it is part of
    /// none.
    pub(super) leaves_to: Option<u16>,
}

/// Act of a step.
#[derive(Debug)]
pub(super) enum Do {
    Http(Box<Request>),
    Open(Box<Request>),
    Send(Box<Saying>),
    Wait(Box<Waiting>),
    Think(Lifetime),
    /// Repetition `depth` begins, so often; `None`: to the end.
    Begin {
        depth: usize,
        times: Option<u32>,
    },
    /// Once more from `head` on, unless it was the last time.
    Again {
        depth: usize,
        head: u16,
    },
    /// A reaction holds from here on.
    React(usize),
    Close {
        code: Option<u16>,
    },
}

/// A request, a WebSocket's handshake too.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) body: Option<Message>,
    /// True if it says how long its body is even if it has none (RFC 9110, section 8.6).
    pub(super) has_length: bool,
    pub(super) statuses: Statuses,
    pub(super) takes: Vec<Taking>,
    /// True if a WebSocket is opened on the connection of the request before.
    pub(super) reuses: bool,
}

/// A message that is sent, and what answers it.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) message: Message,
    pub(super) answer: Option<Waiting>,
}

/// A message that is waited for, and what is taken of it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) kind: Matcher,
    pub(super) takes: Vec<Taking>,
}

/// Message that is sent, and its kind.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: Template,
    pub(super) opcode: Opcode,
    pub(super) alphabet: Alphabet,
}

/// An answer to every message of a kind.
#[derive(Debug)]
pub(super) struct Reaction {
    pub(super) when: Waiting,
    pub(super) send: Option<Message>,
    pub(super) step: u16,
}

impl Program {
    /// The program of a session's steps; `None` where it has none.
    ///
    /// # Errors
    /// When a file whose content is to be sent can't be read.
    pub(in crate::engine) fn of(
        kind: Kind,
        host: Option<&str>,
        session: &Session,
        connection: Connection,
        common: &Common,
    ) -> Result<Option<Program>, ScriptError> {
        if session.steps.is_empty() {
            return Ok(None);
        }
        let mut names: Vec<String> = Vec::new();
        for take in steps::flat(&session.steps).iter().flat_map(|step| &step.take) {
            if !names.contains(&take.name) {
                names.push(take.name.clone());
            }
        }
        let (column_names, columns): (Vec<String>, Vec<Column>) = common.data.columns().unzip();
        let tables = common.data.used_by(&steps::names_used(session));
        let mut compiler = Compiler {
            kind,
            column_names,
            host,
            session,
            connection,
            names,
            ops: Vec::new(),
            reactions: Vec::new(),
            step: common.first_step,
            depth: 0,
        };
        let opens = steps::flat(&session.steps).iter().any(|step| matches!(step.act, Act::Open(_)));
        let mut is_open = opens || kind.application() != Application::WebSocket;
        for step in &session.steps {
            // Without a step that opens it, the first that speaks over the WebSocket opens it.
            if !is_open && speaks(step) {
                let open = compiler.opening(&OpenStep::default(), &[])?;
                compiler.push(open, connection.handshake_timeout);
                if let Some(op) = compiler.ops.last_mut() {
                    op.step = NO_STEP;
                }
                is_open = true;
            }
            compiler.step(step)?;
        }
        let Compiler { ops, reactions, names: taken, .. } = compiler;
        Ok(Some(Program { ops, reactions, taken, data: common.data.clone(), columns, tables }))
    }

    /// True if a client takes rows of data.
    pub(in crate::engine) fn uses_data(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Rows for a client; `None` where all were used that are to be used once.
    pub(in crate::engine) fn draw(&self, random: &mut dyn RngCore) -> Option<Drawn> {
        self.data.draw(&self.tables, random)
    }

    /// Names of the values that are taken, each with its index.
    pub(super) fn taken_names(&self) -> impl Iterator<Item = (&str, u16)> {
        self.taken.iter().map(String::as_str).zip(0..)
    }

    /// Number of the step of an operation.
    pub(super) fn step_of(&self, at: u16) -> Option<u16> {
        let op = self.ops.get(usize::from(at)).or(self.ops.last());
        op.map(|op| op.step).filter(|step| *step != NO_STEP)
    }
}

struct Compiler<'c> {
    kind: Kind,
    host: Option<&'c str>,
    session: &'c Session,
    connection: Connection,
    /// Names of the values that are taken.
    names: Vec<String>,
    /// Names of columns of data.
    column_names: Vec<String>,
    ops: Vec<Op>,
    reactions: Vec<Reaction>,
    /// Number of the step that is compiled.
    step: u16,
    depth: usize,
}

impl Compiler<'_> {
    fn step(&mut self, step: &Step) -> Result<(), ScriptError> {
        let number = self.step;
        let handshake = step.within.unwrap_or(self.connection.handshake_timeout);
        let answer = step.within.unwrap_or(self.session.messages.timeout);
        match &step.act {
            Act::Http(http) => {
                let body = http.body.as_ref().map(|body| self.message(body)).transpose()?;
                let wanted = (Application::Http, http.method.as_str(), http.path.as_str());
                let request = Request {
                    has_length: body.is_some() || matches!(http.method.as_str(), "POST" | "PUT" | "PATCH"),
                    head: self.head(wanted, &http.headers, &[]),
                    body,
                    statuses: http.statuses.clone(),
                    takes: self.takes(step),
                    reuses: true,
                };
                self.push(Do::Http(Box::new(request)), handshake);
            }
            Act::Open(open) => {
                let open = self.opening(open, &step.take)?;
                self.push(open, handshake);
            }
            Act::Send(send) => {
                let message = self.message(&send.payload)?;
                let answered = send.expect.as_ref().map(|kind| self.waiting(kind, step));
                self.push(Do::Send(Box::new(Saying { message, answer: answered })), answer);
            }
            Act::Wait(kind) => {
                let waiting = self.waiting(kind, step);
                self.push(Do::Wait(Box::new(waiting)), answer);
            }
            Act::Think(length) => self.push(Do::Think(*length), length.mean().unwrap_or_default()),
            Act::Repeat { times, steps } => return self.repeat(*times, steps),
            Act::On { when, send } => {
                let send = send.as_ref().map(|payload| self.message(payload)).transpose()?;
                self.reactions.push(Reaction { when: self.waiting(when, step), send, step: number });
                self.push(Do::React(self.reactions.len() - 1), Duration::ZERO);
            }
            Act::Close { code } => self.push(Do::Close { code: *code }, Duration::ZERO),
        }
        self.step += 1;
        Ok(())
    }

    fn repeat(&mut self, times: Option<u64>, steps: &[Step]) -> Result<(), ScriptError> {
        let (depth, begin) = (self.depth, self.ops.len());
        self.push(
            Do::Begin { depth, times: times.map(|n| u32::try_from(n).unwrap_or(u32::MAX)) },
            Duration::ZERO,
        );
        self.step += 1;
        self.depth += 1;
        for step in steps {
            self.step(step)?;
        }
        self.depth -= 1;
        let number = self.step - 1;
        self.push(Do::Again { depth, head: index(begin + 1) }, Duration::ZERO);
        if let Some(again) = self.ops.last_mut() {
            again.step = number;
        }
        if times.is_none() {
            let after = index(self.ops.len());
            // The outermost one has the last word.
            self.ops[begin..].iter_mut().for_each(|op| op.leaves_to = Some(after));
        }
        Ok(())
    }

    fn push(&mut self, act: Do, within: Duration) {
        self.ops.push(Op { act, step: self.step, within, leaves_to: None });
    }

    fn opening(&self, open: &OpenStep, takes: &[steps::Take]) -> Result<Do, ScriptError> {
        let path = open.path.as_ref().map_or(self.session.request.path.as_str(), Template::as_str);
        let own: Vec<String> = open.subprotocols.iter().map(|name| name.as_str().to_owned()).collect();
        let offered = if own.is_empty() { &self.session.request.subprotocols } else { &own };
        Ok(Do::Open(Box::new(Request {
            head: self.head((Application::WebSocket, "GET", path), &open.headers, offered),
            body: None,
            has_length: false,
            statuses: Statuses::default(),
            takes: takes.iter().map(|take| Taking::new(take, &|name| self.index_of(name))).collect(),
            reuses: open.reuse,
        })))
    }

    /// The head of a request: headers of the step take the place of the target's of the same name.
    fn head(
        &self,
        (application, method, path): (Application, &str, &str),
        headers: &[StepHeader],
        subprotocols: &[String],
    ) -> RequestHead {
        let is_own = |name: &str| headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
        let mut all: Vec<Header> =
            self.session.request.headers.iter().filter(|header| !is_own(&header.name)).cloned().collect();
        all.extend(
            headers
                .iter()
                .map(|header| Header { name: header.name.clone(), value: header.value.as_str().to_owned() }),
        );
        let wanted = Wanted { application, method, path, headers: &all, subprotocols };
        RequestHead::new(self.kind, self.host.map(str::to_owned), &wanted, &|name| self.known(name))
    }

    fn message(&self, payload: &Payload) -> Result<Message, ScriptError> {
        let binary = |text| Message { text, opcode: Opcode::Binary, alphabet: Alphabet::Bytes };
        let index_of = |name: &str| self.index_of(name);
        Ok(match payload {
            Payload::Text(text) => {
                Message { text: text.bound(&index_of), opcode: Opcode::Text, alphabet: Alphabet::Letters }
            }
            Payload::Binary(text) => binary(text.bound(&index_of)),
            // Digits that are none were refused with the plan.
            Payload::Hex(digits) => {
                let text = Template::hex(digits, &|_| true).unwrap_or_else(|_| Template::literal(digits));
                Message { alphabet: Alphabet::Letters, ..binary(text.bound(&index_of)) }
            }
            Payload::Base64(text) => {
                binary(Template::bytes(BASE64_STANDARD.decode(text).unwrap_or_default()))
            }
            Payload::File(path) => binary(Template::bytes(
                std::fs::read(path)
                    .map_err(|error| ScriptError::Payload { path: path.clone(), why: error.to_string() })?,
            )),
        })
    }

    fn waiting(&self, kind: &Match, step: &Step) -> Waiting {
        Waiting { kind: Matcher::new(kind, &|name| self.index_of(name)), takes: self.takes(step) }
    }

    fn takes(&self, step: &Step) -> Vec<Taking> {
        step.take.iter().map(|take| Taking::new(take, &|name| self.index_of(name))).collect()
    }

    fn index_of(&self, name: &str) -> u16 {
        self.known(name).unwrap_or(u16::MAX)
    }

    fn known(&self, name: &str) -> Option<u16> {
        let at = |names: &[String]| names.iter().position(|known| known == name);
        at(&self.names).or_else(|| at(&self.column_names).map(|at| MOST_TAKEN + at)).map(index)
    }
}

/// True if a step needs an open WebSocket.
fn speaks(step: &Step) -> bool {
    match &step.act {
        Act::Send(_) | Act::Wait(_) | Act::On { .. } | Act::Close { .. } => true,
        Act::Repeat { steps, .. } => steps.iter().any(speaks),
        Act::Http(_) | Act::Open(_) | Act::Think(_) => false,
    }
}

/// A number of operations or names, of which there are at most some thousands.
fn index(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
