//! The figures of a run that thresholds and the verdict look at: of a result that is being made, and of one
//! that there is.

use crate::model::{Slice, Traffic};
use crate::plan::Plan;
use crate::result::model::{
    Counts, FailureKind, LatencySummary, OnsetReport, PopulationResult, Resources, RunResult, StepCount,
    Verdict,
};
use std::collections::BTreeMap;

/// The figures. The fields are those of [`RunResult`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures<'a> {
    pub(super) plan: &'a Plan,
    pub(super) slice: Option<Slice>,
    pub(super) elapsed_s: f64,
    pub(super) counts: &'a Counts,
    pub(super) skipped: &'a BTreeMap<String, u64>,
    pub(super) messages: &'a Traffic,
    pub(super) failures: &'a [FailureKind],
    pub(super) steps: &'a [StepCount],
    pub(super) latency_us: &'a BTreeMap<String, LatencySummary>,
    pub(super) onsets: &'a [OnsetReport],
    pub(super) unseen: &'a [String],
    pub(super) resources: &'a Resources,
    pub(super) populations: &'a [PopulationResult],
    pub(super) ending: Ending,
}

/// Who ended the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The plan.
    Planned,
    /// A condition of the plan's `abort_when`.
    Aborted,
    /// Somebody outside.
    Interrupted,
    /// Nobody yet.
    UnderWay,
}

impl<'a> Figures<'a> {
    /// Those of a result.
    pub(crate) fn of(result: &'a RunResult) -> Figures<'a> {
        Figures {
            plan: &result.plan,
            slice: result.slice,
            elapsed_s: result.elapsed_s,
            counts: &result.counts,
            skipped: &result.skipped,
            messages: &result.messages,
            failures: &result.failures,
            steps: &result.steps,
            latency_us: &result.latency_us,
            onsets: &result.onsets,
            unseen: &result.unseen,
            resources: &result.resources,
            populations: &result.populations,
            ending: match result.verdict {
                Verdict::Interrupted => Ending::Interrupted,
                _ if result.aborted.is_some() => Ending::Aborted,
                _ => Ending::Planned,
            },
        }
    }
}
