//! Protocols over a connection, and the behaviours of a target that speaks them. Parsers and writers, no I/O.

mod behaviour;
pub mod http1;
pub mod json_scan;
mod kind;
mod sniff;
mod template;
pub mod tls;
pub mod websocket;

pub use behaviour::{Behaviour, Reply};
pub use kind::{Application, Kind};
pub use sniff::{ECHO, sniff};
pub use template::{Alphabet, Fields, MOST_RANDOM, Named, NoNames, Place, Template, TemplateError, Values};
