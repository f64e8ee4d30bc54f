//! The target's own numbers, where it is on this host: of the listeners at the destinations, and of the process
//! behind them. Absent is not seen.

use crate::model::Stamp;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// SYNs and ACKs that the destinations' own listeners dropped meanwhile (`sk_drops`, `d` in `ss -ltm`).
    pub listener_drops: Option<u64>,
    /// The same by time: when a look found more, and how many more. Empty where nobody looked in between.
    pub drops_by: Vec<(Stamp, u64)>,
    /// More complete connections than the backlog allows were seen to wait at a listener.
    pub queue_seen_full: bool,
    /// The most half-open connections seen at the destinations' ports.
    pub half_open_max: Option<u64>,
    /// State of the process behind the listener, as `/proc/PID/stat` has it: `T` is stopped.
    pub process_state: Option<char>,
    /// A listener was there at the end.
    pub listens_at_end: Option<bool>,
    /// When a destination was first seen without its listener.
    pub gone_at: Option<Stamp>,
}

impl TargetFacts {
    /// Drops that can be behind failures of this time: those of a look from `from` on, and until one window after `to`.
    pub(super) fn drops_between(&self, from: Stamp, to: Stamp) -> Option<u64> {
        let all = self.listener_drops?;
        let counted: u64 = self.drops_by.iter().map(|(_, more)| more).sum();
        let within = self.drops_by.iter().filter(|(at, _)| *at >= from && *at <= to + WINDOW);
        // What no look in between has seen may have come at any time.
        Some(all.saturating_sub(counted) + within.map(|(_, more)| more).sum::<u64>())
    }
}

/// Time between two looks, with some room for a busy machine.
const WINDOW: Duration = Duration::from_millis(1500);

/// Connections held level while others were refused or ended: the number that the server, or something before
/// it, lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plateau {
    /// Connections held in all.
    pub held: u64,
    /// Windows in which that number stood, with failures in each.
    pub windows: u32,
    /// When it was first reached.
    pub from: Stamp,
    /// The end of the last of these windows.
    pub to: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_another_time_are_behind_no_failure_of_this_one() {
        let s = Duration::from_secs;
        let facts = TargetFacts {
            listener_drops: Some(310),
            drops_by: vec![(s(2), 250), (s(3), 50), (s(20), 10)],
            ..TargetFacts::default()
        };
        assert_eq!(facts.drops_between(s(10), s(15)), Some(0));
        assert_eq!(facts.drops_between(s(1), s(19)), Some(310));
        let unseen = TargetFacts { drops_by: Vec::new(), ..facts };
        assert_eq!(unseen.drops_between(s(10), s(15)), Some(310), "nobody looked in between");
        assert_eq!(TargetFacts::default().drops_between(s(0), s(9)), None);
    }
}
