//! A worker: one thread, one descriptor table, one epoll set, and the connections it has accepted.
//!
//! All workers watch the same listeners (`EPOLLEXCLUSIVE`), so there is one accept queue an address and
//! whoever is idle takes from it. A worker takes its interest in the listeners away, and so leaves the
//! connections to others, while its table is full, while accept() can't succeed (EMFILE, ENFILE, …), and
//! while a slow target waits for its next turn. It never spins on a listener that it can't accept from.

use super::connection::Connection;
use super::context::{Actions, Buffers, Context};
use super::counters::{Ending, Tally};
use super::deadlines::{Deadlines, Whom};
use super::mailbox::{Mailbox, News};
use super::supervisor::{Message, Shared};
use crate::linux::epoll::{Epoll, Event, Events, Interest};
use crate::protocol::Behaviour;
use crate::protocol::websocket::{self, Opcode};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use slab::Slab;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

mod limits;

/// Time that a worker leaves the listeners alone after accept() failed for lack of something.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Connections taken from one listener before the worker looks at its others.
const ACCEPT_BATCH: usize = 64;
/// Connections after which a worker goes to the end of the queue of those that wait for a listener.
const TURN: u64 = 16;
const EVENTS_A_WAIT: usize = 256;

/// Longest time that a peer may take to close after we have.
const LINGER: Duration = Duration::from_secs(2);

/// Keys of the set: the wake-up, the bell, the listeners with this bit, and all others are slots of
/// connections.
const WAKE_UP: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const LISTENER: u64 = 1 << 63;

/// True if the worker watches the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    ShutUntil(Duration),
    Full,
}

/// State of one worker thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    mailbox: Arc<Mailbox>,
    set: Epoll,
    connections: Slab<Connection>,
    gate: Gate,
    /// When the behaviour has something to do about a connection: close, release or push.
    behaviour_due: Deadlines,
    /// When the peer has had time enough to close.
    linger_due: Deadlines,
    /// When what has begun has to be complete.
    slow_due: Deadlines,
    next_serial: u32,
    admitted: u64,
    /// True if others have news of us that they were not yet rung for.
    has_posted: bool,
    buffers: Buffers,
}

impl Worker {
    /// A worker that accepts. Must be made on the thread, and in the table, that it will run in.
    pub(super) fn new(shared: Arc<Shared>, tally: Arc<Tally>, mailbox: Arc<Mailbox>) -> io::Result<Worker> {
        let set = Epoll::new()?;
        set.add(&shared.wake_up, WAKE_UP, Interest::READABLE)?;
        set.add(&shared.bell, BELL, Interest::READABLE | Interest::EDGE)?;
        watch_listeners(&set, &shared.listeners)?;
        Ok(Worker {
            behaviour_due: Deadlines::new(time_of(&shared.behaviour)),
            linger_due: Deadlines::new(LINGER),
            slow_due: Deadlines::new(shared.limits.slow_client),
            shared,
            tally,
            mailbox,
            set,
            connections: Slab::new(),
            gate: Gate::Open,
            next_serial: 0,
            admitted: 0,
            has_posted: false,
            buffers: Buffers::new(),
        })
    }

    /// Serves until the wake-up is rung, then closes everything.
    ///
    /// # Errors
    /// What waiting for events returned; everything is closed then, too.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.tally.set_working();
        let served = self.serve_until_stopped();
        let how = if served.is_ok() { Ending::AtStop } else { Ending::Failed };
        self.tally.ended(how, self.connections.len() as u64);
        if served.is_err() && self.gate != Gate::Full {
            self.shared.accepting.fetch_sub(1, Relaxed);
        }
        served
    }

    fn serve_until_stopped(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_A_WAIT);
        let mut stopped = false;
        while !stopped {
            let timeout = self.next_due().map(|due| due.saturating_sub(self.shared.clock.now()));
            for event in self.set.wait(&mut events, timeout)? {
                match event.key {
                    WAKE_UP => stopped = true,
                    BELL => self.deliver_mail(),
                    listener if listener & LISTENER != 0 => self.accept((listener & !LISTENER) as usize),
                    _ => self.serve(event),
                }
            }
            self.do_what_is_due();
            if std::mem::take(&mut self.has_posted) {
                self.shared.ring();
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPT_BATCH {
            // It shuts in the midst of a batch, and events of other listeners may still be at hand.
            if self.gate != Gate::Open {
                return;
            }
            if let Some(accept_limiter) = &self.shared.accept_limiter
                && let Err(until) = accept_limiter.take(self.shared.clock.now())
            {
                return self.shut(Gate::ShutUntil(until));
            }
            match accept_with(&self.shared.listeners[listener], SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
            {
                Ok(socket) => {
                    self.admit(socket);
                    self.admitted += 1;
                    if self.admitted.is_multiple_of(TURN) {
                        self.let_others_first(listener);
                    }
                }
                Err(errno) => {
                    self.shared.accept_limiter.iter().for_each(|accept_limiter| accept_limiter.give_back());
                    match errno {
                        Errno::AGAIN => return,
                        Errno::INTR => {}
                        errno if concerns_one_connection(errno) => self.tally.accept_failed(),
                        _ => return self.back_off(),
                    }
                }
            }
        }
    }

    /// The kernel wakes the first idle one of those that wait exclusively, in the order in which they came:
    /// without this one worker held 13,700 of 15,000 connections while another had next to none.
    fn let_others_first(&mut self, listener: usize) {
        if self.gate == Gate::Open {
            let socket = &self.shared.listeners[listener];
            let moved = self.set.remove(socket).and_then(|()| watch_listener(&self.set, socket, listener));
            if moved.is_err() {
                self.back_off();
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        self.tally.accepted();
        match self.shared.behaviour {
            Behaviour::Discard => self.tally.ended(Ending::ByUs, 1),
            Behaviour::Reset => {
                // It fails for no TCP socket; if it did, the peer would see FIN and the tally an error.
                let linger = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
                self.tally.ended(if linger.is_ok() { Ending::ByUs } else { Ending::Failed }, 1);
            }
            _ => self.hold(socket),
        }
    }

    fn hold(&mut self, socket: OwnedFd) {
        let behaviour = &self.shared.behaviour;
        let serial = self.next_serial;
        let mut connection = Connection::new(socket, serial, behaviour);
        let plain = matches!(behaviour, Behaviour::Alert(_) | Behaviour::PlainTextReply);
        let encrypted = self.shared.tls.as_ref().filter(|_| !plain);
        if encrypted.is_some_and(|config| connection.encrypt(config).is_err()) {
            return self.tally.ended(Ending::Failed, 1);
        }
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        if self.set.add(&connection.socket, slot as u64, connection.watched).is_err() {
            // ENOSPC at fs.epoll.max_user_watches, or ENOMEM: the next one would fare no better.
            self.tally.ended(Ending::Failed, 1);
            return self.back_off();
        }
        entry.insert(connection);
        self.next_serial = serial.wrapping_add(1);
        if let Behaviour::CloseAfter(_) = behaviour {
            self.behaviour_due.set(self.shared.clock.now(), whom(slot, serial));
        }
        if self.connections.len() >= self.shared.room {
            self.shut(Gate::Full);
        }
        self.attend(slot, Connection::greet);
    }

    fn serve(&mut self, event: Event) {
        self.attend(event.key as usize, |connection, context| connection.serve(event, context));
    }

    /// Has a connection do something, and does what it wants done after that.
    fn attend(&mut self, slot: usize, act: impl FnOnce(&mut Connection, &mut Context<'_>) -> Option<Ending>) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (held, was_unfinished) = (connection.held(), connection.is_unfinished());
        let mut context = Context {
            application: self.shared.application,
            behaviour: &self.shared.behaviour,
            tally: &self.tally,
            buffers: &mut self.buffers,
            actions: Actions::default(),
        };
        let ended = act(connection, &mut context);
        let (actions, serial, wanted) = (context.actions, connection.serial, connection.wanted());
        let now_held = connection.held();
        let is_over = self.account(held, now_held) && ended.is_none();
        let ended = ended.or_else(|| is_over.then_some(Ending::ByUs));
        if is_over {
            self.tally.closed_for_memory();
        } else if ended.is_none() {
            self.watch_the_slow(slot, was_unfinished);
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        match ended {
            Some(how) => self.close(slot, how),
            None if wanted != connection.watched => {
                connection.watched = wanted;
                if self.set.modify(&connection.socket, slot as u64, wanted).is_err() {
                    self.close(slot, Ending::Failed);
                }
            }
            None => {}
        }
        self.grant(actions, whom(slot, serial));
    }

    fn grant(&mut self, actions: Actions, whom: Whom) {
        let pushes = actions.opened && matches!(self.shared.behaviour, Behaviour::Push { .. });
        if pushes || actions.held {
            self.behaviour_due.set(self.shared.clock.now(), whom);
        }
        if actions.lingers {
            self.linger_due.set(self.shared.clock.now(), whom);
        }
        for news in &actions.news {
            (0..self.shared.post(news, &self.mailbox)).for_each(|_| self.tally.message_dropped());
            self.has_posted = true;
            self.spread(news, Some(whom));
        }
    }

    fn deliver_mail(&mut self) {
        for news in self.mailbox.empty() {
            self.spread(&news, None);
        }
    }

    /// Sends news to all WebSockets of this worker but the one it is from.
    fn spread(&mut self, news: &News, from: Option<Whom>) {
        let from = from.map(|whom| whom.slot as usize);
        let receivers: Vec<usize> = self
            .connections
            .iter()
            .filter(|(slot, connection)| Some(*slot) != from && connection.takes_messages())
            .map(|(slot, _)| slot)
            .collect();
        for slot in receivers {
            self.attend(slot, |connection, context| connection.send_message(news, context));
        }
    }

    /// Tells a WebSocket the time.
    fn push(&mut self, whom: Whom, due: Duration) {
        let now = self.shared.clock.now();
        let now_us = self.shared.clock.unix_micros(now);
        let slot = whom.slot as usize;
        if !self.connections.get(slot).is_some_and(Connection::takes_messages) {
            return;
        }
        // Counted from when it was due, so that lateness does not add up; what was missed is not made up for.
        let after = time_of(&self.shared.behaviour);
        let from = if due + after > now { due } else { now };
        self.behaviour_due.set(from, whom);
        self.attend(slot, |connection, context| {
            let text = format!("{{\"seq\":{},\"now_us\":{now_us}}}", connection.next_number());
            let mut frame = Vec::with_capacity(text.len() + 2);
            websocket::write(&mut frame, Opcode::Text, text.as_bytes(), None);
            connection.send_message(&frame, context)
        });
    }

    fn close(&mut self, slot: usize, how: Ending) {
        // Closing its only descriptor takes it out of the set.
        let connection = self.connections.remove(slot);
        self.account(connection.held(), 0);
        drop(connection);
        self.tally.ended(how, 1);
        // Not at the first place that comes free, or the gate would move with each connection.
        let reopen_at = self.shared.room - self.shared.room.div_ceil(16);
        if self.gate == Gate::Full && self.connections.len() <= reopen_at {
            self.open();
        }
    }

    /// When there is something to do even if nothing happens.
    fn next_due(&self) -> Option<Duration> {
        let reopening = if let Gate::ShutUntil(until) = self.gate { Some(until) } else { None };
        [reopening, self.behaviour_due.next(), self.linger_due.next(), self.slow_due.next()]
            .into_iter()
            .flatten()
            .min()
    }

    fn do_what_is_due(&mut self) {
        if self.next_due().is_none() {
            return;
        }
        let now = self.shared.clock.now();
        while let Some((due, whom)) = self.behaviour_due.take(now) {
            if self.is_there(whom) {
                match self.shared.behaviour {
                    Behaviour::Push { .. } => self.push(whom, due),
                    Behaviour::Slow(_) => self.attend(whom.slot as usize, Connection::release),
                    _ => self.attend(whom.slot as usize, Connection::finish),
                }
            }
        }
        while let Some((_, whom)) = self.linger_due.take(now) {
            if self.is_there(whom) {
                self.close(whom.slot as usize, Ending::ByUs);
            }
        }
        while let Some((_, whom)) = self.slow_due.take(now) {
            if self.is_there(whom) {
                self.end_the_slow(whom, now);
            }
        }
        if matches!(self.gate, Gate::ShutUntil(until) if until <= now) {
            self.open();
        }
    }

    /// True if a connection is still the one that a deadline was set for.
    fn is_there(&self, whom: Whom) -> bool {
        self.connections.get(whom.slot as usize).is_some_and(|connection| connection.serial == whom.serial)
    }

    fn back_off(&mut self) {
        self.tally.accept_failed();
        self.shut(Gate::ShutUntil(self.shared.clock.now() + BACK_OFF));
    }

    fn shut(&mut self, gate: Gate) {
        if self.gate == Gate::Open {
            for listener in &self.shared.listeners {
                // Absent if adding it failed; either way it is not watched now.
                let _ = self.set.remove(listener);
            }
        }
        self.gate = gate;
        if gate == Gate::Full {
            self.tally.set_full(true);
            self.shared.accepting.fetch_sub(1, Relaxed);
            // Fails only when the supervisor is gone, and then the worker is about to be stopped.
            let _ = self.shared.to_boss.send(Message::Full);
        }
    }

    fn open(&mut self) {
        if self.gate == Gate::Full {
            self.tally.set_full(false);
            self.shared.accepting.fetch_add(1, Relaxed);
        }
        self.gate = Gate::Open;
        if watch_listeners(&self.set, &self.shared.listeners).is_err() {
            self.back_off();
        }
    }
}

/// A table has at most 2^31 descriptors, and there is a slot to a descriptor.
fn whom(slot: usize, serial: u32) -> Whom {
    Whom { slot: slot as u32, serial }
}

/// Distance of the behaviour's deadlines; of no matter where there are none.
fn time_of(behaviour: &Behaviour) -> Duration {
    match behaviour {
        Behaviour::CloseAfter(time) | Behaviour::Slow(time) | Behaviour::Push { every: time } => *time,
        _ => Duration::ZERO,
    }
}

fn watch_listeners(set: &Epoll, listeners: &[OwnedFd]) -> io::Result<()> {
    listeners.iter().enumerate().try_for_each(|(n, listener)| watch_listener(set, listener, n))
}

fn watch_listener(set: &Epoll, listener: &OwnedFd, n: usize) -> io::Result<()> {
    set.add(listener, LISTENER | n as u64, Interest::READABLE | Interest::EXCLUSIVE)
}

/// Errors that accept() takes over from the connection it returns (accept(2)): the next may be well.
fn concerns_one_connection(errno: Errno) -> bool {
    [
        Errno::CONNABORTED,
        Errno::PERM,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::OPNOTSUPP,
        Errno::TIMEDOUT,
    ]
    .contains(&errno)
}
