//! The HTTP target against requests made by hand: each reply to the byte where that matters.

mod support;

use connstorm::protocol::Reply;
use connstorm::server::{Behaviour, Kind, Running};
use proptest::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use support::targets::{eventually, start};

fn http(behaviour: Behaviour) -> (Running, SocketAddr) {
    start(Kind::Http, behaviour)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes, and reads until the target closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

const LAST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn bodies_come_back_with_a_length_and_in_chunks() {
    let (running, address) = http(Behaviour::Echo);
    let requests = [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        LAST,
    ];
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ";
    let last =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
    let expected = format!("{head}5\r\n\r\nhello{head}7\r\n\r\nabcdefg{last}");
    assert_eq!(exchange(address, requests.concat().as_bytes()), expected);
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.messages_in, counters.messages_out, counters.closed_by_us), (3, 3, 1));
}

#[test]
fn a_body_of_megabytes_comes_back_and_a_longer_one_is_refused() {
    let (running, address) = http(Behaviour::Echo);
    let body = "0123456789abcdef".repeat(1 << 20);
    let head = |length: usize| {
        format!("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
    };
    let answer = exchange(address, format!("{}{body}", head(body.len())).as_bytes());
    assert!(answer.ends_with(&body) && answer.len() < body.len() + 200);
    let answer = exchange(address, head(body.len() + 1).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{answer}");
    assert_eq!(running.counters().violations, 1);
}

#[test]
fn who_expects_100_gets_it_before_the_body() {
    let (_running, address) = http(Behaviour::Echo);
    let mut stream = connect(address);
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn a_reply_has_the_status_the_size_and_the_framing_asked_for() {
    let reply = |status, body, chunked| http(Behaviour::Reply(Reply { status, body, chunked }));
    let (_running, address) = reply(503, None, false);
    let answer = exchange(address, LAST.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"), "{answer}");
    assert!(answer.ends_with("\r\nContent-Length: 24\r\n\r\n503 Service Unavailable\n"), "{answer}");
    let (_running, address) = reply(200, Some(1 << 20), false);
    let answer = exchange(address, LAST.as_bytes());
    assert!(answer.ends_with(&format!("\r\n\r\n{}", "x".repeat(1 << 20))));
    let (_running, address) = reply(200, Some(5000), true);
    let answer = exchange(address, LAST.as_bytes());
    let (first, second) = ("x".repeat(4096), "x".repeat(904));
    let chunks =
        format!("\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{first}\r\n388\r\n{second}\r\n0\r\n\r\n");
    assert!(answer.ends_with(&chunks), "{answer}");
    // To HEAD the same, without the body.
    let (_running, address) = reply(200, Some(9), false);
    let answer = exchange(address, LAST.replace("GET", "HEAD").as_bytes());
    assert!(answer.ends_with("\r\nContent-Length: 9\r\n\r\n"), "{answer}");
    let (_running, address) = reply(204, Some(9), false);
    assert!(exchange(address, LAST.as_bytes()).ends_with("Connection: close\r\n\r\n"));
}

#[test]
fn many_pipelined_requests_for_much_are_answered_one_by_one() {
    let (running, address) =
        http(Behaviour::Reply(Reply { status: 200, body: Some(1 << 20), chunked: false }));
    let mut stream = connect(address);
    stream.write_all(GET.repeat(400).as_bytes()).unwrap();
    // Nobody reads: what is made stays near what the kernel takes, not 400 MiB.
    std::thread::sleep(Duration::from_millis(200));
    let made = running.counters().messages_out;
    assert!(made < 20, "{made} replies of 1 MiB were made for a peer that reads none");
    let mut left = 400_usize * (1 << 20);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        left = left.saturating_sub(stream.read(&mut buffer).unwrap());
    }
    assert_eq!(eventually(&running, |counters| counters.messages_out == 400).messages_in, 400);
}

#[test]
fn connections_close_after_so_many_requests_or_a_time() {
    let (running, address) = http(Behaviour::CloseAfterMessages(2));
    let answer = exchange(address, GET.repeat(3).as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answer.matches("Connection: close").count(), 1);
    assert_eq!(eventually(&running, |counters| counters.open == 0).closed_by_us, 1);
    let (running, address) = http(Behaviour::CloseAfter(Duration::from_millis(50)));
    let answer = exchange(address, GET.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(eventually(&running, |counters| counters.open == 0).closed_by_us, 1);
}

#[test]
fn a_slow_reply_comes_after_its_time_and_each_request_waits() {
    let (_running, address) = http(Behaviour::Slow(Duration::from_millis(60)));
    let started = std::time::Instant::now();
    let answer = exchange(address, format!("{GET}{LAST}").as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
}

#[test]
fn what_is_no_reply_is_sent_as_it_is() {
    let (_running, address) = http(Behaviour::CloseBeforeReply);
    assert_eq!(exchange(address, GET.as_bytes()), "");
    let (_running, address) = http(Behaviour::Http10);
    assert!(exchange(address, GET.as_bytes()).starts_with("HTTP/1.0 200 OK\r\n"));
    for (behaviour, expected) in [(Behaviour::Raw(b"220 smtp\r\n".to_vec()), 10), (Behaviour::Silent, 0)] {
        let (_running, address) = http(behaviour);
        let mut stream = connect(address);
        stream.write_all(GET.as_bytes()).unwrap();
        let mut answer = vec![0; expected];
        stream.read_exact(&mut answer).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn requests_of_1_0_are_answered_and_closed_unless_kept_alive() {
    let (_running, address) = http(Behaviour::Echo);
    let old = "GET / HTTP/1.0\r\n\r\n";
    assert!(exchange(address, old.as_bytes()).contains("\r\nConnection: close\r\n"));
    let kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answers = exchange(address, format!("{kept}{old}").as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
}

#[test]
fn requests_that_are_none_are_refused() {
    let (running, address) = http(Behaviour::Echo);
    for (request, status) in [
        ("\x16\x03\x01\x02\0".to_owned(), 400),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
        (format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(20_000)), 431),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
    ] {
        let answer = exchange(address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.40}: {answer}");
    }
    assert_eq!(running.counters().violations, 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_of_a_peer_harm_the_target(
        beginning in prop_oneof![
            Just(""),
            Just("POST / HTTP/1.1\r\n"),
            Just("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ],
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        static TARGET: std::sync::LazyLock<(Running, SocketAddr)> =
            std::sync::LazyLock::new(|| http(Behaviour::Echo));
        let (running, address) = &*TARGET;
        let mut stream = connect(*address);
        stream.write_all(beginning.as_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        prop_assert!(ended.is_ok_and(|read| read < 2000), "{} bytes came back", answer.len());
        drop(stream);
        prop_assert_eq!(eventually(running, |counters| counters.open == 0).failed, 0);
    }
}
