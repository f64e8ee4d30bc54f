//! A threshold held against what a run measured.

use super::{Comparator, Metric, Threshold, Unit};
use serde::{Deserialize, Serialize};

/// Outcome of one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evaluation {
    /// The threshold, such as `connect.p99 < 50ms`.
    pub expression: String,
    /// Measured value, in `unit`; `None` where nothing was measured, and for an onset that never happened.
    pub measured: Option<f64>,
    /// The unit of `measured`.
    pub unit: Unit,
    /// `measured` as people read it: `61.2 ms`, `0.1 %`, `never`, `not measured`.
    pub shown: String,
    /// True if the threshold holds.
    pub passed: bool,
    /// Distance of the measured value to the bound, as a share of the bound: 0.2 is 20 % to spare,
    /// −0.2 is missed by 20 %. `None` where there is no such share: the bound is zero or never, or
    /// nothing was measured.
    pub margin: Option<f64>,
    /// The same in a sentence, with the reason if it failed.
    pub says: String,
}

impl Evaluation {
    /// The margin in whole percent, never better than it is: 99.8 % are 99, a miss by 0.2 % is one by 1.
    pub(crate) fn margin_percent(&self) -> Option<i64> {
        // The product of 0.29 and 100 is a little less than 29.
        self.margin.map(|margin| (margin * 100.0 + 1e-9).floor() as i64)
    }
}

pub(super) fn evaluate(threshold: &Threshold, values: &impl Fn(&Metric) -> Option<f64>) -> Evaluation {
    let Threshold { metric, comparator, bound, .. } = threshold;
    let name = threshold.named();
    let unit = metric.unit();
    let given = values(metric);
    // A share of nothing may come as NaN; it is no measurement.
    let measured = given.filter(|value| value.is_finite());
    let judged = match (metric, given) {
        (Metric::Onset(_), None) => Some(f64::INFINITY),
        _ => measured,
    };
    let bound_value = bound.in_unit(unit);
    let passed = judged.is_some_and(|value| holds(*comparator, value, bound_value, unit));
    let shown = match (measured, judged) {
        (Some(value), _) => unit.show(value),
        (None, Some(_)) => "never".to_owned(),
        (None, None) => "not measured".to_owned(),
    };
    let fact = match (measured, judged) {
        (Some(_), _) if unit == Unit::Seconds => format!("{name} happened at {shown}"),
        (Some(_), _) => format!("{name} is {shown}"),
        (None, Some(_)) => format!("{name} never happened"),
        (None, None) => format!("{name} was not measured, because {}", why_missing(metric)),
    };
    let says = if passed { fact } else { format!("{fact}; wanted {comparator} {bound}") };
    Evaluation {
        expression: threshold.to_string(),
        measured,
        unit,
        shown,
        passed,
        margin: measured.and_then(|value| margin(*comparator, value, bound_value, passed)),
        says,
    }
}

/// `<=` and `>=` hold wherever `==` does, so that a mean of 50000.3 µs is at most 50 ms.
fn holds(comparator: Comparator, measured: f64, bound: f64, unit: Unit) -> bool {
    let equal = equal(measured, bound, unit);
    match comparator {
        Comparator::Less => measured < bound,
        Comparator::AtMost => measured < bound || equal,
        Comparator::Greater => measured > bound,
        Comparator::AtLeast => measured > bound || equal,
        Comparator::Equal => equal,
        Comparator::NotEqual => !equal,
    }
}

/// Durations are equal when they are at whole microseconds; everything else when it is.
fn equal(measured: f64, bound: f64, unit: Unit) -> bool {
    match unit {
        Unit::Microseconds => measured.round() == bound.round(),
        Unit::Seconds => (measured * 1e6).round() == (bound * 1e6).round(),
        Unit::Ratio | Unit::Count | Unit::Bytes | Unit::PerSecond => measured == bound,
    }
}

/// Relative distance to the bound: not negative when passed, not positive when failed.
fn margin(comparator: Comparator, measured: f64, bound: f64, passed: bool) -> Option<f64> {
    let distance = match comparator {
        Comparator::Less | Comparator::AtMost => (bound - measured) / bound,
        Comparator::Greater | Comparator::AtLeast => (measured - bound) / bound,
        Comparator::Equal => -((measured - bound) / bound).abs(),
        Comparator::NotEqual => ((measured - bound) / bound).abs(),
    };
    let relative = bound != 0.0 && bound.is_finite() && distance.is_finite();
    relative.then_some(if passed { distance.max(0.0) } else { distance.min(0.0) })
}

fn why_missing(metric: &Metric) -> &'static str {
    match metric {
        Metric::Latency { .. } | Metric::Step { .. } => "no attempt came so far that one was recorded",
        Metric::Ratio(super::Share::Skipped) => "no attempt was planned",
        Metric::Ratio(_) | Metric::FailedRatio(_) => "no attempt was started",
        Metric::Onset(_) => "what would tell could not be seen: the result's `unseen` says why",
        Metric::Observed(_) => "it could not be seen",
        _ => "the run did not record it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expression: &str, measured: Option<f64>) -> Evaluation {
        expression.parse::<Threshold>().expect("a threshold").evaluate(&|_| measured)
    }

    #[test]
    fn every_comparator_at_below_and_above_its_bound() {
        for (comparator, below, at, above) in [
            ("<", true, false, false),
            ("<=", true, true, false),
            (">", false, false, true),
            (">=", false, true, true),
            ("==", false, true, false),
            ("!=", true, false, true),
        ] {
            let passed = |value| judge(&format!("ok {comparator} 1000"), Some(value)).passed;
            assert_eq!((passed(999.0), passed(1000.0), passed(1001.0)), (below, at, above), "{comparator}");
        }
    }

    #[test]
    fn what_was_not_measured_fails_and_says_why() {
        for (expression, reason) in [
            ("connect.p99 < 50ms", "connect.p99 was not measured, because no attempt came so far"),
            ("failed.ratio < 1%", "no attempt was started"),
            ("skipped.ratio == 0%", "no attempt was planned"),
            ("failed.refused != 0", "the run did not record it"),
        ] {
            for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
                let evaluation = judge(expression, nothing);
                assert!(!evaluation.passed && evaluation.says.contains(reason), "{}", evaluation.says);
                assert_eq!((evaluation.measured, evaluation.margin), (None, None));
                assert_eq!(evaluation.shown, "not measured");
            }
        }
    }

    #[test]
    fn an_onset_that_never_happened_is_later_than_any_moment() {
        for (comparison, never, at_20, at_40) in [
            ("== never", true, false, false),
            ("!= never", false, true, true),
            ("> 30s", true, false, true),
            (">= 30s", true, false, true),
            ("< 30s", false, true, false),
            ("<= 30s", false, true, false),
            ("== 20s", false, true, false),
            ("!= 20s", true, false, true),
        ] {
            let passed = |at| judge(&format!("onset.ports_exhausted {comparison}"), at).passed;
            let seen = (passed(None), passed(Some(20.0)), passed(Some(40.0)));
            assert_eq!(seen, (never, at_20, at_40), "{comparison}");
        }
        assert!(!judge("onset.ports_exhausted == never", Some(f64::NAN)).passed, "NaN is not never");
        let never = judge("onset.ports_exhausted < 30s", None);
        assert_eq!(never.says, "onset.ports_exhausted never happened; wanted < 30s");
        let happened = judge("onset.ports_exhausted == never", Some(12.5));
        assert_eq!((happened.shown.as_str(), happened.margin), ("12.5 s", None));
        assert_eq!(happened.says, "onset.ports_exhausted happened at 12.5 s; wanted == never");
    }

    #[test]
    fn latencies_are_equal_at_whole_microseconds() {
        assert!(judge("connect.mean == 50ms", Some(50_000.3)).passed);
        assert!(judge("connect.mean <= 50ms", Some(50_000.3)).passed);
        assert!(!judge("connect.mean != 50ms", Some(49_999.7)).passed);
        assert!(judge("connect.mean < 50ms", Some(49_999.7)).passed);
        assert!(!judge("connect.p99 == 50ms", Some(50_001.0)).passed);
    }

    #[test]
    fn a_share_at_its_bound_is_at_its_bound() {
        assert!(judge("failed.ratio <= 0.7%", Some(7.0 / 1000.0)).passed);
        assert!(!judge("failed.ratio < 0.7%", Some(7.0 / 1000.0)).passed);
    }

    #[test]
    fn the_margin_is_relative_to_the_bound_and_signed_by_the_verdict() {
        let margin = |expression, value| judge(expression, Some(value)).margin;
        assert_eq!(margin("connect.p99 < 50ms", 40_000.0), Some(0.2));
        assert_eq!(margin("connect.p99 < 50ms", 60_000.0), Some(-0.2));
        assert_eq!(margin("ok >= 1000", 1500.0), Some(0.5));
        assert_eq!(margin("ok >= 1000", 500.0), Some(-0.5));
        assert_eq!(margin("ok == 1000", 1000.0), Some(0.0));
        assert_eq!(margin("ok == 1000", 1500.0), Some(-0.5));
        assert_eq!(margin("ok != 1000", 1500.0), Some(0.5));
        assert_eq!(margin("connect.mean <= 50ms", 50_000.3), Some(0.0));
        assert_eq!(margin("failed.refused == 0", 5.0), None);
        assert_eq!(margin("onset.ports_exhausted > 30s", 45.0), Some(0.5));
    }

    #[test]
    fn a_margin_in_percent_is_never_better_than_it_is() {
        for (value, percent) in
            [(85.0, 99), (40_000.0, 20), (35_500.0, 29), (49_990.0, 0), (50_010.0, -1), (0.0, 100)]
        {
            assert_eq!(judge("connect.p99 < 50ms", Some(value)).margin_percent(), Some(percent), "{value}");
        }
    }

    #[test]
    fn the_sentence_names_the_value_and_the_bound() {
        let failed = judge("connect.p99 < 50ms", Some(61_200.0));
        assert_eq!(failed.says, "connect.p99 is 61.2 ms; wanted < 50ms");
        assert_eq!(judge("failed.ratio < 0.1%", Some(0.0)).says, "failed.ratio is 0 %");
    }

    #[test]
    fn an_evaluation_survives_json() {
        for (expression, value) in
            [("connect.p99 < 50ms", Some(61_200.0)), ("onset.ports_exhausted == never", None)]
        {
            let evaluation = judge(expression, value);
            let json = serde_json::to_string(&evaluation).expect("serialises");
            assert_eq!(serde_json::from_str::<Evaluation>(&json).expect("parses"), evaluation);
        }
    }
}
