//! Close frames of WebSockets that the peer sent first, counted by code.

use super::codes::entry;
use serde::{Deserialize, Serialize};

/// Codes that are told apart; others are counted as 0.
const MOST_CODES: usize = 64;
/// Reasons that are kept of one code.
const MOST_REASONS: usize = 3;

/// Close frames by code, in the order of the codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Closes(Vec<CloseCount>);

/// Close frames of one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CloseCount {
    /// RFC 6455, section 7.4.1: 1005 stands for a frame without a code, 1006 for an end of the connection without a
    /// close frame; 0 for codes beyond the first 64.
    pub code: u16,
    /// Connections that the peer ended so.
    pub count: u64,
    /// The peer's words, each once: the first three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Closes {
    /// Counts one.
    pub fn add(&mut self, code: u16, reason: &str) {
        self.count(code, 1, std::iter::once(reason).filter(|reason| !reason.is_empty()));
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Closes) {
        for theirs in &other.0 {
            self.count(theirs.code, theirs.count, theirs.reasons.iter().map(String::as_str));
        }
    }

    /// Close frames of each code.
    pub fn iter(&self) -> impl Iterator<Item = &CloseCount> {
        self.0.iter()
    }

    /// True if no peer has closed a WebSocket.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count<'r>(&mut self, code: u16, count: u64, reasons: impl Iterator<Item = &'r str>) {
        let new = |code| CloseCount { code, count: 0, reasons: Vec::new() };
        let entry = entry(&mut self.0, code, MOST_CODES, |known| known.code, new);
        entry.count = entry.count.saturating_add(count);
        for reason in reasons {
            if entry.reasons.len() < MOST_REASONS && !entry.reasons.iter().any(|known| known == reason) {
                entry.reasons.push(reason.to_owned());
            }
        }
    }
}

/// Meaning of a close code (RFC 6455, section 7.4.1, and IANA's registry).
pub fn close_code_name(code: u16) -> &'static str {
    match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no code",
        1006 => "no close frame",
        1007 => "invalid data",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        _ if (3000..4000).contains(&code) => "a code of a library",
        _ if (4000..5000).contains(&code) => "a code of the application",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_in_order_with_their_first_words() {
        let mut closes = Closes::default();
        for (code, reason) in
            [(4401, "expired"), (1000, ""), (4401, "expired"), (4401, "revoked"), (4401, "x")]
        {
            closes.add(code, reason);
        }
        closes.add(4401, "a fourth");
        let mut sum = Closes::default();
        sum.add(1001, "bye");
        sum.merge(&closes);
        let seen: Vec<(u16, u64, usize)> = sum.iter().map(|c| (c.code, c.count, c.reasons.len())).collect();
        assert_eq!(seen, [(1000, 1, 0), (1001, 1, 1), (4401, 5, 3)]);
    }

    #[test]
    fn a_peer_with_ever_new_codes_takes_no_more_room_than_is_bounded() {
        let mut closes = Closes::default();
        (3000..=4999).for_each(|code| closes.add(code, &code.to_string()));
        assert_eq!(closes.iter().count(), MOST_CODES + 1);
        assert_eq!(closes.iter().map(|c| c.count).sum::<u64>(), 2000);
    }
}
