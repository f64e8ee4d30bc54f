//! Bytes without messages in them, over TCP or TLS: sent by a plan, and matched with what comes back.

use super::context::{Context, SessionError, Step, StepResult};
use super::last_words::LastWords;
use super::message_schedule::MessageSchedule;
use super::search::find_from;
use crate::model::{Cause, Failure, Stage, Stamp};
use crate::plan::{Expect, Messages};

/// Most bytes kept of what came and has not matched yet.
const MOST_KEPT: usize = 16 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stream {
    message_schedule: Option<MessageSchedule>,
    /// Bytes that have come and answer nothing as yet.
    held: Vec<u8>,
    /// Bytes of `held` that are known to hold no answer: they are not looked at again.
    seen: usize,
    /// The beginning of what came last.
    words: LastWords,
}

/// Number of the held bytes that the oldest answer takes.
enum Match {
    Taken(usize),
    NotYet,
    Other,
}

impl Stream {
    /// The connection stands: says what is to be said first.
    pub(super) fn begin(&mut self, exchange_only: bool, context: &mut Context<'_>) -> StepResult {
        self.message_schedule = MessageSchedule::begin(exchange_only, context);
        let nothing_to_say = self.message_schedule.is_none();
        let step = self.tick(context)?;
        Ok(if nothing_to_say && exchange_only { Step::Done } else { step })
    }

    /// The peer's bytes.
    pub(super) fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        self.words.keep(bytes);
        if self.message_schedule.is_none() {
            context.tally.traffic.received += 1;
            return Ok(Step::Continue);
        }
        self.held.extend_from_slice(bytes);
        let step = self.match_answers(context)?;
        match step {
            // The next message may be due at once.
            Step::Continue => self.tick(context),
            step => Ok(step),
        }
    }

    /// Takes answers off what is held, one by one, as long as messages wait for them.
    fn match_answers(&mut self, context: &mut Context<'_>) -> StepResult {
        let Some(message_schedule) = &mut self.message_schedule else { return Ok(Step::Continue) };
        let (mut at, mut step) = (0, Step::Continue);
        while let Some(expected) = message_schedule.expected() {
            let held = &self.held[at..];
            match answer(context.script.messages.expect.as_ref(), held, expected, &mut self.seen) {
                Match::Taken(length) => {
                    (at, self.seen) = (at + length, 0);
                    context.tally.traffic.received += 1;
                    step = message_schedule.matched(context);
                }
                Match::NotYet if held.len() <= MOST_KEPT => {
                    self.held.drain(..at);
                    return Ok(Step::Continue);
                }
                Match::NotYet | Match::Other => return Err(message_schedule.mismatch(held, context)),
            }
        }
        if at < self.held.len() {
            context.tally.traffic.pushes += 1;
        }
        (self.held, self.seen) = (Vec::new(), 0);
        Ok(step)
    }

    /// The trouble of a peer that closed before the plan said so, with its last words.
    pub(super) fn closed_early(&self) -> SessionError {
        self.last_words(Failure::new(Stage::Session, Cause::ClosedEarly))
    }

    /// A failure with what the peer said last.
    pub(super) fn last_words(&self, failure: Failure) -> SessionError {
        self.words.explain(failure)
    }

    /// Bytes of memory that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let waiting = self.message_schedule.as_ref().map_or(0, MessageSchedule::held);
        self.held.capacity() + self.words.held() + waiting
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        match &mut self.message_schedule {
            Some(message_schedule) => {
                let held = self.held.len();
                let write =
                    |message: &[u8], context: &mut Context<'_>| context.out.extend_from_slice(message);
                message_schedule.tick(context, write).map_err(|error| match held {
                    0 => error,
                    _ if error.failure.cause != Cause::TimedOut => error,
                    _ => error.stalled(&format!("stalled: {held} bytes came that are no whole answer")),
                })
            }
            None => Ok(Step::Idle),
        }
    }

    /// Says no more; whether answers are still waited for.
    pub(super) fn stop_sending(&mut self, context: &mut Context<'_>) -> bool {
        self.message_schedule.as_mut().is_some_and(|messages| messages.stop_sending(context))
    }

    /// Messages that were due by `at` and have not been sent.
    pub(super) fn overdue(&self, at: Stamp, messages: &Messages) -> u64 {
        self.message_schedule.as_ref().map_or(0, |schedule| schedule.overdue(at, messages))
    }

    /// Messages that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.message_schedule.as_ref().map_or(0, MessageSchedule::sent)
    }

    /// Messages that were due and not sent, as far as they are counted.
    pub(super) fn unsent(&self) -> u64 {
        self.message_schedule.as_ref().map_or(0, MessageSchedule::unsent)
    }

    /// Messages that wait for an answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.message_schedule.as_ref().map_or(0, MessageSchedule::unanswered)
    }

    /// When something is due.
    pub(super) fn next_due(&self, timeout: std::time::Duration) -> Option<Stamp> {
        self.message_schedule.as_ref()?.next_due(timeout)
    }
}

/// True if the oldest answer has come; bytes that were `seen` before are not compared again.
fn answer(expect: Option<&Expect>, held: &[u8], expected: &[u8], seen: &mut usize) -> Match {
    match expect {
        Some(Expect::Echo) => {
            let both = expected.len().min(held.len());
            if held[*seen..both] != expected[*seen..both] {
                return Match::Other;
            }
            *seen = both;
            if both == expected.len() { Match::Taken(both) } else { Match::NotYet }
        }
        Some(Expect::Contains(_)) => match find_from(held, expected, *seen) {
            Some(at) => Match::Taken(at + expected.len()),
            None => {
                *seen = held.len().saturating_sub(expected.len().saturating_sub(1));
                Match::NotYet
            }
        },
        // A line is an answer; what is no whole line is one as well, for there is no other sign of its end.
        // Bytes have no documents in them: the plan takes no JSON here.
        Some(Expect::Any | Expect::Json { .. }) | None => match held.iter().position(|byte| *byte == b'\n') {
            _ if held.is_empty() => Match::NotYet,
            end => Match::Taken(end.map_or(held.len(), |end| end + 1)),
        },
    }
}
