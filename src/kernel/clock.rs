//! The one clock of a run.

use crate::attempt::Stamp;
use std::time::{Instant, SystemTime};

/// A monotonic clock with an epoch, and the wall-clock time of that epoch. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
    wall: SystemTime,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Clock {
        Clock { epoch: Instant::now(), wall: SystemTime::now() }
    }

    /// Time since the epoch.
    pub fn now(&self) -> Stamp {
        self.epoch.elapsed()
    }

    /// The wall-clock time of the epoch: RFC 3339, UTC, to the millisecond.
    pub fn wall_epoch(&self) -> String {
        humantime::format_rfc3339_millis(self.wall).to_string()
    }
}
