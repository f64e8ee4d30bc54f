//! A WebSocket's opening handshake: everything that is dropped when it is done.

use super::desk::{Desk, Stepped, Trouble};
use super::refusal::{self, Refusal, can_wait};
use crate::attempt::{Cause, Failure, Stage};
use crate::metrics::Reply;
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
    /// Puts the request on the desk.
    pub fn begin(desk: &mut Desk<'_>) -> Opening {
        let (upgrade, key) = Upgrade::begin();
        desk.script.write_upgrade(desk.out, desk.destination, &key);
        Opening { upgrade, input: Vec::new(), refusal: None }
    }

    /// The peer's bytes; when the handshake is done, those that came after it.
    pub fn take(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> Result<Option<Vec<u8>>, Trouble> {
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
            return if self.input.is_empty() { Ok(None) } else { self.take(&[], desk) };
        }
        if head.version == 0 {
            let reply = refusal::described(&head).beginning_with(&self.input);
            return Err(Trouble::because(Failure::new(Stage::Handshake, Cause::Http10), reply));
        }
        if head.status != 101 {
            let mut refusal = Refusal::new(&head, Stage::Handshake, false);
            let done = refusal.take(&self.input[head.size..]);
            self.refusal = Some(Box::new(refusal));
            return done.map_or(Ok(None), Err);
        }
        if let Err(error) = self.upgrade.verify(&head, &desk.script.subprotocols) {
            let reply = Reply { says: Some(error.says), ..refusal::described(&head) };
            return Err(Trouble::because(Failure::new(Stage::Handshake, error.cause), reply));
        }
        Ok(Some(self.input[head.size..].to_vec()))
    }

    /// The peer has closed.
    pub fn end_of_stream(&mut self) -> Stepped {
        if let Some(trouble) = self.what_came() {
            return Err(trouble);
        }
        let reply = Reply::default().beginning_with(&self.input);
        let failure = Failure::new(Stage::Handshake, Cause::ClosedEarly);
        if self.input.is_empty() { Err(failure.into()) } else { Err(Trouble::because(failure, reply)) }
    }

    /// The refusal whose body has not come as a whole.
    pub fn what_came(&mut self) -> Option<Trouble> {
        debug_assert!(self.input.len() <= LONGEST_HEAD + 64 * 1024);
        self.refusal.take().map(|refusal| refusal.trouble())
    }
}
