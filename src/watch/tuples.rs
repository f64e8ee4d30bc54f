//! The tuples of a namespace from look to look: how full each is, how it grows, who holds it, what begins.

use super::begin::Told;
use super::history::History;
use super::owners::Owners;
use super::survey::Seen;
use super::tally::{TupleTally, Way};
use crate::diagnose::watched::{PortChoice, TupleSeen};
use crate::linux::tcp_state::TcpState;
use crate::model::{Close, Kept, Onset, PortPolicy, PortSupply, Stamp, is_loopback_tuple};
use std::collections::HashMap;
use std::time::Duration;

/// Ports that have to be seen before their parity says who chose them, and the share that has to be of one parity.
const PARITY_PORTS: u64 = 32;
const PARITY_SHARE: f64 = 0.95;
/// Time after which a tuple without a socket is forgotten; its fullest moment is kept where it was worth telling.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// Seconds before a forecast moment, and after it, in which a tuple is looked at as often as can be.
const ABOUT_TO_S: f64 = 0.6;
/// Tuples that are kept for what they were.
const KEPT: usize = 256;
/// Programs whose descriptors are looked at where no process was named.
const PROGRAMS: usize = 8;

/// One tuple.
#[derive(Debug, Default)]
struct Tracked {
    history: History,
    told: Told,
    chosen: PortChoice,
    now: Option<TupleSeen>,
    fullest: Option<TupleSeen>,
    seen_at: Stamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tuples {
    supply: PortSupply,
    tracked: HashMap<Way, Tracked>,
    owners: Owners,
    beyond: u64,
    /// Tuples that are gone, as they were at their fullest.
    gone: Vec<TupleSeen>,
    worst_share: Option<f64>,
    worst_time_wait: Option<u64>,
}

impl Tuples {
    /// No tuple yet.
    pub(super) fn new(supply: PortSupply) -> Tuples {
        Tuples {
            supply,
            tracked: HashMap::new(),
            owners: Owners::default(),
            beyond: 0,
            gone: Vec::new(),
            worst_share: None,
            worst_time_wait: None,
        }
    }

    pub(super) fn supply(&self) -> &PortSupply {
        &self.supply
    }

    /// Number of tuples.
    pub(super) fn len(&self) -> u64 {
        self.tracked.values().filter(|tuple| tuple.now.is_some()).count() as u64
    }

    /// Sockets of tuples that are not counted apart.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Processes that could not be looked into.
    pub(super) fn hidden_processes(&self) -> u32 {
        self.owners.hidden()
    }

    /// The largest share of a tuple's ports that was in use.
    pub(super) fn worst_share(&self) -> Option<f64> {
        self.worst_share
    }

    /// The most TIME_WAIT sockets of a tuple.
    pub(super) fn worst_time_wait(&self) -> Option<u64> {
        self.worst_time_wait
    }

    /// Looks for programs, if it is time; returns what that has cost.
    pub(super) fn learn(&mut self, seen: &Seen, family: &[u32], now: Stamp) -> Duration {
        self.owners.learn(&seen.tallies.by_way, family, now)
    }

    /// Process ids of the programs that hold the fullest tuples.
    pub(super) fn programs(&self) -> Vec<u32> {
        let mut pids: Vec<u32> =
            self.now(PROGRAMS).iter().flat_map(|tuple| tuple.holders.iter().map(|at| at.pid)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.truncate(PROGRAMS);
        pids
    }

    /// Takes in a look, and tells what begins. Tuples that are known to be of others than `family` are passed over, where
    /// there is one.
    pub(super) fn look(&mut self, seen: &Seen, family: &[u32]) -> Vec<Onset> {
        if !seen.changed {
            return Vec::new();
        }
        self.beyond = seen.tallies.beyond;
        let ours = |way: &Way, owners: &Owners| family.is_empty() || !owners.are_others(way, family);
        for (way, tally) in &seen.tallies.by_way {
            let tracked = self.tracked.entry(*way).or_default();
            tracked.seen_at = seen.at;
            if seen.is_new {
                tracked.history.look(seen.at, tally);
            }
            tracked.chosen = chosen(tracked.chosen, tally, &self.supply);
        }
        let by_bind: u64 = self
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.chosen == PortChoice::Bind)
            .filter_map(|(way, _)| Some(seen.tallies.by_way.get(way)?.inside))
            .sum();
        let first_half = self.supply.settings().tried_first(PortPolicy::Kernel).map(u64::from);
        let mut onsets = Vec::new();
        for (way, tracked) in &mut self.tracked {
            let Some(tally) = seen.tallies.by_way.get(way).filter(|_| ours(way, &self.owners)) else {
                tracked.now = None;
                continue;
            };
            let own = if tracked.chosen == PortChoice::Bind { tally.inside } else { 0 };
            let poisoned = by_bind.saturating_sub(own);
            let mut now = described((way, tally), seen, &self.supply, poisoned, tracked);
            now.holders = self.owners.of(way);
            self.worst_share = [self.worst_share, now.share()].into_iter().flatten().reduce(f64::max);
            self.worst_time_wait = self.worst_time_wait.max(Some(now.sockets.get(TcpState::TimeWait)));
            if seen.is_new {
                onsets.extend(tracked.told.tuple(&now, first_half, seen.at));
            }
            let fuller = |before: &TupleSeen| (now.ports_used, now.exact) > (before.ports_used, before.exact);
            if tracked.fullest.as_ref().is_none_or(fuller) {
                tracked.fullest = Some(now.clone());
            }
            tracked.now = Some(now);
        }
        self.forget(seen.at);
        onsets.sort_by_key(|onset| (onset.at, onset.source, onset.destination));
        onsets
    }

    /// True if a tuple is about to have no port left, as the last looks have it, and was not seen to have none.
    pub(super) fn are_about_to_run_out(&self, now: Stamp) -> bool {
        self.tracked
            .values()
            .filter_map(|tuple| tuple.now.as_ref().filter(|_| !tuple.told.is_exhausted()))
            .any(|tuple| {
                let since = now.as_secs_f64() - tuple.seen_at_s;
                tuple.time_left_s.is_some_and(|left| left - since < ABOUT_TO_S && left - since > -ABOUT_TO_S)
            })
    }

    /// Tuples as they are now, the fullest first.
    pub(super) fn now(&self, most: usize) -> Vec<TupleSeen> {
        first(self.tracked.values().filter_map(|tuple| tuple.now.clone()).collect(), most)
    }

    /// Tuples as they were at their fullest, the fullest first. Programs that were found later are theirs as well.
    pub(super) fn fullest(&self, most: usize) -> Vec<TupleSeen> {
        let there = self.tracked.iter().filter_map(|(way, tuple)| {
            let mut fullest = tuple.fullest.clone()?;
            let known = self.owners.of(way);
            if !known.is_empty() {
                fullest.holders = known;
            }
            Some(fullest)
        });
        first(there.chain(self.gone.iter().cloned()).collect(), most)
    }

    fn forget(&mut self, now: Stamp) {
        let gone = &mut self.gone;
        self.tracked.retain(|_, tuple| {
            let stays = now.saturating_sub(tuple.seen_at) < FORGOTTEN;
            if !stays && gone.len() < KEPT {
                gone.extend(tuple.fullest.take());
            }
            stays
        });
    }
}

fn first(mut tuples: Vec<TupleSeen>, most: usize) -> Vec<TupleSeen> {
    let key = |tuple: &TupleSeen| tuple.share().unwrap_or(0.0);
    tuples.sort_by(|a, b| {
        key(b).total_cmp(&key(a)).then_with(|| (a.destination, a.source).cmp(&(b.destination, b.source)))
    });
    tuples.truncate(most);
    tuples
}

/// Who chose the ports. Once half of them are in use the numbers tell no more; what they told before stands.
fn chosen(before: PortChoice, tally: &TupleTally, supply: &PortSupply) -> PortChoice {
    let Some(first) = supply.settings().tried_first(PortPolicy::Kernel) else { return PortChoice::NotSeen };
    let others = u64::from(supply.usable()).saturating_sub(first.into());
    if tally.inside < PARITY_PORTS || tally.inside >= u64::from(first).min(others) {
        return before;
    }
    let last = tally.tried_last as f64 / tally.inside as f64;
    match last {
        share if share >= PARITY_SHARE => PortChoice::Bind,
        share if share <= 1.0 - PARITY_SHARE => PortChoice::Connect,
        _ => PortChoice::NotSeen,
    }
}

fn described(
    (way, tally): (&Way, &TupleTally),
    seen: &Seen,
    supply: &PortSupply,
    poisoned: u64,
    tracked: &Tracked,
) -> TupleSeen {
    let (source, destination) = *way;
    let rules = supply.settings();
    let kept =
        rules.kept_after_close(PortPolicy::Kernel, Close::Fin, is_loopback_tuple(source, destination.ip()));
    let usable = u64::from(supply.usable()).saturating_sub(seen.bound).saturating_sub(poisoned);
    let growth = tracked.history.growth(usable, rules.longest(kept));
    TupleSeen {
        source,
        destination,
        seen_at_s: seen.at.as_secs_f64(),
        exact: seen.exact,
        age_s: seen.at.saturating_sub(seen.oldest).as_secs_f64(),
        sockets: tally.sockets,
        ports_used: tally.used(),
        ports_usable: usable,
        ports_bound: seen.bound,
        ports_poisoned: poisoned,
        reusable: tally.reusable,
        outside_range: tally.outside,
        syn_sent_again: tally.syn_sent_again,
        closed_per_s: seen.is_new.then_some(tally.closed_of_late as f64),
        taken_per_s: growth.map(|growth| growth.taken_per_s),
        time_left_s: growth.and_then(|growth| growth.time_left_s),
        ceiling_per_s: match kept {
            Kept::Reused(delay) if !delay.is_zero() => Some(usable as f64 / delay.as_secs_f64()),
            _ => None,
        },
        chosen: tracked.chosen,
        holders: Vec::new(),
    }
}
