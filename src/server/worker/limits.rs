//! Limits of what peers may cost: memory of what is not complete, and time to complete it.

use super::{Worker, whom};
use crate::model::Room;
use crate::server::counters::Ending;
use crate::server::deadlines::Whom;
use std::time::Duration;

impl Worker {
    /// Counts what a connection holds now, in place of what it held before; whether all together hold too much by it.
    pub(super) fn account(&self, before: usize, now: usize) -> bool {
        self.shared.memory.count(before as u64, now as u64) == Room::Beyond
    }

    /// Sets a deadline for what has begun with this event.
    pub(super) fn watch_the_slow(&mut self, slot: usize, was_unfinished: bool) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !was_unfinished && !connection.may_be_unfinished() {
            return;
        }
        let now = self.shared.clock.now();
        let serial = connection.serial;
        if connection.note_unfinished(now) == Some(now) {
            self.slow_due.set(now, whom(slot, serial));
        }
    }

    /// A deadline of something that began has passed: closes the connection if it is still not complete, or waits
    /// for what has begun since.
    pub(super) fn end_the_slow(&mut self, whom: Whom, now: Duration) {
        let slot = whom.slot as usize;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Some(since) = connection.unfinished_since() else { return };
        if since + self.shared.limits.slow_client > now {
            // It is another thing, which has its own deadline.
            return;
        }
        self.tally.closed_as_slow();
        self.close(slot, Ending::ByUs);
    }
}
