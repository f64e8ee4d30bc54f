//! Words of every session of a run, made ready once: the bytes of the request, the TLS configuration.

use super::context::Context;
use super::request::{Filling, RequestHead, Wanted};
use super::steps::{Common, Program};
use super::tls_config;
use crate::engine::data::DataError;
use crate::model::{Failure, Stage};
use crate::plan::{Close, Connection, Expect, Lifetime, Messages, Plan, Session, Statuses};
use crate::protocol::{Application, Fields, Kind, NoNames, Template};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Script {
    /// Protocol above TLS.
    pub application: Application,
    /// `None`: plain text.
    pub tls: Option<TlsScript>,
    /// Lifetime of an open session.
    pub lifetime: Lifetime,
    /// Who ends it.
    pub closes: Close,
    /// Longest wait for each handshake.
    pub handshake_timeout: Duration,
    /// Messages that are sent, and expected.
    pub messages: Messages,
    /// The value in a JSON answer, where it has placeholders: those of the message that is answered.
    pub(in crate::engine) answer_key: Option<Template>,
    /// Requests on one connection.
    pub requests: u32,
    /// Statuses that are as they should be.
    pub statuses: Statuses,
    /// Time that conversations under way are given after the end of the run; `None`: none has an end to come to.
    pub drain: Option<Duration>,
    /// True if replies have no body.
    pub is_head_request: bool,
    /// True if a request says how long its body is even if it has none (RFC 9110, section 8.6): some servers answer
    /// 411 else.
    has_length: bool,
    /// The request, that of a WebSocket's handshake too.
    pub(in crate::engine) request: RequestHead,
    /// Program of each client, step by step, in the place of messages; `None`: there are no steps.
    pub(in crate::engine) program: Option<Program>,
}

/// TLS as every session has it.
#[derive(Debug)]
pub struct TlsScript {
    /// The configuration.
    pub config: Arc<ClientConfig>,
    /// The name asked for and verified; `None`: the address that is connected to.
    pub name: Option<ServerName<'static>>,
}

/// Reason for which a plan's sessions can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file can't be used.
    #[error("can't use '{}': {why}; give a PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// A file whose content is sent can't be read.
    #[error("can't send '{}': {why}", path.display())]
    Payload {
        /// The file.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// Rows of data can't be read.
    #[error(transparent)]
    Data(#[from] DataError),
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
    pub(in crate::engine) fn of(plan: &Plan, common: &Common) -> Result<Option<Script>, ScriptError> {
        let host = plan.target.as_ref().map(|target| target.host.clone());
        Script::among(plan.kind(), host, &plan.session, plan.connection, common)
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
        Script::among(kind, host, session, connection, &Common::default())
    }

    fn among(
        kind: Kind,
        host: Option<String>,
        session: &Session,
        connection: Connection,
        common: &Common,
    ) -> Result<Option<Script>, ScriptError> {
        if kind == Kind::Tcp && session.messages.send.is_none() && session.steps.is_empty() {
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
            answer_key: session.messages.expect.as_ref().and_then(Expect::answer_key),
            requests: request.requests,
            statuses: request.statuses.clone(),
            drain: session.drain(kind),
            is_head_request: method == "HEAD",
            has_length: session.messages.send.is_some() || matches!(method, "POST" | "PUT" | "PATCH"),
            program: Program::of(kind, host.as_deref(), session, connection, common)?,
            request: RequestHead::new(
                kind,
                host,
                &Wanted {
                    application: kind.application(),
                    method,
                    path: &request.path,
                    headers: &request.headers,
                    subprotocols: &request.subprotocols,
                },
                &|_| None,
            ),
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

    /// Adds a request to what is to be sent. Where the peer is to close, the last one says so.
    pub(super) fn write_request(&self, seq: u64, body: &[u8], context: &mut Context<'_>) {
        let fields = Fields { seq, conn: context.ordinal + 1, now_us: context.unix_micros() };
        let filling = Filling { fields, named: &NoNames };
        self.request.begin(&filling, context);
        self.end_request(seq, body, context.out);
    }

    /// Adds what follows upon the headers of a request.
    pub(super) fn end_request(&self, seq: u64, body: &[u8], out: &mut Vec<u8>) {
        if seq >= u64::from(self.requests) && self.closes == Close::Peer {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if self.has_length {
            // Writing to a Vec can't fail.
            let _ = write!(out, "Content-Length: {}\r\n", body.len());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }
}
