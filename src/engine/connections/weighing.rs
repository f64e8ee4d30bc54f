//! Memory that sessions hold for their peers, counted against the budget of the process. The connection that would go beyond it
//! fails: on this side, since another machine might have had the memory.
//!
//! A session is looked at after so much traffic, and after each step as long as it holds anything worth the look: nothing
//! can be held that was neither received nor to be sent.

use super::{Connections, SessionIo};
use crate::engine::session::SessionError;
use crate::model::{Cause, Failure, Reply, Room};

/// Bytes of traffic after which a session is looked at, and bytes held that are not worth a look.
const WORTH_A_LOOK: u64 = 1024;

/// Memory of a session, when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    /// Bytes that are counted for it.
    pub(super) held: u64,
    /// Traffic at which it is looked at again.
    next_at: u64,
}

impl Connections {
    /// The failure of a session that holds more now than the process may; `None`: it goes on.
    pub(super) fn weigh(&mut self, key: usize) -> Option<SessionError> {
        let slot = self.slots.get_mut(key)?;
        let session_io = slot.session.as_mut()?;
        let traffic = slot.bytes_in + session_io.bytes_out + session_io.unsent.len() as u64;
        if session_io.weighed.held == 0 && traffic < session_io.weighed.next_at {
            return None;
        }
        let held = Some(session_io.held()).filter(|held| *held >= WORTH_A_LOOK).unwrap_or(0);
        let now = Weighed { held, next_at: traffic + WORTH_A_LOOK };
        let before = std::mem::replace(&mut session_io.weighed, now).held;
        match self.memory.count(before, held) {
            Room::Enough => None,
            Room::Beyond => {
                let failure = Failure::new(session_io.session.stage(), Cause::MemoryLimit);
                let says = format!("{held} bytes were held for this connection");
                Some(SessionError::because(failure, Reply::saying(says)))
            }
        }
    }
}

impl SessionIo {
    /// Bytes held for the peer: what has come and is not complete, what is waited for, and what it does not read.
    fn held(&self) -> u64 {
        (self.session.held_bytes() + self.unsent.capacity()) as u64
    }
}
