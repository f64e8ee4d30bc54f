//! The engine: a plan becomes attempts, attempts become tallies.
//!
//! ```text
//! Schedule ─▶ Pacer ─▶ Connections ─▶ Tally ─▶ Handover ─▶ Timeline ─▶ Run
//!             when?    lease, socket,   once a      all workers
//!             (pure)   connect, close   window      together
//! ```

mod collector;
mod connections;
mod control;
mod data;
mod deadlines;
mod error;
mod first_failures;
mod handshake;
mod lifetimes;
mod memory;
mod open_count;
mod other_schemes;
mod pacer;
mod progress;
mod reporting;
mod resolve;
mod run;
mod service;
mod session;
mod setup;
mod single_connect;
mod threads;
mod tracing;
mod worker;
mod workers;

pub use control::Control;
pub use data::DataError;
pub use error::RunError;
pub use first_failures::FirstFailure;
pub use handshake::{Handshake, handshake, handshake_and_stay};
pub use other_schemes::OtherSchemes;
pub use pacer::{Finished, Next, Pacer, Pacing};
pub use progress::Progress;
pub use reporting::Reporting;
pub use resolve::Destinations;
pub use run::{ReadyEngine, run};
pub use session::{Script, ScriptError, rehearse};
pub use single_connect::{connect, until_connected};
pub use tracing::TraceRequest;
