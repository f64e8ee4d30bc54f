//! The validated, immutable plan of a run: what every later module is built from.
//!
//! Invariant: a `Plan` that exists can be run. Whatever can be wrong in a scenario was refused before.
//! A plan can be serialised, and divided: the part `k` of `n` of a plan (a thread, a process, a
//! machine) takes the ordinals congruent to `k` modulo `n`.

use super::secrets::Secrets;
use super::session::Session;
use super::units::{Count, Rate};
use crate::model::AddressSet;
use crate::protocol::{Behaviour, Kind};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Everything that a run needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    /// Name of the scenario; names the report.
    pub name: String,
    /// Seed of every random choice; the same seed and plan make the same choices.
    pub seed: u64,
    /// Where to connect. `None` only while [`Plan::serve`] is to bring the target.
    pub target: Option<Target>,
    /// Where to connect from.
    pub source: Source,
    /// How many attempts, when.
    pub load: Load,
    /// How a connection lives and ends.
    pub connection: Connection,
    /// What is said over it, above TCP.
    #[serde(default)]
    pub session: Session,
    /// A target that the run starts for itself.
    pub serve: Option<Serve>,
    /// Number of worker threads; `None`: as many as cores, or as the descriptor limit asks for.
    pub workers: Option<NonZeroU32>,
    /// What the result is judged by, as the user wrote it.
    pub thresholds: Vec<String>,
    /// What ends the run early as soon as it holds, as the user wrote it.
    #[serde(default)]
    pub abort_when: Vec<String>,
    /// What its reports must not tell. Never saved.
    #[serde(skip)]
    pub secrets: Secrets,
}

/// What is spoken to the target.
pub use crate::protocol::Kind as Scheme;

impl Plan {
    /// What is spoken, with whatever target the plan has.
    pub fn kind(&self) -> Kind {
        match (&self.target, &self.serve) {
            (Some(target), _) => target.scheme,
            (None, Some(serve)) => serve.kind,
            (None, None) => Kind::Tcp,
        }
    }

    /// The target's URL; `None` where the plan brings its own target.
    pub fn url(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        let ports: Vec<String> = target.ports.iter().map(u16::to_string).collect();
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let path = match target.scheme.application() {
            crate::protocol::Application::Stream => "",
            _ => self.session.request.path.as_str(),
        };
        // Several ports: the first stands for all.
        Some(format!("{}://{host}:{}{path}", target.scheme, ports.first().map_or("", String::as_str)))
    }
}

/// The target as the user named it. Names are resolved when the run starts, not before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Target {
    /// What is spoken.
    pub scheme: Scheme,
    /// Host name or literal address (IPv6 without brackets).
    pub host: String,
    /// One port or several; attempts go round them.
    pub ports: Vec<u16>,
}

/// Where connections come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Source {
    /// Source addresses with weights. Empty: the kernel chooses by route.
    pub addresses: AddressSet,
    /// Who chooses the source port, and by which system calls.
    pub ports: PortPolicy,
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

/// How many attempts are made, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Load {
    /// Open or closed loop.
    pub arrivals: Arrivals,
    /// Connections open at once, at most, over all workers. Arrivals beyond it are skipped.
    pub max_open: Option<Count>,
    /// Attempts in all, at most. The run ends when the last of them has ended.
    pub connections: Option<Count>,
}

/// The process by which attempts become due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Open loop: at planned times, whether or not earlier attempts have ended.
    Open(Vec<RateStage>),
    /// Closed loop: so many slots, each of which starts its next attempt when the last has ended.
    Closed {
        /// Attempts under way at once.
        slots: Count,
        /// How long; `None`: until [`Load::connections`] attempts were made.
        duration: Option<Duration>,
    },
}

/// A piece of an open loop's plan, in which the rate goes in a straight line to `target`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RateStage {
    /// Rate at its beginning.
    pub from: Rate,
    /// Rate at its end.
    pub to: Rate,
    /// How long it takes.
    pub over: Duration,
}

/// How a connection lives and ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Connection {
    /// How long it stays open after it is established.
    pub lifetime: Lifetime,
    /// Who ends it, and how.
    pub close: Close,
    /// Longest wait from connect() to the established connection.
    pub connect_timeout: Duration,
    /// Longest wait for each handshake above TCP.
    pub handshake_timeout: Duration,
}

/// How long a connection stays open after it is established.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Always the same. Zero: closed as soon as it is established.
    Fixed(Duration),
    /// Evenly spread between two durations.
    Uniform(Duration, Duration),
    /// Exponentially distributed with this mean: a memoryless population.
    Exponential(Duration),
    /// Until the run ends.
    UntilEnd,
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
    /// keeps TIME_WAIT.
    Peer,
}

/// A target that connstorm runs itself, as `connstorm serve` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Serve {
    /// Addresses and ports to listen on; port 0: the kernel's choice.
    pub listen: Vec<SocketAddr>,
    /// What is spoken.
    #[serde(default)]
    pub kind: Kind,
    /// What is done with a connection.
    pub behaviour: Behaviour,
    /// Length of the accept queue that listen() is called with; the kernel cuts it to
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Number of worker threads; `None`: as many as cores, or as the descriptor limit asks for.
    pub workers: Option<NonZeroU32>,
}
