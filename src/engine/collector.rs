//! The main thread's side of a run: gathers windows, and lets whoever watches see them.

use super::open_count::OpenCount;
use super::progress::Progress;
use crate::linux::clock::Clock;
use crate::model::{Handover, PopulationRun, RunStart, Stamp, Tally, Timeline, Window, WindowRow};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Time between two calls of the watcher when no window is complete.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Windows that have come in.
pub(super) struct Gathered {
    start: RunStart,
    timeline: Option<Timeline>,
    totals: Totals,
    open: Arc<OpenCount>,
    /// The same by population; none where there is one alone.
    populations: Vec<PopulationTotals>,
}

/// Counts that the workers of one population have handed over.
pub(super) struct PopulationTotals {
    name: String,
    /// Numbers of its workers.
    workers: Range<u32>,
    timeline: Option<Timeline>,
    totals: Totals,
    open: Arc<OpenCount>,
}

impl PopulationTotals {
    /// Nothing yet, of these workers.
    pub(super) fn new(name: String, first: u32, workers: u32, open: Arc<OpenCount>) -> PopulationTotals {
        let timeline = Some(Timeline::new(workers));
        PopulationTotals { name, workers: first..first + workers, timeline, totals: Totals::default(), open }
    }

    fn add(&mut self, part: &Handover) {
        if let Some(timeline) = self.timeline.as_mut().filter(|_| self.workers.contains(&part.worker)) {
            timeline.add(part).iter().for_each(|window| self.totals.add(window));
        }
    }

    fn finish(&mut self) {
        let owed = self.timeline.take().map_or_else(Vec::new, Timeline::finish);
        owed.iter().for_each(|window| self.totals.add(window));
    }

    /// Everything so far.
    fn so_far(&self) -> PopulationRun {
        let Totals { planned, tally, windows, .. } = &self.totals;
        PopulationRun {
            name: self.name.clone(),
            planned: *planned,
            held_max: self.open.most(),
            tally: tally.clone(),
            windows: windows.clone(),
        }
    }
}

/// Sums of all windows.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Arrivals that were due.
    pub planned: u64,
    /// Everything that was counted.
    pub tally: Tally,
    /// The windows.
    pub windows: Vec<WindowRow>,
    /// CPU time of the workers.
    pub worker_cpu: Duration,
}

impl Totals {
    fn add(&mut self, window: &Window) {
        self.planned += window.planned;
        self.tally.merge(&window.tally);
        self.worker_cpu += window.cpu;
        let began = self.windows.last().map_or(Stamp::ZERO, |last| last.at);
        self.windows.push(WindowRow::of(window, began));
    }
}

impl Gathered {
    /// Nothing yet, from the workers of this run.
    pub(super) fn new(start: RunStart, open: Arc<OpenCount>, populations: Vec<PopulationTotals>) -> Gathered {
        let timeline = Some(Timeline::new(start.workers));
        Gathered { timeline, totals: Totals::default(), start, open, populations }
    }

    /// Takes what workers hand over until the last of them has hung up.
    pub(super) fn until_all_have_ended(
        &mut self,
        handovers: &Receiver<Handover>,
        clock: Clock,
        watch: &mut impl FnMut(&Progress<'_>),
    ) {
        let mut due = clock.now() + WATCH_EVERY;
        loop {
            // Many workers hand over so often that no wait is ever a whole one.
            let mut complete = Vec::new();
            match handovers.recv_timeout(due.saturating_sub(clock.now())) {
                Ok(part) => {
                    self.populations.iter_mut().for_each(|population| population.add(&part));
                    complete = self.timeline.as_mut().map_or_else(Vec::new, |timeline| timeline.add(&part));
                    if complete.is_empty() && clock.now() < due {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            complete.iter().for_each(|window| self.totals.add(window));
            watch(&self.progress(clock, !complete.is_empty()));
            due = clock.now() + WATCH_EVERY;
        }
    }

    /// Everything, with the windows that a worker which broke down still owes.
    pub(super) fn finish(mut self) -> (RunStart, Totals, Vec<PopulationRun>) {
        let owed = self.timeline.take().map_or_else(Vec::new, Timeline::finish);
        owed.iter().for_each(|window| self.totals.add(window));
        self.populations.iter_mut().for_each(PopulationTotals::finish);
        let populations = self.populations.iter().map(PopulationTotals::so_far).collect();
        (self.start, self.totals, populations)
    }

    fn progress(&self, clock: Clock, fresh: bool) -> Progress<'_> {
        let window = self.totals.windows.last().filter(|_| fresh);
        let Totals { tally, worker_cpu, .. } = &self.totals;
        let (held_max, worker_cpu) = (self.open.most(), *worker_cpu);
        Progress { start: &self.start, elapsed: clock.now(), tally, held_max, worker_cpu, window }
    }
}
