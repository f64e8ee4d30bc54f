//! The (source, destination) tuples of a load, with the share of the attempts that each gets.
//!
//! Shares are those of [`crate::model::Routes`]: attempts go round the destinations evenly, and for each
//! round the sources of its family by their weights.

use super::held::PoolKey;
use super::settings::is_loopback_end;
use super::{HeldPorts, PortDemand, PortSupply};
use crate::model::{AddressBlock, AddressSet, PortPolicy};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The destination of a connection as the kernel has it: a v4-mapped address is the IPv4 address; connect() to
/// `::` goes to `::1`, and to 0.0.0.0 to the source address that was bound, or else to 127.0.0.1
/// (`ip_route_output_key_hash_rcu()` in net/ipv4/route.c, `tcp_v6_connect()` in net/ipv6/tcp_ipv6.c).
pub fn as_connected(source: Option<IpAddr>, destination: SocketAddr) -> SocketAddr {
    let source = source.map(|source| source.to_canonical()).filter(|source| !source.is_unspecified());
    let at = |ip: IpAddr| SocketAddr::new(ip, destination.port());
    match destination.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
            at(source.filter(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::LOCALHOST.into()))
        }
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => at(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(v4) => at(v4.into()),
        // With its scope.
        IpAddr::V6(_) => destination,
    }
}

/// Tuples that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TupleGroup {
    /// Number of tuples.
    pub tuples: u64,
    /// Part of all attempts that each of them gets.
    pub share: f64,
    /// `tcp_tw_reuse=2` counts them as loopback.
    pub loopback: bool,
    /// Ports of each that are held.
    pub held: HeldPorts,
}

/// The tuples of a load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tuples {
    /// Different source addresses with their weights.
    sources: AddressSet,
    /// Different destinations, each with the source that the route gives.
    destinations: Vec<(SocketAddr, Option<IpAddr>)>,
    /// Places of destinations by their port: each socket of the host is held against those of its own only.
    by_port: HashMap<u16, Vec<u32>>,
}

impl Tuples {
    pub(super) fn new(demand: &PortDemand) -> Tuples {
        let sources = demand.sources.distinct();
        let mut destinations: Vec<(SocketAddr, Option<IpAddr>)> = Vec::new();
        let mut known = HashSet::new();
        for (at, given) in demand.destinations.iter().enumerate() {
            let routed = demand.routed.get(at).copied().flatten();
            // With sources 0.0.0.0 stays what it is: it is another address for each.
            let kernels = if sources.is_empty() { as_connected(None, *given) } else { mapped(*given) };
            let family = |set: &AddressSet| set.blocks().iter().any(|b| b.is_ipv4() == kernels.is_ipv4());
            let usable = sources.is_empty() || family(&sources);
            if usable && known.insert(kernels) {
                destinations.push((kernels, routed));
            }
        }
        let mut by_port: HashMap<u16, Vec<u32>> = HashMap::new();
        for (at, (destination, _)) in (0..).zip(&destinations) {
            by_port.entry(destination.port()).or_default().push(at);
        }
        Tuples { sources, destinations, by_port }
    }

    pub(super) fn len(&self) -> u64 {
        let each = |d: &SocketAddr| self.family(d.is_ipv4()).map(|b| b.len()).fold(0, u64::saturating_add);
        let counts = self.destinations.iter().map(|(d, _)| each(d).max(1));
        counts.fold(0, u64::saturating_add)
    }

    pub(super) fn sources(&self) -> u64 {
        self.sources.len().max(1)
    }

    pub(super) fn destinations(&self) -> Vec<SocketAddr> {
        /// Source addresses spelt out for a destination that is another address for each.
        const SPELT: u64 = 256;
        let of = |(destination, _): &(SocketAddr, _)| -> Vec<SocketAddr> {
            if !destination.ip().is_unspecified() {
                return vec![*destination];
            }
            let blocks = self.family(destination.is_ipv4());
            let sources = blocks.flat_map(|b| (0..b.len().min(SPELT)).filter_map(move |n| b.nth(n)));
            let each = sources.map(|source| as_connected(Some(source), *destination));
            each.chain([as_connected(None, *destination)]).collect()
        };
        let mut all: Vec<SocketAddr> = self.destinations.iter().flat_map(of).collect();
        let mut seen = HashSet::new();
        all.retain(|destination| seen.insert(*destination));
        all
    }

    pub(super) fn has(&self, source: IpAddr, destination: SocketAddr) -> bool {
        let source = source.to_canonical();
        let destination = mapped(destination);
        self.has_source(source)
            && self.with_port(destination.port()).any(|(there, routed)| {
                let here = as_connected(Some(source).filter(|_| !self.sources.is_empty()), *there);
                same(here, destination)
                    && (!self.sources.is_empty() || routed.is_none_or(|routed| routed == source))
            })
    }

    /// Destinations with this port.
    fn with_port(&self, port: u16) -> impl Iterator<Item = &(SocketAddr, Option<IpAddr>)> {
        let places = self.by_port.get(&port).into_iter().flatten();
        places.filter_map(|at| self.destinations.get(*at as usize))
    }

    pub(super) fn has_source(&self, source: IpAddr) -> bool {
        self.sources.is_empty() || self.sources.blocks().iter().any(|block| block.contains(source))
    }

    /// Two answers: any tuple is loopback to `tcp_tw_reuse`, and all are.
    pub(super) fn loopback(&self) -> (bool, bool) {
        let to = |d: &SocketAddr| is_loopback_end(d.ip());
        let routed = |r: &Option<IpAddr>| r.is_some_and(is_loopback_end);
        let from = |d: &SocketAddr| {
            let blocks: Vec<bool> = self.family(d.is_ipv4()).map(loopback_block).collect();
            (blocks.iter().any(|b| *b), !blocks.is_empty() && blocks.iter().all(|b| *b))
        };
        let each: Vec<(bool, bool)> = self
            .destinations
            .iter()
            .map(|(d, r)| if to(d) || routed(r) { (true, true) } else { from(d) })
            .collect();
        (each.iter().any(|e| e.0), !each.is_empty() && each.iter().all(|e| e.1))
    }

    fn family(&self, ipv4: bool) -> impl Iterator<Item = &AddressBlock> {
        self.sources.blocks().iter().filter(move |block| block.is_ipv4() == ipv4)
    }

    /// See [`PortSupply::groups`].
    pub(super) fn groups(&self, supply: &PortSupply) -> Vec<TupleGroup> {
        let naive = supply.policy == PortPolicy::NaiveBind;
        // A pool is of one source block and, unless bind() chooses, one destination.
        let mut pools: Vec<Pools<'_>> = Vec::new();
        let each = 1.0 / self.destinations.len().max(1) as f64;
        for (destination, routed) in &self.destinations {
            let blocks: Vec<&AddressBlock> = self.family(destination.is_ipv4()).collect();
            let weight: f64 = blocks.iter().map(|b| b.len() as f64 * f64::from(b.weight())).sum();
            let loop_to = is_loopback_end(destination.ip()) || routed.is_some_and(is_loopback_end);
            if blocks.is_empty() {
                let of = Of::Routed(*routed);
                pools.push(Pools { of, destination: *destination, share: each, loopback: loop_to });
            }
            pools.extend(blocks.iter().map(|block| Pools {
                of: Of::Block(block),
                destination: *destination,
                share: each * f64::from(block.weight()) / weight,
                loopback: loop_to || loopback_block(block),
            }));
        }
        if naive {
            pools = by_source(pools);
        }
        let held: Vec<_> = supply.held.pools().collect();
        let groups = pools.iter().flat_map(|pools| pools.groups(supply, naive, &held)).collect();
        merged(groups)
    }
}

/// Tuples of one source block to one destination.
struct Pools<'a> {
    of: Of<'a>,
    destination: SocketAddr,
    share: f64,
    loopback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Of<'a> {
    Block(&'a AddressBlock),
    /// The one source that the route gives, where it is known.
    Routed(Option<IpAddr>),
}

impl Pools<'_> {
    fn groups(&self, supply: &PortSupply, naive: bool, held: &[PoolKey]) -> Vec<TupleGroup> {
        let group = |tuples, held| TupleGroup { tuples, share: self.share, loopback: self.loopback, held };
        let of = |source: IpAddr| {
            let to = (!naive).then(|| as_connected(Some(source), self.destination));
            supply.held.of(source, to)
        };
        let block = match self.of {
            Of::Block(block) => block,
            Of::Routed(source) => {
                // bind() without an address meets every socket; where the route is not known, whoever is there.
                let to = (!naive).then(|| as_connected(None, self.destination));
                let there = held.iter().find(|(_, there)| *there == to).map(|(source, _)| *source);
                let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                return vec![group(1, supply.held.of(source.or(there).unwrap_or(unspecified), to))];
            }
        };
        let mine = |(source, to): &&PoolKey| {
            let here = to.is_none() || *to == Some(as_connected(Some(*source), self.destination));
            block.contains(*source) && here
        };
        let mut sources: Vec<IpAddr> = held.iter().filter(mine).map(|(source, _)| *source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut groups: Vec<TupleGroup> = sources.iter().map(|source| group(1, of(*source))).collect();
        let rest = block.len().saturating_sub(sources.len() as u64);
        if rest > 0 {
            // What is held of every tuple alike: ports that are bound or listened on.
            let nobody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            groups.push(group(rest, supply.held.of(nobody, None)));
        }
        groups
    }
}

/// The pools of a bind() that chooses: one a source, with the share of all its destinations.
fn by_source(pools: Vec<Pools<'_>>) -> Vec<Pools<'_>> {
    let mut found: Vec<Pools<'_>> = Vec::new();
    for pool in pools {
        match found.iter_mut().find(|there| there.of == pool.of) {
            Some(there) => {
                there.share += pool.share;
                there.loopback &= pool.loopback;
            }
            None => found.push(pool),
        }
    }
    found
}

/// Groups that are alike, as one.
fn merged(groups: Vec<TupleGroup>) -> Vec<TupleGroup> {
    let mut found: Vec<TupleGroup> = Vec::new();
    let mut known: HashMap<(u64, bool), Vec<usize>> = HashMap::new();
    for group in groups {
        let at = known.entry((group.share.to_bits(), group.loopback)).or_default();
        match at.iter().find(|at| found[**at].held == group.held) {
            Some(at) => found[*at].tuples = found[*at].tuples.saturating_add(group.tuples),
            None => {
                at.push(found.len());
                found.push(group);
            }
        }
    }
    found
}

fn loopback_block(block: &AddressBlock) -> bool {
    block.nth(0).is_some_and(is_loopback_end)
}

fn mapped(destination: SocketAddr) -> SocketAddr {
    match destination.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), destination.port()),
        IpAddr::V6(_) => destination,
    }
}

/// The same address and port; a scope does not tell two apart, since the kernel does not show it.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}
