//! The connections of attempts through one worker: from a ticket to its one record.
//!
//! Invariant: each ticket that [`Connections::attempt`] takes leaves one record in the tally, gives its lease
//! back and says what follows ([`Finished`]), in that order and after its socket is closed; or it is in flight,
//! and has a slot. An open connection is a slot in a slab and a member of one epoll set, not a task.

use super::deadlines::{Deadlines, Timed};
use super::first_failures::FirstFailures;
use super::lifetimes::WorkerRng;
use super::open_count::OpenCount;
use super::pacer::{Finished, Pacing};
use super::session::{LastWords, Script, Session};
use super::tracing::Tracer;
use crate::linux::clock::Clock;
use crate::linux::epoll::{Epoll, Interest};
use crate::linux::socket::{Connection as Socket, PortChoice, Progress};
use crate::model::{
    Cause, Errno, Failure, Lease, LeaseKey, MemoryBudget, Opening, Outcome, Pool, PortSearch, Stage, Stamp,
    Tally, Ticket,
};
use crate::plan::{Close, Connection, Reconnect};
use slab::Slab;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

mod bare;
mod connecting;
mod end_of_run;
mod ending;
mod expiring;
mod going_on;
mod sessions;
mod weighing;

use connecting::{explained, keep_icmp_errors, syn_was_sent_again};
use end_of_run::Ending;
use going_on::GoingOn;
use sessions::Buffers;
use weighing::Weighed;

/// The longest read, in bytes.
pub(super) const LONGEST_READ: usize = 64 * 1024;

/// The slice of the plan that attempts go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionConfig {
    /// System calls that choose the source port.
    pub choice: PortChoice,
    /// Life and end of a connection.
    pub connection: Connection,
    /// Attempts that may be open or opening at once.
    pub max_open: u64,
    /// Reason for which an attempt becomes due.
    pub pacing: Pacing,
    /// Reconnection when a connection is lost or can't be had; `None`: none.
    pub reconnect: Option<Reconnect>,
    /// First port of the range that the kernel searches, one parity after the other; `None` where it does
    /// not: at bind(), in a range of the socket's own (`IP_LOCAL_PORT_RANGE`), and where ports are leased.
    pub searched_from: Option<u16>,
    /// True if the source of an attempt can be its own destination: see [`Setup`](super::setup::Setup).
    pub may_meet_itself: bool,
}

/// See the module.
pub(super) struct Connections {
    connection_config: ConnectionConfig,
    clock: Clock,
    /// `None` when the target's name could not be resolved: every attempt fails by that.
    pool: Option<Pool>,
    rng: WorkerRng,
    /// Script of what is said above TCP; `None`: nothing.
    script: Option<Arc<Script>>,
    buffers: Buffers,
    /// State of the run's end.
    ending: Ending,
    /// When a session was last given something to do.
    last_step: Stamp,
    /// When it ended.
    ended: Option<Stamp>,
    slots: Slab<Slot>,
    buffer: Box<[u8]>,
    open: u64,
    /// The same over all workers.
    pub(super) all_open: Arc<OpenCount>,
    /// Memory that sessions hold for their peers, over all workers.
    pub(super) memory: Arc<MemoryBudget>,
    /// `None` where the kernel does not search by parity, and when there is no more to learn.
    port_search: Option<PortSearch>,
    /// Every socket that has a slot.
    pub epoll: Epoll,
    /// Deadlines of attempts.
    pub deadlines: Deadlines,
    /// Counts since the last handover.
    pub tally: Tally,
    /// Whom the first failures of each kind are told.
    pub(super) first_failures: FirstFailures,
    /// Attempts that have ended and that the pacer has not heard of.
    finished: Vec<Finished>,
    /// Clients between two connections.
    going_on: GoingOn,
    /// Attempts that are traced; `None`: none.
    pub(super) tracer: Option<Tracer>,
}

/// An attempt from its start to its record.
#[derive(Debug, Clone, Copy)]
struct Started {
    ticket: Ticket,
    at: Stamp,
    /// Failures in a row that its closed-loop slot had before.
    failures: u32,
}

/// An attempt that has its socket and waits for something.
#[derive(Debug)]
struct Slot {
    socket: Socket,
    lease: LeaseKey,
    started: Started,
    /// `None` while the handshake is under way.
    connected: Option<Stamp>,
    /// When the wait is over, if ever.
    until: Option<Stamp>,
    bytes_in: u64,
    /// Last bytes of a peer to whom nothing is said.
    words: LastWords,
    /// Session above TCP.
    session: Option<Box<SessionIo>>,
}

/// A session and what it could not send yet.
#[derive(Debug)]
struct SessionIo {
    session: Session,
    unsent: Vec<u8>,
    bytes_out: u64,
    weighed: Weighed,
}

impl Connections {
    /// The connections of a worker that has not begun, on its own thread.
    ///
    /// # Errors
    /// When a descriptor for the epoll set can't be had.
    pub(super) fn new(
        connection_config: ConnectionConfig,
        clock: Clock,
        pool: Option<Pool>,
        rng: WorkerRng,
        script: Option<Arc<Script>>,
    ) -> io::Result<Connections> {
        let epoll = Epoll::new()?;
        Ok(Connections {
            connection_config,
            clock,
            pool,
            rng,
            script,
            buffers: Buffers::default(),
            ending: Ending::No,
            last_step: Stamp::ZERO,
            ended: None,
            slots: Slab::new(),
            buffer: vec![0; LONGEST_READ].into(),
            open: 0,
            all_open: Arc::default(),
            memory: Arc::default(),
            port_search: connection_config.searched_from.map(PortSearch::from),
            epoll,
            deadlines: Deadlines::default(),
            tally: Tally::default(),
            first_failures: FirstFailures::default(),
            finished: Vec::new(),
            going_on: GoingOn::default(),
            tracer: None,
        })
    }

    /// True if nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.going_on.is_empty()
    }

    /// True if an attempt with failures behind it is that of a client which connects again.
    pub(super) fn reconnects(&self) -> bool {
        self.connection_config.reconnect.is_some()
    }

    /// True if as much is in flight as may be.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() as u64 >= self.connection_config.max_open
    }

    /// When a session was last given something to do.
    pub(super) fn last_step(&self) -> Stamp {
        self.last_step
    }

    /// Established connections.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// Counts since the last call.
    pub(super) fn take_counts(&mut self) -> Tally {
        let fresh = self.tally.fresh();
        std::mem::replace(&mut self.tally, fresh)
    }

    /// Attempts that have ended since the last call, for the pacer.
    pub(super) fn take_finished(&mut self) -> std::vec::Drain<'_, Finished> {
        self.finished.drain(..)
    }

    /// One attempt, as far as it goes without waiting. On loopback that is to its end.
    pub(super) fn attempt(&mut self, ticket: Ticket, failures: u32, now: Stamp) {
        let started = Started { ticket, at: now, failures };
        self.tally.start();
        if let Some(tracer) = &mut self.tracer {
            tracer.begins(ticket.ordinal, now);
        }
        if self.connection_config.pacing == Pacing::Planned {
            self.tally.latencies.lateness.record(now.saturating_sub(ticket.due));
        }
        match self.open_socket(started) {
            Ok((slot, Progress::Established)) => self.established(slot),
            Ok((slot, Progress::Pending)) => self.await_connection(slot),
            Err((failure, lease)) => self.record_failure(started, self.in_its_place(failure), lease),
        }
    }

    /// Lease, socket, bind and connect. What fails has given its lease back.
    fn open_socket(&mut self, started: Started) -> Result<(Slot, Progress), (Failure, Lease)> {
        let no_lease = |cause, lease| (Failure::new(Stage::Lease, cause), lease);
        let ordinal = started.ticket.ordinal;
        let pool = self.pool.as_mut().ok_or_else(|| no_lease(Cause::NameResolution, nowhere()))?;
        let key = pool.lease(ordinal).ok_or_else(|| no_lease(Cause::NoFreePort, pool.refused(ordinal)))?;
        let lease = pool.describe(key);
        match self.bind_and_connect(started, &lease) {
            Ok((socket, progress)) => Ok((
                Slot {
                    socket,
                    lease: key,
                    started,
                    connected: None,
                    until: None,
                    bytes_in: 0,
                    words: LastWords::default(),
                    session: None,
                },
                progress,
            )),
            Err(failure) => {
                self.release(key);
                Err((failure, lease))
            }
        }
    }

    fn bind_and_connect(&mut self, started: Started, lease: &Lease) -> Result<(Socket, Progress), Failure> {
        let socket = Socket::bind(lease, self.connection_config.choice)?;
        // On a network the ICMP answer may be there before we look; on loopback it comes again later.
        if !lease.destination.ip().is_loopback() {
            keep_icmp_errors(&socket, lease.destination, true);
        }
        let bound = self.clock.now();
        let progress = socket.connect(lease.destination).map_err(|error| explained(error, &socket).0)?;
        let returned = self.clock.now();
        let call = returned.saturating_sub(bound);
        self.tally.latencies.bind_call.record(bound.saturating_sub(started.at));
        self.tally.latencies.connect_call.record(call);
        if let Some(search) = &mut self.port_search
            && let Some(port) = socket.local_address().map(|local| local.port())
        {
            if let Some(slow) = search.note(call, port, || (started.ticket.ordinal, returned, *lease)) {
                self.tally.search_slowed(slow);
            }
            if !search.is_open() {
                self.port_search = None;
            }
        }
        Ok((socket, progress))
    }

    /// The connection is there: it lives from now on.
    fn established(&mut self, mut slot: Slot) {
        let now = self.clock.now();
        if self.is_connected_to_itself(&slot) {
            let failure = Failure::new(Stage::Connect, Cause::SelfConnect);
            // By RST: its TIME_WAIT would keep the server from taking its own port.
            let _ = slot.socket.reset_on_close();
            return self.end(slot, Outcome::Failed(failure));
        }
        let opening = Opening { due: slot.started.ticket.due, started: slot.started.at, connected: now };
        self.tally.open(opening);
        slot.connected = Some(now);
        self.open += 1;
        self.all_open.opened();
        self.trace_connected(&slot, now);
        if self.script.is_some() {
            return self.begin_session(slot);
        }
        self.tally.course.opened(slot.started.at, now);
        if self.ending != Ending::No {
            // A run that ended while the connection was on its way.
            return self.end(slot, Outcome::Ok);
        }
        let lifetime = self.rng.lifetime(self.connection_config.connection.lifetime);
        let waits_for_peer = self.connection_config.connection.close == Close::Peer;
        match lifetime {
            Some(time) if time.is_zero() && !waits_for_peer => self.end(slot, Outcome::Ok),
            Some(time) if !time.is_zero() => self.seat(slot, Some(now + time)),
            Some(_) | None => self.seat(slot, None),
        }
    }

    /// True if both ends of a connection are one socket: nobody listens on the destination's port, and it was
    /// chosen as the source port as well (simultaneous open, RFC 9293, section 3.5). Asked only where that can be.
    fn is_connected_to_itself(&self, slot: &Slot) -> bool {
        let Some(pool) = self.pool.as_ref().filter(|_| self.connection_config.may_meet_itself) else {
            return false;
        };
        slot.socket.local_address() == Some(pool.destination(slot.lease))
    }

    /// SYN_SENT: the slow path, on which waiting costs nothing that matters.
    fn await_connection(&mut self, slot: Slot) {
        if let Some(lease) = self.pool.as_ref().map(|pool| pool.describe(slot.lease)) {
            keep_icmp_errors(&slot.socket, lease.destination, true);
        }
        let until = slot.started.at + self.connection_config.connection.connect_timeout;
        self.seat(slot, Some(until));
    }

    /// Gives an attempt a slot to wait in, until something happens to its socket or the time is over.
    fn seat(&mut self, mut slot: Slot, until: Option<Stamp>) {
        let interest = if slot.connected.is_some() {
            Interest::READABLE | Interest::PEER_CLOSED
        } else {
            Interest::WRITABLE
        };
        let ordinal = slot.started.ticket.ordinal;
        slot.until = until;
        let vacant = self.slots.vacant_entry();
        let key = vacant.key();
        if let Err(error) = self.epoll.add(&slot.socket, key as u64, interest) {
            let failure = Failure::from_errno(stage_of(&slot), errno_of(&error));
            return self.end(slot, Outcome::Failed(failure));
        }
        vacant.insert(slot);
        if let Some(until) = until {
            self.deadlines.set(until, Timed { key: key as u32, ordinal });
        }
    }

    /// Something happened to the socket in this slot. Spurious news, which the slot's next attempt may
    /// get, change nothing: each step asks the kernel.
    pub(super) fn ready(&mut self, key: u64) {
        let key = key as usize;
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.connected.is_none() {
            match slot.socket.progress() {
                Ok(Progress::Pending) => {}
                Ok(Progress::Established) => self.connected_late(key),
                Err(error) => {
                    let (failure, sent_by) = explained(error, &slot.socket);
                    let ordinal = slot.started.ticket.ordinal;
                    let failure = self.in_its_place(failure);
                    self.end_slot(key, Outcome::Failed(failure));
                    if let Some(who) = sent_by {
                        self.tally.answered_by(failure, ordinal, who);
                    }
                }
            }
            return;
        }
        if slot.session.is_some() {
            return self.ready_session(key);
        }
        self.ready_bare(key);
    }

    /// A handshake that took longer than connect() itself is complete.
    fn connected_late(&mut self, key: usize) {
        let slot = self.slots.remove(key);
        if let Some(lease) = self.pool.as_ref().map(|pool| pool.describe(slot.lease)) {
            keep_icmp_errors(&slot.socket, lease.destination, false);
        }
        self.count_retransmit(slot.started.at, &slot.socket);
        // Watched anew, with another interest, if it stays.
        let removed = self.epoll.remove(&slot.socket);
        debug_assert!(removed.is_ok(), "a slot is a member of the set");
        self.established(slot);
    }

    fn count_retransmit(&mut self, started: Stamp, socket: &Socket) {
        if syn_was_sent_again(self.clock.now().saturating_sub(started), socket) {
            self.tally.syn_retransmitted();
        }
    }
}

fn stage_of(slot: &Slot) -> Stage {
    if slot.connected.is_some() { Stage::Session } else { Stage::Connect }
}

/// The error number of a failed call.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::of(error).unwrap_or(Errno::EIO)
}

/// The lease of an attempt that had no address to go to.
fn nowhere() -> Lease {
    Lease { source: None, port: None, destination: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) }
}
