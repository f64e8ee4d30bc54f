//! State of a run under way, for whoever watches it.

use crate::model::{RunStart, Tally, WindowRow};
use std::time::Duration;

/// The state of a run under way, for who watches it.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The run as it began.
    pub start: &'a RunStart,
    /// Time since the start.
    pub elapsed: Duration,
    /// Everything counted so far.
    pub tally: &'a Tally,
    /// The most connections open at once so far.
    pub held_max: u64,
    /// CPU time of the workers so far.
    pub worker_cpu: Duration,
    /// The window that was completed last.
    pub window: Option<&'a WindowRow>,
}
