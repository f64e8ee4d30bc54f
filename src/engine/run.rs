//! A whole run: workers are started, their windows gathered, and everything is put together.

use super::collector::Gathered;
use super::control::Control;
use super::error::RunError;
use super::first_failures::FirstFailure;
use super::memory::MemoryLimit;
use super::progress::Progress;
use super::reporting::Reporting;
use super::resolve::Destinations;
use super::setup::Setup;
use super::threads::WorkerThreads;
use crate::linux::clock::Clock;
use crate::linux::usage::{peak_resident_bytes, process_cpu, resident_bytes};
use crate::model::{Handover, LoadCourse, Run, RunStart, Slice, Stamp};
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
    let reporting = Reporting::new(first_failures, LoadCourse::default());
    let ready = ReadyEngine::new(plan, Slice::WHOLE, destinations, control, reporting)?;
    Ok(ready.begin(Clock::start(), watch))
}

/// A run whose workers are all set up and wait for the start. Dropped, they end without having done anything.
pub struct ReadyEngine {
    setup: Arc<Setup>,
    destinations: Destinations,
    control: Control,
    threads: WorkerThreads,
    handovers: Receiver<Handover>,
    memory: u64,
    memory_limit: MemoryLimit,
    cpu: Duration,
}

impl ReadyEngine {
    /// Sets up the workers for what this process does of a plan.
    ///
    /// # Errors
    /// When one of them could not be set up.
    pub fn new(
        plan: &Plan,
        slice: Slice,
        destinations: &Destinations,
        control: &Control,
        reporting: Reporting,
    ) -> Result<ReadyEngine, RunError> {
        let mut setup = Setup::new(plan, slice, destinations)?;
        setup.reporting = reporting;
        let setup = Arc::new(setup);
        // 0 where /proc is not there: the report then shows that it is not known.
        let (memory, cpu) = (resident_bytes().unwrap_or(0), process_cpu());
        let (to_main, handovers) = channel();
        let shared = (setup.memory.clone(), setup.open.clone());
        let memory_limit = MemoryLimit::new(setup.plan.memory, memory, setup.workers, shared)?;
        let threads = WorkerThreads::start(&setup, control, &to_main)?;
        Ok(ReadyEngine {
            setup,
            destinations: destinations.clone(),
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
        let ReadyEngine { setup, destinations, control, threads, handovers, memory, memory_limit, cpu } =
            self;
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
            memory_limit: setup.plan.memory,
        };
        let mut gathered = Gathered::new(start, setup.open.clone());
        let threads = threads.begin(clock);
        gathered.until_all_have_ended(&handovers, clock, &mut |progress: &Progress<'_>| {
            memory_limit.look();
            watch(progress);
        });
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
        let ready = ReadyEngine::new(&plan, Slice::WHOLE, &to, &Control::default(), reporting).unwrap();
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
