//! Part of what was measured that may be this machine's own, where it is worth saying: a run may be valid all the same.

use crate::model::format::micros;
use crate::result::model::RunResult;

/// Delay of the workers at the 99th percentile, in microseconds, below which nothing is said.
const WORTH_SAYING_US: u64 = 1_000;
/// Part of the 99th percentile of what was measured, as a divisor, below which nothing is said.
const WORTH_SAYING_PART: u64 = 4;

/// Sentence on it; `None` where it is little.
pub(crate) fn own_delay(result: &RunResult) -> Option<String> {
    let measured = |name: &str| result.latency_us.get(name).filter(|summary| summary.count > 0);
    let own = measured("service_lateness")?;
    let named = [("round trip", "round_trip"), ("pong", "pong")];
    let answers = named.into_iter().filter_map(|(title, name)| Some((title, measured(name)?)));
    let (title, answer) = answers.max_by_key(|(_, summary)| summary.p99)?;
    let is_much = own.p99 >= WORTH_SAYING_US && own.p99 >= answer.p99 / WORTH_SAYING_PART;
    is_much.then(|| {
        format!(
            "in {title}, up to {} (median) and {} (99 %) may be this machine's own delay",
            micros(own.p50),
            micros(own.p99)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{LatencySummary, sample};

    #[test]
    fn what_is_much_of_an_answer_is_told_and_what_is_little_is_not() {
        let told = |own: u64, answer: u64| {
            let mut result = sample::good();
            let of = |p99| LatencySummary { count: 9, p50: p99 / 10, p99, ..LatencySummary::default() };
            result.latency_us.insert("service_lateness".into(), of(own));
            result.latency_us.insert("pong".into(), of(answer));
            own_delay(&result)
        };
        let much = told(8_000, 12_000).unwrap();
        assert!(much.contains("in pong, up to 800 µs (median) and 8.00 ms (99 %)"), "{much}");
        assert_eq!((told(900, 1_000), told(2_000, 12_000)), (None, None));
        assert_eq!(own_delay(&sample::good()), None);
    }
}
