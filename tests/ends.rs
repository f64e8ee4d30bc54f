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

/// Stopped (Ctrl-Z, a suspended machine) beyond the end of the run and of every wait: nothing was heard of what was under
/// way, and nobody is accused of that.
#[test]
fn a_run_that_was_stopped_beyond_its_end_ends_and_accuses_nobody() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Sink);
    let folder = tempfile::tempdir().unwrap();
    let load = "--concurrency 20 --connections 20 --lifetime until-end --send x --every 100ms --expect echo \
                --reply-timeout 2s --handshake-timeout 1s --connect-timeout 1s --duration 2s";
    let child = start(folder.path(), &format!("ws://{address}/ {load}"));
    std::thread::sleep(Duration::from_secs(1));
    let signal = |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    std::thread::sleep(Duration::from_secs(7));
    assert!(signal("-CONT").success());
    assert_eq!(ended(child, Duration::from_secs(30)), 4, "invalid");
    let result = result(folder.path());
    assert_eq!(count(&result, "in_flight"), 0);
    assert_eq!((count(&result, "started"), count(&result, "cut_short")), (20, 20), "{:#}", result["counts"]);
    let blamed = result["findings"].as_array().unwrap().iter().find(|finding| finding["side"] == "target");
    assert_eq!(blamed, None);
    assert!(result["messages"]["unsent_late"].as_u64() > Some(0), "{:#}", result["messages"]);
}

/// A reply that had come in time lay unread while the worker was stopped: it was told as a reply that never came.
#[test]
fn an_answer_that_came_while_the_generator_was_stopped_is_an_answer() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let load = "--concurrency 20 --connections 20 --lifetime until-end --send x --every 100ms --expect echo \
                --reply-timeout 1s --duration 6s";
    let child = start(folder.path(), &format!("ws://{address}/ {load}"));
    std::thread::sleep(Duration::from_secs(1));
    let signal = |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    std::thread::sleep(Duration::from_secs(3));
    assert!(signal("-CONT").success());
    assert_eq!(ended(child, Duration::from_secs(30)), 4, "stopped for half of its time, it measured itself");
    let result = result(folder.path());
    assert_eq!((count(&result, "ok"), count(&result, "failed")), (20, 0), "{:#}", result["failures"]);
    assert_eq!(result["messages"]["unanswered"], 0);
    let from_due = &result["latency_us"]["round_trip_from_due"];
    assert_eq!(from_due["count"], result["latency_us"]["round_trip"]["count"]);
    assert!(from_due["max"].as_u64() >= Some(2_000_000), "messages due while it was stopped: {from_due}");
    let onsets = result["onsets"].as_array().unwrap();
    assert!(onsets.iter().all(|onset| onset["kind"] != "refusals"), "{onsets:#?}");
}

/// Messages that one worker can't send at their times: every one that was due is sent or told as not sent.
#[test]
fn messages_beyond_what_a_worker_can_send_are_counted_and_spoil_the_run() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let load = "--workers 1 --concurrency 400 --connections 400 --lifetime until-end --send x{seq} --every 200us \
                --expect echo --reply-timeout 20s --duration 2s";
    assert_eq!(ended(start(folder.path(), &format!("ws://{address}/ {load}")), Duration::from_secs(60)), 4);
    let result = result(folder.path());
    let messages = |name: &str| result["messages"][name].as_u64().unwrap();
    let due = messages("sent") + messages("unsent_late");
    // 400 connections, 5,000 a second, 2 s; each begins when its handshake is done.
    assert!((1_000_000..=4_000_400).contains(&due), "{due}: {:#}", result["messages"]);
    assert!(messages("unsent_late") > 0 && messages("unsent_lost") == 0, "{:#}", result["messages"]);
    assert_eq!(result["latency_us"]["message_lateness"]["count"], messages("sent"));
    assert_eq!(count(&result, "in_flight"), 0);
}

/// Requests on one connection are a conversation as messages are: given time to come to its end, or told as cut.
#[test]
fn requests_of_one_connection_are_drained_and_what_is_left_is_cut_short() {
    let slow = Behaviour::Slow(Duration::from_millis(150));
    let (_target, address) = targets::start(Kind::Http, slow);
    let folder = tempfile::tempdir().unwrap();
    let load = format!("http://{address}/ --rate 20/s --requests 5 --duration 1s");
    ended(start(folder.path(), &load), Duration::from_secs(60));
    let drained = result(folder.path());
    assert_eq!(count(&drained, "ok"), count(&drained, "started"), "{:#}", drained["counts"]);
    assert_eq!(
        drained["messages"]["matched"].as_u64().max(drained["messages"]["received"].as_u64()),
        Some(count(&drained, "started") * 5)
    );

    let code = ended(start(folder.path(), &format!("{load} --drain 0s")), Duration::from_secs(60));
    let cut = result(folder.path());
    assert!(count(&cut, "cut_short") > 0, "{:#}", cut["counts"]);
    assert_eq!(count(&cut, "ok") + count(&cut, "cut_short"), count(&cut, "started"), "{:#}", cut["failures"]);
    assert!(cut["messages"]["unsent_cut"].as_u64() > Some(0), "{:#}", cut["messages"]);
    assert_eq!(code, 3, "more than one in a hundred: {}", cut["reasons"]);
}

/// The drain time ends for a target that is too slow for its conversations.
#[test]
fn what_a_slow_target_has_not_answered_by_the_end_of_the_drain_time_is_cut_short() {
    let (_target, address) = targets::start(Kind::Ws, Behaviour::Sink);
    let folder = tempfile::tempdir().unwrap();
    let load =
        "--rate 20/s --duration 1s --send x{seq} --count 3 --expect echo --reply-timeout 30s --drain 1s";
    let code = ended(start(folder.path(), &format!("ws://{address}/ {load}")), Duration::from_secs(60));
    let result = result(folder.path());
    assert_eq!((code, count(&result, "cut_short")), (3, count(&result, "started")), "{:#}", result["counts"]);
    assert_eq!(result["messages"]["unanswered"].as_u64(), Some(count(&result, "started")));
    assert_eq!(result["messages"]["unsent_cut"].as_u64(), Some(count(&result, "started") * 2));
}

/// One refusal on a connection that is kept ended it, and the slot made attempt after attempt instead of its requests.
#[test]
fn a_kept_connection_goes_on_at_its_pace_after_a_refused_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Refuses the first request of each connection, and the third.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut heard, mut answered) = (Vec::new(), 0);
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = std::io::Read::read(&mut stream, &mut buffer) {
                    heard.extend_from_slice(&buffer[..read]);
                    while let Some(at) = heard.windows(4).position(|end| end == b"\r\n\r\n") {
                        heard.drain(..at + 4);
                        answered += 1;
                        let status = if matches!(answered, 1 | 3) { "503 Busy" } else { "200 OK" };
                        let body = "x".repeat(300);
                        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 300\r\n\r\n{body}");
                        if std::io::Write::write_all(&mut stream, reply.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let load = format!("http://{address}/ --concurrency 3 --connections 3 --requests 8 --every 50ms");
    ended(start(folder.path(), &load), Duration::from_secs(60));
    let result = result(folder.path());
    assert_eq!((count(&result, "started"), count(&result, "failed")), (3, 3), "{:#}", result["counts"]);
    assert_eq!(result["messages"]["sent"], 24);
    let statuses = serde_json::json!([{"status": 200, "count": 18}, {"status": 503, "count": 6}]);
    assert_eq!(result["statuses"], statuses);
    let [kind] = &result["failures"].as_array().unwrap()[..] else { panic!("{:#}", result["failures"]) };
    assert_eq!(
        (&kind["cause"], &kind["code"], &kind["count"]),
        (&"http_status".into(), &503.into(), &3.into())
    );
}
