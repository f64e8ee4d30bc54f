//! The end of an attempt: its socket is closed, its lease given back, its record written, what follows noted.

use super::{ConnectionConfig, Connections, Slot, Started, nowhere};
use crate::engine::pacer::{Finished, Pacing};
use crate::linux::tcp_info::TcpInfo;
use crate::model::{Failure, Lease, LeaseKey, Outcome, Record, Stamp, Traced};
use crate::plan::Close;

impl Connections {
    pub(super) fn end_slot(&mut self, key: usize, outcome: Outcome) {
        let slot = self.slots.remove(key);
        self.end(slot, outcome);
    }

    /// The end of an attempt that has a socket: close, give the lease back, record, free the slot.
    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome) {
        let (record, failures) = self.close(slot, outcome);
        self.record(record, failures);
    }

    /// Closes the connection of an attempt; its record, and the failures in a row that stand behind what follows.
    pub(super) fn close(&mut self, slot: Slot, outcome: Outcome) -> (Record, u32) {
        let Slot { socket, lease: key, started, connected, bytes_in, until: _, words: _, session } = slot;
        if self.connection_config.connection.close == Close::Rst && connected.is_some() {
            // Fails only on a socket that is closed already, and then there is nothing left to reset.
            let _ = socket.reset_on_close();
        }
        drop(socket);
        if let Some(session_io) = &session {
            self.memory.count(session_io.weighed.held, 0);
        }
        if connected.is_some() {
            self.open -= 1;
            self.all_open.closed();
        }
        let lease = self.pool.as_ref().map_or_else(nowhere, |pool| pool.describe(key));
        self.release(key);
        let was_open =
            session.as_ref().map_or(connected.is_some(), |session_io| session_io.session.was_open());
        let record = Record {
            ticket: started.ticket,
            lease,
            started: started.at,
            connected,
            ended: self.clock.now(),
            outcome,
            bytes_in,
            bytes_out: session.map_or(0, |session_io| session_io.bytes_out),
        };
        // Who had a session begins to count anew; a TCP connection alone is no proof that all is well.
        let anew = was_open && self.connection_config.reconnect.is_some();
        (record, if anew { 0 } else { started.failures })
    }

    /// The end of an attempt whose time is over, with what the kernel knows of its connection.
    pub(super) fn end_by_timeout(&mut self, slot: Slot, failure: Failure) {
        let (ordinal, info) = (slot.started.ticket.ordinal, TcpInfo::of(&slot.socket));
        self.end(slot, Outcome::Failed(failure));
        if let Ok(info) = info {
            self.tally.timed_out(failure, ordinal, info.into());
        }
    }

    /// Tells of the end of an attempt, if it is traced.
    pub(super) fn trace_ended(&self, record: &Record) {
        if let Some(tracer) = &self.tracer {
            tracer.tell(record.ticket.ordinal, record.ended, Traced::Ended(record.outcome));
        }
    }

    /// Tells that the connection of an attempt stands, if it is traced.
    pub(super) fn trace_connected(&self, slot: &Slot, now: Stamp) {
        let Some(tracer) = &self.tracer else { return };
        let ordinal = slot.started.ticket.ordinal;
        if let Some(pool) = self.pool.as_ref().filter(|_| tracer.follows(ordinal)) {
            let (from, to) = (slot.socket.local_address(), pool.destination(slot.lease));
            tracer.tell(ordinal, now, Traced::Connected { from, to });
        }
    }

    pub(super) fn record_failure(&mut self, started: Started, failure: Failure, lease: Lease) {
        let record = Record {
            ticket: started.ticket,
            lease,
            started: started.at,
            connected: None,
            ended: self.clock.now(),
            outcome: Outcome::Failed(failure),
            bytes_in: 0,
            bytes_out: 0,
        };
        self.record(record, started.failures);
    }

    fn record(&mut self, record: Record, failures_before: u32) {
        self.tally.add(&record);
        self.trace_ended(&record);
        self.going_on.forget(record.ticket.ordinal);
        if let Outcome::Failed(failure) = record.outcome {
            self.first_failures.note(failure, &record, self.clock);
        }
        let follows = self.what_follows(&record, failures_before);
        self.finished.extend(follows);
    }

    /// Consequence of the end of an attempt; `None` where there is none.
    fn what_follows(&mut self, record: &Record, failures_before: u32) -> Option<Finished> {
        let ConnectionConfig { pacing, reconnect, .. } = self.connection_config;
        if pacing == Pacing::Planned && reconnect.is_none() {
            return None;
        }
        let Outcome::Failed(_) = record.outcome else { return Some(Finished::Well { at: record.ended }) };
        let failures = failures_before.saturating_add(1);
        if reconnect.and_then(|plan| plan.attempts).is_some_and(|most| u64::from(failures) > most) {
            return Some(Finished::GaveUp);
        }
        let wait = match reconnect {
            Some(plan) => self.rng.reconnect_after(failures, &plan),
            None => self.rng.back_off(failures),
        };
        self.tally.back_off(wait);
        Some(Finished::Failed { again_at: record.ended + wait, failures })
    }

    /// A connection that was lost as soon as it stood was lost at the first handshake, where there is one.
    pub(super) fn in_its_place(&self, failure: Failure) -> Failure {
        self.script.as_ref().map_or(failure, |script| script.in_its_place(failure))
    }

    pub(super) fn release(&mut self, key: LeaseKey) {
        if let Some(pool) = &mut self.pool {
            pool.release(key);
        }
    }
}
