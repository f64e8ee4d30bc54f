//! A WebSocket's opening handshake: everything that is dropped when it is done.

use super::context::{Context, SessionError, StepResult};
use super::refusal::{self, Refusal};
use super::request::{Filling, RequestHead, write_upgrade};
use crate::model::{Cause, Failure, Reply, Stage};
use crate::protocol::http1::{HeadBuffer, LONGEST_HEAD, ReplyHead};
use crate::protocol::websocket::Upgrade;
use crate::protocol::{Fields, NoNames};

/// See the module.
#[derive(Debug)]
pub(super) struct Opening {
    upgrade: Upgrade,
    /// Bytes of the reply that have come, as long as its head is not complete.
    input: HeadBuffer,
    /// Status of the last interim reply.
    interim: Option<u16>,
    refusal: Option<Box<Refusal>>,
    /// Subprotocols that were offered.
    offered: Vec<String>,
    /// True if the head of the reply that opens it is kept.
    pub(super) keeps_head: bool,
    /// That head.
    pub(super) head: Vec<u8>,
}

/// A final reply.
enum Answer {
    /// 101, and what came after it.
    Opened(Vec<u8>),
    /// Another status, whose body is still to come.
    Refused(Box<Refusal>),
}

impl Opening {
    /// Writes the request to what is to be sent.
    pub(super) fn begin(context: &mut Context<'_>) -> Opening {
        let fields = Fields { seq: 0, conn: context.ordinal + 1, now_us: context.unix_micros() };
        Opening::of(&context.script.request, &Filling { fields, named: &NoNames }, context)
    }

    /// Writes this request to what is to be sent.
    pub(super) fn of(request: &RequestHead, filling: &Filling<'_>, context: &mut Context<'_>) -> Opening {
        let (upgrade, key) = Upgrade::begin();
        let offered = request.offered(filling, context.rng.random());
        request.begin(filling, context);
        write_upgrade(context.out, &key, &offered);
        let (input, keeps_head, head) = (HeadBuffer::default(), false, Vec::new());
        Opening { upgrade, offered, input, interim: None, refusal: None, keeps_head, head }
    }

    /// The peer's bytes; when the handshake is done, those that came after it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        if let Some(refusal) = &mut self.refusal {
            return refusal.take(bytes).map_or(Ok(None), Err);
        }
        if !self.input.push(bytes, LONGEST_HEAD) {
            return Ok(None);
        }
        let mut at = 0;
        loop {
            let rest = &self.input.bytes()[at..];
            let head = match ReplyHead::parse(rest) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    if at > 0 {
                        self.input.consume(at);
                    }
                    return Ok(None);
                }
                Err(error) => return Err(refusal::not_http(error, rest)),
            };
            if !head.is_interim() {
                return match self.answer(&head, rest)? {
                    Answer::Opened(early) => {
                        if self.keeps_head {
                            self.head = rest[..rest.len() - early.len()].to_vec();
                        }
                        Ok(Some(early))
                    }
                    Answer::Refused(refusal) => {
                        self.refusal = Some(refusal);
                        Ok(None)
                    }
                };
            }
            // The real one follows.
            self.interim = Some(head.status);
            at += head.size;
        }
    }

    /// Meaning of the final reply.
    fn answer(&self, head: &ReplyHead<'_>, bytes: &[u8]) -> Result<Answer, SessionError> {
        // A success by HTTP/1.0 is the sign of a proxy that knows no upgrade; any other status means itself.
        if head.version == 0 && matches!(head.status, 101 | 200..=299) {
            let reply = refusal::described(head).with_body(&bytes[head.size..]).beginning_with(bytes);
            return Err(SessionError::because(Failure::new(Stage::Handshake, Cause::Http10), reply));
        }
        if head.status != 101 {
            let mut refusal = Refusal::new(head, Stage::Handshake, false);
            return match refusal.take(&bytes[head.size..]) {
                Some(trouble) => Err(trouble),
                None => Ok(Answer::Refused(Box::new(refusal))),
            };
        }
        if let Err(error) = self.upgrade.verify(head, &self.offered) {
            let reply = Reply { says: Some(error.says), ..refusal::described(head) };
            return Err(SessionError::because(Failure::new(Stage::Handshake, error.cause), reply));
        }
        Ok(Answer::Opened(bytes[head.size..].to_vec()))
    }

    /// The peer has closed.
    pub(super) fn end_of_stream(&mut self) -> StepResult {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal.trouble());
        }
        let failure = Failure::new(Stage::Handshake, Cause::ClosedEarly);
        if self.input.is_empty() {
            return Err(failure.into());
        }
        Err(SessionError::because(failure, Reply::default().beginning_with(self.input.bytes())))
    }

    /// Time is over: a refusal whose body has not come as a whole, or a reply that stalled; `None`: nothing came.
    pub(super) fn what_came(&mut self) -> Option<SessionError> {
        match self.refusal.take() {
            Some(refusal) => Some(refusal.trouble()),
            None => refusal::stalled_head(&self.input, self.interim, Stage::Handshake),
        }
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        self.input.held() + self.refusal.as_ref().map_or(0, |refusal| refusal.held())
    }
}
