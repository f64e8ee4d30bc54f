//! Spread of the arrivals of one message at all its receivers. Pure.

use super::Latency;
use crate::model::Stamp;
use std::collections::BTreeMap;

/// Messages whose arrivals are remembered; of a later one the oldest is settled.
const MOST: usize = 16_384;

/// When each message was first and last received, by sender and number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fanout {
    arrivals: BTreeMap<(u64, u64), Arrivals>,
    settled: Latency,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrivals {
    first: Stamp,
    last: Stamp,
    receivers: u64,
}

impl Arrivals {
    fn join(&mut self, other: &Arrivals) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.receivers += other.receivers;
    }
}

impl Fanout {
    /// A message of this sender and number was received.
    pub fn received(&mut self, sender: u64, seq: u64, at: Stamp) {
        self.join((sender, seq), &Arrivals { first: at, last: at, receivers: 1 });
    }

    fn join(&mut self, key: (u64, u64), arrivals: &Arrivals) {
        match self.arrivals.get_mut(&key) {
            Some(known) => known.join(arrivals),
            None => {
                self.arrivals.insert(key, *arrivals);
            }
        }
        if self.arrivals.len() > MOST
            && let Some((_, oldest)) = self.arrivals.pop_first()
        {
            self.settle_one(&oldest);
        }
    }

    /// Adds all that another has seen.
    pub fn merge(&mut self, other: &Fanout) {
        for (key, arrivals) in &other.arrivals {
            self.join(*key, arrivals);
        }
        self.settled.merge(&other.settled);
    }

    /// From the first to the last arrival of each message that more than one has received.
    pub fn spread(&self) -> Latency {
        let mut all = self.clone();
        while let Some((_, arrivals)) = all.arrivals.pop_first() {
            all.settle_one(&arrivals);
        }
        all.settled
    }

    fn settle_one(&mut self, arrivals: &Arrivals) {
        if arrivals.receivers > 1 {
            self.settled.record(arrivals.last.saturating_sub(arrivals.first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_spread_is_from_the_first_to_the_last_on_whatever_worker() {
        let ms = Duration::from_millis;
        let (mut a, mut b) = (Fanout::default(), Fanout::default());
        a.received(1, 1, ms(10));
        a.received(1, 1, ms(12));
        b.received(1, 1, ms(40));
        b.received(1, 2, ms(50));
        a.merge(&b);
        let spread = a.spread();
        assert_eq!((spread.count(), spread.min_max_us().1 / 1000), (1, 30));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut fanout = Fanout::default();
        for seq in 0..(MOST as u64 + 10) {
            fanout.received(1, seq, Duration::ZERO);
            fanout.received(1, seq, Duration::from_millis(1));
        }
        assert!(fanout.arrivals.len() <= MOST);
        assert_eq!(fanout.spread().count(), MOST as u64 + 10);
    }
}
