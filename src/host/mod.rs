//! This host as it is now: sockets, listeners, routes, names, settings, and the way to a target.
//!
//! Without privilege; what may not be seen is left out and named.

mod dns;
pub mod held_ports;
pub(crate) mod moment;
pub mod server_process;
pub mod snapshot;
pub mod state;
pub mod target;
