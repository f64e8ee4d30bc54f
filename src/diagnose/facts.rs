//! Facts that rules may look at, whoever gathered them. What is not known is `None` or empty, and
//! proves nothing.

use super::{ClientFacts, Listening, Moment, Place, Plateau, Proxy, SchemeTrial, TargetFacts};
use crate::linux::addresses::Neighbour;
use crate::linux::holders::Table;
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::linux::ruleset::Ruleset;
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;
use crate::model::{Acknowledged, AtTimeout, Cause, Failure, Lease, Reply, SlowSearch, Stage, Stamp};
use crate::protocol::Kind;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The facts of a run, or of one careful connection.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Other schemes that were tried where the target did not answer as the one asked for has it.
    pub trials: Vec<SchemeTrial>,
    /// Where connections went.
    pub destinations: Vec<SocketAddr>,
    /// Further destinations of the run, where these are the facts of a part of it.
    pub other_destinations: Vec<SocketAddr>,
    /// Attempts started.
    pub started: u64,
    /// Attempts that got their connection.
    pub opened: u64,
    /// The most connections open at once.
    pub held_max: u64,
    /// Tuples that the run could use.
    pub tuples: u64,
    /// Messages or requests that each connection was to have, where their number is fixed.
    pub planned_messages: Option<u64>,
    /// Failures by kind.
    pub failures: Vec<FailureFact>,
    /// Protocol that was spoken.
    pub spoken: Option<Kind>,
    /// The target's URL.
    pub url: Option<String>,
    /// The peer's reply to the first of a kind of failure, where it said something.
    pub replies: Vec<(Failure, Reply)>,
    /// Attempts that had to send their SYN again.
    pub syn_retransmits: u64,
    /// When connect() became expensive because of a full range, if it did.
    pub slow_search: Option<SlowSearch>,
    /// The settings of this host.
    pub host: HostSettings,
    /// True if ports were leased by connstorm itself, rather than chosen by the kernel.
    pub explicit_ports: bool,
    /// Ports that one tuple can have.
    pub usable_ports: Option<u32>,
    /// The fullest tuple of any sample: it proves nothing of another, nor of another moment.
    pub tuple: Option<TupleFact>,
    /// The fullest tuple at the end of each window in which connect() found no port, by time.
    pub port_windows: Vec<PortWindow>,
    /// Counts of the namespace's counters meanwhile.
    pub counters: Option<Counters>,
    /// Connection tracking at the end, and what it lost meanwhile.
    pub conntrack: Option<(Conntrack, ConntrackDrops)>,
    /// Rules of this host's packet filter, where they could be read.
    pub rules: Option<Ruleset>,
    /// Addresses that connections were to come from and that are not this host's.
    pub foreign_sources: Vec<IpAddr>,
    /// True if the destinations are addresses of this host.
    pub target_is_local: Option<bool>,
    /// Every socket of this host that listens.
    pub listening: Vec<Listening>,
    /// The descriptor table of the local server, at the moment when connections waited for it.
    pub server_table: Option<Table>,
    /// A local destination whose server had not accepted a connection when the time for it was over.
    pub unaccepted: Option<SocketAddr>,
    /// True if a local listener was seen to be gone while connections were refused.
    pub listener_seen_gone: bool,
    /// When connections were refused, and what else happened then.
    pub refusals: Option<Refusals>,
    /// Places of the destinations' addresses, as far as known.
    pub places: Vec<Place>,
    /// The target's name, where it is no literal address.
    pub name: Option<Name>,
    /// The environment's proxy variables.
    pub proxies: Vec<Proxy>,
    /// The environment's `no_proxy`.
    pub no_proxy: Option<String>,
    /// Source addresses that the connections came from; 0 where the kernel chose.
    pub sources: u64,
    /// The same, each with its weight; empty where the kernel chose, or there are too many.
    pub source_weights: Vec<(IpAddr, u64)>,
    /// The target's own numbers, where it is on this host.
    pub target: TargetFacts,
    /// Orders of the run itself.
    pub client: ClientFacts,
    /// The number of connections held at which others failed.
    pub plateau: Option<Plateau>,
    /// The shortest time to an established connection.
    pub connect_min: Option<Duration>,
    /// Attempts were started so late, or windows closed so late, that failures may be this machine's own.
    pub generator_late: bool,
    /// Memory of this process: the limit that the plan gives it, and the most that it had.
    pub memory: ProcessMemory,
    /// Failing tuples, each looked at when the first failure of its kind came; by time.
    pub moments: Vec<Moment>,
}

/// Memory of this process during a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Limit that the plan gives it, in bytes; `None`: what can be had.
    pub limit: Option<u64>,
    /// The most that it had, in bytes; `None`: not known.
    pub peak: Option<u64>,
}

/// The target's name and what it leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// Answer of the system's resolver.
    pub answers: Vec<IpAddr>,
    /// Reason for which it gave no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Addresses of the name in the hosts file: the resolver's answer then comes from there, and not from DNS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_hosts_file: Vec<IpAddr>,
    /// Answer of a name server of `/etc/resolv.conf`, where the hosts file has the name and it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_dns: Vec<IpAddr>,
    /// The addresses that the user expects, where that was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<IpAddr>,
}

/// When connections were refused, by windows of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Intervals of windows with refusals, without one between.
    pub intervals: u32,
    /// Windows with refusals and without a connection that opened.
    pub windows_closed: u32,
    /// Connections opened before the first such window.
    pub opened_before: u64,
    /// Connections opened after the last.
    pub opened_after: u64,
}

/// All failures of one kind.
#[derive(Debug, Clone)]
pub struct FailureFact {
    /// The kind.
    pub failure: Failure,
    /// Number of them.
    pub count: u64,
    /// When the first happened.
    pub first_at: Stamp,
    /// When the last happened.
    pub last_at: Stamp,
    /// Ordinal of the first, from 0.
    pub first_ordinal: u64,
    /// The way of the first.
    pub lease: Option<Lease>,
    /// Number from each source address; empty where the kernel chose them, or there were too many.
    pub by_source: Vec<(IpAddr, u64)>,
    /// Number to each destination; empty where there were too many.
    pub by_destination: Vec<(SocketAddr, u64)>,
    /// Of timeouts: whether the peer's kernel had acknowledged what was sent, counted.
    pub acknowledged: Acknowledged,
    /// Of those that had answers before they failed: how many answers, and how many such connections.
    pub answers: Vec<(u64, u64)>,
    /// State of the first connections that timed out, as the kernel knew it.
    pub at_timeout: Vec<AtTimeout>,
    /// Code of the ICMP message "destination unreachable" behind the first, where one was kept.
    pub icmp_code: Option<u8>,
    /// Time from their start to their end: of the first and of the last hundredth.
    pub ages: Option<(Duration, Duration)>,
    /// The same of the half: where this machine was late, the ends that it saw late are not in it.
    pub median_age: Option<Duration>,
    /// Who sent that message.
    pub icmp_offender: Option<IpAddr>,
    /// Steps of a conversation in which they happened, with the number in each; empty where there are no steps.
    pub steps: Vec<(u16, u64)>,
}

/// The sockets of one tuple.
#[derive(Debug, Clone, Copy)]
pub struct TupleFact {
    /// Source address.
    pub source: IpAddr,
    /// Destination.
    pub destination: SocketAddr,
    /// Sockets by state.
    pub sockets: StateCounts,
    /// True if every socket was counted.
    pub exact: bool,
}

/// A window in which connect() found no port, and what the ports of the fullest tuple were at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortWindow {
    /// When the sockets were counted.
    pub at: Stamp,
    /// Attempts of this window that found no port.
    pub failed: u64,
    /// Sockets in TIME_WAIT, and in any other state; `None`: they were not counted then.
    pub sockets: Option<(u64, u64)>,
}

/// Cause that keeps the ports of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// Open connections.
    Live,
    /// Connections that have ended, in TIME_WAIT.
    TimeWait,
}

impl Facts {
    /// The failures of one stage and cause.
    pub fn failed(&self, stage: Stage, cause: Cause) -> Option<&FailureFact> {
        self.failures.iter().find(|fact| fact.failure.stage == stage && fact.failure.cause == cause)
    }

    /// Place of an address, as far as known.
    pub fn place(&self, address: IpAddr) -> Option<&Place> {
        self.places.iter().find(|place| place.address == address)
    }

    /// True if an address is this host's own.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.place(address).and_then(|place| place.is_local).unwrap_or(self.target_is_local == Some(true))
    }

    /// The listener at which connections to a local destination arrive.
    pub fn listener_for(&self, destination: SocketAddr) -> Option<&Listening> {
        // The one at the very address goes before one at all addresses.
        let mut serving: Vec<&Listening> =
            self.listening.iter().filter(|at| at.serves(destination)).collect();
        serving.sort_by_key(|at| at.address.ip() != destination.ip());
        serving.first().copied()
    }

    /// The looks at failing tuples that a kind of failure asked for, by time.
    pub fn moments_of(&self, stage: Stage, cause: Cause) -> impl Iterator<Item = &Moment> {
        self.moments
            .iter()
            .filter(move |moment| (moment.failure.stage, moment.failure.cause) == (stage, cause))
    }

    /// The descriptor table of the local server while connections to it failed; the full one, if any was full.
    pub(super) fn server_table(&self) -> Option<&Table> {
        let during = self.moments.iter().filter(|moment| !moment.after_the_end);
        let tables = during.filter_map(|moment| moment.listener.as_ref()?.table.as_ref());
        tables.chain(&self.server_table).max_by_key(|table| table.is_full())
    }

    /// Number of attempts that failed, by whatever cause.
    pub fn failed_attempts(&self) -> u64 {
        self.failures.iter().map(|fact| fact.count).sum()
    }

    /// A local listener of the target whose accept queue is full.
    pub fn full_listener(&self) -> Option<&Listening> {
        let listeners = self.destinations.iter().filter_map(|destination| self.listener_for(*destination));
        listeners.into_iter().find(|at| at.is_full())
    }

    /// True if nobody can answer at the destination of a failure: no such host, or out of reach.
    pub(super) fn is_out_of_reach(&self, failed: &FailureFact) -> bool {
        let destination = failed.lease.map(|lease| lease.destination).or(self.destinations.first().copied());
        // A connection that opened rules it out.
        self.opened == 0
            && destination.and_then(|to| self.place(to.ip())).is_some_and(|place| {
                place.is_private_from_elsewhere() || place.neighbour == Some(Neighbour::Silent)
            })
    }

    /// True if this host was seen to have no rule that translates addresses.
    pub(super) fn has_no_translation(&self) -> Option<&'static str> {
        self.rules
            .is_some_and(|rules| rules.translates_nothing())
            .then_some("no rule of this host's packet filter translates addresses")
    }

    /// True if address translation of this host is ruled out for attempts that timed out: there is no such rule; or,
    /// where rules can't be read, the table of connections was seen to be empty. (What is translated and not answered
    /// has an entry for two minutes; what is refused has none any more.)
    pub(super) fn translates_nothing(&self) -> Option<&'static str> {
        if self.rules.is_some() {
            return self.has_no_translation();
        }
        let (now, _) = self.conntrack?;
        (now.count == 0).then_some("the table of tracked connections is empty: nothing is translated")
    }

    /// True if a rule of this host can't be what drops or refuses.
    pub(super) fn filters_nothing(&self) -> Option<&'static str> {
        self.rules
            .is_some_and(|rules| rules.lets_all_pass())
            .then_some("this host's packet filter has no rule that drops or rejects")
    }

    /// The peer's reply to the first of these.
    pub fn reply_to(&self, failed: &FailureFact) -> Option<&Reply> {
        self.replies.iter().find(|(failure, _)| *failure == failed.failure).map(|(_, reply)| reply)
    }

    /// Number of attempts that failed by a cause, at whatever stage.
    pub fn failed_by(&self, cause: Cause) -> u64 {
        self.failures.iter().filter(|fact| fact.failure.cause == cause).map(|fact| fact.count).sum()
    }
}

impl FailureFact {
    /// Failures of one kind, of which no more than the number is known.
    pub fn new(failure: Failure, count: u64) -> FailureFact {
        FailureFact {
            failure,
            count,
            first_at: Stamp::ZERO,
            last_at: Stamp::ZERO,
            first_ordinal: 0,
            lease: None,
            by_source: Vec::new(),
            by_destination: Vec::new(),
            acknowledged: Acknowledged::default(),
            answers: Vec::new(),
            at_timeout: Vec::new(),
            icmp_code: None,
            icmp_offender: None,
            ages: None,
            median_age: None,
            steps: Vec::new(),
        }
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
