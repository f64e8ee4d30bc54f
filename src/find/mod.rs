//! `find`: probes with larger and smaller loads until the largest that passes is known.
//!
//! [`crate::capacity::Search`] says what to probe; a probe is a whole run, judged as any other, and beyond that by whether
//! the target kept up with it (`backlog`).

mod backlog;
mod cooldown;
mod probe;

use crate::capacity::{Answer, Probe, Search, SearchError, SearchLimits};
use crate::engine::Control;
use crate::host::server_process::waiting_for_accept;
use crate::host::target::are_local;
use crate::linux::clock::Clock;
use crate::model::{Slice, Stamp};
use crate::plan::Plan;
use crate::plan::threshold::Threshold;
use crate::result::find::{FellBehind, FindReport, ProbeReport, Quantity, Stopped, stopped_by};
use crate::result::{RunResult, Verdict};
use crate::run::from_plan::supply_now;
use crate::run::{StartRunError, prepare};
use backlog::Load;
use cooldown::Cooldown;
pub use probe::connections;
use std::net::SocketAddr;
use std::time::Duration;

/// Time between two looks of a cooldown at whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Question that a search answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Quantity that is made larger.
    pub quantity: Quantity,
    /// Where to search, and how closely.
    pub limits: SearchLimits,
    /// Time that the load of a probe lasts.
    pub length: Duration,
    /// The cooldown between probes; `None`: as long as TIME_WAIT of the last ones asks for.
    pub pause: Option<Duration>,
}

/// Events of a search, for whoever watches.
#[derive(Debug)]
pub enum Step<'a> {
    /// A probe begins.
    Probing(Probe),
    /// A probe has ended.
    Probed(&'a ProbeReport),
    /// The next waits so long for ports in TIME_WAIT.
    Resting(Duration),
}

/// Reason for which nothing could be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The limits are no interval.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A probe could not begin.
    #[error(transparent)]
    Run(#[from] StartRunError),
}

/// Searches. `interrupted` is asked often whether to end; what was found by then is in the report.
///
/// # Errors
/// When the limits are no interval, or a probe could not begin.
pub fn find(
    plan: &Plan,
    asked: &Asked,
    interrupted: &impl Fn() -> bool,
    mut tell: impl FnMut(&Step<'_>),
) -> Result<FindReport, FindError> {
    let mut search = Search::new(asked.limits)?;
    let mut search_run = SearchRun {
        plan,
        asked,
        clock: Clock::start(),
        cooldown: Cooldown::default(),
        missed: Vec::new(),
        last: None,
    };
    let mut thresholds = plan.thresholds.clone();
    if thresholds.is_empty() {
        thresholds.push(Threshold::DEFAULT);
    }
    let mut report = FindReport::new(&plan.redacted().name, asked.quantity, thresholds);
    while let Some(next) = search.next() {
        search_run.cooldown(next.value, interrupted, &mut tell);
        if interrupted() {
            break;
        }
        tell(&Step::Probing(next));
        let nth = u32::try_from(report.probes.len()).unwrap_or(u32::MAX);
        let (result, fell_behind) = match search_run.probe(next.value, nth, interrupted) {
            Err(FindError::Run(StartRunError::Interrupted)) => break,
            result => result?,
        };
        let probe = ProbeReport::of(next.value, next.repeat, &result);
        report.probes.push(ProbeReport { fell_behind, ..probe });
        if let Some(probe) = report.probes.last() {
            tell(&Step::Probed(probe));
        }
        let answer = match result.verdict {
            Verdict::Passed => Answer::Passed,
            Verdict::Failed => Answer::Failed,
            Verdict::Invalid => Answer::Invalid,
            Verdict::Interrupted => break,
        };
        if answer != Answer::Passed {
            search_run.missed.push((next.value, stopped_by(&result)));
        }
        search.answer(answer);
    }
    match search.end() {
        Some(end) => report.conclude(&end),
        None => search_run.conclude_early(&mut report),
    }
    let limit = report.failing;
    report.stopped_by = limit.and_then(|limit| search_run.stopped_at(limit));
    Ok(report)
}

/// The queue for accept() at a target on this host, while a probe's load goes on.
#[derive(Default)]
struct QueueWatch {
    seen: Vec<(Stamp, u64)>,
    /// True if something can be seen; `None`: not known yet.
    can_see: Option<bool>,
}

impl QueueWatch {
    fn look(&mut self, destinations: &[SocketAddr], at: Stamp, length: Duration) {
        if at > length || !*self.can_see.get_or_insert_with(|| are_local(destinations)) {
            return;
        }
        let waiting = waiting_for_accept(destinations);
        self.can_see = Some(waiting.is_some());
        self.seen.extend(waiting.map(|waiting| (at, waiting)));
    }
}

/// The search under way.
struct SearchRun<'a> {
    plan: &'a Plan,
    asked: &'a Asked,
    clock: Clock,
    cooldown: Cooldown,
    /// Values that did not pass, each with what stopped it, in the order of the probes.
    missed: Vec<(f64, Stopped)>,
    /// The ports that the last run could use.
    last: Option<u64>,
}

impl SearchRun<'_> {
    fn probe(
        &mut self,
        value: f64,
        nth: u32,
        interrupted: &impl Fn() -> bool,
    ) -> Result<(RunResult, Option<FellBehind>), FindError> {
        let plan = probe::plan(self.plan, self.asked.quantity, value, self.asked.length, nth);
        let control = Control::default();
        let prepared = prepare(&plan, Slice::WHOLE, &|| interrupted())?;
        let ready = prepared.keeping_course(self.asked.length).make_ready(&control)?;
        let mut queue = QueueWatch::default();
        let completed = ready.run(Clock::start(), |watched| {
            if interrupted() {
                control.interrupt();
            }
            queue.look(&watched.start.destinations, watched.elapsed, self.asked.length);
        });
        let load = Load {
            quantity: self.asked.quantity,
            value,
            length: self.asked.length,
            course: &completed.run.tally.course,
            queue: &queue.seen,
        };
        let fell_behind = backlog::fell_behind(&load);
        let mut result = completed.into_result(&plan);
        if let (Verdict::Passed, Some(sign)) = (result.verdict, &fell_behind) {
            result.verdict = Verdict::Failed;
            result.reasons.push(sign.to_string());
        }
        let supply = supply_now(&plan, &result.destinations, &result.host);
        self.last = Some(u64::from(supply.usable()).saturating_mul(supply.pools()));
        if !probe::is_always_fresh(self.plan) {
            self.cooldown.spent(self.clock.now(), result.counts.started, supply.blocks());
        }
        Ok((result, fell_behind))
    }

    fn cooldown(&self, value: f64, interrupted: &impl Fn() -> bool, tell: &mut impl FnMut(&Step<'_>)) {
        let needs = match self.asked.quantity {
            Quantity::Rate => (value * self.asked.length.as_secs_f64()) as u64,
            Quantity::Held => value as u64,
            Quantity::Messages => connections(self.plan).unwrap_or(1),
        };
        let Some(usable) = self.last else { return };
        let due = self.asked.pause.unwrap_or_else(|| self.cooldown.before(self.clock.now(), needs, usable));
        if due.is_zero() {
            return;
        }
        tell(&Step::Resting(due));
        let until = self.clock.now() + due;
        while self.clock.now() < until && !interrupted() {
            std::thread::sleep(LOOK_EVERY.min(until.saturating_sub(self.clock.now())));
        }
    }

    /// Limit that stopped the search at a value. What was outvoted at another value did not.
    fn stopped_at(&self, limit: f64) -> Option<Stopped> {
        let at_limit = |(value, _): &&(f64, Stopped)| (value - limit).abs() <= limit * 1e-9;
        self.missed.iter().rfind(at_limit).map(|(_, stopped)| stopped.clone())
    }

    /// The figures of a search that was interrupted.
    fn conclude_early(&self, report: &mut FindReport) {
        report.interrupted = true;
        report.failing = self.missed.iter().map(|(value, _)| *value).reduce(f64::min);
        let below = report.failing.unwrap_or(f64::INFINITY);
        let passed = report.probes.iter().filter(|p| p.verdict == Verdict::Passed && p.value < below);
        report.passing = passed.map(|probe| probe.value).reduce(f64::max);
    }
}
