//! Source addresses, and the leases of source ports to attempts.
//!
//! Pure: sockets are opened elsewhere. [`AddressSet`] is what the user wrote, [`Routes`] says which
//! (source, destination) pair an attempt uses, [`PortRing`] which port is next where we choose it
//! ourselves, and [`Pool`] puts them together for one worker.

mod distinct;
mod pool;
mod ports;
mod routes;
mod set;

pub use distinct::first_of_each_ip;
pub use pool::{LeaseKey, Pool};
pub use ports::{PortRing, partition};
pub use routes::{Route, Routes, RoutesError};
pub use set::{AddressBlock, AddressSet, AddressSetError};
