//! The result of a run as data, and one file a format that renders it.

pub mod format;
mod model;
mod style;
pub mod summary;
mod verdict;

pub use model::{
    Counts, FailureKind, FailureSample, LatencySummary, Resources, RunResult, SCHEMA_VERSION, Verdict,
    WindowSummary,
};
pub use style::Style;
