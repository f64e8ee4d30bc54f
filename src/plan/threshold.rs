//! Thresholds: what a result is judged by, such as `connect.p99 < 50ms` or `onset.ports_exhausted == never`.
//!
//! Pure: text to [`Threshold`], and a threshold with measured values to [`Evaluation`]. Where the values
//! come from is not known here. Invariant: a `Threshold` that exists can be judged, because its bound has
//! the unit of its metric; its `Display` is read back as the same threshold.

mod catalogue;
mod error;
mod evaluation;
mod metric;
mod nearest;
mod needs;
mod schema;
mod stat;
mod step;
mod value;

pub use catalogue::{Entry, Family, catalogue};
pub use error::{Part, ThresholdError};
pub use evaluation::Evaluation;
pub use metric::{Counter, Metric, Observed, Share};
pub use nearest::advice;
pub use needs::Unmeasured;
pub(in crate::plan) use schema::definitions;
pub use stat::{Percentile, Stat};
pub use step::{LONGEST_STEP_NAME, StepFigure, StepName};
pub use value::Unit;

use crate::plan::Plan;
use crate::plan::units::Count;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use value::Bound;

/// A metric, and what it has to be. In JSON it is its text, such as `connect.p99 < 50ms`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Threshold {
    /// Population whose metric it is; `None`: that of the whole run.
    population: Option<StepName>,
    metric: Metric,
    comparator: Comparator,
    bound: Bound,
}

/// Comparison of a measured value with the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Signs that comparators are made of, or are mistaken for one.
const SIGNS: [char; 7] = ['<', '>', '=', '!', '≤', '≥', '≠'];

impl Threshold {
    /// Judge of a run without thresholds: a run in which everything fails is no success.
    pub const DEFAULT: Threshold = Threshold {
        population: None,
        metric: Metric::Ratio(Share::Failed),
        comparator: Comparator::Less,
        bound: Bound::Ratio(0.01),
    };

    /// A counter that has to reach a number.
    pub fn at_least(counter: Counter, least: Count) -> Threshold {
        let (metric, comparator) = (Metric::Count(counter), Comparator::AtLeast);
        Threshold { population: None, metric, comparator, bound: Bound::Count(least) }
    }

    /// Reads an entry of a scenario: the key is a metric's name, the value a comparison such as `< 50ms`,
    /// or `never`, which is short for `== never`.
    ///
    /// # Errors
    /// What is wrong; its span is in the text that [`ThresholdError::part`] names.
    pub fn from_entry(metric: &str, comparison: &str) -> Result<Threshold, ThresholdError> {
        parse(Piece::whole(metric), Piece::whole(comparison))
    }

    /// Metric that is compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Name of the population whose metric is compared; `None`: that of the whole run.
    pub fn population(&self) -> Option<&str> {
        self.population.as_ref().map(StepName::as_str)
    }

    /// Name of the metric, with that of its population.
    pub fn named(&self) -> String {
        match self.population() {
            Some(population) => format!("population.{population}.{}", self.metric),
            None => self.metric.to_string(),
        }
    }

    /// Reason for which a run of this plan can't measure it; `None` where it can.
    pub fn unmeasured_by(&self, plan: &Plan) -> Option<Unmeasured> {
        needs::of_threshold(self, plan)
    }

    /// Judges what was measured. `values` gives a metric's value in the metric's unit ([`Metric::unit`]):
    /// latencies in microseconds, onsets in seconds since the start of the run, shares from 0 to 1.
    ///
    /// A metric without a value fails, because nothing proves that the threshold holds; but an onset
    /// without a value never happened. Never is later than any moment: `> 30s` holds for it.
    pub fn evaluate(&self, values: &impl Fn(&Metric) -> Option<f64>) -> Evaluation {
        evaluation::evaluate(self, values)
    }
}

/// Reads an expression such as `failed.ratio < 0.1%`. Spans of errors are in the whole text.
impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Threshold, ThresholdError> {
        let whole = Piece::whole(text);
        // Without a comparator the first word is the metric: `onset.ports_exhausted never`.
        let end = whole.text.find(SIGNS).or_else(|| whole.text.find(char::is_whitespace));
        let (metric, comparison) = whole.split(end.unwrap_or(whole.text.len()));
        parse(metric, comparison)
    }
}

impl TryFrom<String> for Threshold {
    type Error = ThresholdError;

    fn try_from(text: String) -> Result<Threshold, ThresholdError> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> String {
        threshold.to_string()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.named(), self.comparator, self.bound)
    }
}

fn parse(metric: Piece<'_>, comparison: Piece<'_>) -> Result<Threshold, ThresholdError> {
    let (population, metric) = of_population(metric);
    let metric = parse_metric(&metric)?;
    let judged = |comparator, bound| Threshold { population, metric, comparator, bound };
    if comparison.text.is_empty() {
        return Err(ThresholdError::MissingComparison { metric, span: comparison.span() });
    }
    if comparison.text == "never" {
        let bound = parse_bound(metric, Comparator::Equal, &comparison)?;
        return Ok(judged(Comparator::Equal, bound));
    }
    let end = comparison.text.find(|c| !SIGNS.contains(&c)).unwrap_or(comparison.text.len());
    let (signs, value) = comparison.split(end);
    if signs.text.is_empty() {
        let given = comparison.text.to_owned();
        return Err(ThresholdError::MissingComparator { metric, given, span: comparison.span() });
    }
    let comparator = parse_comparator(&signs)?;
    let bound = parse_bound(metric, comparator, &value)?;
    Ok(judged(comparator, bound))
}

/// The population of `population.NAME.METRIC`, and the metric.
fn of_population(name: Piece<'_>) -> (Option<StepName>, Piece<'_>) {
    let inner = name.text.strip_prefix("population.").and_then(|rest| rest.split_once('.'));
    let Some((population, metric)) = inner else { return (None, name) };
    let at = name.text.len() - metric.len();
    match StepName::new(population) {
        Some(population) => (Some(population), name.split(at).1),
        None => (None, name),
    }
}

fn parse_metric(name: &Piece<'_>) -> Result<Metric, ThresholdError> {
    let span = name.span();
    if name.text.is_empty() {
        return Err(ThresholdError::MissingMetric { span });
    }
    Metric::named(name.text)
        .ok_or_else(|| ThresholdError::UnknownMetric { given: name.text.to_owned(), span })
}

fn parse_comparator(signs: &Piece<'_>) -> Result<Comparator, ThresholdError> {
    let meant = match signs.text {
        "=" | "===" => Comparator::Equal,
        "!" | "<>" | "=!" | "!==" | "≠" => Comparator::NotEqual,
        "=<" | "≤" => Comparator::AtMost,
        "=>" | "≥" => Comparator::AtLeast,
        text => {
            let found = Comparator::ALL.into_iter().find(|comparator| comparator.sign() == text);
            return found.ok_or_else(|| unknown_comparator(signs, None));
        }
    };
    Err(unknown_comparator(signs, Some(meant)))
}

fn unknown_comparator(signs: &Piece<'_>, nearest: Option<Comparator>) -> ThresholdError {
    ThresholdError::UnknownComparator { given: signs.text.to_owned(), nearest, span: signs.span() }
}

fn parse_bound(metric: Metric, comparator: Comparator, value: &Piece<'_>) -> Result<Bound, ThresholdError> {
    let span = value.span();
    if value.text.is_empty() {
        return Err(ThresholdError::MissingValue { metric, comparator, span });
    }
    match Bound::parse(value.text, metric.unit()) {
        None => Err(ThresholdError::WrongValue { metric, given: value.text.to_owned(), span }),
        Some(Bound::Never) if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) => {
            Err(ThresholdError::OrderedNever { metric, comparator, span })
        }
        Some(bound) => Ok(bound),
    }
}

impl Comparator {
    const ALL: [Comparator; 6] = [
        Comparator::Less,
        Comparator::AtMost,
        Comparator::Greater,
        Comparator::AtLeast,
        Comparator::Equal,
        Comparator::NotEqual,
    ];

    /// All of them, for messages.
    const LIST: &str = "<, <=, >, >=, ==, !=";

    /// Sign of the comparator.
    pub fn sign(self) -> &'static str {
        match self {
            Comparator::Less => "<",
            Comparator::AtMost => "<=",
            Comparator::Greater => ">",
            Comparator::AtLeast => ">=",
            Comparator::Equal => "==",
            Comparator::NotEqual => "!=",
        }
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sign())
    }
}

/// A part of the user's text, without the blanks around it, that knows where it begins.
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    fn whole(text: &'a str) -> Piece<'a> {
        Piece { text, at: 0 }.trimmed()
    }

    /// Cuts at a byte offset, which has to be on a character's boundary.
    fn split(&self, at: usize) -> (Piece<'a>, Piece<'a>) {
        let (left, right) = self.text.split_at(at);
        (Piece { text: left, at: self.at }.trimmed(), Piece { text: right, at: self.at + at }.trimmed())
    }

    fn trimmed(self) -> Piece<'a> {
        let text = self.text.trim_start();
        Piece { text: text.trim_end(), at: self.at + self.text.len() - text.len() }
    }

    fn span(&self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> (String, String) {
        let error = text.parse::<Threshold>().expect_err(text);
        (error.to_string(), text[error.span()].to_owned())
    }

    #[test]
    fn expressions_are_read_with_or_without_blanks() {
        for (text, canonical) in [
            ("connect.p99 < 50ms", "connect.p99 < 50ms"),
            ("  connect.p99<50ms ", "connect.p99 < 50ms"),
            ("failed.ratio < 0.1%", "failed.ratio < 0.1%"),
            ("failed.ratio < 0.001", "failed.ratio < 0.1%"),
            ("failed.refused == 0", "failed.refused == 0"),
            ("lateness.p99 < 1ms", "lateness.p99 < 1ms"),
            ("held.max >= 100_000", "held.max >= 100000"),
            ("onset.ports_exhausted == never", "onset.ports_exhausted == never"),
            ("onset.ports_exhausted never", "onset.ports_exhausted == never"),
            ("onset.time_wait_building > 30s", "onset.time_wait_building > 30s"),
            ("skipped.late == 0", "skipped.late == 0"),
            ("failed.address_not_available.ratio < 1%", "failed.address_not_available.ratio < 1%"),
            ("ok >= 1k", "ok >= 1000"),
            ("rate.achieved >= 300/min", "rate.achieved >= 5/s"),
            ("bytes_out != 0", "bytes_out != 0"),
        ] {
            assert_eq!(text.parse::<Threshold>().expect(text).to_string(), canonical);
        }
    }

    #[test]
    fn an_entry_is_the_expression_in_two() {
        let entry = Threshold::from_entry("connect.p99", "< 50ms").expect("an entry");
        assert_eq!(entry, "connect.p99 < 50ms".parse().expect("an expression"));
        let never = Threshold::from_entry("onset.ports_exhausted", "never").expect("an entry");
        assert_eq!(never.to_string(), "onset.ports_exhausted == never");
    }

    #[test]
    fn an_error_in_an_entry_says_in_which_text() {
        let error = Threshold::from_entry(" conect.p99", "< 50ms").expect_err("no such metric");
        assert_eq!((error.part(), error.span()), (Part::Metric, 1..11));
        let error = Threshold::from_entry("connect.p99", "< 50").expect_err("no unit");
        assert_eq!((error.part(), error.span()), (Part::Comparison, 2..4));
        let error = Threshold::from_entry("connect.p99", "  ").expect_err("nothing");
        assert_eq!((error.part(), error.span()), (Part::Comparison, 2..2));
    }

    #[test]
    fn an_unknown_metric_comes_with_the_nearest() {
        let (says, at) = refused("conect.p99 < 50ms");
        assert_eq!(
            (says.as_str(), at.as_str()),
            ("'conect.p99' is not a metric; did you mean 'connect.p99'?", "conect.p99")
        );
        assert!(refused("held.p99 < 5s").0.contains("did you mean 'lifetime.p99'?"));
        assert!(refused("weather < 5s").0.contains("there are latencies (connect.p99)"));
        assert!(refused("< 50ms").0.contains("names no metric"));
        assert!(refused("").0.contains("names no metric"));
    }

    #[test]
    fn a_wrong_unit_says_what_was_expected() {
        for (text, given, expected) in [
            ("connect.p99 < 50", "50", "a duration of whole microseconds"),
            ("connect.p99 < 500ns", "500ns", "a duration of whole microseconds"),
            ("connect.p99 == never", "never", "a duration of whole microseconds"),
            ("failed.ratio < 50ms", "50ms", "a share from 0% to 100%"),
            ("failed.ratio < 120%", "120%", "a share from 0% to 100%"),
            ("failed.refused == 1%", "1%", "a whole number, such as"),
            ("bytes_in > 1.5", "1.5", "a whole number of bytes"),
            ("rate.achieved > 5s", "5s", "a rate, such as 5000/s"),
            ("onset.fd_limit > 30", "30", "'never' or a duration"),
            ("ok > 5 < 7", "5 < 7", "a whole number"),
        ] {
            let (says, at) = refused(text);
            assert!(says.contains(&format!("can't be compared with '{given}'")), "{says}");
            assert!(says.contains(expected), "{says}");
            assert_eq!(at, given);
        }
    }

    #[test]
    fn a_wrong_comparison_says_what_to_write() {
        for (text, marked, advice) in [
            ("ok", "", "ok is compared with nothing; write for example 'ok >= 1000'"),
            ("connect.p99 50ms", "50ms", "does not begin with a comparator (<, <=, >, >=, ==, !=)"),
            ("ok = 5", "=", "'=' is not a comparator; did you mean '=='?"),
            ("ok => 5", "=>", "did you mean '>='?"),
            ("ok ≤ 5", "≤", "did you mean '<='?"),
            ("ok <>< 5", "<><", "write one of <, <=, >, >=, ==, !="),
            ("ok <", "", "'ok <' wants a whole number"),
            ("onset.fd_limit < never", "never", "write '== never' if it must not happen"),
        ] {
            let (says, at) = refused(text);
            assert!(says.contains(advice), "{says}");
            assert_eq!(at, marked, "{text}");
        }
        let error = Threshold::from_entry("ok", "1000").expect_err("no comparator");
        assert!(error.to_string().contains("write for example 'ok >= 1000'"), "{error}");
    }

    fn any_threshold() -> impl Strategy<Value = Threshold> {
        let metrics: Vec<Metric> = Metric::all().collect();
        let parts = (proptest::sample::select(metrics), 0usize..6, any::<(u64, f64, bool)>());
        parts.prop_map(|(metric, comparator, (number, real, flag))| {
            let comparator = Comparator::ALL[comparator];
            let bound = match metric.unit() {
                Unit::Microseconds => Bound::Duration(std::time::Duration::from_micros(number)),
                Unit::Seconds if flag && matches!(comparator, Comparator::Equal | Comparator::NotEqual) => {
                    Bound::Never
                }
                Unit::Seconds => Bound::Duration(std::time::Duration::from_nanos(number)),
                Unit::Ratio => Bound::Ratio((number % 1_000_001) as f64 / 1e6),
                // 2^53: the largest count that is read.
                Unit::Count | Unit::Bytes => Bound::Count(number >> 11),
                Unit::PerSecond => {
                    let rate = crate::plan::units::Rate::per_second(real.abs());
                    Bound::Rate(rate.unwrap_or(crate::plan::units::Rate::ZERO))
                }
            };
            Threshold { population: None, metric, comparator, bound }
        })
    }

    proptest! {
        #[test]
        fn a_threshold_is_read_as_it_was_written(threshold in any_threshold()) {
            prop_assert_eq!(threshold.to_string().parse(), Ok(threshold));
        }

        #[test]
        fn a_threshold_survives_json(threshold in any_threshold()) {
            let json = serde_json::to_string(&threshold).unwrap();
            prop_assert_eq!(&json, &format!("\"{threshold}\""));
            prop_assert_eq!(serde_json::from_str::<Threshold>(&json).unwrap(), threshold);
        }

        #[test]
        fn any_text_is_read_or_refused_at_a_place_in_it(text in "\\PC{0,60}") {
            if let Err(error) = text.parse::<Threshold>() {
                prop_assert!(text.get(error.span()).is_some());
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn what_is_nearly_a_threshold_is_read_or_refused(
            metric in "(connect|held|failed|onset)?[.]?[a-z_]{0,8}[ \u{3000}]?",
            comparison in "[ <>=!≤]{0,4}[0-9.]{0,25}[a-z%/ µ]{0,6}",
        ) {
            let text = format!("{metric}{comparison}");
            if let Err(error) = text.parse::<Threshold>() {
                prop_assert!(text.get(error.span()).is_some());
            }
            if let Err(error) = Threshold::from_entry(&metric, &comparison) {
                let within = match error.part() { Part::Metric => &metric, Part::Comparison => &comparison };
                prop_assert!(within.get(error.span()).is_some());
            }
        }

        #[test]
        fn margins_agree_with_the_verdict(threshold in any_threshold(), measured in any::<f64>()) {
            let evaluation = threshold.evaluate(&|_| Some(measured));
            if let Some(margin) = evaluation.margin {
                prop_assert!(margin.is_finite());
                let right = if evaluation.passed { margin >= 0.0 } else { margin <= 0.0 };
                prop_assert!(right, "{evaluation:?}");
            }
        }
    }
}
