//! What a target does with a connection: properly, or wrong in one chosen way.

use std::fmt;
use std::time::Duration;

/// What a target does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Sends back what it receives; closes when the peer has closed.
    Echo,
    /// Receives, and never sends; closes when the peer has closed.
    Sink,
    /// Closes at once, before a byte is read: the server is the active closer and keeps TIME_WAIT. A
    /// peer whose bytes have already come gets RST, as from any close() that leaves bytes unread.
    Discard,
    /// Echoes, and closes when the peer has sent so many bytes and has got them back.
    CloseAfterBytes(u64),
    /// Echoes, and closes so long after it accepted the connection.
    CloseAfter(Duration),
    /// Sends RST right after accept(), by `SO_LINGER` 0.
    Reset,
    /// Accepts, never reads, never writes: a server that is stuck. Closes when the peer has.
    Silent,
    /// Listens, and never accepts: the accept queue fills up.
    FullBacklog,
    /// Accepts one connection in so long a time, over all workers, and echoes.
    SlowAccept {
        /// Time from one accept() to the next; zero is no limit.
        every: Duration,
    },
}

impl Behaviour {
    /// Whether connections are accepted at all.
    pub fn accepts(self) -> bool {
        self != Behaviour::FullBacklog
    }

    /// Whether what was received is sent back.
    pub fn echoes(self) -> bool {
        match self {
            Behaviour::Echo
            | Behaviour::CloseAfterBytes(_)
            | Behaviour::CloseAfter(_)
            | Behaviour::SlowAccept { .. } => true,
            Behaviour::Sink
            | Behaviour::Discard
            | Behaviour::Reset
            | Behaviour::Silent
            | Behaviour::FullBacklog => false,
        }
    }

    /// Whether a connection that has received so many bytes is to be closed by us.
    pub fn is_done_after(self, received: u64) -> bool {
        matches!(self, Behaviour::CloseAfterBytes(limit) if received >= limit)
    }
}

/// As it is written on the command line.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behaviour::Echo => f.write_str("echo"),
            Behaviour::Sink => f.write_str("sink"),
            Behaviour::Discard => f.write_str("discard"),
            Behaviour::CloseAfterBytes(bytes) => write!(f, "close-after({bytes}B)"),
            Behaviour::CloseAfter(time) => write!(f, "close-after({time:?})"),
            Behaviour::Reset => f.write_str("reset"),
            Behaviour::Silent => f.write_str("silent"),
            Behaviour::FullBacklog => f.write_str("full-backlog"),
            Behaviour::SlowAccept { every } => write!(f, "slow-accept({}/s)", every.as_secs_f64().recip()),
        }
    }
}
