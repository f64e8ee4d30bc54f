//! Words heard and said over a connection that is traced, as it happens.

use crate::model::{Outcome, Stamp};
use std::net::SocketAddr;

/// A moment of a traced connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// Ordinal of its attempt, from 0.
    pub ordinal: u64,
    /// When.
    pub at: Stamp,
    /// The event.
    pub what: Traced,
}

/// An event of a traced connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// The attempt was started.
    Started,
    /// The connection stands.
    Connected {
        /// Our own end, where it is known.
        from: Option<SocketAddr>,
        /// The other end.
        to: SocketAddr,
    },
    /// These bytes were sent, before TLS.
    Sent(Vec<u8>),
    /// These bytes came, out of TLS.
    Received(Vec<u8>),
    /// The attempt has ended.
    Ended(Outcome),
}
