//! The result of a run, made in one piece of everything that the run came to.

use crate::capacity::{Demand, Forecast};
use crate::diagnose::Finding;
use crate::linux::sysctl::HostSettings;
use crate::model::{Onset, Run, SkipReason, StepTally, Tally};
use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::plan::steps;
use crate::result::figures::{Ending, Figures};
use crate::result::forecast::ForecastReport;
use crate::result::model::{
    Counts, FailureKind, LatencySummary, OnsetReport, Resources, RunResult, SCHEMA_VERSION, StepCount,
    WindowSummary,
};
use std::collections::BTreeMap;

/// Everything that a run came to.
#[derive(Debug)]
pub struct Completed {
    /// Counts and times of the engine.
    pub run: Run,
    /// The settings of this host when the run began.
    pub host: HostSettings,
    /// The forecast of the run, and the demand that was forecast.
    pub forecast: Option<(Demand, Forecast)>,
    /// TIME_WAIT sockets that the namespace had before the run.
    pub time_wait_before: u64,
    /// Onsets, by time.
    pub onsets: Vec<Onset>,
    /// The windows, each with what the kernel showed at its end.
    pub windows: Vec<WindowSummary>,
    /// Looks that failed, and why.
    pub unseen: Vec<String>,
    /// Causes, the surest first.
    pub findings: Vec<Finding>,
    /// End of the run.
    pub end: End,
}

/// End of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The plan was carried out, or the run was ended from outside.
    Ended,
    /// A condition of `abort_when` held: this one, with the value.
    Aborted(String),
    /// The run goes on, and may be cut off at any time: these are the figures so far.
    UnderWay,
}

impl Completed {
    /// Everything as one result, judged, without what the plan keeps secret.
    pub fn into_result(self, plan: &Plan) -> RunResult {
        let result = self.as_it_is(plan);
        hide_in(result, &plan.secret_texts())
    }

    /// The same with a peer's words as they came, in which secrets may stand.
    pub fn as_it_is(self, plan: &Plan) -> RunResult {
        let Completed { run, end, windows, .. } = self;
        let (start, tally) = (&run.start, &run.tally);
        let counts = counts(&run);
        let skipped: BTreeMap<String, u64> =
            SkipReason::ALL.map(|reason| (reason.name().into(), tally.skipped_for(reason))).into();
        let names = steps::names(&plan.session.steps);
        let failures: Vec<FailureKind> =
            tally.failures().iter().map(|kind| FailureKind::of(kind, &names)).collect();
        let steps = step_counts(plan, tally, &names);
        let named = tally.latencies.named().into_iter();
        let times = names.iter().zip(tally.steps.iter()).filter(|(_, step)| step.latency.count() > 0);
        let latency_us = named
            .map(|(name, latency)| (name.to_owned(), latency))
            .chain(times.map(|(name, step)| (format!("step.{name}"), &step.latency)))
            .map(|(name, latency)| (name, LatencySummary::of(latency)))
            .collect();
        let onsets: Vec<OnsetReport> = self.onsets.iter().map(Into::into).collect();
        let plan = plan.redacted();
        let slice = Some(start.slice).filter(|slice| !slice.is_whole());
        let ending = match &end {
            End::UnderWay => Ending::UnderWay,
            End::Aborted(_) => Ending::Aborted,
            End::Ended if run.interrupted => Ending::Interrupted,
            End::Ended => Ending::Planned,
        };
        let resources = Resources {
            workers: start.workers,
            cpu_s: run.cpu.as_secs_f64(),
            worker_cpu_s: run.worker_cpu.as_secs_f64(),
            late_s: tally.late.as_secs_f64(),
            rss_start_bytes: start.memory,
            rss_peak_bytes: run.memory_peak,
            memory_limit_bytes: start.memory_limit,
        };
        let figures = Figures {
            plan: &plan,
            slice,
            elapsed_s: run.elapsed.as_secs_f64(),
            counts: &counts,
            skipped: &skipped,
            messages: &tally.traffic,
            failures: &failures,
            steps: &steps,
            latency_us: &latency_us,
            onsets: &onsets,
            unseen: &self.unseen,
            resources: &resources,
            ending,
        };
        let judgement = figures.judge(troubles(&run, &end), &run.worker_errors);
        let forecast = self.forecast.map(|(demand, forecast)| {
            ForecastReport::new(demand, forecast, self.time_wait_before, &figures, &windows)
        });
        RunResult {
            schema_version: SCHEMA_VERSION,
            connstorm_version: env!("CARGO_PKG_VERSION").into(),
            verdict: judgement.verdict,
            reasons: judgement.reasons,
            began: start.began.clone(),
            began_unix_us: start.began_unix_us,
            elapsed_s: run.elapsed.as_secs_f64(),
            host: self.host,
            forecast,
            findings: self.findings,
            thresholds: judgement.thresholds,
            partial: end == End::UnderWay,
            aborted: if let End::Aborted(why) = end { Some(why) } else { None },
            destinations: start.destinations.clone(),
            tuples: start.tuples,
            leasable_ports: start.leasable_ports,
            messages: tally.traffic,
            closes: tally.closes.clone(),
            statuses: tally.statuses.clone(),
            resources,
            command: None,
            parts: Vec::new(),
            unseen: self.unseen,
            plan,
            slice,
            counts,
            skipped,
            steps,
            failures,
            latency_us,
            onsets,
            windows,
        }
    }
}

/// Outcome of each step that is counted.
fn step_counts(plan: &Plan, tally: &Tally, names: &[String]) -> Vec<StepCount> {
    let nothing = StepTally::default();
    let tallies = tally.steps.iter().chain(std::iter::repeat(&nothing));
    let all = steps::flat(&plan.session.steps).into_iter().zip(names).zip(tallies);
    all.filter(|((step, _), tally)| step.act.is_counted() || tally.failed > 0)
        .map(|((_, name), tally)| StepCount { name: name.clone(), done: tally.done, failed: tally.failed })
        .collect()
}

fn counts(run: &Run) -> Counts {
    let tally = &run.tally;
    Counts {
        planned: run.planned,
        started: tally.started(),
        ok: tally.ok(),
        failed: tally.failed(),
        cut_short: tally.cut_short(),
        skipped: tally.skipped(),
        in_flight: tally.in_flight().max(0).unsigned_abs(),
        held_max: run.held_max,
        backoffs: tally.backoffs(),
        syn_retransmits: tally.syn_retransmits(),
        bytes_in: tally.bytes_in,
        bytes_out: tally.bytes_out,
    }
}

/// Reasons for which the run as a whole could not succeed.
fn troubles(run: &Run, end: &End) -> Vec<String> {
    let ended_early = match end {
        End::Aborted(why) => Some(format!("ended early: {why}")),
        End::UnderWay => Some(format!(
            "connstorm did not come to its end; this is what it had counted after {:.1} s",
            run.elapsed.as_secs_f64()
        )),
        End::Ended => None,
    };
    let unresolved = run.start.unresolved.as_ref();
    let unresolved = unresolved.map(|why| format!("the target's name could not be resolved: {why}"));
    ended_early.into_iter().chain(unresolved).collect()
}
