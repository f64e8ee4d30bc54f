//! Answers of a target to what it hears: bytes in, bytes out. No I/O, no clock.
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

/// Progress of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake is awaited. Anything but a WebSocket stays here.
    Handshake,
    Open,
    /// We have sent a close frame and await the peer's.
    Closing,
}

/// Beginning of a message or a request that is not complete.
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
pub(super) struct DispatchState {
    pub(super) phase: Phase,
    /// Bytes, requests or messages received: what the application deals in.
    pub(super) count: u64,
    pub(super) partial: Partial,
}

/// Surroundings of one call: the connection and its target.
#[derive(Debug)]
pub(super) struct DispatchContext<'w> {
    pub(super) application: Application,
    pub(super) behaviour: &'w Behaviour,
    pub(super) tally: &'w Tally,
    /// Where answers go.
    pub(super) out: &'w mut Vec<u8>,
    /// Where frames for all the others go.
    pub(super) news: &'w mut Vec<Arc<[u8]>>,
}

/// Continuation of a dispatch. What is in `out` is sent first.
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
        /// True if it is to end then.
        last: bool,
    },
    /// No further: FIN, and the peer's bytes are read so that no RST destroys ours on their way.
    Linger,
    /// No further: close at once.
    Close(Ending),
}

impl DispatchState {
    /// Takes what it can of `bytes`; returns how many those were. The rest is to come again.
    pub(super) fn take(&mut self, bytes: &[u8], context: &mut DispatchContext<'_>) -> (usize, Flow) {
        match context.behaviour {
            Behaviour::Raw(_) => (bytes.len(), Flow::NeedMore),
            Behaviour::Alert(_) | Behaviour::PlainTextReply if bytes.is_empty() => (0, Flow::NeedMore),
            Behaviour::Alert(number) => {
                context.out.extend(FATAL_ALERT);
                context.out.push(*number);
                spoil(bytes, context)
            }
            Behaviour::PlainTextReply => {
                http::Page::refusal(400).write(context.out);
                spoil(bytes, context)
            }
            _ => match context.application {
                Application::Stream => self.take_stream(bytes, context),
                Application::Http => http::take(self, bytes, context),
                Application::WebSocket => ws::take(self, bytes, context),
            },
        }
    }

    fn take_stream(&mut self, bytes: &[u8], context: &mut DispatchContext<'_>) -> (usize, Flow) {
        self.count += bytes.len() as u64;
        if context.behaviour.echoes() {
            context.out.extend_from_slice(bytes);
        }
        let is_done = context.behaviour.is_done_after_bytes(self.count);
        (bytes.len(), if is_done { Flow::Close(Ending::ByUs) } else { Flow::NeedMore })
    }
}

fn spoil(bytes: &[u8], context: &DispatchContext<'_>) -> (usize, Flow) {
    context.tally.rejected();
    (bytes.len(), Flow::Linger)
}
