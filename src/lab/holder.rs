//! Another program beside the load, which holds connections or ports in a way of its own, in a process of its own.

use crate::linux::socket::{Connection, PortChoice};
use crate::model::Lease;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// From one look of the idle process at nothing to the next.
const PAUSE: Duration = Duration::from_secs(3600);

/// Ways of holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Connections that it keeps.
    Connections,
    /// The same, each bound to its address before it is connected, without `IP_BIND_ADDRESS_NO_PORT`.
    BoundFirst,
    /// Handshakes that it does not wait for.
    Handshakes,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Connections, Way::BoundFirst, Way::Handshakes];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Way::Connections => "connections",
            Way::BoundFirst => "bound-first",
            Way::Handshakes => "handshakes",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The other program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// State in which it holds them.
    pub way: Way,
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: SocketAddr,
    /// Number of them.
    pub count: u32,
}

impl Holder {
    /// Holds them until this process is killed. `ready` is called when it has all that there are.
    ///
    /// # Errors
    /// What bind() and connect() return.
    pub fn go_on(self, ready: impl FnOnce()) -> io::Result<()> {
        let lease = Lease { source: Some(self.source), port: None, destination: self.destination };
        let failed = |error: crate::linux::socket::CallError| {
            io::Error::other(format!("{}: {}", error.stage, error.errno.text()))
        };
        // The kernel chooses the port at connect(), as it does for most programs.
        let choice = if self.way == Way::BoundFirst { PortChoice::AtBind } else { PortChoice::AtConnect };
        let mut held = Vec::new();
        for _ in 0..self.count {
            let connection = Connection::bind(&lease, choice).map_err(failed)?;
            match connection.connect(self.destination).map_err(failed) {
                Ok(_) => {}
                // Others have the rest.
                Err(_) if !held.is_empty() => break,
                Err(error) => return Err(error),
            }
            held.push(connection);
            // A server that accepts one by one has its time.
            if self.way != Way::Handshakes && held.len().is_multiple_of(50) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        ready();
        loop {
            std::thread::sleep(PAUSE);
        }
    }
}
