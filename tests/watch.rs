//! `connstorm watch` beside programs that it did not write: what it names, what it exits with, what it exports.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::namespace::Namespace;
use support::storm::connstorm;

/// A server that keeps connections open, and a client that opens and closes one after another: `requests` without a
/// session does the same.
const CHURN: &str = "
import socket, sys, threading, time
def serve(listener):
    held = []
    while True: held.append(listener.accept()[0])
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(1000)
threading.Thread(target=serve, args=(listener,), daemon=True).start()
naive, count = sys.argv[1] == 'naive', int(sys.argv[2])
for n in range(count):
    client = socket.socket()
    try:
        if naive: client.bind(('127.0.0.1', 0))
        client.connect(('127.0.0.1', 9000))
    except OSError as error:
        print(n, error.strerror); break
    time.sleep(0.002)
    client.close()
time.sleep(0.8)
sys.exit(7)
";

fn watch(arguments: &[&str]) -> Output {
    connstorm().arg("watch").args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!lines.is_empty(), "{output:?}");
    lines
}

fn churn_namespace(test: &'static str) -> Namespace {
    Namespace::of(test)
        .sysctl("net.ipv4.ip_local_port_range", "40000 40255")
        .sysctl("net.ipv4.tcp_tw_reuse", 0)
}

/// Half-closed connections of the server's above would stay in FIN_WAIT_2: a peer that never closes.
#[test]
fn a_program_that_runs_out_of_ports_is_named_with_tuple_cause_and_remedy() {
    churn_namespace("a_program_that_runs_out_of_ports_is_named_with_tuple_cause_and_remedy").run(|| {
        let output = watch(&[
            "--json",
            "-",
            "--threshold",
            "ports.used < 80%",
            "--",
            "python3",
            "-c",
            CHURN,
            "plain",
            "300",
        ]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let lines = lines(&output);
        let onsets: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
        assert!(onsets.contains(&"ports_exhausted"), "{onsets:?}");
        let end = lines.last().unwrap();
        assert_eq!((&end["type"], &end["verdict"]), (&Value::from("end"), &Value::from("failed")));
        assert_eq!(end["program_exit"], 7);
        let finding = &end["findings"][0];
        assert_eq!(finding["id"], "ports-exhausted-by-fin-wait-2", "{finding}");
        assert_eq!(finding["certainty"], "proved");
        let says = finding["says"].as_str().unwrap();
        assert!(says.contains("python3 (pid ") && says.contains("127.0.0.1 to 127.0.0.1:9000"), "{says}");
        assert!(says.contains("256 of 256"), "{says}");
    });
}

#[test]
fn a_program_that_binds_before_it_connects_is_told_from_one_that_does_not() {
    churn_namespace("a_program_that_binds_before_it_connects_is_told_from_one_that_does_not").run(|| {
        let output = watch(&["--json", "-", "--", "python3", "-c", CHURN, "naive", "100"]);
        assert_eq!(output.status.code(), Some(7), "the program's own");
        let end = lines(&output).pop().unwrap();
        let ids: Vec<&str> =
            end["findings"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
        assert!(ids.contains(&"binds-without-no-port"), "{ids:?}");
        assert_eq!(end["fullest"][0]["chosen"], "bind");
        let output =
            watch(&["--json", "-", "--to", "127.0.0.1:9999", "--", "python3", "-c", CHURN, "plain", "50"]);
        let end = lines(&output).pop().unwrap();
        assert_eq!(end["fullest"].as_array().map(Vec::len), Some(0), "another destination: {end}");
        assert_eq!(end["findings"].as_array().map(Vec::len), Some(0), "{end}");
    });
}

#[test]
fn the_exit_code_is_the_programs_and_signals_are_passed_on() {
    for (script, code) in [("exit 0", 0), ("exit 9", 9), ("kill -KILL $$", 137)] {
        assert_eq!(watch(&["-q", "--", "sh", "-c", script]).status.code(), Some(code), "{script}");
    }
    assert_eq!(watch(&["-q", "--", "/no/such/program"]).status.code(), Some(127));
    assert_eq!(watch(&["--threshold", "connect.p99 < 1ms"]).status.code(), Some(2));
    assert_eq!(watch(&["--pid", "4294967"]).status.code(), Some(1));
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = connstorm()
        .args(["watch", "-q", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    // Its time is over: that it was ended is no failure.
    assert_eq!(watch(&["-q", "--for", "300ms", "--", "sleep", "60"]).status.code(), Some(0));
}

#[test]
fn figures_are_exported_and_a_watch_without_an_end_is_ended_by_a_signal() {
    Namespace::of("figures_are_exported_and_a_watch_without_an_end_is_ended_by_a_signal").run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:9000").unwrap();
        let _held: Vec<_> = (0..5).map(|_| TcpStream::connect("127.0.0.1:9000").unwrap()).collect();
        let mut child = connstorm()
            .args(["watch", "--listen", "127.0.0.1:9464", "--plain", "--every", "100ms"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wanted = "connstorm_watch_ports_in_use{source=\"127.0.0.1\",destination=\"127.0.0.1:9000\"";
        let until = Instant::now() + Duration::from_secs(20);
        let mut text = String::new();
        while !text.contains(wanted) {
            assert!(Instant::now() < until, "{text}");
            std::thread::sleep(Duration::from_millis(50));
            text.clear();
            if let Ok(mut client) = TcpStream::connect("127.0.0.1:9464") {
                client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                let _ = client.read_to_string(&mut text);
            }
        }
        let value = text.lines().find(|line| line.starts_with(wanted)).unwrap();
        assert!(value.ends_with(" 5.0") || value.ends_with(" 5"), "{value}");
        assert!(text.contains("connstorm_watch_listener_backlog{address=\"127.0.0.1:9000\""), "{text}");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "an end as a matter of course");
        drop(listener);
    });
}

#[test]
fn a_container_is_looked_into_by_a_process_of_it() {
    const TEST: &str = "a_container_is_looked_into_by_a_process_of_it";
    Namespace::of(TEST).run(|| {
        let program = "
import socket, subprocess, time
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(100)
held = [socket.create_connection(('127.0.0.1', 9000)) for n in range(9)]
print('ready', flush=True); time.sleep(60)";
        let mut child = Command::new("unshare")
            .args(["-n", "python3", "-c", program])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let pid = child.id().to_string();
        let outside = lines(&watch(&["--for", "500ms", "--json", "-"])).pop().unwrap();
        let inside = lines(&watch(&["--container-of", &pid, "--for", "500ms", "--json", "-"])).pop().unwrap();
        let by_pid = lines(&watch(&["--pid", &pid, "--for", "500ms", "--json", "-"])).pop().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(outside["fullest"].as_array().map(Vec::len), Some(0), "{outside}");
        for watched in [inside, by_pid] {
            let tuple = &watched["fullest"][0];
            assert_eq!(
                (&tuple["ports_used"], &tuple["holders"][0]["name"]),
                (&9.into(), &"python3".into()),
                "{watched}"
            );
        }
    });
}

/// The live view is for a terminal; a pipe gets lines, and no escape sequence.
#[test]
fn in_a_pipe_it_is_plain() {
    let output = watch(&["--for", "300ms"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("watching this network namespace: "), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

/// Reads what a terminal shows until `wanted` is there.
#[track_caller]
fn shows(terminal: &mut impl Read, seen: &mut Vec<u8>, wanted: &str) {
    let mut part = [0; 4096];
    let begin = seen.len();
    while !String::from_utf8_lossy(&seen[begin..]).contains(wanted) {
        let read = terminal.read(&mut part).unwrap();
        assert!(read > 0, "no '{wanted}' in {}", String::from_utf8_lossy(seen));
        seen.extend(&part[..read]);
    }
}

/// util-linux's script(1) brings a terminal.
#[test]
fn on_a_terminal_keys_sort_search_and_leave_and_the_terminal_is_as_it_was() {
    Namespace::of("on_a_terminal_keys_sort_search_and_leave_and_the_terminal_is_as_it_was").run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:9000").unwrap();
        let _held: Vec<_> = (0..5).map(|_| TcpStream::connect("127.0.0.1:9000").unwrap()).collect();
        let watch = format!("{} watch --every 200ms --for 30s", env!("CARGO_BIN_EXE_connstorm"));
        let mut child = Command::new("script")
            .args(["-qec", &watch, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut keys, mut terminal) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut seen = Vec::new();
        let mut press = |key: &str| keys.write_all(key.as_bytes()).and_then(|()| keys.flush()).unwrap();
        shows(&mut terminal, &mut seen, "\x1b[?1049h");
        shows(&mut terminal, &mut seen, "127.0.0.1:9000");
        shows(&mut terminal, &mut seen, "ports in use");
        press("\t");
        shows(&mut terminal, &mut seen, "time left");
        press("nowhere");
        shows(&mut terminal, &mut seen, "nowhere");
        // An arrow key is no word and no way out.
        press("\x1b[A");
        press("\x1b");
        shows(&mut terminal, &mut seen, "127.0.0.1:9000");
        press("q");
        let mut rest = Vec::new();
        terminal.read_to_end(&mut rest).unwrap();
        seen.extend(rest);
        assert!(child.wait().unwrap().success());
        let text = String::from_utf8_lossy(&seen);
        let (enter, leave) = (text.rfind("\x1b[?1049h").unwrap(), text.rfind("\x1b[?1049l").unwrap());
        assert!(enter < leave && text[leave..].len() < 2000, "the end is on the usual screen");
        drop(listener);
    });
}

/// A container without root: a user namespace of the user's own, with a network namespace in it.
#[test]
fn who_owns_a_container_without_root_looks_into_it_without_root() {
    let script = "
import socket, sys, time
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(9)
held = [socket.create_connection(('127.0.0.1', 9000)) for n in range(7)]
print('ready', flush=True)
sys.stdin.read()
";
    let mut container = support::nobody::unprivileged(std::path::Path::new("/usr/bin/unshare"))
        .args(["-Urn", "sh", "-c", "ip link set lo up; exec python3 -c \"$0\"", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(container.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    // setpriv and unshare are each replaced by what they start.
    let pid = container.id().to_string();
    let output = support::nobody::connstorm()
        .args(["watch", "--container-of", &pid, "--for", "300ms", "--json", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let last = lines(&output).pop().unwrap();
    drop(container.stdin.take());
    container.wait().unwrap();
    let tuples = last["fullest"].as_array().unwrap_or_else(|| panic!("{last:#}"));
    assert_eq!(tuples.len(), 1, "{last:#}");
    assert_eq!(
        (&tuples[0]["ports_used"], &tuples[0]["holders"][0]["name"]),
        (&7.into(), &"python3".into()),
        "{last:#}"
    );
}
