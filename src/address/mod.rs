//! Source addresses, and the leases of source ports to attempts.

mod set;

pub use set::{AddressBlock, AddressSet, AddressSetError};
