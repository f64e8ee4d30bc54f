//! Values and their units: what a metric is measured in, what it can be compared with, and how both are
//! written.

use crate::model::format::{exact_micros, trimmed};
use crate::plan::units::{Count, Rate, parse_count, parse_duration};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A latency.
    Microseconds,
    /// A moment, since the start of the run.
    Seconds,
    /// A share, from 0 to 1.
    Ratio,
    /// A number of things.
    Count,
    /// A number of bytes.
    Bytes,
    /// A rate.
    PerSecond,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 6] =
        [Unit::Microseconds, Unit::Seconds, Unit::Ratio, Unit::Count, Unit::Bytes, Unit::PerSecond];

    /// Values that a metric of this unit is compared with, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Unit::Microseconds => "a duration of whole microseconds with its unit, such as 50ms, 250us or 1s",
            Unit::Seconds => "'never' or a duration with its unit, such as 30s",
            Unit::Ratio => "a share from 0% to 100%, such as 0.1% or 0.001",
            Unit::Count => "a whole number, such as 1000, 100_000 or 100k",
            Unit::Bytes => "a whole number of bytes, such as 4096 or 1M (a million)",
            Unit::PerSecond => "a rate, such as 5000/s or 300/min",
        }
    }

    /// A comparison that is right for a metric of this unit.
    pub fn example(self) -> &'static str {
        match self {
            Unit::Microseconds => "< 50ms",
            Unit::Seconds => "== never",
            Unit::Ratio => "< 0.1%",
            Unit::Count | Unit::Bytes => ">= 1000",
            Unit::PerSecond => ">= 1000/s",
        }
    }

    /// A measured value as every report writes it, but to the microsecond or to six digits: no reader may wonder
    /// why a value that looks like its bound is beyond it.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Unit::Microseconds => exact_micros(value),
            Unit::Seconds => exact_micros(value * 1e6),
            Unit::Ratio => format!("{} %", six_digits(value * 100.0)),
            Unit::Count => value.to_string(),
            Unit::Bytes => format!("{value} bytes"),
            Unit::PerSecond => format!("{}/s", six_digits(value)),
        }
    }
}

/// Bound of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Duration(Duration),
    Never,
    /// From 0 to 1.
    Ratio(f64),
    Count(Count),
    Rate(Rate),
}

impl Bound {
    /// Reads the value for a metric of this unit; `None` where it is not what [`Unit::expected`] says.
    pub(super) fn parse(text: &str, unit: Unit) -> Option<Bound> {
        match unit {
            // Latencies are recorded in whole microseconds: a finer bound promises what can't be judged.
            Unit::Microseconds => parse_duration(text)
                .ok()
                .filter(|duration| duration.subsec_nanos().is_multiple_of(1000))
                .map(Bound::Duration),
            Unit::Seconds if text == "never" => Some(Bound::Never),
            Unit::Seconds => parse_duration(text).ok().map(Bound::Duration),
            Unit::Ratio => parse_ratio(text).map(Bound::Ratio),
            Unit::Count | Unit::Bytes => parse_count(text).ok().map(Bound::Count),
            Unit::PerSecond => text.parse().ok().map(Bound::Rate),
        }
    }

    /// The number that a measured value of this unit is compared with. Never is infinitely late.
    pub(super) fn in_unit(self, unit: Unit) -> f64 {
        match self {
            Bound::Duration(duration) if unit == Unit::Microseconds => duration.as_micros() as f64,
            Bound::Duration(duration) => duration.as_secs_f64(),
            Bound::Never => f64::INFINITY,
            Bound::Ratio(share) => share,
            Bound::Count(count) => count as f64,
            Bound::Rate(rate) => rate.as_per_second(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Duration(duration) => write!(f, "{}", humantime::format_duration(*duration)),
            Bound::Never => f.write_str("never"),
            Bound::Ratio(share) => {
                let percent = format!("{}%", trimmed(format!("{:.10}", share * 100.0)));
                // The plain number where the percentage, rounded for people, would be another one.
                if parse_ratio(&percent) == Some(*share) { f.write_str(&percent) } else { share.fmt(f) }
            }
            Bound::Count(count) => count.fmt(f),
            Bound::Rate(rate) => rate.fmt(f),
        }
    }
}

/// Reads `0.1%` or `0.001`, from 0 to 1.
fn parse_ratio(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), "e-2"),
        None => (text, "e0"),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    // Not divided by 100, which rounds a second time: 0.7 / 100 is less than 7 / 1000.
    let share: f64 = format!("{digits}{exponent}").parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// At most six significant digits, and never fewer than the whole part has.
fn six_digits(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (5.0 - magnitude).clamp(0.0, 15.0) as usize;
    trimmed(format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_shown_as_exactly_as_they_are_judged() {
        for (unit, value, shown) in [
            (Unit::Microseconds, 0.0, "0 µs"),
            (Unit::Microseconds, 812.4, "812 µs"),
            (Unit::Microseconds, 50_001.0, "50.001 ms"),
            (Unit::Microseconds, 61_200.0, "61.2 ms"),
            (Unit::Microseconds, 1_000_001.0, "1.000001 s"),
            (Unit::Seconds, 30.0, "30 s"),
            (Unit::Ratio, 0.001_001, "0.1001 %"),
            (Unit::Ratio, 1.0 / 3.0, "33.3333 %"),
            (Unit::Ratio, 1e-9, "0.0000001 %"),
            (Unit::Ratio, 0.0, "0 %"),
            (Unit::Ratio, 1.0, "100 %"),
            (Unit::Count, 100_000.0, "100000"),
            (Unit::Bytes, 4096.0, "4096 bytes"),
            (Unit::PerSecond, 4998.731, "4998.73/s"),
            (Unit::PerSecond, 29_000_000.5, "29000000/s"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }

    #[test]
    fn a_percentage_is_the_share_that_division_gives() {
        for (text, part, whole) in [("0.7%", 7.0, 1000.0), ("0.1 %", 1.0, 1000.0), ("29%", 29.0, 100.0)] {
            assert_eq!(Bound::parse(text, Unit::Ratio), Some(Bound::Ratio(part / whole)), "{text}");
        }
        for bad in ["", "%", "100.1%", "2", "-1%", "1e-3", "inf", "NaN", "1.2.3", "1%%", "."] {
            assert_eq!(Bound::parse(bad, Unit::Ratio), None, "{bad}");
        }
    }

    #[test]
    fn a_latency_is_not_bounded_below_what_is_measured() {
        assert_eq!(Bound::parse("500ns", Unit::Microseconds), None);
        assert_eq!(Bound::parse("1us", Unit::Microseconds), Some(Bound::Duration(Duration::from_micros(1))));
    }

    #[test]
    fn every_example_is_right_for_its_unit() {
        for unit in Unit::ALL {
            let value = unit.example().split_once(' ').expect("comparator and value").1;
            assert!(Bound::parse(value, unit).is_some(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_share_is_read_as_it_was_written(share in 0.0f64..=1.0) {
            let text = Bound::Ratio(share).to_string();
            prop_assert_eq!(Bound::parse(&text, Unit::Ratio), Some(Bound::Ratio(share)));
        }
    }
}
