//! A reply that is not the one that was wanted, and what of it tells why.

use super::context::SessionError;
use crate::model::{BODY_KEPT, Cause, Failure, Reply, Stage};
use crate::protocol::http1::{Body, Framing, HeadBuffer, HeadError, ReplyHead};
use crate::protocol::sniff;

/// Bytes of a body after which no more of it is waited for.
const ENOUGH: usize = 200;

/// A reply with a status that was not wanted, whose body's beginning is still to come.
#[derive(Debug)]
pub(super) struct Refusal {
    failure: Failure,
    reply: Reply,
    body: Body,
    /// Beginning of a chunk's size that is not complete.
    input: Vec<u8>,
}

/// A refusal that has come as a whole.
#[derive(Debug)]
pub(super) enum Whole {
    /// Nothing followed it: another request may be made.
    Refused(SessionError),
    /// The reply has no body, or something followed it.
    Spoilt(SessionError),
}

impl Refusal {
    /// The refusal that begins with this head.
    pub(super) fn new(head: &ReplyHead<'_>, stage: Stage, of_head_request: bool) -> Refusal {
        let framing = head.framing(of_head_request).unwrap_or(Framing::UntilClose);
        Refusal {
            failure: Failure::with_code(stage, Cause::HttpStatus, head.status),
            reply: described(head),
            body: Body::new(framing, BODY_KEPT),
            input: Vec::new(),
        }
    }

    /// More of the body; the trouble, when enough has come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<SessionError> {
        self.input.extend_from_slice(bytes);
        let fed = self.body.feed(&self.input);
        if let Ok(used) = fed {
            self.input.drain(..used);
        }
        let enough = self.body.is_complete() || self.body.kept.len() >= ENOUGH || fed.is_err();
        enough.then(|| self.trouble())
    }

    /// More of the body; what it comes to, when the whole has come.
    pub(super) fn take_whole(&mut self, bytes: &[u8]) -> Option<Whole> {
        self.input.extend_from_slice(bytes);
        let fed = self.body.feed(&self.input);
        if let Ok(used) = fed {
            self.input.drain(..used);
        }
        match fed {
            Err(_) => Some(Whole::Spoilt(self.trouble())),
            Ok(_) if !self.body.is_complete() => None,
            Ok(_) if self.input.is_empty() => Some(Whole::Refused(self.trouble())),
            Ok(_) => Some(Whole::Spoilt(self.trouble())),
        }
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        self.body.kept.capacity() + self.input.capacity()
    }

    /// The trouble, with what has come.
    pub(super) fn trouble(&self) -> SessionError {
        SessionError::because(self.failure, self.reply.clone().with_body(&self.body.kept))
    }
}

/// A reply that began and did not go on: so much of a head, or an interim reply (1xx) and nothing after it. `None`
/// where nothing at all has come.
pub(super) fn stalled_head(input: &HeadBuffer, interim: Option<u16>, stage: Stage) -> Option<SessionError> {
    let came = input.bytes();
    let says = match (came.len(), interim) {
        (0, None) => return None,
        (0, Some(status)) => format!("stalled after the interim reply {status}: no final reply followed"),
        (bytes, _) => format!("stalled after {bytes} bytes of the reply's head"),
    };
    let reply = Reply::saying(says).beginning_with(came);
    Some(SessionError::because(Failure::new(stage, Cause::Stalled), reply))
}

/// Reply as its head tells it.
pub(super) fn described(head: &ReplyHead<'_>) -> Reply {
    let version = if head.version == 0 { "HTTP/1.0 " } else { "" };
    let reason: String = head.reason.chars().take(80).collect();
    Reply {
        status: Some(format!("{version}{} {reason}", head.status).trim_end().to_owned()),
        headers: head.telling(),
        ..Reply::default()
    }
}

/// Bytes that are not the head of a reply.
pub(super) fn not_http(error: HeadError, bytes: &[u8]) -> SessionError {
    let protocol = sniff(bytes);
    let cause = match (error, protocol) {
        (HeadError::TooLong, _) => Cause::ReplyTooLong,
        (HeadError::NotHttp, Some("TLS")) => Cause::TlsOnPlainText,
        (HeadError::NotHttp | HeadError::Malformed, _) => Cause::NotHttp,
    };
    let mut reply = Reply::saying(error.to_string()).beginning_with(bytes);
    reply.protocol = protocol.map(str::to_owned);
    SessionError::because(Failure::new(Stage::Handshake, cause), reply)
}
