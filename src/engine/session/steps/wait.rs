//! Waits of a conversation: for bytes of the peer, for time, for the end of the run.

use super::line::Line;
use super::program::{Do, Op, Waiting};
use super::{Conversation, Program};
use crate::engine::session::context::{Context, SessionError, Step, StepResult};
use crate::engine::session::steps::exchange::Answer;
use crate::model::{Cause, Failure, Reply, Stage, Stamp};
use crate::plan::Framing;
use crate::protocol::websocket::Opcode;
use std::ops::Range;

/// The longest line that is waited for.
const LONGEST_LINE: usize = 16 << 20;

/// Wait of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Nothing,
    /// The next turn is waited for.
    Turn,
    /// The end of a pause.
    Pause,
    /// The reply to a request.
    Reply,
    /// The end of a WebSocket's handshake.
    Opening,
    /// A message.
    Message,
    /// The end of its lifetime, or of the run.
    End,
}

impl Op {
    /// The message that it waits for.
    pub(super) fn waits_for(&self) -> Option<&Waiting> {
        match &self.act {
            Do::Wait(waiting) => Some(waiting),
            Do::Send(saying) => saying.answer.as_ref(),
            _ => None,
        }
    }
}

impl Conversation {
    /// The peer's bytes.
    pub(in crate::engine::session) fn take_bytes(
        &mut self,
        bytes: &[u8],
        closing: bool,
        context: &mut Context<'_>,
    ) -> StepResult {
        match &mut self.line {
            Line::Http(_) => self.take_reply(bytes, context),
            Line::Opening(opening) => match opening.take(bytes)? {
                None => Ok(Step::Continue),
                Some(early) => self.was_opened(&early, context),
            },
            Line::WebSocket(_) => self.take_frames(bytes, closing, context),
            Line::Stream(_) => self.take_stream(bytes, context),
            Line::Fresh | Line::Idle | Line::Spent if bytes.is_empty() => Ok(Step::Continue),
            Line::Fresh | Line::Idle | Line::Spent => Err(SessionError::because(
                Failure::new(Stage::Session, Cause::ProtocolViolation),
                Reply::saying("a reply to no request").beginning_with(bytes),
            )),
        }
    }

    fn op<'c>(&self, context: &Context<'c>) -> Option<&'c Op> {
        context.script.program.as_ref().and_then(|program| program.ops.get(usize::from(self.client.at)))
    }

    fn take_reply(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        let Some(Op { act: Do::Http(request), .. }) = self.op(context) else { return Ok(Step::Continue) };
        let Line::Http(exchange) = &mut self.line else { return Ok(Step::Continue) };
        match exchange.take(bytes, request)? {
            Some(answer) => self.answered(&answer, context),
            None => Ok(Step::Continue),
        }
    }

    fn answered(&mut self, answer: &Answer, context: &mut Context<'_>) -> StepResult {
        let Some(Op { act: Do::Http(request), .. }) = self.op(context) else { return Ok(Step::Continue) };
        self.line = if answer.keeps_alive { Line::Idle } else { Line::Spent };
        self.take(&request.takes, &answer.head, &answer.body)?;
        context.tally.traffic.received += 1;
        context.tally.statuses.add(answer.status, 1);
        context.answered(self.since);
        self.done(context);
        self.advance(context)
    }

    /// The WebSocket stands; `early` came with the handshake.
    fn was_opened(&mut self, early: &[u8], context: &mut Context<'_>) -> StepResult {
        let opening = std::mem::replace(&mut self.line, Line::WebSocket(Default::default()));
        context.tally.latencies.handshake.record(context.now.saturating_sub(self.since));
        self.opened(context);
        if let (Line::Opening(opening), Some(Op { act: Do::Open(request), .. })) = (opening, self.op(context))
        {
            self.take(&request.takes, &opening.head, &[])?;
        }
        self.done(context);
        match self.advance(context)? {
            Step::Continue => self.take_frames(early, false, context),
            step => Ok(step),
        }
    }

    fn take_frames(&mut self, bytes: &[u8], closing: bool, context: &mut Context<'_>) -> StepResult {
        let Line::WebSocket(frames) = &mut self.line else { return Ok(Step::Continue) };
        let mut frames = std::mem::take(frames);
        let step = frames.take(bytes, closing, context, |message, context| match message.opcode {
            Opcode::Pong => Ok(Step::Continue),
            _ => self.hear(&message.payload, context),
        });
        self.line = Line::WebSocket(frames);
        step
    }

    /// Bytes of a stream: messages as the plan frames them.
    fn take_stream(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        let Line::Stream(held) = &mut self.line else { return Ok(Step::Continue) };
        let mut held = std::mem::take(held);
        let searched = if context.script.messages.framing == Framing::Line { held.len() } else { 0 };
        held.extend_from_slice(bytes);
        let (mut at, mut from, mut step) = (0, searched, Ok(Step::Continue));
        while let (Ok(Step::Continue), Some((message, next))) = (&step, self.framed(&held, at, from, context))
        {
            step = self.hear(&held[message], context);
            (at, from) = (next, next);
        }
        held.drain(..at);
        if held.is_empty() {
            held = Vec::new();
        }
        if held.len() > LONGEST_LINE {
            let failure = Failure::new(Stage::Session, Cause::UnexpectedReply);
            return Err(SessionError::because(
                failure,
                Reply::saying("a message longer than 16 MiB").beginning_with(&held),
            ));
        }
        if let Line::Stream(kept) = &mut self.line {
            *kept = held;
        }
        step
    }

    /// Place of the next message in a stream, from `at` on, and where what follows it begins; `None`: it is not whole.
    /// Up to `from` no end of it was found.
    fn framed(
        &self,
        held: &[u8],
        at: usize,
        from: usize,
        context: &mut Context<'_>,
    ) -> Option<(Range<usize>, usize)> {
        let framing = context.script.messages.framing;
        match framing.length_bytes() {
            Some(size) => {
                let begin = at + size;
                let length =
                    held.get(at..begin)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                let end = begin.checked_add(length).filter(|end| *end <= held.len())?;
                Some((begin..end, end))
            }
            None if framing == Framing::None => {
                let waiting =
                    self.op(context).and_then(Op::waits_for).filter(|_| self.wait == Wait::Message)?;
                let rest = held.get(at..).filter(|rest| !rest.is_empty())?;
                let length = self.end_of_match(&waiting.kind, rest, context).filter(|length| *length > 0)?;
                Some((at..at + length, at + length))
            }
            None => {
                let end = from + memchr::memchr(b'\n', held.get(from..)?)?;
                let line = held[at..end].strip_suffix(b"\r").map_or(end, |line| at + line.len());
                Some((at..line, end + 1))
            }
        }
    }

    /// The peer will send no more. `Continue`: that is for the session to judge.
    pub(in crate::engine::session) fn end_of_stream(&mut self, context: &mut Context<'_>) -> StepResult {
        match &mut self.line {
            Line::Opening(opening) => opening.end_of_stream(),
            Line::Http(exchange) => match exchange.end_of_stream()? {
                Some(answer) => {
                    let step = self.answered(&answer, context)?;
                    if step == Step::Continue { self.between_connections() } else { Ok(step) }
                }
                None => Ok(Step::Continue),
            },
            Line::Idle | Line::Spent => self.between_connections(),
            Line::Fresh | Line::WebSocket(_) | Line::Stream(_) => Ok(Step::Continue),
        }
    }

    /// The server has closed a connection over which nothing was under way: the client goes on over another one when
    /// its pause is over.
    fn between_connections(&mut self) -> StepResult {
        match (self.wait, self.due) {
            (Wait::Pause, Some(due)) => {
                self.client.at += 1;
                self.client.starts_at = due;
                self.goes_on = true;
                Ok(Step::Done)
            }
            (Wait::Turn, _) => {
                self.goes_on = true;
                Ok(Step::Done)
            }
            _ => Ok(Step::Done),
        }
    }

    /// Time has passed.
    pub(in crate::engine::session) fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.lives_until.is_some_and(|until| until <= context.now) {
            self.lives_until = None;
            return self.leave(context);
        }
        if self.due.is_none_or(|due| due > context.now) {
            return Ok(Step::Continue);
        }
        match self.wait {
            Wait::Pause => {
                self.client.at += 1;
                self.advance_in_stream(context)
            }
            Wait::Turn => self.advance_in_stream(context),
            Wait::Reply | Wait::Opening | Wait::Message => Err(self.overdue(context)),
            Wait::Nothing | Wait::End => Ok(Step::Continue),
        }
    }

    /// Goes on, with what came of a stream without frames before it was waited for.
    fn advance_in_stream(&mut self, context: &mut Context<'_>) -> StepResult {
        match self.advance(context)? {
            Step::Continue if context.script.messages.framing == Framing::None => {
                self.take_stream(&[], context)
            }
            step => Ok(step),
        }
    }

    fn overdue(&mut self, context: &Context<'_>) -> SessionError {
        let waited = self.op(context).and_then(Op::waits_for);
        match &mut self.line {
            Line::Http(exchange) => exchange.overdue(),
            Line::Opening(opening) => {
                opening.what_came().unwrap_or_else(|| Failure::new(Stage::Handshake, Cause::TimedOut).into())
            }
            line => {
                let failure = Failure::new(Stage::Session, Cause::TimedOut);
                let says = waited.map_or("a message", |waiting| waiting.kind.says.as_str());
                let error = SessionError::because(failure, Reply::saying(format!("waited for {says}")));
                match line.held() {
                    0 => error,
                    _ => error.stalled("a message of the peer began and did not end in time"),
                }
            }
        }
    }

    /// End of what lasts to the end; the rest of the steps is done.
    pub(in crate::engine::session) fn leave(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.is_leaving {
            return Ok(Step::Continue);
        }
        self.is_leaving = true;
        match self.wait {
            Wait::End => Ok(Step::Done),
            Wait::Pause if self.may_leave(context.script.program.as_ref()) => {
                self.client.at += 1;
                self.advance(context)
            }
            _ => Ok(Step::Continue),
        }
    }

    /// Says no more; whether something is still under way.
    pub(in crate::engine::session) fn stop(&mut self, program: Option<&Program>) -> bool {
        self.is_leaving = true;
        self.is_under_way(program)
    }

    /// True if the end of the run would cut it: it waits for something of the peer, or has more to say.
    pub(in crate::engine::session) fn is_under_way(&self, program: Option<&Program>) -> bool {
        match self.wait {
            Wait::End => false,
            Wait::Pause => !self.may_leave(program),
            Wait::Nothing | Wait::Turn | Wait::Reply | Wait::Opening | Wait::Message => true,
        }
    }

    /// True if the pause is part of what lasts to the end.
    fn may_leave(&self, program: Option<&Program>) -> bool {
        let op = program.and_then(|program| program.ops.get(usize::from(self.client.at)));
        self.due.is_none() || op.is_some_and(|op| op.leaves_to.is_some())
    }

    /// When there is something to do even if nothing comes.
    pub(in crate::engine::session) fn next_due(&self) -> Option<Stamp> {
        self.due.into_iter().chain(self.lives_until).min()
    }

    /// The peer's close frame and the like, of a WebSocket.
    pub(in crate::engine::session) fn frames(&self) -> Option<&crate::engine::session::websocket::Frames> {
        match &self.line {
            Line::WebSocket(frames) => Some(frames),
            _ => None,
        }
    }

    /// True if all handshakes are done.
    pub(in crate::engine::session) fn was_open(&self) -> bool {
        matches!(self.line, Line::WebSocket(_) | Line::Stream(_) | Line::Idle | Line::Spent)
    }

    /// The stage at which something fails now.
    pub(in crate::engine::session) fn stage(&self) -> Stage {
        match &self.line {
            Line::Fresh | Line::Opening(_) => Stage::Handshake,
            Line::Http(exchange) => exchange.stage(),
            Line::Idle | Line::Spent | Line::WebSocket(_) | Line::Stream(_) => Stage::Session,
        }
    }
}
