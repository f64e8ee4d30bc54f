//! Connections at the moment at which their time was over: whether the peer's kernel had acknowledged what was
//! sent. Acknowledged: the server did not answer. Not acknowledged: the way lost it, or is slower than the timeout.

use serde::{Deserialize, Serialize};

/// The kernel's knowledge of one connection when the time for it was over (`TCP_INFO`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AtTimeout {
    /// Segments sent and not acknowledged; a SYN is one.
    pub unacknowledged: u32,
    /// Retransmits in a row of what is not acknowledged.
    pub retransmits: u32,
    /// Retransmits since the connection was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_retransmits: Option<u32>,
    /// Smoothed round-trip time in microseconds; absent where none was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u32>,
}

/// Timeouts of one kind, by whether the peer's kernel had acknowledged everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Acknowledged {
    /// Everything that was sent had been acknowledged: the peer's kernel has it, the program did not answer.
    pub all: u64,
    /// Something had not been acknowledged.
    pub not_all: u64,
    /// Of these, the connections on which something had been sent again.
    pub sent_again: u64,
}

impl Acknowledged {
    /// Counts one timeout.
    pub fn add(&mut self, at: AtTimeout) {
        if at.unacknowledged == 0 {
            self.all += 1;
        } else {
            self.not_all += 1;
            self.sent_again += u64::from(at.retransmits > 0 || at.total_retransmits > Some(0));
        }
    }

    /// Adds those of another tally.
    pub fn merge(&mut self, other: &Acknowledged) {
        self.all += other.all;
        self.not_all += other.not_all;
        self.sent_again += other.sent_again;
    }
}
