//! A part of a run, and the time at which it starts: how both are written, and what is wrong with them.

use crate::linux::clock::{Clock, parse_wall_clock};
use crate::model::format::seconds;
use crate::model::{Slice, Stamp};
use crate::plan::{Indivisible, Plan};
use clap::Args;
use std::time::Duration;

/// Part of a run that this process does, and when it begins.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many machines")]
pub(super) struct Division {
    /// Do part K of N of the plan, such as 2/3: each of N machines does another, and `connstorm merge` makes one
    /// result of theirs [default: the whole]
    #[arg(long, value_name = "K/N", value_parser = part)]
    part: Option<Slice>,
    /// Begin at this time, such as 2030-01-02T03:04:05Z, or @ and seconds since 1970 as `date +%s` prints them [default: now]
    #[arg(long, value_name = "TIME", value_parser = start_at)]
    start_at: Option<StartTime>,
}

/// A time of the wall clock, in µs since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StartTime(u64);

/// Delay of the start that is worth telling: arrivals due before are missed, not made up for.
const LATE: Duration = Duration::from_secs(1);

impl Division {
    /// Part of the plan that this process does.
    ///
    /// # Errors
    /// When the plan can't be divided so.
    pub(super) fn slice(&self, plan: &Plan) -> Result<Slice, Indivisible> {
        let Some(slice) = self.part.filter(|slice| !slice.is_whole()) else { return Ok(Slice::WHOLE) };
        plan.can_be_divided(slice.of()).map(|()| slice)
    }

    /// The clock of the run, and what is to be said of a start that is not now. `end`: when its arrivals end by time.
    ///
    /// # Errors
    /// When the load would have been over by now.
    pub(super) fn clock(&self, end: Option<Duration>) -> anyhow::Result<(Clock, Option<String>)> {
        let Some(StartTime(unix_us)) = self.start_at else { return Ok((Clock::start(), None)) };
        let clock = Clock::starting_at(unix_us);
        let (ahead, late) = (clock.until_epoch(), clock.now());
        if end.is_some_and(|end| late >= end) {
            anyhow::bail!(
                "the start time {} was {} ago, and the load lasts {}: it would be over; give a later --start-at, or \
                 look at the clock of this machine",
                clock.wall_epoch(),
                seconds(late.as_secs_f64()),
                seconds(end.unwrap_or_default().as_secs_f64())
            );
        }
        let told = match (ahead, late) {
            (_, late) if late > LATE => Some(format!(
                "connstorm: {} after the start time {}: arrivals due before now are skipped as agent_late",
                seconds(late.as_secs_f64()),
                clock.wall_epoch()
            )),
            (ahead, Stamp::ZERO) => {
                Some(format!("starts at {}, in {}", clock.wall_epoch(), seconds(ahead.as_secs_f64())))
            }
            _ => None,
        };
        Ok((clock, told))
    }
}

fn part(text: &str) -> Result<Slice, String> {
    let numbers =
        text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
    let slice = numbers.and_then(|(k, n): (u32, u32)| Slice::new(k.checked_sub(1)?, 1, n).ok());
    slice.ok_or_else(|| {
        "a part is K/N, with N up to 100000 and K from 1 to N, such as 2/3 for the second of three".to_owned()
    })
}

fn start_at(text: &str) -> Result<StartTime, String> {
    parse_wall_clock(text).map(StartTime).ok_or_else(|| {
        "a time is such as 2030-01-02T03:04:05Z (RFC 3339), or such as @1893553445 (seconds since 1970)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one() {
        assert_eq!(part("2/3").unwrap(), Slice::new(1, 1, 3).unwrap());
        assert_eq!(part("1/1").unwrap(), Slice::WHOLE);
        for bad in ["0/3", "4/3", "3", "/", "1/0", "-1/3", "1/100001", "2/3/4", ""] {
            assert!(part(bad).unwrap_err().contains("such as 2/3"), "{bad}");
        }
    }

    #[test]
    fn a_start_time_that_has_passed_is_told_and_one_whose_load_is_over_refused() {
        let now_us = Clock::start().unix_micros(Stamp::ZERO);
        let at = |unix_us: u64| Division { part: None, start_at: Some(StartTime(unix_us)) };
        let minute = Some(Duration::from_secs(60));
        let error = at(now_us - 61_000_000).clock(minute).unwrap_err().to_string();
        assert!(error.contains("it would be over"), "{error}");
        assert!(at(now_us - 61_000_000).clock(None).is_ok(), "a load without an end is never over");
        let told = |unix_us| at(unix_us).clock(minute).unwrap().1;
        assert!(told(now_us - 30_000_000).unwrap().contains("agent_late"));
        assert!(told(now_us + 30_000_000).unwrap().starts_with("starts at "));
        let (clock, nothing) = Division { part: None, start_at: None }.clock(minute).unwrap();
        assert!(nothing.is_none() && clock.until_epoch().is_zero());
    }
}
