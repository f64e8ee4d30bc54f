//! The result of a run as data, and one file a format that renders it.

pub mod compare;
mod csv;
pub mod examination;
pub mod find;
mod findings;
pub mod forecast;
pub mod format;
mod gist;
#[cfg(test)]
mod golden;
mod hlog;
mod html;
mod junit;
mod markdown;
pub mod merge;
mod model;
pub mod openmetrics;
pub mod output;
pub mod plan_text;
mod read;
#[cfg(test)]
mod sample;
pub mod schema;
pub mod story;
mod style;
pub mod summary;
pub mod sweep_text;
mod thresholds;
mod timeline;
mod verdict;
mod window;
mod windows;

use findings::remedy_command;

pub use gist::verdict as verdict_word;
pub use model::{
    Counts, FailureKind, FailureSample, KernelWindow, LatencySummary, OnsetReport, Part, Resources,
    RunResult, SCHEMA_VERSION, Verdict, WindowSummary,
};
pub use read::ReadError;
pub use style::Style;
pub use thresholds::DEFAULT as DEFAULT_THRESHOLD;
