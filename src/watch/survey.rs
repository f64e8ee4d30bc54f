//! One look at a network namespace after another: its outgoing sockets by tuple, its listeners and its totals, within a
//! budget of CPU.
//!
//! Outgoing is a socket whose own port nobody listens on, and nobody listened on since the watch began: the accepted ends
//! of connections would be a tuple for each client. The kernel leaves most of these out by itself.
//! Where not everything can be looked at each time, the parts that were looked at last stand together, each with its age.

use super::tally::Tallies;
use crate::host::held_ports;
use crate::linux::listeners::{self, Listener};
use crate::linux::proc_net::{Conntrack, Counters, ProcNet, SocketTotals};
use crate::linux::sock_diag::{Filter, SockDiag, Socket};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::usage;
use crate::model::port_set::PortSet;
use crate::model::{PortSupply, Stamp};
use crate::observe::{Ages, Budget, Look, Population, Slice, noted};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Listeners' ports that the kernel is told to leave out, those with the most connections: each condition costs every
/// socket a comparison.
const LEFT_OUT: usize = 16;
/// Time between two looks at listeners, and at sockets that are only bound.
const LISTENERS_EVERY: Duration = Duration::from_millis(200);
const BOUND_EVERY: Duration = Duration::from_secs(2);
/// So many sockets are counted at each look that is asked to be close: about 1 µs each.
const FEW: u64 = 5_000;
/// The most that are counted when something is about to happen: 30 ms or so; and when the watch begins.
const SOME: u64 = 50_000;
const AT_FIRST: u64 = 1_000_000;
/// Time between two looks at bound sockets, as a multiple of what the last has cost: the kernel walks through every
/// socket for them (20 ms for 100,000).
const BOUND_PAUSE: u32 = 1000;

/// Closeness of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// As closely as the budget allows.
    Budgeted,
    /// Few sockets are all counted, whatever that costs: the program may be gone before a budget allows another look.
    WhileFew,
    /// All are counted, where they are not too many: something is about to happen.
    Now,
    /// All are counted, as the watch begins.
    First,
}

/// State that one look showed.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: Stamp,
    pub(super) counters: Option<Counters>,
    pub(super) sockets: Option<SocketTotals>,
    pub(super) conntrack: Option<Conntrack>,
    /// Some sockets were looked at anew; those that are not established were.
    pub(super) changed: bool,
    pub(super) is_new: bool,
    /// All sockets were looked at in one walk.
    pub(super) exact: bool,
    /// Time of the oldest part.
    pub(super) oldest: Stamp,
    pub(super) tallies: Tallies,
    /// Listeners, where they were looked at anew.
    pub(super) listeners: Option<Vec<Listener>>,
    /// Ports of the range that no tuple can have.
    pub(super) bound: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Survey {
    diag: Option<SockDiag>,
    files: Option<ProcNet>,
    budget: Budget,
    destinations: Vec<SocketAddr>,
    supply: PortSupply,
    /// Ports that somebody listens on, or listened on.
    server_ports: BTreeSet<u16>,
    /// Accepted connections that were listed and left out here, by port.
    accepted: HashMap<u16, u64>,
    passing: Option<(Stamp, Tallies)>,
    /// Parts of the established ones; a single one where all were looked at.
    established: Vec<Option<(Stamp, Tallies)>>,
    listeners_at: Option<Stamp>,
    bound_due: Stamp,
    bound: u64,
    unseen: Vec<String>,
    /// Share of one core that looking may cost, and what has been charged since the last settlement.
    fraction: f64,
    charged: Duration,
    /// The last look was at everything.
    whole: bool,
    /// The established ones as a whole look had them, until every part was looked at anew.
    established_before: Option<(Stamp, Tallies)>,
    /// Parts of the established ones that are being gathered.
    parts: Vec<Option<(Stamp, Tallies)>>,
}

impl Survey {
    /// A survey of the calling thread's network namespace. `destinations`: those alone are looked at, where there are any.
    pub(super) fn open(
        supply: PortSupply,
        destinations: Vec<SocketAddr>,
        fraction: f64,
        now: Stamp,
    ) -> Survey {
        let mut unseen = Vec::new();
        Survey {
            diag: noted(SockDiag::open(), "sockets (sock_diag)", &mut unseen),
            files: noted(ProcNet::open(), "counters (/proc/net)", &mut unseen),
            budget: Budget::new(fraction, now),
            destinations,
            supply,
            server_ports: BTreeSet::new(),
            accepted: HashMap::new(),
            passing: None,
            established: Vec::new(),
            listeners_at: None,
            bound_due: Stamp::ZERO,
            fraction,
            charged: Duration::ZERO,
            whole: false,
            established_before: None,
            parts: Vec::new(),
            bound: 0,
            unseen,
        }
    }

    /// Looks that failed, and why, each once.
    pub(super) fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// True if connections to a port are accepted ones.
    pub(super) fn is_server_port(&self, port: u16) -> bool {
        self.server_ports.contains(&port)
    }

    /// Notes what other looks for this watch have cost: the next ones here make up for it.
    pub(super) fn charge(&mut self, cost: Duration) {
        self.budget.charge(cost);
        self.charged += cost;
    }

    /// Charges what the whole watch has cost since the last settlement, as far as it was not charged yet.
    pub(super) fn settle(&mut self, all: Duration) {
        self.budget.charge(all.saturating_sub(self.charged));
        self.charged = Duration::ZERO;
    }

    /// Begins a new account: what the beginning has cost is no debt.
    pub(super) fn forgive(&mut self, now: Stamp) {
        self.budget = Budget::new(self.fraction, now);
        self.charged = Duration::ZERO;
    }

    /// Looks.
    pub(super) fn look(&mut self, now: Stamp, closeness: Closeness) -> Seen {
        let begun = usage::thread_cpu();
        let (counters, sockets, conntrack) = self.totals();
        let listeners = self.listeners(now);
        self.look_at_bound(now);
        let read = usage::thread_cpu();
        self.charge(read.saturating_sub(begun));
        let population = sockets.map_or_else(Population::default, |sockets| Population {
            time_wait: sockets.time_wait,
            others: sockets.tcp_in_use,
        });
        let few = population.time_wait + population.others < FEW;
        let look = match closeness {
            Closeness::WhileFew if few => Look::Whole,
            Closeness::First if population.time_wait + population.others < AT_FIRST => Look::Whole,
            Closeness::Now if population.time_wait + population.others < SOME => Look::Whole,
            _ => self.budget.choose(now, population, self.ages()),
        };
        let is_new = self.look_at_sockets(look, now);
        let looked = usage::thread_cpu();
        self.budget.looked(look, population, looked.saturating_sub(read));
        self.charged += looked.saturating_sub(read);
        let before = self.established_before.iter();
        let parts = || self.passing.iter().chain(self.established.iter().flatten()).chain(before.clone());
        let mut tallies = Tallies::default();
        if look != Look::Nothing {
            parts().for_each(|(at, part)| tallies.add(part, now.saturating_sub(*at).as_secs_f64()));
        }
        Seen {
            at: now,
            counters,
            sockets,
            conntrack,
            changed: look != Look::Nothing,
            is_new,
            exact: self.whole,
            oldest: parts().map(|(at, _)| *at).min().unwrap_or(now),
            tallies,
            listeners,
            bound: self.bound,
        }
    }

    fn ages(&self) -> Ages {
        let at = |part: &(Stamp, Tallies)| part.0;
        Ages {
            passing: self.passing.as_ref().map(at),
            // The part that was looked at last; the others are older, and their turn comes.
            established: self.established.iter().flatten().chain(&self.established_before).map(at).max(),
        }
    }

    fn totals(&mut self) -> (Option<Counters>, Option<SocketTotals>, Option<Conntrack>) {
        let unseen = &mut self.unseen;
        let Some(files) = self.files.as_mut() else { return (None, None, None) };
        (
            noted(files.counters(), "counters (netstat, snmp)", unseen),
            noted(files.sockets(), "totals of sockets (sockstat)", unseen),
            noted(files.conntrack(), "connection tracking", unseen).flatten(),
        )
    }

    fn listeners(&mut self, now: Stamp) -> Option<Vec<Listener>> {
        if self.listeners_at.is_some_and(|at| now.saturating_sub(at) < LISTENERS_EVERY) {
            return None;
        }
        self.listeners_at = Some(now);
        let found = noted(listeners::all(), "listeners (sock_diag)", &mut self.unseen)?;
        self.server_ports.extend(found.iter().map(|at| at.socket.source.port()));
        Some(found)
    }

    fn look_at_bound(&mut self, now: Stamp) {
        if now < self.bound_due {
            return;
        }
        let begun = usage::thread_cpu();
        let found = noted(held_ports::bound(&self.supply), "bound sockets (sock_diag)", &mut self.unseen);
        if let Some(found) = found {
            self.bound = self.supply.clone().holding(found).bound();
        }
        let cost = usage::thread_cpu().saturating_sub(begun);
        self.bound_due = now + BOUND_EVERY.max(cost * BOUND_PAUSE);
    }

    /// True if the passing ones were looked at.
    fn look_at_sockets(&mut self, look: Look, now: Stamp) -> bool {
        let established = StateSet::NONE.with(TcpState::Established);
        match look {
            Look::Whole => {
                let Some((passing, open)) = self.dump(StateSet::CONNECTIONS, None) else { return false };
                self.passing = Some((now, passing));
                self.established.clear();
                self.parts.clear();
                self.established_before = Some((now, open));
                self.whole = true;
                true
            }
            Look::Passing => {
                let Some((part, _)) = self.dump(StateSet::PASSING, None) else { return false };
                self.passing = Some((now, part));
                self.whole = false;
                true
            }
            Look::Established(slice) => {
                let all = 1..=u16::MAX;
                let ports = slice.ports(&all).into_iter().collect::<PortSet>();
                let Some((_, part)) = self.dump(established, Some(ports)) else { return false };
                self.keep_slice(slice, (now, part));
                self.whole = false;
                false
            }
            Look::Nothing => false,
        }
    }

    /// Keeps a part of the established ones. Until all parts were looked at, what was known before stands for them.
    fn keep_slice(&mut self, slice: Slice, part: (Stamp, Tallies)) {
        let of = slice.of as usize;
        if self.parts.len() != of {
            self.parts = vec![None; of];
        }
        self.parts[slice.part as usize] = Some(part);
        if self.parts.iter().all(Option::is_some) {
            self.established.clone_from(&self.parts);
            self.established_before = None;
        }
    }

    /// Sockets that are not established, and those that are.
    fn dump(&mut self, states: StateSet, ports: Option<PortSet>) -> Option<(Tallies, Tallies)> {
        let ports = ports.map(|ports| ports.ranges().collect()).unwrap_or_else(|| self.ports());
        let filter =
            Filter { destinations: self.destinations.clone(), source_ports: ports, ..Filter::states(states) };
        let (mut passing, mut open) = (Tallies::default(), Tallies::default());
        let (servers, accepted, rules) = (&self.server_ports, &mut self.accepted, self.supply.settings());
        let each = |socket: &Socket| {
            let port = socket.source.port();
            if servers.contains(&port) {
                *accepted.entry(port).or_default() += 1;
            } else {
                let into = if socket.state == TcpState::Established { &mut open } else { &mut passing };
                into.count(socket, &held_ports::held(socket), rules);
            }
        };
        let answer = self.diag.as_mut()?.dump(&filter, each);
        if noted(answer, "sockets (sock_diag)", &mut self.unseen).is_none() {
            self.diag = None;
            return None;
        }
        Some((passing, open))
    }

    /// All ports but those of the busiest listeners.
    fn ports(&self) -> Vec<RangeInclusive<u16>> {
        let mut busiest: Vec<u16> = self.server_ports.iter().copied().collect();
        busiest.sort_by_key(|port| std::cmp::Reverse(self.accepted.get(port).copied().unwrap_or(0)));
        busiest.truncate(LEFT_OUT);
        busiest.sort_unstable();
        let mut ranges = Vec::new();
        let mut from = 1u16;
        for port in busiest {
            if port > from {
                ranges.push(from..=port - 1);
            }
            from = port.saturating_add(1);
        }
        ranges.push(from..=u16::MAX);
        ranges
    }
}
