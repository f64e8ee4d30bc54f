//! WebSocket (RFC 6455) as a client speaks it, on tungstenite's frame headers. No I/O.
//!
//! Invariant: of what the peer sends there is kept at most one message that is not complete, of at most
//! [`LONGEST_MESSAGE`] bytes. Between messages nothing is kept.

mod handshake;
mod incoming;
mod outgoing;

pub use handshake::{Upgrade, UpgradeError};
pub use incoming::{Fragments, LONGEST_MESSAGE, Message, Opcode, Violation, next};
pub use outgoing::{write, write_close};
