//! HTTP/1.1 as a target speaks it: requests taken apart, replies written. No I/O.

mod body;
mod reply;
mod session;

pub(super) use reply::{Closing, Page, write_http10};
pub(super) use session::{Exchange, take, with_head};
