//! Messages that are sent by a plan, and their answers. Of one connection; no I/O.

use super::context::{Context, SessionError, Step, StepResult};
use super::search::find_from;
use crate::model::{Cause, Failure, Reply, Stage, Stamp};
use crate::plan::{Expect, Messages};
use crate::protocol::{Alphabet, Fields};
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that wait and are looked at for the one that is answered, at most: answers seldom overtake more.
const LOOKED_AT: usize = 64;
/// Messages that one call sends, at most: a plan that asks for more than can be done must not stop all else.
const BATCH: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MessageSchedule {
    sent: u64,
    next_at: Option<Stamp>,
    waiting: VecDeque<Waiting>,
    /// Messages that came since the last answer and answer nothing, and the first of them for a person.
    others: (u64, String),
    /// Bytes of memory of those that wait.
    held: usize,
    /// True if it is over when everything is said.
    exchange_only: bool,
    /// True if no more is to be sent.
    hushed: bool,
    /// Messages that were due when it was hushed, and counted as not sent.
    unsent: u64,
}

/// A message that waits for its answer.
#[derive(Debug)]
struct Waiting {
    due: Stamp,
    since: Stamp,
    /// The message itself, or the text that its answer holds.
    expected: Vec<u8>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Waiting>() + self.expected.capacity()
    }
}

impl MessageSchedule {
    /// The messages of a connection, if it is to send any.
    pub(super) fn begin(exchange_only: bool, context: &Context<'_>) -> Option<MessageSchedule> {
        let script = context.script;
        let messages = &script.messages;
        messages.send.as_ref()?;
        let sends = messages.senders.is_none_or(|senders| context.ordinal < senders);
        sends.then(|| MessageSchedule {
            next_at: Some(context.now),
            exchange_only,
            ..MessageSchedule::default()
        })
    }

    /// Sends what is due, each message through `write`, and looks for answers that are overdue.
    pub(super) fn tick(
        &mut self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&[u8], &mut Context<'_>),
    ) -> StepResult {
        if let Some(oldest) = self.waiting.front()
            && context.now >= oldest.since + context.script.messages.timeout
        {
            return Err(self.unanswered_in_time(context));
        }
        for _ in 0..BATCH {
            if self.next_at.is_none_or(|at| at > context.now) {
                break;
            }
            self.send(context, &mut write);
        }
        Ok(self.step(context))
    }

    fn send(&mut self, context: &mut Context<'_>, write: &mut impl FnMut(&[u8], &mut Context<'_>)) {
        let script = context.script;
        let messages = &script.messages;
        let Some(template) = &messages.send else { return };
        let due = self.next_at.unwrap_or(context.now);
        if messages.every.is_some() || !messages.think.is_zero() {
            context.tally.latencies.message_lateness.record(context.now.saturating_sub(due));
        }
        self.sent += 1;
        let fields = Fields { seq: self.sent, conn: context.ordinal + 1, now_us: context.unix_micros() };
        let alphabet = if messages.binary { Alphabet::Bytes } else { Alphabet::Letters };
        let mut message = Vec::new();
        template.render(fields, alphabet, context.rng.random(), &mut message);
        write(&message, context);
        context.tally.traffic.sent += 1;
        match &messages.expect {
            None => {}
            Some(Expect::Echo) => self.wait(due, context.now, message),
            Some(Expect::Any) => self.wait(due, context.now, Vec::new()),
            Some(Expect::Json { .. }) => {
                message.clear();
                if let Some(key) = &script.answer_key {
                    key.render(fields, Alphabet::Letters, context.rng.random(), &mut message);
                }
                self.wait(due, context.now, message);
            }
            Some(Expect::Contains(text)) => {
                message.clear();
                text.render(fields, Alphabet::Letters, context.rng.random(), &mut message);
                self.wait(due, context.now, message);
            }
        }
        let goes_on = messages.count.is_none_or(|count| self.sent < count);
        self.next_at = match (self.next_at, messages.every) {
            (Some(at), Some(every)) if goes_on => Some(at + every),
            _ => None,
        };
    }

    fn wait(&mut self, due: Stamp, since: Stamp, expected: Vec<u8>) {
        let waiting = Waiting { due, since, expected };
        self.held += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self, at: usize) -> Option<Waiting> {
        let answered = self.waiting.remove(at)?;
        self.held -= answered.bytes();
        Some(answered)
    }

    /// Answer that the oldest message waits for; `None`: nothing is waited for.
    pub(super) fn expected(&self) -> Option<&[u8]> {
        self.waiting.front().map(|waiting| &waiting.expected[..])
    }

    /// The answer to the oldest message has come, and is as it should be.
    pub(super) fn matched(&mut self, context: &mut Context<'_>) -> Step {
        self.answered(0, context)
    }

    /// The answer to one of those that wait has come.
    fn answered(&mut self, at: usize, context: &mut Context<'_>) -> Step {
        if self.others.0 > 0 {
            self.others = (0, String::new());
        }
        if let Some(answered) = self.pop(at) {
            context.answered(answered.since);
            if context.script.messages.every.is_some() {
                let from_due = context.now.saturating_sub(answered.due);
                context.tally.latencies.round_trip_from_due.record(from_due);
            }
            context.tally.traffic.matched += 1;
        }
        let script = context.script;
        let messages = &script.messages;
        let goes_on = messages.count.is_none_or(|count| self.sent < count);
        if messages.every.is_none() && goes_on && !self.hushed && self.next_at.is_none() {
            self.next_at = Some(context.now + messages.think);
        }
        self.step(context)
    }

    /// A message answers one of those that wait, in whatever order; `None`: it is another, and the wait goes on.
    pub(super) fn answer(&mut self, payload: &[u8], context: &mut Context<'_>) -> Option<Step> {
        let expect = context.script.messages.expect.as_ref();
        let fits = |waiting: &Waiting| expect.is_none_or(|expect| fits(expect, payload, &waiting.expected));
        let found = self.waiting.iter().take(LOOKED_AT).position(fits);
        if found.is_none() && !self.waiting.is_empty() {
            self.others.0 += 1;
            if self.others.0 == 1 {
                self.others.1 = shown(payload);
            }
        }
        found.map(|at| self.answered(at, context))
    }

    /// The trouble of a message whose time is over. Where as many others came as were sent at most, they are its answers,
    /// and not as they should be.
    fn unanswered_in_time(&mut self, context: &mut Context<'_>) -> SessionError {
        let (others, first) = std::mem::take(&mut self.others);
        if others > 0 && others <= self.waiting.len() as u64 {
            return self.mismatched(&first, context);
        }
        let number = self.sent - self.waiting.len() as u64 + 1;
        let besides = match others {
            0 => String::new(),
            _ => format!("; {others} messages came that are others, the first '{first}'"),
        };
        let reply = Reply::saying(format!("no answer to message {number}{besides}"));
        SessionError::because(Failure::new(Stage::Session, Cause::TimedOut), reply)
    }

    /// The trouble of an answer that is another.
    pub(super) fn mismatch(&mut self, payload: &[u8], context: &mut Context<'_>) -> SessionError {
        self.mismatched(&shown(payload), context)
    }

    fn mismatched(&mut self, found: &str, context: &mut Context<'_>) -> SessionError {
        context.tally.traffic.mismatches += 1;
        let wanted = match (&context.script.messages.expect, self.pop(0)) {
            (Some(Expect::Echo), Some(waiting)) => format!("'{}'", shown(&waiting.expected)),
            (Some(expect), _) => expect.to_string(),
            (None, _) => "nothing".to_owned(),
        };
        let says = format!("expected {wanted}, found '{found}'");
        SessionError::because(Failure::new(Stage::Session, Cause::UnexpectedReply), Reply::saying(says))
    }

    /// Messages that were due by `at` and have not been sent.
    pub(super) fn overdue(&self, at: Stamp, messages: &Messages) -> u64 {
        let left = messages.count.map_or(u64::MAX, |count| count.saturating_sub(self.sent));
        fallen_due(self.next_at, messages.every, at).min(left)
    }

    /// Sends no more; whether answers are still waited for.
    pub(super) fn stop_sending(&mut self, context: &mut Context<'_>) -> bool {
        let overdue = self.overdue(context.due_until(), &context.script.messages);
        context.tally.traffic.unsent_late += overdue;
        self.unsent += overdue;
        self.next_at = None;
        self.hushed = true;
        !self.waiting.is_empty()
    }

    /// Messages that were due and not sent, as far as they are counted.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Messages that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    fn step(&self, context: &Context<'_>) -> Step {
        if !self.waiting.is_empty() || self.next_at.is_some() {
            return Step::Continue;
        }
        let said = context.script.messages.count.is_some_and(|count| self.sent >= count);
        if said && self.exchange_only && !self.hushed { Step::Done } else { Step::Idle }
    }

    /// Bytes of memory of what is waited for.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Messages that wait for an answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// When a message, or the end of a wait, is due.
    pub(super) fn next_due(&self, timeout: Duration) -> Option<Stamp> {
        let overdue = self.waiting.front().map(|oldest| oldest.since + timeout);
        self.next_at.into_iter().chain(overdue).min()
    }
}

/// Messages that fall due from `next` on, one each time that `every` passes, up to `at`.
pub(super) fn fallen_due(next: Option<Stamp>, every: Option<Duration>, at: Stamp) -> u64 {
    let Some(passed) = next.and_then(|next| at.checked_sub(next)) else { return 0 };
    let more = every.filter(|every| !every.is_zero()).map_or(0, |every| passed.as_nanos() / every.as_nanos());
    u64::try_from(more).unwrap_or(u64::MAX).saturating_add(1)
}

/// True if bytes are in others.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    find_from(text, part, 0).is_some()
}

/// True if a JSON text has this value at a pointer. `key`: the value as a text, where it has placeholders; a number is then
/// as good as its text.
fn is_at(text: &[u8], pointer: &str, equals: &serde_json::Value, key: &[u8]) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    let Some(value) = document.as_ref().and_then(|document| document.pointer(pointer)) else { return false };
    match value {
        _ if key.is_empty() => value == equals,
        serde_json::Value::String(text) => text.as_bytes() == key,
        other => other.to_string().as_bytes() == key,
    }
}

/// True if `payload` is an answer as `expect` has it, to what `sent` was.
pub(super) fn fits(expect: &Expect, payload: &[u8], expected: &[u8]) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Echo => payload == expected,
        Expect::Contains(_) => contains(payload, expected),
        Expect::Json { pointer, equals } => is_at(payload, pointer, equals, expected),
    }
}

/// Bytes for a person, cut short.
pub(super) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 60;
    let cut = &bytes[..bytes.len().min(LONGEST)];
    let text = std::str::from_utf8(cut).map_or_else(|_| cut.escape_ascii().to_string(), str::to_owned);
    if bytes.len() > LONGEST { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}
