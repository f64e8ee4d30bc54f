//! One conversation on one connection: the operations of a [`Program`], done one after the other. No I/O.
//!
//! Invariant: a conversation is at one operation, and waits for one thing; what is kept of the peer's bytes is one
//! incomplete reply or message. Reactions are tried on each message before the wait is, a message that is neither is
//! a push, and costs no memory. A conversation that has to go on over another connection ends its own, and leaves its
//! [`Client`] to it.

mod client;
mod exchange;
mod line;
mod matcher;
mod program;
mod rehearsal;
mod wait;

#[cfg(test)]
mod tests;

pub(in crate::engine) use client::Client;
pub(in crate::engine) use program::{Common, Program};
pub(super) use rehearsal::{Rehearsing, rehearse};

use super::context::{Context, SessionError, Step, StepResult};
use super::websocket;
use crate::model::{Cause, Failure, Reply, Stage, Stamp};
use crate::plan::Close;
use crate::protocol::{Application, Fields, Named, Place, Values};
use client::LONGEST_TAKEN;
use line::Line;
use matcher::{Against, Taking};
use program::{Do, Message, Request};
use wait::Wait;

/// Operations that one call does, at most: steps that ask for more must not stop all else.
const BATCH: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Conversation {
    client: Client,
    line: Line,
    wait: Wait,
    /// When the operation under way began.
    since: Stamp,
    /// When the wait is over; `None`: never.
    due: Option<Stamp>,
    /// When the connection has lived long enough; `None`: it may go on.
    lives_until: Option<Stamp>,
    last_push: Option<Stamp>,
    /// The message whose echo is waited for.
    sent: Box<[u8]>,
    /// Reactions that hold, each a bit.
    reactions: u64,
    /// Code to close with, where a step says it.
    close_code: Option<u16>,
    /// True if what lasts to the end is to end.
    is_leaving: bool,
    /// True if the client goes on over another connection.
    goes_on: bool,
}

impl Conversation {
    /// The conversation of a client on a connection that stands.
    pub(super) fn new(client: Client, context: &Context<'_>) -> Conversation {
        Conversation {
            client,
            line: Line::Fresh,
            wait: Wait::Nothing,
            since: context.now,
            due: None,
            lives_until: None,
            last_push: None,
            sent: Box::default(),
            reactions: 0,
            close_code: None,
            is_leaving: false,
            goes_on: false,
        }
    }

    /// Begins to speak.
    pub(super) fn begin(&mut self, context: &mut Context<'_>) -> StepResult {
        if context.script.application == Application::Stream {
            self.line = Line::Stream(Vec::new());
            self.opened(context);
        }
        self.advance(context)
    }

    /// The connection is open: its lifetime begins.
    fn opened(&mut self, context: &mut Context<'_>) {
        context.tally.traffic.sessions += 1;
        let lifetime = context.rng.lifetime(context.script.lifetime);
        self.lives_until = lifetime.filter(|time| !time.is_zero()).map(|time| context.now + time);
    }

    /// Does what can be done without waiting.
    fn advance(&mut self, context: &mut Context<'_>) -> StepResult {
        let script = context.script;
        let Some(program) = &script.program else { return Ok(Step::Done) };
        for _ in 0..BATCH {
            let Some(op) = program.ops.get(usize::from(self.client.at)) else {
                return self.all_is_said(context);
            };
            if let Some(after) = op.leaves_to.filter(|_| self.is_leaving) {
                self.client.at = after;
                continue;
            }
            self.since = context.now;
            match &op.act {
                Do::Begin { depth, times } => {
                    self.client.left[*depth] = times.map_or(u32::MAX, |times| times.min(u32::MAX - 1));
                    self.client.at += 1;
                }
                Do::Again { depth, head } => self.again(*depth, *head),
                Do::React(number) => {
                    self.reactions |= 1 << number;
                    self.client.at += 1;
                }
                Do::Think(length) => {
                    let length = context.rng.lifetime(*length);
                    self.await_this(Wait::Pause, length.map(|length| context.now + length));
                    return Ok(Step::Continue);
                }
                Do::Close { code } => {
                    self.close_code = *code;
                    self.client.at += 1;
                    self.goes_on = usize::from(self.client.at) < program.ops.len();
                    return Ok(Step::Done);
                }
                // Over another connection.
                Do::Http(request) | Do::Open(request) if !self.line.takes(request, &op.act) => {
                    self.goes_on = true;
                    return Ok(Step::Done);
                }
                Do::Http(request) => {
                    self.request(request, context);
                    self.await_this(Wait::Reply, Some(context.now + op.within));
                    return Ok(Step::Continue);
                }
                Do::Open(request) => {
                    self.open(request, context);
                    self.await_this(Wait::Opening, Some(context.now + op.within));
                    return Ok(Step::Continue);
                }
                Do::Send(saying) => {
                    self.client.seq += 1;
                    let is_compared = saying.answer.as_ref().is_some_and(|answer| answer.kind.wants_echo());
                    self.say(&saying.message, is_compared, context);
                    if saying.answer.is_some() {
                        self.await_this(Wait::Message, Some(context.now + op.within));
                        return Ok(Step::Continue);
                    }
                    context.tally.steps.done(op.step, None);
                    self.client.at += 1;
                }
                Do::Wait(_) => {
                    self.await_this(Wait::Message, Some(context.now + op.within));
                    return Ok(Step::Continue);
                }
            }
        }
        // The rest in its next turn.
        self.await_this(Wait::Turn, Some(context.now));
        Ok(Step::Continue)
    }

    fn again(&mut self, depth: usize, head: u16) {
        let left = &mut self.client.left[depth];
        match *left {
            u32::MAX => self.client.at = head,
            0 | 1 => self.client.at += 1,
            _ => {
                *left -= 1;
                self.client.at = head;
            }
        }
    }

    /// Everything is said: the connection stays as long as it is to live.
    fn all_is_said(&mut self, context: &Context<'_>) -> StepResult {
        let stays = self.lives_until.is_some()
            || matches!(context.script.lifetime, crate::model::Lifetime::UntilEnd)
            || context.script.closes == Close::Peer;
        if stays && !self.is_leaving {
            self.await_this(Wait::End, None);
            return Ok(Step::Continue);
        }
        Ok(Step::Done)
    }

    fn await_this(&mut self, wait: Wait, due: Option<Stamp>) {
        (self.wait, self.due) = (wait, due);
    }

    fn request(&mut self, request: &Request, context: &mut Context<'_>) {
        self.client.seq += 1;
        let mut body = Vec::new();
        if let (Some(message), Some(program)) = (&request.body, &context.script.program) {
            let names = self.client.names(program);
            message.text.fill(&self.values(message, &names, context), context.rng.random(), &mut body);
        }
        self.line.request(request, &self.client, &body, context);
        context.tally.traffic.sent += 1;
    }

    fn open(&mut self, request: &Request, context: &mut Context<'_>) {
        self.line.open(request, &self.client, context);
    }

    fn values<'v>(&self, message: &Message, named: &'v dyn Named, context: &Context<'_>) -> Values<'v> {
        Values { fields: self.fields(context), named, alphabet: message.alphabet, place: Place::Message }
    }

    fn fields(&self, context: &Context<'_>) -> Fields {
        Fields { seq: self.client.seq, conn: self.client.number, now_us: context.unix_micros() }
    }

    /// Writes a message; keeps it where its echo is waited for.
    fn say(&mut self, message: &Message, is_compared: bool, context: &mut Context<'_>) {
        let mut text = std::mem::take(context.scratch);
        text.clear();
        if let Some(program) = &context.script.program {
            let names = self.client.names(program);
            message.text.fill(&self.values(message, &names, context), context.rng.random(), &mut text);
        }
        match &self.line {
            Line::WebSocket(_) => websocket::say(message.opcode, &text, context),
            _ => {
                if let Some(size) = context.script.messages.framing.length_bytes() {
                    let length = (text.len() as u32).to_be_bytes();
                    context.out.extend_from_slice(&length[length.len() - size..]);
                }
                context.out.extend_from_slice(&text);
            }
        }
        context.tally.traffic.sent += 1;
        if is_compared {
            self.sent = text.as_slice().into();
        }
        *context.scratch = text;
    }

    /// The operation under way has come to its end.
    fn done(&mut self, context: &mut Context<'_>) {
        let script = context.script;
        let step = script.program.as_ref().and_then(|program| program.step_of(self.client.at));
        if let Some(step) = step {
            context.tally.steps.done(step, Some(context.now.saturating_sub(self.since)));
        }
        self.client.at += 1;
        self.sent = Box::default();
        self.await_this(Wait::Nothing, None);
    }

    /// A message of the peer.
    fn hear(&mut self, message: &[u8], context: &mut Context<'_>) -> StepResult {
        context.tally.traffic.received += 1;
        let script = context.script;
        let Some(program) = &script.program else { return Ok(Step::Continue) };
        let mut is_known = false;
        let mut pending = self.reactions;
        while pending != 0 {
            let number = pending.trailing_zeros() as usize;
            pending &= pending - 1;
            let Some(reaction) = program.reactions.get(number) else { continue };
            if !self.fits(&reaction.when.kind, message, context) {
                continue;
            }
            self.take(&reaction.when.takes, &[], message)?;
            if let Some(answer) = &reaction.send {
                self.say(answer, false, context);
            }
            context.tally.steps.done(reaction.step, None);
            is_known = true;
            break;
        }
        if self.wait != Wait::Message {
            if !is_known {
                websocket::push(&mut self.last_push, context);
            }
            return Ok(Step::Continue);
        }
        let Some(waiting) = program.ops.get(usize::from(self.client.at)).and_then(|op| op.waits_for()) else {
            return Ok(Step::Continue);
        };
        if !self.fits(&waiting.kind, message, context) {
            if !is_known {
                websocket::push(&mut self.last_push, context);
            }
            return Ok(Step::Continue);
        }
        self.take(&waiting.takes, &[], message)?;
        context.tally.traffic.matched += 1;
        let is_answer = matches!(program.ops[usize::from(self.client.at)].act, Do::Send(_));
        if is_answer {
            context.answered(self.since);
        }
        self.done(context);
        self.advance(context)
    }

    fn fits(&self, kind: &matcher::Matcher, message: &[u8], context: &mut Context<'_>) -> bool {
        self.against(context, |against| kind.fits(message, against)).unwrap_or(false)
    }

    /// Does something with what the peer's words are held against; `None`: there is no program.
    fn against<T>(&self, context: &mut Context<'_>, act: impl FnOnce(&mut Against<'_>) -> T) -> Option<T> {
        let program = context.script.program.as_ref()?;
        let names = self.client.names(program);
        let values = Values {
            fields: Fields { seq: self.client.seq, conn: self.client.number, now_us: 0 },
            named: &names,
            alphabet: crate::protocol::Alphabet::Letters,
            place: Place::Message,
        };
        Some(act(&mut Against { values, sent: &self.sent, scratch: context.scratch }))
    }

    /// Length of the beginning of a stream in which a message of this kind lies; `None`: there is none as yet.
    fn end_of_match(
        &self,
        kind: &matcher::Matcher,
        stream: &[u8],
        context: &mut Context<'_>,
    ) -> Option<usize> {
        self.against(context, |against| kind.end_in(stream, against)).flatten()
    }

    /// Takes values of an answer.
    fn take(&mut self, takes: &[Taking], head: &[u8], body: &[u8]) -> Result<(), SessionError> {
        for taking in takes {
            let wrong = |says: String| {
                let failure = Failure::new(Stage::Session, Cause::UnexpectedReply);
                SessionError::because(failure, Reply::saying(says).with_body(body))
            };
            match taking.of(head, body) {
                None => return Err(wrong(format!("there is no value for '{}' in the answer", taking.name))),
                Some(value) if value.len() > LONGEST_TAKEN => {
                    let says =
                        format!("the value for '{}' has {} bytes; at most 65535", taking.name, value.len());
                    return Err(wrong(says));
                }
                Some(value) => self.client.taken.set(taking.index, &value),
            }
        }
        Ok(())
    }

    /// The client, where it goes on over another connection.
    pub(super) fn leaves_client(&mut self) -> Option<Client> {
        self.goes_on.then(|| std::mem::take(&mut self.client))
    }

    /// True if it is to go on over another connection.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Code to close with, where a step says it.
    pub(super) fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Number of the step that it has come to.
    pub(super) fn step(&self, program: &Program) -> Option<u16> {
        program.step_of(self.client.at)
    }

    /// Bytes of memory that are held for the peer and for what is waited for.
    pub(super) fn held(&self) -> usize {
        self.line.held() + self.sent.len() + self.client.taken.held()
    }

    /// True if a message waits for its answer.
    pub(super) fn unanswered(&self, program: &Program) -> u64 {
        let op = program.ops.get(usize::from(self.client.at));
        u64::from(self.wait == Wait::Message && op.is_some_and(|op| matches!(op.act, Do::Send(_))))
    }
}
