//! The result of a run as data, and one file a format that renders it.

mod findings;
pub mod format;
mod model;
pub mod plan_text;
mod read;
#[cfg(test)]
mod sample;
pub mod schema;
mod style;
pub mod summary;
pub mod sweep_text;
mod thresholds;
mod verdict;

pub use model::{
    Counts, FailureKind, FailureSample, KernelWindow, LatencySummary, OnsetReport, Resources, RunResult,
    SCHEMA_VERSION, Verdict, WindowSummary,
};
pub use read::ReadError;
pub use style::Style;
pub use thresholds::DEFAULT as DEFAULT_THRESHOLD;
