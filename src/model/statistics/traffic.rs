//! Traffic over connections: messages, requests and pings, counted.

use serde::{Deserialize, Serialize};

macro_rules! counted {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Messages of WebSockets, requests over HTTP, pieces of a stream that were sent as one.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(default)]
        pub struct Traffic { $($(#[$doc])* pub $field: u64,)* }

        impl Traffic {
            /// Adds all that another has counted.
            pub fn merge(&mut self, other: &Traffic) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// Every number with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }
        }
    };
}

counted! {
    /// Sessions that came so far that something could be said: TLS and WebSocket handshakes done.
    sessions,
    /// Messages, or requests, sent.
    sent,
    /// Messages, or replies, received.
    received,
    /// Messages that were answered as expected.
    matched,
    /// Messages that were answered otherwise than expected.
    mismatches,
    /// Messages that were not answered when their connection ended.
    unanswered,
    /// Messages that were due and not sent when their connection or the run ended, as the worker had not come to them.
    unsent_late,
    /// Requests that were due and not made, as an earlier one on their connection still waited for its reply.
    unsent_waiting,
    /// Messages of conversations that the end of the run cut, not due by then.
    unsent_cut,
    /// Messages of conversations whose connection was lost.
    unsent_lost,
    /// Messages that answered nothing: pushes.
    pushes,
    /// Pings sent.
    pings,
    /// Pings of the peer, each of them answered.
    peer_pings,
    /// Answers to our pings.
    pongs,
    /// Attempts that were due because a connection was lost or could not be had: they are not planned ones.
    reconnects,
}

impl Traffic {
    /// True if nothing was said at all.
    pub fn is_silent(&self) -> bool {
        *self == Traffic::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_added_up() {
        let one = Traffic { sent: 1, pongs: 2, ..Traffic::default() };
        let mut sum = one;
        sum.merge(&one);
        assert_eq!((sum.sent, sum.pongs, sum.received), (2, 4, 0));
        assert!(Traffic::default().is_silent() && !one.is_silent());
        assert!(sum.named().contains(&("pongs", 4)));
    }
}
