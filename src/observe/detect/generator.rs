//! Trouble of our own: descriptors, and not keeping to the plan.

use super::{ObservedWindow, RunContext};
use crate::model::{Cause, Evidence, Onset, OnsetKind};

/// 99th percentile of the lateness, in microseconds, of a window in which the plan was not kept.
const LATE_US: u64 = 20_000;
/// Windows in a row that have to be late: one may be a hiccup of the machine.
const WINDOWS: u32 = 2;

/// Observations so far, and what was told.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    late_windows: u32,
    saturated_told: bool,
    limit_told: bool,
}

impl Saturation {
    pub(super) fn look(&mut self, view: &ObservedWindow<'_>, context: &RunContext, onsets: &mut Vec<Onset>) {
        onsets.extend(self.descriptors(view));
        onsets.extend(self.lateness(view, context));
    }

    fn descriptors(&mut self, view: &ObservedWindow<'_>) -> Option<Onset> {
        if self.limit_told {
            return None;
        }
        let limit = |cause| matches!(cause, Cause::ProcessFileLimit | Cause::SystemFileLimit);
        let kinds = view.totals.failures().iter().filter(|kind| limit(kind.failure.cause));
        let first = kinds.min_by_key(|kind| (kind.first_at, kind.first_ordinal))?;
        self.limit_told = true;
        let evidence = Evidence::default()
            .with("failure", first.failure.to_string())
            .with("open", view.window.open)
            .with_known("open_files_of_the_machine", view.sample.files.map(|files| files.open))
            .with_known("fs_file_max", view.sample.files.map(|files| files.max));
        Some(Onset {
            ordinal: Some(first.first_ordinal),
            ..Onset::new(OnsetKind::FdLimit, first.first_at, evidence)
        })
    }

    fn lateness(&mut self, view: &ObservedWindow<'_>, context: &RunContext) -> Option<Onset> {
        if self.saturated_told {
            return None;
        }
        let attempts = if context.open_loop { view.window.lateness_p99_us } else { 0 };
        let messages = view.window.message_lateness_p99_us;
        let is_late = attempts.max(messages.unwrap_or(0)) > LATE_US;
        self.late_windows = if is_late { self.late_windows + 1 } else { 0 };
        if self.late_windows < WINDOWS {
            return None;
        }
        self.saturated_told = true;
        let evidence = Evidence::default()
            .with_known("lateness_p99_us", context.open_loop.then_some(attempts))
            .with_known("message_lateness_p99_us", messages)
            .with("planned_in_this_window", view.window.planned)
            .with("started_in_this_window", view.window.started)
            .with("connect_call_p99_us", view.window.connect_call_p99_us)
            .with("worker_cpu_s", view.window.cpu.as_secs_f64())
            .with("cores", context.cores);
        Some(Onset::new(OnsetKind::GeneratorSaturated, view.now(), evidence))
    }
}
