//! One connection of a target: a descriptor and a few bytes, and what to do when it is ready.
//!
//! Invariant: while bytes wait to be sent nothing is read, so what a connection holds is at most what
//! one read brought, its answers up to [`super::dispatch::HIGH_WATER`] and one more, and an incomplete message
//! or request. A connection that holds none of these, and no TLS, has no memory beside its slot.

use super::context::{Context, LONGEST_READ};
use super::counters::{Ending, Tally};
use super::dispatch::{DispatchContext, DispatchState, Flow, Partial, Phase};
use super::{tls, ws};
use crate::linux::epoll::{Event, Interest};
use crate::protocol::Behaviour;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};
use rustls::ServerConfig;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

mod unfinished;

/// Bytes that may wait for a peer who does not read, before it misses what others send it.
const PATIENCE: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Talking,
    /// Neither reads nor writes, until it is released.
    Held,
    /// We have sent FIN; what comes is thrown away.
    Draining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// When all is sent.
    Linger,
    Close(Ending),
}

/// A connection that a worker holds.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    /// Number of the connection among those the worker accepted (it wraps): tells it from a later one in the same slot.
    pub(super) serial: u32,
    /// Events that the connection is watched for.
    pub(super) watched: Interest,
    state: State,
    end: End,
    phase: Phase,
    count: u64,
    more: Option<Box<More>>,
}

/// State that most connections do not have most of the time.
#[derive(Debug, Default)]
struct More {
    tls: Option<Box<tls::Session>>,
    /// Received, but of no use without what follows.
    input: Vec<u8>,
    partial: Partial,
    unsent: Vec<u8>,
    /// Bytes of `unsent` that are sent.
    sent: usize,
    /// Since when something has begun and is not complete.
    unfinished_since: Option<Duration>,
}

impl More {
    fn is_needed(&self) -> bool {
        self.tls.is_some()
            || !self.input.is_empty()
            || !self.unsent.is_empty()
            || !matches!(self.partial, Partial::None)
    }
}

type Served = Result<Option<Ending>, Errno>;

impl Connection {
    pub(super) fn new(socket: OwnedFd, serial: u32, behaviour: &Behaviour) -> Connection {
        let state = if *behaviour == Behaviour::Silent { State::Held } else { State::Talking };
        let (end, phase) = (End::Open, Phase::Handshake);
        let watched = Interest::NONE;
        let mut new = Connection { socket, serial, watched, state, end, phase, count: 0, more: None };
        new.watched = new.wanted();
        new
    }

    /// Has it speak TLS.
    pub(super) fn encrypt(&mut self, config: &Arc<ServerConfig>) -> Result<(), rustls::Error> {
        self.more().tls = Some(Box::new(tls::Session::new(config)?));
        Ok(())
    }

    /// Events that the connection has to be watched for now.
    pub(super) fn wanted(&self) -> Interest {
        match self.state {
            State::Held => Interest::PEER_CLOSED,
            _ if self.unsent() > 0 => Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }

    /// True if it is a WebSocket that messages can be sent to.
    pub(super) fn takes_messages(&self) -> bool {
        self.phase == Phase::Open && self.state == State::Talking && self.end == End::Open
    }

    /// Does what the event allows; returns how the connection has ended, if it has.
    pub(super) fn serve(&mut self, event: Event, context: &mut Context<'_>) -> Option<Ending> {
        let served = match self.state {
            State::Held => self.look(event),
            _ if self.unsent() > 0 => self.flush(context),
            State::Draining => self.drain(context),
            State::Talking => self.read(context),
        };
        self.judge(served)
    }

    /// Sends what is sent without being asked; to be called once, when the connection is new.
    pub(super) fn greet(&mut self, context: &mut Context<'_>) -> Option<Ending> {
        let is_secured = self.more.as_ref().is_none_or(|more| more.tls.is_none());
        let served = if is_secured { self.send_banner(context) } else { Ok(None) };
        self.judge(served)
    }

    /// Goes on with what was held back.
    pub(super) fn release(&mut self, context: &mut Context<'_>) -> Option<Ending> {
        if self.state != State::Held {
            return None;
        }
        self.state = State::Talking;
        let served = self.flush(context);
        self.judge(served)
    }

    /// Sends a frame to a WebSocket. One that does not read misses it.
    pub(super) fn send_message(&mut self, frame: &[u8], context: &mut Context<'_>) -> Option<Ending> {
        if self.unsent() + frame.len() > PATIENCE && self.unsent() > 0 {
            context.tally.message_dropped();
            return None;
        }
        context.buffers.out.clear();
        context.buffers.out.extend_from_slice(frame);
        context.tally.message_out();
        let served = self.deliver(context).map(|()| None);
        self.judge(served)
    }

    /// The number of the next message that is sent unasked.
    pub(super) fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Ends it, politely where the protocol has a way to.
    pub(super) fn finish(&mut self, context: &mut Context<'_>) -> Option<Ending> {
        if self.state == State::Draining || self.end != End::Open {
            return None;
        }
        context.buffers.out.clear();
        if self.takes_messages() {
            let mut dispatch = self.dispatch();
            ws::close(&mut dispatch, &mut context.buffers.out);
            self.keep(dispatch);
        } else {
            self.end = End::Close(Ending::ByUs);
        }
        // Or a peer who does not read would keep it open.
        context.actions.lingers = true;
        let served = self.deliver(context).and_then(|()| self.conclude(context));
        self.judge(served)
    }

    fn judge(&self, served: Served) -> Option<Ending> {
        match served {
            Ok(ended) => ended,
            Err(Errno::AGAIN | Errno::INTR) => None,
            // We have closed; what the peer makes of it is its own affair.
            Err(_) if self.state == State::Draining => Some(Ending::ByUs),
            // EPIPE: a reset that an earlier write was told of.
            Err(Errno::CONNRESET | Errno::PIPE) => Some(Ending::Reset),
            Err(_) => Some(Ending::Failed),
        }
    }

    /// Held: the only thing that matters is whether the peer is still there.
    fn look(&self, event: Event) -> Served {
        sockopt::socket_error(&self.socket)??;
        Ok(event.hangup().then_some(Ending::ByPeer))
    }

    fn receive(&self, buffer: &mut Vec<u8>, tally: &Tally) -> Result<usize, Errno> {
        buffer.clear();
        buffer.reserve(LONGEST_READ);
        let (_, received) = recv(&self.socket, spare_capacity(buffer), RecvFlags::empty())?;
        tally.received(received);
        Ok(received)
    }

    fn drain(&mut self, context: &mut Context<'_>) -> Served {
        let received = self.receive(&mut context.buffers.received, context.tally)?;
        Ok((received == 0).then_some(Ending::ByUs))
    }

    fn read(&mut self, context: &mut Context<'_>) -> Served {
        if self.receive(&mut context.buffers.received, context.tally)? == 0 {
            return Ok(Some(if self.phase == Phase::Closing { Ending::ByUs } else { Ending::ByPeer }));
        }
        if self.more.as_ref().is_some_and(|more| more.tls.is_some()) {
            return self.decrypt(context);
        }
        std::mem::swap(&mut context.buffers.received, &mut context.buffers.plain);
        self.advance(context)
    }

    /// Opens what was received, lets TLS answer, and goes on with the plain text.
    fn decrypt(&mut self, context: &mut Context<'_>) -> Served {
        let Some(tls) = self.more.as_mut().and_then(|more| more.tls.as_mut()) else { return Ok(None) };
        let buffers = &mut *context.buffers;
        buffers.plain.clear();
        buffers.out.clear();
        match tls.open(&buffers.received, &mut buffers.plain) {
            Ok(opened) => {
                if opened.established {
                    context.tally.tls_handshake();
                    self.send_banner(context)?;
                }
                self.advance(context)?;
                if opened.closed && self.end == End::Open {
                    self.end = End::Close(Ending::ByPeer);
                }
                context.buffers.out.clear();
                self.deliver(context)?;
            }
            Err(_) => {
                let in_handshake = tls.is_handshaking();
                if in_handshake {
                    context.tally.tls_handshake_failed()
                } else {
                    context.tally.violated()
                }
                // The alert, and nothing after it.
                self.deliver(context)?;
                self.more().tls = None;
                self.end = End::Linger;
            }
        }
        self.conclude(context)
    }

    fn send_banner(&mut self, context: &mut Context<'_>) -> Served {
        context.buffers.out.clear();
        if let Behaviour::Raw(bytes) = context.behaviour {
            context.buffers.out.extend_from_slice(bytes);
            self.deliver(context)?;
        }
        Ok(None)
    }

    /// Goes as far as possible with what is kept of the input and what is in `plain`.
    fn advance(&mut self, context: &mut Context<'_>) -> Served {
        let fresh = std::mem::take(&mut context.buffers.plain);
        let mut kept = self.more.as_mut().map(|more| std::mem::take(&mut more.input)).unwrap_or_default();
        let bytes = if kept.is_empty() {
            &fresh[..]
        } else {
            kept.extend_from_slice(&fresh);
            &kept[..]
        };
        let used = self.converse(bytes, context);
        if let Ok(used) = used
            && used < bytes.len()
            && self.end == End::Open
        {
            self.more().input = bytes[used..].to_vec();
        }
        context.buffers.plain = fresh;
        context.buffers.plain.clear();
        used?;
        self.conclude(context)
    }

    /// Talks until nothing more can be done now; returns how many of the bytes were used.
    fn converse(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Result<usize, Errno> {
        let mut used = 0;
        while self.end == End::Open {
            let (taken, flow) = self.take(&bytes[used..], context);
            used += taken;
            match flow {
                Flow::NeedMore | Flow::Continue => {}
                Flow::Farewell => context.actions.lingers = true,
                Flow::Hold { last } => {
                    (self.state, context.actions.held) = (State::Held, true);
                    self.end = if last { End::Linger } else { End::Open };
                }
                Flow::Linger => self.end = End::Linger,
                Flow::Close(how) => self.end = End::Close(how),
            }
            self.deliver(context)?;
            let goes_on = matches!(flow, Flow::Continue | Flow::Farewell);
            if !goes_on || self.unsent() > 0 {
                break;
            }
        }
        Ok(used)
    }

    /// One step of the dispatch; its answers are in `out`.
    fn take(&mut self, bytes: &[u8], context: &mut Context<'_>) -> (usize, Flow) {
        context.buffers.out.clear();
        let mut dispatch = self.dispatch();
        let mut call = DispatchContext {
            application: context.application,
            behaviour: context.behaviour,
            tally: context.tally,
            out: &mut context.buffers.out,
            news: &mut context.actions.news,
        };
        let taken = dispatch.take(bytes, &mut call);
        context.actions.opened |= self.phase == Phase::Handshake && dispatch.phase == Phase::Open;
        self.keep(dispatch);
        taken
    }

    fn dispatch(&mut self) -> DispatchState {
        let partial = self.more.as_mut().map(|more| std::mem::take(&mut more.partial));
        DispatchState { phase: self.phase, count: self.count, partial: partial.unwrap_or_default() }
    }

    fn keep(&mut self, dispatch: DispatchState) {
        (self.phase, self.count) = (dispatch.phase, dispatch.count);
        if !matches!(dispatch.partial, Partial::None) {
            self.more().partial = dispatch.partial;
        }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn unsent(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.unsent.len() - more.sent)
    }

    /// Sends what is in `out`, and what TLS has to say. What does not fit is kept, and reading stops until
    /// it is gone; nothing overtakes it.
    fn deliver(&mut self, context: &mut Context<'_>) -> Result<(), Errno> {
        let buffers = &mut *context.buffers;
        let mut wire = &buffers.out;
        if let Some(tls) = self.more.as_mut().and_then(|more| more.tls.as_mut()) {
            buffers.wire.clear();
            tls.seal(&buffers.out, &mut buffers.wire);
            if self.end != End::Open {
                tls.close(&mut buffers.wire);
            }
            wire = &buffers.wire;
        }
        if wire.is_empty() {
            return Ok(());
        }
        let waits = self.state == State::Held || self.unsent() > 0;
        let sent = if waits { 0 } else { self.send(wire, context.tally)? };
        if sent < wire.len() {
            let more = self.more();
            more.unsent.drain(..more.sent);
            more.sent = 0;
            more.unsent.extend_from_slice(&wire[sent..]);
        }
        Ok(())
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Served {
        let Some(more) = &self.more else { return Ok(None) };
        let sent = self.send(&more.unsent[more.sent..], context.tally)?;
        let more = self.more();
        more.sent += sent;
        if sent > 0 {
            more.unfinished_since = None;
        }
        if more.sent < more.unsent.len() {
            return Ok(None);
        }
        (more.unsent, more.sent) = (Vec::new(), 0);
        context.buffers.plain.clear();
        if self.end == End::Open { self.advance(context) } else { self.conclude(context) }
    }

    /// Does what is to be done when all is sent, and lets go of what is no longer needed.
    fn conclude(&mut self, context: &mut Context<'_>) -> Served {
        if self.unsent() > 0 || self.state == State::Held {
            return Ok(None);
        }
        match self.end {
            End::Open => {
                self.more.take_if(|more| !more.is_needed());
                Ok(None)
            }
            End::Close(how) => Ok(Some(how)),
            End::Linger => {
                if self.state == State::Talking {
                    (self.state, self.more) = (State::Draining, None);
                    context.actions.lingers = true;
                    shutdown(&self.socket, Shutdown::Write)?;
                }
                Ok(None)
            }
        }
    }

    /// Sends what the kernel takes now, which may be nothing.
    fn send(&self, bytes: &[u8], tally: &Tally) -> Result<usize, Errno> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                tally.sent(sent);
                Ok(sent)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_connection_is_small() {
        assert!(size_of::<Connection>() <= 32, "{}", size_of::<Connection>());
    }
}
