//! The threads of a run: each gets a private descriptor table, then its worker.

use super::connections::Connections;
use super::control::Control;
use super::error::RunError;
use super::first_failures::FirstFailures;
use super::lifetimes::WorkerRng;
use super::reporting::Reporting;
use super::setup::Setup;
use super::tracing::Tracer;
use super::worker::{Worker, WorkerConfig};
use crate::linux::clock::Clock;
use crate::linux::fd_table::{self, NoDescriptors};
use crate::linux::timer_slack;
use crate::model::Handover;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// Stack of a worker. Its deepest call is a system call; a hundred workers should not cost a gigabyte.
pub(super) const STACK: usize = 512 * 1024;

/// Workers that are set up and wait for the start.
pub(super) struct WorkerThreads {
    threads: RunningThreads,
    signals: Vec<StartSignal>,
}

/// Workers under way.
pub(super) struct RunningThreads(Vec<JoinHandle<io::Result<()>>>);

/// Message to a worker that is ready, when all are.
type StartSignal = Sender<Clock>;

impl WorkerThreads {
    /// Starts every worker, and waits until all are set up.
    ///
    /// # Errors
    /// When one could not be set up; the others end without having done anything.
    pub(super) fn start(
        setups: &[Arc<Setup>],
        control: &Control,
        to_main: &Sender<Handover>,
    ) -> Result<WorkerThreads, RunError> {
        let (ready, all_ready) = channel();
        let mut threads = Vec::new();
        let each = setups.iter().flat_map(|setup| (0..setup.workers).map(move |worker| (setup, worker)));
        for (worker, (setup, of_population)) in (0..).zip(each) {
            let start = ThreadStart {
                setup: setup.clone(),
                worker,
                of_population,
                control: control.clone(),
                to_main: to_main.clone(),
                ready: ready.clone(),
            };
            let thread = thread::Builder::new().name(format!("worker-{worker}")).stack_size(STACK);
            let spawned = fd_table::spawn(thread, NoDescriptors(start), |table, start| start.0.run(table));
            threads.push(spawned.map_err(|error| RunError::Worker { worker, error })?);
        }
        drop(ready);
        let signals: Vec<StartSignal> = all_ready.iter().collect::<Result<_, _>>()?;
        Ok(WorkerThreads { threads: RunningThreads(threads), signals })
    }

    /// Lets all workers begin at the epoch of this clock.
    pub(super) fn begin(self, clock: Clock) -> RunningThreads {
        for signal in self.signals {
            // A worker that is gone by now says so when it is joined.
            let _ = signal.send(clock);
        }
        self.threads
    }
}

impl RunningThreads {
    /// Waits for every worker; says what those met that ended before their time.
    pub(super) fn join(self) -> Vec<String> {
        let mut errors = Vec::new();
        for (worker, thread) in self.0.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => errors.push(format!("worker {worker} stopped: {error}")),
                Err(_) => errors.push(format!("worker {worker} panicked: this is a defect of connstorm")),
            }
        }
        errors
    }
}

/// Parts that a worker's thread starts with.
struct ThreadStart {
    setup: Arc<Setup>,
    /// Number of the worker among all.
    worker: u32,
    /// The same among those of its population.
    of_population: u32,
    control: Control,
    to_main: Sender<Handover>,
    ready: Sender<Result<StartSignal, RunError>>,
}

impl ThreadStart {
    /// The thread's whole life.
    fn run(self, table: io::Result<()>) -> io::Result<()> {
        if let Err(error) = table {
            // Told to the main thread, which gives the run up.
            let _ = self.ready.send(Err(RunError::Worker { worker: self.worker, error }));
            return Ok(());
        }
        // Where it is refused, sleeps are as much as 50 µs longer, and the run tells how late it was.
        let _ = timer_slack::shortest();
        let (signal, start_signal) = channel();
        let ThreadStart { setup, worker, of_population, control, to_main, ready } = self;
        let _ = ready.send(Ok(signal));
        drop(ready);
        // No signal: another worker could not be set up, or the run was given up.
        let Ok(clock) = start_signal.recv() else { return Ok(()) };
        let part = setup.part(of_population);
        let rng = WorkerRng::new(setup.plan.seed, part.number());
        let number = worker;
        let config = WorkerConfig {
            number,
            end: setup.end,
            grace: setup.grace,
            stop_by: setup.stop_by,
            clock,
            control,
            to_main,
        };
        let mut connections = Connections::new(
            setup.connection_config(part),
            clock,
            setup.pool(part),
            rng,
            setup.script.clone(),
        )?;
        connections.all_open = setup.open.clone();
        connections.memory = setup.memory.clone();
        let Reporting { first_failures, course, trace, .. } = &setup.reporting;
        connections.tracer = trace.clone().map(Tracer::new);
        connections.first_failures = FirstFailures::new(first_failures.clone());
        connections.tally.course = course.fresh();
        let worker = Worker::new(config, setup.pacer(part), connections);
        #[cfg(test)]
        let worker = worker.panicking(setup.reporting.panics.filter(|panics| panics.worker == number));
        worker.work()
    }
}

#[cfg(test)]
mod tests {
    use super::super::collector::Gathered;
    use super::*;
    use crate::model::{RunStart, Stamp, Tally};
    use std::time::Duration;

    /// A worker's life of so many windows, each with one attempt; then it ends, or panics.
    fn worker(
        number: u32,
        windows: u64,
        panics: bool,
        to_main: &Sender<Handover>,
    ) -> JoinHandle<io::Result<()>> {
        let to_main = to_main.clone();
        thread::spawn(move || {
            for window in 0..windows {
                let mut tally = Tally::default();
                tally.start();
                let last = !panics && window + 1 == windows;
                let at: Stamp = Duration::from_secs(window + 1);
                let handover = Handover {
                    worker: number,
                    window,
                    at,
                    tally,
                    planned: 1,
                    open: 0,
                    cpu: Duration::ZERO,
                    last,
                };
                to_main.send(handover).unwrap();
            }
            assert!(!panics, "on purpose: a test of what is left of the others");
            Ok(())
        })
    }

    #[test]
    fn a_panic_in_one_worker_loses_nothing_that_the_others_and_it_itself_have_told() {
        let (to_main, handovers) = channel();
        let threads =
            vec![worker(0, 5, false, &to_main), worker(1, 2, true, &to_main), worker(2, 4, false, &to_main)];
        drop(to_main);
        let mut gathered =
            Gathered::new(RunStart { workers: 3, ..RunStart::default() }, Arc::default(), Vec::new());
        gathered.until_all_have_ended(&handovers, Clock::start(), &mut |_| ());
        let errors = RunningThreads(threads).join();
        let (_, totals, _) = gathered.finish();
        assert_eq!(errors, ["worker 1 panicked: this is a defect of connstorm"]);
        assert_eq!((totals.tally.started(), totals.planned, totals.windows.len()), (11, 11, 5));
    }
}
