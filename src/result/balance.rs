//! The books of a result: whether its numbers are such as a run counts, and whether they add up.
//!
//! A saved result may have been changed by anybody. A number that no run can have counted is refused when the
//! result is read, so that later sums stay far from the end of 64 bits; a result that does not add up can be
//! looked at, and is never merged.

use crate::result::model::{Counts, RunResult};
use serde_json::Value;

/// The largest whole number that JSON carries exactly, and more than any run counts.
const MOST: f64 = (1u64 << 53) as f64;
/// The longest time that is told, in seconds: 30 years.
const LONGEST_S: f64 = 1e9;
/// Parts of a result that hold what a run counted. Plan, host and evidence hold other numbers.
const COUNTED: [&str; 9] = [
    "elapsed_s",
    "began_unix_us",
    "counts",
    "skipped",
    "messages",
    "failures",
    "latency_us",
    "resources",
    "windows",
];

/// The first number of a result in JSON that no run can have counted, with its path.
pub(super) fn impossible(result: &Value) -> Option<String> {
    let onset_times = result.get("onsets").and_then(Value::as_array).into_iter().flatten();
    let mut onset_times = onset_times.flat_map(|onset| [onset.get("at_s"), onset.get("until_s")]).flatten();
    let counted = COUNTED.iter().find_map(|part| in_tree(part, result.get(*part)?));
    counted.or_else(|| onset_times.find_map(|time| in_tree("onsets.at_s", time)))
}

fn in_tree(path: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => {
            let is_time = path.rsplit('.').next().is_some_and(|name| name.ends_with("_s"));
            let most = if is_time { LONGEST_S } else { MOST };
            let possible = number.as_f64().is_some_and(|number| (0.0..=most).contains(&number));
            (!possible).then(|| format!("{path} is {number}"))
        }
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| in_tree(&format!("{path}[{n}]"), item))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(name, field)| in_tree(&format!("{path}.{name}"), field))
        }
        _ => None,
    }
}

/// Sums of a result that do not add up, with both numbers.
pub(super) fn imbalance(result: &RunResult) -> Option<String> {
    let counts = &result.counts;
    // In 128 bits: 64 are not enough for the sum of two that are full.
    let sum = |numbers: &[u64]| numbers.iter().map(|number| u128::from(*number)).sum::<u128>();
    let failures: Vec<u64> = result.failures.iter().map(|kind| kind.count).collect();
    let skipped: Vec<u64> = result.skipped.values().copied().collect();
    // Results of 0.1 counted as planned what was connected again.
    let both = counts.planned.saturating_add(result.messages.reconnects);
    let as_before = u128::from(counts.planned) == sum(&[counts.started, counts.skipped]);
    let again = match result.messages.reconnects {
        0 => ("planned", counts.planned),
        _ if as_before => ("planned", counts.planned),
        _ => ("planned + reconnects", both),
    };
    let books = [
        (again.0, again.1, "started + skipped", sum(&[counts.started, counts.skipped])),
        (
            "started",
            counts.started,
            "ok + failed + cut short + in flight",
            sum(&[counts.ok, counts.failed, counts.cut_short, counts.in_flight]),
        ),
        ("failed", counts.failed, "the sum of all kinds of failures", sum(&failures)),
        ("skipped", counts.skipped, "the sum of all reasons", sum(&skipped)),
    ];
    let told = |(name, count, what, sum): (&str, u64, &str, u128)| {
        (u128::from(count) != sum).then(|| format!("{name} is {count}, and {what} is {sum}"))
    };
    books.into_iter().find_map(told).or_else(|| in_windows(result))
}

type Pick = (&'static str, fn(&crate::result::WindowSummary) -> u64, fn(&Counts) -> u64);

/// A count that is not the sum of that of all windows, where there are any.
fn in_windows(result: &RunResult) -> Option<String> {
    let picks: [Pick; 6] = [
        ("planned", |window| window.planned, |counts| counts.planned),
        ("started", |window| window.started, |counts| counts.started),
        ("ok", |window| window.ok, |counts| counts.ok),
        ("failed", |window| window.failed, |counts| counts.failed),
        ("cut_short", |window| window.cut_short, |counts| counts.cut_short),
        ("skipped", |window| window.skipped, |counts| counts.skipped),
    ];
    if result.windows.is_empty() {
        return None;
    }
    picks.into_iter().find_map(|(name, of_window, of_all)| {
        let (sum, all) = (
            result.windows.iter().map(|window| u128::from(of_window(window))).sum::<u128>(),
            of_all(&result.counts),
        );
        (sum != u128::from(all)).then(|| format!("{name} is {all}, and the sum of its windows is {sum}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;
    use serde_json::json;

    fn changed(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut value = serde_json::to_value(sample::exhausted()).unwrap();
        change(&mut value);
        impossible(&value)
    }

    #[test]
    fn a_number_that_no_run_counts_is_named_with_its_path() {
        assert_eq!(changed(|_| {}), None);
        assert_eq!(changed(|v| v["plan"]["seed"] = json!(u64::MAX)), None, "a seed is any number");
        assert_eq!(changed(|v| v["host"]["file_max"] = json!(i64::MAX)), None, "settings are the kernel's");
        let most = u64::MAX;
        assert_eq!(changed(|v| v["counts"]["ok"] = json!(most)).unwrap(), format!("counts.ok is {most}"));
        assert!(
            changed(|v| v["windows"][3]["at_s"] = json!(1e300)).unwrap().starts_with("windows[3].at_s is ")
        );
        assert!(changed(|v| v["elapsed_s"] = json!(-1.0)).is_some());
        assert!(changed(|v| v["onsets"][0]["at_s"] = json!(1e12)).is_some());
        assert!(changed(|v| v["latency_us"]["connect"]["count"] = json!((1u64 << 53) + 2)).is_some());
    }

    #[test]
    fn each_sum_of_a_result_is_held_against_its_parts() {
        let told = |change: fn(&mut RunResult)| {
            let mut result = sample::exhausted();
            change(&mut result);
            imbalance(&result).unwrap_or_default()
        };
        assert_eq!(told(|_| {}), "");
        assert_eq!(told(|r| r.counts.planned += 1), "planned is 2026, and started + skipped is 2025");
        assert!(told(|r| r.counts.in_flight = 1).starts_with("started is 2025"));
        assert!(told(|r| r.counts.cut_short = 1).contains("ok + failed + cut short + in flight is 2026"));
        assert!(told(|r| r.windows[0].cut_short = 1).starts_with("cut_short is 0"));
        assert!(told(|r| r.counts.in_flight = u64::MAX).contains("18446744073709553640"), "no overflow");
        assert!(told(|r| r.failures[0].count += 1).contains("kinds of failures is 1002"));
        assert!(told(|r| _ = r.skipped.insert("late".into(), 4)).contains("all reasons is 4"));
        assert!(told(|r| r.windows[0].ok += 1).contains("ok is 1024, and the sum of its windows is 1025"));
    }
}
