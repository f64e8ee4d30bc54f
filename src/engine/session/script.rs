//! What every session of a run says, made ready once: the bytes of the request, the TLS configuration.

use super::tls_config;
use crate::model::{Failure, Stage};
use crate::plan::{Close, Connection, Header, Lifetime, Messages, Plan, Session, Statuses};
use crate::protocol::{Application, Kind};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Script {
    /// What is spoken above TLS.
    pub application: Application,
    /// `None`: plain text.
    pub tls: Option<TlsScript>,
    /// How long an open session lives.
    pub lifetime: Lifetime,
    /// Who ends it.
    pub closes: Close,
    /// Longest wait for each handshake.
    pub handshake_timeout: Duration,
    /// What is sent, and expected.
    pub messages: Messages,
    /// Subprotocols offered.
    pub subprotocols: Vec<String>,
    /// Requests on one connection.
    pub requests: u32,
    /// Statuses that are as they should be.
    pub statuses: Statuses,
    /// Time that conversations under way are given after the end of the run; `None`: none has an end to come to.
    pub drain: Option<Duration>,
    /// Whether replies have no body.
    pub is_head_request: bool,
    /// Whether a request says how long its body is even if it has none (RFC 9110, section 8.6): some servers answer
    /// 411 else.
    has_length: bool,
    kind: Kind,
    /// `GET /path HTTP/1.1` and the end of the line.
    request_line: String,
    /// `None`: the address that is connected to.
    host: Option<String>,
    /// Every other header, each with the end of its line.
    headers: String,
}

/// TLS as every session has it.
#[derive(Debug)]
pub struct TlsScript {
    /// The configuration.
    pub config: Arc<ClientConfig>,
    /// The name asked for and verified; `None`: the address that is connected to.
    pub name: Option<ServerName<'static>>,
}

/// Why a plan's sessions can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file can't be used.
    #[error("can't use '{}': {why}; give a PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

impl Script {
    /// Longest time for which anything of a session may go on after the end of the run: its handshakes, its drain
    /// time, or an answer that is waited for.
    pub(in crate::engine) fn longest_end(&self) -> Duration {
        let handshakes = u32::from(self.tls.is_some()) + u32::from(self.application != Application::Stream);
        let drain = self.drain.unwrap_or(Duration::ZERO);
        (self.handshake_timeout * handshakes).max(drain).max(self.messages.timeout)
    }

    /// The script of a plan; `None` where nothing is said above TCP.
    ///
    /// # Errors
    /// When a file that the plan names can't be used.
    pub fn of(plan: &Plan) -> Result<Option<Script>, ScriptError> {
        let host = plan.target.as_ref().map(|target| target.host.clone());
        Script::new(plan.kind(), host, &plan.session, plan.connection)
    }

    /// The script of sessions with a host; `None` where nothing is said above TCP.
    ///
    /// # Errors
    /// When a file that the session names can't be used.
    pub fn new(
        kind: Kind,
        host: Option<String>,
        session: &Session,
        connection: Connection,
    ) -> Result<Option<Script>, ScriptError> {
        if kind == Kind::Tcp && session.messages.send.is_none() {
            return Ok(None);
        }
        let request = &session.request;
        let default_method = if session.messages.send.is_some() { "POST" } else { "GET" };
        let method = match kind.application() {
            Application::Http => request.method.as_deref().unwrap_or(default_method),
            _ => "GET",
        };
        let tls = kind.is_encrypted().then(|| {
            let name = session.tls.server_name.as_ref().or(host.as_ref());
            // A literal address with a zone is no name, and no certificate is for one.
            let name = name.and_then(|name| ServerName::try_from(name.clone()).ok());
            tls_config::config(&session.tls, kind).map(|config| TlsScript { config, name })
        });
        Ok(Some(Script {
            application: kind.application(),
            tls: tls.transpose()?,
            lifetime: connection.lifetime,
            closes: connection.close,
            handshake_timeout: connection.handshake_timeout,
            messages: session.messages.clone(),
            subprotocols: request.subprotocols.clone(),
            requests: request.requests,
            statuses: request.statuses.clone(),
            drain: session.drain(kind),
            is_head_request: method == "HEAD",
            has_length: session.messages.send.is_some() || matches!(method, "POST" | "PUT" | "PATCH"),
            kind,
            request_line: format!("{method} {} HTTP/1.1\r\n", request.path),
            host,
            headers: headers(kind, &request.headers),
        }))
    }

    /// The stage that follows upon connect().
    fn first_stage(&self) -> Stage {
        match self.application {
            _ if self.tls.is_some() => Stage::Tls,
            Application::Stream => Stage::Session,
            Application::Http | Application::WebSocket => Stage::Handshake,
        }
    }

    /// A connection that was lost as soon as it stood was lost at the first stage that follows.
    pub fn in_its_place(&self, failure: Failure) -> Failure {
        match failure.stage {
            Stage::Session => Failure { stage: self.first_stage(), ..failure },
            _ => failure,
        }
    }

    /// Adds a WebSocket's handshake to `out`.
    pub fn write_upgrade(&self, out: &mut Vec<u8>, destination: SocketAddr, key: &str) {
        self.begin_request(out, destination);
        out.extend_from_slice(
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        );
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\n");
        if !self.subprotocols.is_empty() {
            // Writing to a Vec can't fail.
            let _ = write!(out, "Sec-WebSocket-Protocol: {}\r\n", self.subprotocols.join(", "));
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Adds a request to `out`. Where the peer is to close, the last one says so.
    pub fn write_request(&self, out: &mut Vec<u8>, destination: SocketAddr, body: &[u8], last: bool) {
        self.begin_request(out, destination);
        if last && self.closes == Close::Peer {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if self.has_length {
            let _ = write!(out, "Content-Length: {}\r\n", body.len());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }

    fn begin_request(&self, out: &mut Vec<u8>, destination: SocketAddr) {
        out.extend_from_slice(self.request_line.as_bytes());
        // RFC 9110, section 7.2: the host as it is in the URL, with the port unless it is the scheme's own.
        let has_host =
            self.headers.lines().any(|line| line.get(..5).is_some_and(|h| h.eq_ignore_ascii_case("host:")));
        if !has_host {
            let _ = match &self.host {
                // A zone has a meaning on this host alone (RFC 6874, section 4).
                Some(host) if host.contains(':') => {
                    write!(out, "Host: [{}]", host.split('%').next().unwrap_or(host))
                }
                Some(host) => write!(out, "Host: {host}"),
                None if destination.is_ipv6() => write!(out, "Host: [{}]", destination.ip()),
                None => write!(out, "Host: {}", destination.ip()),
            };
            let _ = match destination.port() {
                port if Some(port) == self.kind.own_port() => write!(out, "\r\n"),
                port => write!(out, ":{port}\r\n"),
            };
        }
        out.extend_from_slice(self.headers.as_bytes());
    }
}

/// The plan's headers, and those without which some servers refuse.
fn headers(kind: Kind, given: &[Header]) -> String {
    let is_given = |name: &str| given.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let mut text = String::new();
    if !is_given("user-agent") {
        text += concat!("User-Agent: connstorm/", env!("CARGO_PKG_VERSION"), "\r\n");
    }
    if kind.application() == Application::Http && !is_given("accept") {
        text += "Accept: */*\r\n";
    }
    for header in given {
        text += &format!("{}: {}\r\n", header.name, header.value);
    }
    text
}
