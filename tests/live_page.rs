//! The live page of a run, as its server gives it; `tests/browser/live.mjs` looks at it in a browser.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use support::storm::connstorm;
use support::targets;

/// A run against an echo server for a few seconds, the address of its page, and the token.
fn run(arguments: &[&str]) -> (Child, SocketAddr, String) {
    let mut child = connstorm()
        .arg("run")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("live page: ") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "no live page is announced");
    }
    // Nobody else reads it.
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let token = line.trim().split("#stop=").nth(1).unwrap().trim_end_matches(')').to_owned();
    (child, address, token)
}

fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    client
}

fn answer(address: SocketAddr, request: &str) -> String {
    let mut text = String::new();
    let _ = ask(address, request).read_to_string(&mut text);
    text
}

const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn viewers_who_do_not_read_cost_the_run_nothing_and_who_reads_gets_the_end() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let url = format!("tcp://{address}");
    let load = ["--rate", "200/s", "--duration", "3s", "--json", "-", "--threshold", "ok == 600"];
    let (mut child, page, _) = run(&[&[&*url][..], &load].concat());
    let frame = answer(page, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(frame.contains("Content-Security-Policy: default-src 'none'"), "{}", &frame[..400]);
    assert!(!frame.contains("http://") || !frame.contains("src=\"http"), "nothing from elsewhere");
    // Ten that never read, ten that say half of a request, ten that send what is no request.
    let _silent: Vec<_> = (0..10).map(|_| ask(page, EVENTS)).collect();
    let _half: Vec<_> = (0..10).map(|_| ask(page, "GET /eve")).collect();
    let _wrong: Vec<_> = (0..10).map(|_| ask(page, "\x16\x03\x01\r\n\r\n")).collect();
    let mut events = Vec::new();
    for line in BufReader::new(ask(page, EVENTS)).lines().map_while(Result::ok) {
        if let Some(data) = line.strip_prefix("data: ").filter(|data| data.len() > 2) {
            events.push(serde_json::from_str::<serde_json::Value>(data).unwrap());
        }
    }
    let mut json = String::new();
    child.stdout.take().unwrap().read_to_string(&mut json).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let result: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&result["counts"]["ok"], &result["counts"]["skipped"]), (&600.into(), &0.into()));
    let (last, before) = events.split_last().unwrap();
    assert!(!before.is_empty(), "it grew");
    for event in before {
        let body = event["body"].as_str().unwrap();
        assert!(event["ended"] == false && !body.contains("passed") && body.contains("running"), "{body}");
    }
    assert!(last["ended"] == true && last["body"].as_str().unwrap().contains("passed"), "{last}");
}

#[test]
fn only_who_has_the_token_stops_the_run() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let (mut child, page, token) = run(&[&format!("tcp://{address}"), "--rate", "20/s", "--duration", "60s"]);
    let stop = |token: &str| {
        let head = format!(
            "POST /stop HTTP/1.1\r\nHost: x\r\nX-Connstorm-Token: {token}\r\nContent-Length: 0\r\n\r\n"
        );
        answer(page, &head)
    };
    assert!(stop("").starts_with("HTTP/1.1 403"));
    assert!(stop(&"0".repeat(32)).starts_with("HTTP/1.1 403"));
    assert!(answer(page, "GET /stop HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"), "a link stops nothing");
    assert!(child.try_wait().unwrap().is_none());
    assert!(stop(&token).starts_with("HTTP/1.1 202"));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
