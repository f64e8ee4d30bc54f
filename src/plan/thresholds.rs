//! Thresholds as the user wrote them: a metric and what it is compared with.
//!
//! Kept apart by metric, so that a flag can override the file's threshold for the same one. What they mean
//! is settled in [`super::threshold`].

use super::syntax::{Fault, Syntax};
use super::threshold::{self, Part};

/// A metric's name and what it is compared with, such as `connect.p99` and `< 50ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Threshold {
    pub(super) metric: String,
    pub(super) comparison: String,
}

/// Which half of a threshold is wrong.
#[derive(Debug)]
pub(super) enum ThresholdFault {
    Metric(Fault),
    Comparison(Fault),
}

impl Threshold {
    /// The threshold of these two halves, if it can be judged.
    pub(super) fn new(metric: &str, comparison: &str) -> Result<Threshold, ThresholdFault> {
        let (metric, comparison) = (metric.trim(), comparison.trim());
        let read = threshold::Threshold::from_entry(metric, comparison).map_err(|error| {
            let fault = Fault::new(error.to_string());
            match error.part() {
                Part::Metric => ThresholdFault::Metric(fault),
                Part::Comparison => ThresholdFault::Comparison(fault),
            }
        })?;
        if !read.metric().is_of_a_run() {
            let says = format!("'{metric}' is nothing that a run measures; connstorm watch does");
            return Err(ThresholdFault::Metric(Fault::new(says)));
        }
        // As it displays: `never` is written out as `== never`.
        let text = read.to_string();
        let comparison = text.strip_prefix(metric).map_or(comparison, str::trim);
        Ok(Threshold { metric: metric.to_owned(), comparison: comparison.to_owned() })
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.metric, self.comparison)
    }
}

/// The right-hand side in the file.
pub(super) const COMPARISON: Syntax<String> = Syntax {
    expected: "a comparison in quotes, such as \"< 50ms\", \"== 0\" or \"never\"",
    bare_number: false,
    pattern: "",
    parse: |text| Ok(text.to_owned()),
};

/// A threshold in one piece, as `--threshold` takes it.
pub(super) const THRESHOLD: Syntax<Threshold> = Syntax {
    expected: "a metric and a comparison, such as 'connect.p99 < 50ms'",
    bare_number: false,
    pattern: "",
    parse: |text| {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| c.is_whitespace() || "<>=!".contains(c)).unwrap_or(trimmed.len());
        let (metric, comparison) = trimmed.split_at(end);
        Threshold::new(metric, comparison).map_err(|fault| match fault {
            ThresholdFault::Metric(fault) => fault.in_part(text, metric),
            ThresholdFault::Comparison(fault) => fault.in_part(text, comparison),
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_taken_apart() {
        for (text, written) in [
            ("connect.p99 < 50ms", "connect.p99 < 50ms"),
            ("  failed.ratio<0.1% ", "failed.ratio < 0.1%"),
            ("onset.ports_exhausted never", "onset.ports_exhausted == never"),
            ("held.max>= 100000", "held.max >= 100000"),
        ] {
            assert_eq!((THRESHOLD.parse)(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn halves_that_are_missing_are_named() {
        for (text, says) in
            [("< 50ms", "names no metric"), ("connect.p99", "nothing"), ("ü > 5", "not a metric")]
        {
            let fault = (THRESHOLD.parse)(text).expect_err(text);
            let mistake = fault.at(super::super::diagnostics::Place::Whole);
            assert!(mistake.summary().contains(says), "{}", mistake.summary());
        }
    }
}
