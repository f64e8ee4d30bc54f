//! Two sides of results held against each other: what became slower or worse, and how sure that is.
//!
//! A change is given with an interval, and called a regression only where the whole interval lies past the
//! tolerance: noise alone fails no CI job, and a change that can't be told from noise is called that.

mod interval;

use crate::model::Latency;
use crate::result::model::{LatencySummary, RunResult, Verdict};
use interval::{Measured, change_of_proportion, relative_change};
use serde::Serialize;
use std::collections::BTreeSet;

/// Version of what [`Comparison`] serialises to.
pub const COMPARISON_VERSION: u32 = 1;
/// Latencies that are no matter of the target: the generator's own calls, and what the plan sets.
const SHOWN_ONLY: [&str; 4] = ["bind_call", "connect_call", "lateness", "lifetime"];
/// The percentiles compared, and whether a regression of one fails the comparison. The rarer ones are
/// decided by so few attempts that they are only shown.
const QUANTILES: [(&str, f64, Weight); 4] = [
    ("p50", 0.5, Weight::Decides),
    ("p90", 0.9, Weight::Decides),
    ("p99", 0.99, Weight::Decides),
    ("p99_9", 0.999, Weight::Shown),
];
/// Fewest attempts of a side that say anything.
const FEWEST: u64 = 20;
/// Values beyond a percentile without which it is a matter of single attempts.
const BEYOND: f64 = 10.0;
/// A change that nobody would miss: twice as much, or half. An interval that allows for it says nothing.
const NOTICED: f64 = 1.0;
/// The same of the share of failures, in percentage points.
const NOTICED_POINTS: f64 = 10.0;
/// Percentage points by which the share of failures may rise, whatever the tolerance.
const FAILED_POINTS: f64 = 0.1;

/// True if a regression of a metric fails the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The metric decides.
    Decides,
    /// The metric is only shown.
    Shown,
}

/// Change of a metric, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Worse, by more than the tolerance, and noise does not explain it.
    Regressed,
    /// Better, by more than the tolerance, and noise does not explain it.
    Improved,
    /// Whatever there is can't be told from noise, or is within the tolerance.
    NoChangeSeen,
    /// So few attempts or so much noise that a change which everybody would notice could hide in it.
    TooNoisy,
}

/// One metric on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Name, as in thresholds.
    pub metric: String,
    /// Unit: `us`, `ratio` or `per_s`.
    pub unit: &'static str,
    /// On the side of the base: the mean of its runs (geometric, of a latency).
    pub base: f64,
    /// On the new side.
    pub new: f64,
    /// By how much it changed: a share of the base; of a ratio the difference.
    pub change: f64,
    /// The interval in which the change lies with 95 % certainty.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Verdict on the change.
    pub verdict: Change,
    /// True if it decides.
    pub weight: Weight,
}

/// Everything compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// See [`COMPARISON_VERSION`].
    pub comparison_version: u32,
    /// Regressed if any metric that decides is.
    pub verdict: Change,
    /// The tolerance, as a share.
    pub tolerance: f64,
    /// Runs of the base.
    pub base_runs: usize,
    /// Runs of the new side.
    pub new_runs: usize,
    /// Reasons for which the comparison is not as sure as it looks.
    pub notes: Vec<String>,
    /// The metrics.
    pub rows: Vec<Row>,
}

/// Reason for which sides can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side has no run.
    #[error("the {0} side has no result")]
    NoRun(&'static str),
    /// A run says nothing.
    #[error(
        "the run '{name}' ({began}) of the {side} side is {verdict}, and says nothing about the target ({why}); \
         leave it out, or run it again"
    )]
    Worthless {
        /// The side.
        side: &'static str,
        /// Name.
        name: String,
        /// When it began.
        began: String,
        /// Verdict of the result.
        verdict: &'static str,
        /// Reason.
        why: String,
    },
    /// They do different things.
    #[error(
        "the runs differ in {0} of their plans, so that a change would be one of the load, not of the target; \
         compare runs of one scenario"
    )]
    Different(&'static str),
    /// A histogram is none.
    #[error("the histogram of {0} can't be read: the result was damaged")]
    Histogram(String),
}

/// Holds the new side against the base. `tolerance` is a share: 0.1 is 10 %.
///
/// # Errors
/// When a side is empty, a run is worth nothing, or the runs are of different loads.
pub fn compare(base: &[RunResult], new: &[RunResult], tolerance: f64) -> Result<Comparison, CompareError> {
    check(base, new)?;
    let sides = Sides { base, new, tolerance };
    let mut rows = vec![sides.failed(), sides.rate()];
    let names: BTreeSet<&String> = base.iter().chain(new).flat_map(|run| run.latency_us.keys()).collect();
    for name in names {
        rows.extend(sides.latency(name)?);
    }
    let decided = |change| rows.iter().any(|row| row.weight == Weight::Decides && row.verdict == change);
    let verdict = if decided(Change::Regressed) {
        Change::Regressed
    } else if decided(Change::TooNoisy) || sides.attempts() < FEWEST {
        Change::TooNoisy
    } else if decided(Change::Improved) {
        Change::Improved
    } else {
        Change::NoChangeSeen
    };
    let (base_runs, new_runs) = (base.len(), new.len());
    let notes = sides.notes();
    Ok(Comparison {
        comparison_version: COMPARISON_VERSION,
        verdict,
        tolerance,
        base_runs,
        new_runs,
        notes,
        rows,
    })
}

fn check(base: &[RunResult], new: &[RunResult]) -> Result<(), CompareError> {
    for (side, runs) in [("base", base), ("new", new)] {
        if runs.is_empty() {
            return Err(CompareError::NoRun(side));
        }
        if let Some(run) = runs.iter().find(|run| run.verdict == Verdict::Invalid) {
            return Err(CompareError::Worthless {
                side,
                name: run.plan.name.clone(),
                began: run.began.clone(),
                verdict: "invalid",
                why: run.reasons.first().cloned().unwrap_or_default(),
            });
        }
    }
    let first = &base[0].plan;
    for plan in base.iter().chain(new).map(|run| &run.plan) {
        if plan.load != first.load {
            return Err(CompareError::Different("[load]"));
        }
        if plan.session != first.session {
            return Err(CompareError::Different("what is said above TCP"));
        }
        if plan.connection != first.connection {
            return Err(CompareError::Different("[connection]"));
        }
    }
    Ok(())
}

struct Sides<'a> {
    base: &'a [RunResult],
    new: &'a [RunResult],
    tolerance: f64,
}

impl Sides<'_> {
    fn failed(&self) -> Row {
        let counts = |runs: &[RunResult]| -> Vec<(u64, u64)> {
            runs.iter().map(|run| (run.counts.failed, run.counts.started)).collect()
        };
        let (base, new) = (counts(self.base), counts(self.new));
        let change = change_of_proportion(&base, &new);
        let margin = FAILED_POINTS / 100.0;
        Row {
            metric: "failed.ratio".into(),
            unit: "ratio",
            base: change.base,
            new: change.new,
            change: change.change,
            low: change.low,
            high: change.high,
            verdict: judged(
                change.low,
                change.high,
                margin,
                change.high - change.low > NOTICED_POINTS / 50.0,
            ),
            weight: Weight::Decides,
        }
    }

    /// Less is worse.
    fn rate(&self) -> Row {
        let rates = |runs: &[RunResult]| -> Vec<Measured> {
            let rate = |run: &RunResult| Measured {
                value: run.ok_per_second(),
                // Arrivals of a plan vary less than this; those of a closed loop about so.
                error: 1.0 / (run.counts.ok.max(1) as f64).sqrt(),
            };
            runs.iter().map(rate).collect()
        };
        let change = relative_change(&rates(self.base), &rates(self.new));
        Row {
            metric: "rate.achieved".into(),
            unit: "per_s",
            base: change.base,
            new: change.new,
            change: change.change,
            low: change.low,
            high: change.high,
            verdict: judged(-change.high, -change.low, self.tolerance, is_wide(change.low, change.high)),
            weight: Weight::Decides,
        }
    }

    /// The rows of a latency that every run of both sides has.
    fn latency(&self, name: &str) -> Result<Vec<Row>, CompareError> {
        let (Some(base), Some(new)) = (histograms(self.base, name)?, histograms(self.new, name)?) else {
            return Ok(Vec::new());
        };
        let row = |(stat, q, weight): (&str, f64, Weight)| {
            let of = |side: &[Latency]| {
                side.iter().map(|latency| interval::quantile(latency, q)).collect::<Vec<_>>()
            };
            let change = relative_change(&of(&base), &of(&new));
            let values = |side: &[Latency]| side.iter().map(Latency::count).fold(0, u64::saturating_add);
            let fewest = values(&base).min(values(&new)) as f64;
            let shown_only = SHOWN_ONLY.contains(&name) || fewest * (1.0 - q) < BEYOND;
            Row {
                metric: format!("{name}.{stat}"),
                unit: "us",
                base: change.base,
                new: change.new,
                change: change.change,
                low: change.low,
                high: change.high,
                verdict: judged(change.low, change.high, self.tolerance, is_wide(change.low, change.high)),
                weight: if shown_only { Weight::Shown } else { weight },
            }
        };
        Ok(QUANTILES.into_iter().map(row).collect())
    }

    /// Attempts of the side that has fewer.
    fn attempts(&self) -> u64 {
        let of = |runs: &[RunResult]| runs.iter().map(|run| run.counts.started).fold(0, u64::saturating_add);
        of(self.base).min(of(self.new))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.attempts() < FEWEST {
            notes.push(format!(
                "a side has {} attempts: below {FEWEST} nothing is said; run longer, or faster",
                self.attempts()
            ));
        }
        if self.base.len() < 2 && self.new.len() < 2 {
            notes.push(
                "one run a side: the noise between runs is guessed from that between the windows of a run; \
                 three runs a side or more say for sure"
                    .into(),
            );
        }
        let hosts: BTreeSet<&String> = self
            .base
            .iter()
            .chain(self.new)
            .map(|run| &run.host.hostname)
            .filter(|name| !name.is_empty())
            .collect();
        if hosts.len() > 1 {
            notes.push(format!("the runs were made on {} different hosts", hosts.len()));
        }
        let interrupted = |run: &&RunResult| run.verdict == Verdict::Interrupted;
        let cut_short = self.base.iter().chain(self.new).filter(interrupted).count();
        if cut_short > 0 {
            notes.push(format!("{cut_short} of the runs were interrupted"));
        }
        notes
    }
}

/// The histograms of a latency; `None` if some run has none.
fn histograms(runs: &[RunResult], name: &str) -> Result<Option<Vec<Latency>>, CompareError> {
    let summary = |run: &RunResult| run.latency_us.get(name).filter(|summary| summary.count > 0).cloned();
    let Some(summaries) = runs.iter().map(summary).collect::<Option<Vec<LatencySummary>>>() else {
        return Ok(None);
    };
    let read = |summary: &LatencySummary| {
        Latency::from_base64(&summary.histogram).ok_or_else(|| CompareError::Histogram(name.to_owned()))
    };
    summaries.iter().map(read).collect::<Result<Vec<Latency>, _>>().map(Some)
}

/// True if the interval of a share is so wide that twice as much or half could hide in it.
fn is_wide(low: f64, high: f64) -> bool {
    1.0 + high > (1.0 + NOTICED).powi(2) * (1.0 + low)
}

/// Meaning of an interval of a change for the worse.
fn judged(low: f64, high: f64, tolerance: f64, is_wide: bool) -> Change {
    if low > tolerance {
        Change::Regressed
    } else if high < -tolerance {
        Change::Improved
    } else if is_wide {
        Change::TooNoisy
    } else {
        Change::NoChangeSeen
    }
}

#[cfg(test)]
mod tests;
