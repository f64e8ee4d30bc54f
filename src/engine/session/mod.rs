//! Session over one connection above TCP, from the first byte to the last: TLS, handshake, messages,
//! farewell. No I/O: bytes come in, bytes go out through the context, and time is an argument.
//!
//! Invariant: every call returns; what is kept of a peer's bytes is bounded (an incomplete head, message or
//! record); each phase has an end in time ([`Session::next_due`]) unless it is the open session of a plan
//! that wants it open. Parked, which is what an open session is between calls, it holds nothing of its
//! handshake.

mod context;
mod conversation;
mod ending;
mod http;
mod last_words;
mod message_schedule;
mod refusal;
mod rehearsal;
mod request;
mod script;
mod search;
mod steps;
mod stream;
mod talk;
mod tls;
mod tls_config;
mod tls_trust;
mod upgrade;
mod websocket;

#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;

pub(super) use context::{Context, SessionError, Step, StepResult};
pub(super) use last_words::LastWords;
pub use rehearsal::rehearse;
pub use script::{Script, ScriptError};
pub(super) use steps::{Client, Common};

use crate::model::{Cause, Errno, Failure, Stage, Stamp, Traced};
use crate::plan::Close;
use crate::protocol::Application;
use crate::protocol::tls::Opened;
use http::Http;
use std::time::Duration;
use steps::Conversation;
use stream::Stream;
use upgrade::Opening;
use websocket::WebSocket;

/// Stands for a connection that ended without a close frame (RFC 6455, section 7.4.1).
const NO_CLOSE_FRAME: u16 = 1006;
/// Shortest wait for a server's verdict on our certificate, where it says nothing when it takes it.
const VERDICT: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    tls: Option<Box<tls::Client>>,
    talk: Talk,
    phase: Phase,
    ending: Ending,
    /// When the phase began.
    since: Stamp,
    /// When it has to be over; `None`: never.
    limit: Option<Stamp>,
    /// The client that goes on over it, until its steps begin; `None`: a new one.
    client: Option<Box<Client>>,
}

/// Protocol that is spoken, once TLS is out of the way.
#[derive(Debug)]
enum Talk {
    /// A WebSocket whose handshake is not done.
    Opening(Box<Opening>),
    WebSocket(WebSocket),
    Http(Box<Http>),
    Stream(Box<Stream>),
    /// Steps, in the place of all these.
    Steps(Box<Conversation>),
}

/// Progress of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// TLS.
    Securing,
    /// TLS stands for us; the server is still to judge our certificate.
    Judged,
    /// The protocol's handshake; of HTTP, the first request.
    Opening,
    Open,
    /// We have said goodbye, and wait for the peer's.
    Closing,
}

/// True if it is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// As planned.
    No,
    /// Time is over: nothing more is said, and the answers that are due are waited for.
    Winding,
    /// The run is over: the same, and no goodbye is waited for.
    AtOnce,
}

impl Session {
    /// A session on a connection that was established just now; its first bytes are in the context.
    pub(super) fn begin(context: &mut Context<'_>) -> (Session, StepResult) {
        let limit = Some(context.now + context.script.handshake_timeout);
        let mut session = Session {
            tls: None,
            talk: Talk::Stream(Box::default()),
            phase: Phase::Opening,
            ending: Ending::No,
            since: context.now,
            limit,
            client: context.client.take(),
        };
        let stepped = match &context.script.tls {
            Some(tls) => tls::Client::new(tls, context.destination.ip()).map(|client| {
                session.tls = Some(Box::new(client));
                session.phase = Phase::Securing;
                Step::Continue
            }),
            None => session.open(context),
        };
        (session, stepped)
    }

    /// The peer's bytes.
    pub(super) fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        let Some(tls) = &mut self.tls else { return self.hear(bytes, context) };
        let mut plain = std::mem::take(context.plain);
        plain.clear();
        let was_heard = tls.has_plain_text();
        let opened = tls.open(bytes, &mut plain).map_err(|trouble| {
            // Until the server has said something inside it, an alert is its verdict on the handshake: in TLS 1.3 it
            // judges our certificate after our handshake is done.
            let is_verdict = trouble.failure.cause == Cause::TlsAlert && !was_heard;
            trouble.at(if is_verdict { Stage::Tls } else { self.stage() })
        });
        let stepped = opened.and_then(|opened| self.secured(opened, &plain, context));
        *context.plain = plain;
        stepped
    }

    /// Consequence of a piece of ciphertext and its plain text.
    fn secured(&mut self, opened: Opened, plain: &[u8], context: &mut Context<'_>) -> StepResult {
        let is_judged = self.tls.as_ref().is_some_and(|tls| tls.awaits_verdict());
        if opened.established {
            context.tally.latencies.tls.record(context.now.saturating_sub(self.since));
            // A protocol whose server answers hears the verdict with the answer.
            if is_judged && context.script.application == Application::Stream {
                self.phase = Phase::Judged;
                let took = context.now.saturating_sub(self.since);
                let wait = (took * 3).max(VERDICT).min(context.script.handshake_timeout);
                self.limit = Some(context.now + wait);
            } else if self.open(context)? == Step::Done {
                return Ok(Step::Done);
            }
        } else if self.phase == Phase::Judged && self.open(context)? == Step::Done {
            // A ticket, or data: the certificate was taken.
            return Ok(Step::Done);
        }
        if !plain.is_empty() && self.hear(plain, context)? == Step::Done {
            return Ok(Step::Done);
        }
        if opened.closed { self.end_of_stream(context) } else { Ok(Step::Continue) }
    }

    /// The peer will send no more.
    pub(super) fn end_of_stream(&mut self, context: &mut Context<'_>) -> StepResult {
        self.ended(context).map_err(|error| self.judged(error))
    }

    fn ended(&mut self, context: &mut Context<'_>) -> StepResult {
        let was_opening = self.phase == Phase::Opening;
        let step = match (&mut self.talk, self.phase) {
            (_, Phase::Closing) => return Ok(Step::Done),
            (Talk::Opening(opening), Phase::Opening) => opening.end_of_stream(),
            (Talk::Http(http), Phase::Opening | Phase::Open) => http.end_of_stream(context),
            (Talk::Steps(steps), _) => steps.end_of_stream(context),
            _ => Ok(Step::Continue),
        };
        if self.progress(step, context)? == Step::Done {
            return Ok(Step::Done);
        }
        if self.phase != Phase::Open {
            return Err(Failure::new(self.stage(), Cause::ClosedEarly).into());
        }
        let by_plan = context.script.closes == Close::Peer || self.ending == Ending::AtOnce;
        match &self.talk {
            // The end of the connection was the end of the first reply, and no other request is to follow.
            Talk::Http(http) if was_opening && http.is_done(context) => Ok(Step::Done),
            talk if talk.is_websocket() && self.ending != Ending::AtOnce => {
                context.tally.closes.add(NO_CLOSE_FRAME, "");
                if context.script.messages.expect_close.contains(&NO_CLOSE_FRAME) {
                    return Ok(Step::Done);
                }
                Err(match by_plan {
                    true => Failure::with_code(Stage::Close, Cause::ClosedEarly, NO_CLOSE_FRAME).into(),
                    false => Failure::new(Stage::Session, Cause::ClosedEarly).into(),
                })
            }
            _ if by_plan => Ok(Step::Done),
            Talk::Stream(stream) => Err(stream.closed_early()),
            _ => Err(Failure::new(Stage::Session, Cause::ClosedEarly).into()),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.limit.is_some_and(|limit| limit <= context.now) {
            return match self.phase {
                Phase::Open => {
                    self.limit = None;
                    self.wind_down(context)
                }
                // No word is no alert: it was taken.
                Phase::Judged => self.open(context),
                _ => Err(self.overdue()),
            };
        }
        let step = match &mut self.talk {
            Talk::WebSocket(socket) if self.phase == Phase::Open => socket.tick(context),
            Talk::Http(http) => http.tick(context),
            Talk::Stream(stream) if self.phase == Phase::Open => stream.tick(context),
            Talk::Steps(steps) if self.phase == Phase::Open => steps.tick(context),
            _ => Ok(Step::Continue),
        };
        self.progress(step, context)
    }

    /// The trouble of a handshake, or of a close, whose time is over.
    fn overdue(&mut self) -> SessionError {
        let came = match (&mut self.talk, &self.tls) {
            (_, Some(tls)) if self.phase == Phase::Securing => tls.what_came(),
            // A refusal whose body never ends is still that refusal.
            (Talk::Opening(opening), _) => opening.what_came(),
            (Talk::Http(http), _) => http.what_came(),
            _ => None,
        };
        came.unwrap_or_else(|| Failure::new(self.stage(), Cause::TimedOut).into())
    }

    /// When there is something to do even if nothing comes.
    pub(super) fn next_due(&self, script: &Script) -> Option<Stamp> {
        let timeout = script.messages.timeout;
        let own = match &self.talk {
            Talk::WebSocket(socket) => socket.next_due(timeout),
            Talk::Http(http) => http.next_due(timeout),
            Talk::Stream(stream) => stream.next_due(timeout),
            Talk::Steps(steps) => steps.next_due(),
            Talk::Opening(_) => None,
        };
        own.filter(|_| self.phase != Phase::Closing).into_iter().chain(self.limit).min()
    }

    /// True if all handshakes are done.
    pub(super) fn was_open(&self) -> bool {
        if let (Talk::Steps(steps), Phase::Open) = (&self.talk, self.phase) {
            return steps.was_open();
        }
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    /// The stage at which something fails now.
    pub(super) fn stage(&self) -> Stage {
        match self.phase {
            Phase::Securing | Phase::Judged => Stage::Tls,
            Phase::Opening => Stage::Handshake,
            Phase::Open => match &self.talk {
                Talk::Steps(steps) => steps.stage(),
                _ => Stage::Session,
            },
            Phase::Closing => Stage::Close,
        }
    }

    /// The trouble of a session whose socket is lost.
    pub(super) fn lost(&self, errno: Errno) -> SessionError {
        let failure = Failure::from_errno(self.stage(), errno);
        match &self.talk {
            Talk::Stream(stream) if self.phase == Phase::Open => stream.last_words(failure),
            _ => self.judged(failure.into()),
        }
    }

    /// The trouble of an end, with what it may be the verdict on: some servers refuse a client without a certificate by
    /// an end of the connection, without an alert.
    fn judged(&self, mut error: SessionError) -> SessionError {
        let is_early = matches!(error.failure.stage, Stage::Tls | Stage::Handshake)
            && matches!(error.failure.cause, Cause::ClosedEarly | Cause::Reset);
        if is_early && self.tls.as_ref().is_some_and(|tls| tls.may_miss_a_certificate()) {
            error.reply.get_or_insert_default().certificate_asked = true;
        }
        error
    }

    /// Bytes of memory that the session holds for what its peer has sent and for what it still waits for: incomplete
    /// heads, bodies and messages, and expected answers. A parked session holds next to none. TLS records, at most
    /// one of 18 KiB, are not in it.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.talk {
            Talk::Opening(opening) => opening.held(),
            Talk::WebSocket(socket) => socket.held(),
            Talk::Http(http) => http.held(),
            Talk::Stream(stream) => stream.held(),
            Talk::Steps(steps) => steps.held(),
        }
    }

    /// Turns what is on the context into what goes over the wire; that is in `wire` when it returns true, and as
    /// it is in the context when not.
    pub(super) fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        wire.clear();
        tls.seal(plain, wire);
        true
    }

    /// Last words of a session that ends well: that TLS ends here.
    pub(super) fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
    }

    /// The version of TLS, once it is agreed on.
    pub(super) fn tls_version(&self) -> Option<String> {
        self.tls.as_ref().and_then(|tls| tls.version())
    }

    /// Number of messages that still wait for an answer.
    pub(super) fn unanswered(&self, script: &Script) -> u64 {
        match &self.talk {
            Talk::Steps(steps) => script.program.as_ref().map_or(0, |program| steps.unanswered(program)),
            Talk::WebSocket(socket) => socket.unanswered(),
            Talk::Stream(stream) => stream.unanswered(),
            Talk::Http(http) => u64::from(http.is_busy()),
            Talk::Opening(_) => 0,
        }
    }

    /// TLS, if any, is done: the protocol's turn.
    fn open(&mut self, context: &mut Context<'_>) -> StepResult {
        self.phase = Phase::Opening;
        self.since = context.now;
        self.limit = Some(context.now + context.script.handshake_timeout);
        if context.script.program.is_some() {
            return self.open_steps(context);
        }
        let step = match context.script.application {
            Application::WebSocket => {
                self.talk = Talk::Opening(Box::new(Opening::begin(context)));
                Ok(Step::Continue)
            }
            Application::Http => {
                self.talk = Talk::Http(Box::new(Http::begin(context)));
                Ok(Step::Continue)
            }
            Application::Stream => {
                self.talk = Talk::Stream(Box::default());
                Ok(Step::Opened)
            }
        };
        self.progress(step, context)
    }

    fn hear(&mut self, bytes: &[u8], context: &mut Context<'_>) -> StepResult {
        if let Some(tracer) = context.trace {
            tracer.tell(context.ordinal, context.now, Traced::Received(bytes.to_vec()));
        }
        let step = match &mut self.talk {
            Talk::Opening(opening) => match opening.take(bytes) {
                Ok(Some(rest)) => {
                    // What came with the handshake is heard when it is open.
                    self.talk = Talk::WebSocket(WebSocket::after_handshake(rest));
                    Ok(Step::Opened)
                }
                Ok(None) => Ok(Step::Continue),
                Err(trouble) => Err(trouble),
            },
            Talk::WebSocket(socket) => socket.take(bytes, self.phase == Phase::Closing, context),
            Talk::Http(http) => http.take(bytes, context),
            Talk::Stream(stream) => stream.take(bytes, context),
            Talk::Steps(steps) => steps.take_bytes(bytes, self.phase == Phase::Closing, context),
        };
        self.progress(step, context)
    }

    /// Consequence of a step of the conversation.
    fn progress(&mut self, step: StepResult, context: &mut Context<'_>) -> StepResult {
        match step? {
            Step::Opened => self.opened(context),
            // The peer closes a WebSocket, or has nothing more to answer.
            Step::Done if self.phase == Phase::Closing => Ok(Step::Done),
            Step::Done => self.finish(context),
            Step::PeerCloses => self.peer_closes(context),
            Step::Idle if self.ending != Ending::No => self.finish(context),
            step => Ok(step),
        }
    }

    fn opened(&mut self, context: &mut Context<'_>) -> StepResult {
        let was_refused = matches!(&self.talk, Talk::Http(http) if http.was_refused());
        if context.script.application != Application::Stream && !was_refused {
            context.tally.latencies.handshake.record(context.now.saturating_sub(self.since));
        }
        context.tally.traffic.sessions += 1;
        self.phase = Phase::Open;
        self.since = context.now;
        let lifetime = context.rng.lifetime(context.script.lifetime);
        let exchange_only =
            lifetime.is_some_and(|time| time.is_zero()) && context.script.closes != Close::Peer;
        self.limit = lifetime.filter(|time| !time.is_zero()).map(|time| context.now + time);
        if self.ending == Ending::AtOnce {
            return self.wind_down(context);
        }
        let step = match &mut self.talk {
            Talk::WebSocket(socket) => socket.begin(exchange_only, context),
            Talk::Stream(stream) => stream.begin(exchange_only, context),
            Talk::Http(http) => http.opened(exchange_only, context),
            Talk::Opening(_) | Talk::Steps(_) => Ok(Step::Continue),
        };
        self.progress(step, context)
    }
}
