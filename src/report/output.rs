//! The formats that a result is written in, behind one trait.

use crate::report::shown::{self, Shown};
use crate::report::{csv, hlog, html, junit, markdown, openmetrics};
use crate::result::RunResult;

/// A way to write a result.
pub trait Format: Sync {
    /// The whole text of the file.
    ///
    /// # Errors
    /// When the result holds something that was damaged, such as a histogram that was cut.
    fn render(&self, result: &RunResult) -> Result<String, RenderError>;
}

/// Reason for which a result can't be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A histogram is no histogram.
    #[error(
        "the histogram of {0} in the result can't be read: it was damaged; run again, or leave this format out"
    )]
    Histogram(String),
    /// A library refused.
    #[error("{format} could not be written: {says}; this is a defect of connstorm")]
    Library {
        /// Name of the format.
        format: &'static str,
        /// Words of the library.
        says: String,
    },
}

/// The result itself, as JSON.
pub struct Json;

impl Format for Json {
    fn render(&self, result: &RunResult) -> Result<String, RenderError> {
        let text = serde_json::to_string_pretty(result);
        text.map(|text| shown::json_text(&text) + "\n").map_err(|error| library("JSON", &error))
    }
}

/// One page for a browser.
pub struct Html;
/// Test cases for a CI server.
pub struct Junit;
/// Markdown for a CI job's summary.
pub struct Markdown;
/// A log of HdrHistogram.
pub struct Hlog;
/// Metrics for Prometheus.
pub struct OpenMetrics;
/// The windows as a table.
pub struct Csv;

/// Every format but JSON: each is given a result that was made harmless, and no other.
macro_rules! formats {
    ($($format:ident: $render:path;)*) => {
        $(impl Format for $format {
            fn render(&self, result: &RunResult) -> Result<String, RenderError> {
                $render(&Shown::of(result).map_err(|error| library(stringify!($format), &error))?)
            }
        })*
    };
}

formats! {
    Html: html::render;
    Junit: junit::render;
    Markdown: markdown::render;
    Hlog: hlog::render;
    OpenMetrics: openmetrics::render;
    Csv: csv::render;
}

pub(super) fn library(format: &'static str, error: &impl ToString) -> RenderError {
    RenderError::Library { format, says: error.to_string() }
}
