//! The threads of a run: each gets a private descriptor table, then its runtime, then its worker.

use super::control::Control;
use super::error::RunError;
use super::flow::Flow;
use super::lifetimes::Chance;
use super::outline::Outline;
use super::worker::{Turn, Worker};
use crate::kernel::clock::Clock;
use crate::kernel::fd_table;
use crate::metrics::Handover;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// Stack of a worker. Its deepest call is a system call; a hundred workers should not cost a gigabyte.
const STACK: usize = 512 * 1024;

/// Workers under way.
pub struct Crew {
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// What is sent to a worker that is ready, when all are.
type StartingShot = Sender<Clock>;

impl Crew {
    /// Starts every worker, waits until all are set up, and starts the clock for all of them at once.
    ///
    /// # Errors
    /// When one could not be set up; the others end without having done anything.
    pub fn start(
        outline: &Arc<Outline>,
        control: &Control,
        to_main: &Sender<Handover>,
    ) -> Result<(Crew, Clock), RunError> {
        let (ready, all_ready) = channel();
        let mut crew = Crew { threads: Vec::new() };
        for worker in 0..outline.workers {
            let post = Post {
                outline: outline.clone(),
                worker,
                control: control.clone(),
                to_main: to_main.clone(),
                ready: ready.clone(),
            };
            let thread = thread::Builder::new().name(format!("worker-{worker}")).stack_size(STACK);
            let spawned = thread.spawn(move || post.man());
            crew.threads.push(spawned.map_err(|error| RunError::Worker { worker, error })?);
        }
        drop(ready);
        let shots: Vec<StartingShot> = all_ready.iter().collect::<Result<_, _>>()?;
        let clock = Clock::start();
        for shot in shots {
            // A worker that is gone by now says so when it is joined.
            let _ = shot.send(clock);
        }
        Ok((crew, clock))
    }

    /// Waits for every worker; says what those met that ended before their time.
    pub fn join(self) -> Vec<String> {
        let mut errors = Vec::new();
        for (worker, thread) in self.threads.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => errors.push(format!("worker {worker} stopped: {error}")),
                Err(_) => errors.push(format!("worker {worker} panicked: this is a defect of connstorm")),
            }
        }
        errors
    }
}

/// What a worker's thread starts with.
struct Post {
    outline: Arc<Outline>,
    worker: u32,
    control: Control,
    to_main: Sender<Handover>,
    ready: Sender<Result<StartingShot, RunError>>,
}

impl Post {
    /// The thread's whole life.
    fn man(self) -> io::Result<()> {
        let runtime = match set_up() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Told to the main thread, which gives the run up.
                let _ = self.ready.send(Err(RunError::Worker { worker: self.worker, error }));
                return Ok(());
            }
        };
        let (shot, starting_shot) = channel();
        let Post { outline, worker, control, to_main, ready } = self;
        let _ = ready.send(Ok(shot));
        drop(ready);
        // No shot: another worker could not be set up.
        let Ok(clock) = starting_shot.recv() else { return Ok(()) };
        let part = outline.part(worker);
        let chance = Chance::new(outline.plan.seed, worker);
        let turn = Turn { number: worker, end: outline.end, grace: outline.grace, clock, control, to_main };
        runtime.block_on(async {
            let flow =
                Flow::new(outline.brief(part), clock, outline.pool(part), chance, outline.script.clone())?;
            Worker::new(turn, outline.pacer(part), flow)?.work().await
        })
    }
}

/// The private table first: what the runtime opens has to be in it.
fn set_up() -> io::Result<tokio::runtime::Runtime> {
    fd_table::make_private(&[])?;
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}
