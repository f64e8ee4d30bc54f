//! One exchange on a connection that stands: enough to hear whether what was due comes back, and no more.

use super::Whom;
use crate::attempt::Stamp;
use crate::diagnose::Heard;
use crate::diagnose::first_bytes::{Spoken, shown};
use crate::kernel::clock::Clock;
use crate::protocol::{Application, Kind};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Time in which a server that speaks first does so.
const BANNER: Duration = Duration::from_millis(500);
/// Bytes of a reply that are read, at most.
const MOST: usize = 16 * 1024;
/// Bytes of a reply's body that are kept.
const BODY: usize = 200;
/// The first bytes of a TLS connection that are kept.
const FIRST: usize = 64;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) heard: Option<Heard>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    /// Version of TLS, where its handshake was completed.
    pub(super) tls: Option<String>,
    /// The first line that an application said, for a person.
    pub(super) greeting: Option<String>,
}

/// Speaks to a target over a connection, for so long at most.
pub(super) fn exchange(stream: &TcpStream, whom: &Whom, limit: Duration) -> Said {
    let clock = Clock::start();
    // A server of bare TCP that waits for its client is no fault: it is not waited for long.
    let until = if whom.kind == Kind::Tcp { limit.min(BANNER) } else { limit };
    let mut wire = Wire { stream, clock, until, first: Vec::new() };
    if !whom.kind.is_encrypted() {
        return application(&mut wire, whom);
    }
    match handshake(&mut wire, whom) {
        Ok(mut session) => {
            let tls = session.protocol_version().map(|version| format!("{version:?}"));
            let said = application(&mut Stream::new(&mut session, &mut wire), whom);
            Said { tls, ..said }
        }
        Err(heard) => Said { heard: Some(heard), ..Said::default() },
    }
}

/// A socket with one deadline for all that is done on it, and a memory of its first bytes.
struct Wire<'a> {
    stream: &'a TcpStream,
    clock: Clock,
    until: Stamp,
    first: Vec<u8>,
}

impl Wire<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_sub(self.clock.now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let mut stream = self.stream;
        let length = stream.read(buffer)?;
        let wanted = FIRST.saturating_sub(self.first.len()).min(length);
        self.first.extend_from_slice(&buffer[..wanted]);
        Ok(length)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        let mut stream = self.stream;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The TLS handshake. Certificates are not verified: what is asked is whether TLS is spoken there.
fn handshake(wire: &mut Wire<'_>, whom: &Whom) -> Result<ClientConnection, Heard> {
    let failed = |why: &dyn std::fmt::Display| Heard::TlsFailed(why.to_string());
    let provider = Arc::new(ring::default_provider());
    let schemes = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
        .with_no_client_auth();
    let host = whom.host.split('%').next().unwrap_or_default().to_owned();
    let name = ServerName::try_from(host).map_err(|error| failed(&error))?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
    while session.is_handshaking() {
        match session.complete_io(wire) {
            Ok(_) => {}
            Err(error) => return Err(no_handshake(&error, &wire.first)),
        }
    }
    Ok(session)
}

fn no_handshake(error: &io::Error, first: &[u8]) -> Heard {
    let spoken = Spoken::of(first);
    match (spoken, error.kind()) {
        (Some(Spoken::Tls | Spoken::TlsAlert(_)), _) => Heard::TlsFailed(error.to_string()),
        (Some(spoken), _) => Heard::Bytes { spoken, in_place_of_tls: true, shown: shown(first) },
        (None, _) => ended(error, true),
    }
}

/// What is spoken inside TLS, or without.
fn application(wire: &mut (impl Read + Write), whom: &Whom) -> Said {
    let (request, key) = match whom.kind.application() {
        Application::Stream if whom.kind.is_encrypted() => {
            // That TLS stands is what was asked.
            return Said { heard: Some(Heard::AsDue), ..Said::default() };
        }
        Application::Stream => return banner(wire),
        Application::Http => (http_request(whom), None),
        Application::WebSocket => {
            let key = generate_key();
            (websocket_request(whom, &key), Some(key))
        }
    };
    let mut reply = Vec::new();
    let error = match wire.write_all(request.as_bytes()).and_then(|()| wire.flush()) {
        Ok(()) => read_head(wire, &mut reply),
        Err(error) => Some(error),
    };
    if reply.is_empty() {
        let heard = error.map_or(Heard::Closed, |error| ended(&error, false));
        return Said { heard: Some(heard), ..Said::default() };
    }
    judge(&reply, key.as_deref())
}

/// A server of bare TCP may speak first, or not.
fn banner(wire: &mut impl Read) -> Said {
    let mut bytes = [0u8; 256];
    let heard = match wire.read(&mut bytes) {
        Ok(0) => Heard::Closed,
        Ok(length) => {
            let bytes = &bytes[..length];
            let spoken = Spoken::of(bytes).unwrap_or(Spoken::Binary);
            let greeting = Some(shown(bytes));
            let heard = Heard::Bytes { spoken, in_place_of_tls: false, shown: shown(bytes) };
            return Said { heard: Some(heard), greeting, ..Said::default() };
        }
        Err(error) if is_timeout(&error) => Heard::AsDue,
        Err(error) => ended(&error, false),
    };
    Said { heard: Some(heard), ..Said::default() }
}

/// Reads up to the end of an HTTP head and a little of the body, or as much as comes. What ended it, if
/// that was an error.
fn read_head(wire: &mut impl Read, reply: &mut Vec<u8>) -> Option<io::Error> {
    let mut buffer = [0u8; 2048];
    loop {
        match wire.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => reply.extend_from_slice(&buffer[..length]),
            Err(error) => return Some(error),
        }
        let is_http = reply.starts_with(b"HTTP/") || b"HTTP/".starts_with(reply);
        let head = reply.windows(4).position(|four| four == b"\r\n\r\n");
        let whole = head.is_some_and(|at| reply.len() >= at + 4 + BODY || says_all(reply, at));
        if !is_http || whole || reply.len() >= MOST {
            return None;
        }
    }
}

/// Whether no body is to be waited for: 101, or only a few bytes of it are announced and are there.
fn says_all(reply: &[u8], head: usize) -> bool {
    let status = reply.get(9..12);
    let text = String::from_utf8_lossy(&reply[..head]).to_ascii_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    status == Some(b"101")
        || status != Some(b"400")
        || length.is_some_and(|length| reply.len() >= head + 4 + length)
}

fn judge(reply: &[u8], key: Option<&str>) -> Said {
    let spoken = Spoken::of(reply).unwrap_or(Spoken::Binary);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(reply) {
        Ok(httparse::Status::Complete(head)) => head,
        _ => reply.len(),
    };
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let as_due = match (&spoken, key) {
        (Spoken::Http(101), Some(key)) => {
            let wanted = derive_accept_key(key.as_bytes());
            headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && *value == wanted)
        }
        // A client that upgrades nothing is content with any status, but for the 400 of a server over TLS and
        // the 426 of a WebSocket server.
        (Spoken::Http(status), None) => !matches!(status, 400 | 426),
        _ => false,
    };
    let body = reply.get(head..).filter(|body| !body.is_empty());
    let body = body.map(|body| String::from_utf8_lossy(&body[..body.len().min(BODY)]).into_owned());
    let shown = shown(reply);
    let greeting = Some(shown.clone());
    let heard = if as_due { Heard::AsDue } else { Heard::Bytes { spoken, in_place_of_tls: false, shown } };
    Said { heard: Some(heard), headers, body, tls: None, greeting }
}

fn http_request(whom: &Whom) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: connstorm-doctor\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        whom.path,
        whom.authority()
    )
}

fn websocket_request(whom: &Whom, key: &str) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: connstorm-doctor\r\nUpgrade: websocket\r\nConnection: \
         Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        whom.path,
        whom.authority()
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection on which nothing came.
fn ended(error: &io::Error, in_place_of_tls: bool) -> Heard {
    match error.kind() {
        _ if is_timeout(error) => Heard::Silence { in_place_of_tls },
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Heard::Reset,
        _ => Heard::Closed,
    }
}

/// Takes any certificate: the doctor asks which protocol is spoken, and not whether to trust it.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_judged_by_what_was_asked() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good =
            "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(judge(good.as_bytes(), Some(key)).heard, Some(Heard::AsDue));
        let stale = good.replace("s3p", "xxx");
        assert!(matches!(
            judge(stale.as_bytes(), Some(key)).heard,
            Some(Heard::Bytes { spoken: Spoken::Http(101), .. })
        ));
        let found = judge(b"HTTP/1.1 404 Not Found\r\nVia: 1.1 squid\r\n\r\nno such page", Some(key));
        assert!(matches!(found.heard, Some(Heard::Bytes { spoken: Spoken::Http(404), .. })));
        assert_eq!((found.headers[0].1.as_str(), found.body.as_deref()), ("1.1 squid", Some("no such page")));
        assert_eq!(judge(b"HTTP/1.1 404 Not Found\r\n\r\n", None).heard, Some(Heard::AsDue));
        assert!(matches!(judge(b"-ERR x\r\n", None).heard, Some(Heard::Bytes { spoken: Spoken::Redis, .. })));
    }
}
