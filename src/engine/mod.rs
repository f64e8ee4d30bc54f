//! The engine: a plan becomes attempts, attempts become tallies.
//!
//! ```text
//! Schedule ─▶ Pacer ─▶ Flow ─▶ Tally ─▶ Handover ─▶ Timeline ─▶ Run
//!             when?    lease, socket,   once a      all workers
//!             (pure)   connect, close   window      together
//! ```

mod control;
mod crew;
mod deadlines;
mod error;
mod flow;
mod gather;
mod hail;
mod lifetimes;
mod outline;
mod pacer;
mod progress;
mod resolve;
mod run;
mod schedule;
mod session;
mod worker;
mod workers;

pub use control::Control;
pub use error::RunError;
pub use hail::{Hailed, hail};
pub use pacer::{Next, Pacer, Part};
pub use progress::Progress;
pub use resolve::Destinations;
pub use run::run;
pub use schedule::Schedule;
pub use session::{Script, ScriptError};
