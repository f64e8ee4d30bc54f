//! Random choices of a worker: lifetimes and back-off times, from the seed of the plan.

use crate::plan::{Lifetime, Reconnect};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use std::time::Duration;

/// First wait of a closed-loop slot after a failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(10);
/// Longest wait, before the spread.
const BACK_OFF_LONGEST: Duration = Duration::from_secs(1);

/// The choices of one worker. The same seed and part choose the same.
#[derive(Debug)]
pub(super) struct WorkerRng(SmallRng);

impl WorkerRng {
    /// The choices of the part of this number, of a run with this seed.
    pub(super) fn new(seed: u64, part: u64) -> WorkerRng {
        // Distinct streams for workers: the odd constant is 2^64 divided by the golden ratio.
        WorkerRng(SmallRng::seed_from_u64(seed.wrapping_add(part.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// Lifetime of the next connection; `None`: until the run ends.
    pub(super) fn lifetime(&mut self, lifetime: Lifetime) -> Option<Duration> {
        match lifetime {
            Lifetime::Fixed(duration) => Some(duration),
            Lifetime::Uniform(low, high) => {
                Some(low + high.saturating_sub(low).mul_f64(self.0.random::<f64>()))
            }
            Lifetime::Exponential(mean) => {
                // −mean · ln(1 − u) with u in [0, 1): never ln(0), at most 37 means.
                let u: f64 = self.0.random();
                Some(mean.mul_f64(-(1.0 - u).ln()))
            }
            Lifetime::UntilEnd => None,
        }
    }

    /// A source of random numbers for everything else.
    pub(super) fn random(&mut self) -> &mut dyn RngCore {
        &mut self.0
    }

    /// 32 random bits.
    pub(super) fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Wait of a reconnection after the n-th failure in a row (from 1), as the plan has it.
    pub(super) fn reconnect_after(&mut self, failures: u32, plan: &Reconnect) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let doubled = plan.backoff.saturating_mul(2u32.saturating_pow(doublings)).min(plan.max);
        doubled.mul_f64(1.0 - plan.jitter + 2.0 * plan.jitter * self.0.random::<f64>())
    }

    /// Wait of a slot after its n-th failure in a row (from 1): 10 ms, doubling up to 1 s, each
    /// spread over 50 % to 150 % so that slots don't fall into step.
    pub(super) fn back_off(&mut self, failures: u32) -> Duration {
        let doubled = BACK_OFF_FIRST * 2u32.saturating_pow(failures.saturating_sub(1).min(16));
        doubled.min(BACK_OFF_LONGEST).mul_f64(0.5 + self.0.random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_seed_decides_and_workers_differ() {
        let draw = |seed, part| {
            let mut rng = WorkerRng::new(seed, part);
            (0..20).map(|_| rng.lifetime(Lifetime::Exponential(seconds(1)))).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 0), draw(7, 0));
        assert_ne!(draw(7, 0), draw(7, 1));
        assert_ne!(draw(7, 0), draw(8, 0));
    }

    #[test]
    fn lifetimes_have_the_mean_and_the_bounds_they_should() {
        let mut rng = WorkerRng::new(1, 0);
        let mut mean = |lifetime| {
            (0..20_000).map(|_| rng.lifetime(lifetime).unwrap().as_secs_f64()).sum::<f64>() / 20_000.0
        };
        assert!((mean(Lifetime::Exponential(seconds(2))) - 2.0).abs() < 0.1);
        assert!((mean(Lifetime::Uniform(seconds(1), seconds(5))) - 3.0).abs() < 0.1);
        for _ in 0..1000 {
            let drawn = rng.lifetime(Lifetime::Uniform(seconds(1), seconds(5))).unwrap();
            assert!((seconds(1)..=seconds(5)).contains(&drawn));
        }
        assert_eq!(rng.lifetime(Lifetime::UntilEnd), None);
    }

    #[test]
    fn back_off_doubles_up_to_a_second_and_never_overflows() {
        let mut rng = WorkerRng::new(1, 0);
        for (failures, middle_ms) in [(1, 10), (2, 20), (5, 160), (8, 1000), (u32::MAX, 1000)] {
            let wait = rng.back_off(failures).as_millis();
            assert!((middle_ms / 2..=middle_ms * 3 / 2).contains(&wait), "{failures}: {wait} ms");
        }
    }
}
