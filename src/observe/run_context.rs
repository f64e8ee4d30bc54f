//! Knowledge that the detectors have of the run before it begins.

use crate::model::{Kept, PortSupply, Stamp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Facts about a run that are known before it begins. Pure data; gathered by whoever starts the run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunContext {
    /// The source ports of the run, less what was held of them before it.
    pub supply: PortSupply,
    /// Ports that one (source, destination) tuple can have; `None` where nobody can say.
    pub usable_ports: Option<u32>,
    /// Ports of the range that are reserved.
    pub reserved_ports: u32,
    /// Tuples that the run can use.
    pub tuples: u64,
    /// Part of the attempts that the busiest tuple gets.
    pub largest_share: f64,
    /// Time that a connection is open, on average; `None`: to the end of the run.
    pub open_for: Option<Duration>,
    /// `net.ipv4.tcp_fin_timeout`: the time in FIN_WAIT_2 where the peer does not close.
    pub fin_timeout: Duration,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub time_wait_cap: Option<u64>,
    /// True if every destination is an address of this host, so that its counters tell of the target.
    pub target_is_local: bool,
    /// True if attempts are planned, so that they can be late.
    pub open_loop: bool,
    /// When the run stops opening connections by time. What is closed after that is no churn.
    pub ends_at: Option<Stamp>,
    /// Number of worker threads, or of cores where it is less: what their CPU time is measured against.
    pub cores: u32,
}

impl RunContext {
    /// True if connections from here to there are what is watched.
    pub fn is_ours(&self, source: IpAddr, destination: SocketAddr) -> bool {
        self.supply.has(source, destination)
    }

    /// True if connections are still opened at a moment.
    pub fn opens_at(&self, at: Stamp) -> bool {
        self.ends_at.is_none_or(|end| at < end)
    }

    /// The rate that the ports of a tuple sustain where `tcp_tw_reuse` gives them back, a ceiling rather than a
    /// wall: ports ÷ (lifetime + delay), in attempts a second of the whole run, of which the busiest tuple gets
    /// the largest share. `None` where reuse is not at work.
    pub fn ceiling_per_s(&self, source: IpAddr, destination: IpAddr) -> Option<f64> {
        let Kept::Reused(delay) = self.supply.kept(source, destination) else { return None };
        let held_for = self.open_for?.saturating_add(delay).as_secs_f64();
        let rate = self.supply.takeable() as f64 / held_for / self.largest_share;
        rate.is_finite().then_some(rate)
    }
}

/// When a tuple will have no port left, if it goes on like this.
///
/// `now + (usable − used) ÷ growth`, where that comes before the first port of the run comes back, which is
/// held for `held` (`None`: to the end); from then on ports come back as fast as they are taken and nothing
/// grows any more. `growth` is in ports per second.
pub fn forecast(now: Stamp, used: u64, usable: u64, growth: f64, held: Option<Duration>) -> Option<Stamp> {
    if growth <= 0.0 {
        return None;
    }
    let left = usable.saturating_sub(used) as f64;
    let at = now.as_secs_f64() + left / growth;
    // What began at 0 is free again at `held`.
    held.is_none_or(|held| at <= held.as_secs_f64()).then(|| Duration::try_from_secs_f64(at).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TIME_WAIT;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_churn_is_forecast_to_the_second() {
        assert_eq!(forecast(s(5), 500, 1000, 100.0, Some(TIME_WAIT)), Some(s(10)));
    }

    #[test]
    fn no_exhaustion_is_forecast_where_ports_come_back_first() {
        // 28,232 ports at 470/s: the last would be taken just when the first comes back.
        assert_eq!(forecast(s(10), 4600, 28_232, 460.0, Some(TIME_WAIT)), None);
        assert!(forecast(s(10), 4800, 28_232, 480.0, Some(TIME_WAIT)).is_some());
        assert_eq!(forecast(s(1), 10, 1000, 0.0, Some(TIME_WAIT)), None);
        assert_eq!(forecast(s(1), 10, 1000, -5.0, Some(TIME_WAIT)), None);
    }
}
