//! Bytes without messages in them, over TCP or TLS: sent by a plan, and matched with what comes back.

use super::chatter::{Chatter, contains};
use super::desk::{Desk, Step, Stepped};
use crate::attempt::Stamp;
use crate::scenario::Expect;

/// What is kept of what came and has not matched yet, at most.
const MOST_KEPT: usize = 16 << 20;

/// See the module.
#[derive(Debug, Default)]
pub struct Stream {
    chatter: Option<Chatter>,
    /// What has come and answers nothing as yet.
    held: Vec<u8>,
}

impl Stream {
    /// It stands: says what is to be said first.
    pub fn begin(&mut self, exchange_only: bool, desk: &mut Desk<'_>) -> Stepped {
        self.chatter = Chatter::begin(exchange_only, desk);
        let nothing_to_say = self.chatter.is_none();
        let step = self.tick(desk)?;
        Ok(if nothing_to_say && exchange_only { Step::Done } else { step })
    }

    /// The peer's bytes.
    pub fn take(&mut self, bytes: &[u8], desk: &mut Desk<'_>) -> Stepped {
        let Some(chatter) = &mut self.chatter else {
            desk.tally.traffic.received += 1;
            return Ok(Step::Continue);
        };
        self.held.extend_from_slice(bytes);
        let mut step = Step::Continue;
        while let Some(expected) = chatter.expected() {
            let length = expected.len();
            let fits = match &desk.script.messages.expect {
                Some(Expect::Echo) => {
                    let both = length.min(self.held.len());
                    if self.held[..both] != expected[..both] {
                        return Err(chatter.mismatch(&self.held, desk));
                    }
                    both == length
                }
                Some(Expect::Contains(_)) => contains(&self.held, expected),
                _ => !self.held.is_empty(),
            };
            if !fits {
                if self.held.len() > MOST_KEPT {
                    return Err(chatter.mismatch(&self.held, desk));
                }
                return Ok(Step::Continue);
            }
            let is_echo = matches!(desk.script.messages.expect, Some(Expect::Echo));
            self.held.drain(..if is_echo { length } else { self.held.len() });
            desk.tally.traffic.received += 1;
            step = chatter.matched(desk);
        }
        if !self.held.is_empty() {
            desk.tally.traffic.pushes += 1;
        }
        self.held = Vec::new();
        match step {
            // The next message may be due at once.
            Step::Continue => self.tick(desk),
            step => Ok(step),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, desk: &mut Desk<'_>) -> Stepped {
        match &mut self.chatter {
            Some(chatter) => chatter.tick(desk, |message, desk| desk.out.extend_from_slice(message)),
            None => Ok(Step::Idle),
        }
    }

    /// Says no more; whether answers are still waited for.
    pub fn hush(&mut self) -> bool {
        self.chatter.as_mut().is_some_and(Chatter::hush)
    }

    /// Messages that wait for an answer.
    pub fn unanswered(&self) -> u64 {
        self.chatter.as_ref().map_or(0, Chatter::unanswered)
    }

    /// When something is due.
    pub fn next_due(&self, timeout: std::time::Duration) -> Option<Stamp> {
        self.chatter.as_ref()?.next_due(timeout)
    }
}
