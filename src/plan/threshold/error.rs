//! Mistakes in a threshold, and their places in its text.

use super::nearest::advice;
use super::{Comparator, Metric};
use crate::plan::diagnostics::quote;
use std::ops::Range;

/// Mistake in a threshold. Spans are byte ranges, on whole characters, of the text that was
/// given: of the expression, or of that one of an entry's two texts which [`ThresholdError::part`] names.
/// Where something is missing, the span is empty and stands where it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Nothing stands before the comparison.
    #[error("the threshold names no metric; write for example 'connect.p99 < 50ms'")]
    MissingMetric {
        /// Where.
        span: Range<usize>,
    },
    /// The name is not that of a metric.
    #[error("{} is not a metric; {}", quote(.given), advice(.given))]
    UnknownMetric {
        /// The name as it was given.
        given: String,
        /// Where.
        span: Range<usize>,
    },
    /// Nothing follows the metric.
    #[error("{metric} is compared with nothing; write for example '{metric} {}'", .metric.unit().example())]
    MissingComparison {
        /// The metric.
        metric: Metric,
        /// Where.
        span: Range<usize>,
    },
    /// A value without a comparator.
    #[error(
        "{} does not begin with a comparator ({}); write for example '{metric} {}'",
        quote(.given), Comparator::LIST, .metric.unit().example()
    )]
    MissingComparator {
        /// The metric.
        metric: Metric,
        /// Text that stands where the comparator should be.
        given: String,
        /// Where.
        span: Range<usize>,
    },
    /// Signs that are not a comparator.
    #[error("{} is not a comparator; {}", quote(.given), meant(*.nearest))]
    UnknownComparator {
        /// The signs as they were given.
        given: String,
        /// The comparator that was probably meant.
        nearest: Option<Comparator>,
        /// Where.
        span: Range<usize>,
    },
    /// A comparator without a value.
    #[error("'{metric} {comparator}' wants {} after it", .metric.unit().expected())]
    MissingValue {
        /// The metric.
        metric: Metric,
        /// The comparator.
        comparator: Comparator,
        /// Where.
        span: Range<usize>,
    },
    /// A value of another unit, or of none.
    #[error("{metric} can't be compared with {}; write {}", quote(.given), .metric.unit().expected())]
    WrongValue {
        /// The metric.
        metric: Metric,
        /// The value as it was given.
        given: String,
        /// Where.
        span: Range<usize>,
    },
    /// `< never` and the like: an onset is neither before nor after never.
    #[error(
        "'{metric} {comparator} never' has no meaning; write '== never' if it must not happen, \
         '!= never' if it must"
    )]
    OrderedNever {
        /// The metric.
        metric: Metric,
        /// The comparator.
        comparator: Comparator,
        /// Where.
        span: Range<usize>,
    },
}

/// Text of a scenario's entry that a mistake is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The key: the metric's name.
    Metric,
    /// The value: the comparison.
    Comparison,
}

impl ThresholdError {
    /// Where the mistake is, in bytes of the text.
    pub fn span(&self) -> Range<usize> {
        match self {
            ThresholdError::MissingMetric { span }
            | ThresholdError::UnknownMetric { span, .. }
            | ThresholdError::MissingComparison { span, .. }
            | ThresholdError::MissingComparator { span, .. }
            | ThresholdError::UnknownComparator { span, .. }
            | ThresholdError::MissingValue { span, .. }
            | ThresholdError::WrongValue { span, .. }
            | ThresholdError::OrderedNever { span, .. } => span.clone(),
        }
    }

    /// Text of an entry that the span is in; of no interest for an expression, which is one text.
    pub fn part(&self) -> Part {
        match self {
            ThresholdError::MissingMetric { .. } | ThresholdError::UnknownMetric { .. } => Part::Metric,
            _ => Part::Comparison,
        }
    }
}

fn meant(nearest: Option<Comparator>) -> String {
    match nearest {
        Some(comparator) => format!("did you mean '{comparator}'?"),
        None => format!("write one of {}", Comparator::LIST),
    }
}
