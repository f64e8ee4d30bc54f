//! The one clock of a run.

use crate::model::Stamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// Ticks of the kernel's timer a second (`CONFIG_HZ`), by which the timers of TIME_WAIT are rounded: the
/// inverse of the resolution of `CLOCK_MONOTONIC_COARSE` (clock_getres(2)). `None` if that makes no sense.
pub fn ticks_per_second() -> Option<u32> {
    let tick = rustix::time::clock_getres(ClockId::MonotonicCoarse);
    let nanoseconds = u32::try_from(tick.tv_nsec).ok().filter(|n| *n > 0 && tick.tv_sec == 0)?;
    Some((1_000_000_000 + nanoseconds / 2) / nanoseconds)
}

/// The wall-clock time that is so many microseconds after the beginning of 1970.
pub fn wall_clock(unix_us: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(unix_us)
}

/// A monotonic clock with an epoch, and the wall-clock time of that epoch. Copies agree with each other.
///
/// Read some seven times an attempt: [`std::time::Instant`] costs 160 instructions more for that, since its
/// difference is checked for what CLOCK_MONOTONIC never does.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Time of CLOCK_MONOTONIC at the epoch.
    epoch: Duration,
    wall: SystemTime,
}

/// Time of CLOCK_MONOTONIC: since some moment before this program began.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative, and nanoseconds are below a second (clock_gettime(2)).
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Clock {
        Clock { epoch: monotonic(), wall: SystemTime::now() }
    }

    /// Time since the epoch.
    pub fn now(&self) -> Stamp {
        monotonic().saturating_sub(self.epoch)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_ticks_at_a_rate_that_it_can_be_built_with() {
        let ticks = ticks_per_second().unwrap();
        assert!([24, 32, 48, 64, 100, 128, 250, 256, 300, 1000, 1024, 1200].contains(&ticks), "{ticks}");
    }
}
