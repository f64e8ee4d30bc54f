//! A whole run: workers are started, their windows gathered, and everything is put together.

use super::collector::{Gathered, PopulationTotals};
use super::control::Control;
use super::data::Tables;
use super::error::RunError;
use super::first_failures::FirstFailure;
use super::memory::MemoryLimit;
use super::open_count::OpenCount;
use super::progress::Progress;
use super::reporting::Reporting;
use super::resolve::Destinations;
use super::session::{Common, ScriptError};
use super::setup::{Population, Setup};
use super::threads::WorkerThreads;
use crate::linux::clock::Clock;
use crate::linux::usage::{peak_resident_bytes, process_cpu, resident_bytes};
use crate::model::{Handover, LoadCourse, MemoryBudget, Run, RunStart, Slice, Stamp};
use crate::plan::Plan;
use crate::plan::steps;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Runs a plan to its end against these destinations, and tells `watch` of every window and at least ten times a
/// second. Whoever listens to `first_failures` hears of the first failures of each kind as they come, until the end.
///
/// # Errors
/// When the run could not begin. Whatever happens after that is in the [`Run`].
pub fn run(
    plan: &Plan,
    destinations: &Destinations,
    control: &Control,
    first_failures: Option<Sender<FirstFailure>>,
    watch: impl FnMut(&Progress<'_>),
) -> Result<Run, RunError> {
    let reporting = Reporting::new(first_failures, LoadCourse::default());
    let ready = ReadyEngine::new(plan, Slice::WHOLE, std::slice::from_ref(destinations), control, reporting)?;
    Ok(ready.begin(Clock::start(), watch))
}

/// A run whose workers are all set up and wait for the start. Dropped, they end without having done anything.
pub struct ReadyEngine {
    setups: Vec<Arc<Setup>>,
    /// Connections open at once over all workers.
    open: Arc<OpenCount>,
    /// Names of the populations; none where the plan has none.
    names: Vec<String>,
    /// Those of each population.
    destinations: Vec<Destinations>,
    control: Control,
    threads: WorkerThreads,
    handovers: Receiver<Handover>,
    memory: u64,
    memory_limit: MemoryLimit,
    cpu: Duration,
}

impl ReadyEngine {
    /// Sets up the workers for what this process does of a plan, each population with its destinations.
    ///
    /// # Errors
    /// When one of them could not be set up.
    pub fn new(
        plan: &Plan,
        slice: Slice,
        destinations: &[Destinations],
        control: &Control,
        reporting: Reporting,
    ) -> Result<ReadyEngine, RunError> {
        let (setups, open) = setups(plan, slice, destinations, &reporting)?;
        // 0 where /proc is not there: the report then shows that it is not known.
        let (memory, cpu) = (resident_bytes().unwrap_or(0), process_cpu());
        let (to_main, handovers) = channel();
        let budget = setups.first().map(|setup| setup.memory.clone()).unwrap_or_default();
        let workers = setups.iter().map(|setup| setup.workers).sum();
        let memory_limit = MemoryLimit::new(plan.memory, memory, workers, (budget, open.clone()))?;
        let threads = WorkerThreads::start(&setups, control, &to_main)?;
        Ok(ReadyEngine {
            setups,
            open,
            names: plan.populations.iter().map(|population| population.name.clone()).collect(),
            destinations: destinations.to_vec(),
            control: control.clone(),
            threads,
            handovers,
            memory,
            memory_limit,
            cpu,
        })
    }

    /// Lets all workers begin when the epoch of the clock has come, and waits for their end; tells `watch` meanwhile,
    /// also before the epoch.
    pub fn begin(self, clock: Clock, mut watch: impl FnMut(&Progress<'_>)) -> Run {
        let ReadyEngine { setups, open, names, destinations, .. } = self;
        let ReadyEngine { control, threads, handovers, memory, memory_limit, cpu, .. } = self;
        let start = RunStart {
            began: clock.wall_epoch(),
            began_unix_us: clock.unix_micros(Stamp::ZERO),
            slice: setups.first().map(|setup| setup.slice).unwrap_or_default(),
            workers: setups.iter().map(|setup| setup.workers).sum(),
            tuples: tuples(&setups),
            leasable_ports: setups.iter().find_map(|setup| setup.leasable_ports()),
            destinations: Destinations::all(&destinations),
            unresolved: destinations.iter().find_map(Destinations::why_not),
            cpu,
            memory,
            memory_limit: setups.first().and_then(|setup| setup.plan.memory),
        };
        let populations = names.into_iter().zip(&setups).map(|(name, setup)| {
            PopulationTotals::new(name, setup.among_workers.0, setup.workers, setup.open.clone())
        });
        let mut gathered = Gathered::new(start, open.clone(), populations.collect());
        let threads = threads.begin(clock);
        gathered.until_all_have_ended(&handovers, clock, &mut |progress: &Progress<'_>| {
            memory_limit.look();
            watch(progress);
        });
        let (worker_errors, elapsed) = (threads.join(), clock.now());
        let (start, mut totals, populations) = gathered.finish();
        totals.tally.settle();
        Run {
            start,
            elapsed,
            interrupted: control.is_interrupted(),
            planned: totals.planned,
            held_max: open.most(),
            worker_cpu: totals.worker_cpu,
            windows: totals.windows,
            populations,
            tally: totals.tally,
            cpu: process_cpu().saturating_sub(cpu),
            memory_peak: peak_resident_bytes().unwrap_or(0),
            worker_errors,
        }
    }
}

/// Setup of each population, and the count of what all of them have open.
fn setups(
    plan: &Plan,
    slice: Slice,
    destinations: &[Destinations],
    reporting: &Reporting,
) -> Result<(Vec<Arc<Setup>>, Arc<OpenCount>), RunError> {
    let (each, open) = (plan.each(), Arc::new(OpenCount::default()));
    let mut common = Common { data: Tables::load(plan, slice).map_err(ScriptError::from)?, first_step: 0 };
    let of = u32::try_from(each.len()).unwrap_or(u32::MAX);
    let (mut setups, memory) = (Vec::new(), Arc::new(MemoryBudget::default()));
    for ((number, plan), destinations) in (0..).zip(&each).zip(destinations) {
        let population = Population { number, of, common: common.clone() };
        let mut setup = Setup::new(plan, slice, destinations, population)?;
        setup.reporting = reporting.clone();
        setup.memory = memory.clone();
        setup.open = if of > 1 { Arc::new(OpenCount::of_one(open.clone())) } else { open.clone() };
        let steps = u16::try_from(steps::flat(&plan.session.steps).len()).unwrap_or(u16::MAX);
        common.first_step = common.first_step.saturating_add(steps);
        setups.push(setup);
    }
    let workers = setups.iter().map(|setup| setup.workers).sum();
    let mut before = 0;
    for setup in &mut setups {
        setup.among_workers = (before, workers);
        before += setup.workers;
    }
    Ok((setups.into_iter().map(Arc::new).collect(), open))
}

/// Source addresses × destinations of all populations; those that several have count once.
fn tuples(setups: &[Arc<Setup>]) -> u64 {
    let mut seen: Vec<&Setup> = Vec::new();
    let mut sum = 0_u64;
    for setup in setups {
        let is_same = |other: &&Setup| {
            other.plan.source.addresses == setup.plan.source.addresses
                && other.plan.target == setup.plan.target
        };
        if !seen.iter().any(is_same) {
            sum = sum.saturating_add(setup.routes.as_ref().map_or(0, |routes| routes.len()));
            seen.push(setup);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::reporting::Panics;
    use super::*;
    use crate::plan::{Overrides, from_flags};
    use std::net::TcpListener;

    #[test]
    fn a_worker_that_panics_takes_with_it_no_more_than_it_had_not_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let mut flags = Overrides::to(&format!("tcp://{address}"));
        for (flag, value) in [("--rate", "200/s"), ("--duration", "1500ms"), ("--workers", "2")] {
            flags.set(flag, value);
        }
        let plan = from_flags(&flags).unwrap();
        let reporting = Reporting { panics: Some(Panics { worker: 1, window: 1 }), ..Reporting::default() };
        let to = Destinations::Known(vec![address]);
        let ready = ReadyEngine::new(&plan, Slice::WHOLE, &[to], &Control::default(), reporting).unwrap();
        let mut seen = 0;
        let run = ready.begin(Clock::start(), |progress| seen = seen.max(progress.tally.started()));
        assert_eq!(run.worker_errors, ["worker 1 panicked: this is a defect of connstorm"]);
        // All of worker 0, and the first second of worker 1.
        let (started, ok) = (run.tally.started(), run.tally.ok());
        assert!((151..=250).contains(&started) && started == ok, "{started} started, {ok} ok");
        assert!(run.windows.len() >= 2 && seen > 150, "{} windows, {seen} seen", run.windows.len());
        assert_eq!(run.conservation(), Ok(()));
    }
}
