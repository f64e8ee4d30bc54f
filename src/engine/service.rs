//! Lateness of a worker at its sockets. Pure: time comes in as arguments.
//!
//! A socket that was ready when the worker asked for events may have been so since the last time at which it saw all that
//! were ready; the rest of a wait that lasted longer than it was to is delay as well (a worker that was stopped, or got no
//! CPU). What becomes ready while the worker rests is seen at once.

use crate::model::{Stamp, TOO_LATE};
use std::time::Duration;

/// Delays of one worker.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// When every socket that was ready had been seen; `None`: nothing was watched.
    all_seen: Option<Stamp>,
    /// When the last wait ended.
    returned: Stamp,
}

/// A wait for events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// When it began.
    pub asked: Stamp,
    /// Longest time that the wait was to last.
    pub longest: Duration,
    /// When it ended.
    pub returned: Stamp,
}

/// Delay that a wait shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delay {
    /// Longest time for which what was seen now can have waited.
    pub most: Duration,
    /// The part of the time since the last wait that is beyond [`TOO_LATE`].
    pub beyond: Duration,
}

impl Service {
    /// Nothing is watched: nothing can be late.
    pub(super) fn rest(&mut self) {
        self.all_seen = None;
    }

    /// Delay of what a wait has shown.
    pub(super) fn delay(&mut self, wait: Wait) -> Delay {
        let overslept = wait.returned.saturating_sub(wait.asked).saturating_sub(wait.longest);
        let since = self.all_seen.map_or(Duration::ZERO, |seen| wait.asked.saturating_sub(seen));
        let most = since + overslept;
        let turn =
            if self.all_seen.is_some() { wait.returned.saturating_sub(self.returned) } else { overslept };
        self.all_seen = self.all_seen.or(Some(wait.asked));
        self.returned = wait.returned;
        Delay { most, beyond: most.saturating_sub(TOO_LATE).min(turn) }
    }

    /// All that was ready at the end of a wait has been served.
    pub(super) fn saw_all(&mut self) {
        self.all_seen = Some(self.returned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn wait(asked: u64, longest: u64, returned: u64) -> Wait {
        Wait { asked: ms(asked), longest: ms(longest), returned: ms(returned) }
    }

    #[test]
    fn rest_is_no_delay_and_work_between_two_looks_is() {
        let mut service = Service::default();
        assert_eq!(service.delay(wait(0, 100, 100)).most, ms(0));
        service.saw_all();
        assert_eq!(service.delay(wait(100, 100, 130)).most, ms(0), "something came while it rested");
        service.saw_all();
        assert_eq!(service.delay(wait(137, 0, 137)).most, ms(7), "it was at work for 7 ms");
    }

    #[test]
    fn what_is_left_over_waits_on() {
        let mut service = Service::default();
        service.delay(wait(0, 0, 0));
        service.saw_all();
        assert_eq!(service.delay(wait(20, 0, 20)).most, ms(20));
        // More was ready than there was room for.
        assert_eq!(service.delay(wait(40, 0, 40)).most, ms(40));
        service.saw_all();
        assert_eq!(service.delay(wait(45, 0, 45)).most, ms(5));
    }

    #[test]
    fn a_worker_that_was_stopped_shows_it_wherever_it_was() {
        let mut service = Service::default();
        service.delay(wait(0, 0, 0));
        service.saw_all();
        assert_eq!(service.delay(wait(1, 100, 3001)), Delay { most: ms(2901), beyond: ms(2801) });
        service.saw_all();
        assert_eq!(service.delay(wait(6001, 0, 6001)), Delay { most: ms(3000), beyond: ms(2900) });
        service.saw_all();
        service.rest();
        assert_eq!(service.delay(wait(9000, 100, 9050)).most, ms(0), "nothing was watched meanwhile");
    }

    #[test]
    fn no_time_is_counted_twice() {
        let mut service = Service::default();
        service.delay(wait(0, 0, 0));
        service.saw_all();
        let late: Duration = (1..=10).map(|n| service.delay(wait(n * 60, 0, n * 60)).beyond).sum();
        assert!(late <= ms(600), "{late:?} of 600 ms");
    }
}
