//! WebSocket (RFC 6455) as a client speaks it, on tungstenite's frame headers and keys. No I/O.
//!
//! Extensions are not offered: messages are never compressed (no permessage-deflate, which tungstenite does not
//! have either), and a server that agrees to one all the same has broken the rules.
//!
//! Invariant: of what the peer sends there is kept at most one message that is not complete, of at most
//! [`LONGEST_MESSAGE`] bytes. Between messages nothing is kept.

mod handshake;
mod incoming;
mod outgoing;

pub use handshake::{Upgrade, UpgradeError};
pub use incoming::{Fragments, LONGEST_MESSAGE, Message, Opcode, Violation, next};
pub use outgoing::{write, write_close};
