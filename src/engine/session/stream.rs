//! Bytes without messages in them, over TCP or TLS: sent by a plan, and matched with what comes back.

use super::context::{Context, Step, StepResult};
use super::message_schedule::{MessageSchedule, contains};
use crate::model::Stamp;
use crate::plan::Expect;

/// What is kept of what came and has not matched yet, at most.
const MOST_KEPT: usize = 16 << 20;

/// See the module.
#[derive(Debug, Default)]
pub struct Stream {
    message_schedule: Option<MessageSchedule>,
    /// What has come and answers nothing as yet.
    held: Vec<u8>,
}

impl Stream {
    /// It stands: says what is to be said first.
    pub fn begin(&mut self, exchange_only: bool, context: &mut Context<'_>) -> StepResult {
        self.message_schedule = MessageSchedule::begin(exchange_only, context);
        let nothing_to_say = self.message_schedule.is_none();
        let step = self.tick(context)?;
        Ok(if nothing_to_say && exchange_only { Step::Done } else { step })
    }

    /// The peer's bytes.
    pub fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        let Some(message_schedule) = &mut self.message_schedule else {
            context.tally.traffic.received += 1;
            return Ok(Step::Continue);
        };
        self.held.extend_from_slice(bytes);
        let mut step = Step::Continue;
        while let Some(expected) = message_schedule.expected() {
            let length = expected.len();
            let fits = match &context.script.messages.expect {
                Some(Expect::Echo) => {
                    let both = length.min(self.held.len());
                    if self.held[..both] != expected[..both] {
                        return Err(message_schedule.mismatch(&self.held, context));
                    }
                    both == length
                }
                Some(Expect::Contains(_)) => contains(&self.held, expected),
                _ => !self.held.is_empty(),
            };
            if !fits {
                if self.held.len() > MOST_KEPT {
                    return Err(message_schedule.mismatch(&self.held, context));
                }
                return Ok(Step::Continue);
            }
            let is_echo = matches!(context.script.messages.expect, Some(Expect::Echo));
            self.held.drain(..if is_echo { length } else { self.held.len() });
            context.tally.traffic.received += 1;
            step = message_schedule.matched(context);
        }
        if !self.held.is_empty() {
            context.tally.traffic.pushes += 1;
        }
        self.held = Vec::new();
        match step {
            // The next message may be due at once.
            Step::Continue => self.tick(context),
            step => Ok(step),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        match &mut self.message_schedule {
            Some(message_schedule) => {
                message_schedule.tick(context, |message, context| context.out.extend_from_slice(message))
            }
            None => Ok(Step::Idle),
        }
    }

    /// Says no more; whether answers are still waited for.
    pub fn stop_sending(&mut self) -> bool {
        self.message_schedule.as_mut().is_some_and(MessageSchedule::stop_sending)
    }

    /// Messages that wait for an answer.
    pub fn unanswered(&self) -> u64 {
        self.message_schedule.as_ref().map_or(0, MessageSchedule::unanswered)
    }

    /// When something is due.
    pub fn next_due(&self, timeout: std::time::Duration) -> Option<Stamp> {
        self.message_schedule.as_ref()?.next_due(timeout)
    }
}
