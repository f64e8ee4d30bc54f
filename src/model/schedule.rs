//! When the n-th arrival of an open loop is due.
//!
//! The rate is piecewise linear. With `N(t)` the number of arrivals planned up to `t`, the integral of the
//! rate, arrival `n` (from 0) is due at the `t` for which `N(t) = n`. A pure function of `n`: workers
//! share a schedule without talking, and no error adds up.

use crate::model::{RateStage, Stamp};
use std::time::Duration;

/// The planned arrivals of an open loop.
#[derive(Debug, Clone)]
pub struct Schedule {
    pieces: Vec<Piece>,
    end: Duration,
    total: u64,
    /// The limit, rather than the time, is what ends it.
    ends_by_count: bool,
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
        Schedule { pieces, end, total, ends_by_count: limit == Some(total) }
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
        let n = n as f64;
        let after = self.pieces.partition_point(|piece| piece.before <= n);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        Some(Duration::from_secs_f64(piece.start + piece.time_of(n - piece.before)))
    }

    /// The number of arrivals due before `at`.
    pub fn due_before(&self, at: Stamp) -> u64 {
        let at = at.as_secs_f64();
        let after = self.pieces.partition_point(|piece| piece.start <= at);
        let Some(piece) = after.checked_sub(1).and_then(|i| self.pieces.get(i)) else { return 0 };
        let planned = piece.before + piece.arrivals((at - piece.start).min(piece.seconds));
        whole(planned).min(self.total)
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
