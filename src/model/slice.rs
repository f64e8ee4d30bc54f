//! Division of a plan: among processes or machines into slices, and within each among workers into parts.
//!
//! Attempts, the slots of a closed loop and what may be open at once are numbered from 0 over the whole plan
//! (*global*). Of every `of` numbers in a row a slice takes `count`, beginning with `first`; numbered anew within the
//! slice they are *local*:
//!
//! ```text
//! local s  ↦  global (s ÷ count) · of + first + s mod count
//! ```
//!
//! Worker `w` of the `W` of a slice takes the locals congruent to `w` modulo `W`. Invariant: slices that together have
//! every residue, each once, have every number, each once, whatever their workers.
//!
//! Schedules and reports go by the global number. Routes and leases go by the local one: of global numbers a slice
//! sees only some residues, and with them only some of the sources.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The part of a plan that one process does: `count` of every `of` numbers, from `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Unchecked")]
pub struct Slice {
    first: u32,
    count: u32,
    of: u32,
}

/// A slice as somebody wrote it.
#[derive(Deserialize, schemars::JsonSchema)]
struct Unchecked {
    first: u32,
    count: u32,
    of: u32,
}

/// The most parts that a plan is divided into.
const MOST: u32 = 100_000;

/// Numbers that make no slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} parts from number {first} on are not among {of}, or {of} are too many")]
pub struct NoSlice {
    first: u32,
    count: u32,
    of: u32,
}

impl TryFrom<Unchecked> for Slice {
    type Error = NoSlice;

    fn try_from(Unchecked { first, count, of }: Unchecked) -> Result<Slice, NoSlice> {
        Slice::new(first, count, of)
    }
}

impl Default for Slice {
    /// All of a plan.
    fn default() -> Slice {
        Slice::WHOLE
    }
}

impl Slice {
    /// All of a plan.
    pub const WHOLE: Slice = Slice { first: 0, count: 1, of: 1 };

    /// The residues `first..first + count` modulo `of`.
    ///
    /// # Errors
    /// When there are none, or they are not all below `of`, or `of` is above 100,000.
    pub fn new(first: u32, count: u32, of: u32) -> Result<Slice, NoSlice> {
        let fits = first.checked_add(count).is_some_and(|end| end <= of);
        if count > 0 && fits && of <= MOST {
            Ok(Slice { first, count, of })
        } else {
            Err(NoSlice { first, count, of })
        }
    }

    /// True if it is all of the plan.
    pub fn is_whole(self) -> bool {
        self.count == self.of
    }

    /// Among how many parts the plan is divided.
    pub fn of(self) -> u32 {
        self.of
    }

    /// The parts that it has: numbers from 0 below [`Slice::of`].
    pub fn parts(self) -> std::ops::Range<u32> {
        self.first..self.first + self.count
    }

    /// Share of the plan: from above 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.count) / f64::from(self.of)
    }

    /// Number of the numbers `0..total` that are its own.
    pub fn share(self, total: u64) -> u64 {
        let (first, count, of) = self.wide();
        total / of * count + (total % of).saturating_sub(first).min(count)
    }

    /// The global number of its `local`-th.
    pub fn global(self, local: u64) -> u64 {
        let (first, count, of) = self.wide();
        local / count * of + first + local % count
    }

    /// Position of a global number among its own, from 0. Of a number that is another slice's, the nearest before it.
    pub fn local(self, global: u64) -> u64 {
        let (first, count, of) = self.wide();
        global / of * count + (global % of).saturating_sub(first).min(count - 1)
    }

    fn wide(self) -> (u64, u64, u64) {
        (self.first.into(), self.count.into(), self.of.into())
    }
}

impl fmt::Display for Slice {
    /// `2/3`, or `2-4/9` where it has several parts; counted from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first + 1, self.first + self.count);
        if self.count == 1 {
            write!(f, "{first}/{}", self.of)
        } else {
            write!(f, "{first}-{last}/{}", self.of)
        }
    }
}

/// One worker's part of a slice.
///
/// Several populations have arrivals of their own, numbered from 0 each. As attempts of the run they are interleaved, so
/// that each has its ordinal: that of arrival `a` of population `p` of `P` is `a · P + p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    slice: Slice,
    worker: u32,
    workers: u32,
    population: u32,
    populations: u32,
}

impl Part {
    /// The part of worker `worker`, from 0, of the `workers` of a slice.
    pub fn new(slice: Slice, worker: u32, workers: u32) -> Part {
        Part { slice, worker, workers: workers.max(1), population: 0, populations: 1 }
    }

    /// The same of a population, from 0, of so many.
    #[must_use]
    pub fn of_population(self, population: u32, populations: u32) -> Part {
        Part { population, populations: populations.max(1), ..self }
    }

    /// Number of the numbers `0..total` that belong to it.
    pub fn share(self, total: u64) -> u64 {
        let (worker, workers) = (u64::from(self.worker), u64::from(self.workers));
        let of_slice = self.slice.share(total);
        if of_slice > worker { (of_slice - worker).div_ceil(workers) } else { 0 }
    }

    /// The global number of its `n`-th arrival, among those of its population.
    pub fn arrival(self, n: u64) -> u64 {
        self.slice.global(u64::from(self.worker) + n * u64::from(self.workers))
    }

    /// The ordinal of an arrival as an attempt of the run.
    pub fn ordinal_of(self, arrival: u64) -> u64 {
        arrival * u64::from(self.populations) + u64::from(self.population)
    }

    /// The ordinal of its `n`-th arrival.
    pub fn ordinal(self, n: u64) -> u64 {
        self.ordinal_of(self.arrival(n))
    }

    /// The local number, within the slice, of the arrival with one of its ordinals.
    pub fn local(self, ordinal: u64) -> u64 {
        self.slice.local(ordinal / u64::from(self.populations))
    }

    /// The number of its worker, from 0.
    pub fn worker(self) -> u32 {
        self.worker
    }

    /// Number of workers of its slice.
    pub fn workers(self) -> u32 {
        self.workers
    }

    /// A number that no other part of the plan has, of whatever slice; that of the worker where the slice is all.
    pub fn number(self) -> u64 {
        self.ordinal_of(u64::from(self.slice.first) + u64::from(self.worker) * u64::from(self.slice.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Slices of these sizes that together have all residues.
    fn cut(counts: &[u32]) -> Vec<Slice> {
        let of = counts.iter().sum();
        let starts = counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count)));
        starts.zip(counts).map(|(first, count)| Slice::new(first, *count, of).unwrap()).collect()
    }

    #[test]
    fn a_slice_that_reaches_past_the_end_or_has_nothing_is_refused() {
        for (first, count, of) in
            [(0, 0, 1), (1, 1, 1), (2, 2, 3), (0, 1, 0), (u32::MAX, 2, u32::MAX), (0, 1, MOST + 1)]
        {
            assert!(Slice::new(first, count, of).is_err(), "{first} {count} {of}");
            let text = format!("{{\"first\":{first},\"count\":{count},\"of\":{of}}}");
            assert!(serde_json::from_str::<Slice>(&text).is_err(), "{text}");
        }
        assert_eq!(Slice::new(3, 2, 9).unwrap().to_string(), "4-5/9");
        assert_eq!(Slice::new(1, 1, 3).unwrap().to_string(), "2/3");
    }

    proptest! {
        /// For any number of attempts, any sizes of slices and any workers in each: every ordinal once, in rising
        /// order within a worker, and shares that add up.
        #[test]
        fn slices_and_their_workers_have_every_ordinal_once(
            total in 0u64..2000,
            slices in proptest::collection::vec((1u32..5, 1u32..6), 1..7),
        ) {
            let counts: Vec<u32> = slices.iter().map(|(count, _)| *count).collect();
            let mut all = Vec::new();
            let mut numbers = Vec::new();
            for (slice, (_, workers)) in cut(&counts).into_iter().zip(&slices) {
                let mut locals = Vec::new();
                for worker in 0..*workers {
                    let part = Part::new(slice, worker, *workers);
                    numbers.push(part.number());
                    let own: Vec<u64> = (0..part.share(total)).map(|n| part.ordinal(n)).collect();
                    prop_assert!(own.is_sorted());
                    prop_assert!(part.ordinal(part.share(total)) >= total, "the next is past the end");
                    locals.extend(own.iter().map(|ordinal| part.local(*ordinal)));
                    all.extend(own);
                }
                locals.sort_unstable();
                prop_assert_eq!(locals, (0..slice.share(total)).collect::<Vec<u64>>());
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..total).collect::<Vec<u64>>());
            let parts = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), parts, "no two parts draw the same random numbers");
        }

        /// Populations beside each other: no two attempts have one ordinal, and no two workers one number.
        #[test]
        fn arrivals_of_populations_are_interleaved(of in 1u32..5, workers in 1u32..4, n in 0u64..1000) {
            let parts: Vec<Part> = (0..of)
                .flat_map(|population| (0..workers).map(move |worker| (population, worker)))
                .map(|(population, worker)| Part::new(Slice::WHOLE, worker, workers).of_population(population, of))
                .collect();
            let mut ordinals: Vec<u64> = parts.iter().map(|part| part.ordinal(n)).collect();
            let mut numbers: Vec<u64> = parts.iter().map(|part| part.number()).collect();
            for part in &parts {
                prop_assert_eq!(part.local(part.ordinal(n)), part.arrival(n));
            }
            for all in [&mut ordinals, &mut numbers] {
                all.sort_unstable();
                all.dedup();
                prop_assert_eq!(all.len(), parts.len());
            }
        }

        /// The whole plan is divided among workers as it was before there were slices.
        #[test]
        fn the_whole_has_local_numbers_that_are_global(worker in 0u32..9, more in 0u32..9, n in 0u64..10_000) {
            let workers = worker + 1 + more;
            let part = Part::new(Slice::WHOLE, worker, workers);
            let ordinal = u64::from(worker) + n * u64::from(workers);
            prop_assert_eq!(part.ordinal(n), ordinal);
            prop_assert_eq!(part.local(ordinal), ordinal);
            prop_assert_eq!(part.number(), u64::from(worker));
        }
    }
}
