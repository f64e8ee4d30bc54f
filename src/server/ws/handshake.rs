//! The opening handshake: the request judged, and answered properly or wrong in the chosen way.

use crate::protocol::Behaviour;
use crate::protocol::http1::{BadRequest, RequestHead};
use crate::server::dispatch::{DispatchContext, DispatchState, Flow, Phase};
use crate::server::http;
use crate::server::http::{Closing, Page};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Of the example in RFC 6455, section 1.2: no client's, or of one that has no random numbers.
const KEY_OF_ANOTHER: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

/// Takes a request off `bytes` when it is complete, and answers it.
pub(super) fn take(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    context: &mut DispatchContext<'_>,
) -> (usize, Flow) {
    let taken = http::with_head(dispatch, bytes, |dispatch, head| Ok(answer(dispatch, head, context)));
    taken.unwrap_or_else(|BadRequest(status)| {
        context.tally.violated();
        (bytes.len(), refuse(status, context))
    })
}

fn answer(dispatch: &mut DispatchState, head: &RequestHead<'_>, context: &mut DispatchContext<'_>) -> Flow {
    match context.behaviour {
        Behaviour::CloseBeforeReply => {
            context.tally.rejected();
            Flow::Linger
        }
        Behaviour::Http10 => {
            context.tally.rejected();
            http::write_http10(context.out);
            Flow::Linger
        }
        Behaviour::PlainHttp => page(head, context),
        Behaviour::Reject(status) => refuse(*status, context),
        behaviour => match key(head) {
            Ok(key) => {
                accept(key, head, context);
                dispatch.phase = Phase::Open;
                let slow = matches!(behaviour, Behaviour::Slow(_));
                if slow { Flow::Hold { last: false } } else { Flow::Continue }
            }
            Err(status) => refuse(status, context),
        },
    }
}

fn refuse(status: u16, context: &mut DispatchContext<'_>) -> Flow {
    context.tally.rejected();
    Page::refusal(status).write(context.out);
    Flow::Linger
}

/// A server that knows nothing of WebSocket, and keeps the connection.
fn page(head: &RequestHead<'_>, context: &mut DispatchContext<'_>) -> Flow {
    context.tally.rejected();
    let closing = if head.keeps_alive() { Closing::No } else { Closing::Yes };
    let body = b"<!doctype html><title>connstorm</title>\n"[..].into();
    let head_only = head.method == "HEAD";
    Page { status: 200, body, chunked: false, head_only, closing }.write(context.out);
    if closing == Closing::No { Flow::Continue } else { Flow::Linger }
}

/// The key of a request that is a handshake (RFC 6455, section 4.2.1), or the status to refuse it with.
fn key<'b>(head: &RequestHead<'b>) -> Result<&'b [u8], u16> {
    if head.method != "GET" {
        return Err(405);
    }
    let upgrades = head.headers.lists("upgrade", "websocket") && head.headers.lists("connection", "upgrade");
    let is_version = head.headers.values("sec-websocket-version").eq([b"13"]);
    if !upgrades || head.version == 0 || !is_version {
        return Err(426);
    }
    let mut keys = head.headers.values("sec-websocket-key");
    let is_key = |key: &&[u8]| BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    match (keys.next().filter(is_key), keys.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(400),
    }
}

/// Writes the 101. The first subprotocol offered is agreed to; extensions never are.
fn accept(key: &[u8], head: &RequestHead<'_>, context: &mut DispatchContext<'_>) {
    context.tally.handshake();
    let wrong = *context.behaviour == Behaviour::WrongAcceptKey;
    let accept = derive_accept_key(if wrong { KEY_OF_ANOTHER } else { key });
    let out = &mut *context.out;
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    let mut header = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    header("Sec-WebSocket-Accept: ", accept.as_bytes());
    let unrequested = *context.behaviour == Behaviour::UnrequestedSubprotocol;
    let offered = head.headers.list("sec-websocket-protocol").find(|offered| !offered.is_empty());
    let subprotocol = if unrequested { Some(&b"unrequested.connstorm"[..]) } else { offered };
    if let Some(subprotocol) = subprotocol {
        header("Sec-WebSocket-Protocol: ", subprotocol);
    }
    if *context.behaviour == Behaviour::UnrequestedExtension {
        header("Sec-WebSocket-Extensions: ", b"x-unrequested-connstorm");
    }
    context.out.extend_from_slice(b"\r\n");
}
