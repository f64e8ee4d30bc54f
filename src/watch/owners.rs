//! Programs that hold the connections of a tuple, learnt over time.
//!
//! A socket in TIME_WAIT has no process any more; its tuple belongs to the programs that were seen to hold live sockets of
//! it. A connection that lives for a fraction of a millisecond is gone before its inode is found anywhere. So for these
//! the programs whose sockets come and go are looked at again and again, each time beside a list of the tuple's live
//! sockets, until one is in both. Where that does not come to pass, the only program whose sockets come and go, beside
//! the server's, is named as probable.

use super::tally::{TupleTally, Way};
use crate::diagnose::watched::TupleHolder;
use crate::linux::holders::{self, Holder};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::usage;
use crate::model::Stamp;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Tuples whose programs are looked for at once: those with the most ports in use.
const TUPLES: usize = 32;
/// Descriptors that one search may look at, about 1.5 µs each, and that one program is asked for in a chase.
const SEARCHED: u32 = 40_000;
const CHASED: u32 = 1024;
/// CPU that one chase of a fleeting connection may cost, and processes beside which that is done.
const CHASE: Duration = Duration::from_millis(25);
const PROGRAMS: usize = 48;
/// Sockets that have to come and go during a chase for its program to be concluded from them.
const CHURN: usize = 2;
/// Ports in use above which a fleeting connection is worth a chase.
const WORTH_A_CHASE: u64 = 8;
/// Time between two searches, as a multiple of what the last has cost.
const PAUSE: u32 = 200;
const PAUSE_OF_ONE: u32 = 20;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Names that are kept of a tuple.
const NAMES: usize = 4;
/// Processes that are kept of a name.
const PIDS: usize = 1000;
/// Time after which the programs of a tuple are looked for anew.
const KNOWN_FOR: Duration = Duration::from_secs(15);

/// Way in which a program came to be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    /// The program is the only one whose sockets come and go.
    Concluded,
    /// The program was seen to hold a socket of the tuple.
    Seen,
}

/// Sockets of one program that come and go.
#[derive(Debug, Default)]
struct Fleeting {
    last: HashSet<u32>,
    /// Sockets that were there at one look and not at the next.
    gone: usize,
}

impl Fleeting {
    fn look(&mut self, inodes: &HashSet<u32>) {
        self.gone += self.last.difference(inodes).count();
        self.last.clone_from(inodes);
    }
}

/// Knowledge of a tuple.
#[derive(Debug, Default)]
struct Known {
    sure: Option<Sure>,
    /// Programs by name: process ids that were seen, the last one last.
    programs: Vec<(String, Vec<u32>)>,
    at: Option<Stamp>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owners {
    known: HashMap<Way, Known>,
    due: Stamp,
    /// Processes whose descriptors this user may not look at.
    hidden: u32,
}

impl Owners {
    /// The programs of a tuple.
    pub(super) fn of(&self, way: &Way) -> Vec<TupleHolder> {
        let known = self.known.get(way);
        let programs = known.map(|known| &known.programs[..]).unwrap_or_default();
        let holder = |(name, pids): &(String, Vec<u32>)| TupleHolder {
            pid: pids.last().copied().unwrap_or_default(),
            name: name.clone(),
            processes: u32::try_from(pids.len()).unwrap_or(u32::MAX),
            seen: known.is_some_and(|known| known.sure == Some(Sure::Seen)),
        };
        programs.iter().map(holder).collect()
    }

    /// True if the programs of a tuple are known, and none of these is among them.
    pub(super) fn are_others(&self, way: &Way, pids: &[u32]) -> bool {
        self.known.get(way).is_some_and(|known| {
            !known.programs.is_empty()
                && !known.programs.iter().any(|(_, of)| of.iter().any(|pid| pids.contains(pid)))
        })
    }

    /// Processes that could not be looked into.
    pub(super) fn hidden(&self) -> u32 {
        self.hidden
    }

    /// Looks for the programs of the fullest tuples, if it is time; returns what that has cost. `first` are processes that
    /// are looked at before others.
    pub(super) fn learn(
        &mut self,
        tallies: &HashMap<Way, TupleTally>,
        first: &[u32],
        now: Stamp,
    ) -> Duration {
        if now < self.due {
            return Duration::ZERO;
        }
        let begun = usage::thread_cpu();
        let mut fullest: Vec<(&Way, &TupleTally)> =
            tallies.iter().filter(|(way, _)| self.is_due(way, now)).collect();
        fullest.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.sockets.total()));
        fullest.truncate(TUPLES);
        self.search(&fullest, now);
        let fleeting = fullest.iter().find(|(way, tally)| {
            let seen = self.known.get(*way).is_some_and(|known| known.sure == Some(Sure::Seen));
            tally.sockets.total() >= WORTH_A_CHASE && !seen
        });
        if let Some((way, _)) = fleeting {
            self.chase(way, first, now);
        }
        let cost = usage::thread_cpu().saturating_sub(begun);
        // One program, and no other, is soon looked into.
        let pause = if first.is_empty() { PAUSE } else { PAUSE_OF_ONE };
        self.due = now + (cost * pause).max(SHORTEST_PAUSE);
        self.known.retain(|way, _| tallies.contains_key(way));
        cost
    }

    fn is_due(&self, way: &Way, now: Stamp) -> bool {
        let Some(known) = self.known.get(way) else { return true };
        known.sure != Some(Sure::Seen) || known.at.is_none_or(|at| now.saturating_sub(at) >= KNOWN_FOR)
    }

    fn search(&mut self, tuples: &[(&Way, &TupleTally)], now: Stamp) {
        let inodes: HashSet<u32> =
            tuples.iter().flat_map(|(_, tally)| tally.inodes.iter().copied()).collect();
        if inodes.is_empty() {
            return;
        }
        let found = holders::find(&inodes, SEARCHED);
        self.hidden = self.hidden.max(found.hidden);
        for (way, tally) in tuples {
            for holder in tally.inodes.iter().filter_map(|inode| found.by_inode.get(inode)) {
                self.note(way, holder, Sure::Seen, now);
            }
        }
    }

    /// Looks for the program of connections that are gone too soon: again and again first at what each program holds,
    /// then at the tuple's live sockets.
    fn chase(&mut self, way: &Way, first: &[u32], now: Stamp) {
        let candidates = self.candidates(first);
        let Ok(mut diag) = SockDiag::open() else { return };
        let live = StateSet::CONNECTIONS.without(TcpState::TimeWait).without(TcpState::FinWait2);
        let filter =
            Filter { sources: vec![(way.0, prefix(way))], destinations: vec![way.1], ..Filter::states(live) };
        let mut fleeting: HashMap<u32, Fleeting> = HashMap::new();
        let begun = usage::thread_cpu();
        while usage::thread_cpu().saturating_sub(begun) < CHASE {
            let held: Vec<(u32, HashSet<u32>)> = candidates
                .iter()
                .filter_map(|pid| Some((*pid, holders::sockets_of(*pid, CHASED)?)))
                .collect();
            let mut listed = HashSet::new();
            if held.is_empty() || diag.dump(&filter, |socket| _ = listed.insert(socket.inode)).is_err() {
                return;
            }
            listed.remove(&0);
            let mut found = false;
            for (pid, inodes) in &held {
                fleeting.entry(*pid).or_default().look(inodes);
                if !inodes.is_disjoint(&listed)
                    && let Some(holder) = holders::process(*pid)
                {
                    self.note(way, &holder, Sure::Seen, now);
                    found = true;
                }
            }
            if found {
                return;
            }
        }
        // A process that was named is meant, though it be the server as well.
        let server = if first.is_empty() { holders_of_listener(way) } else { Vec::new() };
        self.conclude(way, &fleeting, &server, now);
    }

    /// Processes of this network namespace; those that are named alone, where there are any.
    fn candidates(&self, first: &[u32]) -> Vec<u32> {
        if !first.is_empty() {
            return first.to_vec();
        }
        let here = thread_network();
        let beside = |pid: &u32| *pid != std::process::id() && holders::network_of(*pid) == here;
        // Who holds no socket and no way to wait for one at the moment may connect in the next.
        let mut all: Vec<u32> = holders::all_processes().into_iter().filter(beside).collect();
        all.truncate(PROGRAMS);
        all
    }

    /// The one program whose sockets come and go, where there is one beside the server that accepts them.
    fn conclude(&mut self, way: &Way, fleeting: &HashMap<u32, Fleeting>, server: &[u32], now: Stamp) {
        let mut churning: Vec<Holder> = fleeting
            .iter()
            .filter(|(pid, sockets)| sockets.gone >= CHURN && !server.contains(pid))
            .filter_map(|(pid, _)| holders::process(*pid))
            .collect();
        churning.sort();
        // Workers of one program may well be several.
        if let [one, others @ ..] = &churning[..]
            && others.iter().all(|other| other.name == one.name)
        {
            churning.iter().for_each(|holder| self.note(way, holder, Sure::Concluded, now));
        }
    }

    fn note(&mut self, way: &Way, holder: &Holder, sure: Sure, now: Stamp) {
        let known = self.known.entry(*way).or_default();
        if sure == Sure::Seen && known.sure != Some(Sure::Seen) {
            // What was concluded gives way to what was seen.
            known.programs.clear();
        }
        known.sure = known.sure.max(Some(sure));
        known.at = Some(now);
        let names = known.programs.len();
        match known.programs.iter_mut().find(|(name, _)| *name == holder.name) {
            Some((_, pids)) => {
                pids.retain(|pid| *pid != holder.pid);
                if pids.len() >= PIDS {
                    pids.remove(0);
                }
                pids.push(holder.pid);
            }
            None if names < NAMES => {
                known.programs.push((holder.name.clone(), vec![holder.pid]));
            }
            None => {}
        }
    }
}

fn prefix(way: &Way) -> u8 {
    if way.0.is_ipv4() { 32 } else { 128 }
}

/// Processes that listen at the destination, where it is this host's.
fn holders_of_listener(way: &Way) -> Vec<u32> {
    let Ok(listeners) = SockDiag::open().and_then(|mut diag| diag.listeners()) else { return Vec::new() };
    let there = |own: std::net::SocketAddr| {
        own.port() == way.1.port() && (own.ip() == way.1.ip() || own.ip().is_unspecified())
    };
    let inodes: HashSet<u32> = listeners
        .iter()
        .filter(|at| there(at.source))
        .map(|at| at.inode)
        .filter(|inode| *inode != 0)
        .collect();
    let found = holders::find(&inodes, SEARCHED);
    found.by_inode.into_values().map(|holder| holder.pid).collect()
}

/// The network namespace of this thread, which may be another than that of the process.
fn thread_network() -> Option<u64> {
    crate::linux::netns::Namespace::current().and_then(|namespace| namespace.id()).ok()
}
