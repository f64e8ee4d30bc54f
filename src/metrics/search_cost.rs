//! Notices when the cost of the connect() call itself jumps.
//!
//! Where the kernel chooses the port, connect() tries those of the parity of the range's first port, then
//! the others. When the first half is taken, each call has to pass over it: on the default range the
//! cost went from 28 µs to 2,500 µs at half the range (Linux 6.18), 14,000 connections before the first
//! failure. What is noticed here are candidates, of which a busy machine makes some
//! too: whoever knows how full the range was at the time confirms one.
//!
//! Pure, and a few instructions a call: the median of the first calls is the measure, and a shift
//! register remembers which of the last calls were far above it.

use crate::attempt::{Lease, Stamp};
use std::time::Duration;

/// Calls whose median is the ordinary cost.
const BASELINE: usize = 64;
/// How many times the ordinary cost is far above it. On a range of 1,024 ports, half of them cost some
/// 90 µs to pass over, beside 30 µs (busy) to 80 µs (idle) for the rest of a connect().
const FACTOR: f64 = 1.6;
/// And by how much at least: below it a scheduler's tick would do.
const AT_LEAST: Duration = Duration::from_micros(15);
/// So many of the last 32 calls have to be far above: a burst of noise is shorter.
const OF_THE_LAST_32: u32 = 26;

/// The cost of connect() as one worker sees it.
#[derive(Debug, Clone, Default)]
pub struct SearchCost {
    baseline: Vec<Duration>,
    ordinary: Option<Duration>,
    /// One bit a call, newest lowest: whether it was far above the ordinary cost.
    far_above: u32,
    /// The first call of the present run of expensive ones.
    since: Option<SlowSearch>,
}

/// The moment at which connect() became expensive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowSearch {
    /// Ordinal of the first expensive attempt, from 0.
    pub ordinal: u64,
    /// When its connect() returned.
    pub at: Stamp,
    /// Its way: the pair whose ports are searched.
    pub lease: Lease,
    /// What a call cost before: the median of the first.
    pub before: Duration,
    /// What that call cost.
    pub after: Duration,
}

impl SearchCost {
    /// Takes the duration of one connect() call; gives the jump when it is sure. What comes after is measured
    /// against the new cost.
    pub fn note(
        &mut self,
        call: Duration,
        attempt: impl FnOnce() -> (u64, Stamp, Lease),
    ) -> Option<SlowSearch> {
        let Some(ordinary) = self.ordinary else {
            self.baseline.push(call);
            if self.baseline.len() == BASELINE {
                self.baseline.sort_unstable();
                self.ordinary = Some(self.baseline[BASELINE / 2]);
                self.baseline = Vec::new();
            }
            return None;
        };
        let far = call > ordinary.mul_f64(FACTOR).max(ordinary + AT_LEAST);
        self.far_above = self.far_above << 1 | u32::from(far);
        if far && self.since.is_none() {
            let (ordinal, at, lease) = attempt();
            self.since = Some(SlowSearch { ordinal, at, lease, before: ordinary, after: call });
        }
        if self.far_above == 0 {
            self.since = None;
        }
        if self.far_above.count_ones() >= OF_THE_LAST_32 {
            return std::mem::take(self).since;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn feed(calls: impl IntoIterator<Item = u64>) -> Option<SlowSearch> {
        let lease = Lease { source: None, port: None, destination: ([127, 0, 0, 1], 80).into() };
        let mut cost = SearchCost::default();
        let mut noticed = None;
        for (ordinal, call) in calls.into_iter().enumerate() {
            let now = cost.note(us(call), || (ordinal as u64, us(ordinal as u64), lease));
            noticed = noticed.or(now);
        }
        noticed
    }

    #[test]
    fn the_jump_is_dated_back_to_its_first_call() {
        let jump = feed((0..512).map(|_| 28).chain((0..100).map(|_| 110))).expect("noticed");
        assert_eq!((jump.ordinal, jump.before, jump.after), (512, us(28), us(110)));
    }

    #[test]
    fn a_spike_before_the_jump_is_not_its_beginning() {
        let quiet = || std::iter::repeat_n(28, 300);
        let jump = feed(quiet().chain([5000]).chain(quiet()).chain((0..100).map(|_| 110))).expect("noticed");
        assert_eq!(jump.ordinal, 601);
    }

    #[test]
    fn a_steady_cost_is_no_jump_however_high() {
        assert_eq!(feed((0..5000).map(|_| 2500)), None);
        assert_eq!(feed((0..5000).map(|n| if n < 100 { 4 } else { 12 })), None, "below the least difference");
    }

    #[test]
    fn a_second_jump_is_told_against_the_new_cost() {
        let lease = Lease { source: None, port: None, destination: ([127, 0, 0, 1], 80).into() };
        let mut cost = SearchCost::default();
        let calls = [(300, 30), (300, 60), (300, 150)].map(|(n, us)| std::iter::repeat_n(us, n));
        let jumps: Vec<u64> = (0..)
            .zip(calls.into_iter().flatten())
            .filter_map(|(ordinal, call)| cost.note(us(call), || (ordinal, us(0), lease)))
            .map(|jump| jump.ordinal)
            .collect();
        assert_eq!(jumps, [300, 600]);
    }

    proptest! {
        /// Noise: up to half of the calls are slow, in any order.
        #[test]
        fn noise_is_no_jump(slow in proptest::collection::vec(any::<bool>(), 64..2000)) {
            let calls = slow.iter().enumerate().map(|(n, slow)| if *slow && n % 2 == 0 { 3000 } else { 28 });
            prop_assert_eq!(feed(calls), None);
        }
    }
}
