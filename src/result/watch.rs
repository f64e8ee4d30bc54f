//! Observations of a watch, as data: a look, and the whole of it. Written as JSON lines while it goes on.

use crate::diagnose::Finding;
use crate::diagnose::watched::{HalfClosed, ListenerSeen, TupleSeen};
use crate::linux::holders::Table;
use crate::linux::proc_net::{Conntrack, SocketTotals};
use crate::plan::threshold::Evaluation;
use crate::result::{OnsetReport, Verdict};
use serde::{Deserialize, Serialize};

/// Version of the lines. It rises only when a field changes its meaning, which none should.
pub const WATCH_SCHEMA_VERSION: u32 = 1;

/// One line of `connstorm watch --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WatchLine {
    /// The first.
    Start(WatchStart),
    /// A trouble that begins.
    Onset(OnsetReport),
    /// State at a look, from time to time.
    Look(Box<WatchLook>),
    /// The last: what it all came to.
    End(Box<WatchReport>),
}

/// Subject of the watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchStart {
    /// See [`WATCH_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub connstorm_version: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// Subject of the watch, in words.
    pub watches: String,
    /// Ports that a tuple can have in this namespace, before what is bound or listened on.
    pub ports_usable: u32,
}

/// State at one moment. What could not be seen is absent, and named in `unseen`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchLook {
    /// When, in seconds since the start.
    pub at_s: f64,
    /// Tuples, the fullest first; not more than were asked for.
    pub tuples: Vec<TupleSeen>,
    /// Tuples in all.
    pub tuples_in_all: u64,
    /// Totals of sockets of the namespace.
    pub sockets: Option<SocketTotals>,
    /// Listeners, those with the longest queues and the most drops first.
    pub listeners: Vec<ListenerSeen>,
    /// Connections that the peer has closed and the program has not, where there are any.
    pub half_closed: Vec<HalfClosed>,
    /// Descriptors of the programs that are watched.
    pub tables: Vec<Table>,
    /// Connection tracking, where it is loaded.
    pub conntrack: Option<Conntrack>,
    /// Part of one core that watching has cost so far.
    pub cost_share: f64,
    /// Looks that failed, and why.
    pub unseen: Vec<String>,
}

/// Outcome of a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchReport {
    /// Subject of the watch, in words.
    pub watches: String,
    /// True if the thresholds hold.
    pub verdict: Verdict,
    /// Time that the watch took, in seconds.
    pub elapsed_s: f64,
    /// Onsets, by time.
    pub onsets: Vec<OnsetReport>,
    /// Tuples, each as it was at its fullest, the fullest first.
    pub fullest: Vec<TupleSeen>,
    /// Causes, with remedies.
    pub findings: Vec<Finding>,
    /// Judgements that the verdict rests on.
    pub thresholds: Vec<Evaluation>,
    /// The last look.
    pub last: WatchLook,
    /// End of the program that was started: its exit code, or 128 and the number of the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_exit: Option<u8>,
    /// Looks that failed, and why.
    pub unseen: Vec<String>,
}
