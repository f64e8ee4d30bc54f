//! Limit of the memory that peers may make this process hold, while a run goes on.
//!
//! Two things bound it. The plan's `memory` is for the whole process: what it took before the run, what its workers take, and
//! what each open connection takes are not the peers' to have. And whatever the plan says, of the memory that could be
//! had at the beginning a tenth is left: the kernel's sockets and other programs take of it too, so that it is looked at
//! again and again.
//!
//! A byte that is held may cost two: blocks are moved as they grow, and what was freed is not always of use. So each look
//! lets peers have half of what is left, and the next one half of the rest.

use super::error::RunError;
use super::open_count::OpenCount;
use crate::capacity::Costs;
use crate::linux::memory::{available, keep_no_large_blocks};
use crate::linux::usage::resident_bytes;
use crate::model::MemoryBudget;
use std::sync::Arc;

/// A worker's own memory: its buffers, its histograms and those on their way to the main thread.
const OF_A_WORKER: u64 = 2 << 20;

/// Of the memory that can be had when the run begins, the part that is left to others, as a divisor.
const LEFT_TO_OTHERS: u64 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    budget: Arc<MemoryBudget>,
    /// `None`: the plan has no limit.
    planned: Option<Planned>,
    /// Memory that the process had before the run.
    before: u64,
    /// Memory that is left to others.
    reserve: u64,
    open: Arc<OpenCount>,
}

/// Limit of the plan.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// For the whole process, in bytes.
    process: u64,
    /// The part that is left for connections and their peers.
    left: u64,
}

impl MemoryLimit {
    /// The limit of a process that takes so many bytes before the run.
    ///
    /// # Errors
    /// When the plan's limit leaves nothing for connections.
    pub(super) fn new(
        limit: Option<u64>,
        resident: u64,
        workers: u32,
        (budget, open): (Arc<MemoryBudget>, Arc<OpenCount>),
    ) -> Result<MemoryLimit, RunError> {
        let own = resident + OF_A_WORKER * u64::from(workers);
        let planned = |process: u64| {
            let left = process.checked_sub(own).filter(|left| *left > 0);
            left.map(|left| Planned { process, left }).ok_or(RunError::Memory { limit: process, own })
        };
        let planned = limit.map(planned).transpose()?;
        keep_no_large_blocks();
        let reserve = available().map_or(0, |bytes| bytes / LEFT_TO_OTHERS);
        let limit = MemoryLimit { budget, planned, before: resident, reserve, open };
        limit.look();
        Ok(limit)
    }

    /// Sets the limit to what it is now.
    pub(super) fn look(&self) {
        self.budget.limit_to(self.bytes(available(), resident_bytes().ok()));
    }

    fn bytes(&self, available: Option<u64>, resident: Option<u64>) -> u64 {
        let held = self.budget.held();
        let of_connections = self.open.now().saturating_mul(Costs::default().user_per_end);
        let planned = self.planned.map(|Planned { process, left }| {
            let left = left.saturating_sub(of_connections);
            // What the process has and does not use counts as taken, but for half of the limit at most.
            let seen = resident.map_or(left, |resident| held + process.saturating_sub(resident));
            left.min(seen.max(left / 2))
        });
        // A block that has been grown takes memory only as it is filled: it is held, and can still be had.
        let had = resident.map_or(held, |resident| resident.saturating_sub(self.before));
        let spoken_for = held.saturating_sub(had) + self.reserve;
        let free = available.map(|bytes| held + bytes.saturating_sub(spoken_for) / 2);
        planned.into_iter().chain(free).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit(planned: Option<u64>) -> MemoryLimit {
        let limit = MemoryLimit::new(planned, 20 * MIB, 2, Default::default()).unwrap();
        MemoryLimit { reserve: 10 * MIB, ..limit }
    }

    #[test]
    fn what_the_process_takes_itself_is_not_its_peers_to_have() {
        let limit = limit(Some(256 * MIB));
        assert_eq!(limit.bytes(None, None), (256 - 24) * MIB);
        limit.open.opened();
        assert_eq!(limit.bytes(None, None), (256 - 24) * MIB - Costs::default().user_per_end);
    }

    #[test]
    fn what_the_process_has_and_does_not_hold_is_taken_as_well() {
        let limit = limit(Some(224 * MIB));
        let left = 200 * MIB;
        assert_eq!(limit.bytes(None, Some(20 * MIB)), left);
        limit.budget.count(0, 80 * MIB);
        assert_eq!(limit.bytes(None, Some(104 * MIB)), left, "what is held is what was added");
        assert_eq!(limit.bytes(None, Some(164 * MIB)), 140 * MIB, "60 MiB more than are held");
        assert_eq!(limit.bytes(None, Some(300 * MIB)), left / 2, "it may be of use again");
    }

    #[test]
    fn half_of_what_can_be_had_is_given_at_each_look_and_a_tenth_never() {
        let given = limit(Some(1024 * MIB));
        assert_eq!(given.bytes(Some(110 * MIB), None), 50 * MIB, "less than the plan allows");
        assert_eq!(given.bytes(Some(8192 * MIB), None), 1000 * MIB);
        let free = limit(None);
        assert_eq!((free.bytes(Some(110 * MIB), None), free.bytes(None, None)), (50 * MIB, u64::MAX));
        free.budget.count(0, 60 * MIB);
        assert_eq!(
            free.bytes(Some(110 * MIB), Some(40 * MIB)),
            90 * MIB,
            "40 MiB are held and not filled yet"
        );
        free.budget.count(60 * MIB, 0);
        // Each byte that is held costs two of those that can be had, and they are never used up.
        let (mut can_be_had, mut held) = (1000 * MIB, 0);
        for _ in 0..100 {
            let bytes = free.bytes(Some(can_be_had), None);
            can_be_had -= 2 * (bytes - held);
            free.budget.count(held, bytes);
            held = bytes;
        }
        assert!(can_be_had >= 10 * MIB && held >= 494 * MIB, "{can_be_had} left, {held} held");
    }

    #[test]
    fn a_limit_that_leaves_nothing_is_refused_with_what_is_needed() {
        let refused =
            MemoryLimit::new(Some(10 << 20), 20 << 20, 2, Default::default()).unwrap_err().to_string();
        assert!(refused.contains("10.0 MiB") && refused.contains("24.0 MiB"), "{refused}");
    }
}
