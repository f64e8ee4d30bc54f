//! The part of the flow above TCP: hands a session its bytes and its time, sends what it says, and ends its
//! attempt when it has ended.
//!
//! Invariant: a place with a session has one nearest deadline in the heap, its `until`; what a session could
//! not send is kept and sent before anything else, and only then is the socket watched for room to write.

use super::{Flow, Place, Speech, errno_of, nowhere};
use crate::attempt::{Failure, Outcome};
use crate::engine::deadlines::Timed;
use crate::engine::pacer::Pacer;
use crate::engine::session::{Desk, Session, Step, Stepped, Trouble};
use crate::kernel::readiness::Interest;
use crate::kernel::socket::Connection as Socket;
use std::io;

/// Bytes that may wait for a peer who does not read before its session fails: it would grow without bound.
const MOST_UNSENT: usize = 32 << 20;

/// Buffers of no session's own, used again by each.
#[derive(Debug, Default)]
pub struct Buffers {
    out: Vec<u8>,
    plain: Vec<u8>,
    wire: Vec<u8>,
}

impl Flow {
    /// The connection stands: its session begins.
    pub(super) fn begin_session(&mut self, mut place: Place, pacer: &mut Pacer) {
        // It fails for no TCP socket; if it did, small messages would only be slower.
        let _ = place.socket.send_at_once();
        place.until = None;
        let vacant = self.places.vacant_entry();
        let key = vacant.key();
        if let Err(error) = self.readiness.get_ref().add(&place.socket, key as u64, Interest::READABLE) {
            let failure = Failure::from_errno(crate::attempt::Stage::Session, errno_of(&error));
            return self.end(place, Outcome::Failed(failure), pacer);
        }
        vacant.insert(place);
        let ending = self.ending;
        self.drive(key, pacer, |place, desk| {
            let (session, mut stepped) = Session::begin(desk);
            let speech = Speech { session, unsent: Vec::new(), bytes_out: 0 };
            let speech = place.session.insert(Box::new(speech));
            // A run that ended while the connection was on its way.
            if ending && stepped.is_ok() {
                stepped = speech.session.stop(desk);
            }
            stepped
        });
    }

    /// Something happened to the socket of a session.
    pub(super) fn ready_session(&mut self, key: usize, pacer: &mut Pacer) {
        if !self.flush(key, pacer) {
            return;
        }
        let Some(place) = self.places.get_mut(key) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        match place.socket.read(&mut buffer) {
            Ok(0) => self.drive_open(key, pacer, Session::end_of_stream),
            Ok(bytes) => {
                place.bytes_in += bytes as u64;
                self.drive_open(key, pacer, |session, desk| session.take(&buffer[..bytes], desk));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.drive_open(key, pacer, |session, _| Err(session.lost(errno_of(&error)))),
        }
        self.buffer = buffer;
    }

    /// A deadline of a session has passed.
    pub(super) fn expire_session(&mut self, key: usize, pacer: &mut Pacer) {
        if let Some(place) = self.places.get_mut(key) {
            place.until = None;
        }
        self.drive_open(key, pacer, Session::tick);
    }

    /// The run is over.
    pub(super) fn stop_session(&mut self, key: usize, pacer: &mut Pacer) {
        self.drive_open(key, pacer, Session::stop);
    }

    fn drive_open(
        &mut self,
        key: usize,
        pacer: &mut Pacer,
        act: impl FnOnce(&mut Session, &mut Desk<'_>) -> Stepped,
    ) {
        self.drive(key, pacer, |place, desk| match &mut place.session {
            Some(speech) => act(&mut speech.session, desk),
            None => Ok(Step::Continue),
        });
    }

    /// Has a session do something, sends what it says, and does what follows.
    fn drive(
        &mut self,
        key: usize,
        pacer: &mut Pacer,
        act: impl FnOnce(&mut Place, &mut Desk<'_>) -> Stepped,
    ) {
        let Some(script) = self.script.as_deref() else { return };
        let Some(place) = self.places.get_mut(key) else { return };
        let lease = self.pool.as_ref().map_or_else(nowhere, |pool| pool.describe(place.lease));
        let buffers = &mut self.buffers;
        buffers.out.clear();
        let mut desk = Desk {
            script,
            now: self.clock.now(),
            clock: self.clock,
            chance: &mut self.chance,
            tally: &mut self.tally,
            out: &mut buffers.out,
            plain: &mut buffers.plain,
            ordinal: place.started.ticket.ordinal,
            destination: lease.destination,
        };
        let stepped = act(place, &mut desk);
        let Some(speech) = &mut place.session else { return };
        if matches!(stepped, Ok(Step::Done)) {
            speech.session.farewell();
        }
        let sealed = speech.session.seal(&buffers.out, &mut buffers.wire);
        let wire = if sealed { &buffers.wire } else { &buffers.out };
        let sent = speech.send(&place.socket, wire);
        let stepped = match (stepped, sent) {
            (Ok(Step::Continue | Step::Opened | Step::Idle | Step::PeerCloses), Err(error)) => {
                Err(speech.session.lost(errno_of(&error)))
            }
            (stepped, _) => stepped,
        };
        match stepped {
            Ok(Step::Done) => self.end_session(key, None, pacer),
            Err(trouble) => self.end_session(key, Some(trouble), pacer),
            Ok(_) => self.await_session(key, pacer),
        }
    }

    fn end_session(&mut self, key: usize, trouble: Option<Trouble>, pacer: &mut Pacer) {
        let place = self.places.remove(key);
        let unanswered = place.session.as_ref().map_or(0, |speech| speech.session.unanswered());
        self.tally.traffic.unanswered += unanswered;
        let ordinal = place.started.ticket.ordinal;
        let Some(Trouble { failure, reply }) = trouble else {
            return self.end(place, Outcome::Ok, pacer);
        };
        self.end(place, Outcome::Failed(failure), pacer);
        if let Some(reply) = reply {
            self.tally.explain(failure, ordinal, reply);
        }
    }

    /// Watches the socket for what the session waits for, and sets its deadline.
    fn await_session(&mut self, key: usize, pacer: &mut Pacer) {
        let Some(place) = self.places.get_mut(key) else { return };
        let Some(speech) = &place.session else { return };
        if speech.unsent.len() > MOST_UNSENT {
            let failure = Failure::new(speech.session.stage(), crate::attempt::Cause::TimedOut);
            let reply = crate::metrics::Reply::saying("the peer does not read: 32 MiB wait to be sent");
            return self.end_session(key, Some(Trouble::because(failure, reply)), pacer);
        }
        if !speech.unsent.is_empty() {
            self.watch(key, Interest::READABLE | Interest::WRITABLE, pacer);
        }
        let (Some(place), Some(script)) = (self.places.get_mut(key), self.script.as_deref()) else { return };
        let Some(speech) = &place.session else { return };
        if let Some(due) = speech.session.next_due(script)
            && place.until.is_none_or(|until| due < until)
        {
            place.until = Some(due);
            self.deadlines.set(due, Timed { key: key as u32, ordinal: place.started.ticket.ordinal });
        }
    }

    /// Sends what waits to be sent; whether all of it is gone and the session may go on reading.
    fn flush(&mut self, key: usize, pacer: &mut Pacer) -> bool {
        let Some(place) = self.places.get_mut(key) else { return false };
        let Some(speech) = &mut place.session else { return false };
        if speech.unsent.is_empty() {
            return true;
        }
        match speech.send(&place.socket, &[]) {
            Ok(()) if speech.unsent.is_empty() => {
                self.watch(key, Interest::READABLE, pacer);
                self.places.contains(key)
            }
            // It goes on reading: a peer that waits for us to read would otherwise never read itself.
            Ok(()) => true,
            Err(error) => {
                let trouble = speech.session.lost(errno_of(&error));
                self.end_session(key, Some(trouble), pacer);
                false
            }
        }
    }

    fn watch(&mut self, key: usize, interest: Interest, pacer: &mut Pacer) {
        let Some(place) = self.places.get(key) else { return };
        if let Err(error) = self.readiness.get_ref().modify(&place.socket, key as u64, interest) {
            let failure = Failure::from_errno(crate::attempt::Stage::Session, errno_of(&error));
            self.end_session(key, Some(failure.into()), pacer);
        }
    }
}

impl Speech {
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

/// What the kernel takes now, which may be nothing.
fn write(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}
