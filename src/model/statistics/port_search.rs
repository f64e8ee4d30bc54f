//! Notices when the kernel's search for a source port has to pass over half of the range.
//!
//! Where the kernel chooses the port, connect() tries those of the parity of the range's first port, and
//! only when each of them is taken those of the other (`__inet_hash_connect()`,
//! net/ipv4/inet_hashtables.c). So the first port of the other parity is the moment from which every call
//! passes over half the range and finds nothing: on the default range it went from 28 µs to 2,500 µs (Linux 6.18),
//! 14,000 connections before the first failure. The parity is exact where the cost of a call alone is
//! drowned by a busy machine; the cost is kept beside it, and has to have risen.
//!
//! Pure, and a few instructions a call.

use crate::model::{Lease, Stamp};
use std::time::Duration;

/// Calls before the moment whose median is the ordinary cost.
const BEFORE: usize = 64;
/// With fewer there is no saying what was ordinary.
const BEFORE_AT_LEAST: usize = 16;
/// Calls after it whose median is the new cost.
const AFTER: usize = 32;
/// Factor by which a call has to be dearer. On a range of 1,024 ports, half of them cost some 90 µs to pass over,
/// beside 30 µs (busy) to 80 µs (idle) for the rest of a connect(); where it is less, nobody notices.
const DEARER: f64 = 1.1;

/// The search for ports as one worker sees it.
#[derive(Debug, Clone)]
pub struct PortSearch {
    first_parity: u16,
    /// Cost of the last calls that got a port of the first parity: a ring.
    before: Vec<Duration>,
    next: usize,
    /// The first call that got one of the other parity.
    passed_over: Option<(u64, Stamp, Lease)>,
    /// Cost of the calls that did, from that one on.
    after: Vec<Duration>,
    done: bool,
}

/// The moment from which connect() had to search through half of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowSearch {
    /// Ordinal of the first attempt that had to, from 0.
    pub ordinal: u64,
    /// When its connect() returned.
    pub at: Stamp,
    /// The pair whose ports are searched.
    pub lease: Lease,
    /// Cost of a call before: the median of the last. `None` where there was hardly a call before.
    pub before: Option<Duration>,
    /// Cost of a call from then on: the median of the first.
    pub after: Duration,
}

impl PortSearch {
    /// A search in a range that begins with this port.
    pub fn from(low: u16) -> PortSearch {
        PortSearch {
            first_parity: low % 2,
            before: Vec::new(),
            next: 0,
            passed_over: None,
            after: Vec::new(),
            done: false,
        }
    }

    /// True if there is anything left to learn from another call.
    pub fn is_open(&self) -> bool {
        !self.done
    }

    /// Takes the duration of one connect() call and the port that it got; gives the moment, some calls after
    /// it, once.
    pub fn note(
        &mut self,
        call: Duration,
        port: u16,
        attempt: impl FnOnce() -> (u64, Stamp, Lease),
    ) -> Option<SlowSearch> {
        if self.done {
            return None;
        }
        if port % 2 == self.first_parity {
            if self.before.len() < BEFORE {
                self.before.push(call);
            } else {
                self.before[self.next % BEFORE] = call;
            }
            self.next += 1;
            return None;
        }
        let (ordinal, at, lease) = *self.passed_over.get_or_insert_with(attempt);
        self.after.push(call);
        if self.after.len() < AFTER {
            return None;
        }
        self.done = true;
        let after = median(std::mem::take(&mut self.after))?;
        let before = std::mem::take(&mut self.before);
        let before = if before.len() < BEFORE_AT_LEAST { None } else { median(before) };
        let dearer = before.is_none_or(|before| after > before.mul_f64(DEARER));
        dearer.then_some(SlowSearch { ordinal, at, lease, before, after })
    }
}

fn median(mut calls: Vec<Duration>) -> Option<Duration> {
    calls.sort_unstable();
    calls.get(calls.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds calls of so many microseconds that got such ports, in a range from 40,000.
    fn feed(calls: impl IntoIterator<Item = (u64, u16)>) -> Option<SlowSearch> {
        let lease = Lease { source: None, port: None, destination: ([127, 0, 0, 1], 80).into() };
        let mut search = PortSearch::from(40_000);
        let mut noticed = None;
        for (ordinal, (us, port)) in (0..).zip(calls) {
            let call = Duration::from_micros(us);
            noticed =
                noticed.or(search.note(call, port, || (ordinal, Duration::from_micros(ordinal), lease)));
        }
        noticed
    }

    fn calls(count: usize, us: u64, port: u16) -> impl Iterator<Item = (u64, u16)> {
        std::iter::repeat_n((us, port), count)
    }

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn the_first_port_of_the_other_parity_is_the_moment() {
        let slow = feed(calls(512, 28, 40_000).chain(calls(100, 110, 40_001))).unwrap();
        assert_eq!((slow.ordinal, slow.before, slow.after), (512, Some(us(28)), us(110)));
    }

    #[test]
    fn dear_calls_alone_are_no_search() {
        assert_eq!(feed(calls(512, 28, 40_000).chain(calls(500, 3000, 40_002))), None);
    }

    #[test]
    fn a_range_too_small_to_be_felt_is_not_told() {
        assert_eq!(feed(calls(64, 28, 40_000).chain(calls(100, 29, 40_001))), None);
    }

    #[test]
    fn a_half_that_was_taken_before_the_run_is_told_without_a_comparison() {
        let slow = feed(calls(100, 110, 40_001)).unwrap();
        assert_eq!((slow.ordinal, slow.before, slow.after), (0, None, us(110)));
    }

    #[test]
    fn several_tuples_are_told_apart_by_their_ports() {
        // One tuple of two has passed its half, the other not yet.
        let both = (0..100).flat_map(|_| [(28, 40_002), (110, 40_001)]);
        let slow = feed(calls(600, 28, 40_000).chain(both)).unwrap();
        assert_eq!((slow.ordinal, slow.before, slow.after), (601, Some(us(28)), us(110)));
    }

    proptest! {
        #[test]
        fn noise_moves_neither_the_moment_nor_hides_it(
            noise in proptest::collection::vec(0_u64..3, 1000),
            half in 64_usize..900,
        ) {
            // Up to a third of the calls are far too long.
            let cost = |n: usize, ordinary| if noise[n] == 0 && n.is_multiple_of(3) { 5000 } else { ordinary };
            let run = (0..1000).map(|n| if n < half { (cost(n, 50), 40_000) } else { (cost(n, 140), 40_001) });
            prop_assert_eq!(feed(run).map(|slow| slow.ordinal), Some(half as u64));
        }
    }
}
