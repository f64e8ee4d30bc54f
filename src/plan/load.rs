//! Arrivals from the file's load and the flags that change it.
//!
//! The rules, which `connstorm run --help` and the manual repeat:
//!
//! - `--rate R [--ramp D] [--duration T]` without a file that has `open`: from 0 to R over D (at R from the
//!   first moment where no ramp is asked for), then R for T. T is, where no flag gives it: as long as
//!   `--connections` needs; else the duration of the file's `closed`; else as long as the file's `connections`
//!   need; else [`DEFAULT_DURATION`].
//! - The same with a file that has `open`: its stages are changed. `--rate` scales all their rates so that the
//!   highest is R; `--ramp` sets the length of the first ramp, or puts one in front; `--duration` sets the
//!   length of the last stage that holds a rate, or of the last stage where none does. If all three are
//!   given, or `--rate` with `--connections` and no duration, the flags say everything and the file's stages
//!   are left aside, but for the length of the first ramp.
//! - `--concurrency N [--duration T]`: a closed loop. T is, where no flag gives it: without end if
//!   `--connections` ends it; else as long as the file's load; else without end if the file's `connections`
//!   end it; else [`DEFAULT_DURATION`].
//! - Nothing at all: [`DEFAULT_RATE`] for [`DEFAULT_DURATION`], which no machine minds.

use super::definition::{Arrivals, RateStage, Until};
use super::diagnostics::{Mistake, Place};
use super::field::Placed;
use super::fields::Settings;
use super::session;
use super::stages::arrivals as arrivals_of;
use super::syntax::LONGEST;
use super::units::{Count, Rate};
use std::time::Duration;

/// Rate where none is given, in arrivals per second.
pub const DEFAULT_RATE: f64 = 100.0;
/// Length of a load where nothing says so.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// The arrivals by the rules above, or the mistake that stands against them. `None` as well where a part is bad
/// and has been reported. `last_lives` is how long the last connection lives after it is started, where it ends
/// by itself: a load that is to last for a number of connections lasts until that.
pub(super) fn arrivals(s: &Settings, last_lives: Duration) -> Result<Option<Arrivals>, Mistake> {
    if any_bad(s) {
        return Ok(None);
    }
    if let (Some(open), Some(closed)) = (s.open.given(), s.closed.given()) {
        return Err(given_twice(&open.place, &closed.place));
    }
    if let (Some(_), Some(concurrency)) = (s.rate.given(), s.concurrency.given()) {
        return Err(Mistake::new(concurrency.place.clone(), "--concurrency and --rate exclude each other").help(
            "--rate starts attempts at planned times (open loop); --concurrency starts one when another has ended (closed loop)",
        ));
    }
    let closed = s.concurrency.given().is_some() || (s.rate.is_absent() && s.closed.given().is_some());
    if closed {
        return closed_loop(s).map(Some);
    }
    let stages = match s.open.value() {
        Some(stages) if !flags_say_everything(s) => edited(stages, s)?,
        _ => rebuilt(s, last_lives)?,
    };
    Ok(Some(Arrivals::Open(stages)))
}

/// End of a load of these settings: the number of its attempts where its time was computed from that number.
pub(super) fn until(s: &Settings) -> Until {
    let is_closed = s.concurrency.given().is_some() || (s.rate.is_absent() && s.closed.given().is_some());
    let keeps_stages = s.open.value().is_some() && !flags_say_everything(s);
    match how_long(s) {
        HowLong::Covering(_) if !is_closed && !keeps_stages => Until::Number,
        _ => Until::Time,
    }
}

/// Source of the time for which a rate is held.
enum HowLong<'a> {
    /// A time that is given.
    Time(Duration),
    /// A number of attempts.
    Covering(&'a Placed<Count>),
}

fn how_long(s: &Settings) -> HowLong<'_> {
    let connections = s.connections.given();
    match (s.duration.value(), s.closed.value().and_then(|closed| closed.duration), connections) {
        (Some(duration), _, _) => HowLong::Time(*duration),
        (None, _, Some(connections)) if s.connections.is_from_flag() => HowLong::Covering(connections),
        (None, Some(duration), _) => HowLong::Time(duration),
        (None, None, Some(connections)) => HowLong::Covering(connections),
        (None, None, None) => HowLong::Time(DEFAULT_DURATION),
    }
}

fn any_bad(s: &Settings) -> bool {
    let flags = s.rate.is_bad() || s.concurrency.is_bad() || s.ramp.is_bad() || s.duration.is_bad();
    flags || s.open.is_bad() || s.closed.is_bad() || s.connections.is_bad()
}

fn given_twice(open: &Place, closed: &Place) -> Mistake {
    let (first, second) = match (open, closed) {
        (Place::File(a), Place::File(b)) if a.start > b.start => (closed, open),
        _ => (open, closed),
    };
    Mistake::new(second.clone(), "the load is given twice, as an open and as a closed loop")
        .expected("`open` or `closed`, not both")
        .also(first, "the other load is here")
        .help("`open` starts attempts at planned times; `closed` starts one when another has ended")
}

/// True if nothing of an open loop's stages in the file is left to matter.
fn flags_say_everything(s: &Settings) -> bool {
    let rate = s.rate.given().is_some();
    let duration = s.duration.given().is_some();
    rate && ((duration && s.ramp.given().is_some()) || (!duration && s.connections.is_from_flag()))
}

fn closed_loop(s: &Settings) -> Result<Arrivals, Mistake> {
    if let Some(ramp) = s.ramp.given() {
        return Err(Mistake::new(ramp.place.clone(), "a closed loop has no rate to ramp")
            .help("give --rate for an open loop, or leave --ramp away"));
    }
    let written = s.closed.value();
    let slots = s.concurrency.value().copied().or(written.map(|closed| closed.slots)).unwrap_or(1);
    let file_duration = match (written, s.open.value()) {
        (Some(closed), _) => closed.duration,
        (None, Some(stages)) => Some(stages.iter().map(|stage| stage.over).sum()),
        (None, None) => None,
    };
    let ended_by_flag = s.concurrency.given().is_some() && s.connections.is_from_flag();
    let duration = match s.duration.value() {
        Some(duration) => Some(*duration),
        None if ended_by_flag => None,
        None => file_duration,
    };
    // Attempts that last until the end never come to their number.
    let duration = duration.or(session::sends_until_the_end(s).then_some(DEFAULT_DURATION));
    if duration.is_some() || s.connections.given().is_some() {
        return Ok(Arrivals::Closed { slots, duration });
    }
    match s.closed.given() {
        Some(closed) => Err(Mistake::new(closed.place.clone(), "this load has no end")
            .expected("`duration` here, or `connections` in [load]")
            .help("write closed = { slots = 200, duration = \"30s\" }")),
        None => Ok(Arrivals::Closed { slots, duration: Some(DEFAULT_DURATION) }),
    }
}

/// A ramp and a hold, from the flags and, where they are silent, from the file.
fn rebuilt(s: &Settings, last_lives: Duration) -> Result<Vec<RateStage>, Mistake> {
    let rate = s.rate.value().copied().or(Rate::per_second(DEFAULT_RATE)).unwrap_or(Rate::ZERO);
    let over = s.ramp.value().copied().or_else(|| {
        let stages = s.open.value()?;
        first_ramp(stages).filter(|(_, is_ramp)| *is_ramp).map(|(at, _)| stages[at].over)
    });
    let over = over.unwrap_or_default();
    let ramp = RateStage { from: Rate::ZERO, to: rate, over };
    let held = match how_long(s) {
        HowLong::Time(duration) => duration,
        HowLong::Covering(connections) => covering(&ramp, connections, last_lives)?,
    };
    let hold = RateStage { from: rate, to: rate, over: held };
    Ok([ramp, hold].into_iter().filter(|stage| !stage.over.is_zero()).collect())
}

/// Time for which the ramp's last rate has to be held for so many arrivals in all. One more is allowed for, so
/// that no rounding leaves the last one out; the count itself ends the arrivals, and the run ends when the last
/// connection has ended, or has lived for `last_lives`.
fn covering(
    ramp: &RateStage,
    connections: &Placed<Count>,
    last_lives: Duration,
) -> Result<Duration, Mistake> {
    let wanted = connections.value as f64 + 1.0 - arrivals_of(ramp);
    let seconds = wanted.max(0.0) / ramp.to.as_per_second();
    let held = Duration::try_from_secs_f64(seconds).ok().map(|held| held.saturating_add(last_lives));
    held.filter(|held| *held <= LONGEST).ok_or_else(|| {
        let says = format!("{} connections take longer than 365 days at {}", connections.value, ramp.to);
        Mistake::new(connections.place.clone(), says)
            .help("raise the rate or lower the number of connections")
    })
}

/// The position of the first stage that makes connections, and whether it is a ramp from zero.
fn first_ramp(stages: &[RateStage]) -> Option<(usize, bool)> {
    let first = stages.iter().position(|stage| arrivals_of(stage) > 0.0)?;
    Some((first, stages[first].from == Rate::ZERO))
}

/// The file's stages with each flag's change made to them.
fn edited(stages: &[RateStage], s: &Settings) -> Result<Vec<RateStage>, Mistake> {
    let mut stages = stages.to_vec();
    if let Some(duration) = s.duration.value() {
        let holds = |stage: &RateStage| stage.from == stage.to && stage.to > Rate::ZERO;
        let last = stages.iter().rposition(holds).unwrap_or(stages.len().saturating_sub(1));
        if let Some(stage) = stages.get_mut(last) {
            stage.over = *duration;
        }
    }
    if let Some(ramp) = s.ramp.given() {
        set_ramp(&mut stages, ramp)?;
    }
    if let Some(rate) = s.rate.value() {
        let highest = stages.iter().map(|stage| stage.from.as_per_second().max(stage.to.as_per_second()));
        let highest = highest.fold(0.0, f64::max);
        // The share first: it is at most 1, so that the highest rate becomes exactly what was asked for.
        let scaled = |old: Rate| {
            Rate::per_second(rate.as_per_second() * (old.as_per_second() / highest)).unwrap_or(*rate)
        };
        for stage in &mut stages {
            *stage = RateStage { from: scaled(stage.from), to: scaled(stage.to), over: stage.over };
        }
    }
    Ok(stages)
}

fn set_ramp(stages: &mut Vec<RateStage>, ramp: &Placed<Duration>) -> Result<(), Mistake> {
    let Some((at, is_ramp)) = first_ramp(stages) else { return Ok(()) };
    let to = if is_ramp { stages.remove(at).to } else { stages[at].from };
    if !ramp.value.is_zero() {
        stages.insert(at, RateStage { from: Rate::ZERO, to, over: ramp.value });
    }
    if stages.iter().map(arrivals_of).sum::<f64>() <= 0.0 {
        return Err(Mistake::new(ramp.place.clone(), "nothing is left of the load without its ramp")
            .help("give --rate and --duration for a load that holds a rate"));
    }
    Ok(())
}
