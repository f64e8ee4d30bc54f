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
        let mut session = None;
        self.drive(&mut session, |session, desk| {
            let (begun, stepped) = Session::begin(desk);
            *session = Some(begun);
            stepped
        })?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Some(begun) = &session else { return Ok(()) };
            hailed.tls = begun.tls_version();
            if begun.was_open() {
                return Ok(());
            }
            let left = begun.next_due(self.script).map(|due| due.saturating_sub(self.clock.now()));
            // A timeout of zero would be none; what is due already is looked at a moment later.
            let wait = left.map(|left| left.max(Duration::from_millis(1)));
            let read = self.stream.set_read_timeout(wait).and_then(|()| self.stream.read(&mut buffer));
            let done = match read {
                Ok(length) => {
                    self.plain.clear();
                    let heard = &buffer[..length];
                    let stepped = self.act(&mut session, |session, desk| match heard {
                        [] => session.end_of_stream(desk),
                        bytes => session.take(bytes, desk),
                    });
                    if hailed.first.is_empty() {
                        let said = if self.script.tls.is_some() { &self.plain } else { heard };
                        hailed.first.extend_from_slice(&said[..said.len().min(KEPT)]);
                    }
                    stepped
                }
                Err(error) if is_timeout(&error) => self.act(&mut session, Session::tick),
                Err(error) => self.act(&mut session, |session, _| Err(lost(session, &error))),
            };
            if done? == Step::Done {
                return Ok(());
            }
        }
    }

    fn act(
        &mut self,
        session: &mut Option<Session>,
        act: impl FnOnce(&mut Session, &mut Desk<'_>) -> Stepped,
    ) -> Stepped {
        self.drive(session, |session, desk| session.as_mut().map_or(Ok(Step::Done), |begun| act(begun, desk)))
    }

    /// Has the session do something, and sends what it says.
    fn drive(
        &mut self,
        session: &mut Option<Session>,
        act: impl FnOnce(&mut Option<Session>, &mut Desk<'_>) -> Stepped,
    ) -> Stepped {
        let (mut out, mut wire) = (Vec::new(), Vec::new());
        let mut desk = Desk {
            script: self.script,
            now: self.clock.now(),
            clock: self.clock,
            chance: &mut self.chance,
            tally: &mut self.tally,
            out: &mut out,
            plain: &mut self.plain,
            ordinal: 0,
            destination: self.destination,
        };
        let stepped = act(session, &mut desk);
        let Some(begun) = session else { return stepped };
        let bytes = if begun.seal(&out, &mut wire) { &wire } else { &out };
        let mut stream = self.stream;
        let sent = stream
            .set_write_timeout(Some(self.script.handshake_timeout))
            .and_then(|()| stream.write_all(bytes));
        // What the session itself found goes before a peer that no longer listens.
        stepped.and_then(|step| sent.map(|()| step).map_err(|error| lost(begun, &error)))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// The failure of a session whose socket is lost.
fn lost(session: &Session, error: &io::Error) -> Trouble {
    Failure::from_errno(session.stage(), errno_of(error)).into()
}
