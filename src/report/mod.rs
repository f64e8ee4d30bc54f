//! The result of a run as data, and one file a format that renders it.

pub mod examination;
mod findings;
pub mod forecast;
pub mod format;
mod model;
pub mod plan_text;
pub mod story;
mod style;
pub mod summary;
pub mod sweep_text;
mod thresholds;
mod verdict;

pub use model::{
    Counts, FailureKind, FailureSample, KernelWindow, LatencySummary, OnsetReport, Resources, RunResult,
    SCHEMA_VERSION, Verdict, WindowSummary,
};
pub use style::Style;
pub use thresholds::DEFAULT as DEFAULT_THRESHOLD;
