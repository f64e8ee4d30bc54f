//! `merge` and `compare` on results of real runs.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use support::storm::connstorm;
use support::targets;

fn run(arguments: &[&str]) -> Output {
    connstorm().args(arguments).output().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn two_processes_at_once_become_one_result() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let (a, b, both) =
        (folder.path().join("a.json"), folder.path().join("b.json"), folder.path().join("both.json"));
    let start = |source: &str, json: &Path| {
        connstorm()
            .args(["run", &format!("tcp://{address}"), "--rate", "200/s", "--duration", "2s", "--quiet"])
            .args(["--source", source, "--json", text(json)])
            .spawn()
            .unwrap()
    };
    let mut processes = [start("127.0.0.2", &a), start("127.0.0.3", &b)];
    processes.iter_mut().for_each(|process| assert!(matches!(process.wait().unwrap().code(), Some(0 | 4))));
    let output = run(&["merge", text(&a), text(&b), "--json", text(&both)]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let (a, b, both) = (json(&a), json(&b), json(&both));
    for name in ["planned", "started", "ok", "failed", "skipped"] {
        let count = |result: &Value| result["counts"][name].as_u64().unwrap();
        assert_eq!(count(&both), count(&a) + count(&b), "{name}");
        let in_windows: u64 =
            both["windows"].as_array().unwrap().iter().map(|window| window[name].as_u64().unwrap()).sum();
        assert_eq!(in_windows, count(&both), "{name} in windows");
    }
    let latency = |result: &Value| result["latency_us"]["connect"]["count"].as_u64().unwrap();
    assert_eq!(latency(&both), latency(&a) + latency(&b));
    assert_eq!(both["parts"].as_array().unwrap().len(), 2);
    // Two loads of 200/s, aligned: some second of the whole has both.
    let most = both["windows"].as_array().unwrap().iter().map(|w| w["started"].as_u64().unwrap()).max();
    assert!(most.unwrap() > 250, "{most:?}");
}

#[test]
fn what_is_no_load_together_is_refused() {
    let good = "tests/data/good.json";
    let output = run(&["merge", good, good]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("are the same run"), "{output:?}");
    assert_eq!(run(&["merge", good]).status.code(), Some(2));
}

/// A copy of a result with every count of its connect histogram moved: as slow again.
fn slower(folder: &Path) -> std::path::PathBuf {
    let mut result = json(Path::new("tests/data/good.json"));
    let latencies = result["latency_us"].as_object_mut().unwrap();
    // From the due time on, it took twice as long: a latency that a reader knows to be larger.
    let slow = latencies["lateness"].clone();
    assert!(slow["p99"].as_u64() > latencies["connect"]["p99"].as_u64());
    latencies.insert("connect".into(), slow);
    let path = folder.join("slow.json");
    std::fs::write(&path, result.to_string()).unwrap();
    path
}

#[test]
fn a_regression_past_the_tolerance_exits_with_3_and_only_that() {
    let folder = tempfile::tempdir().unwrap();
    let (good, slow) = ("tests/data/good.json", slower(folder.path()));
    let output = run(&["compare", good, good]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("no change seen"), "{output:?}");

    let output = run(&["compare", good, text(&slow), "--tolerance", "10%", "--json", "-"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(comparison["verdict"], "regressed");
    assert!(String::from_utf8_lossy(&output.stderr).contains("connect.p99"), "the table makes room");

    let output = run(&["compare", good, text(&slow), "--tolerance", "900%"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(&["compare", text(&slow), good, "--summary", "-"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("## "), "{output:?}");
}

#[test]
fn a_side_is_a_file_several_or_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.json", "2.json", "notes.txt"] {
        std::fs::copy("tests/data/good.json", folder.path().join(name)).unwrap();
    }
    let several = "tests/data/good.json,tests/data/good.json,tests/data/good.json";
    let output = run(&["compare", several, text(folder.path())]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 runs against 3 runs"), "{output:?}");
    let empty = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (["compare", "tests/data/good.json", text(empty.path())], 2),
        (["compare", "tests/data/good.json", "tests/data/exhausted.json"], 1),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let wrong = run(&["compare", "a", "b", "--tolerance", "much"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
