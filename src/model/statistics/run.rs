//! Outcome of a run: the engine's whole output, before anybody judges or prints it.

use super::speech::LONGEST_HISTOGRAM;
use super::{Speech, Tally, Window};
use crate::model::{Failure, Slice, Stamp};
use std::net::SocketAddr;
use std::time::Duration;

/// A run as it begins.
#[derive(Debug, Clone, Default)]
pub struct RunStart {
    /// Moment of the beginning by the wall clock: RFC 3339, UTC.
    pub began: String,
    /// The same in microseconds since 1970: what runs of several machines are aligned by.
    pub began_unix_us: u64,
    /// Part of the plan that the run does.
    pub slice: Slice,
    /// Number of workers.
    pub workers: u32,
    /// Where the run connects to: every address of the target's name, with every port.
    pub destinations: Vec<SocketAddr>,
    /// Reason for which the target's name could not be resolved, if it could not.
    pub unresolved: Option<String>,
    /// Source addresses × destinations that the run can use.
    pub tuples: u64,
    /// Source ports that the run can lease on each tuple; `None` where the kernel chooses.
    pub leasable_ports: Option<u64>,
    /// CPU time of this process before the run.
    pub cpu: Duration,
    /// Resident memory of this process before the run, in bytes; 0 where it is not known.
    pub memory: u64,
    /// Memory that the plan allows the process, in bytes; `None`: what can be had.
    pub memory_limit: Option<u64>,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// The run as it began.
    pub start: RunStart,
    /// Time that the run took.
    pub elapsed: Duration,
    /// True if the run was ended from outside.
    pub interrupted: bool,
    /// Arrivals that were due.
    pub planned: u64,
    /// Everything that was counted.
    pub tally: Tally,
    /// The same by window, without the latencies, which are in `tally`.
    pub windows: Vec<WindowRow>,
    /// The most connections open at once, as far as that can be said for sure.
    pub held_max: u64,
    /// The same by population; empty where there is one alone.
    pub populations: Vec<PopulationRun>,
    /// CPU time of this process during the run.
    pub cpu: Duration,
    /// CPU time of the workers alone.
    pub worker_cpu: Duration,
    /// The most resident memory that this process ever had, in bytes; 0 where it is not known.
    pub memory_peak: u64,
    /// Workers that ended before their time, and why; what they had counted is in the tally.
    pub worker_errors: Vec<String>,
}

/// Part of a run that one population of several did.
#[derive(Debug, Clone)]
pub struct PopulationRun {
    /// Its name.
    pub name: String,
    /// Arrivals that were due.
    pub planned: u64,
    /// The most connections open at once.
    pub held_max: u64,
    /// Everything that was counted.
    pub tally: Tally,
    /// The same by window.
    pub windows: Vec<WindowRow>,
}

/// Work of all workers in one window, in the size that a run of an hour can keep.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    /// When it ended.
    pub at: Stamp,
    /// Length of the window: that of the last is what was left.
    pub length: Duration,
    /// Arrivals that became due in it.
    pub planned: u64,
    /// Attempts started.
    pub started: u64,
    /// Attempts that got their connection.
    pub opened: u64,
    /// Attempts that ended well.
    pub ok: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts whose conversation the end of the run cut.
    pub cut_short: u64,
    /// Arrivals that were skipped.
    pub skipped: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Connect latency in microseconds: median, 90th and 99th percentile, maximum.
    pub connect_us: [u64; 4],
    /// All connect latencies of the window, as [`super::Latency::to_base64`] writes them; `None` where there
    /// is none, or where it would be longer than 600 characters.
    pub connect_histogram: Option<String>,
    /// 99th percentile of the connect() call alone, in microseconds.
    pub connect_call_p99_us: u64,
    /// 99th percentile of the lateness, in microseconds.
    pub lateness_p99_us: u64,
    /// 99th percentile of the lateness of messages, in microseconds; `None` where none had a due time.
    pub message_lateness_p99_us: Option<u64>,
    /// Messages, replies and latencies above TCP.
    pub speech: Speech,
    /// CPU time of the workers.
    pub cpu: Duration,
    /// Failures by kind.
    pub failures: Vec<(Failure, u64)>,
}

impl WindowRow {
    /// The row of a window that began at `began`.
    pub fn of(window: &Window, began: Stamp) -> WindowRow {
        let Window { tally, .. } = window;
        let connect = &tally.latencies.connect;
        WindowRow {
            at: window.at,
            length: window.at.saturating_sub(began),
            planned: window.planned,
            started: tally.started(),
            opened: tally.opened(),
            ok: tally.ok(),
            failed: tally.failed(),
            cut_short: tally.cut_short(),
            skipped: tally.skipped(),
            open: window.open,
            connect_us: [
                connect.quantile_us(0.5),
                connect.quantile_us(0.9),
                connect.quantile_us(0.99),
                connect.min_max_us().1,
            ],
            connect_histogram: (connect.count() > 0)
                .then(|| connect.to_base64())
                .filter(|text| text.len() <= LONGEST_HISTOGRAM),
            connect_call_p99_us: tally.latencies.connect_call.quantile_us(0.99),
            lateness_p99_us: tally.latencies.lateness.quantile_us(0.99),
            message_lateness_p99_us: (tally.latencies.message_lateness.count() > 0)
                .then(|| tally.latencies.message_lateness.quantile_us(0.99)),
            speech: Speech::of(tally),
            cpu: window.cpu,
            failures: tally.failures().iter().map(|kind| (kind.failure, kind.count)).collect(),
        }
    }
}

impl Run {
    /// Attempts still in flight at the end: those that were interrupted.
    pub fn in_flight(&self) -> i64 {
        self.tally.in_flight()
    }

    /// True if planned + reconnects = started + skipped, and started = ok + failed + cut short + in flight with nothing in flight
    /// but what an interruption left; otherwise what does not add up.
    ///
    /// # Errors
    /// The equation that does not hold, with its numbers.
    pub fn conservation(&self) -> Result<(), String> {
        self.balance(&self.tally, self.planned)?;
        self.populations.iter().try_for_each(|population| {
            let balance = self.balance(&population.tally, population.planned);
            balance.map_err(|error| format!("population {}: {error}", population.name))
        })
    }

    fn balance(&self, tally: &Tally, planned: u64) -> Result<(), String> {
        let reconnects = tally.traffic.reconnects;
        // A worker that broke down has taken with it what it had begun and not told.
        let is_whole = self.worker_errors.is_empty();
        if is_whole && planned + reconnects != tally.started() + tally.skipped() {
            return Err(format!(
                "planned {planned} + connected again {reconnects} ≠ started {} + skipped {}",
                tally.started(),
                tally.skipped()
            ));
        }
        let was_stopped = self.interrupted || !self.worker_errors.is_empty();
        if tally.in_flight() < 0 || (tally.in_flight() > 0 && !was_stopped) {
            return Err(format!(
                "started {} ≠ ok {} + failed {} + cut short {}, and nothing was interrupted",
                tally.started(),
                tally.ok(),
                tally.failed(),
                tally.cut_short()
            ));
        }
        Ok(())
    }
}
