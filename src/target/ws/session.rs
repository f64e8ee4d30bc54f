//! A WebSocket from its handshake to its close.

use super::frame::{self, Decoder};
use super::handshake;
use crate::protocol::Behaviour;
use crate::protocol::websocket::{Message, Opcode};
use crate::target::counters::Ending;
use crate::target::talk::{Flow, HIGH_WATER, Partial, Phase, Stage, Talk};

/// Code of a close that is as it should be (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// Takes what it can of `bytes`, and answers it.
pub(crate) fn take(talk: &mut Talk, bytes: &[u8], stage: &mut Stage<'_>) -> (usize, Flow) {
    let mut used = 0;
    while talk.phase == Phase::Handshake {
        let (taken, flow) = handshake::take(talk, &bytes[used..], stage);
        used += taken;
        if flow != Flow::Continue || stage.out.len() >= HIGH_WATER {
            return (used, flow);
        }
    }
    let mut decoder = match std::mem::take(&mut talk.partial) {
        Partial::Message(decoder) => decoder,
        _ => Decoder::default(),
    };
    let flow = loop {
        let message = match decoder.feed(&bytes[used..]) {
            Ok((taken, message)) => {
                used += taken;
                message
            }
            Err(violation) => {
                stage.tally.violated();
                if talk.phase == Phase::Open {
                    frame::write_close(stage.out, violation.close_code(), &violation.to_string());
                }
                return (bytes.len(), Flow::Linger);
            }
        };
        let Some(message) = message else { break Flow::NeedMore };
        let flow = hear(talk, &message, stage);
        if flow != Flow::Continue || stage.out.len() >= HIGH_WATER {
            break flow;
        }
    };
    if !decoder.is_at_rest() {
        talk.partial = Partial::Message(decoder);
    }
    (used, flow)
}

/// Closes it from our side, for having served its time.
pub(crate) fn close(talk: &mut Talk, out: &mut Vec<u8>) {
    frame::write_close(out, NORMAL, "");
    talk.phase = Phase::Closing;
}

fn hear(talk: &mut Talk, message: &Message<'_>, stage: &mut Stage<'_>) -> Flow {
    let is_open = talk.phase == Phase::Open;
    match message.opcode {
        Opcode::Close if is_open => {
            // Its own code, or none. The server closes the connection first (section 7.1.1).
            frame::write(stage.out, Opcode::Close, message.payload.get(..2).unwrap_or_default());
            Flow::Close(Ending::ByPeer)
        }
        Opcode::Close => Flow::Close(Ending::ByUs),
        Opcode::Ping => {
            stage.tally.ping();
            if is_open {
                frame::write(stage.out, Opcode::Pong, &message.payload);
            }
            Flow::Continue
        }
        Opcode::Pong => Flow::Continue,
        // Nothing may follow our close frame.
        Opcode::Text | Opcode::Binary if !is_open => Flow::Continue,
        Opcode::Text | Opcode::Binary => hear_message(talk, message, stage),
    }
}

fn hear_message(talk: &mut Talk, message: &Message<'_>, stage: &mut Stage<'_>) -> Flow {
    stage.tally.message_in();
    talk.count += 1;
    if stage.behaviour.echoes() {
        frame::write(stage.out, message.opcode, &message.payload);
        stage.tally.message_out();
    }
    if *stage.behaviour == Behaviour::Broadcast {
        let mut news = Vec::with_capacity(message.payload.len() + 10);
        frame::write(&mut news, message.opcode, &message.payload);
        stage.news.push(news.into());
    }
    if stage.behaviour.is_done_after_messages(talk.count) {
        close(talk, stage.out);
        return Flow::Farewell;
    }
    Flow::Continue
}
