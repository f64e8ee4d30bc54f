//! Context of one call to a session: what it may use, and where it leaves what it has to say.

use super::Script;
use super::steps::Client;
use crate::engine::lifetimes::WorkerRng;
use crate::engine::tracing::Tracer;
use crate::linux::clock::Clock;
use crate::model::{Cause, Failure, Reply, Stage, Stamp, Tally};
use std::net::SocketAddr;

/// See the module.
pub(crate) struct Context<'d> {
    /// Script of what is said.
    pub script: &'d Script,
    /// Now.
    pub now: Stamp,
    /// When the run ended, if it has: nothing falls due after that.
    pub ended: Option<Stamp>,
    /// For the wall-clock time that messages carry.
    pub clock: Clock,
    /// Random choices.
    pub rng: &'d mut WorkerRng,
    /// Where everything is counted.
    pub tally: &'d mut Tally,
    /// Bytes to be sent, before TLS.
    pub out: &'d mut Vec<u8>,
    /// A buffer for plain text, of no one's between calls.
    pub plain: &'d mut Vec<u8>,
    /// A buffer for texts that are compared, of no one's between calls.
    pub scratch: &'d mut Vec<u8>,
    /// The client that goes on over this connection; `None`: a new one.
    pub client: Option<Box<Client>>,
    /// Whom what is heard is told, where the attempt is traced.
    pub trace: Option<&'d Tracer>,
    /// Ordinal of the attempt.
    pub ordinal: u64,
    /// Where it is connected to.
    pub destination: SocketAddr,
}

/// Outcome of a step of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// When something comes, or time has passed.
    Continue,
    /// The handshake is done.
    Opened,
    /// Nothing is waited for any more.
    Idle,
    /// The peer's close frame has come, and is answered.
    PeerCloses,
    /// The session has ended well.
    Done,
}

/// Reason for which a session can't go on, and the peer's words.
#[derive(Debug)]
pub(crate) struct SessionError {
    /// The failure.
    pub failure: Failure,
    /// The peer's words, where it said something.
    pub reply: Option<Box<Reply>>,
}

/// A step, or what was in its way.
pub(crate) type StepResult = Result<Step, SessionError>;

impl SessionError {
    /// The same at another stage.
    pub(crate) fn at(mut self, stage: Stage) -> SessionError {
        self.failure.stage = stage;
        self
    }

    /// The same, where the peer had begun to answer.
    pub(crate) fn stalled(self, says: &str) -> SessionError {
        let failure = Failure { cause: Cause::Stalled, ..self.failure };
        let before =
            self.reply.and_then(|reply| reply.says).map_or(String::new(), |before| format!("; {before}"));
        SessionError::because(failure, Reply::saying(format!("{says}{before}")))
    }

    /// A failure that the peer's words explain.
    pub(crate) fn because(failure: Failure, reply: Reply) -> SessionError {
        SessionError { failure, reply: Some(Box::new(reply)) }
    }
}

impl From<Failure> for SessionError {
    fn from(failure: Failure) -> SessionError {
        SessionError { failure, reply: None }
    }
}

impl Context<'_> {
    /// The moment up to which messages were due: now, or the end of the run.
    pub(crate) fn due_until(&self) -> Stamp {
        self.ended.map_or(self.now, |ended| ended.min(self.now))
    }

    /// The answer has come to what was sent at `since`.
    pub(crate) fn answered(&mut self, since: Stamp) {
        self.tally.latencies.round_trip.record(self.now.saturating_sub(since));
        self.tally.course.answered(since, self.now);
    }

    /// The wall-clock time in microseconds since 1970.
    pub(crate) fn unix_micros(&self) -> u64 {
        self.clock.unix_micros(self.now)
    }

    /// A mask for a frame.
    pub(crate) fn mask(&mut self) -> [u8; 4] {
        self.rng.word().to_ne_bytes()
    }
}
