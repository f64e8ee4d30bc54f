//! The connections of a run that are traced: the first so many attempts, and what their clients go on to.

use crate::model::{Stamp, TraceEvent, Traced};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

/// Number of attempts that are still to be traced, over all workers, and whom they are told.
#[derive(Debug, Clone)]
pub struct TraceRequest {
    left: Arc<AtomicU64>,
    to: Sender<TraceEvent>,
}

impl TraceRequest {
    /// The first so many attempts of the run, told to whoever listens there.
    pub fn new(attempts: u64, to: Sender<TraceEvent>) -> TraceRequest {
        TraceRequest { left: Arc::new(AtomicU64::new(attempts)), to }
    }
}

/// The traced attempts of one worker.
#[derive(Debug)]
pub(super) struct Tracer {
    request: TraceRequest,
    /// Their ordinals.
    ordinals: Vec<u64>,
    /// Numbers of the clients that began with one of them.
    clients: Vec<u64>,
}

impl Tracer {
    pub(super) fn new(request: TraceRequest) -> Tracer {
        Tracer { request, ordinals: Vec::new(), clients: Vec::new() }
    }

    /// An attempt begins: it is traced where some are still to be.
    pub(super) fn begins(&mut self, ordinal: u64, at: Stamp) {
        if self.ordinals.last() == Some(&ordinal) {
            // That of a client that goes on.
            return self.tell(ordinal, at, Traced::Started);
        }
        let one_less = |left: u64| left.checked_sub(1);
        if self.request.left.fetch_update(Relaxed, Relaxed, one_less).is_ok() {
            self.ordinals.push(ordinal);
            self.clients.push(ordinal + 1);
            self.tell(ordinal, at, Traced::Started);
        }
    }

    /// A client goes on over another connection, which is traced as its first was.
    pub(super) fn goes_on(&mut self, client: u64, ordinal: u64) {
        if self.clients.contains(&client) {
            self.ordinals.push(ordinal);
        }
    }

    /// True if an attempt is traced.
    pub(super) fn follows(&self, ordinal: u64) -> bool {
        self.ordinals.contains(&ordinal)
    }

    /// Tells of an attempt, if it is traced.
    pub(super) fn tell(&self, ordinal: u64, at: Stamp, what: Traced) {
        if self.follows(ordinal) {
            // Who listened may be gone when the run ends.
            let _ = self.request.to.send(TraceEvent { ordinal, at, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_first_attempts_and_what_their_clients_go_on_to_are_traced() {
        let (to, events) = channel();
        let request = TraceRequest::new(2, to);
        let (mut one, mut other) = (Tracer::new(request.clone()), Tracer::new(request));
        one.begins(0, Stamp::ZERO);
        other.begins(1, Stamp::ZERO);
        one.begins(2, Stamp::ZERO);
        one.goes_on(1, 10);
        one.begins(10, Stamp::ZERO);
        other.goes_on(5, 11);
        other.begins(11, Stamp::ZERO);
        one.tell(2, Stamp::ZERO, Traced::Sent(vec![1]));
        let told: Vec<u64> = events.try_iter().map(|event| event.ordinal).collect();
        assert_eq!(told, [0, 1, 10]);
        assert!(one.follows(10) && !one.follows(2) && !other.follows(11));
    }
}
