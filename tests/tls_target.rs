//! The targets over TLS, against rustls, against OpenSSL and curl, and against bytes that are no TLS.

mod support;

use connstorm::server::{Behaviour, Certificate, Config, Flaw, Kind, Running, StartError, Target};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::targets::{eventually, start, start_with};
use tokio_tungstenite::tungstenite::{Message, client};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A stream to the target, which is trusted; the handshake comes with the first byte.
fn connect(running: &Running, name: &str) -> Tls {
    let mut roots = RootCertStore::empty();
    let pem = running.certificate().expect("a certificate");
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(running.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

fn read_exactly(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Reason for which the handshake fails.
fn refused(running: &Running, name: &str) -> rustls::Error {
    let error = connect(running, name).write_all(b"x").unwrap_err();
    error.into_inner().expect("an error of TLS").downcast_ref::<rustls::Error>().unwrap().clone()
}

#[test]
fn bytes_come_back_through_tls_and_it_is_closed_in_order() {
    let (running, _) = start(Kind::Tls, Behaviour::Echo);
    for name in ["localhost", "127.0.0.1"] {
        let mut stream = connect(&running, name);
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
        for chunk in sent.chunks(100_000) {
            stream.write_all(chunk).unwrap();
            assert!(read_exactly(&mut stream, chunk.len()) == chunk);
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        // Without a close_notify in return this is UnexpectedEof.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.tls_handshakes, counters.tls_handshakes_failed), (2, 0));
    assert_eq!((counters.closed_by_peer, counters.failed, counters.violations), (2, 0, 0));
}

#[test]
fn a_peer_that_does_not_read_gets_it_all_in_the_end() {
    let (running, _) = start(
        Kind::Https,
        Behaviour::Reply(connstorm::protocol::Reply { status: 200, body: Some(16 << 20), chunked: false }),
    );
    let mut stream = connect(&running, "localhost");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 16 << 20 && answer.ends_with(&[b'x'; 1000]));
}

#[test]
fn websockets_and_requests_go_through_tls() {
    let (running, _) = start(Kind::Wss, Behaviour::Echo);
    let (mut socket, _) = client::client("wss://localhost/", connect(&running, "localhost")).unwrap();
    for size in [1, 1000, 200_000, 5_000_000] {
        let sent = Message::binary(vec![7; size]);
        socket.send(sent.clone()).unwrap();
        assert!(socket.read().unwrap() == sent, "{size}");
    }
    socket.send(Message::Ping(b"?"[..].into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"?"[..].into()));
    assert_eq!((running.counters().handshakes, running.counters().tls_handshakes), (1, 1));

    let (running, _) = start(Kind::Wss, Behaviour::Push { every: Duration::from_millis(20) });
    let (mut socket, _) = client::client("wss://localhost/", connect(&running, "localhost")).unwrap();
    assert!(socket.read().unwrap().into_text().unwrap().starts_with("{\"seq\":1,"));

    let (running, _) = start(Kind::Https, Behaviour::Slow(Duration::from_millis(30)));
    let mut stream = connect(&running, "localhost");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[test]
fn a_banner_comes_inside_tls() {
    let (running, _) = start(Kind::Tls, Behaviour::Raw(b"220 smtp\r\n".to_vec()));
    let mut stream = connect(&running, "localhost");
    assert_eq!(read_exactly(&mut stream, 10), b"220 smtp\r\n");
}

#[test]
fn certificates_are_broken_in_the_chosen_way() {
    let with = |flaw| {
        let certificate = Certificate { names: vec!["target.test".to_owned()], flaw };
        start_with(Kind::Tls, Behaviour::Echo, |config| config.certificate = certificate).0
    };
    let well = with(Flaw::None);
    connect(&well, "target.test").write_all(b"x").unwrap();
    let not_for = |error: rustls::Error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        )
    };
    assert!(not_for(refused(&well, "other.test")));
    assert!(not_for(refused(&with(Flaw::WrongName), "localhost")));
    let expired = with(Flaw::Expired);
    let error = refused(&expired, "localhost");
    assert!(
        matches!(
            error,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            )
        ),
        "{error}"
    );
    let counters = eventually(&expired, |counters| counters.open == 0);
    assert_eq!((counters.tls_handshakes, counters.tls_handshakes_failed), (0, 1));
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

#[test]
fn handshakes_are_spoiled_as_asked() {
    for kind in [Kind::Tls, Kind::Https, Kind::Wss] {
        let (running, address) = start(kind, Behaviour::Alert(40));
        assert_eq!(exchange(address, b"\x16\x03\x01\0\x01x"), b"\x15\x03\x03\0\x02\x02\x28");
        let error = refused(&running, "localhost");
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure));
        assert_eq!(running.counters().rejected, 2);
        let (running, address) = start(kind, Behaviour::PlainTextReply);
        let answer = exchange(address, b"\x16\x03\x01\0\x01x");
        assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        assert!(matches!(refused(&running, "localhost"), rustls::Error::InvalidMessage(_)));
    }
}

#[test]
fn plain_text_and_noise_are_answered_with_an_alert() {
    let (running, address) = start(Kind::Wss, Behaviour::Echo);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0", &[0xff; 70_000]] {
        let answer = exchange(address, bytes);
        assert!(answer.is_empty() || answer.starts_with(b"\x15\x03"), "{answer:?}");
    }
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.tls_handshakes, counters.tls_handshakes_failed, counters.failed), (0, 3, 0));
}

#[test]
fn a_behaviour_of_another_kind_is_refused_at_the_start() {
    let listen = || vec!["127.0.0.1:0".parse().unwrap()];
    let error = Target::start(Config::new(listen(), Behaviour::Alert(40))).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Unsuitable { kind: Kind::Tcp, .. }));
    assert!(error.to_string().starts_with("a tcp target can't do 'alert(40)'; `connstorm serve tcp --help`"));
}

/// Runs a program that talks to a target; gives what it printed, errors included.
fn told(program: &str, package: &str, arguments: &[&str], input: &str) -> String {
    let child = support::bound_to_us(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let found = Command::new(program).arg("version").output();
    let (Ok(mut child), Ok(_)) = (child, found) else {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        panic!("{}", support::missing(program, package, &error));
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

#[test]
fn openssl_and_curl_verify_the_certificate_that_is_written() {
    let (running, address) = start(Kind::Https, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, running.certificate().unwrap()).unwrap();
    let (ca, at) = (path.to_str().unwrap(), address.to_string());
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments =
            ["s_client", "-connect", &at, "-CAfile", ca, "-verify_return_error", "-ign_eof", version];
        let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let said = told("openssl", "openssl", &arguments, request);
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains("HTTP/1.1 200 OK"), "{said}");
    }
    let url = format!("https://{at}/");
    // 2 MiB: curl asks with Expect first.
    let body = "0123456789abcdef".repeat(1 << 17);
    let arguments =
        ["-sS", "--noproxy", "*", "--cacert", ca, "--data-binary", "@-", "--max-time", "20", &url];
    let said = told("curl", "curl", &arguments, &body);
    assert!(said == body, "{} bytes came back: {:.200}", said.len(), said);
}
