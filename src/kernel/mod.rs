//! All Linux: system calls, `/proc`, `sysctl`, netlink, and the clock.
//!
//! The only home of `unsafe`, of `libc` and of the clock. Nothing here decides anything; it asks the
//! kernel and hands the answer up, errors included.

pub mod clock;
pub mod fd_table;
pub mod holders;
pub mod namespace;
mod netlink;
pub mod port_set;
pub mod sock_diag;
mod sock_filter;
pub mod sysctl;
pub mod tcp_state;
pub mod tuple_usage;
