//! The shape of a forecast: what it says, for a reader or for a machine.

use super::ports::PortFigures;
use crate::model::{HeldPorts, TIME_WAIT};
use serde::{Deserialize, Serialize};

/// Demand that a load makes on a host, and the limit that it meets first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Forecast {
    /// The highest rate asked for, in arrivals per second.
    pub peak_rate: f64,
    /// When the run ends, in seconds; `None`: the demand has no end.
    pub ends_at_s: Option<f64>,
    /// Source ports.
    pub ports: PortForecast,
    /// TIME_WAIT sockets on this host.
    pub time_wait: TimeWaitForecast,
    /// Open connections.
    pub open: OpenForecast,
    /// Descriptors of the generator.
    pub descriptors: DescriptorForecast,
    /// Memory of this host.
    pub memory: MemoryForecast,
    /// Connection tracking; `None`: it does not see these connections.
    pub conntrack: Option<ConntrackForecast>,
    /// The listener's accept queue; `None`: the listener is elsewhere and nothing is known of it.
    pub accept_queue: Option<AcceptQueueForecast>,
    /// Every limit looked at: those that are met, by their moment, then the others, by how near they come.
    pub breaks: Vec<Break>,
}

impl Forecast {
    /// The first limit at which attempts fail; `None` if the demand fits.
    pub fn breaks_first(&self) -> Option<&Break> {
        self.breaks.iter().find(|b| b.fails())
    }

    /// True if no limit is met at which attempts fail.
    pub fn fits(&self) -> bool {
        self.breaks_first().is_none()
    }

    /// True if there are ports for every attempt, and each is found at once.
    pub fn ports_suffice(&self) -> bool {
        let is_met = |limit| self.limit(limit).is_some_and(|b| b.when.is_some());
        ![Limit::Ports, Limit::PortSearch].into_iter().any(is_met)
    }

    /// True if ports are reckoned to come back by `tcp_tw_reuse`, which a peer that does not close prevents: this side
    /// then waits in FIN_WAIT_2, for `tcp_fin_timeout`.
    pub fn assumes_that_the_peer_closes(&self) -> bool {
        let kept = self.ports.supply.kept_after_close_s;
        self.time_wait.peak > 0 && kept > 0.0 && kept < TIME_WAIT.as_secs_f64()
    }

    /// The entry of one limit; `None` if it does not apply here.
    pub fn limit(&self, limit: Limit) -> Option<&Break> {
        self.breaks.iter().find(|b| b.limit == limit)
    }
}

/// The forecast of source ports. Ports are counted over all pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PortForecast {
    /// Ports that there are.
    #[serde(flatten)]
    pub supply: PortFigures,
    /// Usable ports of all pools.
    pub capacity: u64,
    /// Ports that sockets held before the run, over all pools.
    #[serde(default)]
    pub held: HeldPorts,
    /// Most ports taken at once; `None`: grows without an end.
    pub needed: Option<u64>,
    /// The constant rate that could go on for ever.
    pub sustainable: RateBound,
    /// The constant rate that could go on for ever with every TIME_WAIT served in full. Above it, but below
    /// [`PortForecast::sustainable`], the ports suffice only because `tcp_max_tw_buckets` cuts TIME_WAIT
    /// short, which gives up its protection against stray segments (RFC 1337).
    pub sustainable_uncut: RateBound,
    /// [`PortForecast::sustainable`] for one pool.
    pub sustainable_per_pool: RateBound,
    /// The constant rate that could go on to the run's end.
    pub sustainable_for_run: RateBound,
    /// When connect() (bind(), for a naive bind) becomes slow because the ports it tries first are taken.
    pub search_slow: Option<Moment>,
    /// When no port is left.
    pub exhausted: Option<Moment>,
    /// Error by which exhaustion shows.
    pub error: ExhaustionError,
}

/// Error by which a program sees that no port is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExhaustionError {
    /// EADDRNOTAVAIL from connect().
    AddressNotAvailable,
    /// EADDRINUSE from bind().
    AddressInUse,
}

/// The forecast of TIME_WAIT on this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimeWaitForecast {
    /// Most sockets in TIME_WAIT at once; bounded by the ports and by `tcp_max_tw_buckets`.
    pub peak: u64,
    /// When they first are that many, in seconds: from here on, at a constant rate, their number is steady.
    pub peak_from_s: f64,
    /// When `tcp_max_tw_buckets` is reached: from here on the kernel destroys TIME_WAIT at once, which
    /// counts as `TCPTimeWaitOverflow` and hides exhaustion.
    pub capped: Option<Moment>,
}

/// The forecast of open connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OpenForecast {
    /// Most connections open at once if nothing fails (Little's law: rate × lifetime, bounded by the run's
    /// length and by the demand's own bound); `None`: grows without an end.
    pub wanted: Option<u64>,
    /// The same, bounded by the ports there are.
    pub attainable: u64,
}

/// The forecast of the generator's file descriptors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DescriptorForecast {
    /// Descriptors needed, over all tables; `None`: grows without an end.
    pub needed: Option<u64>,
    /// `RLIMIT_NOFILE`, which bounds one table.
    pub per_table: u64,
    /// Tables needed. More than one is possible only with private tables.
    pub tables_needed: Option<u64>,
    /// True if there can be more than one.
    pub private_tables: bool,
}

/// The forecast of this host's memory at its peak, in bytes; `None`: grows without an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MemoryForecast {
    /// The kernel's: sockets, TIME_WAIT, connection tracking.
    pub kernel: Option<u64>,
    /// The generator's own.
    pub user: Option<u64>,
    /// Amount that there is.
    pub available: Option<u64>,
}

/// The forecast of connection tracking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConntrackForecast {
    /// Most entries at once, those there before included; `None`: grows without an end.
    ///
    /// An entry belongs to a 4-tuple: a port taken again takes its old entry's place, so there are never
    /// more than ports. Both ends on one host share an entry. (Measured: 3,000 connections through 1,024
    /// ports left 1,023 entries.)
    pub needed: Option<u64>,
    /// `nf_conntrack_max`.
    pub max: u64,
    /// The constant rate at which the table would just fill, were there ports enough: what is free ÷ (its
    /// timeout + lifetime).
    pub sustainable: RateBound,
    /// When the table is full: SYNs are dropped.
    pub full: Option<Moment>,
}

/// The forecast of a listener's accept queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AcceptQueueForecast {
    /// Connections it holds: the largest burst that it takes while the target accepts nothing.
    pub holds: u64,
    /// Longest pause of the target at the highest rate before the queue overflows, in seconds; `None`
    /// without arrivals.
    pub pause_tolerated_s: Option<f64>,
    /// When it overflows, if the target accepts as slowly as was stated.
    pub full: Option<Moment>,
}

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Moment {
    /// Seconds from the first arrival's due time.
    pub at_s: f64,
    /// The first attempt that meets it, counted from 1; connections held from the start come first.
    pub ordinal: u64,
}

/// A rate up to which something lasts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateBound {
    /// So many arrivals per second.
    PerSecond(f64),
    /// No rate is too high for it.
    Unlimited,
}

impl RateBound {
    /// Arrivals per second; infinite where there is no bound.
    pub fn as_per_second(self) -> f64 {
        match self {
            RateBound::PerSecond(rate) => rate,
            RateBound::Unlimited => f64::INFINITY,
        }
    }

    /// The bound of this many arrivals per second; without one if it is infinite.
    pub(super) fn of(rate: f64) -> RateBound {
        if rate.is_finite() { RateBound::PerSecond(rate) } else { RateBound::Unlimited }
    }
}

/// A limit, when it is met, and what was needed against what there is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Break {
    /// The limit.
    pub limit: Limit,
    /// When it is met; `None`: never, with this demand.
    pub when: Option<Moment>,
    /// Amount needed, in the limit's unit; `None`: grows without an end.
    pub needed: Option<u64>,
    /// Amount there is, in the limit's unit.
    pub available: u64,
}

impl Break {
    /// True if attempts fail because of it.
    pub fn fails(&self) -> bool {
        self.when.is_some() && self.limit.severity() == Severity::Failure
    }

    /// Needed ÷ available: 1 is just enough. Infinite without an end or where there is nothing.
    pub fn load(&self) -> f64 {
        match self.needed {
            Some(0) => 0.0,
            Some(needed) => needed as f64 / self.available as f64,
            None => f64::INFINITY,
        }
    }
}

/// A limit that a load can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Source ports: none is left.
    Ports,
    /// Source ports: those tried first are taken, and each search walks through them all.
    PortSearch,
    /// `RLIMIT_NOFILE`: EMFILE.
    Descriptors,
    /// `fs.file-max`: ENFILE.
    FileMax,
    /// Memory.
    Memory,
    /// `net.ipv4.tcp_mem`: the kernel drops and resets.
    TcpMem,
    /// `nf_conntrack_max`: SYNs are dropped.
    Conntrack,
    /// The accept queue: SYNs are dropped, and answered after a retransmission.
    AcceptQueue,
    /// `tcp_max_tw_buckets`: TIME_WAIT is cut short.
    TimeWaitBuckets,
}

/// Severity of meeting a limit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Attempts fail.
    Failure,
    /// Attempts become slow.
    Slowdown,
    /// Worth knowing.
    Note,
}

impl Limit {
    /// Severity of meeting the limit.
    pub fn severity(self) -> Severity {
        match self {
            Limit::PortSearch => Severity::Slowdown,
            Limit::TimeWaitBuckets => Severity::Note,
            _ => Severity::Failure,
        }
    }

    /// Unit in which the limit is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Limit::Ports | Limit::PortSearch => "ports",
            Limit::Descriptors => "descriptors",
            Limit::FileMax => "open files",
            Limit::Memory | Limit::TcpMem => "bytes",
            Limit::Conntrack => "entries",
            Limit::AcceptQueue => "accepts/s",
            Limit::TimeWaitBuckets => "sockets",
        }
    }
}
