//! Limit of the memory that peers may make this process hold, while a run goes on.
//!
//! Two things bound it. The plan's `memory` is for the whole process: what it took before the run, what its workers take, and
//! what each open connection takes are not the peers' to have. And whatever the plan says, of the memory that can be
//! had a tenth is left: the kernel's sockets and other programs take of it too, so that it is looked at again and again.

use super::error::RunError;
use super::open_count::OpenCount;
use crate::capacity::Costs;
use crate::linux::memory::available;
use crate::model::MemoryBudget;
use std::sync::Arc;

/// A worker's own memory: its buffers, its histograms and those on their way to the main thread.
const OF_A_WORKER: u64 = 2 << 20;

/// Of the memory that can be had, the part that is left to others, as a divisor.
const LEFT_TO_OTHERS: u64 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    budget: Arc<MemoryBudget>,
    /// Bytes of the plan's limit that are left for connections and their peers; `None`: it has none.
    planned: Option<u64>,
    open: Arc<OpenCount>,
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
        let left = |limit: u64| limit.checked_sub(own).filter(|left| *left > 0);
        let planned = limit.map(|limit| left(limit).ok_or(RunError::Memory { limit, own })).transpose()?;
        let limit = MemoryLimit { budget, planned, open };
        limit.look();
        Ok(limit)
    }

    /// Sets the limit to what it is now.
    pub(super) fn look(&self) {
        self.budget.limit_to(self.bytes(available()));
    }

    fn bytes(&self, available: Option<u64>) -> u64 {
        let of_connections = self.open.now().saturating_mul(Costs::default().user_per_end);
        let planned = self.planned.map(|bytes| bytes.saturating_sub(of_connections));
        let free = available.map(|bytes| self.budget.held() + (bytes - bytes / LEFT_TO_OTHERS));
        planned.into_iter().chain(free).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(planned: Option<u64>) -> MemoryLimit {
        MemoryLimit::new(planned, 20 << 20, 2, Default::default()).unwrap()
    }

    #[test]
    fn what_the_process_takes_itself_is_not_its_peers_to_have() {
        let limit = limit(Some(256 << 20));
        assert_eq!(limit.bytes(None), (256 - 24) << 20);
        limit.open.opened();
        assert_eq!(limit.bytes(None), ((256 - 24) << 20) - Costs::default().user_per_end);
    }

    #[test]
    fn what_can_be_had_bounds_it_and_what_is_held_is_part_of_that_no_more() {
        let given = limit(Some(1 << 30));
        assert_eq!(given.bytes(Some(100 << 20)), 90 << 20, "less than the plan allows");
        assert_eq!(given.bytes(Some(8 << 30)), (1024 - 24) << 20);
        let free = limit(None);
        assert_eq!((free.bytes(Some(100)), free.bytes(None)), (90, u64::MAX));
        free.budget.count(0, 1000);
        assert_eq!(free.bytes(Some(100)), 1090);
    }

    #[test]
    fn a_limit_that_leaves_nothing_is_refused_with_what_is_needed() {
        let refused =
            MemoryLimit::new(Some(10 << 20), 20 << 20, 2, Default::default()).unwrap_err().to_string();
        assert!(refused.contains("10.0 MiB") && refused.contains("24.0 MiB"), "{refused}");
    }
}
