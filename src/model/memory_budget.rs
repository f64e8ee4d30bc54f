//! Memory that peers may make a process hold: bytes that are not complete and bytes that they do not read, summed over all
//! threads and held against a limit. The same for the generator's sessions and for the connections of `serve`.
//!
//! Invariant: what was counted for a connection is what it is told to give back. What goes beyond the limit is counted all
//! the same; who is told so closes its connection, and gives it back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug)]
pub struct MemoryBudget {
    held: AtomicU64,
    limit: AtomicU64,
}

/// Room for what was counted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// All together hold more than the limit now, by what this one has added.
    Beyond,
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        MemoryBudget::of(u64::MAX)
    }
}

impl MemoryBudget {
    /// A budget of so many bytes, of which none are held.
    pub fn of(limit: u64) -> MemoryBudget {
        MemoryBudget { held: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Counts what a connection holds now in place of what it held before.
    pub fn count(&self, before: u64, now: u64) -> Room {
        if now <= before {
            if now < before {
                self.held.fetch_sub(before - now, Relaxed);
            }
            return Room::Enough;
        }
        let held = self.held.fetch_add(now - before, Relaxed) + (now - before);
        if held > self.limit.load(Relaxed) { Room::Beyond } else { Room::Enough }
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Another limit from now on.
    pub fn limit_to(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_grows_beyond_the_limit_is_told_and_who_shrinks_is_not() {
        let budget = MemoryBudget::of(100);
        assert_eq!([budget.count(0, 60), budget.count(0, 40)], [Room::Enough; 2]);
        assert_eq!(budget.count(60, 61), Room::Beyond);
        assert_eq!(budget.count(61, 61), Room::Enough, "it has added nothing");
        assert_eq!((budget.count(40, 39), budget.held()), (Room::Enough, 100));
        budget.limit_to(90);
        assert_eq!(budget.count(39, 38), Room::Enough, "giving back is always right");
        assert_eq!(
            (budget.count(61, 0), budget.count(38, 0), budget.held()),
            (Room::Enough, Room::Enough, 0)
        );
        assert_eq!(MemoryBudget::default().count(0, u64::MAX / 2), Room::Enough);
    }
}
