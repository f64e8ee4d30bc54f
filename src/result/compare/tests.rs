//! Comparisons of results with a known change, and of none.

use crate::report::Style;
use crate::report::compare_table::{render as table, render_markdown as markdown};
use crate::result::compare::*;
use crate::result::sample;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// A run whose connects take `middle` µs, more or less, with the noise of a run on top.
fn run(seed: u64, middle: f64, failed: u64) -> RunResult {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut result = sample::good();
    let of_run = 1.0 + 0.06 * (random.random::<f64>() - 0.5);
    let mut latency = Latency::default();
    for _ in 0..5000 {
        // Skewed to the right, as latencies are.
        let us = middle * of_run * (1.0 + random.random::<f64>().powi(8) * 10.0);
        latency.record(Duration::from_micros(us as u64));
    }
    result.latency_us.clear();
    result.latency_us.insert("connect".into(), LatencySummary::of(&latency));
    result.counts.failed = failed;
    result.counts.ok = result.counts.started - failed;
    result
}

fn side(seed: u64, middle: f64, runs: u64) -> Vec<RunResult> {
    (0..runs).map(|n| run(seed + n, middle, 0)).collect()
}

fn verdict_of(comparison: &Comparison, metric: &str) -> Change {
    comparison.rows.iter().find(|row| row.metric == metric).unwrap_or_else(|| panic!("{metric}")).verdict
}

#[test]
fn a_run_is_no_change_to_itself() {
    let result = [sample::good()];
    let comparison = compare(&result, &result, 0.05).unwrap();
    assert_eq!(comparison.verdict, Change::NoChangeSeen);
    assert!(comparison.rows.iter().all(|row| row.change == 0.0 && row.low <= 0.0 && row.high >= 0.0));
}

#[test]
fn a_clear_change_is_seen_in_both_directions() {
    let (slow, fast) = (side(1, 150.0, 3), side(10, 100.0, 3));
    let worse = compare(&fast, &slow, 0.1).unwrap();
    assert_eq!((worse.verdict, verdict_of(&worse, "connect.p50")), (Change::Regressed, Change::Regressed));
    let better = compare(&slow, &fast, 0.1).unwrap();
    assert_eq!(better.verdict, Change::Improved);
    let within = compare(&fast, &slow, 0.9).unwrap();
    assert_eq!(within.verdict, Change::NoChangeSeen, "within the tolerance");
}

#[test]
fn more_failures_are_a_regression_whatever_the_latency() {
    let base = [run(1, 100.0, 0)];
    let comparison = compare(&base, &[run(2, 100.0, 400)], 0.5).unwrap();
    assert_eq!(comparison.verdict, Change::Regressed);
    assert_eq!(verdict_of(&comparison, "failed.ratio"), Change::Regressed);
    let comparison = compare(&base, &[run(2, 100.0, 1)], 0.5).unwrap();
    assert_eq!(verdict_of(&comparison, "failed.ratio"), Change::NoChangeSeen, "one of 13,000 proves nothing");
}

#[test]
fn a_lower_rate_is_a_regression() {
    let slower = |by: f64| {
        let mut result = sample::good();
        result.elapsed_s *= by;
        result
    };
    let base = [slower(1.0), slower(1.01), slower(0.99)];
    let comparison = compare(&base, &[slower(2.0), slower(2.02), slower(1.98)], 0.1).unwrap();
    assert_eq!(verdict_of(&comparison, "rate.achieved"), Change::Regressed);
}

#[test]
fn what_is_only_shown_does_not_decide() {
    let mut slow = sample::good();
    let calls = slow.latency_us["lifetime"].clone();
    slow.latency_us.insert("connect_call".into(), calls);
    let comparison = compare(&[sample::good()], &[slow], 0.1).unwrap();
    assert_eq!(verdict_of(&comparison, "connect_call.p50"), Change::Regressed);
    assert_eq!(comparison.verdict, Change::NoChangeSeen);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let good = sample::good();
    let invalid = RunResult { verdict: Verdict::Invalid, reasons: vec!["late".into()], ..good.clone() };
    let mut damaged = good.clone();
    damaged.latency_us.get_mut("connect").unwrap().histogram.truncate(30);
    for (base, new, says) in [
        (vec![], vec![good.clone()], "the base side has no result"),
        (
            vec![good.clone()],
            vec![invalid],
            "of the new side is invalid, and says nothing about the target (late)",
        ),
        (vec![good.clone()], vec![sample::exhausted()], "differ in [load]"),
        (vec![good.clone()], vec![damaged], "histogram of connect"),
    ] {
        let error = compare(&base, &new, 0.1).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// Six attempts on the new side, whatever they took.
fn six(middle: f64) -> RunResult {
    let mut result = run(7, middle, 0);
    let mut latency = Latency::default();
    (0..6).for_each(|n| latency.record(Duration::from_micros(middle as u64 + n)));
    result.latency_us.insert("connect".into(), LatencySummary::of(&latency));
    (result.counts.planned, result.counts.started, result.counts.ok) = (6, 6, 6);
    result
}

#[test]
fn six_attempts_prove_neither_better_nor_the_same() {
    for middle in [10.0, 100.0] {
        let comparison = compare(&[six(100.0)], &[six(middle)], 0.1).unwrap();
        assert_eq!(comparison.verdict, Change::TooNoisy, "{middle}");
        assert!(comparison.notes[0].contains("6 attempts"), "{:?}", comparison.notes);
    }
    let mut all_fail = six(100.0);
    (all_fail.counts.ok, all_fail.counts.failed) = (0, 6);
    let comparison = compare(&[six(100.0)], &[all_fail], 0.1).unwrap();
    assert_eq!(comparison.verdict, Change::Regressed, "none of six against all of six is no noise");
}

#[test]
fn runs_that_differ_from_each_other_by_more_than_the_change_are_too_noisy() {
    let wild = |seed| vec![run(seed, 50.0, 0), run(seed + 1, 400.0, 0)];
    let comparison = compare(&wild(1), &wild(10), 0.1).unwrap();
    assert_eq!(comparison.verdict, Change::TooNoisy);
    assert_eq!(verdict_of(&comparison, "failed.ratio"), Change::NoChangeSeen);
}

#[test]
fn it_reads_well() {
    let comparison = compare(&side(1, 100.0, 3), &side(10, 150.0, 3), 0.1).unwrap();
    insta::assert_snapshot!("table", table(&comparison, Style::Plain));
    insta::assert_snapshot!("markdown", markdown(&comparison));
    let text = table(&comparison, Style::Plain);
    assert!(text.lines().all(|line| line.chars().count() <= 95), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Runs of one kind, with 6 % of noise between them: a tolerance of 10 % must not be called broken.
    #[test]
    fn noise_alone_is_no_regression(seed in 0u64..1_000_000, runs in 1u64..5) {
        let comparison = compare(&side(seed, 100.0, runs), &side(seed + 100, 100.0, runs), 0.1).unwrap();
        prop_assert_eq!(comparison.verdict, Change::NoChangeSeen);
    }

    /// And a true change of 60 % is found, by three runs a side.
    #[test]
    fn a_true_change_is_found(seed in 0u64..1_000_000) {
        let comparison = compare(&side(seed, 100.0, 3), &side(seed + 100, 160.0, 3), 0.1).unwrap();
        prop_assert_eq!(comparison.verdict, Change::Regressed);
    }
}
