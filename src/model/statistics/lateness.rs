//! The rule by which a generator was too late for what it measured: with messages, with what came to its sockets.
//!
//! A worker that comes late to a socket measures its own delay as that of the target. A few milliseconds are the
//! machine's, and are in every figure; what is half of a figure, or a stop that anybody would notice, spoils it.
//!
//! A machine that is busy with other things makes some of a worker's looks late, and by much. A worker that has more to
//! read than it can (a peer that floods it) comes late to each of them, if only by a little: so the median tells of it, and
//! does not tell of the machine. It is held against what has a time of its own (pongs, messages with a pace): slots of a
//! closed loop ask for as much as the worker can do.

use super::Tally;
use std::time::Duration;

/// Wait of a socket for its worker that is of no account; time beyond it is added up.
pub const TOO_LATE: Duration = Duration::from_millis(100);
/// Share of the run for which sockets may have waited longer than that.
const LATE_SHARE: f64 = 0.02;
/// The least time of it that counts, in seconds: a hiccup of the machine is none.
const LATE_LEAST_S: f64 = 0.25;
/// 99th percentile of a delay of the generator, in microseconds, below which it counts for nothing: the time for which a
/// busy machine lets a thread wait.
const NOTICED_US: u64 = 20_000;
/// Median of a delay, in microseconds, below which it counts for nothing.
const NOTICED_MEDIAN_US: u64 = 1_000;

/// Delays of the workers of a run at the 99th percentile, in microseconds; `None` where there was nothing
/// to be delayed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Served {
    /// Messages after their due time.
    pub message_lateness_us: Option<u64>,
    /// Delay of what came to sockets, before its worker came to it.
    pub service_lateness_us: Option<u64>,
    /// The longer of round trip and pong: what these delays are in.
    pub measured_us: Option<u64>,
    /// Median delay of what came to sockets.
    pub median_service_us: Option<u64>,
    /// Median delay of messages after their due time.
    pub median_message_us: Option<u64>,
    /// Median time to a pong.
    pub median_pong_us: Option<u64>,
    /// Median round trip from the message's due time.
    pub median_from_due_us: Option<u64>,
    /// Time for which sockets waited longer than [`TOO_LATE`], beyond it, over all workers, in seconds.
    pub late_s: f64,
    /// Workers.
    pub workers: u32,
    /// Length of the run, in seconds.
    pub elapsed_s: f64,
}

/// Reason for which the figures of a run say more of its generator than of its target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Late {
    /// Sockets were left alone for so many seconds of the run, on average over the workers.
    Away(f64),
    /// Messages: the delay at the 99th percentile, in microseconds.
    Messages(u64),
    /// Events at sockets: the delay at the 99th percentile, in microseconds.
    Sockets(u64),
    /// The median delay of an answer by the generator itself, in microseconds.
    Always(u64),
}

impl Served {
    /// Delays of the workers of a run.
    pub fn of(tally: &Tally, workers: u32, elapsed: Duration) -> Served {
        let latencies = &tally.latencies;
        let at = |latency: &super::Latency, q| (latency.count() > 0).then(|| latency.quantile_us(q));
        let p99 = |latency| at(latency, 0.99);
        let median = |latency| at(latency, 0.5);
        Served {
            message_lateness_us: p99(&latencies.message_lateness),
            service_lateness_us: p99(&latencies.service_lateness),
            measured_us: p99(&latencies.round_trip).max(p99(&latencies.pong)),
            median_service_us: median(&latencies.service_lateness),
            median_message_us: median(&latencies.message_lateness),
            median_pong_us: median(&latencies.pong),
            median_from_due_us: median(&latencies.round_trip_from_due),
            late_s: tally.late.as_secs_f64(),
            workers,
            elapsed_s: elapsed.as_secs_f64(),
        }
    }

    /// Reason for which the workers were too late; `None`: they were not.
    pub fn too_late(&self) -> Option<Late> {
        let away_s = self.late_s / f64::from(self.workers.max(1));
        if away_s > LATE_LEAST_S && away_s > self.elapsed_s * LATE_SHARE {
            return Some(Late::Away(away_s));
        }
        // Messages that nobody answers have nothing to be compared with.
        let limit_us = self.measured_us.map_or(TOO_LATE.as_micros() as u64, |us| NOTICED_US.max(us / 2));
        let beyond = |delay: Option<u64>| delay.filter(|us| *us > limit_us);
        beyond(self.message_lateness_us)
            .map(Late::Messages)
            .or_else(|| beyond(self.service_lateness_us).map(Late::Sockets))
            .or_else(|| self.always_late().map(Late::Always))
    }

    /// Median delay of the generator, where it is half of what was measured: of a pong, or of a round trip from due, in
    /// which the delay of the sending is as well.
    fn always_late(&self) -> Option<u64> {
        let service = self.median_service_us?;
        let is_half = |delay: u64, of: Option<u64>| {
            delay > NOTICED_MEDIAN_US && of.is_some_and(|measured| delay >= measured / 2)
        };
        let both = service.saturating_add(self.median_message_us.unwrap_or(0));
        let spoilt = [(service, self.median_pong_us), (both, self.median_from_due_us)];
        spoilt.into_iter().find(|(delay, of)| is_half(*delay, *of)).map(|(delay, _)| delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(message: u64, service: u64, measured: Option<u64>) -> Served {
        Served {
            message_lateness_us: Some(message),
            service_lateness_us: Some(service),
            measured_us: measured,
            median_service_us: Some(0),
            median_message_us: None,
            median_pong_us: None,
            median_from_due_us: None,
            late_s: 0.0,
            workers: 2,
            elapsed_s: 10.0,
        }
    }

    #[test]
    fn a_stop_that_anybody_would_notice_spoils_a_run_and_a_hiccup_does_not() {
        let away = |late_s, elapsed_s| Served { late_s, elapsed_s, ..served(0, 0, None) }.too_late();
        assert_eq!(away(0.45, 2.0), None, "a quarter of a second a worker");
        assert_eq!(away(0.6, 10.0), Some(Late::Away(0.3)));
        assert_eq!(away(0.6, 20.0), None, "2 % of it");
        assert_eq!(away(5.8, 8.0), Some(Late::Away(2.9)), "stopped for 3 of 8 s, two workers");
    }

    #[test]
    fn a_peer_that_floods_its_worker_spoils_what_others_are_measured_by_however_little_it_is() {
        let judged = |service, median_pong_us| {
            let median_service_us = Some(service);
            Served { median_service_us, median_pong_us, ..served(0, 9_000, Some(12_000)) }.too_late()
        };
        // 60 µs without the flood, 10.6 ms with it.
        assert_eq!(judged(8_000, Some(10_600)), Some(Late::Always(8_000)));
        assert_eq!(judged(1_100, Some(900)), Some(Late::Always(1_100)));
        assert_eq!(judged(900, Some(1_000)), None, "less than anybody would notice");
        assert_eq!(judged(3_000, Some(50_000)), None, "the target's part is the larger one");
        assert_eq!(judged(3, Some(10_000)), None, "a busy machine is late now and then, and by much");
        assert_eq!(judged(8_000, None), None, "a closed loop asks for all that the worker can do");
    }

    #[test]
    fn a_schedule_of_messages_that_a_worker_cannot_keep_spoils_the_round_trips_from_due() {
        // 400 connections with 1,000 messages a second each, on one worker: medians that were seen.
        let seen = Served {
            median_service_us: Some(2_719),
            median_message_us: Some(2_975),
            median_from_due_us: Some(6_527),
            ..served(19_455, 13_055, Some(17_279))
        };
        assert_eq!(seen.too_late(), Some(Late::Always(5_694)));
        let slow_target = Served { median_from_due_us: Some(60_000), ..seen };
        assert_eq!(slow_target.too_late(), None);
    }

    #[test]
    fn a_delay_spoils_what_it_is_half_of() {
        assert_eq!(served(24_000, 0, Some(40_000)).too_late(), Some(Late::Messages(24_000)));
        assert_eq!(served(0, 24_000, Some(40_000)).too_late(), Some(Late::Sockets(24_000)));
        assert_eq!(
            served(24_000, 24_000, Some(60_000)).too_late(),
            None,
            "the target's part is the larger one"
        );
        assert_eq!(served(19_000, 19_000, Some(19_000)).too_late(), None, "any busy machine is as late");
        assert_eq!(served(90_000, 90_000, None).too_late(), None);
        assert_eq!(served(101_000, 0, None).too_late(), Some(Late::Messages(101_000)));
    }
}
