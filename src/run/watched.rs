//! State of a run under way: the engine's progress, and what was seen of the kernel.

use crate::engine::Progress;
use crate::linux::sysctl::HostSettings;
use crate::linux::usage::{peak_resident_bytes, process_cpu};
use crate::model::{Onset, Run};
use crate::plan::Plan;
use crate::result::{Completed, End, KernelWindow, RunResult, WindowSummary};
use std::ops::Deref;

/// The state of a run under way.
#[derive(Debug)]
pub struct Watched<'a> {
    /// Plan that is run, as a whole.
    pub plan: &'a Plan,
    /// The settings of this host when the run began.
    pub host: &'a HostSettings,
    /// The engine's side.
    pub progress: &'a Progress<'a>,
    /// Onsets so far.
    pub onsets: &'a [Onset],
    /// State of the kernel that was seen last.
    pub seen: Option<&'a KernelWindow>,
}

impl<'a> Deref for Watched<'a> {
    type Target = Progress<'a>;

    fn deref(&self) -> &Progress<'a> {
        self.progress
    }
}

impl Watched<'_> {
    /// The window that was completed last, with what was seen of the kernel last.
    pub fn last_window(&self) -> Option<WindowSummary> {
        self.window.map(|window| WindowSummary::of(window, self.seen.cloned(), &self.plan.step_names()))
    }

    /// The result as it would be if the program ended now, with these windows: for live figures and for conditions
    /// that end the run. A peer's words are in it as they came, secrets among them.
    pub fn so_far(&self, windows: Vec<WindowSummary>) -> RunResult {
        let tally = self.tally.clone();
        let run = Run {
            start: self.start.clone(),
            elapsed: self.elapsed,
            interrupted: false,
            planned: (tally.started() + tally.skipped()).saturating_sub(tally.traffic.reconnects),
            held_max: self.held_max,
            tally,
            windows: Vec::new(),
            populations: Vec::new(),
            cpu: process_cpu().saturating_sub(self.start.cpu),
            worker_cpu: self.worker_cpu,
            memory_peak: peak_resident_bytes().unwrap_or(0),
            worker_errors: Vec::new(),
        };
        let completed = Completed {
            run,
            host: self.host.clone(),
            forecast: None,
            time_wait_before: 0,
            onsets: self.onsets.to_vec(),
            windows,
            unseen: Vec::new(),
            findings: Vec::new(),
            end: End::UnderWay,
        };
        completed.as_it_is(self.plan)
    }
}
