//! WebSocket (RFC 6455) as a target speaks it. No I/O.

mod frame;
mod handshake;
mod session;

pub(super) use frame::{Decoder, write};
pub(super) use session::{close, take};

#[cfg(test)]
mod tests;
