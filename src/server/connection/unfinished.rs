//! Bytes that a connection holds for its peer, and since when something has begun that is not complete.

use super::{Connection, Partial, State};
use std::time::Duration;

impl Connection {
    /// Bytes of memory that are held for the peer: what has come and is not complete, and what it has not read.
    pub(in crate::server) fn held(&self) -> usize {
        self.more
            .as_ref()
            .map_or(0, |more| more.input.capacity() + more.unsent.capacity() + more.partial.held())
    }

    /// Since when something has begun and is not complete, as it was noted last.
    pub(in crate::server) fn unfinished_since(&self) -> Option<Duration> {
        self.more.as_ref()?.unfinished_since
    }

    /// True if something had begun and was not complete when it was noted last.
    pub(in crate::server) fn is_unfinished(&self) -> bool {
        self.unfinished_since().is_some()
    }

    /// True if something can have begun and not be complete.
    pub(in crate::server) fn may_be_unfinished(&self) -> bool {
        self.more.is_some()
    }

    /// Notes whether something has begun and is not complete, so that the peer has to go on; since when.
    pub(in crate::server) fn note_unfinished(&mut self, now: Duration) -> Option<Duration> {
        let waits = self.state == State::Talking;
        let more = self.more.as_mut()?;
        let handshaking = more.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
        let is_unfinished = handshaking
            || !more.input.is_empty()
            || more.unsent.len() > more.sent
            || !matches!(more.partial, Partial::None);
        more.unfinished_since = match more.unfinished_since {
            _ if !(waits && is_unfinished) => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        more.unfinished_since
    }
}
