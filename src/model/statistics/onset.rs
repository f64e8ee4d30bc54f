//! The beginning of a trouble, or of its end: when, at which attempt, where, and on what evidence.

use super::Evidence;
use crate::model::Stamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// Kind of a trouble that begins.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[derive(schemars::JsonSchema)]
        pub enum OnsetKind { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)* }

        impl OnsetKind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [OnsetKind] = &[$(OnsetKind::$variant),*];

            /// The name in JSON and in thresholds.
            pub fn name(self) -> &'static str {
                match self { $(OnsetKind::$variant => $name,)* }
            }

            /// Meaning, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(OnsetKind::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

kinds! {
    /// The connect() call itself costs much more: half of the ports of a tuple are taken.
    PortSearchSlow = "port_search_slow",
    /// A tuple has a fifth of its ports left.
    PortsLow = "ports_low",
    /// A tuple has no port left.
    PortsExhausted = "ports_exhausted",
    /// After exhaustion, connections succeed again and none fails for lack of a port.
    PortsRecovered = "ports_recovered",
    /// TIME_WAIT takes up more and more of a tuple's ports.
    TimeWaitBuilding = "time_wait_building",
    /// As many TIME_WAIT sockets end as begin.
    TimeWaitSteady = "time_wait_steady",
    /// TIME_WAIT sockets are destroyed at once, above `tcp_max_tw_buckets`.
    TimeWaitCapped = "time_wait_capped",
    /// A listener of this host has no room for connections that are complete.
    AcceptQueueFull = "accept_queue_full",
    /// SYNs have to be sent again.
    SynRetransmits = "syn_retransmits",
    /// Connection tracking is nearly full, or loses entries.
    ConntrackNearFull = "conntrack_near_full",
    /// A descriptor limit was met.
    FdLimit = "fd_limit",
    /// Connections are refused.
    Refusals = "refusals",
    /// The generator does not keep to its plan.
    GeneratorSaturated = "generator_saturated",
    /// A program keeps connections that its peer has closed.
    CloseWaitLeak = "close_wait_leak",
}

impl fmt::Display for OnsetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The beginning of a trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Onset {
    /// Kind of the trouble that begins.
    pub kind: OnsetKind,
    /// When.
    pub at: Stamp,
    /// When it was over, where it has an end that has come.
    pub until: Option<Stamp>,
    /// At which attempt, from 0, where one attempt showed it.
    pub ordinal: Option<u64>,
    /// The source address of the tuple, where it is about one.
    pub source: Option<IpAddr>,
    /// The destination of the tuple, where it is about one.
    pub destination: Option<SocketAddr>,
    /// The numbers that prove it.
    pub evidence: Evidence,
}

impl Onset {
    /// An onset that is about no tuple and no single attempt.
    pub fn new(kind: OnsetKind, at: Stamp, evidence: Evidence) -> Onset {
        Onset { kind, at, until: None, ordinal: None, source: None, destination: None, evidence }
    }
}
