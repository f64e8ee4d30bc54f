//! Session over a connection once it stands: the part of the plan above TCP.
//!
//! Invariant, as for the whole plan: what exists can be run. [`syntax`] says how values are written, and
//! [`resolve`] holds the whole against the scheme.

mod resolve;
pub mod steps;
pub(super) mod syntax;

pub(super) use resolve::{lifetime_of_messages, longest_speech, resolve, sends_until_the_end};

use crate::protocol::{Application, Kind, Template};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Everything above TCP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Session {
    /// The HTTP request, that of a WebSocket's handshake too.
    pub request: Request,
    /// TLS, where the scheme has it.
    pub tls: Tls,
    /// Messages, requests or bytes.
    pub messages: Messages,
    /// Reconnection when a connection is lost or can't be had; `None`: none.
    pub reconnect: Option<Reconnect>,
    /// Steps of a conversation, in the place of messages and requests; empty: there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<steps::Step>,
    /// Time that conversations under way are given after the end of the run, as it is written; `None`: what
    /// [`Session::drain`] computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
}

/// Longest time that conversations under way are given after the end of a run that does not say how long.
const LONGEST_DRAIN: Duration = Duration::from_secs(30);

impl Session {
    /// Time that conversations under way are given after the end of the run: where the plan does not say, all pauses of
    /// one of them and the longest wait for a reply, 30 s at most. `None` where no conversation has an end to come to.
    pub fn drain(&self, kind: Kind) -> Option<Duration> {
        let messages = &self.messages;
        if !self.steps.is_empty() {
            let once = steps::time_of_each_once(&self.steps, messages.timeout);
            return Some(self.drain.unwrap_or(once.min(LONGEST_DRAIN)));
        }
        let steps = match kind.application() {
            Application::Http => Some(u64::from(self.request.requests)).filter(|requests| *requests > 1),
            Application::Stream | Application::WebSocket => {
                messages.count.filter(|_| messages.send.is_some())
            }
        }?;
        let pauses = u32::try_from(steps.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = messages.every.unwrap_or(messages.think);
        let one = pause.saturating_mul(pauses).saturating_add(messages.timeout);
        Some(self.drain.unwrap_or(one.min(LONGEST_DRAIN)))
    }
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Method; `None`: GET, or POST where there is something to send.
    pub method: Option<String>,
    /// Headers in their order, beside those that the protocol itself needs.
    pub headers: Vec<Header>,
    /// Subprotocols offered in a WebSocket's handshake.
    pub subprotocols: Vec<String>,
    /// Requests on one connection.
    pub requests: u32,
    /// Statuses that are as they should be.
    pub statuses: Statuses,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            path: "/".to_owned(),
            method: None,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            requests: 1,
            statuses: Statuses::default(),
        }
    }
}

/// One header of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// `Name: value`.
impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Header, String> {
        (syntax::HEADER.parse)(text).map_err(|fault| fault.told())
    }
}

/// Statuses that are as they should be: ranges, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Statuses(pub Vec<(u16, u16)>);

impl Statuses {
    /// True if a status is one of them.
    pub fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

/// Success and redirection.
impl Default for Statuses {
    fn default() -> Statuses {
        Statuses(vec![(200, 399)])
    }
}

/// TLS, as a client speaks it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Tls {
    /// Certificates that are trusted, as PEM, in a file; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Certificates that are trusted besides, as PEM: that of the run's own target.
    pub ca_pem: Option<String>,
    /// Our own certificate, as PEM, in a file.
    pub cert: Option<PathBuf>,
    /// Key of the certificate, as PEM, in a file.
    pub key: Option<PathBuf>,
    /// True if any certificate is accepted, without a look at it.
    pub insecure: bool,
    /// The name asked for (SNI) and verified; `None`: the target's host.
    pub server_name: Option<String>,
    /// Protocols offered by ALPN; empty: `http/1.1` for http and ws, none for tls.
    pub alpn: Vec<String>,
    /// The one version that is spoken; `None`: 1.2 and 1.3.
    pub version: Option<TlsVersion>,
    /// True if sessions are resumed. It flatters: a resumed handshake costs a fraction of a full one.
    pub resumption: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TlsVersion {
    /// 1.2
    #[serde(rename = "1.2")]
    V12,
    /// 1.3
    #[serde(rename = "1.3")]
    V13,
}

/// Messages of a WebSocket, requests over HTTP, or bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Messages {
    /// Message that is sent; over HTTP the body of the request. `None`: nothing.
    pub send: Option<Template>,
    /// True if it is sent as binary, and its random bytes are any bytes.
    pub binary: bool,
    /// Time from one message to the next, whether or not the last was answered.
    pub every: Option<Duration>,
    /// Time from an answer to the next message.
    pub think: Duration,
    /// Messages on one connection; `None`: as many as its lifetime holds.
    pub count: Option<u64>,
    /// Answer to a message; `None`: none is expected.
    pub expect: Option<Expect>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Time from one of our pings to the next; `None`: we send none.
    pub ping_every: Option<Duration>,
    /// Code of our close frame.
    pub close_code: u16,
    /// Codes with which the peer may close; empty: none, 1000 and 1001 where it is to close, and none else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect_close: Vec<u16>,
    /// Way in which steps find messages in a stream of bytes.
    #[serde(skip_serializing_if = "Framing::is_line")]
    pub framing: Framing,
    /// Number of connections that send, the first of the run; `None`: all. The others listen, and the spread
    /// of each message's arrivals is measured.
    pub senders: Option<u64>,
}

impl Default for Messages {
    fn default() -> Messages {
        Messages {
            send: None,
            binary: false,
            every: None,
            think: Duration::ZERO,
            count: None,
            expect: None,
            timeout: Duration::from_secs(5),
            ping_every: None,
            close_code: 1000,
            expect_close: Vec::new(),
            framing: Framing::Line,
            senders: None,
        }
    }
}

/// Way in which messages are found in a stream of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Each line is a message, without its end.
    #[default]
    Line,
    /// The length of a message stands before it, in one byte.
    Length1,
    /// In two bytes, the higher first.
    Length2,
    /// In four bytes, the highest first.
    Length4,
    /// There are none: what a step waits for is taken off the stream, and the rest stays.
    None,
}

impl Framing {
    /// Bytes of the length before a message; `None` where there is no length.
    pub fn length_bytes(self) -> Option<usize> {
        match self {
            Framing::Length1 => Some(1),
            Framing::Length2 => Some(2),
            Framing::Length4 => Some(4),
            Framing::Line | Framing::None => None,
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    fn is_line(&self) -> bool {
        *self == Framing::Line
    }
}

/// Answer to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The same message.
    Echo,
    /// Any message.
    Any,
    /// A message that holds this text, whose placeholders are those of the message answered.
    Contains(Template),
    /// A JSON document with this value at a pointer (RFC 6901).
    Json {
        /// Where.
        pointer: String,
        /// Value at the pointer.
        equals: serde_json::Value,
    },
}

impl Expect {
    /// The value in a JSON answer, where it has placeholders: those of the message that is answered.
    pub fn answer_key(&self) -> Option<Template> {
        let Expect::Json { equals: serde_json::Value::String(text), .. } = self else { return None };
        Template::parse(text).ok().filter(|template| template.fixed().is_none())
    }
}

/// As it is written.
impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Echo => f.write_str("echo"),
            Expect::Any => f.write_str("any"),
            Expect::Contains(text) => write!(f, "contains({text})"),
            Expect::Json { pointer, equals } => write!(f, "json({pointer} == {equals})"),
        }
    }
}

/// Reconnection when a connection is lost, or can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Reconnect {
    /// The first wait.
    pub backoff: Duration,
    /// The longest: it doubles up to this.
    pub max: Duration,
    /// Spread of each wait: 0.5 is from 50 % to 150 %.
    pub jitter: f64,
    /// Failures in a row after which it is given up; `None`: never.
    pub attempts: Option<u64>,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            backoff: Duration::from_millis(100),
            max: Duration::from_secs(10),
            jitter: 0.5,
            attempts: None,
        }
    }
}
