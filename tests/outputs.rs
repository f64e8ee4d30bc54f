//! The outputs of a run as a user meets them: one file a format, whatever happens to the run.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use connstorm::result::RunResult;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use support::storm::connstorm;
use support::targets;
use tempfile::TempDir;

const FORMATS: [(&str, &str); 7] = [
    ("json", "{\n  \"schema_version\": 1"),
    ("html", "<!doctype html>"),
    ("junit", "<?xml"),
    ("summary", "## "),
    ("hlog", "#[Histogram log format"),
    ("openmetrics", "# HELP connstorm_run "),
    ("csv", "from_s,to_s,planned,"),
];

fn arguments(folder: &TempDir) -> Vec<String> {
    let flag = |format: &str| [format!("--{format}"), path(folder, format)];
    FORMATS.iter().flat_map(|(format, _)| flag(format)).collect()
}

fn path(folder: &TempDir, format: &str) -> String {
    folder.path().join(format).to_str().unwrap().to_owned()
}

#[track_caller]
fn assert_all_are_written(folder: &TempDir) {
    for (format, begins) in FORMATS {
        let text = std::fs::read_to_string(folder.path().join(format)).unwrap();
        assert!(text.starts_with(begins), "{format}: {}", &text[..text.len().min(200)]);
        assert!(text.ends_with('\n') || format == "html", "{format} has its end");
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    connstorm().args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn each_format_goes_to_its_file_and_a_saved_result_renders_the_same() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let output = connstorm()
        .args(["run", &format!("tcp://{address}"), "--connections", "200", "--concurrency", "4"])
        .args(arguments(&folder))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_all_are_written(&folder);

    let again = tempfile::tempdir().unwrap();
    let output =
        connstorm().arg("report").arg(folder.path().join("json")).args(arguments(&again)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (format, _) in FORMATS {
        let text = |folder: &TempDir| std::fs::read_to_string(folder.path().join(format)).unwrap();
        assert!(text(&folder) == text(&again), "{format} differs");
    }
    let result = RunResult::from_json(&std::fs::read_to_string(folder.path().join("json")).unwrap()).unwrap();
    assert_eq!(result.counts.ok, 200);
    let shown = run(&["report", &path(&folder, "json")]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("200 connections, none failed"));
}

#[test]
fn a_run_that_is_cut_short_writes_them_all() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "200/s", "--duration", "60s", "--quiet"])
        .args(["--lifetime", "until-end"])
        .args(arguments(&folder))
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1300));
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert_all_are_written(&folder);
    assert_eq!(json(&folder.path().join("json"))["verdict"], "interrupted");
    let junit = std::fs::read_to_string(folder.path().join("junit")).unwrap();
    assert!(
        junit.contains("<error ") && junit.contains("interrupted"),
        "no success for a CI server: {junit}"
    );
}

#[test]
fn a_condition_ends_the_run_as_failed_and_everything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens: every attempt fails, and a minute of that would tell no more than a second.
    let output = connstorm()
        .args(["run", "tcp://127.0.0.1:1", "--rate", "50/s", "--duration", "60s"])
        .args(["--abort-when", "failed.ratio > 50%"])
        .args(arguments(&folder))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_all_are_written(&folder);
    let result = json(&folder.path().join("json"));
    assert!(result["aborted"].as_str().unwrap().contains("failed.ratio is 100%"), "{}", result["aborted"]);
    assert!(result["counts"]["started"].as_u64().unwrap() < 1000, "{}", result["counts"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ended early: failed.ratio is 100%"), "{text}");
}

#[test]
fn one_output_may_be_standard_output_and_two_may_not() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let url = format!("tcp://{address}");
    let args = ["run", &url, "--connections", "3", "--concurrency", "1"];
    let output = run(&[&args[..], &["--junit", "-"]].concat());
    assert!(output.stdout.starts_with(b"<?xml"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 connections"), "the summary makes room");
    let output = run(&[&args[..], &["--junit", "-", "--json", "-"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("two results can't both go to '-'"),
        "{output:?}"
    );
    let output = run(&[&args[..], &["--csv", "/no/such/folder/x.csv"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/folder/x.csv"), "{output:?}");
}

#[test]
fn what_is_no_result_is_not_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    std::fs::write(&other, "{\"schema_version\": 7, \"connstorm_version\": \"9.9.9\"}").unwrap();
    let output = run(&["report", other.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("other.json") && text.contains("schema_version is 7") && text.contains("9.9.9"),
        "{text}"
    );
    assert_eq!(run(&["report", "/no/such.json"]).status.code(), Some(1));
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map(|_| text)
}

#[test]
fn figures_can_be_had_while_the_run_goes_on() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "100/s", "--duration", "20s", "--quiet"])
        .args(["--listen", &free.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A client that says nothing holds up neither the run nor, for more than a second, the next client.
    let limit = Instant::now() + Duration::from_secs(15);
    let text = loop {
        match get(free, "/metrics") {
            Ok(text) if text.contains("connstorm_started_total") => break text,
            other => assert!(Instant::now() < limit, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _silent = TcpStream::connect(free).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let started: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("connstorm_started_total "))
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    assert!(started > 0, "{text}");
    for part in
        ["connstorm_open_connections", "connstorm_latency_seconds_bucket{le=", "connstorm_ports_in_use"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(get(free, "/").unwrap().starts_with("HTTP/1.1 404"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

#[test]
fn an_address_that_is_taken_is_told_before_the_run() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        run(&["run", "tcp://127.0.0.1:1", "--connections", "1", "--concurrency", "1", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address), "{output:?}");
}
