//! A reply that is not the one that was wanted, and what of it tells why.

use super::context::SessionError;
use crate::model::{BODY_KEPT, Cause, Failure, Reply, Stage};
use crate::protocol::http1::{Body, Framing, HeadError, LONGEST_HEAD, ReplyHead};
use crate::protocol::sniff;

/// A reply with a status that was not wanted, whose body's beginning is still to come.
#[derive(Debug)]
pub struct Refusal {
    failure: Failure,
    reply: Reply,
    body: Body,
    /// What has come of a chunk's size and is not complete.
    input: Vec<u8>,
}

impl Refusal {
    /// The refusal that begins with this head.
    pub fn new(head: &ReplyHead<'_>, stage: Stage, of_head_request: bool) -> Refusal {
        let framing = head.framing(of_head_request).unwrap_or(Framing::UntilClose);
        Refusal {
            failure: Failure::with_code(stage, Cause::HttpStatus, head.status),
            reply: described(head),
            body: Body::new(framing, BODY_KEPT),
            input: Vec::new(),
        }
    }

    /// More of the body; the trouble, when enough has come.
    pub fn take(&mut self, bytes: &[u8]) -> Option<SessionError> {
        self.input.extend_from_slice(bytes);
        let fed = self.body.feed(&self.input);
        if let Ok(used) = fed {
            self.input.drain(..used);
        }
        let enough = self.body.is_complete() || self.body.kept.len() >= BODY_KEPT || fed.is_err();
        enough.then(|| self.trouble())
    }

    /// The trouble, with what has come.
    pub fn trouble(&self) -> SessionError {
        SessionError::because(self.failure, self.reply.clone().with_body(&self.body.kept))
    }
}

/// Whether a head can't have become complete, nor wrong, by these last bytes of `input`: it is then not parsed
/// again. A peer that sends it byte by byte would have it parsed for each.
pub fn can_wait(input: &[u8], last: &[u8]) -> bool {
    const BEGINNING: usize = 16;
    input.len() - last.len() >= BEGINNING && input.len() <= LONGEST_HEAD && !last.contains(&b'\n')
}

/// What a head tells.
pub fn described(head: &ReplyHead<'_>) -> Reply {
    let version = if head.version == 0 { "HTTP/1.0 " } else { "" };
    let reason: String = head.reason.chars().take(80).collect();
    Reply {
        status: Some(format!("{version}{} {reason}", head.status).trim_end().to_owned()),
        headers: head.telling(),
        ..Reply::default()
    }
}

/// Bytes that are not the head of a reply.
pub fn not_http(error: HeadError, bytes: &[u8]) -> SessionError {
    let protocol = sniff(bytes);
    let cause = match (error, protocol) {
        (HeadError::TooLong, _) => Cause::ReplyTooLong,
        (HeadError::NotHttp, Some("TLS")) => Cause::TlsOnPlainText,
        (HeadError::NotHttp, _) => Cause::NotHttp,
    };
    let mut reply = Reply::saying(error.to_string()).beginning_with(bytes);
    reply.protocol = protocol.map(str::to_owned);
    SessionError::because(Failure::new(Stage::Handshake, cause), reply)
}
