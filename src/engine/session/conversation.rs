//! Counted conversations: whether one has come to its end, or the end of the run has cut it.

use super::{Ending, Phase, Script, Session, Talk};

impl Session {
    /// Whether messages of a counted conversation are still to be sent.
    pub(super) fn has_more_to_say(&self, script: &Script, ordinal: u64) -> bool {
        let messages = &script.messages;
        let sends = messages.send.is_some() && messages.senders.is_none_or(|senders| ordinal < senders);
        let sent = match &self.talk {
            Talk::WebSocket(socket) => socket.sent(),
            Talk::Stream(stream) => stream.sent(),
            Talk::Opening(_) => 0,
            Talk::Http(_) => return false,
        };
        sends && messages.count.is_some_and(|count| sent < count)
    }

    /// Messages or requests that were sent and do not wait for an answer.
    pub(in crate::engine) fn answered(&self) -> u64 {
        let sent = match &self.talk {
            Talk::WebSocket(socket) => socket.sent(),
            Talk::Stream(stream) => stream.sent(),
            Talk::Http(http) => http.made(),
            Talk::Opening(_) => 0,
        };
        sent.saturating_sub(self.unanswered())
    }

    /// Whether a counted conversation is to go on: messages of it are to be sent, or answers to come.
    pub(in crate::engine) fn is_unfinished(&self, script: &Script, ordinal: u64) -> bool {
        let waits = !matches!(self.talk, Talk::Http(_)) && self.unanswered() > 0;
        self.phase != Phase::Closing && (waits || self.has_more_to_say(script, ordinal))
    }

    /// Whether the end of the run has closed it in the midst of its conversation.
    pub(in crate::engine) fn was_cut_short(&self, script: &Script, ordinal: u64) -> bool {
        self.ending == Ending::AtOnce && self.is_unfinished(script, ordinal)
    }
}
