//! Words of every module: the attempt, addresses and leases, ports, and what is counted. Pure data.

mod address;
mod attempt;
pub mod format;
mod load;
mod memory_budget;
pub mod port_set;
mod port_supply;
mod schedule;
mod slice;
mod statistics;
mod trace;

pub use address::*;
pub use attempt::*;
pub use load::*;
pub use memory_budget::{MemoryBudget, Room};
pub use port_supply::*;
pub use schedule::{MOST_AT_RANDOM, Schedule, Spacing};
pub use slice::{NoSlice, Part, Slice};
pub use statistics::*;
pub use trace::{TraceEvent, Traced};
