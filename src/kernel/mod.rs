//! All Linux: system calls, `/proc`, `sysctl`, netlink, and the clock.
//!
//! The only home of `unsafe`, of `libc` and of the clock. Nothing here decides anything; it asks the
//! kernel and hands the answer up, errors included.

pub mod clock;
pub mod fd_table;
pub mod namespace;
pub mod port_set;
pub mod sysctl;
