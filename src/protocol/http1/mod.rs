//! HTTP/1.1 as a client reads it. No I/O.
//!
//! Invariant: what is kept of a reply is its head, of at most [`LONGEST_HEAD`] bytes, and at most as much of
//! its body as was asked for, whatever the peer sends.

mod body;
mod head;

pub use body::{BadBody, Body, Framing};
pub use head::{HeadError, LONGEST_HEAD, ReplyHead};
