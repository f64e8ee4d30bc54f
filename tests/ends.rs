//! A run ends at its time, whatever the target, the load and the user do; and it counts no success that was none.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::bound_to_us;
use support::namespace::Namespace;
use support::storm::count;
use support::targets;

/// Starts connstorm with these arguments and a result in `folder`.
fn start(folder: &std::path::Path, arguments: &str) -> std::process::Child {
    let mut command = bound_to_us(env!("CARGO_BIN_EXE_connstorm"));
    command.arg("run").args(arguments.split_whitespace()).arg("--quiet").arg("--json");
    command.arg(folder.join("result.json")).stdin(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn result(folder: &std::path::Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("result.json")).unwrap()).unwrap()
}

/// Waits for the end, as far as a test can wait.
fn ended(mut child: std::process::Child, within: Duration) -> i32 {
    let until = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(Instant::now() < until, "still running after {within:?}: {:?}", child.kill());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A backlog that is accepted slowly: SYNs are answered after the run's end, and were then held for ever.
#[test]
fn a_handshake_that_completes_after_the_end_is_closed_at_once() {
    Namespace::of("a_handshake_that_completes_after_the_end_is_closed_at_once").run(|| {
        let config = connstorm::server::Config::new(
            vec!["127.0.0.1:9000".parse().unwrap()],
            Behaviour::SlowAccept { every: Duration::from_millis(200) },
        );
        let config = connstorm::server::Config { backlog: 2, ..config };
        let _target = connstorm::server::Target::start(config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let arguments = "tcp://127.0.0.1:9000 --rate 20/s --duration 2s --lifetime until-end";
        ended(start(folder.path(), arguments), Duration::from_secs(60));
        let result = result(folder.path());
        assert_eq!(count(&result, "in_flight"), 0);
        assert_eq!(count(&result, "ok") + count(&result, "failed"), count(&result, "started"));
    });
}

/// Messages that fall due faster than one worker sends them kept windows, reads and signals from their turn.
#[test]
fn a_backlog_of_messages_keeps_neither_the_end_nor_a_signal_away() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Echo);
    let load = "--workers 1 --concurrency 400 --connections 400 --lifetime until-end --send x{seq} --every 200us \
                --expect echo --reply-timeout 20s";
    let folder = tempfile::tempdir().unwrap();
    ended(start(folder.path(), &format!("ws://{address}/ {load} --duration 2s")), Duration::from_secs(40));
    let windows = result(folder.path())["windows"].as_array().unwrap().len();
    assert!(windows >= 2, "{windows} windows were handed over");

    let child = start(folder.path(), &format!("ws://{address}/ {load} --duration 100s"));
    std::thread::sleep(Duration::from_secs(2));
    let told = Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(ended(child, Duration::from_secs(15)), 130, "SIGHUP is an interruption");
    assert_eq!(result(folder.path())["verdict"], "interrupted");
}

/// The grace is for arrivals that are late; what failed is not tried again in it.
#[test]
fn reconnects_end_with_the_runs_time() {
    let arguments = "tcp://127.0.0.1:9 --rate 200/s --connections 150 --duration 1s --reconnect --backoff 50ms \
                     --backoff-max 200ms";
    let folder = tempfile::tempdir().unwrap();
    ended(start(folder.path(), arguments), Duration::from_secs(30));
    let elapsed = result(folder.path())["elapsed_s"].as_f64().unwrap();
    assert!(elapsed < 8.0, "the grace of 10 s was used up: {elapsed} s");
}

#[test]
fn a_connection_to_itself_is_a_failure_of_its_own_kind() {
    Namespace::of("a_connection_to_itself_is_a_failure_of_its_own_kind")
        .sysctl("net.ipv4.ip_local_port_range", "40000 40019")
        .sysctl("net.ipv4.tcp_tw_reuse", 1)
        .run(|| {
            let folder = tempfile::tempdir().unwrap();
            ended(
                start(folder.path(), "tcp://127.0.0.1:40000 --rate 100/s --duration 3s"),
                Duration::from_secs(60),
            );
            let result = result(folder.path());
            assert_eq!(count(&result, "ok"), 0, "nobody listens: {:#}", result["failures"]);
            let kinds = result["failures"].as_array().unwrap();
            let own =
                kinds.iter().find(|kind| kind["cause"] == "self_connect").expect("20 ports, 300 attempts");
            assert_eq!((&own["stage"], &own["side"]), (&"connect".into(), &"target".into()));
        });
}

/// Conversations that the end of the run met were closed after some of their messages, and counted as ok.
#[test]
fn counted_conversations_come_to_their_end_or_are_cut_short() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Echo);
    let load = format!("ws://{address}/ --rate 50/s --send x{{seq}} --count 4 --every 300ms --expect echo");
    let folder = tempfile::tempdir().unwrap();
    ended(start(folder.path(), &format!("{load} --duration 1s")), Duration::from_secs(40));
    let drained = result(folder.path());
    let (started, ok) = (count(&drained, "started"), count(&drained, "ok"));
    assert!(started > 0 && ok == started, "{:#}", drained["counts"]);
    assert_eq!(drained["messages"]["matched"], started * 4);

    let child = start(folder.path(), &format!("{load} --duration 100s"));
    std::thread::sleep(Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    ended(child, Duration::from_secs(15));
    let cut = result(folder.path());
    let parts = ["ok", "failed", "cut_short", "in_flight"].map(|name| count(&cut, name));
    assert!(parts[2] > 0, "{:#}", cut["counts"]);
    assert_eq!(parts.iter().sum::<u64>(), count(&cut, "started"));
}
