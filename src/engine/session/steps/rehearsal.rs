//! A program as a client would do it, without a connection: each operation once, with what would go out.

use super::client::Client;
use super::program::{Do, Message, Op, Program, Request, Waiting};
use crate::engine::session::request::{Filling, write_upgrade};
use crate::model::Lifetime;
use crate::model::format::seconds;
use crate::protocol::websocket::{Opcode, Upgrade};
use crate::protocol::{Application, Fields, Place, Values};
use crate::result::rehearsal::RehearsedStep;
use rand::RngCore;
use std::io::Write;
use std::net::SocketAddr;

/// Material of a client's words.
pub(in crate::engine::session) struct Rehearsing<'r> {
    /// The client.
    pub(in crate::engine::session) client: Client,
    /// Protocol above TLS.
    pub(in crate::engine::session) application: Application,
    /// Where it would connect to.
    pub(in crate::engine::session) destination: SocketAddr,
    /// Wall-clock time in microseconds since 1970.
    pub(in crate::engine::session) now_us: u64,
    /// Random choices.
    pub(in crate::engine::session) random: &'r mut dyn RngCore,
}

/// Progress of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    Requested,
    Open,
}

/// The steps of a program, each once; `names` are those of the scenario's steps.
pub(in crate::engine::session) fn rehearse(
    program: &Program,
    names: &[String],
    with: &mut Rehearsing<'_>,
) -> Vec<RehearsedStep> {
    let mut done = Vec::new();
    let (mut depth, mut seq, mut connection, mut line) = (0, 0, 0, Line::None);
    for (name, index) in program.taken_names() {
        // A value to come is shown by its name.
        with.client.taken.set(index, format!("{{{name}}}").as_bytes());
    }
    for op in &program.ops {
        let mut step = RehearsedStep {
            name: names.get(usize::from(op.step)).cloned().unwrap_or_else(|| "open".to_owned()),
            depth,
            ..RehearsedStep::default()
        };
        if let Some(next) = next_line(line, op, with.application) {
            if needs_another(line, op) {
                connection += 1;
                step.connection = Some(connection);
            }
            line = next;
        }
        let fields = |seq| Fields { seq, conn: with.client.number, now_us: with.now_us };
        match &op.act {
            Do::Http(request) => {
                seq += 1;
                let text = head(request, fields(seq), program, with);
                goes_out(&mut step, program, &text, false);
                answered(&mut step, op, "a reply", &request.takes);
            }
            Do::Open(request) => {
                let text = head(request, fields(seq), program, with);
                goes_out(&mut step, program, &text, false);
                answered(&mut step, op, "the WebSocket to be opened", &request.takes);
            }
            Do::Send(saying) => {
                seq += 1;
                let text = message(&saying.message, fields(seq), program, with);
                goes_out(&mut step, program, &text, saying.message.opcode == Opcode::Binary);
                if let Some(answer) = &saying.answer {
                    waits(&mut step, op, answer);
                }
            }
            Do::Wait(waiting) => waits(&mut step, op, waiting),
            Do::Think(length) => step.does = Some(pause(*length)),
            Do::React(number) => {
                let Some(reaction) = program.reactions.get(*number) else { continue };
                match &reaction.send {
                    Some(send) => {
                        let text = message(send, fields(seq), program, with);
                        goes_out(&mut step, program, &text, send.opcode == Opcode::Binary);
                        step.does = Some("from here on answers".into());
                    }
                    None => step.does = Some("from here on counts".into()),
                }
                step.waits_for = Some(reaction.when.kind.says.clone());
                step.takes = names_of(&reaction.when);
            }
            Do::Begin { times, .. } => {
                depth += 1;
                step.does = Some(match times {
                    None => "repeats until the end of the run or of the connection's lifetime:".into(),
                    Some(times) => format!("repeats {times} times:"),
                });
            }
            Do::Again { .. } => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Do::Close { code } => {
                let code = code.map_or(String::new(), |code| format!(" with code {code}"));
                step.does = Some(format!("closes the connection{code}"));
            }
        }
        done.push(step);
    }
    done
}

/// The line after an operation; `None` where it does nothing to it.
fn next_line(line: Line, op: &Op, application: Application) -> Option<Line> {
    match &op.act {
        Do::Http(_) => Some(Line::Requested),
        Do::Open(_) => Some(Line::Open),
        Do::Send(_) | Do::Wait(_) | Do::React(_)
            if application == Application::Stream && line == Line::None =>
        {
            Some(Line::Open)
        }
        Do::Close { .. } => Some(Line::None),
        _ => None,
    }
}

/// True if an operation begins another connection.
fn needs_another(line: Line, op: &Op) -> bool {
    match (&op.act, line) {
        (Do::Close { .. }, _) | (Do::Http(_), Line::Requested) => false,
        (Do::Open(request), Line::Requested) => !request.reuses,
        _ => true,
    }
}

fn head(request: &Request, fields: Fields, program: &Program, with: &mut Rehearsing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let body = request.body.as_ref().map(|text| message(text, fields, program, with)).unwrap_or_default();
    let filling = Filling { fields, named: &with.client.names(program) };
    let offered = request.head.offered(&filling, with.random);
    request.head.write(&filling, with.destination, with.random, &mut out);
    if request.head.is_of_websocket() {
        let (_, key) = Upgrade::begin();
        write_upgrade(&mut out, &key, &offered);
        return out;
    }
    if request.has_length {
        // Writing to a Vec can't fail.
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

fn message(message: &Message, fields: Fields, program: &Program, with: &mut Rehearsing<'_>) -> Vec<u8> {
    let names = with.client.names(program);
    let values = Values { fields, named: &names, alphabet: message.alphabet, place: Place::Message };
    let mut out = Vec::new();
    message.text.fill(&values, with.random, &mut out);
    out
}

/// Notes what goes out; a value that is still to be taken is shown by its name also in a path.
fn goes_out(step: &mut RehearsedStep, program: &Program, text: &[u8], is_binary: bool) {
    let mut shown = super::super::rehearsal::shown(text, is_binary);
    for (name, _) in program.taken_names() {
        shown = shown.replace(&format!("%7B{name}%7D"), &format!("{{{name}}}"));
    }
    (step.bytes, step.binary, step.sends) = (Some(text.len() as u64), is_binary, Some(shown));
}

fn waits(step: &mut RehearsedStep, op: &Op, waiting: &Waiting) {
    step.waits_for = Some(waiting.kind.says.clone());
    step.within_s = Some(op.within.as_secs_f64());
    step.takes = names_of(waiting);
}

fn answered(step: &mut RehearsedStep, op: &Op, what: &str, takes: &[super::matcher::Taking]) {
    step.waits_for = Some(what.to_owned());
    step.within_s = Some(op.within.as_secs_f64());
    step.takes = takes.iter().map(|taking| taking.name.clone()).collect();
}

fn names_of(waiting: &Waiting) -> Vec<String> {
    waiting.takes.iter().map(|taking| taking.name.clone()).collect()
}

fn pause(length: Lifetime) -> String {
    let time = |time: std::time::Duration| seconds(time.as_secs_f64());
    match length {
        Lifetime::Fixed(length) => format!("pauses {}", time(length)),
        Lifetime::Uniform(low, high) => format!("pauses {} to {}", time(low), time(high)),
        Lifetime::Exponential(mean) => format!("pauses {} on average", time(mean)),
        Lifetime::UntilEnd => "pauses until the end of the run".into(),
    }
}
