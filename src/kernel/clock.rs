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

    /// Wall-clock time at `stamp`, in µs since 1970; it goes as evenly as the clock does.
    pub fn unix_micros(&self, stamp: Stamp) -> u64 {
        let since_1970 = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from((since_1970 + stamp).as_micros()).unwrap_or(u64::MAX)
    }

    /// The wall-clock time of the epoch: RFC 3339, UTC, to the millisecond.
    pub fn wall_epoch(&self) -> String {
        humantime::format_rfc3339_millis(self.wall).to_string()
    }
}
