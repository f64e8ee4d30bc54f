//! `connstorm run` as a user meets it: mistakes, exit codes, outputs, Ctrl-C.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use serde_json::Value;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::storm::connstorm;

fn echo() -> (Running, String) {
    let running = Target::start(Config::new(vec!["127.0.0.1:0".parse().unwrap()], Behaviour::Echo)).unwrap();
    let url = format!("tcp://{}", running.addresses()[0]);
    (running, url)
}

fn run(arguments: &[&str]) -> Output {
    connstorm().arg("run").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn scenario(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_first_scenario_brings_its_own_target_and_passes() {
    let output =
        run(&["scenarios/first-run.toml", "--rate", "200/s", "--ramp", "200ms", "--duration", "500ms"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.starts_with("first-run passed  120 connections, none failed\n"), "{text}");
    assert!(!text.contains('\x1b'), "no colour where there is no terminal");
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    let [plan, forecast] = lines[..] else { panic!("no progress where there is no terminal: {said}") };
    assert!(plan.starts_with("plan: up to 200/s"), "{said}");
    assert!(forecast.starts_with("forecast: ports: enough for 200/s, "), "{said}");
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn every_scenario_that_is_shipped_can_be_read() {
    let entries = ["scenarios", "scenarios/ci"].map(|folder| std::fs::read_dir(folder).unwrap());
    let files = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} begins with the question it answers", path.display());
        let plan = connstorm::plan::load_file(&path, &text, &|_| None, &Default::default());
        assert!(plan.is_ok(), "{}", plan.unwrap_err());
    }
}

#[test]
fn a_mistake_in_the_file_is_shown_in_its_place_and_nothing_is_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let file = scenario(&format!(
        "[target]\nurl = \"tcp://{}\"\n[load]\nopen = [{{ ramp_too = \"5000/s\", over = \"10s\" }}]\n",
        listener.local_addr().unwrap()
    ));
    let output = run(&[file.path().to_str().unwrap()]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in [":4:", "open = [{ ramp_too", "^^^^^^^^", "did you mean `ramp_to`?"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(output.stdout, b"");
    assert!(listener.accept().is_err(), "nothing was opened");
}

#[test]
fn flags_override_the_file_and_the_environment_fills_it_in() {
    let (_target, url) = echo();
    let file = scenario(
        "name = \"env\"\n[target]\nurl = \"${TEST_URL}\"\n[load]\nclosed = { slots = 1, duration = \"60s\" }\n",
    );
    let output = connstorm()
        .args(["run", file.path().to_str().unwrap(), "--connections", "7", "--json", "-"])
        .env("TEST_URL", &url)
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["counts"]["ok"], &result["verdict"]), (&7.into(), &"passed".into()));
    assert!(stderr(&output).contains("\nenv passed"), "the summary makes room for JSON on standard output");
}

#[test]
fn wrong_usage_exits_with_2_and_what_cannot_be_read_says_so() {
    for (arguments, part) in [
        (&["tcp://127.0.0.1:1", "--rate", "5x"][..], "--rate"),
        (&["tcp://127.0.0.1"], "port"),
        (&["ws://127.0.0.1:x/"], "ws"),
        (&["no-such-file.toml"], "no-such-file.toml"),
        (&["tcp://127.0.0.1:1", "--rate", "1/s", "--concurrency", "3"], "--concurrency"),
        (&["tcp://127.0.0.1:1", "--sauce", "127.0.0.2"], "--source"),
        (&[], "SCENARIO"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn what_cannot_run_exits_with_1() {
    let (_target, url) = echo();
    for (arguments, part) in [
        (&[&*url, "--json", "/no/such/folder/result.json"][..], "/no/such/folder"),
        (&[&*url, "--ports", "1024-1100"], "explicit:1024-1100"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_run_that_its_own_machine_spoiled_exits_with_4() {
    let (_target, url) = echo();
    let output = run(&[&url, "--source", "192.0.2.1", "--connections", "3", "--concurrency", "1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{text}");
    for part in [
        "invalid",
        "100 % of 3 attempts failed",
        "generator",
        "EADDRNOTAVAIL: Cannot assign requested address",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn host_and_port_without_a_scheme_are_a_target_unless_a_file_has_that_name() {
    let (_target, url) = echo();
    let bare = url.strip_prefix("tcp://").unwrap();
    let output = run(&[bare, "--connections", "3", "--concurrency", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("localhost:9"), "[load]\nconections = 5").unwrap();
    let output = connstorm().current_dir(folder.path()).args(["run", "localhost:9"]).output().unwrap();
    let told = stderr(&output);
    assert!(told.contains("did you mean `connections`?"), "{told}");
}

#[test]
fn thresholds_decide_between_0_and_3_and_are_shown_with_what_was_measured() {
    let (_target, url) = echo();
    let judged = |threshold: &str| {
        let output = run(&[&url, "--connections", "20", "--concurrency", "2", "--threshold", threshold]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = judged("ok >= 20");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("passed  ok >= 20: 20, 0 % to spare"), "{text}");
    let (code, text) = judged("ok > 100");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("FAILED  ok > 100: 20, missed by 80 %"), "{text}");
    let (code, text) = judged("onset.ports_exhausted == never");
    assert_eq!(code, Some(0), "{text}");

    // Nothing listens: a run without thresholds in which everything fails is no success.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&[&format!("tcp://{closed}"), "--connections", "2", "--concurrency", "1"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("proved, target: nothing-listens"), "{text}");
}

/// Who reproduces exhaustion on purpose says so by a threshold; the run is then judged, not invalid.
#[test]
fn what_a_threshold_is_about_does_not_spoil_the_run() {
    let (_target, url) = echo();
    let output = run(&[
        &url,
        "--source",
        "192.0.2.1",
        "--connections",
        "3",
        "--concurrency",
        "1",
        "--threshold",
        "failed.address_not_available == 3",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_interruption_ends_it_soon_with_the_report() {
    let (_target, url) = echo();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let mut process = Command::new(env!("CARGO_BIN_EXE_connstorm"))
        .args(["run", &url, "--rate", "500/s", "--duration", "60s", "--lifetime", "until-end", "--json"])
        .arg(&json)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    // Two seconds are promised; a machine under load gets ten before this is a failure.
    let limit = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > limit {
            process.kill().unwrap();
            panic!("still running ten seconds after SIGINT");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(130));
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("interrupted"), "{text}");
    let result: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(result["verdict"], "interrupted");
    let number = |name: &str| result["counts"][name].as_u64().unwrap();
    assert!(number("ok") > 100, "{text}");
    assert_eq!(number("planned"), number("started") + number("skipped"));
    assert_eq!(number("started"), number("ok") + number("failed") + number("in_flight"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_target, url) = echo();
    let piped = Command::new("sh")
        .args(["-c", "\"$0\" run \"$1\" --connections 5 --concurrency 1 --json - 2>/dev/null | head -c 1; echo \" ${PIPESTATUS[0]}\""])
        .args([env!("CARGO_BIN_EXE_connstorm"), &url])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&piped.stdout).starts_with('{'), "{piped:?}");
}
