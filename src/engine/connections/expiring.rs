//! Deadlines of attempts: of the handshake of TCP, of the lifetime, of the peer's close.

use super::Connections;
use crate::engine::deadlines::Timed;
use crate::model::{Cause, Failure, Outcome, Stage};
use crate::plan::Close;

impl Connections {
    /// A deadline has passed. It may be that of an attempt that has long ended.
    pub(in crate::engine) fn expire(&mut self, timed: Timed) {
        let key = timed.key as usize;
        let Some(slot) = self.slots.get(key) else { return };
        if slot.started.ticket.ordinal != timed.ordinal {
            return;
        }
        // The deadline of the handshake falls due also where the handshake was in time.
        if slot.until.is_none_or(|until| self.clock.now() < until) {
            return;
        }
        if slot.session.is_some() {
            return self.expire_session(key, timed.ordinal);
        }
        let waits_for_peer = self.connection_config.connection.close == Close::Peer;
        if (slot.connected.is_none() || waits_for_peer) && !self.is_still_overdue(timed) {
            return;
        }
        let Some(slot) = self.slots.get(key) else { return };
        let connecting = slot.connected.is_none();
        let outcome = if connecting {
            Outcome::Failed(Failure::new(Stage::Connect, Cause::TimedOut))
        } else if waits_for_peer {
            Outcome::Failed(Failure::new(Stage::Close, Cause::TimedOut))
        } else {
            Outcome::Ok
        };
        let slot = self.slots.remove(key);
        if connecting {
            self.count_retransmit(slot.started.at, &slot.socket);
        }
        match outcome {
            Outcome::Failed(failure) => self.end_by_timeout(slot, failure),
            Outcome::Ok | Outcome::CutShort => self.end(slot, outcome),
        }
    }

    /// Takes what has come to a socket before its time is called over: a worker that is late may not have seen it. Whether
    /// the attempt still waits, and its time is still over.
    fn is_still_overdue(&mut self, timed: Timed) -> bool {
        self.ready(u64::from(timed.key));
        let slot = self.slots.get(timed.key as usize);
        let slot = slot.filter(|slot| slot.started.ticket.ordinal == timed.ordinal);
        slot.and_then(|slot| slot.until).is_some_and(|until| until <= self.clock.now())
    }
}
