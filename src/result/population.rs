//! Part of a result that one population of several did.

use crate::model::{Closes, Codes, Latency, PopulationRun, SkipReason, StepTally, Tally, Traffic};
use crate::plan::steps::{self, Step};
use crate::plan::{Plan, Population};
use crate::result::figures::Figures;
use crate::result::model::{Counts, FailureKind, LatencySummary, RunResult, StepCount, WindowSummary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Part of the clients of one population. The fields are those of the whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PopulationResult {
    /// Name.
    pub name: String,
    /// Attempts by outcome.
    pub counts: Counts,
    /// Arrivals not started, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Messages over connections, above TCP.
    #[serde(default)]
    pub messages: Traffic,
    /// WebSockets that the peer closed first, by close code.
    #[serde(default, skip_serializing_if = "Closes::is_empty")]
    pub closes: Closes,
    /// Replies of HTTP by status.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub statuses: Codes,
    /// Steps of conversations, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepCount>,
    /// Failures by kind, in the order of their first appearance.
    pub failures: Vec<FailureKind>,
    /// Latencies, in microseconds.
    pub latency_us: BTreeMap<String, LatencySummary>,
    /// The run second by second.
    pub windows: Vec<WindowSummary>,
}

impl PopulationResult {
    /// Results of all populations of a plan.
    pub(super) fn all(plan: &Plan, runs: &[PopulationRun]) -> Vec<PopulationResult> {
        let names = plan.step_names();
        let mut first_step = 0;
        let mut all = Vec::new();
        for (population, run) in plan.populations.iter().zip(runs) {
            let steps = &population.plan.session.steps;
            all.push(PopulationResult::of(population, run, &names, first_step));
            first_step += steps::flat(steps).len();
        }
        all
    }

    fn of(
        population: &Population,
        run: &PopulationRun,
        names: &[String],
        first_step: usize,
    ) -> PopulationResult {
        let tally = &run.tally;
        let session = &population.plan.session;
        PopulationResult {
            name: population.name.clone(),
            counts: counts(tally, run.planned, run.held_max),
            skipped: skipped(tally),
            messages: tally.traffic,
            closes: tally.closes.clone(),
            statuses: tally.statuses.clone(),
            steps: step_counts(&session.steps, tally, first_step),
            failures: tally.failures().iter().map(|kind| FailureKind::of(kind, names)).collect(),
            latency_us: latencies(tally, names),
            windows: WindowSummary::all(&run.windows, Vec::new(), names),
        }
    }

    /// The figures of the population, in a run that has these.
    pub(super) fn figures<'a>(&'a self, of_all: &Figures<'a>) -> Figures<'a> {
        Figures {
            counts: &self.counts,
            skipped: &self.skipped,
            messages: &self.messages,
            failures: &self.failures,
            steps: &self.steps,
            latency_us: &self.latency_us,
            populations: &[],
            ..*of_all
        }
    }

    /// The population as if it were the whole of a result: to be merged as that is.
    pub(super) fn as_result(&self, of: &RunResult) -> RunResult {
        RunResult {
            counts: self.counts,
            skipped: self.skipped.clone(),
            messages: self.messages,
            closes: self.closes.clone(),
            statuses: self.statuses.clone(),
            steps: self.steps.clone(),
            failures: self.failures.clone(),
            latency_us: self.latency_us.clone(),
            windows: self.windows.clone(),
            populations: Vec::new(),
            ..of.clone()
        }
    }

    /// The opposite of [`PopulationResult::as_result`].
    pub(super) fn of_result(name: &str, result: RunResult) -> PopulationResult {
        PopulationResult {
            name: name.to_owned(),
            counts: result.counts,
            skipped: result.skipped,
            messages: result.messages,
            closes: result.closes,
            statuses: result.statuses,
            steps: result.steps,
            failures: result.failures,
            latency_us: result.latency_us,
            windows: result.windows,
        }
    }
}

/// Outcome of each step of all populations that is counted; steps of one name are one.
pub(super) fn all_step_counts(plan: &Plan, tally: &Tally) -> Vec<StepCount> {
    let mut sums: Vec<StepCount> = Vec::new();
    let mut first = 0;
    for plan in plan.each() {
        for step in step_counts(&plan.session.steps, tally, first) {
            match sums.iter_mut().find(|sum| sum.name == step.name) {
                Some(sum) => {
                    sum.done = sum.done.saturating_add(step.done);
                    sum.failed = sum.failed.saturating_add(step.failed);
                }
                None => sums.push(step),
            }
        }
        first += steps::flat(&plan.session.steps).len();
    }
    sums
}

/// Outcome of each step that is counted; `first` is the number of the first.
fn step_counts(of: &[Step], tally: &Tally, first: usize) -> Vec<StepCount> {
    let nothing = StepTally::default();
    let tallies = tally.steps.iter().skip(first).chain(std::iter::repeat(&nothing));
    let all = steps::flat(of).into_iter().zip(steps::names(of)).zip(tallies);
    all.filter(|((step, _), tally)| step.act.is_counted() || tally.failed > 0)
        .map(|((_, name), tally)| StepCount { name, done: tally.done, failed: tally.failed })
        .collect()
}

/// Latencies by name; those of steps of one name are one.
pub(super) fn latencies(tally: &Tally, names: &[String]) -> BTreeMap<String, LatencySummary> {
    let mut of_steps = BTreeMap::<String, Latency>::new();
    for (name, step) in names.iter().zip(tally.steps.iter()).filter(|(_, step)| step.latency.count() > 0) {
        of_steps.entry(format!("step.{name}")).or_default().merge(&step.latency);
    }
    let named = tally.latencies.named().into_iter();
    let named = named.map(|(name, latency)| (name.to_owned(), LatencySummary::of(latency)));
    named.chain(of_steps.iter().map(|(name, latency)| (name.clone(), LatencySummary::of(latency)))).collect()
}

/// Arrivals not started, by reason.
pub(super) fn skipped(tally: &Tally) -> BTreeMap<String, u64> {
    SkipReason::ALL.map(|reason| (reason.name().into(), tally.skipped_for(reason))).into()
}

/// Attempts by outcome.
pub(super) fn counts(tally: &Tally, planned: u64, held_max: u64) -> Counts {
    Counts {
        planned,
        started: tally.started(),
        ok: tally.ok(),
        failed: tally.failed(),
        cut_short: tally.cut_short(),
        skipped: tally.skipped(),
        in_flight: tally.in_flight().max(0).unsigned_abs(),
        held_max,
        backoffs: tally.backoffs(),
        syn_retransmits: tally.syn_retransmits(),
        bytes_in: tally.bytes_in,
        bytes_out: tally.bytes_out,
    }
}
