//! What is spoken over a connection, and how a target behaves that speaks it.

mod behaviour;
mod kind;
mod template;

pub use behaviour::{Behaviour, Reply};
pub use kind::{Application, Kind};
pub use template::{Alphabet, Fields, MOST_RANDOM, Template, TemplateError};
