//! The contract with scripts: every exit code, one by one, and the table of the README beside it.

mod support;

use connstorm::cli::Exit;
use connstorm::protocol::{Behaviour, Kind};
use std::process::Stdio;
use std::time::Duration;
use support::storm::connstorm;
use support::targets;

const FEW: [&str; 4] = ["--connections", "3", "--concurrency", "1"];

#[track_caller]
fn run(arguments: &[&str]) -> i32 {
    let output = connstorm().arg("run").args(arguments).stdin(Stdio::null()).output().unwrap();
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn echo() -> (connstorm::server::Running, String) {
    let (running, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    (running, format!("tcp://{address}"))
}

#[test]
fn exit_0_passed() {
    let (_target, url) = echo();
    assert_eq!(run(&[&[&*url, "--threshold", "ok == 3"][..], &FEW].concat()), Exit::Passed as i32);
}

#[test]
fn exit_1_could_not_run() {
    let (_target, url) = echo();
    let code = run(&[&[&*url, "--html", "/no/such/folder/report.html"][..], &FEW].concat());
    assert_eq!(code, Exit::CouldNotRun as i32);
}

#[test]
fn exit_2_wrong_usage_or_scenario() {
    let (_target, url) = echo();
    for arguments in [
        &[&*url, "--threshold", "conect.p99 < 5ms"][..],
        &[&*url, "--abort-when", "failed.ratio > 500%"],
        &[&*url, "--no-such-flag"],
        &["no-such-scenario.toml"],
        &[],
    ] {
        assert_eq!(run(arguments), Exit::Usage as i32, "{arguments:?}");
    }
}

#[test]
fn exit_3_a_threshold_failed() {
    let (_target, url) = echo();
    let code = run(&[&[&*url, "--threshold", "ok > 3"][..], &FEW].concat());
    assert_eq!(code, Exit::ThresholdsFailed as i32);
}

#[test]
fn exit_3_a_condition_ended_it() {
    let code =
        run(&["tcp://127.0.0.1:1", "--rate", "20/s", "--duration", "30s", "--abort-when", "failed >= 1"]);
    assert_eq!(code, Exit::ThresholdsFailed as i32);
}

/// Invalid goes before failed, and before passed: neither threshold nor luck makes such a run count.
#[test]
fn exit_4_the_generator_was_the_limit() {
    let (_target, url) = echo();
    for threshold in ["connect.p99 < 1ns", "ok == 0", "failed.refused == 0"] {
        let arguments = [&[&*url, "--source", "192.0.2.1", "--threshold", threshold][..], &FEW].concat();
        let expected = if threshold.contains("1ns") { Exit::Usage } else { Exit::Invalid };
        assert_eq!(run(&arguments), expected as i32, "{threshold}");
    }
}

#[test]
fn exit_5_too_noisy_to_tell() {
    let (_target, url) = echo();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("six.json");
    let json = json.to_str().unwrap();
    assert_eq!(run(&[&url, "--connections", "6", "--concurrency", "1", "--json", json]), Exit::Passed as i32);
    let output = connstorm().args(["compare", json, json]).output().unwrap();
    assert_eq!(output.status.code(), Some(Exit::TooNoisy as i32), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("too noisy to tell"), "{output:?}");
}

#[test]
fn exit_130_interrupted() {
    let (_target, url) = echo();
    let mut process = connstorm()
        .args(["run", &url, "--rate", "50/s", "--duration", "60s", "--quiet"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(Exit::Interrupted as i32));
}

#[test]
fn the_readme_has_them_all() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    for code in [
        Exit::Passed,
        Exit::CouldNotRun,
        Exit::Usage,
        Exit::ThresholdsFailed,
        Exit::Invalid,
        Exit::TooNoisy,
        Exit::Interrupted,
    ] {
        let row = format!("| {} | ", code as u8);
        assert!(readme.contains(&row), "{row}");
    }
}
