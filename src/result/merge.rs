//! Several results as one: of the processes or machines that made one load together.
//!
//! ```text
//! counts       added                         windows   aligned on the wall clock, then added
//! histograms   added, bucket by bucket       onsets    keep their host, moved to the common start
//! ```
//!
//! Invariant: what held for each part (planned + reconnects = started + skipped; started = ok + failed + cut short + in flight) holds
//! for the whole, in all and in every window; percentiles are those of all values recorded together.

use crate::model::{Closes, Codes, Latency, SAMPLES, Traffic};
use crate::result::balance;
use crate::result::figures::Figures;
use crate::result::model::{Counts, FailureKind, LatencySummary, Part, RunResult, StepCount};
use crate::result::timeline::{Timeline, Track};
use crate::result::verdict::Judgement;
use std::collections::{BTreeMap, BTreeSet};

mod error;
mod judgement;
mod populations;
mod slices;

pub use error::MergeError;
pub use slices::Missing;

/// A result and the name by which it is told: the file it was read from.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The result.
    pub result: RunResult,
}

/// Merges results, as [`Merger`] does.
///
/// # Errors
/// When they are no parts of one load, or one of them was damaged.
pub fn merge(parts: Vec<Named>, missing: Missing) -> Result<RunResult, MergeError> {
    let mut expected = Expected::default();
    parts.iter().for_each(|part| expected.add(&part.result));
    let mut merger = Merger::new(expected);
    parts.into_iter().try_for_each(|part| merger.add(part))?;
    merger.finish(missing)
}

/// Knowledge of results before the first of them is merged.
#[derive(Debug, Default)]
pub struct Expected {
    /// When the first of them began, in µs since 1970.
    start_us: Option<u64>,
    /// Number of results from each host.
    hosts: BTreeMap<String, usize>,
}

impl Expected {
    /// A result is to be merged.
    pub fn add(&mut self, result: &RunResult) {
        let began = result.began_unix_us;
        self.start_us = Some(self.start_us.map_or(began, |start| start.min(began)));
        *self.hosts.entry(result.host.hostname.clone()).or_default() += 1;
    }
}

/// Merges results one by one, in any order, without keeping their windows. The plan of the whole is that of the one that
/// began first; everything else is of all. Parts of one divided plan come to what one run of it would have counted.
#[derive(Debug)]
pub struct Merger {
    start_us: u64,
    timeline: Timeline,
    /// The most windows that a result has.
    longest: usize,
    /// The results, without their windows.
    parts: Vec<Named>,
}

impl Merger {
    /// Nothing merged yet, of what is expected.
    pub fn new(expected: Expected) -> Merger {
        let Expected { start_us, hosts } = expected;
        let timeline = Timeline::new(hosts);
        Merger { start_us: start_us.unwrap_or(0), timeline, longest: 0, parts: Vec::new() }
    }

    /// Adds a result.
    ///
    /// # Errors
    /// When it was damaged, or is of no use here.
    pub fn add(&mut self, mut part: Named) -> Result<(), MergeError> {
        if part.result.began_unix_us == 0 {
            return Err(MergeError::NoClock(part.name));
        }
        if let Some(what) = balance::imbalance(&part.result) {
            return Err(MergeError::Unbalanced { name: part.name, what });
        }
        let windows = std::mem::take(&mut part.result.windows);
        let offset_s = part.result.began_unix_us.saturating_sub(self.start_us) as f64 / 1e6;
        self.timeline.add(&Track { offset_s, host: &part.result.host.hostname, windows: &windows });
        self.longest = self.longest.max(windows.len());
        self.parts.push(part);
        Ok(())
    }

    /// All of them as one.
    ///
    /// # Errors
    /// When they are no parts of one load, or one of them was damaged.
    pub fn finish(self, missing: Missing) -> Result<RunResult, MergeError> {
        let Merger { start_us, timeline, longest, mut parts } = self;
        check(&parts)?;
        slices::check(&parts, missing)?;
        apart(&parts)?;
        parts.sort_by_key(|part| part.result.began_unix_us);
        Whole { start_us, parts: &parts }.result(timeline, longest)
    }
}

/// The parts, in the order in which they began, and their common start.
struct Whole<'a> {
    start_us: u64,
    parts: &'a [Named],
}

impl Whole<'_> {
    /// The result of the whole; `longest`: the most windows that a part has.
    fn result(&self, mut timeline: Timeline, longest: usize) -> Result<RunResult, MergeError> {
        let (whole, parts, first) = (self, self.parts, &self.parts[0].result);
        let elapsed_s = whole.each().map(|(offset, part)| offset + part.result.elapsed_s).fold(0.0, f64::max);
        let owed = slices::owed(parts, elapsed_s, longest);
        timeline.add(&Track { offset_s: 0.0, host: "", windows: &owed.windows });
        let windows = timeline.finish();
        let mut counts = whole.counts(windows.iter().map(|window| window.open).max().unwrap_or(0));
        let (mut skipped, onsets) = (whole.skipped(), whole.onsets());
        let messages = whole.sum(|sum: &mut Traffic, result| sum.merge(&result.messages));
        owed.enter(&mut counts, &mut skipped);
        let (failures, latency_us) = (whole.failures()?, whole.latencies()?);
        let (resources, steps) = (whole.resources(), StepCount::added_up(parts));
        let unseen = whole.all(|result| result.unseen.clone());
        let aborted = parts.iter().find_map(|part| part.result.aborted.clone());
        let populations = whole.populations()?;
        let figures = Figures {
            plan: &first.plan,
            slice: None,
            elapsed_s,
            counts: &counts,
            skipped: &skipped,
            messages: &messages,
            failures: &failures,
            steps: &steps,
            latency_us: &latency_us,
            onsets: &onsets,
            unseen: &unseen,
            resources: &resources,
            populations: &populations,
            ending: whole.ending(),
        };
        let Judgement { verdict, reasons, thresholds } = whole.judgement(&figures, aborted.as_deref());
        let merged = RunResult {
            verdict,
            reasons,
            elapsed_s,
            // A part's forecast is none of the whole.
            forecast: None,
            destinations: whole.all(|result| result.destinations.clone()),
            tuples: parts.iter().map(|part| part.result.tuples).fold(0, u64::saturating_add),
            closes: whole.sum(|sum: &mut Closes, result| sum.merge(&result.closes)),
            statuses: whole.sum(|sum: &mut Codes, result| sum.merge(&result.statuses)),
            findings: whole.findings(),
            thresholds,
            unseen,
            aborted,
            resources,
            command: None, // Each part has its own.
            slice: None,
            partial: parts.iter().any(|part| part.result.partial),
            parts: whole.parts(),
            counts,
            skipped,
            messages,
            steps,
            failures,
            latency_us,
            onsets,
            windows,
            populations,
            ..first.clone()
        };
        let value = serde_json::to_value(&merged).unwrap_or_default();
        balance::impossible(&value).map_or(Ok(merged), |number| Err(MergeError::TooLarge(number)))
    }
}

fn check(parts: &[Named]) -> Result<(), MergeError> {
    let [first, rest @ ..] = parts else { return Err(MergeError::TooFew) };
    if rest.is_empty() {
        return Err(MergeError::TooFew);
    }
    for (n, part) in parts.iter().enumerate() {
        let same = |other: &&Named| {
            // Two processes may well begin in the same microsecond and count the same; they do not also take the same
            // time, to the nanosecond.
            let (a, b) = (&part.result, &other.result);
            (a.began_unix_us, a.elapsed_s.to_bits(), &a.host.hostname, a.counts)
                == (b.began_unix_us, b.elapsed_s.to_bits(), &b.host.hostname, b.counts)
        };
        if let Some(earlier) = parts[..n].iter().find(same) {
            return Err(MergeError::Twice { first: earlier.name.clone(), second: part.name.clone() });
        }
    }
    for other in rest {
        if let Some(what) = difference(&first.result, &other.result) {
            return Err(MergeError::Different {
                first: first.name.clone(),
                second: other.name.clone(),
                what,
            });
        }
    }
    Ok(())
}

/// In what two runs differ so much that their latencies are not of one kind.
fn difference(a: &RunResult, b: &RunResult) -> Option<&'static str> {
    let (a, b) = (&a.plan, &b.plan);
    let spoken = |plan: &crate::plan::Plan| plan.target.as_ref().map(|target| target.scheme);
    if a.connection != b.connection {
        Some("[connection]")
    } else if spoken(a) != spoken(b) {
        Some("what they speak to the target")
    } else if a.session != b.session {
        Some("what they say above TCP")
    } else if a.populations != b.populations {
        Some("[[population]]")
    } else if a.thresholds != b.thresholds {
        Some("[thresholds]")
    } else {
        None
    }
}

/// True if the runs, in the order in which they began, leave a gap in which none of them ran.
fn apart(parts: &[Named]) -> Result<(), MergeError> {
    let mut sorted: Vec<&Named> = parts.iter().collect();
    sorted.sort_by_key(|part| part.result.began_unix_us);
    let end = |part: &Named| part.result.began_unix_us as f64 + part.result.elapsed_s * 1e6;
    let mut latest = sorted[0];
    for part in &sorted[1..] {
        if part.result.began_unix_us as f64 > end(latest) {
            return Err(MergeError::Apart { first: latest.name.clone(), second: part.name.clone() });
        }
        if end(part) > end(latest) {
            latest = part;
        }
    }
    Ok(())
}

impl Whole<'_> {
    /// Each part with the seconds from the common start to its own.
    fn each(&self) -> impl Iterator<Item = (f64, &Named)> {
        self.parts.iter().map(|part| ((part.result.began_unix_us - self.start_us) as f64 / 1e6, part))
    }

    fn all<T: Ord>(&self, of: impl Fn(&RunResult) -> Vec<T>) -> Vec<T> {
        self.parts.iter().flat_map(|part| of(&part.result)).collect::<BTreeSet<T>>().into_iter().collect()
    }

    /// Name of a part: its host, or its file where several ran on one host.
    fn host(&self, part: &Named) -> String {
        let hostname = &part.result.host.hostname;
        let shared = self.parts.iter().filter(|other| other.result.host.hostname == *hostname).count() > 1;
        if hostname.is_empty() || shared { part.name.clone() } else { hostname.clone() }
    }

    /// The sum of every count. `held_max`: the most open at once in a window of all, and no less than the
    /// most of one part.
    fn counts(&self, open_at_once: u64) -> Counts {
        let mut sum = BTreeMap::<String, u64>::new();
        for part in self.parts {
            // By name, so that a count that is added to the model is added up here too.
            let counts = serde_json::to_value(part.result.counts).unwrap_or_default();
            for (name, count) in counts.as_object().into_iter().flatten() {
                let sum = sum.entry(name.clone()).or_default();
                *sum = sum.saturating_add(count.as_u64().unwrap_or(0));
            }
        }
        let of_one = self.parts.iter().map(|part| part.result.counts.held_max).max().unwrap_or(0);
        sum.insert("held_max".into(), open_at_once.max(of_one));
        serde_json::to_value(sum).and_then(serde_json::from_value).unwrap_or_default()
    }

    /// The sum of something that every part has.
    fn sum<T: Default>(&self, add: impl Fn(&mut T, &RunResult)) -> T {
        let mut sum = T::default();
        self.parts.iter().for_each(|part| add(&mut sum, &part.result));
        sum
    }

    fn skipped(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for (reason, count) in self.parts.iter().flat_map(|part| &part.result.skipped) {
            let sum: &mut u64 = sum.entry(reason.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        sum
    }

    fn latencies(&self) -> Result<BTreeMap<String, LatencySummary>, MergeError> {
        let mut sums = BTreeMap::<String, Latency>::new();
        for part in self.parts {
            for (name, summary) in &part.result.latency_us {
                let latency = read(part, name, summary)?;
                sums.entry(name.clone()).or_default().merge(&latency);
            }
        }
        Ok(sums.into_iter().map(|(name, latency)| (name, LatencySummary::of(&latency))).collect())
    }

    fn failures(&self) -> Result<Vec<FailureKind>, MergeError> {
        let mut kinds: Vec<(FailureKind, Latency)> = Vec::new();
        for (offset, part) in self.each() {
            for kind in &part.result.failures {
                let latency = read(part, &format!("{}/{}", kind.stage, kind.cause), &kind.latency_us)?;
                let mut moved = kind.clone();
                moved.first_at_s += offset;
                moved.last_at_s += offset;
                moved.samples.iter_mut().for_each(|sample| sample.at_s += offset);
                match kinds.iter_mut().find(|(known, _)| known.is_like(kind)) {
                    Some((known, sum)) => {
                        join(known, moved);
                        sum.merge(&latency);
                    }
                    None => kinds.push((moved, latency)),
                }
            }
        }
        kinds.sort_by(|(a, _), (b, _)| a.first_at_s.total_cmp(&b.first_at_s));
        let summed = |(kind, sum): (FailureKind, Latency)| FailureKind {
            latency_us: LatencySummary::of(&sum),
            ..kind
        };
        Ok(kinds.into_iter().map(summed).collect())
    }

    fn onsets(&self) -> Vec<crate::result::OnsetReport> {
        let moved = self.each().flat_map(|(offset, part)| {
            let host = self.host(part);
            part.result.onsets.iter().map(move |onset| crate::result::OnsetReport {
                at_s: onset.at_s + offset,
                until_s: onset.until_s.map(|until_s| until_s + offset),
                host: Some(onset.host.clone().unwrap_or_else(|| host.clone())),
                ..onset.clone()
            })
        });
        let mut onsets: Vec<_> = moved.collect();
        onsets.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        onsets
    }

    fn findings(&self) -> Vec<crate::diagnose::Finding> {
        let mut findings = Vec::new();
        for part in self.parts {
            let host = self.host(part);
            for finding in &part.result.findings {
                let mut finding = finding.clone();
                if part.result.parts.is_empty() {
                    finding.says = format!("on {host}: {}", finding.says);
                }
                findings.push(finding);
            }
        }
        // Stable: of those that rank alike, in the order of the parts.
        findings.sort_by_key(crate::diagnose::Finding::rank);
        findings
    }

    fn resources(&self) -> crate::result::Resources {
        let mut sum = crate::result::Resources::default();
        for own in self.parts.iter().map(|part| &part.result.resources) {
            sum.workers = sum.workers.saturating_add(own.workers);
            sum.cpu_s += own.cpu_s;
            sum.worker_cpu_s += own.worker_cpu_s;
            sum.late_s += own.late_s;
            sum.rss_start_bytes = sum.rss_start_bytes.saturating_add(own.rss_start_bytes);
            sum.rss_peak_bytes = sum.rss_peak_bytes.saturating_add(own.rss_peak_bytes);
        }
        let limits = self.parts.iter().map(|part| part.result.resources.memory_limit_bytes);
        sum.memory_limit_bytes = limits.reduce(|a, b| Some(a?.saturating_add(b?))).flatten();
        sum
    }

    fn parts(&self) -> Vec<Part> {
        let part = |part: &Named| {
            let result = &part.result;
            if !result.parts.is_empty() {
                return result.parts.clone();
            }
            vec![Part {
                name: part.name.clone(),
                host: result.host.clone(),
                began: result.began.clone(),
                elapsed_s: result.elapsed_s,
                verdict: result.verdict,
                slice: result.slice,
                partial: result.partial,
                counts: result.counts,
            }]
        };
        self.parts.iter().flat_map(part).collect()
    }
}

fn read(part: &Named, what: &str, summary: &LatencySummary) -> Result<Latency, MergeError> {
    if summary.count == 0 {
        return Ok(Latency::default());
    }
    let damaged = || MergeError::Histogram { of: part.name.clone(), what: what.to_owned() };
    let latency = Latency::from_base64(&summary.histogram).ok_or_else(damaged)?;
    if latency.count() == summary.count { Ok(latency) } else { Err(damaged()) }
}

/// Adds the failures of another part, which are of the same kind.
fn join(known: &mut FailureKind, more: FailureKind) {
    known.count = known.count.saturating_add(more.count);
    if more.first_at_s < known.first_at_s {
        (known.first_at_s, known.first_ordinal) = (more.first_at_s, more.first_ordinal);
    }
    known.last_at_s = known.last_at_s.max(more.last_at_s);
    known.samples.extend(more.samples);
    known.samples.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    known.samples.truncate(SAMPLES);
}

#[cfg(test)]
mod tests;
