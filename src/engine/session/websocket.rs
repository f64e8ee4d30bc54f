//! An open WebSocket: messages sent and received, pings both ways, pushes. Parked it is a few words.

use super::context::{Context, SessionError, Step, StepResult};
use super::message_schedule::MessageSchedule;
use crate::model::{Cause, Failure, Reply, Stage, Stamp};
use crate::plan::Messages;
use crate::protocol::websocket::{self, CloseFrame, Decoder, Message, Opcode, Sender, write};

/// Stands for a close frame without a code (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    frames: Frames,
    /// Bytes that came with the handshake, until the WebSocket begins.
    early: Vec<u8>,
    active: Option<Box<Active>>,
    last_push: Option<Stamp>,
}

/// Handling of the peer's frames that every open WebSocket has: pings are answered, a close frame is answered and kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    decoder: Decoder,
    /// The peer's close frame.
    close: Option<Box<CloseFrame>>,
}

/// State of a WebSocket that says something itself.
#[derive(Debug, Default)]
struct Active {
    message_schedule: Option<MessageSchedule>,
    ping_at: Option<Stamp>,
    /// Our ping that waits for its pong.
    pinged: Option<Stamp>,
}

/// Writes a message to what is to be sent.
pub(super) fn say(opcode: Opcode, payload: &[u8], context: &mut Context<'_>) {
    let mask = context.mask();
    write(context.out, opcode, payload, Some(mask));
}

/// Writes a close frame to what is to be sent.
pub(super) fn write_close(code: Option<u16>, context: &mut Context<'_>) {
    let mask = context.mask();
    websocket::write_close(context.out, code, "", Some(mask));
}

impl WebSocket {
    /// One whose handshake is done; `early` came after it, and is heard when the WebSocket begins.
    pub(super) fn after_handshake(early: Vec<u8>) -> WebSocket {
        WebSocket { early, ..WebSocket::default() }
    }

    /// The WebSocket is open: says what is to be said first, and hears what came with the handshake.
    pub(super) fn begin(&mut self, exchange_only: bool, context: &mut Context<'_>) -> StepResult {
        let message_schedule = MessageSchedule::begin(exchange_only, context);
        let ping_at = context.script.messages.ping_every.map(|every| context.now + every);
        let nothing_to_say = message_schedule.is_none();
        if message_schedule.is_some() || ping_at.is_some() {
            self.active = Some(Box::new(Active { message_schedule, ping_at, pinged: None }));
        }
        let early = std::mem::take(&mut self.early);
        let heard = self.take(&early, false, context)?;
        if heard != Step::Continue && heard != Step::Idle {
            return Ok(heard);
        }
        let step = self.tick(context)?;
        Ok(if nothing_to_say && exchange_only { Step::Done } else { step })
    }

    /// The peer's bytes.
    pub(super) fn take(&mut self, bytes: &[u8], closing: bool, context: &mut Context<'_>) -> StepResult {
        let WebSocket { frames, active, last_push, .. } = self;
        frames.take(bytes, closing, context, |message, context| match message.opcode {
            Opcode::Pong => {
                if let Some(sent) = active.as_mut().and_then(|active| active.pinged.take()) {
                    context.tally.latencies.pong.record(context.now.saturating_sub(sent));
                    context.tally.traffic.pongs += 1;
                }
                Ok(Step::Continue)
            }
            _ => hear_data(&message.payload, active.as_deref_mut(), last_push, context),
        })
    }

    /// The peer's frames.
    pub(super) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let active = self.active.as_ref().and_then(|active| active.message_schedule.as_ref());
        self.frames.held() + self.early.capacity() + active.map_or(0, MessageSchedule::held)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        let Some(active) = &mut self.active else { return Ok(Step::Idle) };
        let overdue = active.pinged.is_some_and(|sent| context.now >= sent + context.script.messages.timeout);
        if overdue {
            let failure = Failure::new(Stage::Session, Cause::TimedOut);
            return Err(SessionError::because(failure, Reply::saying("no pong to a ping")));
        }
        if let (Some(at), Some(every)) = (active.ping_at, context.script.messages.ping_every)
            && at <= context.now
        {
            active.ping_at = Some(at + every);
            // One at a time: the pong of another could not be told apart from it.
            if active.pinged.is_none() {
                active.pinged = Some(context.now);
                context.tally.traffic.pings += 1;
                say(Opcode::Ping, b"connstorm", context);
            }
        }
        let Some(message_schedule) = &mut active.message_schedule else { return Ok(Step::Idle) };
        let opcode = if context.script.messages.binary { Opcode::Binary } else { Opcode::Text };
        let began = self.frames.held();
        message_schedule.tick(context, |message, context| say(opcode, message, context)).map_err(|error| {
            if began == 0 || error.failure.cause != Cause::TimedOut {
                return error;
            }
            error.stalled("a message of the peer began and did not end in time")
        })
    }

    /// Says no more; whether answers are still waited for.
    pub(super) fn stop_sending(&mut self, context: &mut Context<'_>) -> bool {
        let Some(active) = &mut self.active else { return false };
        active.ping_at = None;
        active.pinged = None;
        active.message_schedule.as_mut().is_some_and(|messages| messages.stop_sending(context))
    }

    /// Messages that were due by `at` and have not been sent.
    pub(super) fn overdue(&self, at: Stamp, messages: &Messages) -> u64 {
        let schedule = self.active.as_ref().and_then(|active| active.message_schedule.as_ref());
        schedule.map_or(0, |schedule| schedule.overdue(at, messages))
    }

    /// Messages that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.active
            .as_ref()
            .and_then(|active| active.message_schedule.as_ref())
            .map_or(0, MessageSchedule::sent)
    }

    /// Messages that were due and not sent, as far as they are counted.
    pub(super) fn unsent(&self) -> u64 {
        let schedule = self.active.as_ref().and_then(|active| active.message_schedule.as_ref());
        schedule.map_or(0, MessageSchedule::unsent)
    }

    /// Messages that wait for an answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.active
            .as_ref()
            .and_then(|active| active.message_schedule.as_ref())
            .map_or(0, MessageSchedule::unanswered)
    }

    /// When something is due; `timeout` is part of it.
    pub(super) fn next_due(&self, timeout: std::time::Duration) -> Option<Stamp> {
        let active = self.active.as_ref()?;
        let pong_by = active.pinged.map(|sent| sent + timeout);
        let said =
            active.message_schedule.as_ref().and_then(|message_schedule| message_schedule.next_due(timeout));
        [active.ping_at, pong_by, said].into_iter().flatten().min()
    }
}

impl Frames {
    /// The peer's bytes. Messages and pongs go to `hear`; nothing that is said after our goodbye does.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        closing: bool,
        context: &mut Context<'_>,
        mut hear: impl FnMut(&Message<'_>, &mut Context<'_>) -> StepResult,
    ) -> StepResult {
        let mut decoder = std::mem::take(&mut self.decoder);
        let (mut rest, mut step) = (bytes, Step::Continue);
        // Nothing that follows a close frame counts.
        while step == Step::Continue || step == Step::Idle {
            match decoder.feed(rest, Sender::Server) {
                Ok((_, None)) => break,
                Ok((used, Some(message))) => {
                    rest = &rest[used..];
                    step = match message.opcode {
                        Opcode::Ping | Opcode::Close => self.control(&message, closing, context),
                        // What was on its way when we said goodbye.
                        Opcode::Text | Opcode::Binary if closing => Step::Continue,
                        Opcode::Text | Opcode::Binary | Opcode::Pong => hear(&message, context)?,
                    };
                }
                Err(violation) => {
                    write_close(Some(violation.close_code()), context);
                    let reply = Reply::saying(violation.to_string()).beginning_with(rest);
                    let failure = Failure::new(Stage::Session, Cause::ProtocolViolation);
                    return Err(SessionError::because(failure, reply));
                }
            }
        }
        self.decoder = decoder;
        Ok(step)
    }

    fn control(&mut self, message: &Message<'_>, closing: bool, context: &mut Context<'_>) -> Step {
        if message.opcode == Opcode::Ping {
            context.tally.traffic.peer_pings += 1;
            if !closing {
                say(Opcode::Pong, &message.payload, context);
            }
            return Step::Continue;
        }
        let close = message.close_frame();
        if !closing {
            context.tally.closes.add(close.code.unwrap_or(NO_CODE), &close.reason);
            write_close(close.code, context);
        }
        self.close = Some(Box::new(close));
        Step::PeerCloses
    }

    /// The trouble of a close frame of the peer that the plan did not ask for, at this stage.
    pub(super) fn closed_by_peer(&self, stage: Stage) -> SessionError {
        let Some(close) = &self.close else { return Failure::new(stage, Cause::ClosedEarly).into() };
        let failure = match close.code {
            None => Failure::new(stage, Cause::ClosedEarly),
            Some(code) => Failure::with_code(stage, Cause::ClosedEarly, code),
        };
        let says = match close.reason.as_str() {
            "" => "the peer sent a close frame without a reason".to_owned(),
            reason => format!("the peer sent a close frame: '{reason}'"),
        };
        let close_reason = (!close.reason.is_empty()).then(|| close.reason.clone());
        SessionError::because(failure, Reply { close_reason, ..Reply::saying(says) })
    }

    /// Code of the peer's close frame, 1005 where it has none; `None`: there was no close frame.
    pub(super) fn code_of_peer(&self) -> Option<u16> {
        self.close.as_ref().map(|close| close.code.unwrap_or(1005))
    }

    /// True if the peer's close frame says that all is well: no code, 1000 or 1001 (RFC 6455, section 7.4.1).
    pub(super) fn was_closed_well(&self) -> bool {
        self.close.as_ref().is_some_and(|close| matches!(close.code, None | Some(1000 | 1001)))
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        self.decoder.held()
    }
}

/// A message that answers one of ours, or is a push.
fn hear_data(
    payload: &[u8],
    active: Option<&mut Active>,
    last_push: &mut Option<Stamp>,
    context: &mut Context<'_>,
) -> StepResult {
    context.tally.traffic.received += 1;
    let message_schedule = active.and_then(|active| active.message_schedule.as_mut());
    if let Some(message_schedule) = message_schedule
        && let Some(step) = message_schedule.answer(payload, context)
    {
        return Ok(step);
    }
    push(last_push, context);
    let script = context.script;
    let messages = &script.messages;
    let ours = messages.send.as_ref().filter(|_| messages.senders.is_some());
    let fields = ours.and_then(|template| template.read(payload));
    if let Some(fields) = fields {
        context.tally.fanout.received(fields.conn, fields.seq, context.now);
    }
    let sent_us = fields.map(|fields| fields.now_us).filter(|us| *us > 0).or_else(|| timestamp(payload));
    if let Some(sent_us) = sent_us {
        let passed = context.unix_micros().saturating_sub(sent_us);
        context.tally.latencies.one_way.record(std::time::Duration::from_micros(passed));
    }
    Ok(Step::Continue)
}

/// Counts a message that answers nothing.
pub(super) fn push(last: &mut Option<Stamp>, context: &mut Context<'_>) {
    context.tally.traffic.pushes += 1;
    if let Some(last) = last.replace(context.now) {
        context.tally.latencies.push_gap.record(context.now.saturating_sub(last));
    }
}

/// The time in a JSON text that has a field `now_us`, as the pushes of `connstorm serve ws` have.
fn timestamp(payload: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = b"\"now_us\":";
    let at = payload.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let digits = payload[at..].trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_a_message_is_found() {
        assert_eq!(timestamp(b"{\"seq\":1,\"now_us\":1700000000000000}"), Some(1_700_000_000_000_000));
        assert_eq!(timestamp(b"{\"now_us\": 12 }"), Some(12));
        for none in [&b"{\"now_us\":\"x\"}"[..], b"", b"\"now_us\":", b"\"now_us\":99999999999999999999999"] {
            assert_eq!(timestamp(none), None);
        }
    }
}
