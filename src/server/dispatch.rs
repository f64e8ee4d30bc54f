//! What a target says to what it hears: bytes in, bytes out. No I/O, no clock.
//!
//! Invariant: a dispatch stops at [`HIGH_WATER`] bytes of answers and goes on when they are sent, so that no
//! request makes more of itself in memory than that and one answer.

use super::counters::{Ending, Tally};
use super::{http, ws};
use crate::protocol::http1::HeadBuffer;
use crate::protocol::websocket::Decoder;
use crate::protocol::{Application, Behaviour};
use std::sync::Arc;

/// Bytes of answers after which they are sent before the next is made.
pub(super) const HIGH_WATER: usize = 64 * 1024;
/// TLS: fatal, in a record of two bytes (RFC 8446, sections 5.1 and 6).
const FATAL_ALERT: [u8; 6] = [21, 3, 3, 0, 2, 2];

/// How far a WebSocket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its handshake is awaited. Anything but a WebSocket stays here.
    Handshake,
    Open,
    /// We have sent a close frame and await the peer's.
    Closing,
}

/// What there is of a message or a request that is not complete.
#[derive(Debug, Default)]
pub(super) enum Partial {
    #[default]
    None,
    Head(HeadBuffer),
    Message(Decoder),
    Request(http::Exchange),
}

impl Partial {
    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        match self {
            Partial::None => 0,
            Partial::Head(head) => head.held(),
            Partial::Message(decoder) => decoder.held(),
            Partial::Request(exchange) => exchange.held(),
        }
    }
}

/// One side of a conversation.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) phase: Phase,
    /// Bytes, requests or messages received: what the application deals in.
    pub(super) count: u64,
    pub(super) partial: Partial,
}

/// What there is around a dispatch.
#[derive(Debug)]
pub(super) struct Stage<'w> {
    pub(super) application: Application,
    pub(super) behaviour: &'w Behaviour,
    pub(super) tally: &'w Tally,
    /// Where answers go.
    pub(super) out: &'w mut Vec<u8>,
    /// Where frames for all the others go.
    pub(super) news: &'w mut Vec<Arc<[u8]>>,
}

/// How a dispatch goes on. What is in `out` is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// When more has come.
    NeedMore,
    /// At once, with the rest of what came.
    Continue,
    /// At once, but for a bounded time only: the peer is to close.
    Farewell,
    /// When the behaviour's time has passed; what is in `out` waits for that too.
    Hold {
        /// Whether it is to end then.
        last: bool,
    },
    /// No further: FIN, and the peer's bytes are read so that no RST destroys ours on their way.
    Linger,
    /// No further: close at once.
    Close(Ending),
}

impl Talk {
    /// Takes what it can of `bytes`; returns how many those were. The rest is to come again.
    pub(super) fn take(&mut self, bytes: &[u8], stage: &mut Stage<'_>) -> (usize, Flow) {
        match stage.behaviour {
            Behaviour::Raw(_) => (bytes.len(), Flow::NeedMore),
            Behaviour::Alert(_) | Behaviour::PlainTextReply if bytes.is_empty() => (0, Flow::NeedMore),
            Behaviour::Alert(number) => {
                stage.out.extend(FATAL_ALERT);
                stage.out.push(*number);
                spoil(bytes, stage)
            }
            Behaviour::PlainTextReply => {
                http::Page::refusal(400).write(stage.out);
                spoil(bytes, stage)
            }
            _ => match stage.application {
                Application::Stream => self.take_stream(bytes, stage),
                Application::Http => http::take(self, bytes, stage),
                Application::WebSocket => ws::take(self, bytes, stage),
            },
        }
    }

    fn take_stream(&mut self, bytes: &[u8], stage: &mut Stage<'_>) -> (usize, Flow) {
        self.count += bytes.len() as u64;
        if stage.behaviour.echoes() {
            stage.out.extend_from_slice(bytes);
        }
        let is_done = stage.behaviour.is_done_after_bytes(self.count);
        (bytes.len(), if is_done { Flow::Close(Ending::ByUs) } else { Flow::NeedMore })
    }
}

fn spoil(bytes: &[u8], stage: &Stage<'_>) -> (usize, Flow) {
    stage.tally.rejected();
    (bytes.len(), Flow::Linger)
}
