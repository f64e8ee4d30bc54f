//! Closeness of the look at the sockets, so that looking costs no more than its share of a core.
//!
//! Credit accrues with time, at `fraction` of a core, and each look is charged what it did cost. Before a
//! look its cost is estimated from the number of sockets, and the estimate is corrected by what earlier
//! looks of that kind did cost. Pure: time and costs are handed in.
//!
//! Costs measured on Linux 6.18 (`cargo bench --bench observe_cost`): walking past a socket 0.08–0.12 µs,
//! whether it is wanted or not; showing one in TIME_WAIT 0.3 µs, any other 0.8 µs.

use crate::model::Stamp;
use std::ops::RangeInclusive;
use std::time::Duration;

const BASE: f64 = 150e-6;
const WALK: f64 = 0.11e-6;
const SHOW_TIME_WAIT: f64 = 0.3e-6;
const SHOW_OTHER: f64 = 0.8e-6;

/// Credit is saved up for at most this long, so that a quiet time is not followed by a storm of looks.
const SAVED_AT_MOST: Duration = Duration::from_secs(60);
/// An exact look at everything is waited for this long, before parts are looked at instead.
const PATIENCE: Duration = Duration::from_secs(3);
/// More slices than this, and a slice says little about the whole.
const SLICES_AT_MOST: u32 = 64;
/// Stretches of ports that make up a slice. Ports that are handed out in order lie close together; one
/// stretch would meet them all or miss them all.
const STRIPES: u32 = 8;

/// Extent of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Look {
    /// Every connection to the destinations.
    Whole,
    /// Those that are not established: TIME_WAIT above all.
    Passing,
    /// The established ones, on some of the source ports.
    Established(Slice),
    /// Nothing this time.
    Nothing,
}

/// One of several equal parts of a range of ports: stretches evenly spread over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Number of the part, from 0.
    pub part: u32,
    /// Of how many; a power of two.
    pub of: u32,
}

impl Slice {
    /// The ports of this slice. All slices together hold each port of the range once.
    pub fn ports(self, range: &RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
        let first = u64::from(*range.start());
        let ports = u64::from(*range.end()).saturating_sub(first) + 1;
        let pieces = u64::from(STRIPES * self.of);
        let bound = |piece: u64| first + ports * piece / pieces;
        let port = |port: u64| u16::try_from(port).unwrap_or(u16::MAX);
        (0..STRIPES)
            .map(|stripe| u64::from(stripe * self.of + self.part))
            .map(|piece| (bound(piece), bound(piece + 1)))
            .filter(|(from, to)| from < to)
            .map(|(from, to)| port(from)..=port(to - 1))
            .collect()
    }
}

/// The sockets there are, as totals tell without looking at each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    /// In TIME_WAIT.
    pub time_wait: u64,
    /// In any other state.
    pub others: u64,
}

/// When either part was last looked at; `None`: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// The connections that are not established.
    pub passing: Option<Stamp>,
    /// The established ones.
    pub established: Option<Stamp>,
}

/// The account of what looking has cost and may cost.
#[derive(Debug, Clone)]
pub struct Budget {
    fraction: f64,
    /// CPU seconds; below zero after a look that cost more than was thought.
    credit: f64,
    accrued_until: Stamp,
    /// Measured over estimated cost, by kind of look.
    corrections: [f64; 3],
    next_slice: u32,
}

impl Budget {
    /// An account that begins at `start` and may spend `fraction` of one core. It begins with the credit
    /// of one second.
    pub fn new(fraction: f64, start: Stamp) -> Budget {
        let fraction = if fraction.is_finite() { fraction.max(0.0) } else { 0.0 };
        Budget { fraction, credit: fraction, accrued_until: start, corrections: [1.0; 3], next_slice: 0 }
    }

    /// Extent of the look now.
    ///
    /// Everything, if that can be afforded, or soon can. Otherwise the part that was looked at longest
    /// ago, as soon as it can be afforded.
    pub fn choose(&mut self, now: Stamp, population: Population, ages: Ages) -> Look {
        self.accrue(now);
        let whole = self.estimate(Look::Whole, population);
        if whole <= self.credit {
            return Look::Whole;
        }
        if whole <= self.fraction * PATIENCE.as_secs_f64() {
            return Look::Nothing;
        }
        let part = if ages.passing <= ages.established {
            Look::Passing
        } else {
            Look::Established(Slice { part: self.next_slice, of: slices(population) })
        };
        if self.estimate(part, population) > self.credit {
            return Look::Nothing;
        }
        if let Look::Established(slice) = part {
            self.next_slice = (slice.part + 1) % slice.of;
        }
        part
    }

    /// Charges what a look did cost, and learns from it.
    pub fn looked(&mut self, look: Look, population: Population, cost: Duration) {
        let estimate = self.estimate(look, population);
        self.charge(cost);
        if let Some(kind) = kind(look) {
            // Half-way to what this look says: one that was disturbed does not spoil the next ones for long.
            let said = self.corrections[kind] * cost.as_secs_f64() / estimate.max(1e-9);
            self.corrections[kind] = f64::midpoint(self.corrections[kind], said).clamp(0.02, 50.0);
        }
    }

    /// Charges a cost that is no look: the reading of counters.
    pub fn charge(&mut self, cost: Duration) {
        self.credit -= cost.as_secs_f64();
    }

    /// The CPU that a look is thought to cost, in seconds.
    fn estimate(&self, look: Look, population: Population) -> f64 {
        let (waiting, others) = (population.time_wait as f64, population.others as f64);
        let walk = BASE + WALK * (waiting + others);
        let (show, kind) = match look {
            Look::Whole => (SHOW_TIME_WAIT * waiting + SHOW_OTHER * others, 0),
            Look::Passing => (SHOW_TIME_WAIT * waiting, 1),
            Look::Established(slice) => (SHOW_OTHER * others / f64::from(slice.of), 2),
            Look::Nothing => return 0.0,
        };
        (walk + show) * self.corrections[kind]
    }

    fn accrue(&mut self, now: Stamp) {
        let elapsed = now.saturating_sub(self.accrued_until);
        self.accrued_until = self.accrued_until.max(now);
        let most = self.fraction * SAVED_AT_MOST.as_secs_f64();
        self.credit = (self.credit + self.fraction * elapsed.as_secs_f64()).min(most);
    }
}

fn kind(look: Look) -> Option<usize> {
    match look {
        Look::Whole => Some(0),
        Look::Passing => Some(1),
        Look::Established(_) => Some(2),
        Look::Nothing => None,
    }
}

/// As many slices as make showing one cost what walking past all of them costs anyhow. With more the
/// answer would only be less exact.
fn slices(population: Population) -> u32 {
    let walk = BASE + WALK * (population.time_wait + population.others) as f64;
    let ratio = (SHOW_OTHER * population.others as f64 / walk).clamp(2.0, f64::from(SLICES_AT_MOST));
    (ratio.ceil() as u32).next_power_of_two().min(SLICES_AT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Stamp {
        Stamp::from_secs(n)
    }

    /// Samples each second, each look costing `truth` times its first estimate; returns the looks and
    /// the CPU spent.
    fn simulate(population: Population, truth: f64, samples: u64) -> (Vec<Look>, f64) {
        let plain = Budget::new(0.02, Stamp::ZERO);
        let mut budget = plain.clone();
        let (mut ages, mut looks, mut spent) = (Ages::default(), Vec::new(), 0.0);
        for second in 0..samples {
            let look = budget.choose(seconds(second), population, ages);
            let cost = plain.estimate(look, population) * truth;
            budget.looked(look, population, Duration::from_secs_f64(cost));
            spent += cost;
            if matches!(look, Look::Whole | Look::Passing) {
                ages.passing = Some(seconds(second));
            }
            if matches!(look, Look::Whole | Look::Established(_)) {
                ages.established = Some(seconds(second));
            }
            looks.push(look);
        }
        (looks, spent)
    }

    #[test]
    fn few_sockets_are_all_looked_at_each_time() {
        let (looks, _) = simulate(Population { time_wait: 10_000, others: 5000 }, 1.0, 60);
        assert!(looks.iter().all(|look| *look == Look::Whole));
    }

    #[test]
    fn more_are_all_looked_at_every_few_seconds() {
        let (looks, _) = simulate(Population { time_wait: 40_000, others: 30_000 }, 1.0, 60);
        assert!(looks.iter().all(|look| matches!(look, Look::Whole | Look::Nothing)));
        assert!(looks.iter().filter(|look| **look == Look::Whole).count() >= 20, "{looks:?}");
    }

    #[test]
    fn a_million_are_looked_at_by_turns_and_in_slices_that_go_round() {
        let (looks, _) = simulate(Population { time_wait: 100_000, others: 1_000_000 }, 1.0, 600);
        let passing = looks.iter().filter(|look| **look == Look::Passing).count();
        let slices: Vec<_> = looks
            .iter()
            .filter_map(|look| match look {
                Look::Established(slice) => Some(*slice),
                _ => None,
            })
            .collect();
        assert!(passing >= 30 && passing.abs_diff(slices.len()) <= 1, "{looks:?}");
        assert!(slices.windows(2).all(|pair| pair[1].part == (pair[0].part + 1) % pair[0].of));
        assert!(!looks.contains(&Look::Whole));
    }

    #[test]
    fn nothing_may_be_spent_of_nothing() {
        let mut budget = Budget::new(f64::NAN, Stamp::ZERO);
        let look = budget.choose(seconds(100), Population::default(), Ages::default());
        assert_eq!(look, Look::Nothing);
    }

    #[test]
    fn after_a_pause_no_more_is_spent_than_was_saved() {
        let mut budget = Budget::new(0.02, Stamp::ZERO);
        budget.accrue(seconds(1_000_000));
        assert!(budget.credit <= 0.02 * 60.0);
        // A clock that went back is no reason to give credit twice.
        budget.accrue(seconds(10));
        budget.accrue(seconds(1_000_000));
        assert!(budget.credit <= 0.02 * 60.0);
    }

    proptest! {
        #[test]
        fn the_budget_is_kept_even_where_the_estimate_is_wrong(
            time_wait in 0u64..2_000_000,
            others in 0u64..2_000_000,
            truth in 0.2f64..3.0,
        ) {
            let samples = 600;
            let population = Population { time_wait, others };
            let (_, spent) = simulate(population, truth, samples);
            // The last look alone may go beyond the credit: earlier debts are paid before another.
            let last = Budget::new(0.02, Stamp::ZERO).estimate(Look::Whole, population) * truth;
            let allowed = 0.02 * (samples + 1) as f64;
            prop_assert!(spent <= allowed + last, "{spent} of {allowed}");
        }

        #[test]
        fn slices_hold_each_port_once(low: u16, high: u16, power in 1u32..7) {
            let range = low.min(high)..=low.max(high);
            let of = 1 << power;
            let mut ports: Vec<u16> =
                (0..of).flat_map(|part| Slice { part, of }.ports(&range)).flatten().collect();
            ports.sort_unstable();
            prop_assert_eq!(ports, range.collect::<Vec<_>>());
        }
    }
}
