//! The run cut into windows of equal length: what all workers together did in each.
//!
//! A worker hands over the tally of each window once. A window is complete when every worker has;
//! windows become complete in order.

use super::Tally;
use crate::model::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Work of one worker in one window.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Number of the worker.
    pub worker: u32,
    /// Number of the window, from 0.
    pub window: u64,
    /// When the worker closed the window.
    pub at: Stamp,
    /// Counts since the last one.
    pub tally: Tally,
    /// Arrivals that were due in this window.
    pub planned: u64,
    /// Established connections that it had open when it closed the window.
    pub open: u64,
    /// CPU time of its thread since the last window.
    pub cpu: Duration,
    /// True if the worker has ended: no later window will come from it.
    pub last: bool,
}

/// Work of all workers in one window.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Number of the window, from 0.
    pub index: u64,
    /// When the last worker closed it.
    pub at: Stamp,
    /// Counts of the window.
    pub tally: Tally,
    /// Arrivals that were due in it.
    pub planned: u64,
    /// Established connections at its end.
    pub open: u64,
    /// CPU time of all workers.
    pub cpu: Duration,
    handed_over: u32,
}

impl Window {
    fn add(&mut self, part: &Handover) {
        self.at = self.at.max(part.at);
        self.tally.merge(&part.tally);
        self.planned += part.planned;
        self.open += part.open;
        self.cpu += part.cpu;
        self.handed_over += 1;
    }
}

/// Puts the windows of all workers together.
#[derive(Debug)]
pub struct Timeline {
    workers: u32,
    next: u64,
    /// Last window of each worker that has ended.
    ended: Vec<u64>,
    gathering: BTreeMap<u64, Window>,
}

impl Timeline {
    /// A timeline of this many workers.
    pub fn new(workers: u32) -> Timeline {
        Timeline { workers, next: 0, ended: Vec::new(), gathering: BTreeMap::new() }
    }

    /// Takes one worker's part, and gives the windows that are complete with it, in order.
    pub fn add(&mut self, part: &Handover) -> Vec<Window> {
        let fresh = || Window { index: part.window, ..Window::default() };
        self.gathering.entry(part.window).or_insert_with(fresh).add(part);
        if part.last {
            self.ended.push(part.window);
        }
        let mut complete = Vec::new();
        while let Some((&index, window)) = self.gathering.first_key_value() {
            let gone = self.ended.iter().filter(|&&last| last < index).count();
            if index != self.next || window.handed_over as usize + gone < self.workers as usize {
                break;
            }
            complete.push(self.settle(index));
        }
        complete
    }

    /// The windows that some worker still owes, in order: there are none when every worker has ended.
    pub fn finish(mut self) -> Vec<Window> {
        let rest: Vec<u64> = self.gathering.keys().copied().collect();
        rest.into_iter().map(|index| self.settle(index)).collect()
    }

    fn settle(&mut self, index: u64) -> Window {
        self.next = index + 1;
        self.gathering.remove(&index).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(worker: u32, window: u64, open: u64) -> Handover {
        let mut tally = Tally::default();
        tally.start();
        let at = Duration::from_secs(window + 1);
        Handover { worker, window, at, tally, planned: 1, open, cpu: Duration::ZERO, last: false }
    }

    #[test]
    fn a_window_is_given_when_every_worker_has_handed_it_over() {
        let mut timeline = Timeline::new(2);
        assert!(timeline.add(&part(0, 0, 1)).is_empty());
        assert!(timeline.add(&part(0, 1, 2)).is_empty());
        let complete = timeline.add(&part(1, 0, 3));
        assert_eq!(complete.len(), 1);
        assert_eq!((complete[0].index, complete[0].open), (0, 4));
        assert_eq!(complete[0].tally.started(), 2);
        let rest = timeline.finish();
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].index, rest[0].planned), (1, 1));
    }

    #[test]
    fn nobody_waits_for_a_worker_that_has_ended() {
        let mut timeline = Timeline::new(2);
        timeline.add(&Handover { last: true, ..part(0, 0, 0) });
        assert_eq!(timeline.add(&part(1, 0, 1)).len(), 1);
        assert_eq!(timeline.add(&part(1, 1, 1)).len(), 1);
    }
}
