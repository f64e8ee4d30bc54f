//! Conversations with an end of their own (a number of messages, or of requests): whether one has come to it, or the
//! end of the run has cut it.

use super::{Context, Ending, Phase, Script, Session, SessionError, StepResult, Talk};
use crate::model::Stamp;
use std::time::Duration;

/// Factor by which the pace so far may be off before a conversation counts as one that can't end in time.
const PACE_MAY_DOUBLE: u32 = 2;

impl Session {
    /// Messages, or requests, of the conversation: how many were sent, and how many are to be.
    fn course(&self, script: &Script, ordinal: u64) -> Option<(u64, u64)> {
        let messages = &script.messages;
        let sends = messages.send.is_some() && messages.senders.is_none_or(|senders| ordinal < senders);
        let counted = || messages.count.filter(|_| sends);
        match &self.talk {
            Talk::WebSocket(socket) => Some((socket.sent(), counted()?)),
            Talk::Stream(stream) => Some((stream.sent(), counted()?)),
            Talk::Http(http) => Some((http.made(), u64::from(script.requests))),
            Talk::Opening(_) => Some((0, counted()?)),
            Talk::Steps(steps) => {
                let is_under_way = steps.goes_on() || steps.is_under_way(script.program.as_ref());
                is_under_way.then_some((0, 1))
            }
        }
    }

    /// Messages or requests that were sent and do not wait for an answer.
    pub(in crate::engine) fn answered(&self, script: &Script) -> u64 {
        let sent = match &self.talk {
            Talk::WebSocket(socket) => socket.sent(),
            Talk::Stream(stream) => stream.sent(),
            Talk::Http(http) => http.made(),
            // Steps have no one number of messages.
            Talk::Opening(_) | Talk::Steps(_) => 0,
        };
        sent.saturating_sub(self.unanswered(script))
    }

    /// True if something of the conversation is still to be sent.
    pub(super) fn has_more_to_say(&self, script: &Script, ordinal: u64) -> bool {
        self.course(script, ordinal).is_some_and(|(sent, all)| sent < all)
    }

    /// True if the conversation is to go on: something is to be sent, or answers are to come.
    pub(in crate::engine) fn is_unfinished(&self, script: &Script, ordinal: u64) -> bool {
        let waits = self.unanswered(script) > 0;
        self.phase != Phase::Closing && (waits || self.has_more_to_say(script, ordinal))
    }

    /// True if the end of the run has closed it in the midst of its conversation.
    pub(in crate::engine) fn was_cut_short(&self, script: &Script, ordinal: u64) -> bool {
        let goes_on = matches!(&self.talk, Talk::Steps(steps) if steps.goes_on());
        self.ending == Ending::AtOnce && (goes_on || self.is_unfinished(script, ordinal))
    }

    /// True if what is left of the conversation takes, at its pace so far, far longer than `drain`: a connection that
    /// is kept for a million requests has no use for a second more.
    pub(in crate::engine) fn is_beyond(
        &self,
        drain: Duration,
        now: Stamp,
        script: &Script,
        ordinal: u64,
    ) -> bool {
        let Some((sent, all)) = self.course(script, ordinal).filter(|(sent, _)| *sent > 0) else {
            return false;
        };
        let passed = now.saturating_sub(self.since).as_secs_f64();
        let rest = passed / sent as f64 * all.saturating_sub(sent) as f64;
        self.phase == Phase::Open && rest > (drain * PACE_MAY_DOUBLE).as_secs_f64()
    }

    /// The run is over for a conversation that can't end in time: it says no more, and ends with the answers that it
    /// waits for.
    pub(in crate::engine) fn cut_after_answers(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.ending == Ending::AtOnce {
            return Ok(super::Step::Continue);
        }
        self.ending = Ending::AtOnce;
        self.wind_down(context)
    }

    /// The failure of a session that came to its end all the same: a reply with a status that was not wanted, after
    /// which the connection could be used.
    pub(in crate::engine) fn take_refusal(&mut self) -> Option<SessionError> {
        match &mut self.talk {
            Talk::Http(http) => http.take_refusal(),
            _ => None,
        }
    }

    /// Messages that are not sent any more by a session that ends at `at` in the midst of its conversation.
    pub(in crate::engine) fn unsent(&self, script: &Script, ordinal: u64, at: Stamp) -> Unsent {
        let messages = &script.messages;
        let (overdue, counted, is_waiting) = match &self.talk {
            Talk::WebSocket(socket) => (socket.overdue(at, messages), socket.unsent(), false),
            Talk::Stream(stream) => (stream.overdue(at, messages), stream.unsent(), false),
            Talk::Http(http) => (http.overdue(at, script), http.unsent(), http.is_busy()),
            Talk::Opening(_) => (0, 0, false),
            // How many messages its steps would have sent is not known.
            Talk::Steps(_) => return Unsent::default(),
        };
        let left = self.course(script, ordinal).map_or(0, |(sent, all)| all.saturating_sub(sent));
        let rest = left.saturating_sub(overdue).saturating_sub(counted);
        if is_waiting {
            Unsent { waiting: overdue, late: 0, rest }
        } else {
            Unsent { late: overdue, waiting: 0, rest }
        }
    }
}

/// Messages, or requests, that are not sent any more, those left out that are counted already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::engine) struct Unsent {
    /// Due, and the worker had not come to them.
    pub late: u64,
    /// Due, and the connection waited for an earlier reply.
    pub waiting: u64,
    /// Messages that were to follow in a conversation with an end.
    pub rest: u64,
}
