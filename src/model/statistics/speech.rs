//! Messages, replies and latencies above TCP in one window, in the size that a run of an hour can keep.

use super::{Codes, Latency, LatencyKind, StepTally, Tally};
use serde::{Deserialize, Serialize};

/// Latencies above TCP that a window keeps. The spread of messages is known at the end of the run only.
pub const ABOVE_TCP: [LatencyKind; 8] = [
    LatencyKind::Tls,
    LatencyKind::Handshake,
    LatencyKind::RoundTrip,
    LatencyKind::RoundTripFromDue,
    LatencyKind::MessageLateness,
    LatencyKind::Pong,
    LatencyKind::PushGap,
    LatencyKind::OneWay,
];

/// The longest histogram that a window keeps, in characters: 3,600 of them are 2 MB at most.
pub(super) const LONGEST_HISTOGRAM: usize = 600;

/// One latency in one window, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WindowLatency {
    /// Number of values.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
    /// All values: compressed HdrHistogram V2, base64. Absent where it would be long: the percentiles are then all
    /// that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
}

impl WindowLatency {
    /// The figures of a histogram; `None` where nothing was recorded.
    pub fn of(latency: &Latency) -> Option<WindowLatency> {
        (latency.count() > 0).then(|| WindowLatency {
            histogram: Some(latency.to_base64()).filter(|text| text.len() <= LONGEST_HISTOGRAM),
            ..WindowLatency::figures(latency)
        })
    }

    /// Joins another window's: exactly where both have their histograms, otherwise by the larger of each percentile,
    /// never less than the truth.
    pub fn join(&mut self, other: &WindowLatency) {
        let read = |text: &Option<String>| Latency::from_base64(text.as_deref()?);
        if let Some((mut both, theirs)) = read(&self.histogram).zip(read(&other.histogram)) {
            both.merge(&theirs);
            *self = WindowLatency { histogram: Some(both.to_base64()), ..WindowLatency::figures(&both) };
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.p50 = self.p50.max(other.p50);
        self.p90 = self.p90.max(other.p90);
        self.p99 = self.p99.max(other.p99);
        self.max = self.max.max(other.max);
        self.histogram = None;
    }

    fn figures(latency: &Latency) -> WindowLatency {
        WindowLatency {
            count: latency.count(),
            p50: latency.quantile_us(0.5),
            p90: latency.quantile_us(0.9),
            p99: latency.quantile_us(0.99),
            max: latency.min_max_us().1,
            histogram: None,
        }
    }
}

/// Messages, replies and latencies of one window; empty where nothing was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speech {
    /// Latencies of which something was measured.
    pub latencies: Vec<(LatencyKind, WindowLatency)>,
    /// Numbers of messages, those that are not 0, by name.
    pub messages: Vec<(&'static str, u64)>,
    /// HTTP statuses.
    pub statuses: Codes,
    /// Close codes of WebSockets that the peer closed first.
    pub closes: Codes,
    /// Steps of conversations that were done or failed, by their number.
    pub steps: Vec<(u16, StepSpeech)>,
}

/// Outcome of one step in one window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepSpeech {
    /// Number of times that the step was done.
    pub done: u64,
    /// Attempts that failed in it.
    pub failed: u64,
    /// Time that it took; `None` of a step that waits for nothing.
    pub latency: Option<WindowLatency>,
}

impl StepSpeech {
    /// That of a step's tally; `None` where nothing was.
    fn of(step: &StepTally) -> Option<StepSpeech> {
        let StepTally { done, failed, ref latency } = *step;
        (done > 0 || failed > 0).then(|| StepSpeech { done, failed, latency: WindowLatency::of(latency) })
    }
}

impl Speech {
    /// That of a window's tally.
    pub fn of(tally: &Tally) -> Speech {
        let measured = |kind: LatencyKind| Some((kind, WindowLatency::of(tally.latencies.of(kind))?));
        let mut closes = Codes::default();
        tally.closes.iter().for_each(|close| closes.add(close.code, close.count));
        Speech {
            latencies: ABOVE_TCP.into_iter().filter_map(measured).collect(),
            messages: tally.traffic.named().into_iter().filter(|(_, count)| *count > 0).collect(),
            statuses: tally.statuses.clone(),
            closes,
            steps: (0..)
                .zip(tally.steps.iter())
                .filter_map(|(number, step)| Some((number, StepSpeech::of(step)?)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn latency(range: std::ops::Range<u64>) -> Latency {
        let mut latency = Latency::default();
        range.for_each(|us| latency.record(Duration::from_micros(us)));
        latency
    }

    #[test]
    fn joined_windows_have_the_percentiles_of_all_values() {
        let (a, b) = (latency(1..50), latency(50..101));
        let mut joined = WindowLatency::of(&a).unwrap();
        joined.join(&WindowLatency::of(&b).unwrap());
        assert_eq!(joined, WindowLatency::of(&latency(1..101)).unwrap());
        assert_eq!((joined.count, joined.p50, joined.max), (100, 50, 100));
    }

    #[test]
    fn without_a_histogram_the_larger_percentile_stands_for_both() {
        let mut joined = WindowLatency::of(&latency(1..50)).unwrap();
        let without = WindowLatency { histogram: None, ..WindowLatency::of(&latency(50..101)).unwrap() };
        joined.join(&without);
        assert_eq!((joined.count, joined.p99, &joined.histogram), (100, without.p99, &None));
    }

    #[test]
    fn a_window_has_the_steps_that_were_done_in_it() {
        let mut tally = Tally::default();
        tally.steps.done(2, Some(Duration::from_micros(70)));
        tally.steps.done(0, None);
        tally.steps.failed(2);
        let steps = Speech::of(&tally).steps;
        assert_eq!(steps.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2]);
        assert_eq!((steps[0].1.done, &steps[0].1.latency), (1, &None), "it waits for nothing");
        let said = &steps[1].1;
        assert_eq!((said.done, said.failed, said.latency.as_ref().map(|l| l.max)), (1, 1, Some(70)));
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        assert_eq!(WindowLatency::of(&Latency::default()), None);
        assert_eq!(Speech::of(&Tally::default()), Speech::default());
    }
}
