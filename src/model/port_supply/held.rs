//! Ports that sockets hold already: by what, and until when.

use super::{PortSupply, is_loopback_tuple};
use crate::model::PortPolicy;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A socket that holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldSocket {
    /// Address and port of the socket itself.
    pub local: SocketAddr,
    /// The peer; `None` for a socket that is bound or listens.
    pub peer: Option<SocketAddr>,
    /// State, as far as ports are concerned.
    pub by: Holder,
    /// Time until its timer ends it, where one does (TIME_WAIT; FIN_WAIT_2 without a process).
    pub ends_in: Option<Duration>,
}

/// The state of a socket, as far as ports are concerned.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A connection on its way up, or open at both ends.
    Live,
    /// Closed by both, by this side first.
    TimeWait,
    /// Closed by this side, and not by the peer.
    FinWait2,
    /// Closed by the peer, and not by this side.
    CloseWait,
    /// Closed by both, and the last acknowledgement is awaited (LAST_ACK, FIN_WAIT_1, CLOSING).
    Closing,
    /// Bound to a port, neither connected nor listening.
    Bound,
    /// A listener.
    Listening,
}

impl Holder {
    /// The state in words, after a number: "500 in TIME_WAIT".
    pub fn in_words(self) -> &'static str {
        match self {
            Holder::Live => "open",
            Holder::TimeWait => "in TIME_WAIT",
            Holder::FinWait2 => "in FIN_WAIT_2",
            Holder::CloseWait => "in CLOSE_WAIT",
            Holder::Closing => "closing",
            Holder::Bound => "bound",
            Holder::Listening => "listened on",
        }
    }
}

/// Ports of one tuple that are held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct HeldPorts {
    /// Ports that stay held as long as some program wants.
    pub lasting: u64,
    /// Ports that come back by themselves: after so long, in seconds from now, so many. In this order.
    pub returning: Vec<(f64, u64)>,
    /// All of them by the state of the socket that holds them.
    pub by: BTreeMap<Holder, u64>,
}

impl HeldPorts {
    /// Ports held now.
    pub fn now(&self) -> u64 {
        self.at(0.0)
    }

    /// Ports still held after `t` seconds.
    pub fn at(&self, t: f64) -> u64 {
        let later = self.returning.iter().filter(|(after, _)| *after > t);
        self.lasting + later.map(|(_, ports)| ports).sum::<u64>()
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// The holdings of several tuples together.
    pub fn add(&mut self, other: &HeldPorts) {
        self.lasting += other.lasting;
        for (by, ports) in &other.by {
            *self.by.entry(*by).or_default() += ports;
        }
        self.returning.extend(&other.returning);
        self.returning.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// The holdings of so many tuples that are alike.
    #[must_use]
    pub fn times(&self, tuples: u64) -> HeldPorts {
        HeldPorts {
            lasting: self.lasting.saturating_mul(tuples),
            returning: self.returning.iter().map(|(at, n)| (*at, n.saturating_mul(tuples))).collect(),
            by: self.by.iter().map(|(by, n)| (*by, n.saturating_mul(tuples))).collect(),
        }
    }
}

/// Source address, and destination unless bind() chooses before it is known.
pub(super) type PoolKey = (IpAddr, Option<SocketAddr>);

/// Everything that is held of a supply, each port of a pool once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Held {
    /// By pool: the ports, each with what holds it and until when.
    pools: HashMap<PoolKey, HashMap<u16, (Holder, Option<Duration>)>>,
    /// Ports that no tuple can have, whatever its source.
    everywhere: HashMap<u16, Holder>,
    /// The same for tuples of one source address.
    at_source: HashMap<IpAddr, HashMap<u16, Holder>>,
}

impl Held {
    /// Ports that no tuple can have.
    pub(super) fn everywhere(&self) -> u64 {
        self.everywhere.len() as u64
    }

    /// The pools of which a socket of their own holds a port.
    pub(super) fn pools(&self) -> impl Iterator<Item = PoolKey> + '_ {
        let bound = self.at_source.keys().map(|source| (*source, None));
        let pools: HashSet<_> = self.pools.keys().copied().chain(bound).collect();
        pools.into_iter()
    }

    pub(super) fn of(&self, source: IpAddr, destination: Option<SocketAddr>) -> HeldPorts {
        let mut found = HeldPorts::default();
        let mut returning: BTreeMap<u64, u64> = BTreeMap::new();
        let bound = self.at_source.get(&source).into_iter().flatten().chain(&self.everywhere);
        let mut counted: HashSet<u16> = HashSet::new();
        for (port, by) in bound {
            if counted.insert(*port) {
                found.lasting += 1;
                *found.by.entry(*by).or_default() += 1;
            }
        }
        let own = self.pools.get(&(source, destination));
        for (_, (by, until)) in own.into_iter().flatten().filter(|(port, _)| !counted.contains(port)) {
            *found.by.entry(*by).or_default() += 1;
            match until {
                None => found.lasting += 1,
                // To the tenth of a second: there may be 60,000 of them.
                Some(until) => *returning.entry(until.as_millis() as u64 / 100).or_default() += 1,
            }
        }
        found.returning = returning.into_iter().map(|(tenths, n)| (tenths as f64 / 10.0, n)).collect();
        found
    }
}

impl PortSupply {
    /// Notes what one socket holds.
    pub(super) fn hold(&mut self, socket: &HeldSocket) {
        let (source, port) = (socket.local.ip().to_canonical(), socket.local.port());
        if !self.span().contains(&port) || self.settings.range.reserved.contains(port) {
            return;
        }
        let naive = self.policy == PortPolicy::NaiveBind;
        let Some(peer) = socket.peer else {
            // connect() passes over a bucket that a bind() has made, for every address
            // (`tb->fastreuse >= 0`); bind() meets a conflict where the addresses do.
            if !naive || source.is_unspecified() {
                self.held.everywhere.insert(port, socket.by);
            } else {
                self.held.at_source.entry(source).or_default().insert(port, socket.by);
            }
            return;
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if !naive && !self.tuples.has(source, peer) || naive && !self.tuples.has_source(source) {
            return;
        }
        let Some(until) = self.held_until(socket, is_loopback_tuple(source, peer.ip())) else { return };
        let pool = self.held.pools.entry((source, (!naive).then_some(peer))).or_default();
        let there = pool.entry(port).or_insert((socket.by, until));
        // Two sockets on one port of a source address: the one that stays longer counts.
        if there.1.is_some_and(|there| until.is_none_or(|until| until > there)) {
            *there = (socket.by, until);
        }
    }

    /// Time until this load can take the socket's port: `Some(None)` as long as its program wants, `None`
    /// where it can be taken now.
    fn held_until(&self, socket: &HeldSocket, loopback: bool) -> Option<Option<Duration>> {
        self.settings.held_until(self.policy, socket.by, socket.ends_in, loopback)
    }
}
