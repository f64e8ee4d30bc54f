//! When the n-th arrival of an open loop is due.
//!
//! The rate is piecewise linear. With `N(t)` the number of arrivals planned up to `t`, the integral of the
//! rate, arrival `n` (from 0) is due at the `t` for which `N(t) = n`. A pure function of `n`: workers
//! share a schedule without talking, and no error adds up.
//!
//! Arrivals at random (a Poisson process) are due where `N(t)` is the sum of gaps that are drawn from the exponential
//! distribution of mean 1: also a function of `n`, for the gaps follow from the seed. Of every [`BLOCK`]-th arrival the
//! sum is kept, so that any is found by a few draws.

use crate::model::{RateStage, Stamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Arrivals between two sums that are kept.
const BLOCK: u64 = 128;
/// Most arrivals at random: their sums take a sixteenth of a byte each, and a few nanoseconds.
pub const MOST_AT_RANDOM: u64 = 200_000_000;

/// Way in which arrivals follow upon each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Evenly, as the rate says.
    #[default]
    Even,
    /// At random, each whatever the others do: a Poisson process of that rate.
    Poisson,
}

/// Gaps of arrivals at random.
#[derive(Debug, Clone)]
struct Gaps {
    seed: u64,
    /// Sum of all gaps before each block.
    sums: Vec<f64>,
}

/// The planned arrivals of an open loop.
#[derive(Debug, Clone)]
pub struct Schedule {
    pieces: Vec<Piece>,
    end: Duration,
    total: u64,
    /// The limit, rather than the time, is what ends it.
    ends_by_count: bool,
    /// `None`: evenly spaced.
    gaps: Option<Gaps>,
}

/// A stage with what came before it.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Seconds before it.
    start: f64,
    /// Arrivals before it.
    before: f64,
    /// Rate at its beginning, per second.
    rate: f64,
    /// Half the change of the rate per second: N grows by `rate·t + curve·t²`.
    curve: f64,
    seconds: f64,
}

impl Piece {
    fn arrivals(&self, seconds: f64) -> f64 {
        self.rate * seconds + self.curve * seconds * seconds
    }

    /// The time after which `n` arrivals are planned: the root of `curve·t² + rate·t = n`, in the form
    /// that stays exact when `curve` is small.
    fn time_of(&self, n: f64) -> f64 {
        let discriminant = (self.rate * self.rate + 4.0 * self.curve * n).max(0.0);
        let divisor = self.rate + discriminant.sqrt();
        if divisor > 0.0 { (2.0 * n / divisor).min(self.seconds) } else { 0.0 }
    }
}

impl Schedule {
    /// The schedule of these stages, one after the other, cut off after `limit` arrivals.
    pub fn new(stages: &[RateStage], limit: Option<u64>) -> Schedule {
        let mut pieces = Vec::with_capacity(stages.len());
        let (mut start, mut before, mut end) = (0.0, 0.0, Duration::ZERO);
        for stage in stages.iter().filter(|stage| !stage.over.is_zero()) {
            let seconds = stage.over.as_secs_f64();
            let (from, to) = (stage.from.as_per_second(), stage.to.as_per_second());
            let piece = Piece { start, before, rate: from, curve: (to - from) / (2.0 * seconds), seconds };
            start += seconds;
            before += piece.arrivals(seconds);
            end += stage.over;
            pieces.push(piece);
        }
        let planned = whole(before);
        let total = limit.map_or(planned, |limit| limit.min(planned));
        Schedule { pieces, end, total, ends_by_count: limit == Some(total), gaps: None }
    }

    /// The same rate, with arrivals at random that follow from the seed. A number that was asked for is kept, and takes
    /// the time that it takes.
    #[must_use]
    pub fn at_random(mut self, seed: u64) -> Schedule {
        let planned = self.pieces.last().map_or(0.0, |last| last.before + last.arrivals(last.seconds));
        let most = if self.ends_by_count { self.total } else { MOST_AT_RANDOM };
        let mut gaps = Gaps { seed, sums: vec![0.0] };
        let (mut sum, mut total) = (0.0, 0);
        'blocks: loop {
            for gap in gaps.of_block(total / BLOCK) {
                let next = sum + gap;
                if total == most || (next >= planned && !self.ends_by_count) || planned <= 0.0 {
                    break 'blocks;
                }
                (sum, total) = (next, total + 1);
            }
            gaps.sums.push(sum);
        }
        (self.total, self.gaps) = (total, Some(gaps));
        let last = total.checked_sub(1).and_then(|last| self.due(last)).unwrap_or_default();
        self.end = self.end.max(last + Duration::from_nanos(1));
        self
    }

    /// The number of arrivals in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Length of the schedule.
    pub fn end(&self) -> Duration {
        self.end
    }

    /// True if a number of arrivals was asked for, and the stages have room for it.
    pub fn ends_by_count(&self) -> bool {
        self.ends_by_count
    }

    /// When arrival `n`, from 0, is due; `None` past the last.
    pub fn due(&self, n: u64) -> Option<Stamp> {
        if n >= self.total {
            return None;
        }
        let arrivals = self.gaps.as_ref().map_or(n as f64, |gaps| gaps.sum(n));
        let after = self.pieces.partition_point(|piece| piece.before <= arrivals);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let beyond = arrivals - piece.before - piece.arrivals(piece.seconds);
        let rate = piece.rate + 2.0 * piece.curve * piece.seconds;
        let seconds = match self.gaps {
            // Beyond the last stage at its last rate.
            Some(_) if beyond > 0.0 && after == self.pieces.len() && rate > 0.0 => {
                piece.seconds + beyond / rate
            }
            _ => piece.time_of(arrivals - piece.before),
        };
        Some(Duration::from_secs_f64(piece.start + seconds))
    }

    /// The number of arrivals due before `at`.
    pub fn due_before(&self, at: Stamp) -> u64 {
        let at = at.as_secs_f64();
        let after = self.pieces.partition_point(|piece| piece.start <= at);
        let Some(piece) = after.checked_sub(1).and_then(|i| self.pieces.get(i)) else { return 0 };
        let planned = piece.before + piece.arrivals((at - piece.start).min(piece.seconds));
        let Some(gaps) = &self.gaps else { return whole(planned).min(self.total) };
        let rate = piece.rate + 2.0 * piece.curve * piece.seconds;
        let beyond = (at - piece.start - piece.seconds).max(0.0) * rate;
        let is_last = after == self.pieces.len();
        gaps.number_below(if is_last { planned + beyond } else { planned }).min(self.total)
    }
}

impl Gaps {
    /// Gaps of a block, in their order.
    fn of_block(&self, block: u64) -> impl Iterator<Item = f64> + use<> {
        let seed = self.seed.wrapping_add(block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut random = SmallRng::seed_from_u64(seed);
        // −ln(1 − u) with u in [0, 1): never ln(0).
        (0..BLOCK).map(move |_| -(1.0 - random.random::<f64>()).ln())
    }

    /// Sum of the gaps up to arrival `n` and its own.
    fn sum(&self, n: u64) -> f64 {
        let block = n / BLOCK;
        let before = usize::try_from(block).ok().and_then(|block| self.sums.get(block)).copied();
        let own = usize::try_from(n % BLOCK).unwrap_or_default() + 1;
        self.of_block(block).take(own).fold(before.unwrap_or_default(), |sum, gap| sum + gap)
    }

    /// Number of arrivals whose sum is below this.
    fn number_below(&self, arrivals: f64) -> u64 {
        let block = (self.sums.partition_point(|sum| *sum < arrivals) as u64).saturating_sub(1);
        let mut sum =
            usize::try_from(block).ok().and_then(|block| self.sums.get(block)).copied().unwrap_or_default();
        let within = self.of_block(block).take_while(|gap| {
            sum += gap;
            sum < arrivals
        });
        block * BLOCK + within.count() as u64
    }
}

/// Arrivals `0, 1, …` below `n`; a millionth above a whole number is rounding, not an arrival.
fn whole(n: f64) -> u64 {
    (n - 1e-6).ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rate;
    use proptest::prelude::*;

    fn stage(from: f64, to: f64, ms: u64) -> RateStage {
        let rate = |r| Rate::per_second(r).unwrap();
        RateStage { from: rate(from), to: rate(to), over: Duration::from_millis(ms) }
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced_from_the_beginning() {
        let schedule = Schedule::new(&[stage(100.0, 100.0, 10_000)], None);
        assert_eq!(schedule.total(), 1000);
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(250).unwrap().as_millis(), 2500);
        assert_eq!(schedule.due(1000), None);
        assert_eq!(schedule.due_before(Duration::from_secs(5)), 500);
    }

    /// The number in a time is Poisson's: its variance is its mean; and what is due before a moment is what `due` says.
    #[test]
    fn arrivals_at_random_are_those_of_a_poisson_process() {
        let of = |seed| Schedule::new(&[stage(100.0, 100.0, 10_000)], None).at_random(seed);
        let totals: Vec<f64> = (0..200).map(|seed| of(seed).total() as f64).collect();
        let mean = totals.iter().sum::<f64>() / 200.0;
        let variance = totals.iter().map(|total| (total - mean).powi(2)).sum::<f64>() / 199.0;
        assert!((mean - 1000.0).abs() < 10.0 && (700.0..1400.0).contains(&variance), "{mean} {variance}");
        let schedule = of(7);
        let due: Vec<Stamp> = (0..schedule.total()).map(|n| schedule.due(n).unwrap()).collect();
        assert!(due.is_sorted() && schedule.due(schedule.total()).is_none());
        assert!(due.last().unwrap() <= &schedule.end());
        for ms in (0..=10_000).step_by(37) {
            let at = Duration::from_millis(ms);
            let before = due.iter().filter(|due| **due < at).count() as u64;
            assert!(schedule.due_before(at).abs_diff(before) <= 1, "{ms}: {before}");
        }
        assert_eq!(of(7).due(500), schedule.due(500), "the seed decides");
        assert_ne!(of(8).due(500), schedule.due(500));
        // Gaps of mean 10 ms, more than a third of which are longer than that: e^-1.
        let gaps: Vec<Duration> = due.windows(2).map(|two| two[1] - two[0]).collect();
        let long = gaps.iter().filter(|gap| gap.as_micros() > 10_000).count() as f64 / gaps.len() as f64;
        assert!((0.32..0.42).contains(&long), "{long}");
    }

    #[test]
    fn a_number_of_arrivals_at_random_is_kept() {
        for seed in 0..50 {
            let schedule = Schedule::new(&[stage(1000.0, 1000.0, 101)], Some(100)).at_random(seed);
            let last = schedule.due(99).unwrap();
            assert_eq!((schedule.total(), schedule.due(100)), (100, None));
            assert!(last < schedule.end() && schedule.due_before(schedule.end()) >= 99, "{last:?}");
        }
        assert_eq!(Schedule::new(&[stage(0.0, 0.0, 1000)], None).at_random(1).total(), 0);
    }

    #[test]
    fn a_ramp_brings_half_of_what_its_end_would() {
        let schedule = Schedule::new(&[stage(0.0, 1000.0, 10_000), stage(1000.0, 1000.0, 1_000)], None);
        assert_eq!(schedule.total(), 6000);
        assert_eq!(schedule.due_before(Duration::from_secs(5)), 1250, "a quarter by half-time");
        assert_eq!(schedule.due(5000), Some(Duration::from_secs(10)));
        assert_eq!(schedule.due(5999).unwrap().as_millis(), 10_999);
    }

    #[test]
    fn a_number_ends_it_only_where_the_stages_have_room_for_it() {
        let of = |limit| Schedule::new(&[stage(100.0, 100.0, 1000)], limit).ends_by_count();
        assert_eq!([of(Some(99)), of(Some(100)), of(Some(101)), of(None)], [true, true, false, false]);
    }

    #[test]
    fn a_rate_of_zero_plans_nothing() {
        let schedule = Schedule::new(&[stage(0.0, 0.0, 1000), stage(10.0, 10.0, 1000)], None);
        assert_eq!(schedule.total(), 10);
        assert_eq!(schedule.due(0), Some(Duration::from_secs(1)));
        assert_eq!(Schedule::new(&[], None).due(0), None);
    }

    proptest! {
        #[test]
        fn due_times_rise_and_agree_with_the_count(
            stages in proptest::collection::vec((0u32..3000, 0u32..3000, 1u64..3000), 1..5),
            limit in proptest::option::of(0u64..5000),
            at_ms in 0u64..10_000,
        ) {
            let stages: Vec<RateStage> =
                stages.into_iter().map(|(a, b, ms)| stage(a.into(), b.into(), ms)).collect();
            let schedule = Schedule::new(&stages, limit);
            let due: Vec<Stamp> = (0..schedule.total()).map(|n| schedule.due(n).unwrap()).collect();
            prop_assert!(due.is_sorted());
            prop_assert!(due.iter().all(|d| *d <= schedule.end() + Duration::from_micros(1)));
            // Rounding may put an arrival within a microsecond on the other side of the moment.
            let at = Duration::from_millis(at_ms);
            let near = Duration::from_micros(2);
            let low = due.iter().filter(|d| **d + near < at).count() as u64;
            let high = due.iter().filter(|d| **d < at + near).count() as u64;
            let counted = schedule.due_before(at);
            prop_assert!((low..=high).contains(&counted), "{} not in {}..={}", counted, low, high);
        }
    }
}
