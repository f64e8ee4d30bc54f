//! A connection's requests, one after another, and their answers.

use super::body::Body;
use super::reply::{self, Closing, Page};
use crate::protocol::http1::{BadRequest, HeadBuffer, LONGEST_REQUEST_HEAD, RequestHead};
use crate::protocol::{Behaviour, Reply};
use crate::server::dispatch::{DispatchContext, DispatchState, Flow, HIGH_WATER, Partial};
use std::borrow::Cow;

/// A request whose body is being read.
#[derive(Debug)]
pub(crate) struct Exchange {
    body: Body,
    head_only: bool,
    keeps_alive: bool,
}

impl Exchange {
    /// Bytes of memory that are held for the peer.
    pub(crate) fn held(&self) -> usize {
        self.body.held()
    }
}

/// Takes what it can of `bytes`, and answers it.
pub(crate) fn take(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    context: &mut DispatchContext<'_>,
) -> (usize, Flow) {
    let mut used = 0;
    loop {
        match step(dispatch, &bytes[used..], context) {
            Ok((taken, flow)) => {
                used += taken;
                if flow != Flow::Continue || context.out.len() >= HIGH_WATER {
                    return (used, flow);
                }
            }
            Err(BadRequest(status)) => {
                context.tally.violated();
                Page::refusal(status).write(context.out);
                return (bytes.len(), Flow::Linger);
            }
        }
    }
}

/// One head, or one body and its answer.
fn step(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    context: &mut DispatchContext<'_>,
) -> Result<(usize, Flow), BadRequest> {
    let Partial::Request(exchange) = &mut dispatch.partial else { return begin(dispatch, bytes, context) };
    let used = exchange.body.feed(bytes)?;
    if !exchange.body.is_complete() {
        return Ok((used, Flow::NeedMore));
    }
    if let Partial::Request(exchange) = std::mem::take(&mut dispatch.partial) {
        dispatch.count += 1;
        return Ok((used, answer(&exchange, dispatch.count, context)));
    }
    Ok((used, Flow::Continue))
}

fn begin(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    context: &mut DispatchContext<'_>,
) -> Result<(usize, Flow), BadRequest> {
    with_head(dispatch, bytes, |dispatch, head| {
        let body = Body::new(head.framing()?, context.behaviour.echoes())?;
        // A client that asks first (curl does, from 1 MiB on) would wait a second for the answer.
        if head.version == 1 && !body.is_complete() && head.headers.lists("expect", "100-continue") {
            context.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let (head_only, keeps_alive) = (head.method == "HEAD", head.keeps_alive());
        dispatch.partial = Partial::Request(Exchange { body, head_only, keeps_alive });
        Ok(Flow::Continue)
    })
}

/// Hands a head that `bytes` complete to `act`, or keeps what there is of it; returns how many of the bytes that
/// took.
pub(crate) fn with_head(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    act: impl FnOnce(&mut DispatchState, &RequestHead<'_>) -> Result<Flow, BadRequest>,
) -> Result<(usize, Flow), BadRequest> {
    let mut buffer = match std::mem::take(&mut dispatch.partial) {
        Partial::Head(buffer) => buffer,
        _ => HeadBuffer::default(),
    };
    let before = buffer.bytes().len();
    if before == 0
        && let Some(head) = RequestHead::parse(bytes)?
    {
        return Ok((head.size, act(dispatch, &head)?));
    }
    if buffer.push(bytes, LONGEST_REQUEST_HEAD)
        && let Some(head) = RequestHead::parse(buffer.bytes())?
    {
        return Ok((head.size - before, act(dispatch, &head)?));
    }
    if !buffer.is_empty() {
        dispatch.partial = Partial::Head(buffer);
    }
    Ok((bytes.len(), Flow::NeedMore))
}

fn answer(exchange: &Exchange, count: u64, context: &mut DispatchContext<'_>) -> Flow {
    context.tally.message_in();
    let (status, made, chunked) = match context.behaviour {
        Behaviour::CloseBeforeReply => return Flow::Linger,
        Behaviour::Http10 => {
            context.tally.message_out();
            reply::write_http10(context.out);
            return Flow::Linger;
        }
        Behaviour::Reply(told @ Reply { status, chunked, .. }) => {
            (*status, Some(reply::body(*told)), *chunked)
        }
        _ => (200, None, false),
    };
    let body = made.map_or(Cow::Borrowed(exchange.body.bytes()), Cow::Owned);
    let last = !exchange.keeps_alive || context.behaviour.is_done_after_messages(count);
    let closing = if last { Closing::Yes } else { Closing::No };
    Page { status, body, chunked, head_only: exchange.head_only, closing }.write(context.out);
    context.tally.message_out();
    match (context.behaviour, last) {
        (Behaviour::Slow(_), last) => Flow::Hold { last },
        (_, true) => Flow::Linger,
        (_, false) => Flow::Continue,
    }
}
