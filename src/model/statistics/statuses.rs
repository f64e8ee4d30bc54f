//! Final statuses of HTTP replies, counted by code.

use super::codes::entry;
use serde::{Deserialize, Serialize};

/// Statuses that are told apart; a peer can send 900 of them.
const MOST: usize = 100;

/// Replies by status, in the order of the codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Statuses(Vec<StatusCount>);

/// Replies of one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StatusCount {
    /// The status; 0 for those beyond the first 100.
    pub status: u16,
    /// Replies with it.
    pub count: u64,
}

impl Statuses {
    /// Counts a reply.
    pub fn add(&mut self, status: u16) {
        self.count(status, 1);
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Statuses) {
        other.0.iter().for_each(|theirs| self.count(theirs.status, theirs.count));
    }

    /// Replies of each status.
    pub fn iter(&self) -> impl Iterator<Item = &StatusCount> {
        self.0.iter()
    }

    /// True if no reply has come.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&mut self, status: u16, count: u64) {
        let new = |status| StatusCount { status, count: 0 };
        let known = entry(&mut self.0, status, MOST, |known| known.status, new);
        known.count = known.count.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_by_status_whatever_the_peer_sends() {
        let mut sum = Statuses::default();
        let mut other = Statuses::default();
        (100..1000).for_each(|status| other.add(status));
        [503, 200, 200].into_iter().for_each(|status| sum.add(status));
        sum.merge(&other);
        let of = |wanted| sum.iter().find(|known| known.status == wanted).map(|known| known.count);
        // Those of the peer beyond the first hundred are together.
        assert_eq!((of(200), of(503), of(0)), (Some(2), Some(1), Some(803)));
        assert_eq!(sum.iter().map(|known| known.count).sum::<u64>(), 903);
        assert!(sum.iter().count() <= MOST + 1);
        assert!(sum.iter().map(|known| known.status).is_sorted());
    }
}
