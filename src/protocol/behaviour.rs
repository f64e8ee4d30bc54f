//! Behaviour of a target towards a connection: as it should be, or wrong in one chosen way.
//!
//! One enum for all kinds of target; [`Behaviour::suits`] says which kind can do what. Over TLS the
//! behaviours are those of what is spoken inside it, but for the two that spoil the handshake itself.

use super::{Application, Kind};
use std::fmt;
use std::time::Duration;

/// Behaviour of a target towards a connection.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Sends back what it receives: bytes, messages, or the bodies of requests.
    Echo,
    /// Receives, and never sends; closes when the peer has closed. A WebSocket is still opened, and its
    /// pings and its close are answered.
    Sink,
    /// Closes at once, before a byte is read: the server is the active closer and keeps TIME_WAIT. A
    /// peer whose bytes have already come gets RST, as from any close() that leaves bytes unread.
    Discard,
    /// Echoes, and closes when the peer has sent so many bytes and has got them back.
    CloseAfterBytes(u64),
    /// Echoes, and closes so long after it accepted the connection; a WebSocket with code 1000.
    CloseAfter(Duration),
    /// Echoes, and closes after so many messages (code 1000) or requests (`Connection: close`).
    CloseAfterMessages(u64),
    /// Sends RST right after accept(), by `SO_LINGER` 0.
    Reset,
    /// Accepts, never reads, never writes: a server that is stuck. Closes when the peer has.
    Silent,
    /// Listens, and never accepts: the accept queue fills up.
    FullBacklog,
    /// Accepts one connection in so long a time, over all workers, and echoes.
    SlowAccept {
        /// Time from one accept() to the next; zero is no limit.
        every: Duration,
    },
    /// Sends these bytes without being asked, as soon as the connection (with TLS: its handshake) stands,
    /// then reads and says nothing more: the banner of another protocol.
    Raw(Vec<u8>),
    /// Answers every request, or a WebSocket handshake, so long after it came; then echoes.
    Slow(Duration),
    /// Reads the request, and closes instead of answering it.
    CloseBeforeReply,
    /// Answers with 200 by HTTP/1.0, and closes.
    Http10,
    /// Answers every HTTP request so.
    Reply(Reply),
    /// Sends each WebSocket a text message every so often, with a number and the time; see the manual.
    Push {
        /// Time from one message to the next, counted from the handshake.
        every: Duration,
    },
    /// Sends each message of one WebSocket to all the others of the target.
    Broadcast,
    /// Refuses the WebSocket handshake with this status, 300 to 599.
    Reject(u16),
    /// Accepts the WebSocket handshake with the key of another request.
    WrongAcceptKey,
    /// Accepts the WebSocket handshake with a subprotocol that nobody asked for.
    UnrequestedSubprotocol,
    /// Accepts the WebSocket handshake with an extension that nobody asked for.
    UnrequestedExtension,
    /// Answers a WebSocket handshake with 200 and a page: a plain HTTP server.
    PlainHttp,
    /// Answers a TLS handshake with a fatal alert of this number (RFC 8446, section 6).
    Alert(u8),
    /// Answers a TLS handshake with `HTTP/1.1 400` in plain text.
    PlainTextReply,
}

/// Reply of an HTTP target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Reply {
    /// The status, 200 to 599.
    pub status: u16,
    /// Bytes in the body; `None`: the status and its reason as text. Nothing with 204 and 304.
    pub body: Option<u32>,
    /// True if the body is sent in chunks rather than with its length.
    pub chunked: bool,
}

impl Behaviour {
    /// True if connections are accepted at all.
    pub fn accepts(&self) -> bool {
        *self != Behaviour::FullBacklog
    }

    /// True if what was received is sent back.
    pub fn echoes(&self) -> bool {
        match self {
            Behaviour::Echo
            | Behaviour::CloseAfterBytes(_)
            | Behaviour::CloseAfter(_)
            | Behaviour::CloseAfterMessages(_)
            | Behaviour::SlowAccept { .. }
            | Behaviour::Slow(_)
            | Behaviour::WrongAcceptKey
            | Behaviour::UnrequestedSubprotocol
            | Behaviour::UnrequestedExtension => true,
            Behaviour::Sink
            | Behaviour::Discard
            | Behaviour::Reset
            | Behaviour::Silent
            | Behaviour::FullBacklog
            | Behaviour::Raw(_)
            | Behaviour::CloseBeforeReply
            | Behaviour::Http10
            | Behaviour::Reply(_)
            | Behaviour::Push { .. }
            | Behaviour::Broadcast
            | Behaviour::Reject(_)
            | Behaviour::PlainHttp
            | Behaviour::Alert(_)
            | Behaviour::PlainTextReply => false,
        }
    }

    /// True if a target of this kind can behave so.
    pub fn suits(&self, kind: Kind) -> bool {
        let application = kind.application();
        match self {
            Behaviour::Echo
            | Behaviour::Discard
            | Behaviour::CloseAfter(_)
            | Behaviour::Reset
            | Behaviour::Silent
            | Behaviour::FullBacklog
            | Behaviour::SlowAccept { .. }
            | Behaviour::Raw(_) => true,
            Behaviour::Sink => application != Application::Http,
            Behaviour::CloseAfterBytes(_) => application == Application::Stream,
            Behaviour::CloseAfterMessages(_)
            | Behaviour::Slow(_)
            | Behaviour::CloseBeforeReply
            | Behaviour::Http10 => application != Application::Stream,
            Behaviour::Reply(_) => application == Application::Http,
            Behaviour::Push { .. }
            | Behaviour::Broadcast
            | Behaviour::Reject(_)
            | Behaviour::WrongAcceptKey
            | Behaviour::UnrequestedSubprotocol
            | Behaviour::UnrequestedExtension
            | Behaviour::PlainHttp => application == Application::WebSocket,
            Behaviour::Alert(_) | Behaviour::PlainTextReply => kind.is_encrypted(),
        }
    }

    /// True if a connection that has received so many bytes is to be closed by us.
    pub fn is_done_after_bytes(&self, received: u64) -> bool {
        matches!(self, Behaviour::CloseAfterBytes(limit) if received >= *limit)
    }

    /// True if a connection that has received so many messages or requests is to be closed by us.
    pub fn is_done_after_messages(&self, received: u64) -> bool {
        matches!(self, Behaviour::CloseAfterMessages(limit) if received >= *limit)
    }
}

/// As it is written on the command line.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behaviour::Echo => f.write_str("echo"),
            Behaviour::Sink => f.write_str("sink"),
            Behaviour::Discard => f.write_str("discard"),
            Behaviour::CloseAfterBytes(bytes) => write!(f, "close-after({bytes}B)"),
            Behaviour::CloseAfter(time) => write!(f, "close-after({time:?})"),
            Behaviour::CloseAfterMessages(count) => write!(f, "close-after({count})"),
            Behaviour::Reset => f.write_str("reset"),
            Behaviour::Silent => f.write_str("silent"),
            Behaviour::FullBacklog => f.write_str("full-backlog"),
            Behaviour::SlowAccept { every } => write!(f, "slow-accept({}/s)", every.as_secs_f64().recip()),
            Behaviour::Raw(bytes) => write!(f, "raw({})", escaped(bytes)),
            Behaviour::Slow(time) => write!(f, "slow({time:?})"),
            Behaviour::CloseBeforeReply => f.write_str("close-before-reply"),
            Behaviour::Http10 => f.write_str("http-1.0"),
            Behaviour::Reply(reply) => write!(f, "reply({reply})"),
            Behaviour::Push { every } => write!(f, "push({every:?})"),
            Behaviour::Broadcast => f.write_str("broadcast"),
            Behaviour::Reject(status) => write!(f, "reject({status})"),
            Behaviour::WrongAcceptKey => f.write_str("wrong-accept-key"),
            Behaviour::UnrequestedSubprotocol => f.write_str("unrequested-subprotocol"),
            Behaviour::UnrequestedExtension => f.write_str("unrequested-extension"),
            Behaviour::PlainHttp => f.write_str("http"),
            Behaviour::Alert(number) => write!(f, "alert({number})"),
            Behaviour::PlainTextReply => f.write_str("plain-text-reply"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(bytes) = self.body {
            write!(f, ", {bytes}B")?;
        }
        f.write_str(if self.chunked { ", chunked" } else { "" })
    }
}

/// Bytes as the command line takes them; blanks too, which would be trimmed at the ends.
fn escaped(bytes: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'!'..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}
