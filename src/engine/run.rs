//! A whole run: workers are started, their windows gathered, and everything is put together.

use super::collector::Gathered;
use super::control::Control;
use super::error::RunError;
use super::first_failures::FirstFailure;
use super::progress::Progress;
use super::resolve::Destinations;
use super::setup::Setup;
use super::threads::WorkerThreads;
use crate::linux::clock::Clock;
use crate::linux::usage::{peak_resident_bytes, process_cpu, resident_bytes};
use crate::model::{Handover, Run, RunStart, Slice, Stamp};
use crate::plan::Plan;
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
    let mustered = Mustered::new(plan, Slice::WHOLE, destinations, control, first_failures)?;
    Ok(mustered.fire(Clock::start(), watch))
}

/// A run whose workers are all set up and wait for the start. Dropped, they end without having done anything.
pub struct Mustered {
    setup: Arc<Setup>,
    destinations: Destinations,
    control: Control,
    threads: WorkerThreads,
    handovers: Receiver<Handover>,
    memory: u64,
    cpu: Duration,
}

impl Mustered {
    /// Sets up the workers for what this process does of a plan.
    ///
    /// # Errors
    /// When one of them could not be set up.
    pub fn new(
        plan: &Plan,
        slice: Slice,
        destinations: &Destinations,
        control: &Control,
        first_failures: Option<Sender<FirstFailure>>,
    ) -> Result<Mustered, RunError> {
        let mut setup = Setup::new(plan, slice, destinations)?;
        setup.first_failures = first_failures;
        let setup = Arc::new(setup);
        // 0 where /proc is not there: the report then shows that it is not known.
        let (memory, cpu) = (resident_bytes().unwrap_or(0), process_cpu());
        let (to_main, handovers) = channel();
        let threads = WorkerThreads::start(&setup, control, &to_main)?;
        Ok(Mustered {
            setup,
            destinations: destinations.clone(),
            control: control.clone(),
            threads,
            handovers,
            memory,
            cpu,
        })
    }

    /// Lets all workers begin when the epoch of the clock has come, and waits for their end; tells `watch` meanwhile,
    /// also before the epoch.
    pub fn fire(self, clock: Clock, mut watch: impl FnMut(&Progress<'_>)) -> Run {
        let Mustered { setup, destinations, control, threads, handovers, memory, cpu } = self;
        let start = RunStart {
            began: clock.wall_epoch(),
            began_unix_us: clock.unix_micros(Stamp::ZERO),
            slice: setup.slice,
            workers: setup.workers,
            tuples: setup.routes.as_ref().map_or(0, |routes| routes.len()),
            leasable_ports: setup.leasable_ports(),
            destinations: destinations.addresses().to_vec(),
            unresolved: destinations.why_not(),
            cpu,
            memory,
        };
        let mut gathered = Gathered::new(start, setup.open.clone());
        let threads = threads.fire(clock);
        gathered.until_all_have_ended(&handovers, clock, &mut watch);
        let (worker_errors, elapsed) = (threads.join(), clock.now());
        let (start, mut totals) = gathered.finish();
        totals.tally.settle();
        Run {
            start,
            elapsed,
            interrupted: control.is_interrupted(),
            planned: totals.planned,
            held_max: setup.open.most(),
            worker_cpu: totals.worker_cpu,
            windows: totals.windows,
            tally: totals.tally,
            cpu: process_cpu().saturating_sub(cpu),
            memory_peak: peak_resident_bytes().unwrap_or(0),
            worker_errors,
        }
    }
}
