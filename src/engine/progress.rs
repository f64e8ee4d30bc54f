//! What a run under way shows to whoever watches it.

use crate::model::{Tally, WindowRow};
use std::time::Duration;

/// The state of a run under way, for who watches it.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Time since the start.
    pub elapsed: Duration,
    /// Everything counted so far.
    pub tally: &'a Tally,
    /// The window that was completed last.
    pub window: Option<&'a WindowRow>,
}
