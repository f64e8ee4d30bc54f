//! Figures of a run for databases of metrics that are written to: Prometheus remote write, and OTLP.
//!
//! The metrics are those of [`crate::report::openmetrics`], under the same names. A request holds the figures of one
//! moment. No I/O.

mod otlp;
mod remote_write;

use super::openmetrics::{Figures, Labels};
use super::output::{RenderError, library};
use super::shown::Shown;
use crate::result::{RunResult, headline};
use std::time::{Duration, UNIX_EPOCH};

/// Prefix of every name.
const PREFIX: &str = "connstorm";

/// Protocol by which a database is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Prometheus remote write 1.0: protobuf, packed with Snappy.
    RemoteWrite,
    /// OpenTelemetry's OTLP over HTTP, in its JSON encoding.
    Otlp,
}

impl Protocol {
    /// Header fields of its requests.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Protocol::RemoteWrite => &[
                ("Content-Type", "application/x-protobuf"),
                ("Content-Encoding", "snappy"),
                ("X-Prometheus-Remote-Write-Version", "0.1.0"),
            ],
            Protocol::Otlp => &[("Content-Type", "application/json")],
        }
    }
}

/// Writer of a run's requests to one database.
#[derive(Debug)]
pub struct Requests {
    protocol: Protocol,
    /// Labels of every series.
    labels: Labels,
    written: remote_write::Written,
    /// Time of the last request, in milliseconds since 1970: the same time twice with other values is refused.
    last_ms: u64,
}

/// State of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Going on: nobody knows yet what it is worth.
    Running,
    /// Over.
    Ended,
}

impl Requests {
    /// A writer; every series gets these labels.
    pub fn new(protocol: Protocol, labels: Vec<(String, String)>) -> Requests {
        Requests { protocol, labels, written: remote_write::Written::default(), last_ms: 0 }
    }

    /// The body of the request with the figures of a run as it is now.
    ///
    /// # Errors
    /// When a histogram can't be read.
    pub fn body(&mut self, result: &RunResult, progress: Progress) -> Result<Vec<u8>, RenderError> {
        let verdict = match progress {
            Progress::Running => "running",
            Progress::Ended => headline::verdict(result.verdict),
        };
        let shown = Shown::of(result).map_err(|error| library("OpenMetrics", &error))?;
        let figures = Figures::of(&shown, verdict)?;
        let began_ms = result.began_unix_us / 1000;
        let elapsed_ms = Duration::try_from_secs_f64(result.elapsed_s).unwrap_or_default().as_millis();
        let at_ms = began_ms.saturating_add(u64::try_from(elapsed_ms).unwrap_or(0)).max(self.last_ms + 1);
        self.last_ms = at_ms;
        match self.protocol {
            Protocol::RemoteWrite => {
                let series = remote_write::series(&figures, &self.labels);
                self.written.body(series, at_ms).map_err(|error| library("remote write", &error))
            }
            Protocol::Otlp => Ok(otlp::body(&figures, &self.labels, began_ms, at_ms)),
        }
    }
}

/// Name of a run that no other has: when it began, and the process.
pub fn run_id(began_unix_us: u64, pid: u32) -> String {
    let began = UNIX_EPOCH + Duration::from_micros(began_unix_us);
    format!("{}-{pid}", humantime::format_rfc3339_seconds(began))
}

#[cfg(test)]
mod tests;
