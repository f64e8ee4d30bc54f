//! One session over one connection, up to its handshakes: what a server says to a client that comes alone.
//!
//! It is the session of a run, driven by blocking calls, so that what an examination hears and what a run
//! counts are the same by construction.

use super::connections::errno_of;
use super::lifetimes::WorkerRng;
use super::session::{Context, Script, Session, SessionError, Step, StepResult};
use crate::linux::clock::Clock;
use crate::model::{Cause, Failure, Reply, Stage, Tally};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The first bytes that are kept.
const KEPT: usize = 256;
/// Time in which a server that speaks first does so.
const BANNER: Duration = Duration::from_millis(500);

/// Outcome of a handshake.
#[derive(Debug, Default)]
pub struct Handshake {
    /// Reason for which the handshakes were not done; `None`: they were.
    pub failure: Option<Failure>,
    /// The server's reply to that.
    pub reply: Option<Reply>,
    /// Version of TLS, where its handshake was done.
    pub tls: Option<String>,
    /// The first bytes that the server said, TLS taken off.
    pub first: Vec<u8>,
}

/// Speaks to the server at the other end of `stream` until the handshakes of `script` are done or have failed;
/// where there is none, waits half a second for the server to speak first.
pub fn handshake(stream: &TcpStream, destination: SocketAddr, script: Option<&Script>) -> Handshake {
    handshake_and_stay(stream, destination, script, Duration::ZERO)
}

/// The same, and hears for a time what is said when they are done: a close frame with its code, an end, an alert.
pub fn handshake_and_stay(
    stream: &TcpStream,
    destination: SocketAddr,
    script: Option<&Script>,
    stay: Duration,
) -> Handshake {
    let mut handshake = Handshake::default();
    let heard = match script {
        Some(script) => Exchange::new(stream, destination, script).until_open(&mut handshake, stay),
        None => listen(stream, &mut handshake.first).map_err(SessionError::from),
    };
    if let Err(SessionError { failure, reply }) = heard {
        handshake.failure = Some(failure);
        handshake.reply = reply.map(|reply| *reply);
    }
    handshake
}

/// A server of bare TCP may speak first, or wait for its client, which is no fault.
fn listen(mut stream: &TcpStream, first: &mut Vec<u8>) -> Result<(), Failure> {
    let mut buffer = [0; KEPT];
    match stream.set_read_timeout(Some(BANNER)).and_then(|()| stream.read(&mut buffer)) {
        Ok(0) => Err(Failure::new(Stage::Session, Cause::ClosedEarly)),
        Ok(length) => {
            first.extend_from_slice(&buffer[..length]);
            Ok(())
        }
        Err(error) if is_timeout(&error) => Ok(()),
        Err(error) => Err(Failure::from_errno(Stage::Session, errno_of(&error))),
    }
}

/// One session and everything around it.
struct Exchange<'h> {
    stream: &'h TcpStream,
    destination: SocketAddr,
    script: &'h Script,
    clock: Clock,
    rng: WorkerRng,
    tally: Tally,
    plain: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'h> Exchange<'h> {
    fn new(stream: &'h TcpStream, destination: SocketAddr, script: &'h Script) -> Exchange<'h> {
        let (clock, rng, tally) = (Clock::start(), WorkerRng::new(0, 0), Tally::default());
        Exchange { stream, destination, script, clock, rng, tally, plain: Vec::new(), scratch: Vec::new() }
    }

    fn until_open(&mut self, handshake: &mut Handshake, stay: Duration) -> Result<(), SessionError> {
        let mut out = Vec::new();
        let (mut session, begun) = Session::begin(&mut self.context(&mut out));
        let mut step = self.send(&mut session, begun, &out)?;
        let mut buffer = vec![0; 16 * 1024];
        let mut over = None;
        loop {
            handshake.tls = session.tls_version();
            let now = self.clock.now();
            if session.was_open() {
                over.get_or_insert(now + stay);
            }
            if step == Step::Done || over.is_some_and(|over| over <= now) {
                return Ok(());
            }
            let due = session.next_due(self.script).into_iter().chain(over).min();
            let left = due.map(|due| due.saturating_sub(self.clock.now()));
            // What is due goes before what came: a peer that never ceases to send would else hold us for ever.
            let read = match left {
                Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
                wait => self.stream.set_read_timeout(wait).and_then(|()| self.stream.read(&mut buffer)),
            };
            out.clear();
            self.plain.clear();
            let stepped = match &read {
                Ok(0) => session.end_of_stream(&mut self.context(&mut out)),
                Ok(length) => session.take(&buffer[..*length], &mut self.context(&mut out)),
                Err(error) if is_timeout(error) => session.tick(&mut self.context(&mut out)),
                Err(error) => Err(session.lost(errno_of(error))),
            };
            if handshake.first.is_empty() {
                let came = &buffer[..read.unwrap_or(0)];
                let said = if self.script.tls.is_some() { &self.plain } else { came };
                handshake.first.extend_from_slice(&said[..said.len().min(KEPT)]);
            }
            step = self.send(&mut session, stepped, &out)?;
        }
    }

    fn context<'d>(&'d mut self, out: &'d mut Vec<u8>) -> Context<'d> {
        Context {
            script: self.script,
            now: self.clock.now(),
            ended: None,
            clock: self.clock,
            rng: &mut self.rng,
            tally: &mut self.tally,
            out,
            plain: &mut self.plain,
            scratch: &mut self.scratch,
            client: None,
            trace: None,
            ordinal: 0,
            destination: self.destination,
        }
    }

    /// Sends what the session has said, whatever came of the step in which it did.
    fn send(&mut self, session: &mut Session, stepped: StepResult, out: &[u8]) -> StepResult {
        let mut wire = Vec::new();
        let bytes = if session.seal(out, &mut wire) { &wire } else { out };
        let mut stream = self.stream;
        let sent = stream
            .set_write_timeout(Some(self.script.handshake_timeout))
            .and_then(|()| stream.write_all(bytes));
        // What the session itself found goes before a peer that no longer listens.
        let step = stepped?;
        sent.map(|()| step).map_err(|error| session.lost(errno_of(&error)))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
