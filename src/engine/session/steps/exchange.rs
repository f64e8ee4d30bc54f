//! One HTTP request of a conversation and its reply.

use super::program::Request;
use crate::engine::session::context::SessionError;
use crate::engine::session::refusal::{self, Refusal};
use crate::model::{Cause, Failure, Reply, Stage};
use crate::protocol::http1::{Body, HeadBuffer, LONGEST_HEAD, ReplyHead};

/// Most bytes kept of a body that values are taken of.
const LONGEST_BODY: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange {
    stage: Stage,
    input: HeadBuffer,
    interim: Option<u16>,
    state: State,
    /// The head of the reply, where values are taken of it.
    head: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Head,
    Body { body: Body, keeps_alive: bool, status: u16 },
    Refused(Box<Refusal>),
}

/// A whole reply.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// True if the connection may be used again.
    pub(super) keeps_alive: bool,
}

impl Exchange {
    /// A request that was written; a failure is told at `stage`.
    pub(super) fn begun(stage: Stage) -> Exchange {
        Exchange { stage, input: HeadBuffer::default(), interim: None, state: State::Head, head: Vec::new() }
    }

    /// The peer's bytes; the answer, when it is whole.
    pub(super) fn take(&mut self, bytes: &[u8], request: &Request) -> Result<Option<Answer>, SessionError> {
        let is_worth_parsing = self.input.push(bytes, LONGEST_HEAD);
        if matches!(self.state, State::Head) && (!is_worth_parsing || !self.heads(request)?) {
            return Ok(None);
        }
        match &mut self.state {
            State::Head => Ok(None),
            State::Refused(refusal) => {
                let input = self.input.take();
                refusal.take(&input).map_or(Ok(None), Err)
            }
            State::Body { body, .. } => {
                let fed = body.feed(self.input.bytes());
                let is_complete = body.is_complete();
                let used = fed.map_err(|error| self.violation(&error.to_string()))?;
                self.input.consume(used);
                if !is_complete {
                    return Ok(None);
                }
                if !self.input.is_empty() {
                    let says = format!("{} bytes after the end of the reply", self.input.bytes().len());
                    return Err(self.violation(&says));
                }
                Ok(self.answer())
            }
        }
    }

    fn violation(&self, says: &str) -> SessionError {
        let failure = Failure::new(self.stage, Cause::ProtocolViolation);
        SessionError::because(failure, Reply::saying(says).beginning_with(self.input.bytes()))
    }

    fn answer(&mut self) -> Option<Answer> {
        let State::Body { body, keeps_alive, status } = std::mem::replace(&mut self.state, State::Head)
        else {
            return None;
        };
        Some(Answer { status, head: std::mem::take(&mut self.head), body: body.kept, keeps_alive })
    }

    /// Takes interim heads and the final one off the input; whether the final one was complete.
    fn heads(&mut self, request: &Request) -> Result<bool, SessionError> {
        let mut at = 0;
        loop {
            let rest = &self.input.bytes()[at..];
            let head = match ReplyHead::parse(rest) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(error) => return Err(refusal::not_http(error, rest).at(self.stage)),
            };
            at += head.size;
            if head.is_interim() {
                self.interim = Some(head.status);
                continue;
            }
            if request.takes.iter().any(|taking| taking.is_of_head()) {
                self.head = rest[..head.size].to_vec();
            }
            self.state = self.final_head(&head, request)?;
            self.input.consume(at);
            return Ok(true);
        }
        if at > 0 {
            self.input.consume(at);
        }
        Ok(false)
    }

    fn final_head(&self, head: &ReplyHead<'_>, request: &Request) -> Result<State, SessionError> {
        let of_head = request.head.is_of_head();
        if !request.statuses.contain(head.status) {
            return Ok(State::Refused(Box::new(Refusal::new(head, self.stage, of_head))));
        }
        let Some(framing) = head.framing(of_head) else {
            let failure = Failure::new(self.stage, Cause::ProtocolViolation);
            let says = Some("the length of the body can't be told".into());
            return Err(SessionError::because(failure, Reply { says, ..refusal::described(head) }));
        };
        let keep = if request.takes.iter().any(|taking| !taking.is_of_head()) { LONGEST_BODY } else { 0 };
        let body = Body::new(framing, keep);
        Ok(State::Body { body, keeps_alive: head.keeps_alive(), status: head.status })
    }

    /// The peer has closed: the end of a body that has no other, or too early.
    pub(super) fn end_of_stream(&mut self) -> Result<Option<Answer>, SessionError> {
        match &mut self.state {
            State::Body { body, keeps_alive, .. } if body.ends_with_the_stream() => {
                *keeps_alive = false;
                Ok(self.answer())
            }
            State::Refused(refusal) => Err(refusal.trouble()),
            State::Head | State::Body { .. } => {
                let failure = Failure::new(self.stage, Cause::ClosedEarly);
                Err(SessionError::because(failure, Reply::default().beginning_with(self.input.bytes())))
            }
        }
    }

    /// Failure of a wait whose time is over: a refusal whose body has not come as a whole, a reply that stalled, or nothing.
    pub(super) fn overdue(&mut self) -> SessionError {
        let stage = self.stage;
        let came = match &self.state {
            State::Refused(refusal) => Some(refusal.trouble()),
            State::Head => refusal::stalled_head(&self.input, self.interim, stage),
            State::Body { body, .. } => {
                let says = format!("stalled after {} bytes of the reply's body", body.length);
                Some(SessionError::because(Failure::new(stage, Cause::Stalled), Reply::saying(says)))
            }
        };
        came.unwrap_or_else(|| Failure::new(stage, Cause::TimedOut).into())
    }

    /// The stage at which it fails.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::Head => 0,
            State::Body { body, .. } => body.kept.capacity(),
            State::Refused(refusal) => refusal.held(),
        };
        self.input.held() + self.head.capacity() + state
    }
}
