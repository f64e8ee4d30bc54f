//! WebSocket (RFC 6455) for both roles: frames and messages, and the opening handshake as a client sees it. Keys are
//! tungstenite's. No I/O.
//!
//! Extensions are not offered: messages are never compressed (no permessage-deflate, which tungstenite does not
//! have either), and a server that agrees to one all the same has broken the rules.

mod decoder;
mod handshake;
mod header;
mod message;
mod outgoing;

pub use decoder::{Decoded, Decoder};
pub use handshake::{Upgrade, UpgradeError};
pub use header::Sender;
pub use message::{CloseFrame, LONGEST_CONTROL, LONGEST_MESSAGE, Message, Opcode, Violation, checked, mask};
pub use outgoing::{write, write_close};
