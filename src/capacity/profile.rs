//! The arrival rate over time, as a sum of steps and ramps. Seconds, and arrivals per second.

use super::demand::RateCourse;
use super::hold::Hold;

/// Arrivals over time: a step and a change of slope at each corner. The rate is never negative.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    lines: Vec<Line>,
    corners: Vec<Corner>,
    /// The highest rate of what was asked for, where its lines were joined.
    highest: Option<f64>,
}

/// Most lines that are kept apart. Every curve of a forecast is a sum over all of them, at points in each of them.
const MOST_LINES: usize = 128;

/// A straight line of the rate; the last one may be endless.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    start: f64,
    end: f64,
    from: f64,
    to: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Corner {
    at: f64,
    step: f64,
    slope: f64,
}

impl Profile {
    /// The profile of what was asked for.
    pub(super) fn new(arrivals: &RateCourse) -> Profile {
        let mut start = 0.0;
        let mut lines = Vec::new();
        for piece in &arrivals.pieces {
            let end = start + piece.over.as_secs_f64();
            let (from, to) = (piece.from.as_per_second(), piece.to.as_per_second());
            lines.push(Line { start, end, from, to });
            start = end;
        }
        let after = arrivals.after.as_per_second();
        if after > 0.0 {
            lines.push(Line { start, end: f64::INFINITY, from: after, to: after });
        }
        let whole = Profile::from_lines(lines);
        if whole.lines.len() <= MOST_LINES {
            return whole;
        }
        let highest = Some(whole.peak());
        Profile { highest, ..Profile::from_lines(joined(&whole.lines)) }
    }

    fn from_lines(mut lines: Vec<Line>) -> Profile {
        lines.retain(|line| line.end > line.start);
        let mut corners = Vec::new();
        let (mut at, mut rate, mut slope) = (0.0, 0.0, 0.0);
        for line in &lines {
            let next = line.slope();
            corners.push(Corner { at: line.start, step: line.from - rate, slope: next - slope });
            (at, rate, slope) = (line.end, line.to, next);
        }
        if at.is_finite() && !lines.is_empty() {
            corners.push(Corner { at, step: -rate, slope: -slope });
        }
        Profile { lines, corners, highest: None }
    }

    /// Amount occupied at `t` when each arrival occupies one for `hold`.
    pub(super) fn occupied(&self, t: f64, hold: &Hold) -> f64 {
        let corners = self.corners.iter().take_while(|corner| corner.at < t);
        let sum: f64 =
            corners.map(|c| c.step * hold.after_step(t - c.at) + c.slope * hold.after_ramp(t - c.at)).sum();
        sum.max(0.0)
    }

    /// Arrivals up to `t`.
    pub(super) fn arrived(&self, t: f64) -> f64 {
        self.occupied(t, &Hold::forever())
    }

    /// The moment by which `count` have arrived; `None` if they never do.
    pub(super) fn moment_of(&self, count: f64) -> Option<f64> {
        let mut before = 0.0;
        for line in &self.lines {
            let here = line.arrivals_until(line.end);
            if before + here >= count {
                return Some(line.moment_of((count - before).max(0.0)));
            }
            before += here;
        }
        None
    }

    /// The same arrivals up to `t`, none after it.
    pub(super) fn until(&self, t: f64) -> Profile {
        let cut = self.lines.iter().filter(|line| line.start < t).map(|line| {
            let end = line.end.min(t);
            Line { end, to: line.rate_at(end), ..*line }
        });
        Profile::from_lines(cut.collect())
    }

    /// The same arrivals up to `t`; after it, at most `cap` a second.
    pub(super) fn capped_from(&self, t: f64, cap: f64) -> Profile {
        let mut lines = self.until(t).lines;
        for line in self.lines.iter().filter(|line| line.end > t) {
            let start = line.start.max(t);
            let rest = Line { start, from: line.rate_at(start), ..*line };
            lines.extend(rest.below(cap));
        }
        Profile::from_lines(lines)
    }

    /// The moments at which the rate steps or changes its slope.
    pub(super) fn corners(&self) -> impl Iterator<Item = f64> + '_ {
        self.corners.iter().map(|corner| corner.at)
    }

    /// The last finite moment at which anything changes.
    pub(super) fn last_corner(&self) -> f64 {
        self.corners.last().map_or(0.0, |corner| corner.at)
    }

    /// The rate that goes on without an end; zero if the arrivals end.
    pub(super) fn endless_rate(&self) -> f64 {
        self.lines.last().filter(|line| line.end.is_infinite()).map_or(0.0, |line| line.to)
    }

    /// The highest rate.
    pub(super) fn peak(&self) -> f64 {
        let highest = self.lines.iter().map(|line| line.from.max(line.to)).fold(0.0, f64::max);
        self.highest.map_or(highest, |known| known.max(highest))
    }

    /// Time that the queue before a server that takes `served` a second needs to reach `room`; `None` if it
    /// never does.
    pub(super) fn queue_reaches(&self, served: f64, room: f64) -> Option<f64> {
        let mut queue: f64 = 0.0;
        for line in &self.lines {
            for part in line.split_at_rate(served) {
                let grows = part.from.max(part.to) > served;
                if grows && part.end.is_infinite() {
                    return Some(part.start + (room - queue).max(0.0) / (part.from - served));
                }
                let over = part.raised_by(-served);
                if grows && queue + over.arrivals_until(over.end) >= room {
                    return Some(over.moment_of((room - queue).max(0.0)));
                }
                queue = if part.end.is_infinite() {
                    0.0
                } else {
                    (queue + over.arrivals_until(over.end)).max(0.0)
                };
            }
        }
        None
    }
}

/// Lines that follow each other as one, with as many arrivals; an endless one stays by itself.
fn joined(lines: &[Line]) -> Vec<Line> {
    let finite = lines.iter().take_while(|line| line.end.is_finite()).count();
    let (finite, endless) = lines.split_at(finite);
    let each = finite.len().div_ceil(MOST_LINES - 1).max(1);
    let join = |group: &[Line]| {
        let (first, last) = (group.first()?, group.last()?);
        let arrivals: f64 = group.iter().map(|line| line.arrivals_until(line.end)).sum();
        let mean = arrivals / (last.end - first.start);
        Some(Line { start: first.start, end: last.end, from: mean, to: mean })
    };
    finite.chunks(each).filter_map(join).chain(endless.iter().copied()).collect()
}

impl Line {
    fn slope(&self) -> f64 {
        if self.end.is_finite() { (self.to - self.from) / (self.end - self.start) } else { 0.0 }
    }

    fn rate_at(&self, t: f64) -> f64 {
        if t >= self.end { self.to } else { self.from + self.slope() * (t - self.start) }
    }

    fn arrivals_until(&self, t: f64) -> f64 {
        let x = t - self.start;
        if x.is_infinite() {
            return if self.from > 0.0 { f64::INFINITY } else { 0.0 };
        }
        self.from * x + self.slope() * x * x / 2.0
    }

    /// When `count` have arrived on this line: `from·x + slope·x²/2 = count`, in the form that does not
    /// lose digits when the slope is small.
    fn moment_of(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return self.start;
        }
        let root = (self.from * self.from + 2.0 * self.slope() * count).max(0.0).sqrt();
        (self.start + 2.0 * count / (self.from + root)).min(self.end)
    }

    fn raised_by(&self, rate: f64) -> Line {
        Line { from: self.from + rate, to: self.to + rate, ..*self }
    }

    /// This line, cut in two where its rate passes `rate`.
    fn split_at_rate(&self, rate: f64) -> Vec<Line> {
        if (self.from - rate) * (self.to - rate) >= 0.0 {
            return vec![*self];
        }
        let at = self.start + (rate - self.from) / self.slope();
        vec![Line { end: at, to: rate, ..*self }, Line { start: at, from: rate, ..*self }]
    }

    fn below(&self, cap: f64) -> Vec<Line> {
        let parts = self.split_at_rate(cap);
        parts.into_iter().map(|p| Line { from: p.from.min(cap), to: p.to.min(cap), ..p }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lifetime, Rate, RateStage};
    use std::time::Duration;

    fn hill() -> Profile {
        let s = Duration::from_secs;
        let r = |rate| Rate::per_second(rate).unwrap();
        Profile::new(&RateCourse {
            pieces: vec![
                RateStage { from: r(0.0), to: r(100.0), over: s(10) },
                RateStage { from: r(100.0), to: r(100.0), over: s(5) },
                RateStage { from: r(100.0), to: r(0.0), over: s(10) },
            ],
            after: Rate::ZERO,
        })
    }

    #[test]
    fn arrivals_are_the_area_under_the_rate() {
        let hill = hill();
        for (t, count) in
            [(0.0, 0.0), (5.0, 125.0), (10.0, 500.0), (15.0, 1000.0), (25.0, 1500.0), (99.0, 1500.0)]
        {
            assert!((hill.arrived(t) - count).abs() < 1e-6, "{t}");
        }
        for count in [1.0, 125.0, 700.0, 1499.0] {
            let t = hill.moment_of(count).unwrap();
            assert!((hill.arrived(t) - count).abs() < 1e-6);
        }
        assert_eq!(hill.moment_of(1501.0), None);
    }

    #[test]
    fn a_cut_or_capped_profile_keeps_its_beginning() {
        let hill = hill();
        let cut = hill.until(12.0);
        assert!((cut.arrived(50.0) - hill.arrived(12.0)).abs() < 1e-6);
        let capped = hill.capped_from(12.0, 50.0);
        assert!((capped.arrived(12.0) - hill.arrived(12.0)).abs() < 1e-6);
        // 50 a second from 12 s to 20 s, where the hill itself has come down to 50, then the hill.
        assert!((capped.arrived(25.0) - (700.0 + 400.0 + 125.0)).abs() < 1e-6);
    }

    #[test]
    fn what_is_occupied_is_the_sum_over_all_arrivals() {
        let hill = hill();
        for lifetime in
            [Lifetime::Fixed(Duration::from_secs(4)), Lifetime::Exponential(Duration::from_secs(3))]
        {
            let hold = Hold::new(lifetime, 1.0);
            for t in [3.0, 9.0, 14.0, 22.0, 40.0] {
                let n = 40_000;
                let dt = t / f64::from(n);
                let survival = |age: f64| (hold.after_step(age + 1e-6) - hold.after_step(age)) / 1e-6;
                let sum: f64 = (0..n)
                    .map(|i| (f64::from(i) + 0.5) * dt)
                    .map(|s| (hill.arrived(s + dt / 2.0) - hill.arrived(s - dt / 2.0)) * survival(t - s))
                    .sum();
                assert!((sum - hill.occupied(t, &hold)).abs() < 0.1, "{lifetime:?} {t}: {sum}");
            }
        }
    }

    #[test]
    fn a_queue_fills_with_what_the_server_does_not_take() {
        let steady = Profile::new(&RateCourse::endless(150.0));
        assert_eq!(steady.queue_reaches(100.0, 100.0), Some(2.0));
        assert_eq!(steady.queue_reaches(150.0, 100.0), None);
        // On the hill, above 60 a second from 6 s: ∫ 10·x dx = 45 after 3 s.
        let t = hill().queue_reaches(60.0, 45.0).unwrap();
        assert!((t - 9.0).abs() < 1e-9, "{t}");
        assert_eq!(hill().queue_reaches(60.0, 1e6), None);
    }

    /// A trace of 20,000 stages made every curve a sum of 20,000 terms at 320,000 points.
    #[test]
    fn a_profile_of_any_length_is_a_bounded_number_of_lines_with_all_its_arrivals() {
        let rate = |n: u32| Rate::per_second(f64::from(n % 100)).unwrap();
        let pieces: Vec<RateStage> = (0..20_000)
            .map(|n| RateStage {
                from: rate(n),
                to: rate(n + 1),
                over: Duration::from_millis(u64::from(n % 7)),
            })
            .collect();
        let total: f64 = pieces
            .iter()
            .map(|p| (p.from.as_per_second() + p.to.as_per_second()) / 2.0 * p.over.as_secs_f64())
            .sum();
        let profile = Profile::new(&RateCourse { pieces, after: Rate::per_second(3.0).unwrap() });
        assert!(profile.lines.len() <= MOST_LINES, "{}", profile.lines.len());
        let end = profile.lines[profile.lines.len() - 2].end;
        assert!((profile.arrived(end) - total).abs() < total * 1e-6);
        assert_eq!((profile.peak(), profile.endless_rate()), (99.0, 3.0));
    }

    #[test]
    fn rates_that_are_no_rates_count_as_none() {
        let odd = Profile::new(&RateCourse::endless(f64::NAN));
        assert_eq!((odd.peak(), odd.arrived(10.0), odd.endless_rate()), (0.0, 0.0, 0.0));
    }
}
