//! HTTP/1.1 requests on one connection, and their replies.

use super::Script;
use super::context::{Context, SessionError, Step, StepResult};
use super::message_schedule::{fallen_due, fits, shown};
use super::refusal::{self, Refusal, Whole};
use crate::model::{Cause, Failure, Reply, Stage, Stamp};
use crate::plan::Expect;
use crate::protocol::http1::{Body, HeadBuffer, LONGEST_HEAD, ReplyHead};
use crate::protocol::{Alphabet, Fields};

/// Most bytes kept of a body that is compared.
const COMPARED: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Http {
    state: State,
    /// Bytes that have come and are no whole head, or chunk size.
    input: HeadBuffer,
    /// Status of the last interim reply to this request.
    interim: Option<u16>,
    made: u64,
    sent_at: Stamp,
    /// When the request under way, or the next one, is due by the plan.
    due: Stamp,
    /// When the next request is to be made: not before it is due, nor before the reply to the last.
    next_at: Option<Stamp>,
    /// Text that the body of the reply is compared with.
    expected: Vec<u8>,
    exchange_only: bool,
    hushed: bool,
    /// The first reply with a status that was not wanted.
    refusal: Option<Box<SessionError>>,
    /// Requests that were due when it was hushed, and counted as not made.
    unsent: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Head,
    Body {
        body: Body,
        keeps_alive: bool,
    },
    /// A reply with a status that was not wanted; whether the connection can be used after it.
    Refused {
        refusal: Box<Refusal>,
        goes_on: bool,
    },
}

impl Http {
    /// Writes the first request to what is to be sent.
    pub(super) fn begin(context: &mut Context<'_>) -> Http {
        let mut http = Http {
            state: State::Idle,
            input: HeadBuffer::default(),
            interim: None,
            made: 0,
            sent_at: context.now,
            due: context.now,
            next_at: None,
            expected: Vec::new(),
            exchange_only: false,
            hushed: false,
            refusal: None,
            unsent: 0,
        };
        http.request(context);
        http
    }

    fn request(&mut self, context: &mut Context<'_>) {
        let script = context.script;
        let messages = &script.messages;
        if let Some(at) = self.next_at
            && (messages.every.is_some() || !messages.think.is_zero())
        {
            context.tally.latencies.message_lateness.record(context.now.saturating_sub(at));
        }
        self.made += 1;
        let fields = Fields { seq: self.made, conn: context.ordinal + 1, now_us: context.unix_micros() };
        let mut body = Vec::new();
        if let Some(template) = &messages.send {
            let alphabet = if messages.binary { Alphabet::Bytes } else { Alphabet::Letters };
            template.render(fields, alphabet, context.rng.random(), &mut body);
        }
        script.write_request(self.made, &body, context);
        match &messages.expect {
            Some(Expect::Echo) => self.expected = body,
            Some(Expect::Contains(text)) => {
                self.expected.clear();
                text.render(fields, Alphabet::Letters, context.rng.random(), &mut self.expected);
            }
            Some(Expect::Json { .. }) => {
                self.expected.clear();
                if let Some(key) = &script.answer_key {
                    key.render(fields, Alphabet::Letters, context.rng.random(), &mut self.expected);
                }
            }
            _ => {}
        }
        context.tally.traffic.sent += 1;
        (self.state, self.sent_at, self.next_at) = (State::Head, context.now, None);
        self.interim = None;
    }

    /// The first reply was as it should be.
    pub(super) fn opened(&mut self, exchange_only: bool, context: &mut Context<'_>) -> StepResult {
        self.exchange_only = exchange_only;
        self.after_reply(context)
    }

    /// The peer's bytes.
    pub(super) fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        if matches!(self.state, State::Idle) {
            return Err(SessionError::because(
                Failure::new(Stage::Session, Cause::ProtocolViolation),
                Reply::saying("a reply to no request").beginning_with(bytes),
            ));
        }
        let is_worth_parsing = self.input.push(bytes, LONGEST_HEAD);
        if matches!(self.state, State::Head) && !is_worth_parsing {
            return Ok(Step::Continue);
        }
        self.advance(context)
    }

    fn stage(&self) -> Stage {
        if self.made <= 1 { Stage::Handshake } else { Stage::Session }
    }

    fn advance(&mut self, context: &mut Context<'_>) -> StepResult {
        if matches!(self.state, State::Head) && !self.heads(context)? {
            return Ok(Step::Continue);
        }
        match &mut self.state {
            State::Idle | State::Head => Ok(Step::Continue),
            State::Refused { refusal, goes_on } => {
                let input = self.input.take();
                if !*goes_on {
                    return refusal.take(&input).map_or(Ok(Step::Continue), Err);
                }
                match refusal.take_whole(&input) {
                    None => Ok(Step::Continue),
                    Some(Whole::Spoilt(error)) => Err(error),
                    Some(Whole::Refused(error)) => self.refused(error, context),
                }
            }
            State::Body { body, .. } => {
                let fed = body.feed(self.input.bytes());
                let is_complete = body.is_complete();
                let used = fed.map_err(|error| {
                    let failure = Failure::new(self.stage(), Cause::ProtocolViolation);
                    SessionError::because(failure, Reply::saying(error.to_string()))
                })?;
                self.input.consume(used);
                if is_complete { self.complete(context) } else { Ok(Step::Continue) }
            }
        }
    }

    /// Takes the interim heads and the final one off the input; whether the final one was complete.
    fn heads(&mut self, context: &mut Context<'_>) -> Result<bool, SessionError> {
        let stage = self.stage();
        let mut at = 0;
        let is_final = loop {
            let rest = &self.input.bytes()[at..];
            match ReplyHead::parse(rest) {
                Ok(Some(head)) if head.is_interim() => {
                    self.interim = Some(head.status);
                    at += head.size;
                }
                Ok(Some(head)) => {
                    context.tally.statuses.add(head.status, 1);
                    let more = self.made < u64::from(context.script.requests);
                    self.state = Http::answered(&head, stage, more, context)?;
                    at += head.size;
                    break true;
                }
                Ok(None) => break false,
                Err(error) => return Err(refusal::not_http(error, rest).at(stage)),
            }
        };
        if at > 0 {
            self.input.consume(at);
        }
        Ok(is_final)
    }

    /// Consequence of a final head.
    fn answered(
        head: &ReplyHead<'_>,
        stage: Stage,
        more: bool,
        context: &Context<'_>,
    ) -> Result<State, SessionError> {
        let of_head_request = context.script.is_head_request;
        if !context.script.statuses.contain(head.status) {
            let refusal = Box::new(Refusal::new(head, stage, of_head_request));
            return Ok(State::Refused { refusal, goes_on: more && head.keeps_alive() });
        }
        let Some(framing) = head.framing(of_head_request) else {
            let failure = Failure::new(stage, Cause::ProtocolViolation);
            let says = Some("the length of the body can't be told".into());
            return Err(SessionError::because(failure, Reply { says, ..refusal::described(head) }));
        };
        let keep = if context.script.messages.expect.is_some() { COMPARED } else { 0 };
        Ok(State::Body { body: Body::new(framing, keep), keeps_alive: head.keeps_alive() })
    }

    /// A whole reply has come.
    fn complete(&mut self, context: &mut Context<'_>) -> StepResult {
        let State::Body { body, keeps_alive } = std::mem::replace(&mut self.state, State::Idle) else {
            return Ok(Step::Continue);
        };
        let stage = self.stage();
        context.tally.traffic.received += 1;
        if let Some(expect) = &context.script.messages.expect {
            if !fits(expect, &body.kept, &self.expected) {
                context.tally.traffic.mismatches += 1;
                let says = format!("expected {expect}, found '{}'", shown(&body.kept));
                let failure = Failure::new(stage, Cause::UnexpectedReply);
                return Err(SessionError::because(failure, Reply::saying(says)));
            }
            context.tally.traffic.matched += 1;
        }
        context.answered(self.sent_at);
        if context.script.messages.every.is_some() {
            let from_due = context.now.saturating_sub(self.due);
            context.tally.latencies.round_trip_from_due.record(from_due);
        }
        let more = self.made < u64::from(context.script.requests);
        if more && !self.input.is_empty() {
            let failure = Failure::new(stage, Cause::ProtocolViolation);
            let says = format!("{} bytes after the end of the reply", self.input.bytes().len());
            return Err(SessionError::because(
                failure,
                Reply::saying(says).beginning_with(self.input.bytes()),
            ));
        }
        if more && !keeps_alive {
            let says =
                format!("'Connection: close' after request {} of {}", self.made, context.script.requests);
            let failure = Failure::new(stage, Cause::ClosedEarly);
            return Err(SessionError::because(failure, Reply::saying(says)));
        }
        if self.made == 1 {
            return Ok(Step::Opened);
        }
        self.after_reply(context)
    }

    /// A whole reply has come with a status that was not wanted, and the connection can be used after it: the next
    /// request is made at its time, and the attempt fails by the first of them when it ends.
    fn refused(&mut self, error: SessionError, context: &mut Context<'_>) -> StepResult {
        context.tally.traffic.received += 1;
        self.state = State::Idle;
        self.refusal.get_or_insert_with(|| Box::new(error));
        if self.made == 1 { Ok(Step::Opened) } else { self.after_reply(context) }
    }

    /// The first reply with a status that was not wanted, if there was one.
    pub(super) fn take_refusal(&mut self) -> Option<SessionError> {
        self.refusal.take().map(|error| *error)
    }

    /// True if a reply had a status that was not wanted.
    pub(super) fn was_refused(&self) -> bool {
        self.refusal.is_some()
    }

    fn after_reply(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.made >= u64::from(context.script.requests) {
            return Ok(if self.exchange_only { Step::Done } else { Step::Idle });
        }
        if self.hushed {
            return Ok(Step::Idle);
        }
        let script = context.script;
        let messages = &script.messages;
        self.due = match messages.every {
            Some(every) => self.due + every,
            None => context.now + messages.think,
        };
        self.next_at = Some(self.due.max(context.now));
        self.tick(context)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.next_at.is_some_and(|at| at <= context.now) {
            self.request(context);
        } else if self.is_busy()
            && self.made > 1
            && context.now >= self.sent_at + context.script.messages.timeout
        {
            return Err(self
                .what_came()
                .unwrap_or_else(|| Failure::new(Stage::Session, Cause::TimedOut).into()));
        }
        Ok(Step::Continue)
    }

    /// The peer has closed: the end of a body that has no other, or too early.
    pub(super) fn end_of_stream(&mut self, context: &mut Context<'_>) -> StepResult {
        match &mut self.state {
            State::Body { body, .. } if body.ends_with_the_stream() => {
                let step = self.complete(context)?;
                // Whatever was to follow can't.
                Ok(if self.is_done(context) && step == Step::Idle { Step::Done } else { step })
            }
            State::Refused { refusal, .. } => Err(refusal.trouble()),
            State::Idle => Ok(Step::Continue),
            State::Head | State::Body { .. } => {
                let failure = Failure::new(self.stage(), Cause::ClosedEarly);
                Err(SessionError::because(failure, Reply::default().beginning_with(self.input.bytes())))
            }
        }
    }

    /// Time is over: a refusal whose body has not come as a whole, or a reply that stalled; `None`: nothing came.
    pub(super) fn what_came(&mut self) -> Option<SessionError> {
        let stage = self.stage();
        match &self.state {
            State::Refused { refusal, .. } => Some(refusal.trouble()),
            State::Head => refusal::stalled_head(&self.input, self.interim, stage),
            State::Body { body, .. } => {
                let says = format!("stalled after {} bytes of the reply's body", body.length);
                let failure = Failure::new(stage, Cause::Stalled);
                Some(SessionError::because(failure, Reply::saying(says)))
            }
            State::Idle => None,
        }
    }

    /// True if the last request is made and answered.
    pub(super) fn is_done(&self, context: &Context<'_>) -> bool {
        !self.is_busy() && self.made >= u64::from(context.script.requests)
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::Idle | State::Head => 0,
            State::Body { body, .. } => body.kept.capacity(),
            State::Refused { refusal, .. } => refusal.held(),
        };
        self.input.held() + self.expected.capacity() + state
    }

    /// Requests that were due and not made, as far as they are counted.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Requests that were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// True if a reply is waited for.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Requests that were due by `at` and have not been made.
    pub(super) fn overdue(&self, at: Stamp, script: &Script) -> u64 {
        let every = script.messages.every;
        let next = match every {
            _ if self.hushed => None,
            Some(every) if self.is_busy() => Some(self.due + every),
            _ => self.next_at,
        };
        fallen_due(next, every, at).min(u64::from(script.requests).saturating_sub(self.made))
    }

    /// Makes no more requests; whether a reply is still waited for.
    pub(super) fn stop_sending(&mut self, context: &mut Context<'_>) -> bool {
        let overdue = self.overdue(context.due_until(), context.script);
        let traffic = &mut context.tally.traffic;
        *(if self.is_busy() { &mut traffic.unsent_waiting } else { &mut traffic.unsent_late }) += overdue;
        self.unsent += overdue;
        (self.hushed, self.next_at) = (true, None);
        self.is_busy()
    }

    /// When something is due.
    pub(super) fn next_due(&self, timeout: std::time::Duration) -> Option<Stamp> {
        let overdue = (self.is_busy() && self.made > 1).then(|| self.sent_at + timeout);
        self.next_at.into_iter().chain(overdue).min()
    }
}
