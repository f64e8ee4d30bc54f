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

/// A time of the wall clock in µs since 1970: RFC 3339, in UTC where it has no zone, or `@` and seconds since 1970.
pub fn parse_wall_clock(text: &str) -> Option<u64> {
    let text = text.trim();
    let since_1970 = match text.strip_prefix('@') {
        Some(seconds) => Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?,
        None => {
            let wall = humantime::parse_rfc3339_weak(text).ok()?;
            wall.duration_since(SystemTime::UNIX_EPOCH).ok()?
        }
    };
    // 2^53: what JSON carries exactly; in the year 2255.
    u64::try_from(since_1970.as_micros()).ok().filter(|us| *us <= 1 << 53)
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

/// Seconds that are added to CLOCK_MONOTONIC, 100 years: an epoch may lie before the machine was started.
const BEFORE_START: u64 = 100 * 365 * 24 * 3600;

/// Time of CLOCK_MONOTONIC: since some moment long before this program began.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative, and nanoseconds are below a second (clock_gettime(2)).
    Duration::new(now.tv_sec.cast_unsigned() + BEFORE_START, now.tv_nsec as u32)
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Clock {
        Clock { epoch: monotonic(), wall: SystemTime::now() }
    }

    /// A clock whose epoch is a moment of the wall clock, in µs since 1970, now or later or past. What the wall clock
    /// does from now on changes nothing.
    pub fn starting_at(unix_us: u64) -> Clock {
        let wall = wall_clock(unix_us);
        let (now, now_wall) = (monotonic(), SystemTime::now());
        let epoch = match wall.duration_since(now_wall) {
            Ok(ahead) => now + ahead,
            Err(past) => now.saturating_sub(past.duration()),
        };
        Clock { epoch, wall }
    }

    /// Time until the epoch; zero when it has come.
    pub fn until_epoch(&self) -> Duration {
        self.epoch.saturating_sub(monotonic())
    }

    /// Time since the epoch; zero before it.
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
    fn times_of_the_wall_clock_are_read_in_two_forms() {
        let expected = Some(1_893_553_445_000_000);
        for text in ["2030-01-02T03:04:05Z", "2030-01-02 03:04:05", "@1893553445", " @1893553445.0 "] {
            assert_eq!(parse_wall_clock(text), expected, "{text}");
        }
        for bad in
            ["", "@", "@-1", "@1e300", "@nan", "tomorrow", "03:04:05", "1893553445", "1969-01-01T00:00:00Z"]
        {
            assert_eq!(parse_wall_clock(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_clock_may_start_later_or_earlier_than_now() {
        let seconds = Duration::from_secs;
        let now_us = Clock::start().unix_micros(Stamp::ZERO);
        let later = Clock::starting_at(now_us + 3_600_000_000);
        assert_eq!(later.now(), Stamp::ZERO);
        assert!(later.until_epoch() > seconds(3590) && later.until_epoch() <= seconds(3600));
        let earlier = Clock::starting_at(now_us - 5_000_000);
        assert!(earlier.now() >= seconds(5) && earlier.until_epoch().is_zero());
        assert!(
            Clock::starting_at(0).now() > seconds(50 * 365 * 24 * 3600),
            "before the machine was started"
        );
        let (at_epoch, plain) = (earlier.unix_micros(Stamp::ZERO), Clock::start().unix_micros(Stamp::ZERO));
        assert!((plain - at_epoch).abs_diff(5_000_000) < 2_000_000);
    }

    #[test]
    fn the_kernel_ticks_at_a_rate_that_it_can_be_built_with() {
        let ticks = ticks_per_second().unwrap();
        assert!([24, 32, 48, 64, 100, 128, 250, 256, 300, 1000, 1024, 1200].contains(&ticks), "{ticks}");
    }
}
