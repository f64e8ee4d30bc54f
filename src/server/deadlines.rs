//! When something is to be done about a connection. Pure: the time is an argument.
//!
//! All deadlines of a queue lie equally far ahead when they are set, so the queue is in order by itself.

use std::collections::VecDeque;
use std::time::Duration;

/// A connection as a deadline knows it: its slot, and which of the slot's connections it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whom {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

/// Deadlines that lie equally far ahead.
#[derive(Debug)]
pub(super) struct Deadlines {
    after: Duration,
    queue: VecDeque<(Duration, Whom)>,
}

impl Deadlines {
    pub(super) fn new(after: Duration) -> Deadlines {
        Deadlines { after, queue: VecDeque::new() }
    }

    /// Sets one, counted from `from`; never before those that are set.
    pub(super) fn set(&mut self, from: Duration, whom: Whom) {
        let last = self.queue.back().map_or(Duration::ZERO, |(at, _)| *at);
        self.queue.push_back((from.saturating_add(self.after).max(last), whom));
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Takes one that is due, with the time at which it was.
    pub(super) fn take(&mut self, now: Duration) -> Option<(Duration, Whom)> {
        self.next().filter(|at| *at <= now).and_then(|_| self.queue.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn deadlines_are_taken_in_order_when_they_are_due() {
        let mut deadlines = Deadlines::new(ms(10));
        let whom = |slot| Whom { slot, serial: 0 };
        deadlines.set(ms(5), whom(1));
        deadlines.set(ms(6), whom(2));
        // Counted from an earlier time, and still not before the one set last.
        deadlines.set(ms(1), whom(3));
        assert_eq!((deadlines.next(), deadlines.take(ms(14))), (Some(ms(15)), None));
        assert_eq!(deadlines.take(ms(16)), Some((ms(15), whom(1))));
        assert_eq!(deadlines.take(ms(16)), Some((ms(16), whom(2))));
        assert_eq!(deadlines.take(ms(16)), Some((ms(16), whom(3))));
        assert_eq!(deadlines.next(), None);
    }
}
