//! Starting, counting and stopping a target.
//!
//! The supervisor is a thread with a descriptor table of its own in which the listeners live. So a target can
//! be started and stopped from any thread, whatever table that one has, and no table but the target's
//! keeps its ports taken. Workers are started by the supervisor and take the listeners over from its table.

use super::accept_limiter::AcceptLimiter;
use super::counters::{Counters, Tally};
use super::listen::listen_on_all;
use super::mailbox::{Mailbox, News};
use super::tls::Identity;
use super::worker::Worker;
use super::{Behaviour, Config, Limits, StartError};
use crate::linux::clock::Clock;
use crate::linux::fd_table::{self, Crosses, NoDescriptors};
use crate::model::MemoryBudget;
use crate::protocol::Application;
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Threads that a target may grow to.
const MOST_WORKERS: usize = 4096;
/// Descriptors that a worker's table holds beside listeners and connections: 0, 1, 2, the epoll set, the wake-up,
/// the bell, and two to spare.
const DESCRIPTORS_ASIDE: usize = 8;
/// A worker's stack; its buffers are on the heap.
const STACK_BYTES: usize = 256 * 1024;

/// Target that connstorm serves; see [`Target::start`].
#[derive(Debug)]
pub struct Target;

/// A target that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    certificate: Option<String>,
    books: Arc<Books>,
    to_boss: Sender<Message>,
    supervisor: Option<JoinHandle<()>>,
}

/// The books of the workers, and what the supervisor itself has to count.
#[derive(Debug, Default)]
struct Books {
    tallies: Mutex<Vec<Arc<Tally>>>,
    failed_hires: AtomicU64,
}

/// Message to the supervisor.
#[derive(Debug)]
pub(super) enum Message {
    /// A worker has started, or could not.
    Started(io::Result<()>),
    /// A worker's table is full.
    Full,
    /// A worker's epoll set has failed, and it has closed its connections.
    Lost,
    /// The target is to stop.
    Stop,
}

/// Things that the workers of a target share. The descriptors have the same numbers in all their tables.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listeners: Vec<OwnedFd>,
    /// An eventfd, readable from the moment on at which all are to stop.
    pub(super) wake_up: OwnedFd,
    /// An eventfd that rings in all tables when there is something in a mailbox. It is watched by edge and
    /// never read, so that one ring is heard by every worker.
    pub(super) bell: OwnedFd,
    /// A worker's each, in the order of their hiring.
    mailboxes: Mutex<Vec<Arc<Mailbox>>>,
    pub(super) application: Application,
    pub(super) behaviour: Behaviour,
    /// Configuration by which each connection is encrypted.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) accept_limiter: Option<AcceptLimiter>,
    pub(super) limits: Limits,
    /// Memory that all connections hold of what is not complete.
    pub(super) memory: MemoryBudget,
    pub(super) clock: Clock,
    /// Connections that fit into one worker's table.
    pub(super) room: usize,
    /// Workers whose table is not full.
    pub(super) accepting: AtomicU32,
    pub(super) to_boss: Sender<Message>,
}

impl Shared {
    /// Posts news to all workers but the one whose mailbox this is; returns how many had no room for it.
    pub(super) fn post(&self, news: &News, own: &Arc<Mailbox>) -> u64 {
        let mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let others = mailboxes.iter().filter(|other| !Arc::ptr_eq(other, own));
        others.map(|other| u64::from(!other.post(news))).sum()
    }

    /// Has all workers look into their mailboxes.
    pub(super) fn ring(&self) {
        // It can't fail: so many rings do not fit into the life of a machine.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

impl Target {
    /// Starts a target; it listens when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Running, StartError> {
        if !config.behaviour.suits(config.kind) {
            return Err(StartError::Unsuitable { kind: config.kind, behaviour: config.behaviour });
        }
        let (to_boss, inbox) = channel();
        let (answer, answered) = channel();
        let books = Arc::new(Books::default());
        let start = Start { config, books: books.clone(), to_boss: to_boss.clone(), inbox, answer };
        let thread = thread("target-supervisor".to_owned());
        let supervisor = fd_table::spawn(thread, NoDescriptors(start), |table, start| start.0.run(table))
            .map_err(|error| StartError::Thread { what: "starting a thread", error })?;
        let (addresses, certificate) = (Vec::new(), None);
        let mut running = Running { addresses, certificate, books, to_boss, supervisor: Some(supervisor) };
        (running.addresses, running.certificate) = answered.recv().unwrap_or_else(|_| {
            let error = io::Error::other("the thread ended without a word");
            Err(StartError::Thread { what: "preparing the target", error })
        })?;
        Ok(running)
    }
}

impl Running {
    /// The addresses it listens on, in the order of [`Config::listen`], with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificate it has made, as PEM, for clients that are to trust it; none without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Counts so far.
    pub fn counters(&self) -> Counters {
        let accept_errors = self.books.failed_hires.load(Relaxed);
        let mut sum = Counters { accept_errors, ..Counters::default() };
        for tally in self.books.tallies.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            tally.add_to(&mut sum);
        }
        sum
    }

    /// Stops it at once, closes its connections (FIN, or RST where bytes are unread) and its ports, and
    /// returns what it has seen in all.
    pub fn stop(mut self) -> Counters {
        self.end();
        self.counters()
    }

    fn end(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            // Both fail only if the supervisor has panicked, and then its table and its workers' are gone too.
            let _ = self.to_boss.send(Message::Stop);
            let _ = supervisor.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Facts of a target once it listens: its addresses, and its certificate as PEM.
type Made = (Vec<SocketAddr>, Option<String>);

/// Parts that the supervisor's thread starts with.
struct Start {
    config: Config,
    books: Arc<Books>,
    to_boss: Sender<Message>,
    inbox: Receiver<Message>,
    answer: Sender<Result<Made, StartError>>,
}

impl Start {
    /// The thread's whole life. The listeners are made here, in the thread's own table.
    fn run(self, table: io::Result<()>) {
        let Start { config, books, to_boss, inbox, answer } = self;
        let table = table.map_err(|error| StartError::Thread {
            what: "making a descriptor table (Linux 5.9 or later)",
            error,
        });
        match table.and_then(|()| Supervisor::new(&config, books, to_boss, inbox)) {
            Ok((mut supervisor, made)) => {
                let started = supervisor.start_first(config.workers).map(|()| made);
                let is_well = started.is_ok();
                // The starter waits for the answer for as long as this thread lives.
                let _ = answer.send(started);
                if is_well {
                    supervisor.hire_until_stopped();
                }
                supervisor.stop();
            }
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    }
}

/// State of the supervisor thread.
struct Supervisor {
    shared: Arc<Shared>,
    books: Arc<Books>,
    inbox: Receiver<Message>,
    workers: Vec<JoinHandle<()>>,
    /// Workers that should be accepting; zero when their number is the user's choice.
    wanted: u32,
}

impl Supervisor {
    /// Prepares everything but the workers. On the supervisor's own thread.
    fn new(
        config: &Config,
        books: Arc<Books>,
        to_boss: Sender<Message>,
        inbox: Receiver<Message>,
    ) -> Result<(Supervisor, Made), StartError> {
        let thread = |what| move |error| StartError::Thread { what, error };
        if let Some(cpu) = config.cpu {
            // The workers inherit it.
            run_on(cpu)?;
        }
        let (listeners, addresses) = listen_on_all(config)?;
        let identity = match config.kind.is_encrypted() {
            true => Some(Identity::make(&config.certificate, &addresses)?),
            false => None,
        };
        let new_eventfd = || {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| thread("making an eventfd")(errno.into()))
        };
        let accept_limiter = match config.behaviour {
            Behaviour::SlowAccept { every } => Some(AcceptLimiter::new(every)),
            _ => None,
        };
        let shared = Arc::new(Shared {
            room: room(config.descriptors, listeners.len())?,
            listeners,
            wake_up: new_eventfd()?,
            bell: new_eventfd()?,
            mailboxes: Mutex::default(),
            application: config.kind.application(),
            behaviour: config.behaviour.clone(),
            tls: identity.as_ref().map(|identity| identity.config.clone()),
            accept_limiter,
            limits: config.limits,
            memory: MemoryBudget::of(config.limits.memory as u64),
            clock: Clock::start(),
            accepting: AtomicU32::new(0),
            to_boss,
        });
        let made = (addresses, identity.map(|identity| identity.pem));
        Ok((Supervisor { shared, books, inbox, workers: Vec::new(), wanted: 0 }, made))
    }

    /// Starts the workers that there are from the beginning, and waits until they accept.
    fn start_first(&mut self, fixed: Option<NonZeroU32>) -> Result<(), StartError> {
        if !self.shared.behaviour.accepts() {
            return Ok(());
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let first = fixed.map_or(cores, NonZeroU32::get);
        let failed = |error| StartError::Thread { what: "starting a worker", error };
        for _ in 0..first {
            self.spawn().map_err(failed)?;
        }
        let mut pending = first;
        while pending > 0 {
            // Never closed: `shared` holds a sender.
            if let Ok(Message::Started(started)) = self.inbox.recv() {
                started.map_err(failed)?;
                pending -= 1;
            }
        }
        self.wanted = if fixed.is_some() { 0 } else { first };
        // A worker may have been full before the last one had started.
        self.hire_if_wanted();
        Ok(())
    }

    /// Hires as the workers fill up.
    fn hire_until_stopped(&mut self) {
        loop {
            match self.inbox.recv() {
                Ok(Message::Started(Ok(()))) => {}
                Ok(Message::Full) => self.hire_if_wanted(),
                Ok(Message::Started(Err(_))) => {
                    self.shared.accepting.fetch_sub(1, Relaxed);
                    self.books.failed_hires.fetch_add(1, Relaxed);
                }
                Ok(Message::Lost) => {
                    self.books.failed_hires.fetch_add(1, Relaxed);
                    self.hire_if_wanted();
                }
                Ok(Message::Stop) | Err(_) => return,
            }
        }
    }

    /// Stops the workers; the listeners are closed with the last reference to what all share.
    fn stop(self) {
        // It can't fail: the counter of the eventfd is far from full.
        let _ = rustix::io::write(&self.shared.wake_up, &1u64.to_ne_bytes());
        for worker in self.workers {
            // Of a worker that has panicked, the thread's table is gone with all that was in it.
            let _ = worker.join();
        }
    }

    fn hire_if_wanted(&mut self) {
        while self.shared.accepting.load(Relaxed) < self.wanted && self.workers.len() < MOST_WORKERS {
            if self.spawn().is_err() {
                // The next table that fills up brings the next try.
                self.books.failed_hires.fetch_add(1, Relaxed);
                return;
            }
        }
    }

    fn spawn(&mut self) -> io::Result<()> {
        let (tally, mailbox) = (Arc::new(Tally::default()), Arc::new(Mailbox::default()));
        let start =
            WorkerStart { shared: self.shared.clone(), tally: tally.clone(), mailbox: mailbox.clone() };
        let thread = thread(format!("target-{}", self.workers.len() + 1));
        self.workers.push(fd_table::spawn(thread, start, work)?);
        self.shared.mailboxes.lock().unwrap_or_else(PoisonError::into_inner).push(mailbox);
        // The worker may have counted itself out already; the sum is right either way round.
        self.shared.accepting.fetch_add(1, Relaxed);
        self.books.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
        Ok(())
    }
}

/// Parts that a worker's thread starts with.
struct WorkerStart {
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    mailbox: Arc<Mailbox>,
}

impl Crosses for WorkerStart {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let common = self.shared.listeners.iter().chain([&self.shared.wake_up, &self.shared.bell]);
        common.map(AsFd::as_fd).collect()
    }
}

/// The body of a worker thread. [`fd_table::spawn`] closes the thread's copies of the listeners before the
/// thread can be joined: stop() promises free ports.
fn work(table: io::Result<()>, start: WorkerStart) {
    let WorkerStart { shared, tally, mailbox } = start;
    let to_boss = shared.to_boss.clone();
    match table.and_then(|()| Worker::new(shared, tally, mailbox)) {
        Ok(worker) => {
            let _ = to_boss.send(Message::Started(Ok(())));
            if worker.run().is_err() {
                let _ = to_boss.send(Message::Lost);
            }
        }
        Err(error) => {
            let _ = to_boss.send(Message::Started(Err(error)));
        }
    }
}

fn thread(name: String) -> Builder {
    Builder::new().name(name).stack_size(STACK_BYTES)
}

/// Connections that fit into a worker's table.
fn room(descriptors: Option<NonZeroU32>, listeners: usize) -> Result<usize, StartError> {
    let limit = fd_table::limits().0.unwrap_or(u64::MAX).min(u64::from(u32::MAX)) as usize;
    let limit = descriptors.map_or(limit, |descriptors| limit.min(descriptors.get() as usize));
    let aside = DESCRIPTORS_ASIDE + listeners;
    if limit <= aside {
        return Err(StartError::TooFewDescriptors { limit, needed: aside + 1 });
    }
    Ok(limit - aside)
}

fn run_on(cpu: usize) -> Result<(), StartError> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(StartError::Cpu { cpu, error: io::ErrorKind::InvalidInput.into() });
    }
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|errno| StartError::Cpu { cpu, error: errno.into() })
}
