//! Line that a conversation speaks over: how far its connection has come.

use super::client::Client;
use super::exchange::Exchange;
use super::program::{Do, Request};
use crate::engine::session::context::Context;
use crate::engine::session::request::Filling;
use crate::engine::session::upgrade::Opening;
use crate::engine::session::websocket::Frames;
use crate::model::Stage;
use crate::protocol::Fields;
use std::io::Write;

/// See the module.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing was said over it.
    Fresh,
    /// A reply has come, and another request may follow.
    Idle,
    /// A reply has come, and nothing may follow.
    Spent,
    Http(Box<Exchange>),
    Opening(Box<Opening>),
    WebSocket(Frames),
    /// Bytes; those of a line that is not complete.
    Stream(Vec<u8>),
}

impl Line {
    /// True if a request can be made over it as it is.
    pub(super) fn takes(&self, request: &Request, act: &Do) -> bool {
        match (self, act) {
            (Line::Fresh, _) | (Line::Idle, Do::Http(_)) => true,
            (Line::Idle, Do::Open(_)) => request.reuses,
            _ => false,
        }
    }

    /// Writes a request.
    pub(super) fn request(
        &mut self,
        request: &Request,
        client: &Client,
        body: &[u8],
        context: &mut Context<'_>,
    ) {
        let Some(program) = &context.script.program else { return };
        let filling = Filling { fields: fields(client, context), named: &client.names(program) };
        request.head.begin(&filling, context);
        if request.has_length {
            // Writing to a Vec can't fail.
            let _ = write!(context.out, "Content-Length: {}\r\n", body.len());
        }
        context.out.extend_from_slice(b"\r\n");
        context.out.extend_from_slice(body);
        let stage = if matches!(self, Line::Fresh) { Stage::Handshake } else { Stage::Session };
        *self = Line::Http(Box::new(Exchange::begun(stage)));
    }

    /// Writes the handshake of a WebSocket.
    pub(super) fn open(&mut self, request: &Request, client: &Client, context: &mut Context<'_>) {
        let Some(program) = &context.script.program else { return };
        let filling = Filling { fields: fields(client, context), named: &client.names(program) };
        let mut opening = Opening::of(&request.head, &filling, context);
        opening.keeps_head = !request.takes.is_empty();
        *self = Line::Opening(Box::new(opening));
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        match self {
            Line::Fresh | Line::Idle | Line::Spent => 0,
            Line::Http(exchange) => exchange.held(),
            Line::Opening(opening) => opening.held(),
            Line::WebSocket(frames) => frames.held(),
            Line::Stream(bytes) => bytes.capacity(),
        }
    }
}

fn fields(client: &Client, context: &Context<'_>) -> Fields {
    Fields { seq: client.seq, conn: client.number, now_us: context.unix_micros() }
}
