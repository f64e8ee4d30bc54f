//! One plan divided among several processes (`run --part K/N`), and their results merged: to what one run of it
//! would have counted.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, SystemTime};
use support::storm::{connstorm, count};
use support::targets;

/// The parts of a run, in processes of their own.
struct Parts {
    folder: tempfile::TempDir,
    processes: Vec<Child>,
}

impl Parts {
    /// Starts these parts of `of`, each with the same arguments, all to begin a second from now.
    fn start(numbers: &[u32], of: u32, arguments: &str) -> Parts {
        Parts::start_at(numbers, of, arguments, &format!("@{}", unix_seconds() + 1.0))
    }

    fn start_at(numbers: &[u32], of: u32, arguments: &str, start: &str) -> Parts {
        let folder = tempfile::tempdir().unwrap();
        let process = |number: &u32| {
            connstorm()
                .arg("run")
                .args(arguments.split_whitespace())
                .args(["--quiet", "--start-at", start, "--part", &format!("{number}/{of}"), "--json"])
                .arg(folder.path().join(format!("{number}.json")))
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let processes = numbers.iter().map(process).collect();
        Parts { folder, processes }
    }

    /// Their results, when all have ended.
    fn results(&mut self) -> (Vec<PathBuf>, Vec<Value>) {
        for process in &mut self.processes {
            let code = process.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 4)), "a part is not judged: {code:?}");
        }
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.collect();
        files.sort();
        let results = files.iter().map(|file| json(file)).collect();
        (files, results)
    }

    fn merged(&self, files: &[PathBuf], more: &[&str]) -> (Output, Value) {
        let whole = self.folder.path().join("whole");
        let output =
            connstorm().arg("merge").args(files).arg("--json").arg(&whole).args(more).output().unwrap();
        let result = if whole.exists() { json(&whole) } else { Value::Null };
        (output, result)
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn in_windows(result: &Value, name: &str) -> u64 {
    result["windows"].as_array().unwrap().iter().map(|window| window[name].as_u64().unwrap()).sum()
}

#[track_caller]
fn assert_balanced(result: &Value) {
    assert_eq!(count(result, "planned"), count(result, "started") + count(result, "skipped"));
    for name in ["planned", "started", "ok", "failed", "skipped"] {
        assert_eq!(in_windows(result, name), count(result, name), "{name} in windows");
    }
}

#[test]
fn three_parts_merged_count_what_one_run_would_have_counted() {
    let (target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let load = format!("tcp://{address} --rate 400/s --connections 500 --source 127.0.0.2-127.0.0.4");
    let one = support::storm::storm(&load);
    let before = target.counters().accepted;
    let mut parts = Parts::start(&[1, 2, 3], 3, &load);
    let (files, results) = parts.results();
    let (output, merged) = parts.merged(&files, &[]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    for name in ["planned", "started", "ok", "failed", "skipped", "in_flight"] {
        assert_eq!(count(&merged, name), count(&one, name), "{name}");
    }
    assert_balanced(&merged);
    assert_eq!(results.iter().map(|result| count(result, "planned")).collect::<Vec<_>>(), [167, 167, 166]);
    let started = count(&merged, "started");
    targets::eventually(&target, |counters| counters.accepted == before + started);
    assert_eq!(merged["latency_us"]["lateness"]["count"], one["latency_us"]["lateness"]["count"]);
    assert_eq!(merged["plan"]["load"], one["plan"]["load"], "the plan is the whole one");
    assert_eq!(merged["slice"], Value::Null);
    assert_eq!(results[1]["slice"], serde_json::json!({"first": 1, "count": 1, "of": 3}));
    let began: Vec<u64> = results.iter().map(|result| result["began_unix_us"].as_u64().unwrap()).collect();
    assert!(began.windows(2).all(|pair| pair[0] == pair[1]), "all begin at the start time: {began:?}");
    // Judged once, when they are merged.
    assert!(results.iter().all(|result| result["thresholds"].as_array().unwrap().is_empty()));
    assert_eq!(merged["thresholds"].as_array().unwrap().len(), one["thresholds"].as_array().unwrap().len());
}

#[test]
fn slots_and_few_attempts_are_divided_exactly() {
    let (target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let mut slots = Parts::start(&[1, 2], 2, &format!("tcp://{address} --concurrency 3 --connections 101"));
    let mut few = Parts::start(&[1, 2, 3], 3, &format!("tcp://{address} --rate 100/s --connections 2"));
    let (files, results) = slots.results();
    let (_, merged) = slots.merged(&files, &[]);
    assert_eq!(count(&merged, "started"), 101);
    assert_eq!([count(&results[0], "started"), count(&results[1], "started")], [51, 50]);
    let (files, results) = few.results();
    let (_, merged) = few.merged(&files, &[]);
    assert_eq!((count(&merged, "planned"), count(&merged, "started")), (2, 2));
    assert_eq!(count(&results[2], "planned"), 0);
    targets::eventually(&target, |counters| counters.accepted == 103);
}

#[test]
fn a_part_that_is_there_twice_is_refused_and_one_that_is_missing_is_lost_only_when_that_is_said() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let load = format!("tcp://{address} --rate 200/s --connections 300");
    let mut parts = Parts::start(&[1, 3], 3, &load);
    let (files, _) = parts.results();
    let refused = |files: &[PathBuf]| {
        let (output, _) = parts.merged(files, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&files).contains("part 2/3 of the plan is missing"));
    let mut again = Parts::start(&[3], 3, &load);
    let (copies, _) = again.results();
    let twice = [files.clone(), copies].concat();
    assert!(refused(&twice).contains("both are part 3/3"), "{twice:?}");
    let mut whole = connstorm();
    let of_whole = parts.folder.path().join("one-run");
    whole.arg("run").args(load.split_whitespace()).arg("--quiet").arg("--json").arg(&of_whole);
    assert!(matches!(whole.status().unwrap().code(), Some(0 | 4)));
    assert!(refused(&[files[0].clone(), of_whole]).contains("is a part of a run, and"));

    let (output, merged) = parts.merged(&files, &["--lost"]);
    assert_eq!(output.status.code(), Some(4), "a third of the load is lost: {output:?}");
    assert_eq!((count(&merged, "planned"), count(&merged, "started")), (300, 200));
    assert_eq!(merged["skipped"]["agent_lost"], 100);
    assert_balanced(&merged);
    assert!(
        merged["reasons"][0].as_str().unwrap().contains("100 arrivals of parts of the run that were lost")
    );
}

#[test]
fn who_begins_late_skips_what_was_due_before_and_makes_no_burst() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let load = format!("tcp://{address} --rate 100/s --duration 6s");
    let mut parts = Parts::start_at(&[1], 2, &load, &format!("@{}", unix_seconds() - 3.5));
    let (_, results) = parts.results();
    let result = &results[0];
    assert_eq!(count(result, "planned"), 300);
    let late = result["skipped"]["agent_late"].as_u64().unwrap();
    assert!(late >= 175, "due in 3.5 s: {late}");
    assert_balanced(result);
    assert_eq!(result["windows"][1]["skipped"], 50, "each is skipped in its second");
    assert_eq!(result["verdict"], "invalid");
    let over = connstorm()
        .args(["run", &format!("tcp://{address}"), "--duration", "1s", "--start-at"])
        .arg(format!("@{}", unix_seconds() - 60.0))
        .output()
        .unwrap();
    assert_eq!(over.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&over.stderr).contains("it would be over"), "{over:?}");
}

#[test]
fn an_interruption_before_the_start_ends_the_run_with_nothing_counted() {
    let (target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let load = format!("tcp://{address} --rate 100/s --duration 2s");
    let mut parts = Parts::start_at(&[2], 2, &load, &format!("@{}", unix_seconds() + 600.0));
    std::thread::sleep(Duration::from_millis(1500));
    let process = &mut parts.processes[0];
    let signal = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status();
    assert!(signal.unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    let result = json(&parts.folder.path().join("2.json"));
    assert_eq!((count(&result, "planned"), count(&result, "started")), (0, 0));
    assert_eq!(target.counters().accepted, 0);
}

#[test]
fn what_can_not_be_divided_is_refused_before_anything_begins() {
    let refused = |arguments: &[&str]| {
        let output = connstorm().arg("run").args(arguments).args(["--part", "2/3"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let few = refused(&["tcp://127.0.0.1:1", "--concurrency", "2", "--duration", "1s"]);
    assert!(few.contains("concurrency = 2 can't be divided among 3 parts"), "{few}");
    assert!(refused(&["scenarios/first-run.toml"]).contains("connstorm serve"));
    let aborts = refused(&["tcp://127.0.0.1:1", "--abort-when", "failed > 3"]);
    assert!(aborts.contains("abort_when can't be judged by one part"), "{aborts}");
}
