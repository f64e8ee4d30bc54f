//! The load of a run, as the plan states it and as the planner and the engine read it: when attempts are
//! due, how long a connection lives, who closes it, and who chooses its source port.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Arrivals per second. Finite and not negative.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Rate(f64);

impl Rate {
    /// No arrivals.
    pub const ZERO: Rate = Rate(0.0);

    /// A rate in arrivals per second; `None` unless finite and not negative.
    pub fn per_second(value: f64) -> Option<Rate> {
        (value.is_finite() && value >= 0.0).then_some(Rate(value))
    }

    /// Arrivals per second.
    pub fn as_per_second(self) -> f64 {
        self.0
    }

    /// The rate times a factor; none where the product is no rate.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Rate {
        Rate::per_second(self.0 * factor).unwrap_or(Rate::ZERO)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A piece of an open loop's plan, in which the rate goes in a straight line from one value to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RateStage {
    /// Rate at its beginning.
    pub from: Rate,
    /// Rate at its end.
    pub to: Rate,
    /// Length of the stage.
    pub over: Duration,
}

/// Time that a connection stays open after it is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Always the same. Zero: closed as soon as it is established.
    Fixed(Duration),
    /// Evenly spread between two durations, in either order.
    Uniform(Duration, Duration),
    /// Exponentially distributed with this mean: a memoryless population.
    Exponential(Duration),
    /// Until the run ends.
    UntilEnd,
}

impl Lifetime {
    /// The mean; `None`: to the end of the run.
    pub fn mean(self) -> Option<Duration> {
        match self {
            Lifetime::Fixed(d) | Lifetime::Exponential(d) => Some(d),
            Lifetime::Uniform(a, b) => Some((a + b) / 2),
            Lifetime::UntilEnd => None,
        }
    }
}

/// Who ends a connection, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// We do, by close(): FIN. Our side keeps TIME_WAIT.
    Fin,
    /// We do, with `SO_LINGER` 0: RST. Nobody keeps TIME_WAIT.
    Rst,
    /// The peer does; we wait for it, at most for the lifetime (zero: until the run ends). The peer
    /// keeps TIME_WAIT, and our port is free at once (measured: 20,000 connections, one after the other,
    /// through 64 ports).
    Peer,
}

/// Who chooses the source port, and by which system calls. The facts are those of `ip(7)` and of
/// `net/ipv4/inet_hashtables.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortPolicy {
    /// The kernel, at connect(): with `IP_BIND_ADDRESS_NO_PORT` where a source address is bound. What
    /// an ordinary client does; a port is shared between destinations.
    Kernel,
    /// We do: `SO_REUSEADDR`, then bind(address, port). Neither the slow search nor TIME_WAIT stands in
    /// the way. First and last port, both included.
    Explicit {
        /// First port.
        low: u16,
        /// Last port, included.
        high: u16,
    },
    /// The kernel, at bind(address, 0), before the destination is known: ports are not shared between
    /// destinations, and exhaustion is EADDRINUSE from bind().
    NaiveBind,
    /// The kernel, at connect(), within `IP_LOCAL_PORT_RANGE` (Linux 6.3). Must lie inside
    /// `net.ipv4.ip_local_port_range`, outside of which the kernel ignores it.
    Range {
        /// First port.
        low: u16,
        /// Last port, included.
        high: u16,
    },
}
