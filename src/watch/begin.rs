//! Onsets of programs that are not ours, each told when it begins. Pure: what was seen is handed in.
//!
//! An onset is told once for a tuple, a listener or a program, and again only after its trouble was over. A number of
//! the whole namespace is used only where nobody else is in it.

use crate::diagnose::watched::{HalfClosed, HalfClosedEnd, ListenerSeen, TupleSeen};
use crate::linux::proc_net::{Conntrack, Counters};
use crate::linux::tcp_state::TcpState;
use crate::model::{Evidence, Onset, OnsetKind, PORTS_LOW, Stamp};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Share of free ports from which on exhaustion is over, and for how long there have to be as many.
const RECOVERED: f64 = 0.05;
const RECOVERED_FOR: Duration = Duration::from_secs(2);
/// Share of a tuple's ports that has to be in use before its forecast is told, and the farthest that is told.
const WORTH_TELLING: f64 = 0.05;
const SOON_S: f64 = 300.0;
/// SYNs sent again at one look that can't be chance.
const SYNS: u64 = 2;
/// Connections kept after their peer has closed that are told as a leak.
const LEAK: u64 = 10;

/// Onsets told of one tuple.
#[derive(Debug, Default)]
pub(super) struct Told {
    half: bool,
    low: bool,
    building: bool,
    /// Looks in a row whose forecast was near: one alone may be the first burst of a program.
    near: u32,
    syns: bool,
    exhausted: bool,
    /// Since when there have been enough free ports again.
    free_since: Option<Stamp>,
}

impl Told {
    /// True if no port was left, and that is not over.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Onsets of a tuple. `first_half` are the ports that connect() tries first, where it does.
    pub(super) fn tuple(&mut self, seen: &TupleSeen, first_half: Option<u64>, now: Stamp) -> Vec<Onset> {
        let mut onsets = Vec::new();
        let (free, share) = (seen.free(), seen.share().unwrap_or(0.0));
        let mut tell = |kind| onsets.push(of_tuple(kind, seen, now));
        // The number of an older look says nothing of now.
        if free == 0 && seen.ports_usable > 0 {
            if !self.exhausted {
                (self.exhausted, self.low, self.half) = (true, true, true);
                tell(OnsetKind::PortsExhausted);
            }
            self.free_since = None;
            return onsets;
        }
        if self.exhausted {
            let enough = free as f64 >= (seen.ports_usable as f64 * RECOVERED).max(1.0);
            let since = *self.free_since.get_or_insert(now);
            if !enough {
                self.free_since = None;
            } else if now.saturating_sub(since) >= RECOVERED_FOR {
                *self = Told { syns: self.syns, ..Told::default() };
                tell(OnsetKind::PortsRecovered);
            }
            return onsets;
        }
        let near = seen.time_left_s.is_some_and(|left| left <= SOON_S) && share >= WORTH_TELLING;
        self.near = if near { self.near + 1 } else { 0 };
        let mostly_time_wait = seen.sockets.get(TcpState::TimeWait) * 2 > seen.ports_used;
        if self.near >= 2 && mostly_time_wait && !self.building {
            self.building = true;
            tell(OnsetKind::TimeWaitBuilding);
        }
        if first_half.is_some_and(|half| seen.ports_used >= half) && !self.half {
            self.half = true;
            tell(OnsetKind::PortSearchSlow);
        }
        if share >= PORTS_LOW && !self.low {
            self.low = true;
            tell(OnsetKind::PortsLow);
        }
        if seen.syn_sent_again >= SYNS && !self.syns {
            self.syns = true;
            tell(OnsetKind::SynRetransmits);
        }
        onsets
    }
}

fn of_tuple(kind: OnsetKind, seen: &TupleSeen, now: Stamp) -> Onset {
    let left = seen.time_left_s.filter(|_| seen.free() > 0);
    let known = |count: u64| (count > 0).then_some(count);
    let evidence = Evidence::default()
        .with("ports_in_use", seen.ports_used)
        .with("ports_usable", seen.ports_usable)
        .with("time_wait", seen.sockets.get(TcpState::TimeWait))
        .with("live", seen.live())
        .with_known("time_wait_reusable", known(seen.reusable))
        .with_known("ports_taken_by_bind", known(seen.ports_poisoned))
        .with_known("ports_taken_per_s", seen.taken_per_s)
        .with_known("forecast_exhausted_at_s", left.map(|left| now.as_secs_f64() + left))
        .with_known("ceiling_per_s", seen.ceiling_per_s)
        .with_known("syn_sent_again", known(seen.syn_sent_again))
        .with_known("held_by", seen.who());
    Onset {
        source: Some(seen.source),
        destination: Some(seen.destination),
        ..Onset::new(kind, now, evidence)
    }
}

/// Who else is in the network namespace that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Nobody but the program: each number of the namespace is its own.
    Alone,
    /// Others may be.
    Others,
}

/// Onsets told of everything but tuples.
#[derive(Debug, Default)]
pub(super) struct ToldOfOthers {
    listeners: HashMap<SocketAddr, u64>,
    leaks: HashMap<(Option<u32>, HalfClosedEnd), bool>,
    refusals: bool,
    capped: bool,
    conntrack: bool,
    tables: HashMap<u32, bool>,
}

impl ToldOfOthers {
    /// A listener that dropped handshakes, or has more waiting than its backlog.
    pub(super) fn listener(&mut self, seen: &ListenerSeen, now: Stamp) -> Option<Onset> {
        let full = seen.waiting > seen.backlog;
        let dropped = seen.dropped.unwrap_or(0);
        if (dropped == 0 && !full) || self.listeners.contains_key(&seen.address) {
            return None;
        }
        self.listeners.insert(seen.address, dropped);
        let evidence = Evidence::default()
            .with("waiting", seen.waiting)
            .with("backlog", seen.backlog)
            .with_known("dropped_by_it", seen.dropped)
            .with_known("held_by", seen.holder.as_ref().map(|at| format!("{} (pid {})", at.name, at.pid)));
        Some(Onset {
            destination: Some(seen.address),
            ..Onset::new(OnsetKind::AcceptQueueFull, now, evidence)
        })
    }

    /// A program that keeps what its peer has closed.
    pub(super) fn leak(&mut self, seen: &HalfClosed, now: Stamp) -> Option<Onset> {
        let key = (seen.holder.as_ref().map(|holder| holder.pid), seen.end);
        if seen.for_long < LEAK || self.leaks.insert(key, true).is_some() {
            return None;
        }
        let who = seen.holder.as_ref().map(|at| format!("{} (pid {})", at.name, at.pid));
        let (destination, port) = match seen.end {
            HalfClosedEnd::MadeTo(to) => (Some(to), None),
            HalfClosedEnd::AcceptedOn(port) => (None, Some(port)),
        };
        let evidence = Evidence::default()
            .with("close_wait", seen.sockets)
            .with("close_wait_for_long", seen.for_long)
            .with("oldest_s", seen.oldest_s)
            .with_known("accepted_on_port", port.map(u32::from))
            .with_known("held_by", who);
        Some(Onset { destination, ..Onset::new(OnsetKind::CloseWaitLeak, now, evidence) })
    }

    /// A program without a free descriptor.
    pub(super) fn table(&mut self, table: &crate::linux::holders::Table, now: Stamp) -> Option<Onset> {
        if !table.is_full() || self.tables.insert(table.holder.pid, true).is_some() {
            return None;
        }
        let evidence = Evidence::default()
            .with("descriptors_open", table.open)
            .with_known("descriptors_limit", table.limit)
            .with("held_by", format!("{} (pid {})", table.holder.name, table.holder.pid));
        Some(Onset::new(OnsetKind::FdLimit, now, evidence))
    }

    /// Onsets that the counters of the namespace show since the start of the watch.
    pub(super) fn counters(&mut self, since_start: &Counters, company: Company, now: Stamp) -> Vec<Onset> {
        let mut onsets = Vec::new();
        if since_start.time_wait_overflow > 0 && !self.capped {
            self.capped = true;
            let evidence = Evidence::default().with("destroyed", since_start.time_wait_overflow);
            onsets.push(Onset::new(OnsetKind::TimeWaitCapped, now, evidence));
        }
        // A handshake that failed, and a RST of this namespace's own: only where nobody else is in it.
        let refused = since_start.attempt_fails > 0 && since_start.resets_sent > 0;
        if company == Company::Alone && refused && !self.refusals {
            self.refusals = true;
            let evidence = Evidence::default().with("attempt_fails", since_start.attempt_fails);
            onsets.push(Onset::new(OnsetKind::Refusals, now, evidence));
        }
        onsets
    }

    /// Connection tracking that is nearly full.
    pub(super) fn conntrack(&mut self, seen: &Conntrack, now: Stamp) -> Option<Onset> {
        if !seen.is_nearly_full() || self.conntrack {
            return None;
        }
        self.conntrack = true;
        let evidence =
            Evidence::default().with("nf_conntrack_count", seen.count).with("nf_conntrack_max", seen.max);
        Some(Onset::new(OnsetKind::ConntrackNearFull, now, evidence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::watched::tests as sample;

    fn tuple(used: u64, left: Option<f64>) -> TupleSeen {
        TupleSeen { time_left_s: left, ..sample::tuple(&[(TcpState::TimeWait, used)], 1000) }
    }

    fn kinds(onsets: Vec<Onset>) -> Vec<OnsetKind> {
        onsets.into_iter().map(|onset| onset.kind).collect()
    }

    #[test]
    fn each_step_towards_exhaustion_is_told_once() {
        use OnsetKind::{PortSearchSlow, PortsExhausted, PortsLow, PortsRecovered, TimeWaitBuilding};
        let mut told = Told::default();
        let mut look =
            |used, left, at: u64| kinds(told.tuple(&tuple(used, left), Some(500), Duration::from_secs(at)));
        assert_eq!(look(100, Some(9.0), 1), []);
        assert_eq!(look(200, Some(8.0), 2), [TimeWaitBuilding]);
        assert_eq!(look(600, Some(4.0), 6), [PortSearchSlow]);
        assert_eq!(look(850, Some(2.0), 8), [PortsLow]);
        assert_eq!(look(1000, Some(0.0), 10), [PortsExhausted]);
        assert_eq!(look(1000, Some(0.0), 11), []);
        assert_eq!(look(990, None, 12), [], "a few that came back are taken again");
        assert_eq!(look(900, None, 60), []);
        assert_eq!(look(1000, None, 61), [], "it was not over");
        assert_eq!(look(600, None, 70), []);
        assert_eq!(look(500, None, 73), [PortsRecovered]);
        assert_eq!(look(1000, Some(0.0), 90), [PortsExhausted], "again");
    }

    #[test]
    fn a_listener_is_told_by_its_own_drops() {
        let mut told = ToldOfOthers::default();
        let mut seen = ListenerSeen {
            address: "0.0.0.0:80".parse().unwrap(),
            waiting: 16,
            backlog: 16,
            waiting_max: 16,
            dropped: Some(0),
            holder: None,
        };
        assert!(told.listener(&seen, Stamp::ZERO).is_none(), "as many as the backlog is not full");
        seen.dropped = Some(1);
        assert!(told.listener(&seen, Stamp::ZERO).is_some());
        assert!(told.listener(&seen, Stamp::ZERO).is_none());
    }

    #[test]
    fn refusals_of_the_namespace_are_told_only_where_nobody_else_is() {
        let counters = Counters { attempt_fails: 3, resets_sent: 3, ..Counters::default() };
        let told = |company| kinds(ToldOfOthers::default().counters(&counters, company, Stamp::ZERO));
        assert_eq!(told(Company::Others), []);
        assert_eq!(told(Company::Alone), [OnsetKind::Refusals]);
    }
}
