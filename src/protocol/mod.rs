//! What is spoken over a connection, and how a target behaves that speaks it.

mod behaviour;

pub use behaviour::Behaviour;
