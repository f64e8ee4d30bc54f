//! One sample: what the kernel said at one moment, and how old and how exact each part of it is.

use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters, SocketTotals, SystemFiles};
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::{StateCounts, TupleCount};
use crate::model::Stamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Way in which a number was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// Every socket was looked at.
    Exact,
    /// Some source ports were looked at, and stand for all.
    Approximate {
        /// The ports looked at.
        seen: u32,
        /// The ports they stand for.
        of: u32,
    },
}

/// One look at the sockets, by source and destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// When it was taken.
    pub taken_at: Stamp,
    /// Way in which its numbers were come by.
    pub accuracy: Accuracy,
    /// The kernel said that the list changed underneath (`NLM_F_DUMP_INTR`).
    pub inconsistent: bool,
    /// The pairs that have sockets, sorted by destination and source.
    pub rows: Vec<TupleCount>,
}

/// The kernel's state at one moment. What could not be seen is `None`.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was taken.
    pub taken_at: Stamp,
    /// CPU that taking it has cost.
    pub cost: Duration,
    /// Counters since the namespace was made.
    pub counters: Option<Counters>,
    /// Totals of sockets.
    pub sockets: Option<SocketTotals>,
    /// Connection tracking.
    pub conntrack: Option<Conntrack>,
    /// Open files of the machine.
    pub files: Option<SystemFiles>,
    /// SYNs and ACKs that the destinations' own listeners have dropped since they were made, where they are this
    /// host's.
    pub listener_drops: Option<u64>,
    /// Connections to the destinations that are not established; possibly of an earlier moment.
    pub passing: Option<Arc<Part>>,
    /// Established connections to the destinations; possibly of an earlier moment.
    pub established: Option<Arc<Part>>,
}

impl Sample {
    /// The sockets of one pair, from both parts.
    pub fn tuple(&self, source: IpAddr, destination: SocketAddr) -> StateCounts {
        let mut counts = StateCounts::default();
        for row in self.rows().filter(|row| row.source == source && row.destination == destination) {
            row.sockets.iter().for_each(|(state, sockets)| counts.add(state, sockets));
        }
        counts
    }

    /// All pairs, from both parts, sorted by destination and source.
    pub fn tuples(&self) -> Vec<TupleCount> {
        let mut tuples: BTreeMap<_, TupleCount> = BTreeMap::new();
        for row in self.rows() {
            let sum = tuples
                .entry((row.destination, row.source))
                .or_insert(TupleCount { sockets: StateCounts::default(), ..*row });
            row.sockets.iter().for_each(|(state, sockets)| sum.sockets.add(state, sockets));
        }
        tuples.into_values().collect()
    }

    /// True if passing and established connections were looked at in the same moment, so that no connection
    /// is in both or in neither.
    pub fn is_one_look(&self) -> bool {
        let at = |part: &Option<Arc<Part>>| Some(part.as_ref()?.taken_at);
        at(&self.passing) == at(&self.established)
    }

    /// Age of the part about a state; `None` when it was never looked at.
    pub fn age(&self, state: TcpState) -> Option<Duration> {
        Some(self.taken_at.saturating_sub(self.part(state)?.taken_at))
    }

    /// Way in which the numbers about a state were come by; `None` when it was never looked at.
    pub fn accuracy(&self, state: TcpState) -> Option<Accuracy> {
        Some(self.part(state)?.accuracy)
    }

    /// Changes since an earlier sample.
    pub fn since(&self, earlier: &Sample) -> Delta {
        let drops = |sample: &Sample| sample.conntrack.and_then(|conntrack| conntrack.drops);
        Delta {
            over: self.taken_at.saturating_sub(earlier.taken_at),
            counters: self.counters.zip(earlier.counters).map(|(now, then)| now.since(&then)),
            conntrack_drops: drops(self).zip(drops(earlier)).map(|(now, then)| now.since(&then)),
            listener_drops: self
                .listener_drops
                .zip(earlier.listener_drops)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }

    fn part(&self, state: TcpState) -> Option<&Part> {
        if state == TcpState::Established { self.established.as_deref() } else { self.passing.as_deref() }
    }

    fn rows(&self) -> impl Iterator<Item = &TupleCount> {
        [&self.passing, &self.established].into_iter().flatten().flat_map(|part| &part.rows)
    }
}

/// Changes between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// The time between them.
    pub over: Duration,
    /// The counters' differences, where both samples have them.
    pub counters: Option<Counters>,
    /// Losses of connection tracking, where both samples tell.
    pub conntrack_drops: Option<ConntrackDrops>,
    /// Drops of the destinations' own listeners, where both samples tell.
    pub listener_drops: Option<u64>,
}
