//! What rules may look at: plain facts, whoever gathered them. What is not known is `None` or empty, and
//! proves nothing.

use crate::attempt::{Cause, Failure, Lease, Stage, Stamp};
use crate::kernel::holders::Holder;
use crate::kernel::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::kernel::sysctl::HostSettings;
use crate::kernel::tcp_state::TcpState;
use crate::kernel::tuple_usage::StateCounts;
use crate::metrics::SlowSearch;
use std::net::{IpAddr, SocketAddr};

/// The facts of a run, or of one careful connection.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Where connections went.
    pub destinations: Vec<SocketAddr>,
    /// Attempts started.
    pub started: u64,
    /// Attempts that got their connection.
    pub opened: u64,
    /// The most connections open at once.
    pub held_max: u64,
    /// Tuples that the run could use.
    pub tuples: u64,
    /// Failures by kind.
    pub failures: Vec<FailureFact>,
    /// Attempts that had to send their SYN again.
    pub syn_retransmits: u64,
    /// When connect() became expensive because of a full range, if it did.
    pub slow_search: Option<SlowSearch>,
    /// The settings of this host.
    pub host: HostSettings,
    /// Whether ports were leased by connstorm itself, rather than chosen by the kernel.
    pub explicit_ports: bool,
    /// Ports that one tuple can have.
    pub usable_ports: Option<u32>,
    /// The fullest tuple when ports ran out, or at the end.
    pub tuple: Option<TupleFact>,
    /// Sockets of others in the port range, when ports ran out.
    pub foreign: Option<ForeignSockets>,
    /// The port range of the namespace: whether TIME_WAIT of a tuple can be taken again, and when, in
    /// seconds. 60 without `tcp_tw_reuse`.
    pub time_wait_blocks_s: f64,
    /// What the namespace's counters counted meanwhile.
    pub counters: Option<Counters>,
    /// Connection tracking at the end, and what it lost meanwhile.
    pub conntrack: Option<(Conntrack, ConntrackDrops)>,
    /// Addresses that connections were to come from and that are not this host's.
    pub foreign_sources: Vec<IpAddr>,
    /// Whether the destinations are addresses of this host.
    pub target_is_local: Option<bool>,
    /// Addresses on which something listens on a destination's port, where the target is local.
    pub listeners: Vec<SocketAddr>,
    /// Names and values of the environment's proxy variables.
    pub proxies: Vec<(String, String)>,
}

/// All failures of one kind.
#[derive(Debug, Clone, Copy)]
pub struct FailureFact {
    /// The kind.
    pub failure: Failure,
    /// How many.
    pub count: u64,
    /// When the first happened.
    pub first_at: Stamp,
    /// When the last happened.
    pub last_at: Stamp,
    /// Ordinal of the first, from 0.
    pub first_ordinal: u64,
    /// The way of the first.
    pub lease: Option<Lease>,
}

/// The sockets of one tuple.
#[derive(Debug, Clone, Copy)]
pub struct TupleFact {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// Its sockets by state.
    pub sockets: StateCounts,
    /// Whether every socket was counted.
    pub exact: bool,
}

/// What others hold of the port range.
#[derive(Debug, Clone, Default)]
pub struct ForeignSockets {
    /// Ports of the range that the tuple does not use and that other sockets hold, on whatever address: to
    /// connect()'s search a bucket belongs to its port alone.
    pub ports: u32,
    /// The processes that hold them, as far as a short search found them, each with its number of sockets.
    pub holders: Vec<(Holder, u32)>,
}

/// What keeps the ports of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// Open connections.
    Live,
    /// Connections that have ended, in TIME_WAIT.
    TimeWait,
    /// Not this tuple's sockets: others in the range.
    Foreign,
}

impl Facts {
    /// The failures of one stage and cause.
    pub fn failed(&self, stage: Stage, cause: Cause) -> Option<&FailureFact> {
        self.failures.iter().find(|fact| fact.failure.stage == stage && fact.failure.cause == cause)
    }

    /// How many failed by a cause, at whatever stage.
    pub fn failed_by(&self, cause: Cause) -> u64 {
        self.failures.iter().filter(|fact| fact.failure.cause == cause).map(|fact| fact.count).sum()
    }
}

impl TupleFact {
    /// Sockets in TIME_WAIT.
    pub fn time_wait(&self) -> u64 {
        self.sockets.get(TcpState::TimeWait)
    }

    /// Sockets in any other state.
    pub fn live(&self) -> u64 {
        self.sockets.total() - self.time_wait()
    }
}
