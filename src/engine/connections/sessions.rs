//! The part of the connections above TCP: hands a session its bytes and its time, sends what it says, and ends its
//! attempt when it has ended.
//!
//! Invariant: a slot with a session has one nearest deadline in the heap, its `until`; what a session could
//! not send is kept and sent before anything else, and only then is the socket watched for room to write.

use super::{Connections, Ending, SessionIo, Slot, Weighed, errno_of, nowhere};
use crate::engine::deadlines::Timed;
use crate::engine::session::{Context, Session, SessionError, Step, StepResult};
use crate::linux::epoll::Interest;
use crate::linux::socket::Connection as Socket;
use crate::model::{Cause, Failure, Outcome, Traced};
use crate::protocol::Application;
use std::io;

/// Bytes that may wait for a peer who does not read before its session fails: it would grow without bound.
const MOST_UNSENT: usize = 32 << 20;

/// Reads of a session whose time is over: a peer that never ceases to send is not heard for ever.
const READS_BEFORE_THE_END: usize = 16;

/// Buffers of no session's own, used again by each.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    out: Vec<u8>,
    plain: Vec<u8>,
    scratch: Vec<u8>,
    wire: Vec<u8>,
}

/// End of a session, as far as what it was still to say is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndOfSession {
    AsPlanned,
    /// By the end of the run.
    Cut,
    /// By a failure.
    Lost,
}

impl Connections {
    /// The connection stands: its session begins.
    pub(super) fn begin_session(&mut self, mut slot: Slot) {
        // It fails for no TCP socket; if it did, small messages would only be slower.
        let _ = slot.socket.send_at_once();
        slot.until = None;
        let vacant = self.slots.vacant_entry();
        let key = vacant.key();
        if let Err(error) = self.epoll.add(&slot.socket, key as u64, Interest::READABLE) {
            let failure = Failure::from_errno(crate::model::Stage::Session, errno_of(&error));
            return self.end(slot, Outcome::Failed(failure));
        }
        vacant.insert(slot);
        self.drive(key, |slot, context| {
            let (session, stepped) = Session::begin(context);
            let session_io =
                SessionIo { session, unsent: Vec::new(), bytes_out: 0, weighed: Weighed::default() };
            slot.session = Some(Box::new(session_io));
            stepped
        });
    }

    /// Something happened to the socket of a session.
    pub(super) fn ready_session(&mut self, key: usize) {
        if !self.flush(key) {
            return;
        }
        let Some(slot) = self.slots.get_mut(key) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        match slot.socket.read(&mut buffer) {
            Ok(0) => self.drive_open(key, Session::end_of_stream),
            Ok(bytes) => {
                slot.bytes_in += bytes as u64;
                self.drive_open(key, |session, context| session.take(&buffer[..bytes], context));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.drive_open(key, |session, _| Err(session.lost(errno_of(&error)))),
        }
        self.buffer = buffer;
    }

    /// A deadline of a session has passed.
    pub(super) fn expire_session(&mut self, key: usize, ordinal: u64) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.until = None;
        let mut is_over = false;
        self.drive_open(key, |session, context| {
            session.tick(context).or_else(|error| {
                is_over = matches!(error.failure.cause, Cause::TimedOut | Cause::Stalled);
                if is_over { Ok(Step::Continue) } else { Err(error) }
            })
        });
        if is_over && self.heard_all(key, ordinal) {
            self.drive_open(key, Session::tick);
        }
    }

    /// Takes what has come to a socket before the time of its session is called over: a worker that is late may not have
    /// seen it. Whether the session is still there.
    fn heard_all(&mut self, key: usize, ordinal: u64) -> bool {
        for _ in 0..READS_BEFORE_THE_END {
            let Some(slot) = self.slots.get(key) else { return false };
            let before = slot.bytes_in;
            self.ready_session(key);
            match self.slots.get(key).filter(|slot| slot.started.ticket.ordinal == ordinal) {
                None => return false,
                Some(slot) if slot.bytes_in == before => return true,
                Some(_) => {}
            }
        }
        true
    }

    /// The run is over: what is to end does so as it does after each step from now on.
    pub(super) fn stop_session(&mut self, key: usize) {
        self.drive_open(key, |_, _| Ok(Step::Continue));
    }

    fn drive_open(&mut self, key: usize, act: impl FnOnce(&mut Session, &mut Context<'_>) -> StepResult) {
        self.drive(key, |slot, context| match &mut slot.session {
            Some(session_io) => act(&mut session_io.session, context),
            None => Ok(Step::Continue),
        });
    }

    /// Has a session do something, sends what it says, and does what follows.
    fn drive(&mut self, key: usize, act: impl FnOnce(&mut Slot, &mut Context<'_>) -> StepResult) {
        let Some(script) = self.script.as_deref() else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        let lease = self.pool.as_ref().map_or_else(nowhere, |pool| pool.describe(slot.lease));
        let buffers = &mut self.buffers;
        buffers.out.clear();
        self.last_step = self.clock.now();
        let ordinal = slot.started.ticket.ordinal;
        let trace = self.tracer.as_ref().filter(|tracer| tracer.follows(ordinal));
        let mut context = Context {
            script,
            now: self.last_step,
            ended: self.ended,
            clock: self.clock,
            rng: &mut self.rng,
            tally: &mut self.tally,
            out: &mut buffers.out,
            plain: &mut buffers.plain,
            scratch: &mut buffers.scratch,
            client: self.going_on.arrived(ordinal),
            trace,
            ordinal,
            destination: lease.destination,
        };
        let sessions = context.tally.traffic.sessions;
        let mut stepped = act(slot, &mut context);
        if context.tally.traffic.sessions > sessions {
            context.tally.course.opened(slot.started.at, context.now);
        }
        let Some(session_io) = &mut slot.session else { return };
        if self.ending != Ending::No && !matches!(stepped, Ok(Step::Done) | Err(_)) {
            stepped = session_io.end_with_the_run(self.ending, stepped, &mut context);
        }
        if let Some(tracer) = trace.filter(|_| !buffers.out.is_empty()) {
            tracer.tell(ordinal, self.last_step, Traced::Sent(buffers.out.clone()));
        }
        if matches!(stepped, Ok(Step::Done)) {
            session_io.session.farewell();
        }
        let sealed = session_io.session.seal(&buffers.out, &mut buffers.wire);
        let wire = if sealed { &buffers.wire } else { &buffers.out };
        let sent = session_io.send(&slot.socket, wire);
        let stepped = match (stepped, sent) {
            (Ok(Step::Continue | Step::Opened | Step::Idle | Step::PeerCloses), Err(error)) => {
                Err(session_io.session.lost(errno_of(&error)))
            }
            (stepped, _) => stepped,
        };
        match stepped {
            Ok(Step::Done) => self.end_session(key, None),
            Err(trouble) => self.end_session(key, Some(trouble)),
            Ok(_) => match self.weigh(key) {
                None => self.await_session(key),
                beyond => self.end_session(key, beyond),
            },
        }
    }

    /// The end of a session that its time, and that of all its waits, has left behind.
    pub(super) fn abandon_session(&mut self, key: usize) {
        let slot = self.slots.remove(key);
        self.count_what_is_left(&slot, EndOfSession::Cut);
        self.end(slot, Outcome::CutShort);
    }

    /// Counts messages without an answer and, of a conversation that did not come to its end, those not sent.
    fn count_what_is_left(&mut self, slot: &Slot, how: EndOfSession) {
        let (Some(session_io), Some(script)) = (&slot.session, self.script.as_deref()) else { return };
        let session = &session_io.session;
        let traffic = &mut self.tally.traffic;
        traffic.unanswered += session.unanswered(script);
        let rest = match how {
            EndOfSession::AsPlanned => return,
            EndOfSession::Cut => &mut traffic.unsent_cut,
            EndOfSession::Lost => &mut traffic.unsent_lost,
        };
        let now = self.clock.now();
        let at = self.ended.map_or(now, |ended| ended.min(now));
        let unsent = session.unsent(script, slot.started.ticket.ordinal, at);
        *rest += unsent.rest;
        traffic.unsent_late += unsent.late;
        traffic.unsent_waiting += unsent.waiting;
    }

    fn end_session(&mut self, key: usize, trouble: Option<SessionError>) {
        let mut slot = self.slots.remove(key);
        let (mut step, mut answered) = (None, 0);
        if let (Some(session_io), Some(script)) = (&slot.session, self.script.as_deref()) {
            step = session_io.session.step(script);
            answered = session_io.session.answered(script);
        }
        let ordinal = slot.started.ticket.ordinal;
        let mut refusal = || slot.session.as_mut().and_then(|session_io| session_io.session.take_refusal());
        let (trouble, how) = match trouble {
            Some(trouble) => (Some(trouble), EndOfSession::Lost),
            None => (refusal(), EndOfSession::AsPlanned),
        };
        let Some(SessionError { mut failure, reply }) = trouble else {
            let session = slot.session.as_ref().map(|session_io| &session_io.session);
            let is_cut = self.ending != Ending::No
                && session
                    .zip(self.script.as_deref())
                    .is_some_and(|(s, script)| s.was_cut_short(script, ordinal));
            let (how, outcome) = match is_cut {
                true => (EndOfSession::Cut, Outcome::CutShort),
                false => (EndOfSession::AsPlanned, Outcome::Ok),
            };
            self.count_what_is_left(&slot, how);
            let client = slot.session.as_mut().and_then(|session_io| session_io.session.leaves_client());
            return match client.filter(|_| !is_cut) {
                Some(client) => self.end_and_go_on(slot, client),
                None => self.end(slot, outcome),
            };
        };
        if let Some(step) = step {
            failure.step = Some(step);
            self.tally.steps.failed(step);
        }
        if let (Cause::HttpStatus, Some(status), true) =
            (failure.cause, failure.code, self.opens_websockets())
        {
            self.tally.statuses.add(status, 1);
        }
        self.count_what_is_left(&slot, how);
        match failure.cause {
            Cause::TimedOut => self.end_by_timeout(slot, failure),
            _ => self.end(slot, Outcome::Failed(failure)),
        }
        if answered > 0 {
            self.tally.failed_after(failure, answered);
        }
        if let Some(reply) = reply {
            self.tally.explain(failure, ordinal, reply);
        }
    }

    /// True if a refused handshake is that of a WebSocket, whose reply was not counted.
    fn opens_websockets(&self) -> bool {
        self.script.as_ref().is_some_and(|script| script.application == Application::WebSocket)
    }

    /// Watches the socket for what the session waits for, and sets its deadline.
    fn await_session(&mut self, key: usize) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(session_io) = &slot.session else { return };
        if session_io.unsent.len() > MOST_UNSENT {
            let failure = Failure::new(session_io.session.stage(), Cause::TimedOut);
            let reply = crate::model::Reply::saying("the peer does not read: 32 MiB wait to be sent");
            return self.end_session(key, Some(SessionError::because(failure, reply)));
        }
        if !session_io.unsent.is_empty() {
            self.watch(key, Interest::READABLE | Interest::WRITABLE);
        }
        let (Some(slot), Some(script)) = (self.slots.get_mut(key), self.script.as_deref()) else { return };
        let Some(session_io) = &slot.session else { return };
        if let Some(due) = session_io.session.next_due(script)
            && slot.until.is_none_or(|until| due < until)
        {
            slot.until = Some(due);
            self.deadlines.set(due, Timed { key: key as u32, ordinal: slot.started.ticket.ordinal });
        }
    }

    /// Sends what waits to be sent; whether all of it is gone and the session may go on reading.
    fn flush(&mut self, key: usize) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        let Some(session_io) = &mut slot.session else { return false };
        if session_io.unsent.is_empty() {
            return true;
        }
        match session_io.send(&slot.socket, &[]) {
            Ok(()) if session_io.unsent.is_empty() => {
                self.watch(key, Interest::READABLE);
                self.slots.contains(key)
            }
            // It goes on reading: a peer that waits for us to read would otherwise never read itself.
            Ok(()) => true,
            Err(error) => {
                let trouble = session_io.session.lost(errno_of(&error));
                self.end_session(key, Some(trouble));
                false
            }
        }
    }

    fn watch(&mut self, key: usize, interest: Interest) {
        let Some(slot) = self.slots.get(key) else { return };
        if let Err(error) = self.epoll.modify(&slot.socket, key as u64, interest) {
            let failure = Failure::from_errno(crate::model::Stage::Session, errno_of(&error));
            self.end_session(key, Some(failure.into()));
        }
    }
}

impl SessionIo {
    /// Outcome of a step of the session where the run has ended.
    fn end_with_the_run(
        &mut self,
        ending: Ending,
        stepped: StepResult,
        context: &mut Context<'_>,
    ) -> StepResult {
        let session = &mut self.session;
        let (script, ordinal) = (context.script, context.ordinal);
        let stepped = match ending {
            Ending::Draining(_) => match session.leave(context)? {
                Step::Continue => stepped,
                left => return Ok(left),
            },
            _ => stepped,
        };
        match ending {
            Ending::Draining(drain) if session.is_unfinished(script, ordinal) => {
                if session.is_beyond(drain, context.now, script, ordinal) {
                    return session
                        .cut_after_answers(context)
                        .map(|cut| if cut == Step::Done { cut } else { Step::Continue });
                }
                stepped
            }
            Ending::No => stepped,
            Ending::Draining(_) | Ending::AtOnce => session.stop(context),
        }
    }

    /// Sends what waits, and after it `bytes`; what does not fit is kept.
    fn send(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            let sent = write(socket, &self.unsent)?;
            self.bytes_out += sent as u64;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
            return Ok(());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = write(socket, bytes)?;
        self.bytes_out += sent as u64;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

/// Bytes that the kernel takes now, which may be none.
fn write(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}
