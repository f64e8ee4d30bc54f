//! Connections open at once over all workers, and the most there ever were: exact, whichever worker had them.
//!
//! The one number besides the flag of [`super::Control`] that workers share: maxima of workers can't be added, since they
//! need not have been at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OpenCount {
    open: AtomicU64,
    most: AtomicU64,
    /// The count of all populations, where this is that of one.
    of_all: Option<Arc<OpenCount>>,
}

impl OpenCount {
    /// The count of one population of several.
    pub(super) fn of_one(of_all: Arc<OpenCount>) -> OpenCount {
        OpenCount { of_all: Some(of_all), ..OpenCount::default() }
    }

    /// A connection is there.
    pub(super) fn opened(&self) {
        let open = self.open.fetch_add(1, Relaxed) + 1;
        if open > self.most.load(Relaxed) {
            self.most.fetch_max(open, Relaxed);
        }
        if let Some(of_all) = &self.of_all {
            of_all.opened();
        }
    }

    /// A connection is closed.
    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
        if let Some(of_all) = &self.of_all {
            of_all.closed();
        }
    }

    /// Connections that are there now.
    pub(super) fn now(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// The most that were there at once.
    pub(super) fn most(&self) -> u64 {
        self.most.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_that_of_all_threads_together_and_no_more() {
        let count = OpenCount::default();
        let all_open = std::sync::Barrier::new(4);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    (0..1000).for_each(|_| count.opened());
                    all_open.wait();
                    (0..1000).for_each(|_| count.closed());
                    (0..1000).for_each(|_| {
                        count.opened();
                        count.closed();
                    });
                });
            }
        });
        assert_eq!((count.most(), count.open.load(Relaxed)), (4000, 0));
    }
}
