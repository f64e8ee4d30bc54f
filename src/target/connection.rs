//! One connection of a target: a descriptor and a few bytes, and what to do when it is ready.
//!
//! Invariant: while bytes wait to be sent nothing is read, so what a connection holds is at most what
//! one read brought. A connection that is not blocked holds no buffer.

use super::counters::{Ending, Tally};
use crate::kernel::readiness::{Event, Interest};
use crate::protocol::Behaviour;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::os::fd::OwnedFd;

/// The longest read, and so the most that a connection which can't be written to holds.
pub(super) const LONGEST_READ: usize = 16 * 1024;

/// What a worker does with a connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for the same as before.
    Wait,
    /// Wait for this from now on.
    WaitFor(Interest),
    /// Close it.
    Close(Ending),
}

/// What all connections of a worker share while one of them is served.
#[derive(Debug)]
pub(super) struct Desk<'w> {
    pub(super) behaviour: Behaviour,
    pub(super) tally: &'w Tally,
    /// Reused by every read; its capacity is the longest read.
    pub(super) buffer: &'w mut Vec<u8>,
}

/// A connection that a worker holds.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    /// Its number among those the worker accepted (it wraps): tells it from a later one in the same slot.
    pub(super) serial: u32,
    received: u64,
    unsent: Option<Box<Unsent>>,
}

/// Bytes read that could not be written yet.
#[derive(Debug)]
struct Unsent {
    bytes: Box<[u8]>,
    sent: usize,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, serial: u32) -> Connection {
        Connection { socket, serial, received: 0, unsent: None }
    }

    /// What a new connection is watched for.
    pub(super) fn first_interest(behaviour: Behaviour) -> Interest {
        match behaviour {
            Behaviour::Silent => Interest::PEER_CLOSED,
            _ => Interest::READABLE,
        }
    }

    /// Does what the event allows.
    pub(super) fn serve(&mut self, event: Event, desk: &mut Desk<'_>) -> Next {
        let served = match (desk.behaviour, self.unsent.is_some()) {
            (Behaviour::Silent, _) => self.look(event),
            (_, true) => self.flush(desk),
            (_, false) => self.read(desk),
        };
        served.unwrap_or_else(|errno| match errno {
            Errno::AGAIN | Errno::INTR => Next::Wait,
            // EPIPE: a reset that an earlier write was told of.
            Errno::CONNRESET | Errno::PIPE => Next::Close(Ending::Reset),
            _ => Next::Close(Ending::Failed),
        })
    }

    /// Silent: the only thing that matters is whether the peer is still there.
    fn look(&self, event: Event) -> Result<Next, Errno> {
        sockopt::socket_error(&self.socket)??;
        Ok(if event.hangup() { Next::Close(Ending::ByPeer) } else { Next::Wait })
    }

    fn read(&mut self, desk: &mut Desk<'_>) -> Result<Next, Errno> {
        desk.buffer.clear();
        let (_, received) = recv(&self.socket, spare_capacity(desk.buffer), RecvFlags::empty())?;
        if received == 0 {
            return Ok(Next::Close(Ending::ByPeer));
        }
        desk.tally.received(received);
        self.received += received as u64;
        if desk.behaviour.echoes() { self.echo(desk) } else { Ok(Next::Wait) }
    }

    /// Sends the desk's buffer; what does not fit is kept, and reading stops until it is gone.
    fn echo(&mut self, desk: &mut Desk<'_>) -> Result<Next, Errno> {
        let sent = self.send(desk.buffer, desk.tally)?;
        if sent < desk.buffer.len() {
            self.unsent = Some(Box::new(Unsent { bytes: desk.buffer[sent..].into(), sent: 0 }));
            return Ok(Next::WaitFor(Interest::WRITABLE));
        }
        Ok(self.next_when_sent(desk.behaviour, Next::Wait))
    }

    fn flush(&mut self, desk: &mut Desk<'_>) -> Result<Next, Errno> {
        let Some(mut unsent) = self.unsent.take() else { return Ok(Next::WaitFor(Interest::READABLE)) };
        unsent.sent += self.send(&unsent.bytes[unsent.sent..], desk.tally)?;
        if unsent.sent < unsent.bytes.len() {
            self.unsent = Some(unsent);
            return Ok(Next::Wait);
        }
        Ok(self.next_when_sent(desk.behaviour, Next::WaitFor(Interest::READABLE)))
    }

    fn next_when_sent(&self, behaviour: Behaviour, otherwise: Next) -> Next {
        if behaviour.is_done_after(self.received) { Next::Close(Ending::ByUs) } else { otherwise }
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
        assert!(size_of::<Connection>() <= 24, "{}", size_of::<Connection>());
    }
}
