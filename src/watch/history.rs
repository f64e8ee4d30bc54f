//! Growth of a tuple's ports in use, and when none will be left. Pure: looks and their times are handed in.
//!
//! Between two looks, `taken = used now − (used before − those that came back meanwhile)`. Those that come back are
//! known: the kernel tells the time that each TIME_WAIT has left. The forecast goes on with the mean of `taken`, lets
//! those in use come back when their timers say, and those taken from now on after the time that the rule of
//! TIME_WAIT gives them.

use super::tally::TupleTally;
use crate::model::Stamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Time over which the mean is taken.
const SPAN: Duration = Duration::from_secs(8);
/// Shortest time that says something.
const SHORTEST: Duration = Duration::from_millis(400);
/// Farthest moment that is forecast.
const FARTHEST_S: f64 = 6.0 * 3600.0;
/// Steps of the forecast, in seconds, as long as ports come back.
const STEP_S: f64 = 0.25;

/// Looks at one tuple.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When, and ports taken since the look before; the newest last.
    taken: VecDeque<(Stamp, f64)>,
    last: Option<(Stamp, TupleTally)>,
}

/// Growth of the ports that are taken, as the looks show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// Ports taken a second, beside those that came back.
    pub(super) taken_per_s: f64,
    /// Time until none is left, if it goes on like this.
    pub(super) time_left_s: Option<f64>,
}

impl History {
    /// Takes in a look. One that is not newer than the last says nothing.
    pub(super) fn look(&mut self, at: Stamp, tally: &TupleTally) {
        if let Some((before, last)) = &self.last {
            let over = at.saturating_sub(*before).as_secs_f64();
            if over <= 0.0 {
                return;
            }
            let kept = last.used() as f64 - last.returned_within(over);
            self.taken.push_back((at, tally.used() as f64 - kept));
        } else {
            self.taken.push_back((at, 0.0));
        }
        while self.taken.len() > 2 && at.saturating_sub(self.taken[1].0) >= SPAN {
            self.taken.pop_front();
        }
        self.last = Some((at, tally.clone()));
    }

    /// Growth as of the last look; `None` before there is anything to compare. `usable` are the ports that the tuple
    /// can have, and `kept` the seconds that a port stays taken after close().
    pub(super) fn growth(&self, usable: u64, kept: f64) -> Option<Growth> {
        let (now, tally) = self.last.as_ref()?;
        let (first, _) = self.taken.front()?;
        let over = now.saturating_sub(*first);
        if over < SHORTEST {
            return None;
        }
        let taken: f64 = self.taken.iter().skip(1).map(|(_, taken)| taken).sum();
        let taken_per_s = taken / over.as_secs_f64();
        Some(Growth { taken_per_s, time_left_s: time_left(tally, taken_per_s, usable, kept) })
    }
}

/// Time until no port is left, if ports go on to be taken at a rate. `None`: it does not come to that.
fn time_left(tally: &TupleTally, rate: f64, usable: u64, kept: f64) -> Option<f64> {
    let (used, usable) = (tally.used() as f64, usable as f64);
    if used >= usable {
        return Some(0.0);
    }
    if rate <= 0.0 {
        return None;
    }
    // Of those taken from now on, as many come back after `kept` as do of those in use.
    let comes_back = if used > 0.0 { 1.0 - tally.lasting as f64 / used } else { 0.0 };
    let used_at = |t: f64| {
        let new = rate * (t - comes_back * (t - kept).max(0.0));
        used - tally.returned_within(t) + new
    };
    let settled = (super::tally::SECONDS as f64).max(kept) + 1.0;
    let mut t = 0.0;
    while t < settled {
        let next = t + STEP_S;
        let (before, after) = (used_at(t), used_at(next));
        if after >= usable {
            return Some(t + STEP_S * ((usable - before) / (after - before)).clamp(0.0, 1.0));
        }
        t = next;
    }
    // From here on it is a straight line.
    let slope = rate * (1.0 - comes_back);
    let left = t + (usable - used_at(t)) / slope;
    (slope > rate * 0.01 && left <= FARTHEST_S).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TIME_WAIT;

    fn s(seconds: f64) -> Stamp {
        Duration::from_secs_f64(seconds)
    }

    /// A tuple into which `rate` connections a second were opened and closed at once for `t` seconds.
    fn churn(rate: u32, t: usize) -> TupleTally {
        let mut tally = TupleTally::default();
        for age in 0..t.min(60) {
            tally.returning[59 - age] = rate;
        }
        tally
    }

    fn after(rate: u32, seconds: usize) -> History {
        let mut history = History::default();
        (0..=seconds).for_each(|t| history.look(s(t as f64), &churn(rate, t)));
        history
    }

    #[test]
    fn a_churn_is_forecast_at_half_to_a_second() {
        // 28,232 ports at 500 a second: none left after 56.5 s; half are in use after 28.2 s.
        let growth = after(500, 28).growth(28_232, 60.0).unwrap();
        assert!((growth.taken_per_s - 500.0).abs() < 1.0, "{growth:?}");
        let at = 28.0 + growth.time_left_s.unwrap();
        assert!((at - 56.5).abs() < 1.0, "{at}");
    }

    #[test]
    fn a_churn_that_time_wait_gives_back_in_time_does_not_run_out() {
        // 400 a second need 24,000 ports.
        for seconds in [5, 20, 40, 59, 90] {
            assert_eq!(after(400, seconds).growth(28_232, 60.0).unwrap().time_left_s, None, "{seconds}");
        }
        assert!(after(480, 20).growth(28_232, 60.0).unwrap().time_left_s.is_some());
    }

    #[test]
    fn connections_that_stay_are_forecast_however_long_it_takes() {
        let mut history = History::default();
        let held = |n: u64| TupleTally { lasting: n, ..TupleTally::default() };
        (0..=10).for_each(|t| history.look(s(t as f64), &held(t * 10)));
        let left = history.growth(28_232, 60.0).unwrap().time_left_s.unwrap();
        assert!((left - 2813.2).abs() < 5.0, "{left}");
        let mut steady = History::default();
        (0..=10).for_each(|t| steady.look(s(t as f64), &held(500)));
        assert_eq!(steady.growth(28_232, 60.0).unwrap().time_left_s, None);
        let mut shrinking = History::default();
        (0..=10).for_each(|t| shrinking.look(s(t as f64), &held(500 - t)));
        assert_eq!(shrinking.growth(28_232, 60.0).unwrap().time_left_s, None);
    }

    #[test]
    fn ports_of_earlier_connections_come_back_on_the_way() {
        // 20,000 TIME_WAITs of before end within 10 s; a new churn of 300 a second needs 18,000.
        let mut history = History::default();
        for t in 0..=5usize {
            let mut tally = churn(300, t);
            (0..10 - t).for_each(|second| tally.returning[second] += 2000);
            history.look(s(t as f64), &tally);
        }
        assert_eq!(history.growth(28_232, TIME_WAIT.as_secs_f64()).unwrap().time_left_s, None);
    }

    #[test]
    fn one_look_or_two_at_once_say_nothing() {
        let mut history = History::default();
        history.look(s(1.0), &churn(10, 1));
        history.look(s(1.0), &churn(10, 1));
        assert_eq!(history.growth(100, 60.0), None);
    }
}
