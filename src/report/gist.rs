//! A run told in one sentence, whose fault it is, and its course as a line of small bars.
//!
//! Every format begins with these, so that they all say the same.

use super::format::{percent, thousands};
use super::model::{RunResult, Verdict};
use crate::attempt::Side;
use crate::diagnose::Certainty;

/// Heights of a bar, from nothing to full.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One sentence: how much went well and, if not all did, the most frequent trouble.
pub fn what_happened(result: &RunResult) -> String {
    let counts = result.counts;
    let Some(worst) = result.failures.iter().max_by_key(|kind| kind.count) else {
        return format!("{} connections, none failed", thousands(counts.ok));
    };
    format!(
        "{} of {} attempts failed, most on the side of the {}: {}",
        percent(counts.failed, counts.started),
        thousands(counts.started),
        worst.side,
        worst.failure()
    )
}

/// Whose fault it is, and what that rests on: the surest finding, or else the most frequent failure. `None`
/// where nothing went wrong.
pub fn whose_fault(result: &RunResult) -> Option<(Side, String)> {
    if result.verdict == Verdict::Invalid {
        return Some((Side::Generator, "the run says nothing about the target".into()));
    }
    let told = result.findings.first().filter(|finding| finding.certainty != Certainty::Possible);
    if let Some(finding) = told {
        return Some((finding.side, format!("{}: {}", finding.certainty, finding.id)));
    }
    let worst = result.failures.iter().max_by_key(|kind| kind.count)?;
    Some((worst.side, format!("by its most frequent failure, {}/{}", worst.stage, worst.cause)))
}

/// The verdict in one word.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Invalid => "invalid",
        Verdict::Interrupted => "interrupted",
    }
}

/// What was counted above TCP, those that are not 0, by name and for a person to read.
pub fn messages(result: &RunResult) -> Vec<(String, u64)> {
    let mut counted = result.messages.named();
    counted.retain(|(_, count)| *count > 0);
    counted.sort_unstable();
    counted.into_iter().map(|(name, count)| (name.replace('_', " "), count)).collect()
}

/// Values as bars, at most so many: where there are more values, each bar is the largest of its share. The
/// tallest bar is `full`, or the largest value where that is larger.
pub fn bars(values: &[f64], most: usize, full: f64) -> String {
    let top = values.iter().copied().filter(|v| v.is_finite()).fold(full, f64::max);
    if values.is_empty() || most == 0 || top <= 0.0 {
        return String::new();
    }
    let count = values.len().min(most);
    let bar = |n: usize| {
        let (from, to) = (n * values.len() / count, (n + 1) * values.len() / count);
        let value = values[from..to].iter().copied().fold(0.0, f64::max);
        let height = (value / top * BARS.len() as f64).ceil() as usize;
        BARS[height.clamp(1, BARS.len()) - 1]
    };
    (0..count).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn bars_show_the_largest_of_their_share() {
        assert_eq!(bars(&[0.0, 1.0, 8.0], 10, 0.0), "▁▁█");
        assert_eq!(bars(&[0.0, 8.0, 0.0, 0.0], 2, 0.0), "█▁", "a peak is not averaged away");
        assert_eq!(bars(&[512.0], 5, 1024.0), "▄", "against a limit");
        assert_eq!([bars(&[], 5, 1.0), bars(&[0.0], 5, 0.0), bars(&[1.0], 0, 1.0)], ["", "", ""]);
        assert_eq!(bars(&[f64::NAN, 1.0], 5, 0.0).chars().count(), 2);
    }

    #[test]
    fn the_fault_is_that_of_the_surest_finding() {
        let (side, why) = whose_fault(&sample::exhausted()).unwrap();
        assert_eq!((side, why.as_str()), (Side::Generator, "proved: ports-exhausted-by-time-wait"));
        assert_eq!(whose_fault(&sample::good()), None);
        let without = RunResult { findings: Vec::new(), ..sample::exhausted() };
        assert!(whose_fault(&without).unwrap().1.contains("connect/address_not_available"));
    }
}
