//! What is spoken over a connection, and how a target behaves that speaks it.

mod behaviour;
mod kind;

pub use behaviour::{Behaviour, Reply};
pub use kind::{Application, Kind};
