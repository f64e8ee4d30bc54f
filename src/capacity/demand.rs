//! Demand of a load, in the planner's own terms.

use crate::model::{Close, Lifetime, PortPolicy, Rate, RateStage, TupleGroup};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A load, described by what matters to the limits of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Demand {
    /// When attempts are made.
    pub arrivals: RateCourse,
    /// Attempts in all, at most; `None`: as many as the arrivals ask for.
    pub attempts: Option<u64>,
    /// Connections open before the first arrival and to the end, beside the arrivals.
    pub held: u64,
    /// Most arrivals open at once; those beyond are not made. `None`: no bound.
    pub max_open: Option<u64>,
    /// Time that a connection stays open.
    pub lifetime: Lifetime,
    /// Who ends it, and how.
    pub close: Close,
    /// Who chooses source ports.
    pub ports: PortPolicy,
    /// Number of source addresses; zero counts as one.
    pub sources: u32,
    /// Number of (address, port) pairs connected to; zero counts as one.
    pub destinations: u32,
    /// The tuples are loopback to `tcp_tw_reuse=2`: see [`crate::model::is_loopback_tuple`].
    pub loopback: bool,
    /// The (source, destination) tuples with the share of the attempts that each gets, and what is held of
    /// their ports; those that are alike together. Empty: `sources` × `destinations` tuples, all alike, with
    /// nothing held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuples: Vec<TupleGroup>,
    /// Ends of a connection that are on this host.
    pub ends: Ends,
    /// Bytes that lie unread or unsent in the buffers of one socket, on average.
    pub queued_bytes: u64,
    /// Connections the target accepts a second; `None`: unknown, taken to keep up.
    pub accept_rate: Option<f64>,
}

impl Demand {
    /// A constant rate, in arrivals per second, without an end: one source, one destination, each
    /// connection closed at once by FIN, ports chosen by the kernel, the target on another host.
    pub fn constant(rate: f64) -> Demand {
        Demand {
            arrivals: RateCourse::endless(rate),
            attempts: None,
            held: 0,
            max_open: None,
            lifetime: Lifetime::Fixed(Duration::ZERO),
            close: Close::Fin,
            ports: PortPolicy::Kernel,
            sources: 1,
            destinations: 1,
            loopback: false,
            tuples: Vec::new(),
            ends: Ends::Client,
            queued_bytes: 0,
            accept_rate: None,
        }
    }

    /// The same load with its arrivals scaled so that the highest rate is `rate` (arrivals per second). A
    /// load without arrivals gets a constant rate without an end.
    pub fn with_peak_rate(&self, rate: f64) -> Demand {
        let peak = self.arrivals.peak();
        let arrivals = if peak > 0.0 { self.arrivals.scaled(rate / peak) } else { RateCourse::endless(rate) };
        Demand { arrivals, ..self.clone() }
    }
}

/// Attempts due per second over time: straight stages, then a constant rate without an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RateCourse {
    /// The stages, one after the other.
    pub pieces: Vec<RateStage>,
    /// Rate after the last stage, for ever. Zero: the run ends with the last stage.
    pub after: Rate,
}

impl RateCourse {
    /// A constant rate (arrivals per second) for a time.
    pub fn constant(rate: f64, over: Duration) -> RateCourse {
        let rate = sane(rate);
        RateCourse { pieces: vec![RateStage { from: rate, to: rate, over }], after: Rate::ZERO }
    }

    /// A constant rate (arrivals per second) without an end.
    pub fn endless(rate: f64) -> RateCourse {
        RateCourse { pieces: Vec::new(), after: sane(rate) }
    }

    /// From nothing to `peak` (arrivals per second) in a straight line, then `hold` long at the peak.
    pub fn ramp(peak: f64, ramp: Duration, hold: Duration) -> RateCourse {
        let peak = sane(peak);
        let pieces = vec![
            RateStage { from: Rate::ZERO, to: peak, over: ramp },
            RateStage { from: peak, to: peak, over: hold },
        ];
        RateCourse { pieces, after: Rate::ZERO }
    }

    /// The highest rate, in arrivals per second.
    pub fn peak(&self) -> f64 {
        let rates = self.pieces.iter().flat_map(|p| [p.from, p.to]).chain([self.after]);
        rates.map(Rate::as_per_second).fold(0.0, f64::max)
    }

    /// Each rate times `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> RateCourse {
        let scaled = |p: &RateStage| RateStage { from: p.from.scaled(factor), to: p.to.scaled(factor), ..*p };
        RateCourse { pieces: self.pieces.iter().map(scaled).collect(), after: self.after.scaled(factor) }
    }
}

/// Rates that are no number, or negative, count as zero.
fn sane(rate: f64) -> Rate {
    Rate::per_second(rate).unwrap_or(Rate::ZERO)
}

/// Ends of a connection that are on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// The client's only.
    Client,
    /// Both, in two programs: both take memory and count for `fs.file-max`; each has its own descriptors.
    TwoPrograms,
    /// Both, in one program.
    OneProgram,
}

impl Ends {
    /// Sockets on this host for each connection.
    pub fn here(self) -> u32 {
        match self {
            Ends::Client => 1,
            Ends::TwoPrograms | Ends::OneProgram => 2,
        }
    }

    /// Sockets in the generator's own process for each connection.
    pub fn in_process(self) -> u32 {
        match self {
            Ends::Client | Ends::TwoPrograms => 1,
            Ends::OneProgram => 2,
        }
    }
}
