//! What a load asks for, in the planner's own terms.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A load, described by what matters to the limits of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Demand {
    /// When attempts are made.
    pub arrivals: Arrivals,
    /// Attempts in all, at most; `None`: as many as the arrivals ask for.
    pub attempts: Option<u64>,
    /// Connections open before the first arrival and to the end, beside the arrivals.
    pub held: u64,
    /// Most arrivals open at once; those beyond are not made. `None`: no bound.
    pub max_open: Option<u64>,
    /// How long a connection stays open.
    pub lifetime: Lifetime,
    /// Who ends it, and how.
    pub close: Close,
    /// Who chooses source ports.
    pub ports: PortPolicy,
    /// Number of source addresses; zero counts as one.
    pub sources: u32,
    /// Number of (address, port) pairs connected to; zero counts as one.
    pub destinations: u32,
    /// The addresses are in 127.0.0.0/8 or `::1`. Another local address, though its traffic goes over
    /// `lo`, does not count: `tcp_twsk_unique()` looks at the addresses (measured on Linux 6.18: with
    /// `tcp_tw_reuse=2`, 127.0.0.1 reuses, 10.9.9.1 on `lo` does not).
    pub loopback: bool,
    /// Which ends of a connection are on this host.
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
            arrivals: Arrivals { pieces: Vec::new(), after: rate },
            attempts: None,
            held: 0,
            max_open: None,
            lifetime: Lifetime::Fixed(Duration::ZERO),
            close: Close::Fin,
            ports: PortPolicy::Kernel,
            sources: 1,
            destinations: 1,
            loopback: false,
            ends: Ends::Client,
            queued_bytes: 0,
            accept_rate: None,
        }
    }

    /// The same load with its arrivals scaled so that the highest rate is `rate` (arrivals per second). A
    /// load without arrivals gets a constant rate without an end.
    pub fn with_peak_rate(&self, rate: f64) -> Demand {
        let peak = self.arrivals.peak();
        let arrivals = if peak > 0.0 {
            self.arrivals.scaled(rate / peak)
        } else {
            Arrivals { pieces: Vec::new(), after: rate }
        };
        Demand { arrivals, ..self.clone() }
    }
}

/// Attempts due per second over time: straight pieces, then a constant rate without an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Arrivals {
    /// The pieces, one after the other.
    pub pieces: Vec<RatePiece>,
    /// Arrivals per second after the last piece, for ever. Zero: the run ends with the last piece.
    pub after: f64,
}

impl Arrivals {
    /// A constant rate (arrivals per second) for a time.
    pub fn constant(rate: f64, over: Duration) -> Arrivals {
        Arrivals { pieces: vec![RatePiece { from: rate, to: rate, over }], after: 0.0 }
    }

    /// From nothing to `peak` (arrivals per second) in a straight line, then `hold` long at the peak.
    pub fn ramp(peak: f64, ramp: Duration, hold: Duration) -> Arrivals {
        let pieces = vec![
            RatePiece { from: 0.0, to: peak, over: ramp },
            RatePiece { from: peak, to: peak, over: hold },
        ];
        Arrivals { pieces, after: 0.0 }
    }

    /// The highest rate, in arrivals per second.
    pub fn peak(&self) -> f64 {
        let highest = self.pieces.iter().flat_map(|p| [p.from, p.to]).fold(self.after, f64::max);
        if highest.is_finite() { highest.max(0.0) } else { 0.0 }
    }

    /// Each rate times `factor`.
    pub fn scaled(&self, factor: f64) -> Arrivals {
        let pieces = self.pieces.iter().map(|p| RatePiece { from: p.from * factor, to: p.to * factor, ..*p });
        Arrivals { pieces: pieces.collect(), after: self.after * factor }
    }
}

/// A time in which the rate goes in a straight line from one value to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RatePiece {
    /// Arrivals per second at its beginning.
    pub from: f64,
    /// Arrivals per second at its end.
    pub to: f64,
    /// How long it takes.
    pub over: Duration,
}

/// How long a connection stays open after it is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Always the same.
    Fixed(Duration),
    /// Evenly spread between two durations, in either order.
    Uniform(Duration, Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
    /// Until the run ends.
    UntilEnd,
}

/// Who ends a connection, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// The client, by FIN: it keeps TIME_WAIT.
    Fin,
    /// The client, by RST: nobody keeps TIME_WAIT.
    Rst,
    /// The server, first: it keeps TIME_WAIT, and the client's port is free at once (measured: 20,000
    /// connections, one after the other, through 64 ports).
    Peer,
}

/// Who chooses the source port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortPolicy {
    /// The kernel, at connect().
    Kernel,
    /// The program, by bind() with `SO_REUSEADDR`; first and last port, both included.
    Explicit {
        /// First port.
        low: u16,
        /// Last port, included.
        high: u16,
    },
    /// The kernel, at bind(address, 0), before the destination is known.
    NaiveBind,
    /// The kernel, at connect(), within `IP_LOCAL_PORT_RANGE`; first and last port, both included.
    Range {
        /// First port.
        low: u16,
        /// Last port, included.
        high: u16,
    },
}

/// Which ends of a connection are on this host.
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
