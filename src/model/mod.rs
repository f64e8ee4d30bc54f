//! What every room speaks of: the attempt, addresses and leases, ports, and what is counted. Pure data.

mod address;
mod attempt;
pub mod format;
pub mod port_set;
mod statistics;

pub use address::*;
pub use attempt::*;
pub use statistics::*;
