//! Tells the first failures of each kind to whoever looks for their cause, while the cause is there.
//!
//! A worker never waits for that: it posts a few plain values to a std channel, a few times in a run.

use crate::linux::clock::Clock;
use crate::model::{Failure, Lease, Record, Stamp};
use std::sync::mpsc::Sender;

/// Ways (source and destination) of one kind of failure that a worker tells.
const WAYS: usize = 4;
/// Ways of all kinds that a worker tells.
const MOST: usize = 32;

/// A failure that is the first of its kind on its way, as one worker sees it.
#[derive(Debug, Clone, Copy)]
pub struct FirstFailure {
    /// The kind.
    pub failure: Failure,
    /// The way.
    pub lease: Lease,
    /// Ordinal of the attempt, from 0.
    pub ordinal: u64,
    /// When it failed.
    pub at: Stamp,
    /// The clock of the run.
    pub clock: Clock,
}

/// The failures that one worker has told.
#[derive(Debug, Default)]
pub(super) struct FirstFailures {
    told: Vec<(Failure, Lease)>,
    to: Option<Sender<FirstFailure>>,
}

impl FirstFailures {
    /// None told yet.
    pub(super) fn new(to: Option<Sender<FirstFailure>>) -> FirstFailures {
        FirstFailures { told: Vec::new(), to }
    }

    /// Tells a failure, if it is among the first of its kind on its way.
    pub(super) fn note(&mut self, failure: Failure, record: &Record, clock: Clock) {
        let Some(to) = &self.to else { return };
        let lease = Lease { port: None, ..record.lease };
        let of_kind = self.told.iter().filter(|(kind, _)| *kind == failure).count();
        if of_kind >= WAYS || self.told.len() >= MOST || self.told.contains(&(failure, lease)) {
            return;
        }
        self.told.push((failure, lease));
        let first = FirstFailure {
            failure,
            lease: record.lease,
            ordinal: record.ticket.ordinal,
            at: record.ended,
            clock,
        };
        // Nobody looks any more only when the run is being given up.
        let _ = to.send(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Errno, Outcome, Stage, Ticket};

    fn record(ordinal: u64, source: u8) -> Record {
        let source = Some([127, 0, 0, source].into());
        Record {
            ticket: Ticket { ordinal, due: Stamp::ZERO },
            lease: Lease { source, port: Some(ordinal as u16), destination: ([127, 0, 0, 1], 80).into() },
            started: Stamp::ZERO,
            connected: None,
            ended: Stamp::from_secs(ordinal),
            outcome: Outcome::Ok,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    #[test]
    fn each_kind_is_told_once_a_way_and_for_a_few_ways() {
        let (to, told) = std::sync::mpsc::channel();
        let mut first = FirstFailures::new(Some(to));
        let no_port = Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL);
        let refused = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        for ordinal in 0..1000 {
            first.note(no_port, &record(ordinal, (ordinal % 9) as u8), Clock::start());
            first.note(refused, &record(ordinal, 1), Clock::start());
        }
        drop(first);
        let told: Vec<(Failure, u64)> = told.iter().map(|first| (first.failure, first.ordinal)).collect();
        assert_eq!(told, [(no_port, 0), (refused, 0), (no_port, 1), (no_port, 2), (no_port, 3)]);
    }

    #[test]
    fn nobody_listening_is_no_trouble() {
        let (to, _) = std::sync::mpsc::channel();
        let refused = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        FirstFailures::new(Some(to)).note(refused, &record(1, 1), Clock::start());
        FirstFailures::default().note(refused, &record(1, 1), Clock::start());
    }
}
