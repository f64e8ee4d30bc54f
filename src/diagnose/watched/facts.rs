//! Facts about programs that are watched from outside. Plain data; what was not seen is absent.

use crate::linux::holders::{Holder, Table};
use crate::linux::proc_net::Conntrack;
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tuple_usage::StateCounts;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Everything that a watch has seen of a network namespace.
#[derive(Debug, Clone, Default)]
pub struct WatchedFacts {
    /// The settings of the namespace.
    pub host: HostSettings,
    /// Tuples of outgoing connections, each as it was at its fullest.
    pub tuples: Vec<TupleSeen>,
    /// Connections that the peer has closed, and the program has not.
    pub half_closed: Vec<HalfClosed>,
    /// Listeners.
    pub listeners: Vec<ListenerSeen>,
    /// Descriptor tables of the programs that are watched, each as it was at its fullest.
    pub tables: Vec<Table>,
    /// Connection tracking, as it was at its fullest.
    pub conntrack: Option<Conntrack>,
    /// TIME_WAIT sockets that were destroyed above `tcp_max_tw_buckets` meanwhile.
    pub time_wait_overflow: Option<u64>,
}

/// The outgoing connections of one source address to one destination, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TupleSeen {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: SocketAddr,
    /// When the sockets were counted, in seconds since the start of the watch.
    pub seen_at_s: f64,
    /// Every socket was looked at, in one walk; otherwise parts are older, or stand for others.
    pub exact: bool,
    /// Age of the oldest part of the count, in seconds.
    #[serde(default)]
    pub age_s: f64,
    /// Sockets by state.
    pub sockets: StateCounts,
    /// Ports of the range that a connect() can't take just now.
    pub ports_used: u64,
    /// Ports that the tuple can have: the range, less what is reserved, bound, or listened on.
    pub ports_usable: u64,
    /// Ports of the range left out of it, as sockets are bound to them or listen on them.
    #[serde(default)]
    pub ports_bound: u64,
    /// Ports of the range left out of it, as bind() without `IP_BIND_ADDRESS_NO_PORT` took them for other destinations.
    #[serde(default)]
    pub ports_poisoned: u64,
    /// Sockets in TIME_WAIT whose port connect() takes again (`tcp_tw_reuse`).
    #[serde(default)]
    pub reusable: u64,
    /// Sockets whose port lies outside of `ip_local_port_range`: the program chose it.
    #[serde(default)]
    pub outside_range: u64,
    /// SYNs that sockets in SYN_SENT have sent again.
    #[serde(default)]
    pub syn_sent_again: u64,
    /// Connections that this side closed first, a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_per_s: Option<f64>,
    /// Ports taken a second, beside those that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_per_s: Option<f64>,
    /// Time until no port is left, if it goes on like this; absent where it does not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_left_s: Option<f64>,
    /// Connections a second that the ports bear where `tcp_tw_reuse` gives them back; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_per_s: Option<f64>,
    /// Who chose the ports.
    #[serde(default)]
    pub chosen: PortChoice,
    /// Programs that were seen to hold live connections of the tuple.
    #[serde(default)]
    pub holders: Vec<TupleHolder>,
}

/// Who chose the ports of a tuple, as their numbers show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortChoice {
    /// The ports do not tell: there are too few, or more than half of them are in use.
    #[default]
    NotSeen,
    /// connect(): ports of the parity of the range's first port, which it tries first.
    Connect,
    /// bind() to port 0: ports of the other parity, which bind() tries first.
    Bind,
}

/// A program that holds connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleHolder {
    /// Process id, the last that was seen of several.
    pub pid: u32,
    /// Name, `/proc/PID/comm`.
    pub name: String,
    /// Processes of that name that were seen to hold some.
    pub processes: u32,
    /// The process was seen to hold live connections of the tuple. Otherwise it is the only program whose sockets came and went
    /// meanwhile, beside the server's: connections that live for less than a millisecond are hard to meet.
    pub seen: bool,
}

/// Connections in CLOSE_WAIT of one program, at one end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HalfClosed {
    /// End of the connections that has closed.
    pub end: HalfClosedEnd,
    /// The program that holds them, where it could be seen.
    pub holder: Option<Holder>,
    /// Most of them at one look.
    pub sockets: u64,
    /// Number of these that had been in that state for [`HalfClosed::LONG_S`] or longer.
    pub for_long: u64,
    /// Time that the oldest was seen in that state, in seconds.
    pub oldest_s: f64,
}

/// Where connections were accepted, or where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfClosedEnd {
    /// Accepted on this port of this host.
    AcceptedOn(u16),
    /// Made to this destination.
    MadeTo(SocketAddr),
}

/// A listener of the namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerSeen {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that wait for accept().
    pub waiting: u32,
    /// Length of that queue.
    pub backlog: u32,
    /// The most that were seen to wait.
    pub waiting_max: u32,
    /// Drops of this very listener since the watch began; absent where the kernel does not tell.
    pub dropped: Option<u64>,
    /// Program of the listener, where it could be seen.
    pub holder: Option<Holder>,
}

impl HalfClosed {
    /// Seconds in CLOSE_WAIT after which a program is said not to close: a program that is busy takes less.
    pub const LONG_S: f64 = 10.0;
}

impl TupleSeen {
    /// Ports that a connect() can take now.
    pub fn free(&self) -> u64 {
        self.ports_usable.saturating_sub(self.ports_used)
    }

    /// Part of the usable ports that is in use; `None` where none is usable.
    pub fn share(&self) -> Option<f64> {
        (self.ports_usable > 0).then(|| self.ports_used as f64 / self.ports_usable as f64)
    }

    /// Connections open at both ends, or on their way to that.
    pub fn live(&self) -> u64 {
        let ended = [TcpState::TimeWait, TcpState::FinWait2, TcpState::CloseWait, TcpState::LastAck];
        let live = ended.into_iter().fold(StateSet::CONNECTIONS, StateSet::without);
        self.sockets.sum(live)
    }

    /// "10.0.0.2 to 10.0.0.1:80".
    pub fn way(&self) -> String {
        format!("{} to {}", self.source, self.destination)
    }

    /// The programs in words; `None` where none was seen.
    pub fn who(&self) -> Option<String> {
        let one = |holder: &TupleHolder| {
            let probably = if holder.seen { "" } else { "probably " };
            match holder.processes {
                0 | 1 => format!("{probably}{} (pid {})", holder.name, holder.pid),
                more => format!("{probably}{} (pid {} and {} more)", holder.name, holder.pid, more - 1),
            }
        };
        (!self.holders.is_empty()).then(|| self.holders.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}
