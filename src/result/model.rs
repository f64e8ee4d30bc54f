//! The result of a run as it is saved and published. Versioned; fields are only ever added.
//!
//! Every format is written from this, and from nothing else: what a saved JSON holds is what there is.

use crate::diagnose::Finding;
use crate::linux::sysctl::HostSettings;
use crate::model::{
    Cause, Closes, Codes, Errno, Evidence, Latency, Onset, OnsetKind, Reply, Sample, Side, Slice, Stage,
    Traffic, status_list,
};
use crate::plan::Plan;
use crate::plan::threshold::{Evaluation, Metric};
use crate::result::figures::Figures;
use crate::result::forecast::ForecastReport;
pub use crate::result::population::PopulationResult;
pub use crate::result::window::{KernelWindow, WindowStep, WindowSummary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Version of the model. It rises only when a field changes its meaning, which none should.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that is known of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunResult {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program that made it.
    pub connstorm_version: String,
    /// Worth of the run.
    pub verdict: Verdict,
    /// Reasons, in sentences.
    pub reasons: Vec<String>,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// The same in microseconds since 1970; 0 where it is not known.
    #[serde(default)]
    pub began_unix_us: u64,
    /// Time that the run took, in seconds.
    pub elapsed_s: f64,
    /// Plan of the run.
    pub plan: Plan,
    /// Part of the plan that this process did, and all counts are of; absent where it is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// The settings and limits of this host when it began.
    pub host: HostSettings,
    /// Looks at the kernel that failed while it ran, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// Forecast before the run, beside what was measured; absent where nothing can be forecast: a closed
    /// loop whose connections are closed at once, or no destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastReport>,
    /// Where it connected to.
    pub destinations: Vec<SocketAddr>,
    /// Source addresses × destinations that it could use.
    pub tuples: u64,
    /// Source ports that it could lease on each tuple; absent where the kernel chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leasable_ports: Option<u64>,
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
    /// Replies of HTTP by status, those to handshakes of WebSockets that were refused among them.
    #[serde(default, skip_serializing_if = "Codes::is_empty", with = "status_list")]
    #[schemars(schema_with = "status_list::schema")]
    pub statuses: Codes,
    /// Steps of conversations, in their order; their times are in `latency_us`, as `step.NAME`. Empty where there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepCount>,
    /// Part of each population, where there are several; empty where there is one alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub populations: Vec<PopulationResult>,
    /// Failures by kind, in the order of their first appearance.
    pub failures: Vec<FailureKind>,
    /// Latencies of attempts that succeeded in the measured step, in microseconds.
    pub latency_us: BTreeMap<String, LatencySummary>,
    /// Onsets, in the order of time.
    pub onsets: Vec<OnsetReport>,
    /// Causes, the surest and weightiest first.
    pub findings: Vec<Finding>,
    /// Judgements that the verdict rests on.
    pub thresholds: Vec<Evaluation>,
    /// Reason for which the run was ended early: the condition of `abort_when` that held, with the value; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<String>,
    /// Cost of the run for this machine.
    pub resources: Resources,
    /// The run second by second.
    pub windows: Vec<WindowSummary>,
    /// The command line that made it, secrets replaced; absent where it was not the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program, or one of those that this was merged from, did not come to its end: this is what it had counted
    /// until it was last written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The results that this one was merged from; empty where it is of one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// One of the results that another was merged from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Part {
    /// The file that it was read from.
    pub name: String,
    /// The settings and limits of its host.
    pub host: HostSettings,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// Time that the run took, in seconds.
    pub elapsed_s: f64,
    /// Worth of it.
    pub verdict: Verdict,
    /// Part of the plan that it did; absent where it is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// The program of the part did not come to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Attempts by outcome.
    pub counts: Counts,
}

/// Worth of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything it was to be judged by holds.
    Passed,
    /// Some threshold does not hold.
    Failed,
    /// The generator was the limit: the figures say nothing about the target.
    Invalid,
    /// The run was ended from outside; what ran is reported.
    Interrupted,
}

/// Attempts by outcome. planned + reconnects = started + skipped; started = ok + failed + cut short + in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counts {
    /// Arrivals that became due, those left out that are due as a connection was lost (`messages.reconnects`).
    pub planned: u64,
    /// Attempts started.
    pub started: u64,
    /// Attempts that ended well.
    pub ok: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that the end of the run closed in the midst of their conversation: neither ok nor failed.
    #[serde(default)]
    pub cut_short: u64,
    /// Arrivals that were not started.
    pub skipped: u64,
    /// Attempts that had not ended when an interruption came.
    pub in_flight: u64,
    /// The most connections open at once. In a merged result: at the end of a window, or in one of its parts.
    pub held_max: u64,
    /// Number of times that a closed-loop slot waited after a failure.
    pub backoffs: u64,
    /// Attempts whose SYN had to be sent again.
    pub syn_retransmits: u64,
    /// Payload received, in bytes.
    pub bytes_in: u64,
    /// Payload sent, in bytes.
    pub bytes_out: u64,
}

/// What became of a step of conversations, over all connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepCount {
    /// Its name.
    pub name: String,
    /// How often it was done.
    pub done: u64,
    /// Attempts that failed in it.
    pub failed: u64,
}

/// All failures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FailureKind {
    /// Stage that the attempts had come to.
    pub stage: Stage,
    /// Cause.
    pub cause: Cause,
    /// The kernel's own word for it.
    pub errno: Option<Errno>,
    /// The peer's own number for it: HTTP status, TLS alert, WebSocket close code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The step of a conversation in which it happened; absent where there are no steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Who has to change something, as far as the attempts alone can tell.
    pub side: Side,
    /// Number of them.
    pub count: u64,
    /// When the first happened, in seconds since the start.
    pub first_at_s: f64,
    /// Ordinal of the first of them; the first of the run is 1.
    pub first_ordinal: u64,
    /// When the last happened, in seconds since the start.
    pub last_at_s: f64,
    /// From start to failure, in microseconds.
    pub latency_us: LatencySummary,
    /// The first few in detail.
    pub samples: Vec<FailureSample>,
}

/// One failed attempt in detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FailureSample {
    /// Ordinal of the attempt; the first of the run is 1.
    pub ordinal: u64,
    /// When it failed, in seconds since the start.
    pub at_s: f64,
    /// Source address that was bound; absent where the kernel chose.
    pub source: Option<IpAddr>,
    /// Source port that was bound; absent where the kernel chose.
    pub source_port: Option<u16>,
    /// Where to.
    pub destination: SocketAddr,
    /// The peer's words, where it said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// The beginning of a trouble, or of its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OnsetReport {
    /// Kind of the trouble that begins.
    pub kind: OnsetKind,
    /// When, in seconds since the start.
    pub at_s: f64,
    /// When it was over, in seconds since the start, where it has an end that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
    /// At which attempt, where one showed it; the first of the run is 1.
    pub ordinal: Option<u64>,
    /// Source address of the tuple, where it is about one.
    pub source: Option<IpAddr>,
    /// Destination of the tuple, where it is about one.
    pub destination: Option<SocketAddr>,
    /// The numbers that prove it.
    pub evidence: Evidence,
    /// On which machine, in a result that was merged; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl From<&Onset> for OnsetReport {
    fn from(onset: &Onset) -> OnsetReport {
        OnsetReport {
            kind: onset.kind,
            at_s: onset.at.as_secs_f64(),
            until_s: onset.until.map(|until| until.as_secs_f64()),
            ordinal: onset.ordinal.map(|ordinal| ordinal + 1),
            source: onset.source,
            destination: onset.destination,
            evidence: onset.evidence.clone(),
            host: None,
        }
    }
}

/// A latency, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LatencySummary {
    /// Number of values.
    pub count: u64,
    /// Smallest.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
    /// Largest.
    pub max: u64,
    /// All values: compressed HdrHistogram V2, base64. Two results are merged by it.
    pub histogram: String,
}

/// Cost of the run for this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Resources {
    /// Worker threads.
    pub workers: u32,
    /// CPU time of the whole process, in seconds. An embedded target is in it.
    pub cpu_s: f64,
    /// CPU time of the workers alone, in seconds.
    pub worker_cpu_s: f64,
    /// Time for which connections waited for their worker longer than 100 ms, beyond those, over all workers, in
    /// seconds.
    #[serde(default)]
    pub late_s: f64,
    /// Resident memory of the process before the run, in bytes.
    pub rss_start_bytes: u64,
    /// The most resident memory that the process ever had, in bytes.
    pub rss_peak_bytes: u64,
    /// Memory that the plan allows the process, in bytes; absent: what can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

impl RunResult {
    /// The value of a metric in its unit; `None` where it was not measured.
    pub fn value(&self, metric: &Metric) -> Option<f64> {
        Figures::of(self).value(metric)
    }

    /// Attempts per second that ended well, over the whole run.
    pub fn ok_per_second(&self) -> f64 {
        per_second(self.counts.ok, self.elapsed_s)
    }
}

/// A number of things in a time as a rate; 0 where no time passed.
pub(super) fn per_second(count: u64, elapsed_s: f64) -> f64 {
    if elapsed_s > 0.0 { count as f64 / elapsed_s } else { 0.0 }
}

impl LatencySummary {
    /// The summary of a histogram.
    pub fn of(latency: &Latency) -> LatencySummary {
        let (min, max) = latency.min_max_us();
        LatencySummary {
            count: latency.count(),
            min,
            mean: latency.mean_us(),
            p50: latency.quantile_us(0.5),
            p90: latency.quantile_us(0.9),
            p99: latency.quantile_us(0.99),
            p99_9: latency.quantile_us(0.999),
            max,
            histogram: if latency.count() == 0 { String::new() } else { latency.to_base64() },
        }
    }
}

impl StepCount {
    /// Counts of one load's parts, which have the same steps, added up by name.
    pub(super) fn added_up(parts: &[crate::result::merge::Named]) -> Vec<StepCount> {
        let mut sums: Vec<StepCount> = Vec::new();
        for step in parts.iter().flat_map(|part| &part.result.steps) {
            match sums.iter_mut().find(|sum| sum.name == step.name) {
                Some(sum) => {
                    sum.done = sum.done.saturating_add(step.done);
                    sum.failed = sum.failed.saturating_add(step.failed);
                }
                None => sums.push(step.clone()),
            }
        }
        sums
    }
}

impl FailureKind {
    pub(super) fn of(kind: &crate::model::FailureTally, steps: &[String]) -> FailureKind {
        FailureKind {
            step: kind.failure.step.and_then(|step| steps.get(usize::from(step)).cloned()),
            stage: kind.failure.stage,
            cause: kind.failure.cause,
            errno: kind.failure.errno,
            code: kind.failure.code,
            side: kind.failure.side(),
            count: kind.count,
            first_at_s: kind.first_at.as_secs_f64(),
            first_ordinal: kind.first_ordinal + 1,
            last_at_s: kind.last_at.as_secs_f64(),
            latency_us: LatencySummary::of(&kind.latency),
            samples: kind.samples.iter().map(FailureSample::of).collect(),
        }
    }

    /// True if another is of the same kind, in the same step.
    pub(super) fn is_like(&self, other: &FailureKind) -> bool {
        self.failure() == other.failure() && self.step == other.step
    }

    /// The failure as data.
    pub fn failure(&self) -> crate::model::Failure {
        crate::model::Failure {
            stage: self.stage,
            cause: self.cause,
            errno: self.errno,
            code: self.code,
            step: None,
        }
    }
}

impl FailureSample {
    fn of(sample: &Sample) -> FailureSample {
        FailureSample {
            ordinal: sample.ordinal + 1,
            at_s: sample.at.as_secs_f64(),
            source: sample.lease.source,
            source_port: sample.lease.port,
            destination: sample.lease.destination,
            reply: sample.reply.as_deref().cloned(),
        }
    }
}
