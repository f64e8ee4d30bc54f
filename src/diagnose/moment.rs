//! The failing tuple at the moment at which it fails: facts for the rules, gathered while the cause is there.
//!
//! Invariant: everything here is about one (source, destination, port) and its listener, and was looked at
//! as soon as the engine met the first failure of that kind. What may not be seen is `None` and proves nothing.

use crate::linux::holders::{Holder, Table};
use crate::linux::proc_net::{ConntrackDrops, Counters};
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;
use crate::model::{Failure, Lease, Stamp};
use std::net::{IpAddr, SocketAddr};

/// One look at one failing tuple.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The kind of failure that asked for the look.
    pub failure: Failure,
    /// The way of the attempt that failed.
    pub lease: Lease,
    /// Ordinal of that attempt, from 0.
    pub ordinal: u64,
    /// When the attempt failed.
    pub failed_at: Stamp,
    /// When the sockets had been counted: `looked_at − failed_at` is how late the look is.
    pub looked_at: Stamp,
    /// The look came when the run had ended, and had closed its connections.
    pub after_the_end: bool,
    /// The source address: the one leased, or the one that the kernel chooses for this destination.
    pub source: Option<IpAddr>,
    /// The destination as the kernel's sockets have it: 127.0.0.1 where the lease says 0.0.0.0.
    pub destination: SocketAddr,
    /// The ports that the attempt could choose from, and what holds them. Only of a failure for lack of a port.
    pub ports: Option<TuplePorts>,
    /// The listener at the destination. Only where the destination is this host's.
    pub listener: Option<ListenerNow>,
    /// Connection tracking.
    pub conntrack: Option<ConntrackNow>,
    /// The source address on its interface.
    pub address: Option<SourceAddress>,
    /// IPv6 switched off on this host or on the interface (`disable_ipv6`), for an IPv6 destination.
    pub ipv6_disabled: Option<bool>,
    /// Counts of the namespace between the start of the run and the look.
    pub counters: Option<Counters>,
    /// Looks that failed, and why.
    pub unseen: Vec<String>,
}

/// Sockets between which the failed call had to find a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PortScope {
    /// connect(): those of the (source, destination) alone take a port.
    #[default]
    Tuple,
    /// bind(): those of the source address take a port, whatever their destination.
    Source,
}

/// The ports of the range that the failed attempt used, each counted once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TuplePorts {
    /// Sockets that take a port from the attempt.
    pub scope: PortScope,
    /// First port of the range that this socket uses.
    pub low: u16,
    /// Last port of that range.
    pub high: u16,
    /// Reserved ports (`ip_local_reserved_ports`) inside that range.
    pub reserved: u32,
    /// Ports of the range that are not reserved.
    pub usable: u32,
    /// Ports taken by this run's own sockets, by state.
    pub own: StateCounts,
    /// Ports of the same tuple taken by other processes, by state.
    pub others: StateCounts,
    /// Ports of the same tuple left by connections that ended before this run began.
    pub earlier: StateCounts,
    /// Ports of the same tuple whose owner could not be seen: another user's, or closed during the look.
    pub unattributed: StateCounts,
    /// Further ports that are listened on, at whatever address.
    pub listening: u32,
    /// Further ports that are only bound. `None`: Linux before 6.8 does not show them.
    pub bound: Option<u32>,
    /// Further ports that sockets to other destinations or from other addresses hold. Where connect() found
    /// no port and `free` is 0, each of these buckets was barred: made by bind() without
    /// `IP_BIND_ADDRESS_NO_PORT`.
    pub elsewhere: u32,
    /// Further ports that this run's own connections to other destinations or from other addresses hold: no
    /// obstacle to this tuple, and counted as free.
    pub own_elsewhere: u32,
    /// Ports of the range that nothing holds against the tuple.
    pub free: u32,
    /// Who holds what is not our own, the most ports first.
    pub holders: Vec<PortHolder>,
    /// The kernel said that its list changed during the look.
    pub inconsistent: bool,
}

/// An owner of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Who.
    pub owner: PortOwner,
    /// Ports of the range that this owner holds.
    pub ports: u32,
}

/// Who holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortOwner {
    /// A process that could be seen.
    Process(Holder),
    /// Processes of another user, whose descriptors this user may not look at.
    OtherUser(u32),
    /// No process: the kernel finishes a connection that was closed.
    Kernel,
    /// A process that could not be found in time.
    Unknown,
}

/// The listener at which the failed connection would have arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerNow {
    /// Where it listens.
    pub address: SocketAddr,
    /// Complete connections that wait for accept() (`rqueue`).
    pub waiting: u32,
    /// Length of that queue (`wqueue`): the smaller of listen()'s backlog and `net.core.somaxconn`.
    pub backlog: u32,
    /// Connections and segments that this very listener dropped since it was made (last word of
    /// `INET_DIAG_SKMEMINFO`, `d` in `ss -ltm`).
    pub drops: Option<u32>,
    /// Drops of the listener when the run began; `None` where it was not there or could not be seen.
    pub drops_before: Option<u32>,
    /// Half-open connections of this port (`SYN_RECV`).
    pub half_open: Option<u32>,
    /// `tcp_max_syn_backlog`.
    pub max_half_open: Option<u64>,
    /// `tcp_syncookies`: 0 never, 1 when the queue is full, 2 always.
    pub syncookies: Option<u32>,
    /// `IPV6_V6ONLY` of an IPv6 listener.
    pub v6_only: Option<bool>,
    /// The interface that it is bound to (`SO_BINDTODEVICE`), if any.
    pub device: Option<String>,
    /// Descriptor table of the listener's process.
    pub table: Option<Table>,
    /// The listener's process is stopped (SIGSTOP, SIGTSTP, a debugger).
    pub stopped: Option<bool>,
}

/// Connection tracking at the moment, and what it lost since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConntrackNow {
    /// Entries in use.
    pub count: u64,
    /// Entries at most.
    pub max: u64,
    /// Entries in use when the run began.
    pub before: Option<u64>,
    /// Losses since the run began, of all connections of the namespace.
    pub lost: Option<ConntrackDrops>,
    /// A connection of the failing tuple has an entry. `None`: it could not be asked (needs `CAP_NET_ADMIN`),
    /// or there was none to ask for.
    pub tracks_us: Option<bool>,
}

/// The source address as its interface has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAddress {
    /// The address is assigned to an interface, or lies in a local network.
    pub is_local: bool,
    /// The interface.
    pub interface: Option<String>,
    /// Duplicate address detection is under way: not usable yet (`IFA_F_TENTATIVE`).
    pub tentative: bool,
    /// Another host was found to have the address (`IFA_F_DADFAILED`).
    pub duplicate: bool,
}

impl Moment {
    /// A look that has seen nothing yet.
    pub fn new(failure: Failure, lease: Lease, ordinal: u64, failed_at: Stamp) -> Moment {
        Moment {
            failure,
            lease,
            ordinal,
            failed_at,
            looked_at: failed_at,
            after_the_end: false,
            source: lease.source,
            destination: lease.destination,
            ports: None,
            listener: None,
            conntrack: None,
            address: None,
            ipv6_disabled: None,
            counters: None,
            unseen: Vec::new(),
        }
    }
}

impl TuplePorts {
    /// Ports of the tuple in one state, whoever holds them.
    pub fn in_state(&self, state: TcpState) -> u64 {
        self.all().map(|counts| counts.get(state)).sum()
    }

    /// Ports that sockets of the tuple take, whoever holds them.
    pub fn taken(&self) -> u64 {
        self.all().map(|counts| counts.total()).sum()
    }

    fn all(&self) -> impl Iterator<Item = &StateCounts> {
        [&self.own, &self.others, &self.earlier, &self.unattributed].into_iter()
    }
}

impl ListenerNow {
    /// A listener to which nothing happens.
    #[cfg(test)]
    pub(super) fn idle(address: SocketAddr) -> ListenerNow {
        ListenerNow {
            address,
            waiting: 0,
            backlog: 128,
            drops: Some(0),
            drops_before: Some(0),
            half_open: Some(0),
            max_half_open: None,
            syncookies: Some(1),
            v6_only: None,
            device: None,
            table: None,
            stopped: None,
        }
    }

    /// The next connection finds no room (`sk_acceptq_is_full()`: more than the backlog wait).
    pub fn is_full(&self) -> bool {
        self.waiting > self.backlog
    }

    /// Drops of this very listener since the run began.
    pub fn dropped(&self) -> Option<u32> {
        Some(self.drops?.saturating_sub(self.drops_before.unwrap_or(0)))
    }

    /// Half-open connections at which a SYN is dropped: without SYN cookies three quarters of
    /// `tcp_max_syn_backlog` (`tcp_conn_request()`, net/ipv4/tcp_input.c), and the backlog in any case.
    pub fn half_open_limit(&self) -> Option<u64> {
        let max = self.max_half_open?;
        let without_cookies = (self.syncookies? == 0).then_some(max - max / 4);
        Some(without_cookies.unwrap_or(u64::MAX).min(u64::from(self.backlog)))
    }
}
