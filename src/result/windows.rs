//! The windows of a run made fewer, so that a run of an hour fits on a page.
//!
//! Counts are added, gauges keep their largest, and percentiles are those of the histograms added up; where
//! a window has no histogram, the largest of the percentiles stands for them: never less than the truth.

use crate::model::Latency;
use crate::result::model::WindowSummary;

/// A window, or several that follow each other, and when it began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// When the first of them began, in seconds since the start.
    pub(crate) from_s: f64,
    /// All of them as one.
    pub(crate) window: WindowSummary,
}

impl Span {
    /// Length in seconds; never zero.
    pub(crate) fn length_s(&self) -> f64 {
        (self.window.at_s - self.from_s).max(1e-3)
    }

    /// A number of it as a rate per second.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.length_s()
    }
}

/// The windows as at most so many spans of nearly equal numbers of windows.
pub(crate) fn spans(windows: &[WindowSummary], most: usize) -> Vec<Span> {
    let each = windows.len().div_ceil(most.max(1)).max(1);
    let mut from_s = 0.0;
    let mut spans = Vec::new();
    for group in windows.chunks(each) {
        let Some(window) = joined(group) else { continue };
        let to_s = window.at_s;
        spans.push(Span { from_s, window });
        from_s = to_s;
    }
    spans
}

/// The windows with the last one joined to the one before, where it is so short that its rates are noise:
/// a run seldom ends just when a window does.
pub(crate) fn without_stub(windows: &[WindowSummary]) -> Vec<WindowSummary> {
    let mut windows = windows.to_vec();
    if let [.., third, second, last] = &windows[..]
        && last.at_s - second.at_s < (second.at_s - third.at_s) / 4.0
        && let Some(both) = joined(&[second.clone(), last.clone()])
    {
        windows.truncate(windows.len() - 2);
        windows.push(both);
    }
    windows
}

/// Windows that follow each other, as one.
fn joined(group: &[WindowSummary]) -> Option<WindowSummary> {
    let (first, rest) = group.split_first()?;
    let mut whole = first.clone();
    for next in rest {
        add(&mut whole, next);
        whole.at_s = next.at_s;
        whole.open = whole.open.max(next.open);
        whole.kernel = match (whole.kernel.take(), &next.kernel) {
            (Some(before), Some(next)) => {
                let sum =
                    |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b)).or(a).or(b);
                Some(crate::result::KernelWindow {
                    ports_in_use: before.ports_in_use.max(next.ports_in_use),
                    time_wait: before.time_wait.max(next.time_wait),
                    time_wait_total: before.time_wait_total.max(next.time_wait_total),
                    syn_retransmits: sum(before.syn_retransmits, next.syn_retransmits),
                    retransmits: sum(before.retransmits, next.retransmits),
                    listen_overflows: sum(before.listen_overflows, next.listen_overflows),
                    exact: before.exact && next.exact,
                    cost_us: before.cost_us + next.cost_us,
                    ..next.clone()
                })
            }
            (before, next) => next.clone().or(before),
        };
    }
    if !rest.is_empty() {
        whole.connect_histogram = percentiles_together(group, &mut whole);
    }
    Some(whole)
}

/// Adds the counts of another window, and takes the larger of each percentile.
pub(crate) fn add(sum: &mut WindowSummary, more: &WindowSummary) {
    sum.partial &= more.partial;
    sum.planned = sum.planned.saturating_add(more.planned);
    sum.started = sum.started.saturating_add(more.started);
    sum.opened = sum.opened.saturating_add(more.opened);
    sum.ok = sum.ok.saturating_add(more.ok);
    sum.failed = sum.failed.saturating_add(more.failed);
    sum.cut_short = sum.cut_short.saturating_add(more.cut_short);
    sum.skipped = sum.skipped.saturating_add(more.skipped);
    sum.cpu_s += more.cpu_s;
    for (kind, count) in &more.failures {
        let sum = sum.failures.entry(kind.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    for (name, count) in &more.messages {
        let sum = sum.messages.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    for (name, step) in &more.steps {
        let sum = sum.steps.entry(name.clone()).or_default();
        sum.done = sum.done.saturating_add(step.done);
        sum.failed = sum.failed.saturating_add(step.failed);
    }
    for (name, latency) in &more.latency_us {
        match sum.latency_us.get_mut(name) {
            Some(sum) => sum.join(latency),
            None => {
                sum.latency_us.insert(name.clone(), latency.clone());
            }
        }
    }
    sum.statuses.merge(&more.statuses);
    sum.closes.merge(&more.closes);
    sum.connect_p50_us = sum.connect_p50_us.max(more.connect_p50_us);
    sum.connect_p90_us = sum.connect_p90_us.max(more.connect_p90_us);
    sum.connect_p99_us = sum.connect_p99_us.max(more.connect_p99_us);
    sum.connect_max_us = sum.connect_max_us.max(more.connect_max_us);
    sum.connect_call_p99_us = sum.connect_call_p99_us.max(more.connect_call_p99_us);
    sum.lateness_p99_us = sum.lateness_p99_us.max(more.lateness_p99_us);
    sum.message_lateness_p99_us = sum.message_lateness_p99_us.max(more.message_lateness_p99_us);
}

/// Sets the percentiles of connect to those of all histograms added up, if each window that connected
/// anything has one; gives them as one.
pub(crate) fn percentiles_together(group: &[WindowSummary], whole: &mut WindowSummary) -> Option<String> {
    let mut sum = Latency::default();
    for window in group.iter().filter(|window| window.opened > 0) {
        sum.merge(&Latency::from_base64(window.connect_histogram.as_deref()?)?);
    }
    if sum.count() == 0 {
        return None;
    }
    whole.connect_p50_us = sum.quantile_us(0.5);
    whole.connect_p90_us = sum.quantile_us(0.9);
    whole.connect_p99_us = sum.quantile_us(0.99);
    whole.connect_max_us = sum.min_max_us().1;
    Some(sum.to_base64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn counts_and_percentiles_survive_being_joined() {
        let result = sample::good();
        let whole = &spans(&result.windows, 1)[0];
        assert_eq!(whole.window.started, result.counts.started);
        assert_eq!(whole.window.ok, result.counts.ok);
        assert_eq!(whole.window.connect_p99_us, result.latency_us["connect"].p99, "exactly");
        assert_eq!(whole.window.connect_max_us, result.latency_us["connect"].max);
        assert!((whole.length_s() - result.windows.last().unwrap().at_s).abs() < 1e-9);
    }

    #[test]
    fn as_many_as_there_are_stay_as_they_are() {
        let result = sample::exhausted();
        let spans = spans(&result.windows, 1000);
        assert_eq!(spans.len(), result.windows.len());
        assert!(spans.iter().zip(&result.windows).all(|(span, window)| span.window == *window));
        let failed: u64 = spans.iter().map(|span| span.window.failed).sum();
        assert_eq!(failed, result.counts.failed);
    }

    #[test]
    fn without_a_histogram_the_largest_percentile_stands_for_them() {
        let mut windows = sample::good().windows;
        windows[1].connect_histogram = None;
        let largest = windows.iter().map(|window| window.connect_p99_us).max().unwrap();
        assert_eq!(spans(&windows, 1)[0].window.connect_p99_us, largest);
    }
}
