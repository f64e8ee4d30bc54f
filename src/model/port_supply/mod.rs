//! The supply of source ports: which ports a (source, destination) tuple has, what holds them, and how long
//! each stays taken after close(). The one home of these rules.
//!
//! [`PortSettings`] holds the rules of one network namespace, [`PortSupply`] those of one load on it, and
//! [`HeldPorts`] what a tuple has lost to sockets that are there already. Pure: whoever has looked at the
//! kernel hands in what was seen.

mod held;
mod settings;
mod tuples;

pub use held::{HeldPorts, HeldSocket, Holder};
pub use settings::{Kept, PortSettings, TIME_WAIT, TimeWaitReuse, is_loopback_tuple};
pub use tuples::{TupleGroup, as_connected};

use crate::model::{AddressSet, Close, PortPolicy};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Share of a tuple's usable ports at which they are low.
pub const PORTS_LOW: f64 = 0.8;

/// A load, as far as source ports are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct PortDemand {
    /// Who chooses the port.
    pub policy: PortPolicy,
    /// Who closes, and how.
    pub close: Close,
    /// Source addresses with weights; empty: the kernel chooses by route.
    pub sources: AddressSet,
    /// Addresses and ports connected to.
    pub destinations: Vec<SocketAddr>,
    /// Source address that the route to each destination gives, in the order of `destinations`; used where
    /// `sources` is empty. Missing entries are unknown.
    pub routed: Vec<Option<IpAddr>>,
}

/// The source ports of one load in one network namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct PortSupply {
    settings: PortSettings,
    policy: PortPolicy,
    close: Close,
    tuples: tuples::Tuples,
    held: held::Held,
}

impl PortSupply {
    /// The supply of a load, with nothing held.
    pub fn new(demand: &PortDemand, settings: PortSettings) -> PortSupply {
        PortSupply {
            settings,
            policy: demand.policy,
            close: demand.close,
            tuples: tuples::Tuples::new(demand),
            held: held::Held::default(),
        }
    }

    /// The same supply, less what these sockets hold of it. Sockets that hold none of its ports do no harm,
    /// nor do two sockets on one port.
    #[must_use]
    pub fn holding(mut self, sockets: impl IntoIterator<Item = HeldSocket>) -> PortSupply {
        for socket in sockets {
            self.hold(&socket);
        }
        self
    }

    /// Rules of the namespace.
    pub fn settings(&self) -> &PortSettings {
        &self.settings
    }

    /// Who chooses the port.
    pub fn policy(&self) -> PortPolicy {
        self.policy
    }

    /// Who closes, and how.
    pub fn close(&self) -> Close {
        self.close
    }

    /// Ports of [`PortSupply::span`] that no tuple can have, since a socket is bound to them or listens on them.
    pub fn bound(&self) -> u64 {
        self.held.everywhere()
    }

    /// Ports from which this load's are taken, reserved ones included.
    pub fn span(&self) -> RangeInclusive<u16> {
        self.settings.span(self.policy)
    }

    /// Ports that one tuple can have.
    pub fn usable(&self) -> u32 {
        self.settings.usable(self.policy)
    }

    /// Ports that one tuple can have, less those that are bound or listened on: [`PortSupply::bound`].
    pub fn takeable(&self) -> u64 {
        u64::from(self.usable()).saturating_sub(self.bound())
    }

    /// Ports of [`PortSupply::span`] that are reserved, and so are not taken.
    pub fn reserved(&self) -> u32 {
        self.settings.reserved_in_use(self.policy)
    }

    /// Ports that the program leases itself: those of [`PortPolicy::Explicit`], less reserved and listened-on
    /// ones. Empty where the kernel chooses.
    pub fn leasable(&self, listened_on: &HashSet<u16>) -> Vec<u16> {
        let PortPolicy::Explicit { low, high } = self.policy else { return Vec::new() };
        let taken = |port: &u16| self.settings.range.reserved.contains(*port) || listened_on.contains(port);
        (low..=high).filter(|port| !taken(port)).collect()
    }

    /// Number of different (source, destination) pairs. Equal addresses are one.
    pub fn tuples(&self) -> u64 {
        self.tuples.len()
    }

    /// Number of sets of ports that run out by themselves: a tuple's each, or a source address's where
    /// bind() chooses before the destination is known.
    pub fn pools(&self) -> u64 {
        if self.policy == PortPolicy::NaiveBind { self.tuples.sources() } else { self.tuples.len() }
    }

    /// Destinations as the kernel has them, each once: 0.0.0.0 is 127.0.0.1 there, and `::ffff:1.2.3.4` is
    /// 1.2.3.4.
    pub fn destinations(&self) -> Vec<SocketAddr> {
        self.tuples.destinations()
    }

    /// True if a connection from here to there is of this load's tuples.
    pub fn has(&self, source: IpAddr, destination: SocketAddr) -> bool {
        self.tuples.has(source, destination)
    }

    /// State of a port of this tuple after close().
    pub fn kept(&self, source: IpAddr, destination: IpAddr) -> Kept {
        self.settings.kept_after_close(self.policy, self.close, is_loopback_tuple(source, destination))
    }

    /// Longest time that any tuple's port stays taken after close(), without the timer's rounding.
    pub fn blocks(&self) -> Duration {
        let kept = |loopback| self.settings.kept_after_close(self.policy, self.close, loopback);
        let (some, all) = self.tuples.loopback();
        match (some, all) {
            (_, true) => kept(true).nominal(),
            (false, _) => kept(false).nominal(),
            (true, false) => kept(true).nominal().max(kept(false).nominal()),
        }
    }

    /// Ports of one tuple that are held.
    pub fn held(&self, source: IpAddr, destination: SocketAddr) -> HeldPorts {
        let to = (self.policy != PortPolicy::NaiveBind).then_some(destination);
        self.held.of(source.to_canonical(), to)
    }

    /// The tuples, those that are alike together: the same share of the attempts, the same time that a
    /// port stays taken, the same ports held. Where bind() chooses, source addresses stand for tuples.
    pub fn groups(&self) -> Vec<TupleGroup> {
        self.tuples.groups(self)
    }
}

#[cfg(test)]
mod tests;
