//! The one clock of a run.

use crate::attempt::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime};

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

/// CPU time, user and system, that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// CPU time, user and system, that all threads of this process have used (`CLOCK_PROCESS_CPUTIME_ID`).
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    // CPU clocks are never negative, and their nanoseconds stay below 10^9.
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
