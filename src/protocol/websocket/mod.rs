//! WebSocket (RFC 6455) as a client speaks it, on tungstenite's frame headers and keys, and what a server has in
//! common with it. No I/O.
//!
//! Extensions are not offered: messages are never compressed (no permessage-deflate, which tungstenite does not
//! have either), and a server that agrees to one all the same has broken the rules.
//!
//! Invariant: of what the peer sends there is kept at most one message that is not complete, of at most
//! [`LONGEST_MESSAGE`] bytes. Between messages nothing is kept.

mod handshake;
mod incoming;
mod message;
mod outgoing;

pub use handshake::{Upgrade, UpgradeError};
pub use incoming::{Fragments, next};
pub use message::{LONGEST_CONTROL, LONGEST_MESSAGE, Message, Opcode, Violation, checked, mask};
pub use outgoing::{write, write_close};
