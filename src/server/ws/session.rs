//! A WebSocket from its handshake to its close.

use super::handshake;
use crate::protocol::Behaviour;
use crate::protocol::websocket::{Decoder, Message, Opcode, Sender, write, write_close};
use crate::server::counters::Ending;
use crate::server::dispatch::{DispatchContext, DispatchState, Flow, HIGH_WATER, Partial, Phase};

/// Code of a close that is as it should be (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// Takes what it can of `bytes`, and answers it.
pub(crate) fn take(
    dispatch: &mut DispatchState,
    bytes: &[u8],
    context: &mut DispatchContext<'_>,
) -> (usize, Flow) {
    let mut used = 0;
    while dispatch.phase == Phase::Handshake {
        let (taken, flow) = handshake::take(dispatch, &bytes[used..], context);
        used += taken;
        if flow != Flow::Continue || context.out.len() >= HIGH_WATER {
            return (used, flow);
        }
    }
    let mut decoder = match std::mem::take(&mut dispatch.partial) {
        Partial::Message(decoder) => decoder,
        _ => Decoder::default(),
    };
    let flow = loop {
        let message = match decoder.feed(&bytes[used..], Sender::Client) {
            Ok((taken, message)) => {
                used += taken;
                message
            }
            Err(violation) => {
                context.tally.violated();
                if dispatch.phase == Phase::Open {
                    write_close(context.out, Some(violation.close_code()), &violation.to_string(), None);
                }
                return (bytes.len(), Flow::Linger);
            }
        };
        let Some(message) = message else { break Flow::NeedMore };
        let flow = hear(dispatch, &message, context);
        if flow != Flow::Continue || context.out.len() >= HIGH_WATER {
            break flow;
        }
    };
    if !decoder.is_at_rest() {
        dispatch.partial = Partial::Message(decoder);
    }
    (used, flow)
}

/// Closes it from our side, for having served its time.
pub(crate) fn close(dispatch: &mut DispatchState, out: &mut Vec<u8>) {
    write_close(out, Some(NORMAL), "", None);
    dispatch.phase = Phase::Closing;
}

fn hear(dispatch: &mut DispatchState, message: &Message<'_>, context: &mut DispatchContext<'_>) -> Flow {
    let is_open = dispatch.phase == Phase::Open;
    match message.opcode {
        Opcode::Close if is_open => {
            // Its own code, or none. The server closes the connection first (section 7.1.1).
            write(context.out, Opcode::Close, message.payload.get(..2).unwrap_or_default(), None);
            Flow::Close(Ending::ByPeer)
        }
        Opcode::Close => Flow::Close(Ending::ByUs),
        Opcode::Ping => {
            context.tally.ping();
            if is_open {
                write(context.out, Opcode::Pong, &message.payload, None);
            }
            Flow::Continue
        }
        Opcode::Pong => Flow::Continue,
        // Nothing may follow our close frame.
        Opcode::Text | Opcode::Binary if !is_open => Flow::Continue,
        Opcode::Text | Opcode::Binary => hear_message(dispatch, message, context),
    }
}

fn hear_message(
    dispatch: &mut DispatchState,
    message: &Message<'_>,
    context: &mut DispatchContext<'_>,
) -> Flow {
    context.tally.message_in();
    dispatch.count += 1;
    if context.behaviour.echoes() {
        write(context.out, message.opcode, &message.payload, None);
        context.tally.message_out();
    }
    if *context.behaviour == Behaviour::Broadcast {
        let mut news = Vec::with_capacity(message.payload.len() + 10);
        write(&mut news, message.opcode, &message.payload, None);
        context.news.push(news.into());
    }
    if context.behaviour.is_done_after_messages(dispatch.count) {
        close(dispatch, context.out);
        return Flow::Farewell;
    }
    Flow::Continue
}
