//! Connections over which nothing is said: what the peer says is counted, and its last words kept.

use super::{Connections, errno_of};
use crate::engine::session::SessionError;
use crate::model::{Cause, Failure, Outcome, Stage};
use crate::plan::Close;
use std::io;

impl Connections {
    /// Something happened to the socket of a connection that stands.
    pub(super) fn ready_bare(&mut self, key: usize) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let failure = match slot.socket.read(&mut self.buffer) {
            Ok(0) if self.connection_config.connection.close == Close::Peer => {
                return self.end_slot(key, Outcome::Ok);
            }
            Ok(0) => Failure::new(Stage::Session, Cause::ClosedEarly),
            Ok(bytes) => {
                slot.bytes_in += bytes as u64;
                slot.words.keep(&self.buffer[..bytes]);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => Failure::from_errno(Stage::Session, errno_of(&error)),
        };
        let SessionError { failure, reply } = slot.words.explain(failure);
        let ordinal = slot.started.ticket.ordinal;
        self.end_slot(key, Outcome::Failed(failure));
        if let Some(reply) = reply {
            self.tally.explain(failure, ordinal, reply);
        }
    }
}
