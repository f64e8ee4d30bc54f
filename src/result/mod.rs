//! The result of a run as data: its model, verdict and thresholds; how results are read, merged and compared.
//!
//! Pure: nothing here prints, and no format is known here. Formats are in [`crate::report`].

mod balance;
pub mod compare;
mod completed;
pub mod examination;
mod figures;
pub mod find;
pub mod forecast;
pub(crate) mod headline;
pub mod merge;
mod model;
pub(crate) mod own_delay;
mod population;
mod read;
pub mod rehearsal;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
mod thresholds;
mod timeline;
mod verdict;
mod watch;
mod window;
pub(crate) mod windows;

pub use completed::{Completed, End};
pub use headline::verdict as verdict_word;
pub use model::{
    Counts, FailureKind, FailureSample, KernelWindow, LatencySummary, OnsetReport, Part, PopulationResult,
    Resources, RunResult, SCHEMA_VERSION, StepCount, Verdict, WindowStep, WindowSummary,
};
pub use read::ReadError;
pub(crate) use verdict::LATE_US;
pub use watch::{WATCH_SCHEMA_VERSION, WatchLine, WatchLook, WatchReport, WatchStart};
