//! The validated, immutable plan of a run: what every later module is built from.
//!
//! Invariant: a `Plan` that exists can be run. Whatever can be wrong in a scenario was refused before.
//! A plan can be serialised, and divided among processes and threads: see [`crate::model::Slice`].

use super::data::DataTable;
use super::population::Population;
use super::secrets::Secrets;
use super::session::{Session, steps};
use super::target_url::in_url;
use super::threshold::Threshold;
use super::units::Count;
use crate::model::AddressSet;
use crate::protocol::{Behaviour, Kind};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
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
    /// Number of attempts, and when.
    pub load: Load,
    /// Way in which the arrivals of an open loop follow upon each other.
    #[serde(default, skip_serializing_if = "is_even")]
    pub spacing: Spacing,
    /// Life and end of a connection.
    pub connection: Connection,
    /// Session: what is said over a connection, above TCP.
    #[serde(default)]
    pub session: Session,
    /// Rows that clients fill placeholders with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataTable>,
    /// Clients of several kinds; empty: all are of the one that the plan itself describes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub populations: Vec<Population>,
    /// A target that the run starts for itself.
    pub serve: Option<Serve>,
    /// Number of worker threads; `None`: as many as cores, or as the descriptor limit asks for.
    pub workers: Option<NonZeroU32>,
    /// Memory that the whole process may take, in bytes; `None`: what can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thresholds that the result is judged by.
    pub thresholds: Vec<Threshold>,
    /// Conditions that end the run early as soon as one holds.
    #[serde(default)]
    pub abort_when: Vec<Threshold>,
    /// Texts that reports must not tell. Never saved.
    #[serde(skip)]
    pub secrets: Secrets,
}

pub use crate::model::{Close, Lifetime, PortPolicy, RateStage, Spacing};
/// Protocol that is spoken to the target.
pub use crate::protocol::Kind as Scheme;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_even(spacing: &Spacing) -> bool {
    *spacing == Spacing::Even
}

impl Plan {
    /// Seed of a scenario that has none: always the same, so that two runs of one scenario make the same choices.
    pub const DEFAULT_SEED: u64 = 0;

    /// Protocol that is spoken, with whatever target the plan has.
    pub fn kind(&self) -> Kind {
        match (&self.target, &self.serve) {
            (Some(target), _) => target.scheme,
            (None, Some(serve)) => serve.kind,
            (None, None) => Kind::Tcp,
        }
    }

    /// Time that a connection lives, as far as the plan says it: its lifetime; without one its steps, where an answer
    /// takes `answer`.
    pub fn life_of_a_connection(&self, answer: Duration) -> Lifetime {
        let said = &self.session.steps;
        match self.connection.lifetime {
            Lifetime::Fixed(time) if time.is_zero() && !said.is_empty() => {
                steps::length(said, answer).map_or(Lifetime::UntilEnd, Lifetime::Fixed)
            }
            lifetime => lifetime,
        }
    }

    /// The target's URL; `None` where the plan brings its own target.
    pub fn url(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        let ports: Vec<String> = target.ports.iter().map(u16::to_string).collect();
        let host = in_url(&target.host);
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
    /// Protocol that is spoken.
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

impl Default for Source {
    /// An ordinary client's: address and port are the kernel's choice.
    fn default() -> Source {
        Source { addresses: AddressSet::default(), ports: PortPolicy::Kernel }
    }
}

/// Number of attempts, and when they are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Load {
    /// Open or closed loop.
    pub arrivals: Arrivals,
    /// Connections open at once, at most, over all workers. Arrivals beyond it are skipped.
    pub max_open: Option<Count>,
    /// Attempts in all, at most. The run ends when the last of them has ended.
    pub connections: Option<Count>,
    /// End that the user asked for: a time, or a number of attempts however long they take.
    #[serde(default)]
    pub until: Until,
}

/// End of an open loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The time is over.
    #[default]
    Time,
    /// The last attempt is made: the time was computed from their number, and is no promise.
    Number,
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
        /// Length; `None`: until [`Load::connections`] attempts were made.
        duration: Option<Duration>,
    },
}

/// Life and end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Connection {
    /// Time that a connection stays open after it is established.
    pub lifetime: Lifetime,
    /// Who ends it, and how.
    pub close: Close,
    /// Longest wait from connect() to the established connection.
    pub connect_timeout: Duration,
    /// Longest wait for each handshake above TCP.
    pub handshake_timeout: Duration,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection {
            lifetime: Lifetime::Fixed(Duration::ZERO),
            close: Close::Fin,
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// A target that connstorm runs itself, as `connstorm serve` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Serve {
    /// Addresses and ports to listen on; port 0: the kernel's choice.
    pub listen: Vec<SocketAddr>,
    /// Protocol that is spoken.
    #[serde(default)]
    pub kind: Kind,
    /// Behaviour towards a connection.
    pub behaviour: Behaviour,
    /// Length of the accept queue that listen() is called with; the kernel cuts it to
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Number of worker threads; `None`: as many as cores, or as the descriptor limit asks for.
    pub workers: Option<NonZeroU32>,
}

impl Default for Serve {
    /// An echo on a free port of 127.0.0.1.
    fn default() -> Serve {
        Serve {
            listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
            kind: Kind::default(),
            behaviour: Behaviour::Echo,
            backlog: 4096,
            workers: None,
        }
    }
}
