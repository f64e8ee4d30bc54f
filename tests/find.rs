//! `connstorm find` against targets whose limit is known: the figure has to be within 5 % of it, and what
//! stopped it has to be named.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::storm::connstorm;
use support::targets;

fn find(arguments: &[&str]) -> (Output, Value) {
    let output = connstorm().arg("find").args(arguments).args(["--json", "-"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output, report)
}

#[track_caller]
fn assert_within_5_percent(report: &Value, limit: f64) {
    let figure = report["passing"].as_f64().unwrap_or_else(|| panic!("{report:#}"));
    assert!((figure - limit).abs() <= limit * 0.05, "{figure} found, {limit} is true: {report:#}");
    assert!(report["failing"].as_f64().unwrap() > figure, "{report:#}");
}

#[test]
fn the_rate_at_which_a_target_accepts_is_found() {
    let behaviour = Behaviour::SlowAccept { every: Duration::from_millis(5) };
    let (_target, address) = targets::start_with(Kind::Tcp, behaviour, |config| config.backlog = 16);
    let (output, report) = find(&[
        &format!("tcp://{address}"),
        "--start",
        "190",
        "--most",
        "240",
        "--probe",
        "4s",
        "--tolerance",
        "2",
        "--threshold",
        "connect.p99 < 300ms",
    ]);
    assert_within_5_percent(&report, 200.0);
    assert_eq!(report["stopped_by"]["side"], "target", "{report:#}");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}

/// A server that holds so many connections, and leaves any more in a short queue.
struct Holder {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const BACKLOG: usize = 31;

impl Holder {
    /// Holds `most` in all, those in its queue included: Linux queues one more than the backlog.
    fn of(most: usize) -> Holder {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(BACKLOG as i32).unwrap();
        socket.set_nonblocking(true).unwrap();
        let listener = TcpListener::from(socket);
        let (address, ended) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let theirs = ended.clone();
        let thread = std::thread::spawn(move || hold(&listener, most - BACKLOG - 1, &theirs));
        Holder { address, ended, thread: Some(thread) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn hold(listener: &TcpListener, most: usize, ended: &AtomicBool) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !ended.load(Relaxed) {
        let alive = |mut stream: &TcpStream| matches!(stream.read(&mut [0; 16]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        held.retain(alive);
        while held.len() < most
            && let Ok((stream, _)) = listener.accept()
        {
            stream.set_nonblocking(true).unwrap();
            held.push(stream);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_number_that_a_target_holds_is_found() {
    const MOST: usize = 500;
    let holder = Holder::of(MOST);
    let (output, report) = find(&[
        &format!("tcp://{}", holder.address),
        "--what",
        "held",
        "--start",
        "400",
        "--most",
        "2000",
        "--probe",
        "2s",
        "--tolerance",
        "2",
        "--connect-timeout",
        "500ms",
        "--threshold",
        "failed.ratio == 0%",
    ]);
    assert_within_5_percent(&report, MOST as f64);
    // The queue of a listener on this host is seen to overflow: that is the target, not the path.
    assert_eq!(report["stopped_by"]["side"], "target", "{report:#}");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}

#[test]
fn where_nothing_passes_or_the_generator_is_the_limit_the_exit_code_says_so() {
    let quick = ["--start", "4", "--most", "8", "--probe", "300ms", "--repeats", "0"];
    let (output, report) = find(&[&["tcp://127.0.0.1:1"][..], &quick[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{report:#}");
    assert_eq!((&report["passing"], &report["stopped_by"]["side"]), (&Value::Null, &"target".into()));

    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let url = format!("tcp://{address}");
    let (output, report) = find(&[&[&*url, "--source", "192.0.2.1"][..], &quick[..]].concat());
    assert_eq!(output.status.code(), Some(4), "{report:#}");
    assert_eq!(report["stopped_by"]["side"], "generator");

    let (output, report) = find(&[&[&*url][..], &quick[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((report["passing"].as_f64(), &report["failing"]), (Some(8.0), &Value::Null));
    assert!(String::from_utf8_lossy(&output.stderr).contains("at least 8.0/s"), "{output:?}");
}

#[test]
fn wrong_limits_are_refused_before_anything_is_opened() {
    for (arguments, says) in [
        (["--start", "fast"], "--start"),
        (["--most", "1"], "growing order"),
        (["--at-least", "2M/s"], "give a larger --most"),
        (["--tolerance", "0"], "tolerance"),
        (["--probe", "1ms"], "--probe"),
        (["--threshold", "conect.p99 < 5ms"], "connect.p99"),
        (["--what", "messages"], "[messages]"),
    ] {
        let output = connstorm().args(["find", "tcp://127.0.0.1:1"]).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(says), "{says}: {text}");
    }
}

/// A gate: as much as is wanted is found, less is found, or the generator was the limit and nothing is decided.
#[test]
fn what_is_wanted_at_least_decides_the_exit_code() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let echo = format!("tcp://{address}");
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("find.md");
    let quick = [
        "--at-least",
        "12",
        "--most",
        "16",
        "--probe",
        "300ms",
        "--repeats",
        "0",
        "--summary",
        summary.to_str().unwrap(),
    ];
    for (arguments, code, enough, says) in [
        (&[&*echo][..], 0, Some(true), "12/s was wanted, and holds"),
        (&["tcp://127.0.0.1:1"], 3, Some(false), "less holds"),
        (&[&*echo, "--source", "192.0.2.1"], 4, None, "is not decided"),
    ] {
        let (output, report) = find(&[arguments, &quick[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{report:#}");
        assert_eq!(
            (report["at_least"].as_f64(), report["enough"].as_bool()),
            (Some(12.0), enough),
            "{report:#}"
        );
        assert_eq!(
            report["probes"][0]["value"], 12.0,
            "the value that is wanted is probed itself: {report:#}"
        );
        let text = std::fs::read_to_string(&summary).unwrap();
        assert!(text.contains(says) && text.contains("| 12/s |"), "{text}");
    }
    let (output, report) = find(&[&[&*echo, "--start", "5"][..], &quick[..]].concat());
    assert_eq!(
        (output.status.code(), report["probes"][0]["value"].as_f64()),
        (Some(0), Some(5.0)),
        "{report:#}"
    );
}

const MESSAGE: &str = "sixteen bytes ..";

/// A server that echoes so many messages a second, over all connections: what comes above that waits.
struct Answerer {
    address: SocketAddr,
}

impl Answerer {
    fn of(per_second: u32) -> Answerer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // When the next answer may be given.
        let next = Arc::new(Mutex::new(Instant::now()));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let next = next.clone();
                std::thread::spawn(move || {
                    // One message at a time: several in one read would be answered as one.
                    let mut message = [0; MESSAGE.len()];
                    while stream.read_exact(&mut message).is_ok() {
                        let at = {
                            let mut next = next.lock().unwrap();
                            let at = (*next).max(Instant::now());
                            *next = at + Duration::from_secs(1) / per_second;
                            at
                        };
                        std::thread::sleep(at.saturating_duration_since(Instant::now()));
                        if stream.write_all(&message).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Answerer { address }
    }
}

#[test]
fn the_messages_a_second_that_a_target_answers_are_found() {
    let answerer = Answerer::of(400);
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let scenario = format!(
        "[target]\nurl = \"tcp://{}\"\n[load]\nclosed = {{ slots = 20, duration = \"1s\" }}\n\
         [messages]\nsend = \"{MESSAGE}\"\nexpect = \"echo\"\n",
        answerer.address
    );
    std::fs::write(file.path(), scenario).unwrap();
    let arguments = ["--start", "380", "--most", "460", "--probe", "3s", "--tolerance", "2"];
    let file = file.path().to_str().unwrap();
    let (output, report) = find(
        &[&[file, "--what", "messages", "--threshold", "round_trip.p99 < 60ms"][..], &arguments[..]].concat(),
    );
    assert_within_5_percent(&report, 400.0);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}

/// Each message takes the whole server for 20 ms: 50 a second, and no more is refused, only later.
#[test]
fn a_backlog_that_is_worked_off_after_the_load_does_not_pass() {
    let answerer = Answerer::of(50);
    let url = format!("tcp://{}", answerer.address);
    let (output, report) = find(&[
        &url,
        "--send",
        MESSAGE,
        "--count",
        "1",
        "--expect",
        "echo",
        "--start",
        "30",
        "--most",
        "120",
        "--probe",
        "500ms",
        "--tolerance",
        "40",
        "--repeats",
        "0",
    ]);
    let passing = report["passing"].as_f64().unwrap_or_else(|| panic!("{report:#}"));
    assert!((30.0..60.0).contains(&passing), "50/s is true: {report:#}");
    let failed =
        report["probes"].as_array().unwrap().iter().find(|probe| probe["verdict"] == "failed").unwrap();
    assert_eq!(
        (&failed["failed"], &failed["fell_behind"]["what"]),
        (&0.into(), &"answers".into()),
        "{report:#}"
    );
    assert_eq!(report["stopped_by"]["side"], "target", "{report:#}");
    assert!(report["stopped_by"]["why"].as_str().unwrap().contains("did not keep up"), "{report:#}");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}
