//! Connections in CLOSE_WAIT, each followed from look to look: how long a program keeps what its peer has closed.

use super::survey::Survey;
use crate::diagnose::watched::{HalfClosed, HalfClosedEnd};
use crate::linux::holders::{self, Holder};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::usage;
use crate::model::Stamp;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Sockets that are followed, at most.
const MOST: u64 = 100_000;
/// Ends that are told, and inodes that a program is looked for by.
const ENDS: usize = 32;
const INODES: usize = 4;
/// Descriptors that a search may look at.
const SEARCHED: u32 = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HalfClosedWatch {
    /// By cookie: where it belongs, and when it was first seen in that state.
    since: HashMap<u64, (HalfClosedEnd, Stamp)>,
    holders: HashMap<HalfClosedEnd, Option<Holder>>,
    due: Stamp,
    /// As of the last look.
    pub(super) now: Vec<HalfClosed>,
    /// Each end at its worst.
    pub(super) worst: HashMap<HalfClosedEnd, HalfClosed>,
}

impl HalfClosedWatch {
    /// Looks, if it is time.
    pub(super) fn look(&mut self, survey: &mut Survey, now: Stamp) {
        if now < self.due {
            return;
        }
        let begun = usage::thread_cpu();
        let mut inodes: HashMap<HalfClosedEnd, Vec<u32>> = HashMap::new();
        let mut still = HashMap::new();
        let filter = Filter { limit: MOST, ..Filter::states(StateSet::NONE.with(TcpState::CloseWait)) };
        let asked = SockDiag::open().and_then(|mut diag| {
            diag.dump(&filter, |socket| {
                let end = match survey.is_server_port(socket.source.port()) {
                    true => HalfClosedEnd::AcceptedOn(socket.source.port()),
                    false => HalfClosedEnd::MadeTo(socket.destination),
                };
                let since = self.since.get(&socket.cookie).map_or(now, |(_, since)| *since);
                still.insert(socket.cookie, (end, since));
                let some = inodes.entry(end).or_default();
                if some.len() < INODES && socket.inode != 0 {
                    some.push(socket.inode);
                }
            })
        });
        if asked.is_err() {
            // The survey tells why sockets can't be seen.
            self.due = now + EVERY;
            return;
        }
        self.since = still;
        self.now = self.grouped(now);
        self.find_holders(&inodes);
        for half in &mut self.now {
            half.holder = self.holders.get(&half.end).cloned().flatten();
            let worst = self.worst.entry(half.end).or_insert_with(|| half.clone());
            if (half.for_long, half.sockets) >= (worst.for_long, worst.sockets) {
                *worst = half.clone();
            }
        }
        let cost = usage::thread_cpu().saturating_sub(begun);
        survey.charge(cost);
        // Not more than a fifth of a hundredth of a core.
        self.due = now + EVERY.max(cost * 500);
    }

    fn grouped(&self, now: Stamp) -> Vec<HalfClosed> {
        let mut by_end: HashMap<HalfClosedEnd, HalfClosed> = HashMap::new();
        for (end, since) in self.since.values() {
            let age = now.saturating_sub(*since).as_secs_f64();
            let half = by_end.entry(*end).or_insert(HalfClosed {
                end: *end,
                holder: None,
                sockets: 0,
                for_long: 0,
                oldest_s: 0.0,
            });
            half.sockets += 1;
            half.for_long += u64::from(age >= HalfClosed::LONG_S);
            half.oldest_s = half.oldest_s.max(age);
        }
        let mut ends: Vec<HalfClosed> = by_end.into_values().collect();
        ends.sort_by_key(|half| {
            (std::cmp::Reverse(half.for_long), std::cmp::Reverse(half.sockets), half.end)
        });
        ends.truncate(ENDS);
        ends
    }

    /// Who holds those that have been there for long; each end is asked about once.
    fn find_holders(&mut self, inodes: &HashMap<HalfClosedEnd, Vec<u32>>) {
        let unknown: Vec<HalfClosedEnd> = self
            .now
            .iter()
            .filter(|half| half.for_long > 0 && !self.holders.contains_key(&half.end))
            .map(|half| half.end)
            .collect();
        let wanted: HashSet<u32> =
            unknown.iter().filter_map(|end| inodes.get(end)).flatten().copied().collect();
        if wanted.is_empty() {
            return;
        }
        let found = holders::find(&wanted, SEARCHED);
        for end in unknown {
            let holder = inodes.get(&end).into_iter().flatten().find_map(|inode| found.by_inode.get(inode));
            self.holders.insert(end, holder.cloned());
        }
    }
}
