//! One session over one connection, up to its handshakes: what a server says to a client that comes alone.
//!
//! It is the session of a run, driven by blocking calls, so that what an examination hears and what a run
//! counts are the same by construction.

use super::flow::errno_of;
use super::lifetimes::Chance;
use super::session::{Desk, Script, Session, Step, Stepped, Trouble};
use crate::attempt::{Cause, Failure, Stage};
use crate::kernel::clock::Clock;
use crate::metrics::{Reply, Tally};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The first bytes that are kept.
const KEPT: usize = 256;
/// Time in which a server that speaks first does so.
const BANNER: Duration = Duration::from_millis(500);

/// What came of it.
#[derive(Debug, Default)]
pub struct Hailed {
    /// Why the handshakes were not done; `None`: they were.
    pub failure: Option<Failure>,
    /// What the server said to that.
    pub reply: Option<Reply>,
    /// Version of TLS, where its handshake was done.
    pub tls: Option<String>,
    /// The first bytes that the server said, TLS taken off.
    pub first: Vec<u8>,
}

/// Speaks to the server at the other end of `stream` until the handshakes of `script` are done or have failed;
/// where there is none, waits half a second for the server to speak first.
pub fn hail(stream: &TcpStream, destination: SocketAddr, script: Option<&Script>) -> Hailed {
    let mut hailed = Hailed::default();
    let heard = match script {
        Some(script) => Hail::new(stream, destination, script).until_open(&mut hailed),
        None => listen(stream, &mut hailed.first).map_err(Trouble::from),
    };
    if let Err(Trouble { failure, reply }) = heard {
        hailed.failure = Some(failure);
        hailed.reply = reply.map(|reply| *reply);
    }
    hailed
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
struct Hail<'h> {
    stream: &'h TcpStream,
    destination: SocketAddr,
    script: &'h Script,
    clock: Clock,
    chance: Chance,
    tally: Tally,
    plain: Vec<u8>,
}

impl<'h> Hail<'h> {
    fn new(stream: &'h TcpStream, destination: SocketAddr, script: &'h Script) -> Hail<'h> {
        let (clock, chance, tally) = (Clock::start(), Chance::new(0, 0), Tally::default());
        Hail { stream, destination, script, clock, chance, tally, plain: Vec::new() }
    }

    fn until_open(&mut self, hailed: &mut Hailed) -> Result<(), Trouble> {
        let mut out = Vec::new();
        let (mut session, begun) = Session::begin(&mut self.desk(&mut out));
        let mut step = self.send(&mut session, begun, &out)?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            hailed.tls = session.tls_version();
            if step == Step::Done || session.was_open() {
                return Ok(());
            }
            let left = session.next_due(self.script).map(|due| due.saturating_sub(self.clock.now()));
            // A timeout of zero would be none; what is due already is looked at a moment later.
            let wait = left.map(|left| left.max(Duration::from_millis(1)));
            let read = self.stream.set_read_timeout(wait).and_then(|()| self.stream.read(&mut buffer));
            out.clear();
            self.plain.clear();
            let stepped = match &read {
                Ok(0) => session.end_of_stream(&mut self.desk(&mut out)),
                Ok(length) => session.take(&buffer[..*length], &mut self.desk(&mut out)),
                Err(error) if is_timeout(error) => session.tick(&mut self.desk(&mut out)),
                Err(error) => Err(session.lost(errno_of(error))),
            };
            if hailed.first.is_empty() {
                let came = &buffer[..read.unwrap_or(0)];
                let said = if self.script.tls.is_some() { &self.plain } else { came };
                hailed.first.extend_from_slice(&said[..said.len().min(KEPT)]);
            }
            step = self.send(&mut session, stepped, &out)?;
        }
    }

    fn desk<'d>(&'d mut self, out: &'d mut Vec<u8>) -> Desk<'d> {
        Desk {
            script: self.script,
            now: self.clock.now(),
            clock: self.clock,
            chance: &mut self.chance,
            tally: &mut self.tally,
            out,
            plain: &mut self.plain,
            ordinal: 0,
            destination: self.destination,
        }
    }

    /// Sends what the session has said, whatever came of the step in which it did.
    fn send(&mut self, session: &mut Session, stepped: Stepped, out: &[u8]) -> Stepped {
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
