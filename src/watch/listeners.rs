//! The listeners of a namespace from look to look, each with what it has dropped since the watch began.

use super::survey::Survey;
use crate::diagnose::watched::ListenerSeen;
use crate::linux::holders::{self, Holder};
use crate::linux::listeners::Listener;
use crate::linux::usage;
use std::collections::{HashMap, HashSet};

/// Descriptors that a search for the programs may look at.
const SEARCHED: u32 = 20_000;

/// One listener, by its cookie.
#[derive(Debug)]
struct Known {
    drops_before: Option<u32>,
    waiting_max: u32,
    holder: Option<Holder>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ListenerWatch {
    known: HashMap<u64, Known>,
    /// A look has been made: listeners that come later are new, and all their drops are of the watch.
    looked: bool,
    /// All of them, as of the last look.
    pub(super) now: Vec<ListenerSeen>,
}

impl ListenerWatch {
    /// Takes in a look.
    pub(super) fn look(&mut self, listeners: &[Listener], survey: &mut Survey) {
        let new: Vec<&Listener> =
            listeners.iter().filter(|at| !self.known.contains_key(&at.socket.cookie)).collect();
        if !new.is_empty() {
            let begun = usage::thread_cpu();
            let inodes: HashSet<u32> =
                new.iter().map(|at| at.socket.inode).filter(|inode| *inode != 0).collect();
            let mut found = holders::find(&inodes, SEARCHED).by_inode;
            for at in new {
                let known = Known {
                    drops_before: if self.looked { at.drops.map(|_| 0) } else { at.drops },
                    waiting_max: 0,
                    holder: found.remove(&at.socket.inode),
                };
                self.known.insert(at.socket.cookie, known);
            }
            survey.charge(usage::thread_cpu().saturating_sub(begun));
        }
        self.looked = true;
        // One that is gone has no number any more; what it dropped stays told by its onset.
        let there: HashSet<u64> = listeners.iter().map(|at| at.socket.cookie).collect();
        self.known.retain(|cookie, _| there.contains(cookie));
        self.now = listeners.iter().filter_map(|at| self.seen(at)).collect();
    }

    fn seen(&mut self, at: &Listener) -> Option<ListenerSeen> {
        let known = self.known.get_mut(&at.socket.cookie)?;
        known.waiting_max = known.waiting_max.max(at.socket.receive_queue);
        let dropped = at.drops.zip(known.drops_before);
        Some(ListenerSeen {
            address: at.socket.source,
            waiting: at.socket.receive_queue,
            backlog: at.socket.send_queue,
            waiting_max: known.waiting_max,
            dropped: dropped.map(|(now, before)| u64::from(now.saturating_sub(before))),
            holder: known.holder.clone(),
        })
    }

    /// So many at most: those with the most drops and the longest queues first.
    pub(super) fn worst_first(&self, most: usize) -> Vec<ListenerSeen> {
        let mut all = self.now.clone();
        all.sort_by_key(|at| (std::cmp::Reverse((at.dropped, at.waiting)), at.address.port(), at.address));
        all.truncate(most);
        all
    }
}
