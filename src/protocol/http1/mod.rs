//! HTTP/1.1 for both roles: heads of requests and of replies, and bodies. No I/O.
//!
//! Invariant: what is kept of a message is its head, of at most [`LONGEST_HEAD`] bytes, and at most as much of
//! its body as was asked for, whatever the peer sends; each byte costs the same, however a peer splits them.

mod body;
mod head_buffer;
mod headers;
mod reply_head;
mod request_head;

pub use body::{BadBody, Body, Framing};
pub use head_buffer::HeadBuffer;
pub use headers::Headers;
pub use reply_head::{HeadError, LONGEST_HEAD, ReplyHead};
pub use request_head::{BadRequest, LONGEST_REQUEST_HEAD, RequestHead};
