//! Targets that are asked for by the wrong scheme, as real servers answer that: the scheme that works is found by trying it,
//! by `doctor` and by `run`, whatever the server says in the place of an answer.
//!
//! The answers were recorded from the servers that are named beside them; what speaks TLS or WebSocket behind them is ours.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use connstorm::server::Running;
use rcgen::generate_simple_self_signed;
use rustls::ServerConnection;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use support::client_certificate;
use support::doctor::examine;
use support::storm::storm;
use support::targets;

/// A port on which several things are spoken: each connection is answered by its first bytes.
#[derive(Clone, Copy, Default)]
struct Port {
    /// The server that gets connections of TLS.
    tls: Option<SocketAddr>,
    /// The server that gets handshakes of WebSockets.
    websocket: Option<SocketAddr>,
    /// Answer to plain HTTP, and to what has no server here; nothing: the connection is closed.
    plain: &'static [u8],
}

impl Port {
    fn open(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || self.serve(stream));
            }
        });
        address
    }

    fn serve(self, mut stream: TcpStream) {
        let mut first = [0; 4096];
        let Ok(length) = stream.read(&mut first) else { return };
        let first = &first[..length];
        let is_handshake = first.windows(18).any(|part| part.eq_ignore_ascii_case(b"upgrade: websocket"));
        let server = match first {
            [0x16, ..] => self.tls,
            _ if is_handshake => self.websocket,
            _ => None,
        };
        match server {
            Some(server) => passed_on(stream, first, server),
            None => _ = stream.write_all(self.plain),
        }
    }
}

/// What comes from either side goes to the other.
fn passed_on(mut client: TcpStream, first: &[u8], server: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(server) else { return };
    if server.write_all(first).is_err() {
        return;
    }
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

/// Finding and advice that come first, by `doctor` and by `run`, which agree.
#[track_caller]
fn told(url: &str, flags: &str) -> (String, String, String) {
    let first = |result: &Value| {
        let finding = &result["findings"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&finding["id"]), text(&finding["certainty"]), text(&finding["remedies"][0]))
    };
    let by_run =
        first(&storm(&format!("{url} --connections 3 --concurrency 1 --handshake-timeout 500ms {flags}")));
    let by_doctor = first(&examine(&format!("{url} --timeout 1s {flags}")));
    assert_eq!(by_run, by_doctor, "{url}");
    by_run
}

#[track_caller]
fn assert_proved(url: &str, id: &str, advice: &str) {
    assert_eq!(told(url, ""), (id.to_owned(), "proved".to_owned(), advice.to_owned()), "{url}");
}

/// Our own server of a kind.
fn ours(kind: Kind) -> (Running, Option<SocketAddr>) {
    let (running, address) = targets::start(kind, Behaviour::Echo);
    (running, Some(address))
}

const GO: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const HYPERCORN: &[u8] = b"HTTP/1.1 400 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UVICORN: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nserver: uvicorn\r\n\r\nno";
const TORNADO: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: TornadoServer/6.5\r\nContent-Length: 34\r\n\r\n\
                         Can \"Upgrade\" only to \"WebSocket\".";

#[test]
fn plain_text_to_a_tls_port_is_named_by_tls_of_its_own() {
    let (_wss, wss) = ours(Kind::Wss);
    // HAProxy, stunnel, OpenSSL, Node, Python's asyncio close; others say something, with words or without.
    for plain in [&b""[..], GO, HYPERCORN] {
        let port = Port { tls: wss, plain, ..Port::default() }.open();
        let advice = format!("use wss://{port}/ --insecure");
        assert_proved(&format!("ws://{port}/"), "plain-text-to-a-tls-port", &advice);
    }
    // What is advised was tried: HTTP is no better over TLS, and a WebSocket is.
    let port = Port { tls: wss, plain: GO, ..Port::default() }.open();
    let advice = format!("use wss://{port}/ --insecure");
    assert_proved(&format!("http://{port}/"), "plain-text-to-a-tls-port", &advice);
}

#[test]
fn a_tls_port_of_another_protocol_is_no_advice() {
    // redis-server with TLS: it closes where HTTP is spoken inside TLS, too.
    let (_tls, tls) = targets::start(Kind::Https, Behaviour::CloseBeforeReply);
    let port = Port { tls: Some(tls), ..Port::default() }.open();
    let (id, _, advice) = told(&format!("ws://{port}/"), "");
    assert_eq!(id, "plain-text-to-a-tls-port");
    assert!(advice.starts_with("connect to the port of the WebSocket server"), "{advice}");
}

#[test]
fn plain_http_to_a_websocket_is_named_by_its_handshake() {
    let (_ws, ws) = ours(Kind::Ws);
    for plain in [&b""[..], UVICORN, TORNADO] {
        let port = Port { websocket: ws, plain, ..Port::default() }.open();
        let (run, flags) = (format!("http://{port}/"), "--status 200");
        let told = if plain == UVICORN {
            // For the doctor a 404 is an answer as good as any.
            let result = storm(&format!("{run} --connections 2 --concurrency 1 {flags}"));
            let finding = &result["findings"][0];
            (finding["id"].as_str().unwrap().to_owned(), finding["remedies"][0].as_str().unwrap().to_owned())
        } else {
            let (id, certainty, advice) = told(&run, "");
            assert_eq!(certainty, "proved");
            (id, advice)
        };
        assert_eq!(told, ("upgrade-required".to_owned(), format!("use ws://{port}/")));
    }
}

#[test]
fn tls_to_a_plain_port_that_does_not_answer_it_is_named_by_plain_http() {
    let (_ws, ws) = ours(Kind::Ws);
    // websockets of PyPI, tornado, PHP: a ClientHello is closed without a word, or never answered.
    let port = Port { websocket: ws, ..Port::default() }.open();
    assert_proved(&format!("wss://{port}/"), "tls-to-a-plain-port", &format!("use ws://{port}/"));
    // Python's http.server answers it with a page, without a head.
    let page = b"<!DOCTYPE HTML>\n<html lang=\"en\">\n    <head>\n        <title>Error response</title>\n";
    let port = Port { websocket: ws, plain: page, ..Port::default() }.open();
    assert_proved(&format!("wss://{port}/"), "tls-to-a-plain-port", &format!("use ws://{port}/"));
}

/// A TLS 1.3 server as Python's asyncio is one: it wants a client certificate, and closes without an alert where there is none.
fn server_that_wants_a_certificate_and_sends_no_alert() -> SocketAddr {
    let own = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let config = client_certificate::demanded_as(&own);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = ServerConnection::new(config.clone()).unwrap();
            while tls.read_tls(&mut stream).is_ok_and(|length| length > 0)
                && tls.process_new_packets().is_ok()
            {
                let _ = tls.write_tls(&mut stream);
            }
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    address
}

#[test]
fn a_server_that_closes_for_want_of_a_certificate_is_named_without_an_alert() {
    let address = server_that_wants_a_certificate_and_sends_no_alert();
    for scheme in ["wss", "https"] {
        let (id, certainty, advice) = told(&format!("{scheme}://{address}/"), "--insecure");
        assert_eq!((id.as_str(), certainty.as_str()), ("client-certificate-required", "likely"), "{scheme}");
        assert!(advice.starts_with("--cert FILE --key FILE"), "{advice}");
    }
}

#[test]
fn a_close_frame_a_moment_after_the_handshake_is_heard_with_its_code_by_the_doctor() {
    let (_ws, address) = targets::start(Kind::Ws, Behaviour::CloseAfter(Duration::from_millis(200)));
    let result = examine(&format!("ws://{address}/"));
    assert_eq!(result["findings"][0]["id"], "closed-by-the-server", "{:#}", result["findings"]);
    assert!(
        result["findings"][0]["says"].as_str().unwrap().contains("close code 1000"),
        "{:#}",
        result["findings"]
    );
}
