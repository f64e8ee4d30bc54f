//! Merging, property-tested against one big histogram and one big tally.

use crate::model::{Latency, Schedule, Slice};
use crate::result::merge::merge as merge_parts;
use crate::result::merge::{MergeError, Missing, Named};
use crate::result::model::{LatencySummary, RunResult, Verdict, WindowSummary};
use crate::result::sample;
use proptest::prelude::*;
use std::time::Duration;

fn merge(parts: Vec<Named>) -> Result<RunResult, MergeError> {
    merge_parts(parts, Missing::Refused)
}

fn named(name: &str, result: RunResult) -> Named {
    Named { name: name.into(), result }
}

/// The same run, as if it had begun later on another host.
fn elsewhere(mut result: RunResult, host: &str, later_us: u64) -> RunResult {
    result.host.hostname = host.into();
    result.began_unix_us += later_us;
    result
}

fn two() -> Vec<Named> {
    let result = sample::exhausted();
    vec![
        named("b.json", elsewhere(result.clone(), "beta", 2_400_000)),
        named("a.json", elsewhere(result, "alpha", 0)),
    ]
}

#[test]
fn counts_are_added_and_balance_in_every_window() {
    let one = sample::exhausted();
    let merged = merge(two()).unwrap();
    assert_eq!(crate::result::balance::imbalance(&merged), None);
    assert_eq!(
        (merged.counts.planned, merged.counts.failed),
        (one.counts.planned * 2, one.counts.failed * 2)
    );
    type Pick = fn(&crate::result::WindowSummary) -> u64;
    let picks: [Pick; 5] = [|w| w.planned, |w| w.started, |w| w.ok, |w| w.failed, |w| w.skipped];
    for pick in picks {
        let sum = |result: &RunResult| result.windows.iter().map(pick).sum::<u64>();
        assert_eq!(sum(&merged), sum(&one) * 2);
    }
    let failures: u64 = merged.windows.iter().flat_map(|window| window.failures.values()).sum();
    assert_eq!(failures, merged.counts.failed);
    assert!((merged.elapsed_s - one.elapsed_s - 2.4).abs() < 1e-9);
    let ends: Vec<f64> = merged.windows.iter().map(|window| window.at_s).collect();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
}

#[test]
fn messages_are_added() {
    let mut parts = two();
    parts[0].result.messages.sent = 5;
    parts[1].result.messages.sent = 7;
    parts[1].result.messages.reconnects = 2;
    let merged = merge(parts).unwrap();
    assert_eq!((merged.messages.sent, merged.messages.reconnects), (12, 2));
}

#[test]
fn onsets_keep_their_host_and_are_moved_to_the_common_start() {
    let one = sample::exhausted();
    let merged = merge(two()).unwrap();
    let told: Vec<(&str, f64)> = merged
        .onsets
        .iter()
        .filter(|onset| onset.kind.name() == "ports_exhausted")
        .map(|onset| (onset.host.as_deref().unwrap(), onset.at_s))
        .collect();
    let at = one.onsets.iter().find(|onset| onset.kind.name() == "ports_exhausted").unwrap().at_s;
    assert_eq!(told.iter().map(|(host, _)| *host).collect::<Vec<_>>(), ["alpha", "beta"]);
    assert!((told[0].1 - at).abs() < 1e-9 && (told[1].1 - at - 2.4).abs() < 1e-9);
    assert!(merged.findings.iter().any(|finding| finding.says.starts_with("on beta: ")));
    let kind = &merged.failures[0];
    assert_eq!((kind.count, kind.first_ordinal), (one.failures[0].count * 2, one.failures[0].first_ordinal));
    assert!((kind.last_at_s - one.failures[0].last_at_s - 2.4).abs() < 1e-9);
    assert_eq!(merged.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["a.json", "b.json"]);
}

#[test]
fn the_host_counts_once_however_many_processes_ran_on_it() {
    let total = |hosts: [&str; 2]| {
        let parts = hosts
            .iter()
            .enumerate()
            .map(|(n, host)| named(&format!("{n}.json"), elsewhere(sample::exhausted(), host, n as u64)));
        let merged = merge(parts.collect()).unwrap();
        merged.windows.iter().filter_map(|window| window.kernel.as_ref()?.time_wait_total).max().unwrap()
    };
    assert_eq!(total(["alpha", "beta"]), 2 * total(["alpha", "alpha"]));
}

#[test]
fn a_part_that_was_spoiled_spoils_the_whole() {
    let mut parts = two();
    parts[0].result.verdict = Verdict::Invalid;
    parts[0].result.reasons = vec!["the generator was late".into()];
    let merged = merge(parts).unwrap();
    assert_eq!(merged.verdict, Verdict::Invalid);
    assert_eq!(merged.reasons[0], "on beta: the generator was late");
    let mut parts = two();
    parts[1].result.verdict = Verdict::Interrupted;
    assert_eq!(merge(parts).unwrap().verdict, Verdict::Interrupted);
}

#[test]
fn what_was_merged_can_be_merged_again() {
    let third = named("c.json", elsewhere(sample::exhausted(), "gamma", 1_000_000));
    let pair = named("ab.json", merge(two()).unwrap());
    let (mut all, nested) = (two(), merge(vec![pair, third.clone()]).unwrap());
    all.push(third);
    let at_once = merge(all).unwrap();
    assert_eq!((nested.counts, &nested.latency_us), (at_once.counts, &at_once.latency_us));
    let told = |result: &RunResult| {
        result.onsets.iter().map(|onset| (onset.host.clone(), onset.kind)).collect::<Vec<_>>()
    };
    assert_eq!(told(&nested), told(&at_once));
    assert_eq!(nested.parts.len(), 3);
}

#[test]
fn two_runs_that_began_in_the_same_microsecond_are_two() {
    let mut parts = vec![two()[0].clone(), two()[0].clone()];
    parts[1].name = "b.json".into();
    parts[1].result.elapsed_s += 1e-9;
    assert_eq!(merge(parts).unwrap().counts.started, 2 * two()[0].result.counts.started);
}

#[test]
fn what_cannot_be_merged_is_refused_with_the_reason() {
    let changed = |change: fn(&mut RunResult)| {
        let mut parts = two();
        change(&mut parts[0].result);
        merge(parts).unwrap_err().to_string()
    };
    for (says, error) in [
        ("give two results", merge(two()[..1].to_vec()).unwrap_err().to_string()),
        ("same run", merge(vec![two()[0].clone(), two()[0].clone()]).unwrap_err().to_string()),
        ("differ in [connection]", changed(|r| r.plan.connection.close = crate::plan::Close::Rst)),
        ("differ in [thresholds]", changed(|r| r.plan.thresholds.clear())),
        ("'a.json' had ended before 'b.json' began", changed(|r| r.began_unix_us += 3_600_000_000)),
        ("does not say when it began", changed(|r| r.began_unix_us = 0)),
        ("does not add up", changed(|r| r.counts.ok += 1)),
        (
            "histogram of connect",
            changed(|r| r.latency_us.get_mut("connect").unwrap().histogram.truncate(40)),
        ),
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
}

fn with_connect(values: &[u64], host: &str) -> Named {
    let mut latency = Latency::default();
    values.iter().for_each(|us| latency.record(Duration::from_micros(*us)));
    let mut result = elsewhere(sample::good(), host, 0);
    result.latency_us.insert("connect".into(), LatencySummary::of(&latency));
    named(host, result)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn percentiles_are_those_of_one_big_histogram(
        parts in proptest::collection::vec(proptest::collection::vec(0u64..10_000_000, 0..200), 2..5),
    ) {
        let named = parts.iter().enumerate().map(|(n, values)| with_connect(values, &format!("host-{n}")));
        let merged = merge(named.collect()).unwrap();
        let one = with_connect(&parts.concat(), "one");
        prop_assert_eq!(&merged.latency_us["connect"], &one.result.latency_us["connect"]);
    }

    #[test]
    fn no_window_is_lost_and_conservation_holds_whatever_the_offset(later_us in 0u64..12_000_000) {
        let result = sample::exhausted();
        let parts = vec![
            named("a", elsewhere(result.clone(), "alpha", 0)),
            named("b", elsewhere(result.clone(), "beta", later_us)),
        ];
        let merged = merge(parts).unwrap();
        prop_assert_eq!(crate::result::balance::imbalance(&merged), None);
        let started: u64 = merged.windows.iter().map(|window| window.started).sum();
        prop_assert_eq!(started, merged.counts.started);
    }
}

#[test]
fn what_does_not_add_up_is_refused_with_the_sum() {
    let changed = |change: fn(&mut RunResult)| {
        let mut parts = two();
        change(&mut parts[1].result);
        merge(parts).unwrap_err().to_string()
    };
    type Case = (fn(&mut RunResult), &'static str);
    let cases: [Case; 4] = [
        (|r| r.counts.ok += 1, "'a.json' does not add up: started is 2025"),
        (|r| r.windows[2].failed += 1, "the sum of its windows"),
        (|r| r.failures[0].count = u64::MAX, "kinds of failures"),
        (|r| r.latency_us.get_mut("connect").unwrap().count += 1, "histogram of connect"),
    ];
    for (change, says) in cases {
        let error = changed(change);
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn a_sum_that_no_result_can_hold_is_refused_and_not_wrapped() {
    let mut parts = two();
    parts.iter_mut().for_each(|part| part.result.counts.bytes_in = u64::MAX - 1);
    let error = merge(parts).unwrap_err().to_string();
    assert!(error.contains("more than a result can hold: counts.bytes_in"), "{error}");
}

/// Parts of one plan of 100 arrivals a second for ten seconds, each of which has started what is its own.
fn sliced(slices: &[(u32, u32)], of: u32) -> Vec<Named> {
    let rate = crate::model::Rate::per_second(100.0).unwrap();
    let stage = crate::model::RateStage { from: rate, to: rate, over: Duration::from_secs(10) };
    let schedule = Schedule::new(&[stage], None);
    let part = |&(first, count): &(u32, u32)| {
        let slice = Slice::new(first, count, of).unwrap();
        let mut result = elsewhere(sample::good(), &format!("host-{first}"), 0);
        result.plan.load.arrivals = crate::plan::Arrivals::Open(vec![stage]);
        (result.slice, result.elapsed_s) = (Some(slice), 10.0);
        let due = |second| slice.share(schedule.due_before(Duration::from_secs(second)));
        result.windows = (1..=10)
            .map(|second| {
                let planned = due(second) - due(second - 1);
                WindowSummary {
                    at_s: second as f64,
                    planned,
                    started: planned,
                    ok: planned,
                    ..WindowSummary::default()
                }
            })
            .collect();
        let planned = due(10);
        result.counts = crate::result::Counts {
            planned,
            started: planned,
            ok: planned,
            ..crate::result::Counts::default()
        };
        result.skipped.clear();
        named(&format!("{first}.json"), result)
    };
    slices.iter().map(part).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a plan was divided, and whichever parts are lost: all its arrivals are accounted for, each once, and
    /// in its second.
    #[test]
    fn what_is_lost_is_counted_and_nothing_else_is_changed(
        counts in proptest::collection::vec(1u32..4, 2..7), lost in proptest::collection::vec(any::<bool>(), 7),
    ) {
        let of = counts.iter().sum();
        let firsts = counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count)));
        let slices: Vec<(u32, u32)> = firsts.zip(counts.iter().copied()).collect();
        let there: Vec<_> = slices.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(slice, _)| *slice).collect();
        prop_assume!(there.len() > 1);
        let parts = sliced(&there, of);
        let started: u64 = parts.iter().map(|part| part.result.counts.started).sum();
        prop_assert_eq!(merge_parts(parts.clone(), Missing::Refused).is_ok(), there.len() == slices.len());
        let merged = merge_parts(parts, Missing::Lost).unwrap();
        prop_assert_eq!(crate::result::balance::imbalance(&merged), None);
        prop_assert_eq!((merged.counts.planned, merged.counts.started), (1000, started));
        prop_assert_eq!(merged.skipped.get("agent_lost").copied().unwrap_or(0), 1000 - started);
        prop_assert!(merged.windows.iter().all(|window| window.planned == 100), "{:?}", merged.windows);
        prop_assert_eq!(merged.slice, None);
    }
}

#[test]
fn a_part_that_did_not_come_to_its_end_owes_the_rest_and_the_whole_is_no_interruption() {
    let mut parts = sliced(&[(0, 1), (1, 1)], 2);
    let result = &mut parts[1].result;
    result.windows.truncate(4);
    (result.counts.planned, result.counts.started, result.counts.ok) = (200, 200, 200);
    (result.verdict, result.partial, result.elapsed_s) = (Verdict::Interrupted, true, 4.0);
    let merged = merge(parts).unwrap();
    assert_eq!((merged.counts.planned, merged.counts.started), (1000, 700));
    assert_eq!(merged.skipped["agent_lost"], 300);
    assert_eq!(crate::result::balance::imbalance(&merged), None);
    assert_eq!((merged.verdict, merged.partial), (Verdict::Invalid, true));
    assert!(merged.parts[1].partial && merged.parts[1].slice.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// One by one in whatever order, from hosts of their own or shared, with whatever starts: the same result.
    #[test]
    fn the_order_of_adding_changes_nothing(
        starts in proptest::collection::vec((0u64..5_000_000, 0usize..3), 2..6), turn in 0usize..6,
    ) {
        let part = |(n, (later_us, host)): (usize, &(u64, usize))| {
            let mut result = elsewhere(sample::exhausted(), &format!("host-{host}"), *later_us);
            result.elapsed_s += n as f64 * 1e-6;
            named(&n.to_string(), result)
        };
        let parts: Vec<Named> = starts.iter().enumerate().map(part).collect();
        let mut turned = parts.clone();
        turned.rotate_left(turn % parts.len());
        let (one, other) = (merge(parts).unwrap(), merge(turned).unwrap());
        // Sums of fractions are rounded in the order of adding.
        let exact = |result: &RunResult| -> Vec<WindowSummary> {
            let mut windows = result.windows.clone();
            for window in &mut windows {
                window.cpu_s = 0.0;
                window.kernel.iter_mut().for_each(|kernel| kernel.cost_us = 0.0);
            }
            windows
        };
        prop_assert!(exact(&one) == exact(&other), "windows differ");
        prop_assert_eq!((one.counts, &one.latency_us, &one.skipped), (other.counts, &other.latency_us, &other.skipped));
        let open = |result: &RunResult| result.windows.iter().map(|window| window.open).max();
        prop_assert!(open(&one) <= open(&sample::exhausted()).map(|most| most * starts.len() as u64));
    }
}

#[test]
fn connections_open_are_those_of_all_that_have_not_ended() {
    let part = |name: &str, open: &[u64]| {
        let mut named = sliced(&[(0, 1)], 2).remove(0);
        (named.name, named.result.slice, named.result.windows) = (name.into(), None, Vec::new());
        named.result.windows = (1..)
            .zip(open)
            .map(|(at, open)| WindowSummary { at_s: at as f64, open: *open, ..WindowSummary::default() })
            .collect();
        named.result.counts = crate::result::Counts::default();
        named.result.elapsed_s = open.len() as f64;
        named.result.host.hostname = name.into();
        named
    };
    let merged = merge(vec![part("a", &[5, 7, 7, 2]), part("b", &[1, 3])]).unwrap();
    let open: Vec<u64> = merged.windows.iter().map(|window| window.open).collect();
    assert_eq!(open, [6, 10, 7, 2], "of the shorter run nothing is open after its end");
    let mut late = part("b", &[1, 3, 4]);
    late.result.began_unix_us += 400_000;
    let open: Vec<u64> =
        merge(vec![part("a", &[5, 7]), late]).unwrap().windows.iter().map(|window| window.open).collect();
    assert_eq!(open, [6, 10, 4]);
}

#[test]
fn parts_of_different_plans_are_refused() {
    let changed = |change: fn(&mut RunResult)| {
        let mut parts = sliced(&[(0, 1), (1, 1)], 2);
        change(&mut parts[1].result);
        merge(parts).unwrap_err().to_string()
    };
    assert!(changed(|r| r.plan.seed += 1).contains("differ in the seed"));
    assert!(changed(|r| r.plan.load.max_open = Some(7)).contains("differ in [load]"));
    assert!(changed(|r| r.slice = Slice::new(1, 1, 3).ok()).contains("differ in the number of parts"));
    assert!(changed(|r| r.slice = Slice::new(0, 1, 2).ok()).contains("both are part 1/2"));
    assert!(changed(|r| r.slice = None).contains("is a part of a run, and '1.json' is a whole one"));
}
