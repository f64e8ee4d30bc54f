//! What the detectors know of the run before it begins.

use crate::model::{PortSupply, Stamp};
use std::time::Duration;

/// The context on which a run takes place. Pure data; gathered by whoever starts the run.
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
    /// After what time the port of a TIME_WAIT of ours can be taken again: 60 s, or the delay of
    /// `tcp_tw_reuse` where it is at work, or zero for explicit ports with timestamps.
    pub time_wait_blocks: Duration,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub time_wait_cap: Option<u64>,
    /// Whether every destination is an address of this host, so that its counters tell of the target.
    pub target_is_local: bool,
    /// Whether attempts are planned, so that they can be late.
    pub open_loop: bool,
    /// When the run stops opening connections by time. What is closed after that is no churn.
    pub ends_at: Option<Stamp>,
    /// Number of worker threads, or of cores where it is less: what their CPU time is measured against.
    pub cores: u32,
}

/// When a tuple will have no port left, if it goes on like this.
///
/// `now + (usable − used) ÷ growth`, where that comes before the first TIME_WAIT of the run runs out; from
/// then on ports come back as fast as they are taken and nothing grows any more. `growth` is in ports
/// per second.
pub fn forecast(now: Stamp, used: u64, usable: u64, growth: f64, blocks: Duration) -> Option<Stamp> {
    if growth <= 0.0 {
        return None;
    }
    let left = usable.saturating_sub(used) as f64;
    let at = now.as_secs_f64() + left / growth;
    // What began at 0 is free again at `blocks`.
    (at <= blocks.as_secs_f64()).then(|| Duration::from_secs_f64(at))
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
        assert_eq!(forecast(s(5), 500, 1000, 100.0, TIME_WAIT), Some(s(10)));
    }

    #[test]
    fn no_exhaustion_is_forecast_where_ports_come_back_first() {
        // 28,232 ports at 470/s: the last would be taken just when the first comes back.
        assert_eq!(forecast(s(10), 4600, 28_232, 460.0, TIME_WAIT), None);
        assert!(forecast(s(10), 4800, 28_232, 480.0, TIME_WAIT).is_some());
        assert_eq!(forecast(s(1), 10, 1000, 0.0, TIME_WAIT), None);
        assert_eq!(forecast(s(1), 10, 1000, -5.0, TIME_WAIT), None);
    }
}
