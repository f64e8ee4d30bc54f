//! One thing that can be changed about a load or a host, and the commands that change it.

use super::demand::Demand;
use super::limits::{HostLimits, PortSpan};
use crate::model::{Close, HeldPorts, PortPolicy, TupleGroup};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// One thing that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// So many source addresses, in all.
    Sources(u32),
    /// The program chooses the source port, by bind().
    ExplicitPorts(PortSpan),
    /// The kernel chooses the source port, at connect(), out of the whole range.
    ChooseAtConnect,
    /// Each worker thread has its own descriptor table; so many are needed.
    PrivateTables(u64),
    /// The range that the kernel chooses ports from.
    PortRange(PortSpan),
    /// `tcp_tw_reuse=1`, with timestamps on.
    ReuseTimeWait,
    /// Descriptors a table.
    Descriptors(u64),
    /// Open files of the host.
    FileMax(u64),
    /// Entries of connection tracking.
    ConntrackMax(u64),
    /// Length of the accept queue, as the listener asks for it and as somaxconn allows.
    AcceptQueue(u32),
    /// The client closes by RST.
    CloseByReset,
    /// The server closes first.
    PeerCloses,
    /// So many arrivals per second at the most.
    Rate(f64),
    /// The load is divided among so many hosts.
    Hosts(u32),
}

/// Cost of a change. The order is that in which one would try them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// The generator is called with another option.
    Option,
    /// A setting of the host; needs root.
    Setting,
    /// Connections end in another way, so something else is tested.
    Behaviour,
    /// Less load, or more hosts.
    Load,
}

impl Change {
    /// Cost of the change.
    pub fn cost(self) -> Cost {
        match self {
            Change::Sources(_)
            | Change::ExplicitPorts(_)
            | Change::ChooseAtConnect
            | Change::PrivateTables(_) => Cost::Option,
            Change::PortRange(_)
            | Change::ReuseTimeWait
            | Change::Descriptors(_)
            | Change::FileMax(_)
            | Change::ConntrackMax(_)
            | Change::AcceptQueue(_) => Cost::Setting,
            Change::CloseByReset | Change::PeerCloses => Cost::Behaviour,
            Change::Rate(_) | Change::Hosts(_) => Cost::Load,
        }
    }

    /// Demand and host after the change.
    pub fn apply(self, demand: &Demand, host: &HostLimits) -> (Demand, HostLimits) {
        let (mut demand, mut host) = (demand.clone(), host.clone());
        match self {
            Change::Sources(total) => demand = with_sources(demand, total),
            Change::ExplicitPorts(PortSpan { low, high }) => {
                demand.ports = PortPolicy::Explicit { low, high };
                // Other ports: what is held of these is no longer asked for.
                demand.tuples.clear();
            }
            Change::ChooseAtConnect => {
                demand.ports = PortPolicy::Kernel;
                demand.tuples.clear();
            }
            Change::PrivateTables(_) => host.private_tables = true,
            Change::PortRange(span) => host.port_range = span,
            Change::ReuseTimeWait => (host.tw_reuse, host.timestamps) = (1, true),
            Change::Descriptors(limit) => host.nofile = limit,
            Change::FileMax(limit) => host.file_max = limit,
            Change::ConntrackMax(limit) => {
                host.conntrack = host.conntrack.map(|c| super::Conntrack { max: limit, ..c });
            }
            Change::AcceptQueue(length) => (host.backlog, host.somaxconn) = (length, length),
            Change::CloseByReset => demand.close = Close::Rst,
            Change::PeerCloses => demand.close = Close::Peer,
            Change::Rate(rate) => demand = demand.with_peak_rate(rate),
            Change::Hosts(hosts) => demand = share(&demand, hosts.max(1)),
        }
        (demand, host)
    }

    /// The commands or options that make the change, for this demand on this host.
    pub fn commands(self, demand: &Demand, host: &HostLimits) -> Vec<String> {
        match self {
            Change::Sources(total) => sources(demand, total),
            Change::ExplicitPorts(PortSpan { low, high }) => vec![format!("--ports explicit:{low}-{high}")],
            Change::ChooseAtConnect => vec!["--ports kernel".into()],
            Change::PrivateTables(tables) => vec![format!("--workers {tables}")],
            Change::PortRange(PortSpan { low, high }) => {
                vec![format!("sysctl -w net.ipv4.ip_local_port_range=\"{low} {high}\"")]
            }
            Change::ReuseTimeWait => {
                let stamps = (!host.timestamps).then(|| "sysctl -w net.ipv4.tcp_timestamps=1".into());
                std::iter::once("sysctl -w net.ipv4.tcp_tw_reuse=1".into()).chain(stamps).collect()
            }
            Change::Descriptors(limit) => vec![format!("ulimit -n {limit}")],
            Change::FileMax(limit) => vec![format!("sysctl -w fs.file-max={limit}")],
            Change::ConntrackMax(limit) => vec![format!("sysctl -w net.netfilter.nf_conntrack_max={limit}")],
            Change::AcceptQueue(length) => {
                let setting =
                    (host.somaxconn < length).then(|| format!("sysctl -w net.core.somaxconn={length}"));
                setting.into_iter().chain([format!("listen() with a backlog of {length}")]).collect()
            }
            Change::CloseByReset => vec!["--close rst".into()],
            Change::PeerCloses => vec!["--close peer".into()],
            Change::Rate(rate) => vec![format!("--rate {rate}/s")],
            Change::Hosts(hosts) => vec![format!("run one part of {hosts} on each of {hosts} hosts")],
        }
    }
}

/// The load from more source addresses than now. What is held of the ports of the new ones is not known.
fn with_sources(demand: Demand, total: u32) -> Demand {
    let before = f64::from(demand.sources.max(1));
    let Some(first) = demand.tuples.first() else { return Demand { sources: total, ..demand } };
    let each_source = demand.tuples.iter().map(|group| group.tuples).sum::<u64>() as f64 / before;
    let added = ((f64::from(total) - before).max(0.0) * each_source).round() as u64;
    let all = before.max(f64::from(total)) * each_source;
    let new =
        TupleGroup { tuples: added, share: 1.0 / all, loopback: first.loopback, held: HeldPorts::default() };
    let scale = before / before.max(f64::from(total));
    let old = demand.tuples.iter().map(|group| TupleGroup { share: group.share * scale, ..group.clone() });
    Demand { sources: total, tuples: old.chain([new]).collect(), ..demand }
}

/// The part of a load that falls to one host of several, the largest of them.
fn share(demand: &Demand, hosts: u32) -> Demand {
    let part = |count: u64| count.div_ceil(u64::from(hosts));
    Demand {
        arrivals: demand.arrivals.scaled(1.0 / f64::from(hosts)),
        attempts: demand.attempts.map(part),
        held: part(demand.held),
        max_open: demand.max_open.map(part),
        // A target that keeps up with so much gives each host its share of it.
        accept_rate: demand.accept_rate.map(|rate| rate / f64::from(hosts)),
        ..demand.clone()
    }
}

/// All of 127.0.0.0/8 is local without being configured; any other address must be added first.
fn sources(demand: &Demand, total: u32) -> Vec<String> {
    if demand.loopback {
        let last = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + total.max(1) - 1);
        return vec![format!("--source 127.0.0.1-{last}")];
    }
    let more = total.saturating_sub(demand.sources.max(1));
    vec![
        format!("ip addr add ADDRESS/32 dev DEVICE, for {more} more addresses that route to this host"),
        format!("--source with all {total} of them"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(change: Change, demand: &Demand, host: &HostLimits) -> String {
        change.commands(demand, host).join("; ")
    }

    #[test]
    fn commands_carry_the_numbers() {
        let (demand, host) = (Demand::constant(1.0), HostLimits::default());
        let range = Change::PortRange(PortSpan { low: 1024, high: 65_535 });
        assert_eq!(commands(range, &demand, &host), "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"");
        let local = Demand { loopback: true, ..demand.clone() };
        assert_eq!(commands(Change::Sources(300), &local, &host), "--source 127.0.0.1-127.0.1.44");
        assert!(commands(Change::Sources(300), &demand, &host).contains("299 more addresses"));
        let no_stamps = HostLimits { timestamps: false, ..host.clone() };
        assert!(!commands(Change::ReuseTimeWait, &demand, &host).contains("timestamps"));
        assert!(commands(Change::ReuseTimeWait, &demand, &no_stamps).contains("tcp_timestamps=1"));
        assert!(!commands(Change::AcceptQueue(4096), &demand, &host).contains("somaxconn"));
    }

    #[test]
    fn a_share_is_never_less_than_a_part() {
        let demand = Demand { held: 10, attempts: Some(7), ..Demand::constant(9.0) };
        let part = share(&demand, 3);
        assert_eq!((part.held, part.attempts, part.arrivals.peak()), (4, Some(3), 3.0));
    }
}
