//! Judgement whether the target kept up with a probe. Pure.
//!
//! After the load, what is still under way is given time to come to its end, and then counts as good: a server that does
//! ten conversations a second passes at any rate whose backlog it works off in time. So each probe is held against what
//! a backlog does to response times. With arrivals at rate λ and a target that does μ < λ, what begins at time t waits
//! for (λ/μ − 1) t: response times grow with the moment of their beginning, at whatever level they start. A target that
//! is merely slow (long polls, a distant one) has long ones from the first to the last.
//!
//! Compared are the second and the fourth quarter of what began: the first has the cold start in it.

use crate::model::{LOAD_SLICES, Latency, LoadCourse, SlicedLatency, Stamp};
use crate::result::find::{FellBehind, Quantity};
use std::time::Duration;

/// Growth of a response time that counts for nothing: a busy machine has as much.
const NOTICED: Duration = Duration::from_millis(20);
/// Growth as a part of the time in which it came about, in a load that stays as it is: arrivals are so much more than
/// what the target does.
const STEADY_SHARE: f64 = 0.01;
/// The same where there is more load in the fourth quarter than in the second: response times may grow with it.
const GROWING_SHARE: f64 = 0.1;
/// Load is growing if so much more begins in the same time of the fourth quarter as in the second.
const GROWING: f64 = 1.25;
/// A response time that has grown by less than this factor has not.
const FACTOR: f64 = 1.5;
/// Fewest response times in a quarter that say something.
const FEWEST: u64 = 3;
/// Growth of a queue as a part of the arrivals in the same time.
const QUEUE_SHARE: f64 = 0.05;
/// Growth of a queue, in connections, that counts for nothing.
const QUEUE_NOTICED: f64 = 3.0;
/// Part of the connections that are to be held which may still be opening when the load ends.
const OPENING_SHARE: f64 = 0.01;

/// A probe as it was run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) quantity: Quantity,
    pub(super) value: f64,
    pub(super) length: Duration,
    /// Response times of it.
    pub(super) course: &'a LoadCourse,
    /// Connections that waited for accept() at the target, each time that was looked; none where it is another host's.
    pub(super) queue: &'a [(Stamp, u64)],
}

/// Sign that the target did not keep up; `None`: it did, or too little was seen to tell.
pub(super) fn fell_behind(load: &Load<'_>) -> Option<FellBehind> {
    let answers = load.course.answers();
    match load.quantity {
        Quantity::Rate => {
            let openings = load.course.openings().and_then(|openings| load.growth(openings, 0));
            openings
                .map(|(early_us, late_us)| FellBehind::Openings { early_us, late_us })
                .or_else(|| answers.and_then(|answers| load.growth(answers, 0)).map(in_answers))
                .or_else(|| load.queue_growth())
        }
        // Opened in the first half.
        Quantity::Held => load
            .not_open()
            .or_else(|| answers.and_then(|answers| load.growth(answers, LOAD_SLICES / 2)).map(in_answers)),
        // Opened in the first quarter.
        Quantity::Messages => {
            answers.and_then(|answers| load.growth(answers, LOAD_SLICES / 4)).map(in_answers)
        }
    }
}

fn in_answers((early_us, late_us): (u64, u64)) -> FellBehind {
    FellBehind::Answers { early_us, late_us }
}

impl Load<'_> {
    /// Response times of the second and the fourth quarter of what began from a slice on, where they have grown beyond
    /// what a target that keeps up shows.
    fn growth(&self, slices: &SlicedLatency, from: usize) -> Option<(u64, u64)> {
        let early = Quarter::of(&slices[from..], 0.25, 0.5)?;
        let late = Quarter::of(&slices[from..], 0.75, 1.0)?;
        let apart = self.length.mul_f64((late.middle - early.middle) / LOAD_SLICES as f64);
        let share = if late.each > early.each * GROWING { GROWING_SHARE } else { STEADY_SHARE };
        let least = NOTICED.max(apart.mul_f64(share));
        let (early_us, late_us) = (early.response_us, late.response_us);
        let has_grown = late_us - early_us >= least.as_micros() as f64 && late_us >= early_us * FACTOR;
        has_grown.then_some((early_us as u64, late_us as u64))
    }

    /// Growth of the queue for accept() from the second to the fourth quarter of the load.
    fn queue_growth(&self) -> Option<FellBehind> {
        let mean = |from: f64, to: f64| {
            let is_in = |at: &Stamp| *at >= self.length.mul_f64(from) && *at <= self.length.mul_f64(to);
            let seen: Vec<u64> = self.queue.iter().filter(|(at, _)| is_in(at)).map(|seen| seen.1).collect();
            (!seen.is_empty()).then(|| seen.iter().sum::<u64>() as f64 / seen.len() as f64)
        };
        let (early, late) = (mean(0.25, 0.5)?, mean(0.75, 1.0)?);
        let arrived = self.value * self.length.as_secs_f64() / 2.0;
        let has_grown = late - early >= QUEUE_NOTICED.max(arrived * QUEUE_SHARE);
        has_grown.then(|| FellBehind::AcceptQueue { early: early.round() as u64, late: late.round() as u64 })
    }

    /// Connections that were to be held and were still opening when the load ended.
    fn not_open(&self) -> Option<FellBehind> {
        let (open, wanted) = (self.course.open_by_end()?, self.value.round() as u64);
        let is_short = (open as f64) < wanted as f64 * (1.0 - OPENING_SHARE);
        is_short.then_some(FellBehind::NotOpen { open, wanted })
    }
}

/// A part of the response times, by the order in which they began.
struct Quarter {
    /// Middle of its slices.
    middle: f64,
    /// Number that began in each of them.
    each: f64,
    /// Mean response time without the longest tenth, in microseconds.
    response_us: f64,
}

impl Quarter {
    /// The slices that lie in this part of all that began; `None` where that is too little.
    fn of(slices: &[Latency], from: f64, to: f64) -> Option<Quarter> {
        let all: u64 = slices.iter().map(Latency::count).sum();
        let (mut before, mut latency, mut at) = (0, Latency::default(), Vec::new());
        for (index, slice) in slices.iter().enumerate() {
            let middle = (before as f64 + slice.count() as f64 / 2.0) / all.max(1) as f64;
            before += slice.count();
            if slice.count() > 0 && middle >= from && middle < to {
                latency.merge(slice);
                at.push(index as f64 + 0.5);
            }
        }
        (latency.count() >= FEWEST).then(|| Quarter {
            middle: at.iter().sum::<f64>() / at.len() as f64,
            each: latency.count() as f64 / at.len() as f64,
            response_us: trimmed_mean_us(&latency),
        })
    }
}

/// Mean without the longest tenth: a single hiccup of the machine is no trend, and one attempt in five that had to
/// send its SYN again is.
fn trimmed_mean_us(latency: &Latency) -> f64 {
    let points = (0..9).map(|n| latency.quantile_us(0.05 + 0.1 * f64::from(n)) as f64);
    points.sum::<f64>() / 9.0
}

#[cfg(test)]
mod tests;
