//! The timers of one worker: what falls due, in order of time. Pure.
//!
//! A deadline whose attempt has ended meanwhile is not looked for; it falls due and means nothing.

use crate::model::Stamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Attempt that a deadline is for. The key of its slot is used again by later attempts, its ordinal
/// is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timed {
    /// Key of the attempt's slot.
    pub key: u32,
    /// Ordinal of the attempt.
    pub ordinal: u64,
}

/// Deadlines, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Stamp, Timed)>>);

impl Deadlines {
    /// Sets a deadline.
    pub(super) fn set(&mut self, at: Stamp, timed: Timed) {
        self.0.push(Reverse((at, timed)));
    }

    /// When the next one falls due.
    pub(super) fn next_at(&self) -> Option<Stamp> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next one that has fallen due.
    pub(super) fn expired(&mut self, now: Stamp) -> Option<Timed> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, timed))| timed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_come_in_order_and_not_before_their_time() {
        let mut deadlines = Deadlines::default();
        for (s, key) in [(3, 30), (1, 10), (2, 20)] {
            deadlines.set(Duration::from_secs(s), Timed { key, ordinal: s });
        }
        assert_eq!(deadlines.next_at(), Some(Duration::from_secs(1)));
        assert_eq!(deadlines.expired(Duration::from_millis(999)), None);
        let at = Duration::from_secs(2);
        let keys: Vec<u32> = std::iter::from_fn(|| deadlines.expired(at)).map(|timed| timed.key).collect();
        assert_eq!(keys, [10, 20]);
    }
}
