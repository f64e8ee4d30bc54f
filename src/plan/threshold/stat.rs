//! Numbers of a distribution: smallest, mean, largest, and any percentile.
//!
//! Invariant: a `Stat`'s `Display` is the text that [`Stat::named`] reads. `p99.9` and `p99_9` are the same one.

use std::fmt;

/// A number of a latency's distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stat {
    /// The smallest.
    Min,
    /// Value that this share of all values does not exceed.
    Percentile(Percentile),
    /// The largest.
    Max,
    /// The arithmetic mean.
    Mean,
}

/// A percentile between 0 and 100, to four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percentile {
    /// Share of all values, in millionths.
    millionths: u32,
}

/// Decimals of a percentile.
const DECIMALS: usize = 4;
/// Millionths of one percent.
const PERCENT: u32 = 10_000;

impl Percentile {
    /// The median.
    pub const P50: Percentile = Percentile { millionths: 50 * PERCENT };
    /// The 90th.
    pub const P90: Percentile = Percentile { millionths: 90 * PERCENT };
    /// The 99th.
    pub const P99: Percentile = Percentile { millionths: 99 * PERCENT };
    /// The 99.9th.
    pub const P99_9: Percentile = Percentile { millionths: 999_000 };

    /// Share of all values, from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.millionths) / 1e6
    }

    /// Reads `99`, `99.9` or `99_9`; `None` where it is no number above 0 and below 100 with four decimals at most.
    fn parse(text: &str) -> Option<Percentile> {
        let (whole, part) = text.split_once(['.', '_']).unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || whole.len() > 2 || part.len() > DECIMALS {
            return None;
        }
        let part: u32 = format!("{part:0<DECIMALS$}").parse().ok()?;
        let millionths = whole.parse::<u32>().ok()? * PERCENT + part;
        (millionths > 0).then_some(Percentile { millionths })
    }
}

impl Stat {
    /// Those that reports show and lists name.
    pub const USUAL: [Stat; 7] = [
        Stat::Min,
        Stat::Percentile(Percentile::P50),
        Stat::Percentile(Percentile::P90),
        Stat::Percentile(Percentile::P99),
        Stat::Percentile(Percentile::P99_9),
        Stat::Max,
        Stat::Mean,
    ];

    /// The number of this name: `min`, `max`, `mean`, or a percentile such as `p95`, `p99.9` or `p99_9`.
    pub fn named(name: &str) -> Option<Stat> {
        match name {
            "min" => Some(Stat::Min),
            "max" => Some(Stat::Max),
            "mean" => Some(Stat::Mean),
            _ => name.strip_prefix('p').and_then(Percentile::parse).map(Stat::Percentile),
        }
    }

    /// The number that other programs, or a slip, call so; `None` where that can't be told.
    pub(super) fn meant_by(name: &str) -> Option<Stat> {
        let name = name.to_ascii_lowercase();
        let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic() || "._-( ".contains(c));
        let digits = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic() || "%) ".contains(c));
        match name.as_str() {
            "avg" | "average" | "med_avg" => Some(Stat::Mean),
            "med" | "median" => Some(Stat::Percentile(Percentile::P50)),
            "p100" | "100" | "maximum" | "worst" => Some(Stat::Max),
            "p0" | "0" | "minimum" | "best" => Some(Stat::Min),
            _ => Percentile::parse(digits)
                .map(Stat::Percentile)
                .or_else(|| Stat::named(crate::plan::nearest(&name, ["min", "max", "mean"])?)),
        }
    }
}

/// The number alone, its point written as an underscore: `99_9`.
impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.millionths / PERCENT, self.millionths % PERCENT);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0DECIMALS$}");
        write!(f, "{whole}_{}", part.trim_end_matches('0'))
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stat::Min => f.write_str("min"),
            Stat::Percentile(percentile) => write!(f, "p{percentile}"),
            Stat::Max => f.write_str("max"),
            Stat::Mean => f.write_str("mean"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_percentile_is_read_in_both_ways_of_writing_it() {
        for (text, shown, share) in [
            ("p50", "p50", 0.5),
            ("p95", "p95", 0.95),
            ("p99.9", "p99_9", 0.999),
            ("p99_9", "p99_9", 0.999),
            ("p99.90", "p99_9", 0.999),
            ("p99.99", "p99_99", 0.9999),
            ("p99_9999", "p99_9999", 0.999_999),
            ("p5", "p5", 0.05),
            ("p05", "p5", 0.05),
            ("p0.01", "p0_01", 0.0001),
        ] {
            let Some(Stat::Percentile(percentile)) = Stat::named(text) else { panic!("{text}") };
            assert_eq!(
                (percentile.to_string(), percentile.share()),
                (shown[1..].to_owned(), share),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_percentile_is_refused() {
        for text in
            ["p", "p0", "p100", "p100.0", "p-5", "p99.", "p.9", "p99.99999", "p9e1", "P99", "p99.9.9", "p+5"]
        {
            assert_eq!(Stat::named(text), None, "{text}");
        }
    }

    #[test]
    fn the_words_of_other_programs_are_understood() {
        let meant = |text| Stat::meant_by(text).map(|stat| stat.to_string());
        for (text, stat) in [
            ("avg", "mean"),
            ("median", "p50"),
            ("p(95)", "p95"),
            ("P95", "p95"),
            ("95th", "p95"),
            ("99.9%", "p99_9"),
            ("p100", "max"),
            ("maxx", "max"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(stat), "{text}");
        }
        for text in ["", "stddev", "p99.99999", "p1000"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_read_as_it_was_written(millionths in 1u32..1_000_000) {
            let stat = Stat::Percentile(Percentile { millionths });
            prop_assert_eq!(Stat::named(&stat.to_string()), Some(stat));
        }
    }
}
