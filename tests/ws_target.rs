//! The WebSocket target against a client library, and against bytes made by hand.

mod support;

use connstorm::server::{Behaviour, Kind, Running};
use proptest::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};
use support::targets::{eventually, start, start_with};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, coding::CloseCode};
use tokio_tungstenite::tungstenite::{HandshakeError, Message, WebSocket, client};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// RFC 6455, section 1.3: the answer to that key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn ws(behaviour: Behaviour) -> (Running, SocketAddr) {
    start(Kind::Ws, behaviour)
}

fn connect(address: SocketAddr) -> Result<WebSocket<TcpStream>, Box<Error>> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("ws://{address}/chat").into_client_request().unwrap();
    match client::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) => Err(Box::new(error)),
        Err(HandshakeError::Interrupted(_)) => panic!("no answer"),
    }
}

/// Sends bytes, and reads until the target closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let bytes = payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [first, 0x80 | payload.len() as u8].into_iter().chain(mask).chain(bytes).collect()
}

#[test]
fn messages_of_all_sizes_come_back() {
    let (running, address) = ws(Behaviour::Echo);
    let mut socket = connect(address).unwrap();
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_003, 16 << 20] {
        let sent = Message::binary((0..size).map(|n| (n * 7 / 3) as u8).collect::<Vec<u8>>());
        socket.send(sent.clone()).unwrap();
        assert!(socket.read().unwrap() == sent, "{size} bytes came back otherwise");
    }
    socket.send(Message::text("grüße")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("grüße"));
    let counters = running.counters();
    assert_eq!((counters.handshakes, counters.messages_in, counters.messages_out), (1, 9, 9));
    assert_eq!((counters.rejected, counters.violations), (0, 0));
}

#[test]
fn fragments_pings_and_the_close_are_answered() {
    let (running, address) = ws(Behaviour::Echo);
    let mut socket = connect(address).unwrap();
    let piece = |text: &'static str, code, is_final| {
        Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(code), is_final))
    };
    socket.send(piece("one ", Data::Text, false)).unwrap();
    socket.send(Message::Ping(b"are you there"[..].into())).unwrap();
    socket.send(piece("two ", Data::Continue, false)).unwrap();
    socket.send(piece("three", Data::Continue, true)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"are you there"[..].into()));
    assert_eq!(socket.read().unwrap(), Message::text("one two three"));
    let frame = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    socket.close(Some(frame)).unwrap();
    let Message::Close(Some(answer)) = socket.read().unwrap() else { panic!("no close") };
    assert_eq!(answer.code, CloseCode::Library(4321));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.pings, counters.messages_in, counters.closed_by_peer), (1, 1, 1));
}

#[test]
fn what_came_with_the_handshake_is_not_lost_however_it_is_split() {
    let (_running, address) = ws(Behaviour::Echo);
    let bytes = [REQUEST.as_bytes(), &masked(0x81, b"early"), &masked(0x88, b"")].concat();
    let whole = exchange(address, &bytes);
    assert!(whole.ends_with(b"\r\n\r\n\x81\x05early\x88\x00"), "{whole:?}");
    assert!(String::from_utf8_lossy(&whole).contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in &bytes {
        stream.write_all(std::slice::from_ref(byte)).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, whole);
}

#[test]
fn the_first_subprotocol_offered_is_agreed_to() {
    let (_running, address) = ws(Behaviour::Echo);
    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    request.headers_mut().append("sec-websocket-protocol", "chat.v2, chat.v1".parse().unwrap());
    let (_, response) = client::client(request, TcpStream::connect(address).unwrap()).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
}

#[test]
fn pushes_carry_a_number_and_the_time() {
    let (running, address) = ws(Behaviour::Push { every: Duration::from_millis(20) });
    let mut sockets = [connect(address).unwrap(), connect(address).unwrap()];
    for number in 1..=5 {
        for socket in &mut sockets {
            let text = socket.read().unwrap().into_text().unwrap();
            let push: serde_json::Value = serde_json::from_str(&text).unwrap();
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
            assert_eq!(push["seq"], number);
            let age_us = now - push["now_us"].as_i64().unwrap();
            assert!((-1_000_000..60_000_000).contains(&age_us), "{age_us} µs old");
        }
    }
    assert!(running.counters().messages_out >= 10);
}

#[test]
fn a_broadcast_reaches_all_others_across_workers_and_not_the_sender() {
    let (running, address) = start_with(Kind::Ws, Behaviour::Broadcast, |config| {
        config.workers = std::num::NonZeroU32::new(4);
        // Eight a worker: so they can't all be with one.
        config.descriptors = std::num::NonZeroU32::new(9 + 8);
    });
    let mut sockets: Vec<_> = (0..30).map(|_| connect(address).unwrap()).collect();
    eventually(&running, |counters| counters.handshakes == 30);
    for (from, text) in [(0, "first"), (17, "second"), (29, "third")] {
        sockets[from].send(Message::text(text)).unwrap();
        for (to, socket) in sockets.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            assert_eq!(socket.read().unwrap(), Message::text(text), "from {from} to {to}");
        }
    }
    let counters = running.counters();
    assert_eq!((counters.workers, counters.messages_in, counters.messages_out), (4, 3, 3 * 29));
    assert_eq!(counters.messages_dropped, 0);
    for socket in &mut sockets {
        socket.get_mut().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let Err(Error::Io(error)) = socket.read() else { panic!("one message too many") };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn who_does_not_read_misses_messages_and_holds_up_nobody() {
    let (running, address) = ws(Behaviour::Broadcast);
    let _deaf = connect(address).unwrap();
    let mut sender = connect(address).unwrap();
    let message = Message::binary(vec![0; 1 << 20]);
    // Until the kernel's buffers and our patience are used up.
    for _ in 0..100 {
        sender.send(message.clone()).unwrap();
    }
    let counters = eventually(&running, |counters| counters.messages_in == 100);
    let counters =
        eventually(&running, |now| now.messages_dropped + now.messages_out >= counters.messages_in);
    assert!(counters.messages_dropped > 50, "{counters:?}");
}

#[test]
fn close_after_messages_and_after_a_time_is_with_code_1000() {
    let (running, address) = ws(Behaviour::CloseAfterMessages(2));
    let mut socket = connect(address).unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(text));
    }
    let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close") };
    assert_eq!(frame.code, CloseCode::Normal);
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    assert_eq!(eventually(&running, |counters| counters.open == 0).closed_by_us, 1);

    let (running, address) = ws(Behaviour::CloseAfter(Duration::from_millis(100)));
    let mut socket = connect(address).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Close(Some(frame)) if frame.code == CloseCode::Normal));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    // One that never answers the close is closed all the same.
    let mut stubborn = TcpStream::connect(address).unwrap();
    stubborn.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stubborn.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stubborn.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"\x88\x02\x03\xe8"), "{answer:?}");
    assert_eq!(eventually(&running, |counters| counters.open == 0).closed_by_us, 2);
}

#[test]
fn a_slow_handshake_comes_and_does_not_hold_up_others() {
    let (running, address) = ws(Behaviour::Slow(Duration::from_millis(150)));
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(&[REQUEST.as_bytes(), &masked(0x81, b"x")].concat()).unwrap();
    early.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(early.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(TcpStream::connect(address).unwrap());
    let mut socket = connect(address).unwrap();
    socket.send(Message::text("at last")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("at last"));
    early.set_read_timeout(None).unwrap();
    let mut answer = [0; 512];
    let mut got = 0;
    while !answer[..got].ends_with(b"\x81\x01x") {
        got += early.read(&mut answer[got..]).unwrap();
    }
    assert_eq!(running.counters().handshakes, 2);
}

#[test]
fn a_rejection_has_its_status_and_what_belongs_to_it() {
    for (status, header) in [
        (301, "\r\nLocation: /elsewhere\r\n"),
        (400, ""),
        (401, "\r\nWWW-Authenticate: Basic"),
        (403, ""),
        (404, ""),
        (426, "\r\nSec-WebSocket-Version: 13\r\n"),
        (429, "\r\nRetry-After: 1\r\n"),
        (500, ""),
        (502, ""),
        (503, "\r\nRetry-After: 1\r\n"),
    ] {
        let (running, address) = ws(Behaviour::Reject(status));
        let Error::Http(response) = *connect(address).unwrap_err() else { panic!("{status}") };
        assert_eq!(response.status().as_u16(), status);
        let text = String::from_utf8(exchange(address, REQUEST.as_bytes())).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains(header), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        let counters = eventually(&running, |counters| counters.open == 0);
        assert_eq!((counters.handshakes, counters.rejected, counters.closed_by_us), (0, 2, 2));
    }
}

#[test]
fn answers_that_break_the_handshake_are_refused_by_a_client() {
    let broken = |behaviour| {
        let (_running, address) = ws(behaviour);
        *connect(address).unwrap_err()
    };
    assert!(matches!(
        broken(Behaviour::WrongAcceptKey),
        Error::Protocol(ProtocolError::SecWebSocketAcceptKeyMismatch)
    ));
    assert!(matches!(
        broken(Behaviour::UnrequestedSubprotocol),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::ServerSentSubProtocolNoneRequested
        ))
    ));
    assert!(matches!(broken(Behaviour::PlainHttp), Error::Http(page) if page.status() == 200));
    assert!(matches!(
        broken(Behaviour::CloseBeforeReply),
        Error::Protocol(ProtocolError::HandshakeIncomplete)
    ));
    // The library takes an extension that nobody asked for; the bytes show it.
    let (_running, address) = ws(Behaviour::UnrequestedExtension);
    let bytes = [REQUEST.as_bytes(), &masked(0x88, b"")].concat();
    let text = String::from_utf8_lossy(&exchange(address, &bytes)).into_owned();
    assert!(text.contains("\r\nSec-WebSocket-Extensions: x-unrequested-connstorm\r\n"), "{text}");
}

#[test]
fn answers_of_other_servers_are_sent_as_they_are() {
    let (_running, address) = ws(Behaviour::Http10);
    let answer = String::from_utf8(exchange(address, REQUEST.as_bytes())).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\n200 OK\n"), "{answer}");
    let (_running, address) = ws(Behaviour::CloseBeforeReply);
    assert_eq!(exchange(address, REQUEST.as_bytes()), b"");
    for banner in [&b"SSH-2.0-x\r\n"[..], b"-ERR unknown command\r\n", b"\x15\x03\x01\x00\x02\x02\x28"] {
        let (running, address) = ws(Behaviour::Raw(banner.to_vec()));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(REQUEST.as_bytes()).unwrap();
        let mut answer = vec![0; banner.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, banner);
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(running.counters().open, 1);
    }
    let (_running, address) = ws(Behaviour::Silent);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(REQUEST.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_plain_http_server_keeps_its_connection() {
    let (running, address) = ws(Behaviour::PlainHttp);
    let last = REQUEST.replace("keep-alive", "close");
    let answers = String::from_utf8(exchange(address, format!("{REQUEST}{last}").as_bytes())).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
    assert_eq!(running.counters().rejected, 2);
}

#[test]
fn requests_that_are_no_handshake_are_refused_with_the_status_that_says_why() {
    let (running, address) = ws(Behaviour::Echo);
    for (from, to, status) in [
        ("GET", "POST", "405"),
        ("Upgrade: websocket", "Accept: */*", "426"),
        ("Version: 13", "Version: 8", "426"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", "400"),
        ("HTTP/1.1", "HTTP/1.0", "426"),
        ("GET /chat", "\x16\x03\x01\x02", "400"),
    ] {
        let answer = String::from_utf8(exchange(address, REQUEST.replace(from, to).as_bytes())).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{from} → {to}: {answer}");
    }
    let counters = running.counters();
    assert_eq!((counters.handshakes, counters.rejected, counters.violations), (0, 6, 1));
}

#[test]
fn frames_that_break_the_protocol_are_closed_with_their_code() {
    let (running, address) = ws(Behaviour::Echo);
    for (frame, code) in [
        (&b"\x81\x01x"[..], 1002u16),
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    ] {
        let answer = exchange(address, &[REQUEST.as_bytes(), frame].concat());
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!((answer[end], &answer[end + 2..end + 4]), (0x88, &code.to_be_bytes()[..]), "{frame:?}");
    }
    assert_eq!(running.counters().violations, 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_of_a_peer_harm_the_target(
        is_open in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        static TARGET: std::sync::LazyLock<(Running, SocketAddr)> =
            std::sync::LazyLock::new(|| ws(Behaviour::Echo));
        let (running, address) = &*TARGET;
        let mut stream = TcpStream::connect(address).unwrap();
        if is_open {
            stream.write_all(REQUEST.as_bytes()).unwrap();
        }
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It may be reset, but it comes to an end.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read_to_end(&mut answer);
        prop_assert!(ended.is_ok_and(|read| read < 2000), "{} bytes came back", answer.len());
        drop(stream);
        let counters = eventually(running, |counters| counters.open == 0);
        prop_assert_eq!(counters.failed, 0);
        prop_assert_eq!(counters.workers, 2);
    }
}
