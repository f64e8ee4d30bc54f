//! Numbers with units, as people write them: `5000/s`, `100_000`, `30s`.

pub use crate::model::Rate;
use std::str::FromStr;
use std::time::Duration;

/// A number of things.
pub type Count = u64;

/// Mistake in a number, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not {expected}")]
pub struct UnitError {
    /// The text as it was given.
    pub given: String,
    /// Expected form, with an example.
    pub expected: &'static str,
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        let error =
            || UnitError { given: text.to_owned(), expected: "a rate, such as 5000/s, 300/min or 2k/s" };
        let (number, per) = match text.split_once('/') {
            Some((number, unit)) => {
                let seconds = match unit.trim() {
                    "s" | "sec" | "second" => 1.0,
                    "m" | "min" | "minute" => 60.0,
                    "h" | "hour" => 3600.0,
                    _ => return Err(error()),
                };
                (number, seconds)
            }
            None => (text, 1.0),
        };
        let value = scaled_number(number).ok_or_else(error)?;
        Rate::per_second(value / per).ok_or_else(error)
    }
}

/// Parses a count such as `100000`, `100_000`, `100k` or `1.5M`.
pub fn parse_count(text: &str) -> Result<Count, UnitError> {
    let error = || UnitError {
        given: text.to_owned(),
        expected: "a whole number, such as 1000, 100_000, 100k or 1M",
    };
    let value = scaled_number(text).ok_or_else(error)?;
    // 2^53: the largest count that the floating-point way keeps exact.
    if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) {
        Ok(value as Count)
    } else {
        Err(error())
    }
}

/// Parses a duration such as `10s`, `250ms`, `1m 30s` or `0s`. A bare number has no unit and is refused.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    humantime::parse_duration(text.trim()).map_err(|_| UnitError {
        given: text.to_owned(),
        expected: "a duration with its unit, such as 250ms, 10s or 1m 30s",
    })
}

/// Parses a size above 0, such as `64MiB` or `1GiB`. A bare number has no unit and is refused.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];
    let split = UNITS.into_iter().find_map(|(unit, shift)| Some((text.trim().strip_suffix(unit)?, shift)));
    split
        .and_then(|(number, shift)| number.trim().parse::<u64>().ok()?.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| UnitError {
            given: text.to_owned(),
            expected: "a size above 0 with its unit, such as 64MiB or 1GiB",
        })
}

fn scaled_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let (digits, scale) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'M') => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    let plain = digits.replace('_', "");
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    plain.parse::<f64>().ok().map(|n| n * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!((parse_size("2GiB"), parse_size(" 1 KiB")), (Ok(2 << 30), Ok(1024)));
        for none in ["", "5", "0B", "-1MiB", "99999999999999GiB"] {
            assert!(parse_size(none).unwrap_err().to_string().contains("such as 64MiB"), "{none}");
        }
    }

    #[test]
    fn rates_are_read_per_second_minute_and_hour() {
        assert_eq!("5000/s".parse::<Rate>().unwrap().as_per_second(), 5000.0);
        assert_eq!("300/min".parse::<Rate>().unwrap().as_per_second(), 5.0);
        assert_eq!("2.5k/s".parse::<Rate>().unwrap().as_per_second(), 2500.0);
        assert_eq!("10_000".parse::<Rate>().unwrap().as_per_second(), 10_000.0);
        for bad in ["", "fast", "-1/s", "1e400/s", "5/fortnight", "NaN/s", "inf", "/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(parse_count("100_000"), Ok(100_000));
        assert_eq!(parse_count("1.5M"), Ok(1_500_000));
        for bad in ["1.5", "-3", "ten", "", "99999999999999999999"] {
            assert!(parse_count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_want_a_unit() {
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        let error = parse_duration("30").unwrap_err().to_string();
        assert!(error.contains("'30'") && error.contains("10s"), "{error}");
    }
}
