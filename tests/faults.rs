//! Events in the midst of a run: the target dies or stops to accept, the source address goes away, the
//! disk fills up, the reader leaves. The run goes on to its end, names what it met, and loses nothing it has
//! measured.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::bound_to_us;
use support::namespace::Namespace;
use support::storm::{Storm, connstorm, count};

/// `connstorm serve tcp`, a process of its own that can be stopped and killed.
struct Server(Child);

impl Server {
    fn start(flags: &str) -> Server {
        let mut serve = connstorm();
        serve.args(["serve", "tcp", "--listen", "127.0.0.1:9000"]).args(flags.split_whitespace());
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "{line}");
        Server(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Nothing is lost: what was planned was started or skipped, and each start came to something.
#[track_caller]
fn conserves(result: &Value) {
    let count = |name| count(result, name);
    assert_eq!(count("planned"), count("started") + count("skipped"), "{result:#}");
    assert_eq!(count("started"), count("ok") + count("failed") + count("in_flight"), "{result:#}");
}

/// Number of attempts that failed so.
fn failed(result: &Value, stage: &str, cause: &str) -> u64 {
    let failures = result["failures"].as_array().unwrap();
    let kinds = failures.iter().filter(|kind| kind["stage"] == stage && kind["cause"] == cause);
    kinds.map(|kind| kind["count"].as_u64().unwrap()).sum()
}

fn findings(result: &Value) -> Vec<&str> {
    result["findings"].as_array().unwrap().iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

#[test]
fn a_target_that_is_killed() {
    Namespace::of("a_target_that_is_killed").run(|| {
        let server = Server::start("");
        let mut storm = Storm::start("tcp://127.0.0.1:9000 --rate 100/s --duration 4s --lifetime 1s");
        sleep(1800);
        server.signal(Signal::KILL);
        sleep(500);
        assert!(storm.is_running(), "a target that dies does not end the run");
        let result = storm.result();
        conserves(&result);
        assert!(failed(&result, "connect", "refused") > 50, "{:#}", result["failures"]);
        let lost = failed(&result, "session", "closed_early") + failed(&result, "session", "reset");
        assert!(lost > 20, "those that were open are lost: {:#}", result["failures"]);
        assert!(count(&result, "ok") > 20, "what had ended well before is kept: {:#}", result["counts"]);
        let onset = result["onsets"].as_array().unwrap().iter().find(|onset| onset["kind"] == "refusals");
        assert!(onset.is_some_and(|onset| onset["at_s"].as_f64() > Some(1.0)), "{:#}", result["onsets"]);
        assert_eq!(onset.unwrap().get("until_s"), None, "it does not come back");
        assert_eq!(result["findings"][0]["side"], "target");
    });
}

#[test]
fn a_target_that_stops_to_accept_and_goes_on() {
    Namespace::of("a_target_that_stops_to_accept_and_goes_on").run(|| {
        let server = Server::start("--backlog 5");
        let storm = Storm::start("tcp://127.0.0.1:9000 --rate 50/s --duration 7s --connect-timeout 1500ms");
        sleep(1500);
        server.signal(Signal::STOP);
        sleep(3000);
        server.signal(Signal::CONT);
        let result = storm.result();
        conserves(&result);
        assert!(failed(&result, "connect", "timed_out") > 20, "{:#}", result["failures"]);
        // The queue was full because the server was stopped.
        assert_eq!(findings(&result)[0], "target-stopped", "{:#}", result["findings"]);
        let says = result["findings"][0]["says"].as_str().unwrap();
        assert!(says.contains("accept queue") && says.contains("gone on since"), "{says}");
        let last = result["windows"].as_array().unwrap().iter().rev().find(|window| window["ok"] != 0);
        assert!(last.is_some_and(|window| window["at_s"].as_f64() > Some(5.5)), "it goes on afterwards");
    });
}

#[test]
fn a_source_address_that_is_taken_away() {
    Namespace::of("a_source_address_that_is_taken_away").run(|| {
        let ip = |arguments: &str| {
            assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
        };
        ip("addr add 10.7.0.1/24 dev lo");
        let _server = Server::start("");
        let storm =
            Storm::start("tcp://127.0.0.1:9000 --rate 50/s --duration 4s --source 10.7.0.1,127.0.0.1");
        sleep(1500);
        ip("addr del 10.7.0.1/24 dev lo");
        let result = storm.result();
        conserves(&result);
        assert!(failed(&result, "bind", "address_not_available") > 20, "{:#}", result["failures"]);
        assert!(count(&result, "ok") > 100, "the other address goes on: {:#}", result["counts"]);
        assert_eq!(findings(&result)[0], "source-address-not-local");
        assert!(result["findings"][0]["says"].as_str().unwrap().contains("10.7.0.1"));
    });
}

#[test]
fn a_disk_that_fills_up_costs_its_file_and_no_other() {
    Namespace::of("a_disk_that_fills_up_costs_its_file_and_no_other").run(|| {
        let _server = Server::start("");
        let folder = tempfile::tempdir().unwrap();
        let (small, csv) = (folder.path().join("small"), folder.path().join("windows.csv"));
        std::fs::create_dir(&small).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=64k none {small} && {{ (sleep 1; head -c 1M /dev/zero > {small}/full) & \
             exec {program} run tcp://127.0.0.1:9000 --rate 50/s --duration 2s --json {small}/result.json --csv {csv}; }}",
            small = small.display(),
            program = env!("CARGO_BIN_EXE_connstorm"),
            csv = csv.display(),
        );
        let output = bound_to_us("unshare").args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).output().unwrap();
        let (shown, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("small/result.json") && errors.contains("No space left on device"), "{errors}");
        assert!(shown.contains("100 connections, none failed"), "the summary is shown all the same: {shown}");
        let windows = std::fs::read_to_string(csv).unwrap();
        assert!(windows.lines().count() >= 3, "the other file is whole: {windows}");
    });
}

#[test]
fn a_reader_that_leaves_in_mid_run() {
    Namespace::of("a_reader_that_leaves_in_mid_run").run(|| {
        let _server = Server::start("");
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("result.json");
        let mut run = connstorm();
        run.args(["run", "tcp://127.0.0.1:9000", "--rate", "50/s", "--duration", "2s", "--json"]).arg(&json);
        let mut child =
            run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        sleep(700);
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let result: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(count(&result, "ok"), 100);
    });
}
