//! One connection that is waited for: of an examination, or beside a run that is over.

use crate::linux::clock::Clock;
use crate::linux::epoll::{Epoll, Events, Interest};
use crate::linux::socket::{CallError, Connection, PortChoice, Progress};
use crate::model::{Errno, Lease, Stage};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A connection from `source`, or from the kernel's choice; `None` where there is none within `limit`.
pub fn connect(to: SocketAddr, source: Option<IpAddr>, limit: Duration) -> Option<TcpStream> {
    let lease = Lease { source, port: None, destination: to };
    let socket = Connection::bind(&lease, PortChoice::AtConnect).ok()?;
    let is_connected = match socket.connect(to).ok()? {
        Progress::Established => true,
        Progress::Pending => until_connected(&socket, limit).ok()?,
    };
    let stream = is_connected.then(|| TcpStream::from(OwnedFd::from(socket)))?;
    stream.set_nonblocking(false).ok()?;
    Some(stream)
}

/// Waits for a handshake of TCP; true if it was completed in time.
///
/// # Errors
/// The call that failed.
pub fn until_connected(socket: &Connection, limit: Duration) -> Result<bool, CallError> {
    let failed = |error: io::Error| CallError {
        stage: Stage::Connect,
        errno: Errno::of(&error).unwrap_or(Errno::EIO),
    };
    let set = Epoll::new().map_err(failed)?;
    set.add(socket, 0, Interest::WRITABLE).map_err(failed)?;
    let (clock, mut events) = (Clock::start(), Events::with_capacity(1));
    loop {
        let left = limit.saturating_sub(clock.now());
        // What there is to know is asked of the socket itself.
        let _ = set.wait(&mut events, Some(left)).map_err(failed)?;
        match socket.progress()? {
            Progress::Established => return Ok(true),
            Progress::Pending if left.is_zero() => return Ok(false),
            Progress::Pending => {}
        }
    }
}
