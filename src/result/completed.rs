//! The result of a run, made in one piece of everything that the run came to.

use crate::capacity::{Demand, Forecast};
use crate::diagnose::Finding;
use crate::linux::sysctl::HostSettings;
use crate::model::{Onset, Run};
use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::result::figures::{Ending, Figures};
use crate::result::forecast::ForecastReport;
use crate::result::model::{FailureKind, OnsetReport, Resources, RunResult, SCHEMA_VERSION, WindowSummary};
use crate::result::population::{self, PopulationResult};

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
        let counts = population::counts(tally, run.planned, run.held_max);
        let skipped = population::skipped(tally);
        let names = plan.step_names();
        let failures: Vec<FailureKind> =
            tally.failures().iter().map(|kind| FailureKind::of(kind, &names)).collect();
        let steps = population::all_step_counts(plan, tally);
        let latency_us = population::latencies(tally, &names);
        let populations = PopulationResult::all(plan, &run.populations);
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
            populations: &populations,
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
            populations,
        }
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
