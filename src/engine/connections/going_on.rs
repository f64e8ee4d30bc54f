//! Clients between two connections: a conversation that goes on over another one is another attempt, with a record of
//! its own.

use super::{Connections, Slot};
use crate::engine::session::Client;
use crate::model::{Outcome, Stamp, Ticket};
use std::collections::{BTreeMap, HashMap};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct GoingOn {
    /// Clients that wait for their next connection, by the moment at which it is due and in their order.
    waiting: BTreeMap<(Stamp, u64), Client>,
    /// Clients whose next connection is on its way, by the ordinal of its attempt.
    connecting: HashMap<u64, Box<Client>>,
    count: u64,
}

impl GoingOn {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// An attempt has ended: one that never stood has left its client nowhere.
    pub(super) fn forget(&mut self, ordinal: u64) {
        if !self.connecting.is_empty() {
            self.connecting.remove(&ordinal);
        }
    }

    /// The client that was waiting for the connection of this attempt; `None`: a new one.
    pub(super) fn arrived(&mut self, ordinal: u64) -> Option<Box<Client>> {
        if self.connecting.is_empty() { None } else { self.connecting.remove(&ordinal) }
    }
}

impl Connections {
    /// Gives the client of an attempt its rows of data; false where all are used that are to be used once.
    pub(in crate::engine) fn draws_rows(&mut self, ordinal: u64) -> bool {
        let program = self.script.as_ref().and_then(|script| script.program.as_ref());
        let Some(program) = program.filter(|program| program.uses_data()) else { return true };
        let Some(rows) = program.draw(self.rng.random()) else { return false };
        self.going_on.connecting.insert(ordinal, Box::new(Client::with_rows(ordinal, rows)));
        true
    }

    /// The end of an attempt whose client goes on over another connection.
    pub(super) fn end_and_go_on(&mut self, slot: Slot, client: Client) {
        let due = client.starts_at.max(self.clock.now());
        self.going_on.count += 1;
        self.going_on.waiting.insert((due, self.going_on.count), client);
        // Its slot of the closed loop is not free: the client goes on in it.
        let (record, _) = self.close(slot, Outcome::Ok);
        self.tally.add(&record);
        self.trace_ended(&record);
    }

    /// When the next client goes on.
    pub(in crate::engine) fn goes_on_at(&self) -> Option<Stamp> {
        self.going_on.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes a client that goes on now.
    pub(in crate::engine) fn next_going_on(&mut self, now: Stamp) -> Option<Client> {
        self.goes_on_at().filter(|due| *due <= now)?;
        self.going_on.waiting.pop_first().map(|(_, client)| client)
    }

    /// The attempt over which a client goes on.
    pub(in crate::engine) fn go_on(&mut self, client: Client, ticket: Ticket, now: Stamp) {
        if let Some(tracer) = &mut self.tracer {
            tracer.goes_on(client.number, ticket.ordinal);
        }
        self.going_on.connecting.insert(ticket.ordinal, Box::new(client));
        self.attempt(ticket, 0, now);
    }
}
