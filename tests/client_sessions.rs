//! Sessions that go well: messages over every scheme, pushes, fan-out, pings, reconnecting, and what their
//! result says of them.

mod support;

use connstorm::server::{Behaviour, Counters, Kind};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use support::storm::{Storm, count, storm};
use support::targets::{eventually, start, start_with};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

fn said(result: &Value, name: &str) -> u64 {
    result["messages"][name].as_u64().unwrap_or_else(|| panic!("no messages.{name}: {result:#}"))
}

fn latency(result: &Value, name: &str) -> u64 {
    result["latency_us"][name]["count"].as_u64().unwrap()
}

#[test]
fn messages_go_over_every_scheme_and_both_ends_count_the_same() {
    for kind in Kind::ALL {
        let (running, address) = start(kind, Behaviour::Echo);
        let path = if matches!(kind, Kind::Tcp | Kind::Tls) { "" } else { "/" };
        let insecure = if kind.is_encrypted() { "--insecure" } else { "" };
        let many = if matches!(kind, Kind::Http | Kind::Https) { "--requests 5" } else { "--count 5" };
        let result = storm(&format!(
            "{kind}://{address}{path} --concurrency 4 --connections 20 --send m{{conn}}.{{seq}} --expect echo {many} {insecure}"
        ));
        assert_eq!((count(&result, "ok"), said(&result, "sessions")), (20, 20), "{kind}: {result:#}");
        assert_eq!((said(&result, "sent"), said(&result, "matched")), (100, 100), "{kind}");
        assert_eq!((said(&result, "mismatches"), said(&result, "unanswered")), (0, 0), "{kind}");
        assert_eq!(latency(&result, "round_trip"), 100, "{kind}");
        assert_eq!(latency(&result, "tls"), if kind.is_encrypted() { 20 } else { 0 }, "{kind}");
        let counters = eventually(&running, |counters| counters.open == 0);
        assert_eq!((counters.accepted, counters.violations), (20, 0), "{kind}");
        let (sent, received) = (count(&result, "bytes_out"), count(&result, "bytes_in"));
        if kind.is_encrypted() {
            // Who closes first does not read the other's farewell by TLS.
            assert!(sent >= counters.bytes_in && received <= counters.bytes_out, "{kind}: {counters:?}");
        } else {
            assert_eq!((sent, received), (counters.bytes_in, counters.bytes_out), "{kind}");
        }
    }
}

#[test]
fn a_held_websocket_hears_pushes_and_measures_pongs() {
    let (running, address) = start(Kind::Ws, Behaviour::Push { every: Duration::from_millis(50) });
    let result = storm(&format!(
        "ws://{address}/ --rate 100/s --connections 50 --duration 1500ms --lifetime until-end --ping-every 100ms"
    ));
    assert_eq!((count(&result, "ok"), count(&result, "held_max")), (50, 50), "{result:#}");
    assert!(said(&result, "pings") >= 50 && said(&result, "pongs") >= 50, "{:#}", result["messages"]);
    assert!(said(&result, "pushes") >= 500, "{:#}", result["messages"]);
    assert_eq!(
        (latency(&result, "pong"), latency(&result, "one_way")),
        (said(&result, "pongs"), said(&result, "pushes"))
    );
    assert_eq!(latency(&result, "push_gap"), said(&result, "pushes") - 50);
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.handshakes, counters.pings), (50, said(&result, "pings")));
    assert_eq!(counters.violations, 0);
}

#[test]
fn one_sends_and_all_others_receive() {
    let (running, address) = start(Kind::Ws, Behaviour::Broadcast);
    let result = storm(&format!(
        "ws://{address}/ --concurrency 20 --connections 20 --duration 2s --lifetime until-end --workers 2 \
         --senders 1 --send {{conn}}/{{seq}}/{{now_us}} --every 100ms"
    ));
    assert_eq!(count(&result, "ok"), 20, "{result:#}");
    let (sent, received) = (said(&result, "sent"), said(&result, "received"));
    assert!(sent >= 10, "{:#}", result["messages"]);
    // Those sent before all had come reach fewer, and the last may be on its way when the run ends.
    assert!(received > 19 * (sent - 4) && received <= 19 * sent, "{sent} sent, {received} received");
    assert_eq!(latency(&result, "one_way"), received);
    assert!(latency(&result, "fanout_spread") >= sent - 4 && latency(&result, "fanout_spread") <= sent);
    let counters: Counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!(counters.messages_in, sent);
}

#[test]
fn every_connection_is_counted_as_lost_when_the_target_goes_and_comes_back() {
    let (running, address) = start(Kind::Ws, Behaviour::Echo);
    let storm = Storm::start(&format!(
        "ws://{address}/ --rate 100/s --connections 40 --duration 6s --lifetime until-end --reconnect --backoff 100ms \
         --backoff-max 400ms"
    ));
    eventually(&running, |counters| counters.handshakes == 40);
    running.stop();
    std::thread::sleep(Duration::from_millis(1000));
    let (again, _) = start_with(Kind::Ws, Behaviour::Echo, |config| config.listen = vec![address]);
    eventually(&again, |counters| counters.open == 40);
    let result = storm.result();
    let failed = |stage: &str| -> u64 {
        let kinds = result["failures"].as_array().unwrap();
        kinds.iter().filter(|kind| kind["stage"] == stage).map(|kind| kind["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(failed("session"), 40, "{:#}", result["failures"]);
    assert!(failed("connect") >= 40, "{:#}", result["failures"]);
    assert_eq!(count(&result, "ok"), 40, "those that were open at the end");
    let reconnects = said(&result, "reconnects");
    assert_eq!(reconnects, 40 + failed("connect") + failed("handshake"), "{:#}", result["failures"]);
    assert_eq!(count(&result, "planned"), 40, "a client that connects again is no arrival");
    assert_eq!(count(&result, "started"), 40 + reconnects);
    assert_eq!(count(&result, "started"), count(&result, "ok") + count(&result, "failed"));
    let ids: Vec<&str> =
        result["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"server-restarted"), "{ids:?}");
}

#[test]
fn thresholds_can_be_put_on_what_is_said() {
    let (_running, address) = start(Kind::Ws, Behaviour::Echo);
    let run = |threshold: &str| {
        let storm = Storm::start(&format!(
            "ws://{address}/ --concurrency 1 --connections 3 --send x --expect echo --ping-every 1h --threshold {threshold}"
        ));
        storm.result()["thresholds"][0]["passed"].as_bool().unwrap()
    };
    assert!(run("messages.matched==3") && run("round_trip.p99<10s") && run("handshake.max<10s"));
    assert!(!run("messages.sent>3") && !run("pong.p99<10s"), "nothing was measured of the last");
}

#[test]
fn secrets_do_not_get_into_the_result() {
    let (_running, address) = start(Kind::Ws, Behaviour::Echo);
    let result = storm(&format!(
        "ws://user:hunter2@{address}/ --concurrency 1 --connections 1 --header Cookie:sid=hunter2 --header X-Public:yes"
    ));
    let text = result.to_string();
    // Base64 of "user:hunter2".
    assert!(!text.contains("hunter2") && !text.contains("dXNlcjpodW50ZXIy"), "{text}");
    assert!(text.contains("X-Public"));
}

/// A server that begins a message of 16 MiB on each WebSocket, and stops a megabyte before its end.
fn leaves_messages_unfinished() -> SocketAddr {
    const SENT: usize = 15 << 20;
    fn begin(mut stream: TcpStream) -> std::io::Result<()> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
        let accept = derive_accept_key(key.as_bytes());
        write!(stream, "{upgrade}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")?;
        stream.write_all(&[&[0x82, 127][..], &(16u64 << 20).to_be_bytes()].concat())?;
        stream.write_all(&vec![0; SENT])?;
        stream.read_to_end(&mut Vec::new()).map(|_| ())
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || begin(stream));
        }
    });
    address
}

#[test]
fn unfinished_messages_take_no_more_than_the_memory_that_the_run_may_have() {
    let address = leaves_messages_unfinished();
    let result = storm(&format!(
        "ws://{address}/ --rate 100/s --connections 40 --lifetime 3s --close rst --memory 200MiB"
    ));
    let failures = result["failures"].as_array().unwrap();
    let by_memory: Vec<&Value> = failures.iter().filter(|kind| kind["cause"] == "memory_limit").collect();
    assert_eq!(by_memory.len(), 1, "{failures:#?}");
    assert!(
        failures.len() == 1 && count(&result, "failed") < 40,
        "those that there is memory for end well: {failures:#?}"
    );
    assert_eq!((&by_memory[0]["side"], &result["verdict"]), (&"generator".into(), &"invalid".into()));
    let first = &result["findings"][0];
    assert_eq!((&first["id"], &first["side"]), (&"memory-limit".into(), &"generator".into()), "{first:#}");
    assert!(first["says"].as_str().unwrap().contains("200 MiB"), "{first:#}");
    assert!(
        first["remedies"]
            .as_array()
            .unwrap()
            .iter()
            .any(|remedy| remedy.as_str().unwrap().contains("--memory 400MiB"))
    );
    let own = &result["resources"];
    assert_eq!(own["memory_limit_bytes"], 200 << 20);
    assert!(own["rss_peak_bytes"].as_u64().unwrap() <= 200 << 20, "{own:#}");
}

#[test]
fn a_limit_of_memory_that_is_too_small_for_the_program_is_refused_with_what_it_needs() {
    let output = support::storm::connstorm()
        .args(["run", "ws://127.0.0.1:1/", "--connections", "1", "--memory", "1MiB"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("connstorm itself takes") && told.contains("--memory"), "{told}");
}
