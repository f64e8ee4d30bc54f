//! Forms of single values: one [`Syntax`] a kind of value, the same for the file and for the flags.

use super::diagnostics::{Mistake, Place, quote};
use super::env::plain;
use super::nearest::nearest;
use super::units::{Count, Rate, UnitError, parse_count, parse_duration, parse_size};
use crate::model::{AddressBlock, AddressSetError, Spacing};
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

/// Longest time that a scenario may ask for. A run of a year is a slip of the pen, and sums of such times
/// stay far from what the clock can hold.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Highest rate that a scenario may ask for, in arrivals per second: one a nanosecond.
const HIGHEST_RATE: f64 = 1e9;
/// Most worker threads that a run or a target may ask for.
const MOST_WORKERS: u64 = 4096;

/// Form of a kind of value.
pub(super) struct Syntax<T> {
    /// Form of the value, with an example: says what was expected where the type is wrong.
    pub(super) expected: &'static str,
    /// True if the file may also hold it as a number without quotes.
    pub(super) bare_number: bool,
    /// Regular expression of the texts that are right, for editors; empty: any text may be.
    pub(super) pattern: &'static str,
    /// Reads it.
    pub(super) parse: fn(&str) -> Result<T, Fault>,
}

impl<T> Syntax<T> {
    /// JSON schema of a value in the file. Any string with `${NAME}` in it may be right.
    pub(super) fn schema(&self) -> serde_json::Value {
        let mut schema = serde_json::json!({ "type": if self.bare_number { serde_json::json!(["string", "number"]) } else { serde_json::json!("string") } });
        if !self.pattern.is_empty() {
            schema["pattern"] = format!("^\\s*({})\\s*$|\\$\\{{", self.pattern).into();
        }
        schema
    }
}

/// Fault of the text of a value, before it is known where the text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    says: String,
    expected: Option<String>,
    help: Option<String>,
    part: Option<Range<usize>>,
}

impl Fault {
    pub(super) fn new(says: impl Into<String>) -> Fault {
        Fault { says: says.into(), expected: None, help: None, part: None }
    }

    /// In one line, for who reads a value outside of a plan.
    pub(super) fn told(&self) -> String {
        let expected = self.expected.as_ref().map(|expected| format!("; expected {expected}"));
        format!("{}{}", self.says, expected.unwrap_or_default())
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Fault {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }

    /// The same fault, seen from the `whole` text of which the text at fault is a `part` (a slice).
    pub(super) fn in_part(mut self, whole: &str, part: &str) -> Fault {
        let offset = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        if !part.is_empty() && offset <= whole.len() {
            let inner = self.part.unwrap_or(0..part.len());
            self.part = Some(offset + inner.start..offset + inner.end);
        }
        self
    }

    /// The part of the text that is at fault; the whole where nothing narrower is known.
    pub(super) fn part(&self) -> Option<Range<usize>> {
        self.part.clone()
    }

    /// The mistake that it is at this place.
    pub(super) fn at(self, place: Place) -> Mistake {
        let mut mistake = Mistake::new(place, self.says);
        if let Some(expected) = self.expected {
            mistake = mistake.expected(expected);
        }
        if let Some(help) = self.help {
            mistake = mistake.help(help);
        }
        mistake
    }
}

impl From<UnitError> for Fault {
    fn from(error: UnitError) -> Fault {
        let kind = error.expected.split(',').next().unwrap_or(error.expected);
        Fault::new(format!("{} is not {kind}", quote(&error.given))).expected(error.expected)
    }
}

pub(super) const RATE: Syntax<Rate> = Syntax {
    expected: "a rate, such as 5000/s, 300/min or 2k/s",
    bare_number: true,
    pattern: r"(poisson\()?[0-9_.]+[kKM]?\s*(/\s*(s|sec|second|m|min|minute|h|hour))?\)?",
    parse: |text| {
        // How arrivals are spaced is read beside it.
        let rate: Rate = at_random(text).unwrap_or(text).parse()?;
        if rate.as_per_second() > HIGHEST_RATE {
            return Err(Fault::new(format!("{} is too fast", quote(text))).expected("at most 1000M/s"));
        }
        Ok(rate)
    },
};

/// The rate of `poisson(RATE)`.
pub(super) fn at_random(text: &str) -> Option<&str> {
    text.trim().strip_prefix("poisson(")?.strip_suffix(')')
}

/// Way in which arrivals follow upon each other.
pub(super) const SPACING: Syntax<Spacing> = Syntax {
    expected: "`even` or `poisson`",
    bare_number: false,
    pattern: "even|poisson",
    parse: |text| {
        choose(text, "a spacing of arrivals", &[("even", Spacing::Even), ("poisson", Spacing::Poisson)])
    },
};

/// A rate at which something happens.
pub(super) const POSITIVE_RATE: Syntax<Rate> = Syntax {
    parse: |text| {
        let rate = (RATE.parse)(text)?;
        if rate == Rate::ZERO {
            return Err(Fault::new(format!("{} makes no connection", quote(text)))
                .expected("a rate above zero, such as 100/s"));
        }
        Ok(rate)
    },
    ..RATE
};

pub(super) const COUNT: Syntax<Count> = Syntax {
    expected: "a whole number from 1, such as 1000, 100_000, \"100k\" or \"1M\"",
    bare_number: true,
    pattern: r"[0-9_.]+[kKM]?",
    parse: |text| match parse_count(text)? {
        0 => Err(Fault::new(format!("{} is too few", quote(text))).expected("at least 1")),
        count => Ok(count),
    },
};

/// Texts that are durations; the units are those of [`parse_duration`].
const DURATION_PATTERN: &str = concat!(
    r"0|([0-9]+(\.[0-9]+)?\s*(nanos|nsec|ns|usec|us|µs|millis|msec|ms|s(ec(ond)?s?)?|m(in(ute)?s?)?",
    r"|h((ou)?rs?)?|d(ays?)?|w((ee)?ks?)?|M|months?|y((ea)?rs?)?)\s*)+"
);

/// A time that may be zero.
pub(super) const DURATION: Syntax<Duration> = Syntax {
    expected: "a duration with its unit, such as \"250ms\", \"10s\" or \"1m 30s\"",
    bare_number: false,
    pattern: DURATION_PATTERN,
    parse: |text| {
        let duration = parse_duration(text)?;
        if duration > LONGEST {
            return Err(Fault::new(format!("{} is too long", quote(text))).expected("at most 365 days"));
        }
        Ok(duration)
    },
};

/// A time in which something has to happen.
pub(super) const POSITIVE_DURATION: Syntax<Duration> = Syntax {
    parse: |text| match (DURATION.parse)(text)? {
        Duration::ZERO => Err(Fault::new(format!("{} is too short", quote(text)))
            .expected("a duration longer than zero, such as 10s")),
        duration => Ok(duration),
    },
    ..DURATION
};

pub(super) const WORKERS: Syntax<NonZeroU32> = Syntax {
    expected: "a number of threads from 1 to 4096",
    bare_number: true,
    pattern: r"[0-9_.]+[kK]?",
    parse: |text| {
        let number = parse_count(text)?;
        let threads = u32::try_from(number).ok().filter(|_| number <= MOST_WORKERS).and_then(NonZeroU32::new);
        threads.ok_or_else(|| {
            Fault::new(format!("{} threads cannot be run", quote(text))).expected(WORKERS.expected)
        })
    },
};

pub(super) const BACKLOG: Syntax<u32> = Syntax {
    expected: "the length of a queue, from 1 to 2147483647",
    bare_number: true,
    pattern: r"[0-9_.]+[kKM]?",
    parse: |text| {
        // listen(2) takes an int.
        let length = i32::try_from(parse_count(text)?).ok().filter(|length| *length > 0);
        length.map(i32::unsigned_abs).ok_or_else(|| {
            Fault::new(format!("{} is not the length of a queue", quote(text))).expected(BACKLOG.expected)
        })
    },
};

pub(super) const SEED: Syntax<u64> = Syntax {
    expected: "a whole number from 0 to 18446744073709551615",
    bare_number: true,
    pattern: r"[0-9_]+",
    parse: |text| {
        text.trim()
            .replace('_', "")
            .parse()
            .map_err(|_| Fault::new(format!("{} is not a seed", quote(text))).expected(SEED.expected))
    },
};

pub(super) const SIZE: Syntax<u64> = Syntax {
    expected: "a size above 0 with its unit, such as \"64MiB\" or \"1GiB\"",
    bare_number: false,
    pattern: r"\s*[0-9]+\s*([KMGT]i)?B\s*",
    parse: |text| Ok(parse_size(text)?),
};

pub(super) const NAME: Syntax<String> = Syntax {
    expected: "a string with the scenario's name",
    bare_number: false,
    pattern: r".*\S.*",
    parse: |text| match text.trim() {
        "" => Err(Fault::new("the name is empty").expected("a name for the report, such as \"login-storm\"")),
        name => Ok(plain(name).into_owned()),
    },
};

/// One entry of the list of source addresses.
pub(super) const ADDRESSES: Syntax<AddressBlock> = Syntax {
    expected: "a string with an address, a range or a CIDR block, such as \"127.0.0.2-127.0.0.9\"",
    bare_number: false,
    pattern: "",
    parse: |text| {
        text.parse().map_err(|error: AddressSetError| match error {
            AddressSetError::NotAnAddress(given) => Fault::new(format!(
                "{} is not an address",
                quote(&given)
            ))
            .expected(
                "an address, a range or a CIDR block, such as 127.0.0.2, 127.0.0.2-127.0.0.9 or fd00::/120",
            ),
            other => Fault::new(other.to_string()),
        })
    },
};

/// The one of the `choices` that `text` is; `what` completes "'x' is not …".
pub(super) fn choose<T: Copy>(text: &str, what: &str, choices: &[(&'static str, T)]) -> Result<T, Fault> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.trim()) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let fault = Fault::new(format!("{} is not {what}", quote(text))).expected(one_of(&names));
    Err(match nearest(text.trim(), names) {
        Some(name) => fault.help(format!("did you mean `{name}`?")),
        None => fault,
    })
}

/// `a`, `b` or `c`, each in backquotes.
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says<T: std::fmt::Debug>(syntax: &Syntax<T>, text: &str) -> String {
        let fault = (syntax.parse)(text).expect_err(text);
        format!("{}: {}", fault.says, fault.expected.unwrap_or_default())
    }

    #[test]
    fn limits_are_held() {
        assert!(says(&POSITIVE_RATE, "0/s").contains("makes no connection"));
        assert!(says(&RATE, "2000M/s").contains("too fast"));
        assert!(says(&COUNT, "0").contains("at least 1"));
        assert!(says(&DURATION, "366days").contains("at most 365 days"));
        assert!(says(&POSITIVE_DURATION, "0s").contains("longer than zero"));
        assert!(says(&WORKERS, "0").contains("1 to 4096"));
        assert!(says(&WORKERS, "5000").contains("1 to 4096"));
        assert!(says(&BACKLOG, "3G").contains("whole number"));
        assert!(says(&BACKLOG, "0").contains("queue"));
        assert!(says(&SEED, "-1").contains("not a seed"));
        assert!(says(&NAME, " ").contains("empty"));
        assert_eq!((SEED.parse)("18446744073709551615"), Ok(u64::MAX));
        assert_eq!((BACKLOG.parse)("4096"), Ok(4096));
    }

    #[test]
    fn units_say_what_they_are() {
        assert_eq!(says(&RATE, "5x"), "'5x' is not a rate: a rate, such as 5000/s, 300/min or 2k/s");
        assert!(says(&ADDRESSES, "10.0.0.256").starts_with("'10.0.0.256' is not an address"));
        assert!(says(&ADDRESSES, "10.0.0.1/40").contains("prefix"));
    }

    #[test]
    fn a_choice_names_the_nearest() {
        let fault = choose("ehco", "a behaviour", &[("echo", 1), ("sink", 2)]).unwrap_err();
        assert_eq!(fault.expected.as_deref(), Some("`echo` or `sink`"));
        assert_eq!(fault.help.as_deref(), Some("did you mean `echo`?"));
        assert_eq!(choose(" sink ", "a behaviour", &[("echo", 1), ("sink", 2)]), Ok(2));
    }
}
