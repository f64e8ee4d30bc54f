//! Limit on the rate of accept() that several workers keep together: one connection every so often.
//!
//! Pure: the time is an argument. Time that nobody used does not add up to a burst.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Time that a timer may be late without lowering the rate.
const SLACK_NS: u64 = 10_000_000;

/// One thing every `every_ns`.
#[derive(Debug)]
pub(super) struct AcceptLimiter {
    next_ns: AtomicU64,
    every_ns: u64,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl AcceptLimiter {
    pub(super) fn new(every: Duration) -> AcceptLimiter {
        AcceptLimiter { next_ns: AtomicU64::new(0), every_ns: nanos(every) }
    }

    /// Takes a turn; the error is when to ask again.
    pub(super) fn take(&self, now: Duration) -> Result<(), Duration> {
        let now_ns = nanos(now);
        let turn = |next: u64| {
            let from = next.max(now_ns.saturating_sub(SLACK_NS));
            (next <= now_ns).then(|| from.saturating_add(self.every_ns))
        };
        self.next_ns.fetch_update(Relaxed, Relaxed, turn).map(|_| ()).map_err(Duration::from_nanos)
    }

    /// Gives back a turn that could not be used.
    pub(super) fn give_back(&self) {
        // An early turn for another worker at worst: never below zero.
        let _ = self.next_ns.fetch_update(Relaxed, Relaxed, |next| Some(next.saturating_sub(self.every_ns)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_turn_in_each_interval_whoever_asks() {
        let accept_limiter = AcceptLimiter::new(ms(100));
        assert_eq!(accept_limiter.take(ms(1000)), Ok(()));
        // The first turn is due from the beginning less the slack that a timer has.
        assert_eq!(accept_limiter.take(ms(1001)), Err(ms(1090)));
        assert_eq!(accept_limiter.take(ms(1090)), Ok(()));
        assert_eq!(accept_limiter.take(ms(1090)), Err(ms(1190)));
    }

    #[test]
    fn a_late_timer_does_not_lower_the_pace() {
        let accept_limiter = AcceptLimiter::new(ms(1));
        let taken = (0..1000).step_by(5).flat_map(|at| std::iter::repeat_n(ms(at), 20));
        let turns = taken.filter(|&at| accept_limiter.take(at).is_ok()).count();
        assert!((990..=1010).contains(&turns), "{turns}");
    }

    #[test]
    fn idle_time_is_not_saved_up_and_turns_can_be_given_back() {
        let accept_limiter = AcceptLimiter::new(ms(100));
        assert_eq!(accept_limiter.take(ms(10_000)), Ok(()));
        accept_limiter.give_back();
        assert_eq!(accept_limiter.take(ms(10_000)), Ok(()));
        assert!(accept_limiter.take(ms(10_001)).is_err());
    }
}
