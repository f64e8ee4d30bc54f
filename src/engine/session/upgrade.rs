//! A WebSocket's opening handshake: everything that is dropped when it is done.

use super::context::{Context, SessionError, StepResult};
use super::refusal::{self, Refusal, can_wait};
use crate::model::{Cause, Failure, Reply, Stage};
use crate::protocol::http1::{LONGEST_HEAD, ReplyHead};
use crate::protocol::websocket::Upgrade;

/// See the module.
#[derive(Debug)]
pub struct Opening {
    upgrade: Upgrade,
    /// What has come of the reply, as long as its head is not complete.
    input: Vec<u8>,
    refusal: Option<Box<Refusal>>,
}

impl Opening {
    /// Puts the request on the context.
    pub fn begin(context: &mut Context<'_>) -> Opening {
        let (upgrade, key) = Upgrade::begin();
        context.script.write_upgrade(context.out, context.destination, &key);
        Opening { upgrade, input: Vec::new(), refusal: None }
    }

    /// The peer's bytes; when the handshake is done, those that came after it.
    pub fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Result<Option<Vec<u8>>, SessionError> {
        if let Some(refusal) = &mut self.refusal {
            return refusal.take(bytes).map_or(Ok(None), Err);
        }
        self.input.extend_from_slice(bytes);
        if !bytes.is_empty() && can_wait(&self.input, bytes) {
            return Ok(None);
        }
        let head = match ReplyHead::parse(&self.input) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(error) => return Err(refusal::not_http(error, &self.input)),
        };
        if (100..=199).contains(&head.status) && head.status != 101 {
            // An interim reply (RFC 9110, section 15.2): the real one follows.
            let size = head.size;
            self.input.drain(..size);
            return if self.input.is_empty() { Ok(None) } else { self.take(&[], context) };
        }
        if head.version == 0 {
            let reply = refusal::described(&head).beginning_with(&self.input);
            return Err(SessionError::because(Failure::new(Stage::Handshake, Cause::Http10), reply));
        }
        if head.status != 101 {
            let mut refusal = Refusal::new(&head, Stage::Handshake, false);
            let done = refusal.take(&self.input[head.size..]);
            self.refusal = Some(Box::new(refusal));
            return done.map_or(Ok(None), Err);
        }
        if let Err(error) = self.upgrade.verify(&head, &context.script.subprotocols) {
            let reply = Reply { says: Some(error.says), ..refusal::described(&head) };
            return Err(SessionError::because(Failure::new(Stage::Handshake, error.cause), reply));
        }
        Ok(Some(self.input[head.size..].to_vec()))
    }

    /// The peer has closed.
    pub fn end_of_stream(&mut self) -> StepResult {
        if let Some(trouble) = self.what_came() {
            return Err(trouble);
        }
        let reply = Reply::default().beginning_with(&self.input);
        let failure = Failure::new(Stage::Handshake, Cause::ClosedEarly);
        if self.input.is_empty() { Err(failure.into()) } else { Err(SessionError::because(failure, reply)) }
    }

    /// The refusal whose body has not come as a whole.
    pub fn what_came(&mut self) -> Option<SessionError> {
        debug_assert!(self.input.len() <= LONGEST_HEAD + 64 * 1024);
        self.refusal.take().map(|refusal| refusal.trouble())
    }
}
