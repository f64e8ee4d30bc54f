//! The one noun of the program: an attempt to open a connection, as data.
//!
//! `Ticket` (when it is due) → [`Lease`] (from where to where) → stamps → [`Outcome`], put together in
//! one [`Record`]. Everything here is `Copy`, holds no strings, and knows neither clock nor socket:
//! text appears only in `Display` and in [`Cause::name`]. Every other module may import this one;
//! this one imports nothing of the crate.

mod errno;
mod failure;

pub use errno::Errno;
pub use failure::{Cause, Failure, Side, Stage};

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time since the start of the run. Every stamp of a run is read from one monotonic clock, so that
/// stamps taken on different worker threads can be compared.
pub type Stamp = Duration;

/// A planned arrival: the right, and in open loop the duty, to start one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Position in the whole run's sequence of arrivals, from 0. Worker `k` of `n` gets the ordinals
    /// congruent to `k` modulo `n`.
    pub ordinal: u64,
    /// When the attempt is due. In closed loop: when the slot became free.
    pub due: Stamp,
}

/// The way to a destination that an attempt was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Source address the socket is bound to; `None` where the kernel chooses it by route.
    pub source: Option<IpAddr>,
    /// Source port the socket is bound to; `None` where the kernel chooses it.
    pub port: Option<u16>,
    /// Address and port that connect() is called with.
    pub destination: SocketAddr,
}

/// Outcome of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Connected, lived as planned, closed.
    Ok,
    /// Started and failed.
    Failed(Failure),
    /// Started, and closed by the end of the run in the midst of its conversation: neither good nor bad.
    CutShort,
}

/// Reason for which an arrival was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// `max_open` connections were open already.
    MaxOpen,
    /// The run ended before the generator, which was behind its plan, came to it.
    Late,
    /// The arrival was due before a generator that began long after the run's start time was there.
    AgentLate,
    /// The arrival was to be started by a part of the run whose result there is not.
    AgentLost,
    /// Every row of data that is to be used once was used.
    DataExhausted,
}

impl SkipReason {
    /// Every reason, in the order of reports.
    pub const ALL: [SkipReason; 5] = [
        SkipReason::MaxOpen,
        SkipReason::Late,
        SkipReason::AgentLate,
        SkipReason::AgentLost,
        SkipReason::DataExhausted,
    ];

    /// The name in JSON and in thresholds.
    pub fn name(self) -> &'static str {
        match self {
            SkipReason::MaxOpen => "max_open",
            SkipReason::Late => "late",
            SkipReason::AgentLate => "agent_late",
            SkipReason::AgentLost => "agent_lost",
            SkipReason::DataExhausted => "data_exhausted",
        }
    }

    /// Meaning, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            SkipReason::MaxOpen => "As many connections as `max_open` allows were open already.",
            SkipReason::Late => "The run ended before the generator, which was behind its plan, came to it.",
            SkipReason::AgentLate => {
                "The part of the run that was to start it began long after the start time."
            }
            SkipReason::AgentLost => "The part of the run that was to start it has no result.",
            SkipReason::DataExhausted => "Every row of data that is to be used once was used.",
        }
    }
}

/// One finished attempt: the whole of what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The arrival it answers.
    pub ticket: Ticket,
    /// From where to where.
    pub lease: Lease,
    /// When it was started: just before socket().
    pub started: Stamp,
    /// When the connection was established, if it was.
    pub connected: Option<Stamp>,
    /// When it ended: the last close(), or the failure.
    pub ended: Stamp,
    /// Outcome of the attempt.
    pub outcome: Outcome,
    /// Payload received, in bytes.
    pub bytes_in: u64,
    /// Payload sent, in bytes.
    pub bytes_out: u64,
}
