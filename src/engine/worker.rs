//! One worker: an OS thread with its own descriptor table, epoll set, leases, tickets and tally.
//!
//! Nothing in it is shared on the way. It looks at one flag ([`Control`]), and hands a whole tally over
//! once a window. This file is its turn: windows, pacing, waiting, end. What becomes of an attempt is in
//! [`super::connections`].

use super::connections::Connections;
use super::control::Control;
use super::pacer::{Finished, Next, Pacer};
use super::service::{Service, Wait};
use crate::linux::clock::Clock;
use crate::linux::epoll::Events;
use crate::linux::usage::thread_cpu;
use crate::model::{Handover, SkipReason, Stamp};
use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(1);
/// Attempts started before other work gets its turn.
const BATCH: u32 = 64;
/// Deadlines that attempts get before other work gets its turn.
const DEADLINES: u32 = 128;
/// Longest delay of the start whose arrivals are started late, rather than missed.
const MADE_UP_FOR: Duration = Duration::from_secs(1);
/// Sockets that report at once.
const EVENTS: usize = 256;
/// Time that deadlines, or sockets, take before other work gets its turn: how late an interruption is seen under load.
const SLICE: Duration = Duration::from_millis(20);
/// Longest rest: how soon an interruption is seen.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Worker {
    number: u32,
    /// When the run ends; `None`: when every attempt has been made and has ended.
    end: Option<Stamp>,
    grace: Duration,
    stop_by: Option<Stamp>,
    clock: Clock,
    control: Control,
    pacer: Pacer,
    connections: Connections,
    events: Events,
    service: Service,
    window: WindowState,
    draining: bool,
    /// Attempts so far that connected again, or were to.
    reconnects: u64,
    /// When conversations that are still under way are cut.
    cut_at: Option<Stamp>,
    to_main: Sender<Handover>,
    #[cfg(test)]
    panics: Option<super::reporting::Panics>,
}

/// State kept from one window to the next.
struct WindowState {
    index: u64,
    /// When the one before was handed over.
    began: Stamp,
    planned: u64,
    cpu: Duration,
}

/// Needs of a worker's turn, besides its connections of attempts.
pub(super) struct WorkerConfig {
    /// Number of the worker.
    pub number: u32,
    /// When the run ends; `None`: when every attempt has been made and has ended.
    pub end: Option<Stamp>,
    /// Time after the end in which late attempts are still started.
    pub grace: Duration,
    /// When nothing goes on any more, whatever is still under way.
    pub stop_by: Option<Stamp>,
    /// The clock of the run.
    pub clock: Clock,
    /// The flag that ends it early.
    pub control: Control,
    /// Where tallies go.
    pub to_main: Sender<Handover>,
}

impl Worker {
    /// A worker of the calling thread.
    pub(super) fn new(turn: WorkerConfig, pacer: Pacer, connections: Connections) -> Worker {
        let WorkerConfig { number, end, grace, stop_by, clock, control, to_main } = turn;
        Worker {
            number,
            end,
            grace,
            stop_by,
            clock,
            control,
            pacer,
            connections,
            events: Events::with_capacity(EVENTS),
            service: Service::default(),
            window: WindowState { index: 0, began: Stamp::ZERO, planned: 0, cpu: thread_cpu() },
            draining: false,
            reconnects: 0,
            cut_at: None,
            to_main,
            #[cfg(test)]
            panics: None,
        }
    }

    /// The same, which panics there.
    #[cfg(test)]
    pub(super) fn panicking(self, panics: Option<super::reporting::Panics>) -> Worker {
        Worker { panics, ..self }
    }

    /// Works until the run has ended, and hands the last window over.
    ///
    /// # Errors
    /// When the epoll set fails; what was counted is handed over all the same.
    pub(super) fn work(mut self) -> io::Result<()> {
        self.await_epoch();
        self.miss_what_is_long_past();
        let result = self.turn_by_turn();
        let now = self.clock.now();
        if result.is_err() {
            self.stop(now);
        }
        self.turn_windows(now);
        self.hand_over(now, true);
        result
    }

    /// Sleeps until the run begins, or is interrupted before.
    fn await_epoch(&self) {
        loop {
            let left = self.clock.until_epoch();
            if left.is_zero() || self.control.is_interrupted() {
                return;
            }
            std::thread::sleep(left.min(LONGEST_REST));
        }
    }

    /// A worker that begins long after its run did starts with what is due from now on. What it missed is told, window
    /// by window, and not made up for in a burst that nobody asked for.
    fn miss_what_is_long_past(&mut self) {
        let now = self.clock.now();
        if now <= MADE_UP_FOR {
            return;
        }
        let end = self.end.map_or(now, |end| end.min(now));
        while self.window_end() <= now {
            let until = self.window_end().min(end);
            self.miss(until);
            self.hand_over(self.window_end(), false);
        }
        self.miss(end);
    }

    fn miss(&mut self, until: Stamp) {
        let missed = self.pacer.miss(until);
        self.connections.tally.skip(SkipReason::AgentLate, missed);
    }

    fn turn_by_turn(&mut self) -> io::Result<()> {
        loop {
            let now = self.clock.now();
            self.turn_windows(now);
            if self.control.is_interrupted() {
                self.stop(now);
                return Ok(());
            }
            if self.end.is_some_and(|end| now >= end) {
                self.pacer.end_reconnects();
            }
            if self.is_over(now) && !self.draining {
                self.drain(now);
            }
            if self.draining && self.is_drained(now) {
                self.connections.cut(now);
                self.tell_pacer();
            }
            if let Some(by) = self.stop_by.filter(|by| now >= *by) {
                self.connections.abandon(by);
                self.tell_pacer();
                return Ok(());
            }
            // First: what comes to its end frees a slot for what begins.
            self.expire_what_is_due();
            self.let_clients_go_on();
            let next = self.start_what_is_due();
            if self.pacer.is_done() && self.connections.is_empty() {
                return Ok(());
            }
            let until = match next {
                Next::Start { .. } if self.connections.is_empty() => continue,
                Next::Start { .. } => Some(Stamp::ZERO),
                Next::At(at) => Some(at),
                Next::WhenFree | Next::Never => None,
            };
            self.serve(until)?;
        }
    }

    /// True if the time that conversations under way were given is over, once.
    fn is_drained(&mut self, now: Stamp) -> bool {
        let is_drained = self.cut_at.is_some_and(|at| now >= at);
        self.cut_at = self.cut_at.filter(|_| !is_drained);
        is_drained
    }

    fn is_over(&self, now: Stamp) -> bool {
        // What is due and late is waited for, as far as the grace goes.
        self.end.is_some_and(|end| now >= end && (self.pacer.is_done() || now >= end + self.grace))
    }

    /// Lets clients whose conversation goes on over another connection have it.
    fn let_clients_go_on(&mut self) {
        for _ in 0..BATCH {
            let now = self.clock.now();
            let Some(client) = self.connections.next_going_on(now) else { return };
            let ticket = self.pacer.extra(now);
            self.connections.go_on(client, ticket, now);
            self.tell_pacer();
        }
    }

    /// Starts attempts as long as some are due, up to a batch. `Next::Start` says that more may be due.
    fn start_what_is_due(&mut self) -> Next {
        let mut next = Next::Never;
        for _ in 0..BATCH {
            let now = self.clock.now();
            if self.is_over(now) {
                return if self.draining { Next::Never } else { Next::At(now) };
            }
            next = self.pacer.next(now);
            let Next::Start { ticket, failures } = next else { break };
            if failures > 0 && self.connections.reconnects() {
                self.reconnects += 1;
                self.connections.tally.traffic.reconnects += 1;
            }
            if self.connections.is_full() {
                self.connections.tally.skip(SkipReason::MaxOpen, 1);
                self.pacer.finished(Finished::Well { at: now });
            } else if !self.connections.draws_rows(ticket.ordinal) {
                self.connections.tally.skip(SkipReason::DataExhausted, 1);
                // Its slot of the closed loop would never start anything again.
                self.pacer.finished(Finished::GaveUp);
            } else {
                self.connections.attempt(ticket, failures, now);
                self.tell_pacer();
            }
        }
        next
    }

    /// The run's time is over: no new attempts, what is open is closed, and what is still opening may
    /// come to its end within its timeout, counted conversations within their drain time.
    fn drain(&mut self, now: Stamp) {
        self.draining = true;
        self.cut_at = self.connections.drain().map(|drain| self.end.unwrap_or(now) + drain);
        let late = self.pacer.give_up(self.end.unwrap_or(now));
        self.connections.tally.skip(SkipReason::Late, late);
        self.hand_over_before_closing(now);
        self.connections.close_all(self.end.unwrap_or(now));
        self.tell_pacer();
    }

    /// The run is interrupted: what is open is closed as planned, what is still opening stays in flight.
    fn stop(&mut self, now: Stamp) {
        let late = self.pacer.give_up(now);
        self.connections.tally.skip(SkipReason::Late, late);
        self.hand_over_before_closing(now);
        self.connections.cut(now);
        self.tell_pacer();
    }

    /// Closing thousands of connections must not wipe out that they were held.
    fn hand_over_before_closing(&mut self, now: Stamp) {
        // A window that ended at this very moment has told it.
        if self.connections.open() > 0 && self.window.began < now {
            self.hand_over(now, false);
        }
    }

    /// Lets attempts have the deadlines that are due, up to a batch: where messages fall due faster than they
    /// can be sent, windows, sockets, signals and the end of the run still get their turn.
    fn expire_what_is_due(&mut self) {
        let began = self.clock.now();
        let mut now = began;
        for _ in 0..DEADLINES {
            let Some(timed) = self.connections.deadlines.expired(now) else { return };
            self.connections.expire(timed);
            self.tell_pacer();
            now = self.clock.now();
            if now.saturating_sub(began) > SLICE {
                return;
            }
        }
    }

    /// Time until something is due: `until`, a deadline, the end of the window or of the run; no longer than
    /// an interruption may go unseen.
    fn time_to_wait(&self, until: Option<Stamp>, now: Stamp) -> Duration {
        let window_end = self.window_end();
        let nearest = [
            until,
            self.connections.deadlines.next_at(),
            self.connections.goes_on_at(),
            self.end.filter(|_| !self.draining),
        ];
        let wake = nearest.into_iter().flatten().fold(window_end.min(now + LONGEST_REST), Stamp::min);
        wake.saturating_sub(now)
    }

    /// Waits until `until` at most for sockets to have something to report, and lets their attempts have it, as far
    /// as that goes in one slice of time: sockets that are left report again.
    fn serve(&mut self, until: Option<Stamp>) -> io::Result<()> {
        let asked = self.clock.now();
        let longest = self.time_to_wait(until, asked);
        let Worker { events, connections, pacer, clock, service, .. } = self;
        if connections.is_empty() {
            service.rest();
            let _ = connections.epoll.wait(events, Some(longest))?;
            return Ok(());
        }
        let came = connections.epoll.wait(events, Some(longest))?;
        let returned = clock.now();
        let delay = service.delay(Wait { asked, longest, returned });
        connections.tally.served(came.len() as u64, delay.most, delay.beyond);
        let mut saw_all = came.len() < EVENTS;
        for event in came {
            connections.ready(event.key);
            connections.take_finished().for_each(|finished| pacer.finished(finished));
            if connections.last_step().saturating_sub(returned) > SLICE {
                saw_all = false;
                break;
            }
        }
        if saw_all {
            service.saw_all();
        }
        Ok(())
    }

    fn tell_pacer(&mut self) {
        let Worker { connections, pacer, .. } = self;
        connections.take_finished().for_each(|finished| pacer.finished(finished));
    }

    fn turn_windows(&mut self, now: Stamp) {
        while now >= self.window_end() {
            self.hand_over(now, false);
        }
    }

    /// When the window is over that goes on.
    fn window_end(&self) -> Stamp {
        WINDOW * u32::try_from(self.window.index + 1).unwrap_or(u32::MAX)
    }

    fn hand_over(&mut self, now: Stamp, last: bool) {
        #[cfg(test)]
        assert!(self.panics.is_none_or(|at| at.window != self.window.index), "on purpose");
        // What is connected again was not planned.
        let issued = self.pacer.planned(self.end.map_or(now, |end| end.min(now)));
        let (planned, cpu) = (issued.saturating_sub(self.reconnects), thread_cpu());
        let tally = self.connections.take_counts();
        let handover = Handover {
            worker: self.number,
            window: self.window.index,
            at: now,
            tally,
            planned: planned.saturating_sub(self.window.planned),
            open: self.connections.open(),
            cpu: cpu.saturating_sub(self.window.cpu),
            last,
        };
        self.window = WindowState { index: self.window.index + 1, began: now, planned, cpu };
        // Nobody listens only when the run was given up; there is nobody left to tell then.
        let _ = self.to_main.send(handover);
    }
}
