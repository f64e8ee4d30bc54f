//! The samples of a run, in bounded memory.
//!
//! When it is full, every second sample goes, and from then on only every second one is kept, and so
//! on: a run of a minute has each of its samples, a run of a day as many. Counters are absolute, so that
//! the difference over a gap is still right. Older samples keep their fullest pairs only.

use super::sample::{Part, Sample};
use crate::linux::tuple_usage::TupleCount;
use std::sync::Arc;

/// Pairs that older samples keep.
const ROWS_KEPT: usize = 16;

/// Samples in the order in which they were taken.
#[derive(Debug, Clone)]
pub struct Series {
    kept: Vec<Sample>,
    /// The last one, which is always there, kept or not.
    latest: Option<Sample>,
    capacity: usize,
    /// One of so many samples is kept.
    stride: u64,
    taken: u64,
}

impl Series {
    /// A series that keeps at most `capacity` samples (at least two), and the last one.
    pub fn new(capacity: usize) -> Series {
        Series { kept: Vec::new(), latest: None, capacity: capacity.max(2), stride: 1, taken: 0 }
    }

    /// Adds a sample.
    pub fn push(&mut self, sample: Sample) {
        if let Some(previous) = self.latest.replace(sample) {
            if self.taken.is_multiple_of(self.stride) {
                self.keep(previous);
            }
            self.taken += 1;
        }
    }

    /// The last sample.
    pub fn latest(&self) -> Option<&Sample> {
        self.latest.as_ref()
    }

    /// The samples kept, and the last one, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.kept.iter().chain(&self.latest)
    }

    /// How many samples are kept, the last one among them.
    pub fn len(&self) -> usize {
        self.kept.len() + usize::from(self.latest.is_some())
    }

    /// Whether no sample was taken.
    pub fn is_empty(&self) -> bool {
        self.latest.is_none()
    }

    fn keep(&mut self, mut sample: Sample) {
        if self.kept.len() == self.capacity {
            let mut at = 0;
            self.kept.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
            if !self.taken.is_multiple_of(self.stride) {
                return;
            }
        }
        sample.passing = sample.passing.map(thinned);
        sample.established = sample.established.map(thinned);
        self.kept.push(sample);
    }
}

/// The part with its fullest pairs only.
fn thinned(part: Arc<Part>) -> Arc<Part> {
    if part.rows.len() <= ROWS_KEPT {
        return part;
    }
    let mut rows: Vec<TupleCount> = part.rows.clone();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sockets.total()));
    let rows_dropped = part.rows_dropped + rows.len() - ROWS_KEPT;
    rows.truncate(ROWS_KEPT);
    rows.shrink_to_fit();
    rows.sort_unstable_by_key(|row| (row.destination, row.source));
    Arc::new(Part { rows, rows_dropped, ..*part })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::tcp_state::TcpState;
    use crate::linux::tuple_usage::StateCounts;
    use crate::model::Stamp;
    use crate::observe::{Accuracy, OwnUsage};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn sample(second: u64, pairs: u8) -> Sample {
        let rows = (0..pairs)
            .map(|n| {
                let mut sockets = StateCounts::default();
                sockets.add(TcpState::TimeWait, u64::from(n));
                let source = Ipv4Addr::new(127, 0, 0, n).into();
                TupleCount { source, destination: "127.0.0.1:80".parse().unwrap(), sockets }
            })
            .collect();
        let taken_at = Stamp::from_secs(second);
        let part = Part { taken_at, accuracy: Accuracy::Exact, inconsistent: false, rows, rows_dropped: 0 };
        Sample {
            taken_at,
            cost: Duration::ZERO,
            counters: None,
            sockets: None,
            conntrack: None,
            files: None,
            own: OwnUsage::default(),
            passing: Some(Arc::new(part)),
            established: None,
        }
    }

    fn seconds(series: &Series) -> Vec<u64> {
        series.iter().map(|sample| sample.taken_at.as_secs()).collect()
    }

    #[test]
    fn a_long_run_is_kept_at_even_distances_from_its_start_to_its_last_sample() {
        let mut series = Series::new(8);
        assert!(series.is_empty());
        (0..=7).for_each(|second| series.push(sample(second, 1)));
        assert_eq!(seconds(&series), [0, 1, 2, 3, 4, 5, 6, 7]);
        (8..=21).for_each(|second| series.push(sample(second, 1)));
        assert_eq!(seconds(&series), [0, 4, 8, 12, 16, 20, 21]);
        (22..=100_000).for_each(|second| series.push(sample(second, 1)));
        assert!((5..=9).contains(&series.len()), "{:?}", seconds(&series));
        let distances: Vec<_> = seconds(&series).windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (_, between) = distances.split_last().unwrap();
        assert!(between.iter().all(|distance| *distance == between[0]), "{distances:?}");
        assert_eq!(series.latest().unwrap().taken_at, Stamp::from_secs(100_000));
    }

    #[test]
    fn older_samples_keep_the_fullest_pairs() {
        let mut series = Series::new(8);
        series.push(sample(0, 100));
        series.push(sample(1, 100));
        let parts: Vec<_> = series.iter().map(|sample| sample.passing.clone().unwrap()).collect();
        assert_eq!((parts[0].rows.len(), parts[0].rows_dropped), (16, 84));
        assert!(parts[0].rows.iter().all(|row| row.sockets.total() >= 84));
        assert_eq!((parts[1].rows.len(), parts[1].rows_dropped), (100, 0));
    }
}
