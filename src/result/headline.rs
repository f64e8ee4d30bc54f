//! A run told in one sentence, whose fault it is, and its course as a line of small bars.
//!
//! Every format begins with these, so that they all say the same.

use crate::diagnose::Certainty;
use crate::model::Side;
use crate::model::close_code_name;
use crate::model::format::{percent, thousands};
use crate::result::model::{RunResult, Verdict};

/// One sentence: how much went well and, if not all did, the most frequent trouble.
pub(crate) fn what_happened(result: &RunResult) -> String {
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
pub(crate) fn whose_fault(result: &RunResult) -> Option<(Side, String)> {
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

/// Replies by status: `200 × 1,234, 503 × 3`.
pub(crate) fn statuses(result: &RunResult) -> String {
    let told = result.statuses.iter().map(|(status, count)| format!("{status} × {}", thousands(count)));
    told.collect::<Vec<String>>().join(", ")
}

/// WebSockets that the peer closed first, a line for each code: `3 × code 4401 (a code of the application): 'expired'`.
pub(crate) fn closes(result: &RunResult) -> Vec<String> {
    let line = |close: &crate::model::CloseCount| {
        let reason = close.reasons.first().map_or(String::new(), |reason| format!(": '{reason}'"));
        format!("{} × code {} ({}){reason}", close.count, close.code, close_code_name(close.code))
    };
    result.closes.iter().map(line).collect()
}

/// Counts above TCP, those that are not 0, by name and for a person to read.
pub(crate) fn messages(result: &RunResult) -> Vec<(String, u64)> {
    let mut counted = result.messages.named();
    counted.retain(|(_, count)| *count > 0);
    counted.sort_unstable();
    counted.into_iter().map(|(name, count)| (name.replace('_', " "), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn the_fault_is_that_of_the_surest_finding() {
        let (side, why) = whose_fault(&sample::exhausted()).unwrap();
        assert_eq!((side, why.as_str()), (Side::Generator, "proved: ports-exhausted-by-time-wait"));
        assert_eq!(whose_fault(&sample::good()), None);
        let without = RunResult { findings: Vec::new(), ..sample::exhausted() };
        assert!(whose_fault(&without).unwrap().1.contains("connect/address_not_available"));
    }
}
