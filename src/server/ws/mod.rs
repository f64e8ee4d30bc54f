//! WebSocket (RFC 6455) as a target speaks it. No I/O.

mod handshake;
mod session;

pub(super) use session::{close, take};
