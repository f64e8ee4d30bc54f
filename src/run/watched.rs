//! What a run under way shows: the engine's progress, and what was seen of the kernel.

use crate::engine::Progress;
use crate::model::{Onset, Run, Slice};
use crate::plan::Plan;
use crate::result::{KernelWindow, RunResult};
use std::ops::Deref;
use std::time::Duration;

/// The state of a run under way.
#[derive(Debug)]
pub struct Watched<'a> {
    /// What is run, as a whole.
    pub plan: &'a Plan,
    /// What this process does of it.
    pub slice: Slice,
    /// The engine's side.
    pub progress: &'a Progress<'a>,
    /// What began so far.
    pub onsets: &'a [Onset],
    /// What the kernel showed last.
    pub seen: Option<&'a KernelWindow>,
}

impl<'a> Deref for Watched<'a> {
    type Target = Progress<'a>;

    fn deref(&self) -> &Progress<'a> {
        self.progress
    }
}

impl Watched<'_> {
    /// The result as it would be if the run ended now, with the last window alone, and not judged: for live
    /// figures and for conditions that end the run.
    pub fn so_far(&self) -> RunResult {
        let tally = self.tally.clone();
        let run = Run {
            began: String::new(),
            began_unix_us: 0,
            slice: self.slice,
            elapsed: self.elapsed,
            interrupted: false,
            workers: 0,
            destinations: Vec::new(),
            unresolved: None,
            tuples: 0,
            leasable_ports: None,
            planned: tally.started() + tally.skipped(),
            held_max: self.window.map_or(0, |window| window.open),
            tally,
            windows: self.window.into_iter().cloned().collect(),
            cpu: Duration::ZERO,
            worker_cpu: self.window.map_or(Duration::ZERO, |window| window.cpu),
            memory: (0, 0),
            worker_errors: Vec::new(),
        };
        let mut result = RunResult::of(self.plan, &run);
        result.onsets = self.onsets.iter().map(Into::into).collect();
        if let (Some(window), Some(seen)) = (result.windows.last_mut(), self.seen) {
            window.kernel = Some(seen.clone());
        }
        result
    }
}
