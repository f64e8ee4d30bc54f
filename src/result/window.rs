//! One second of a run in the model of results.

use crate::model::{Codes, WindowLatency, WindowRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Length of a window, but for what a worker may be early.
const WHOLE: Duration = Duration::from_millis(900);

/// One second of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WindowSummary {
    /// When it ended, in seconds since the start.
    pub at_s: f64,
    /// True if it is shorter than a second, as the last one mostly is: its counts are not those of a second.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Arrivals that became due.
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
    #[serde(default)]
    pub cut_short: u64,
    /// Arrivals that were skipped.
    pub skipped: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Median of connect, in microseconds.
    pub connect_p50_us: u64,
    /// 90th percentile of connect, in microseconds.
    #[serde(default)]
    pub connect_p90_us: u64,
    /// 99th percentile of connect, in microseconds.
    pub connect_p99_us: u64,
    /// Largest connect, in microseconds.
    pub connect_max_us: u64,
    /// 99th percentile of the connect() call alone, in microseconds.
    pub connect_call_p99_us: u64,
    /// 99th percentile of the lateness, in microseconds.
    pub lateness_p99_us: u64,
    /// 99th percentile of the lateness of messages, in microseconds; absent where none had a due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_lateness_p99_us: Option<u64>,
    /// CPU time of the workers, in seconds.
    pub cpu_s: f64,
    /// All connect latencies of the window: compressed HdrHistogram V2, base64. Absent where there is none,
    /// and where it would be long: its percentiles are then all that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_histogram: Option<String>,
    /// Latencies above TCP by name, as in the result's `latency_us`: those of which something was measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub latency_us: BTreeMap<String, WindowLatency>,
    /// What was said, as in the result's `messages`: those numbers that are not 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, u64>,
    /// HTTP statuses of final replies.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub statuses: Codes,
    /// Close codes of WebSockets that the peer closed first.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub closes: Codes,
    /// Steps of conversations by name, those that were done or failed; their times are in `latency_us`, as `step.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, WindowStep>,
    /// Failures by `stage/cause`.
    pub failures: BTreeMap<String, u64>,
    /// State of the kernel at its end; absent where no sample was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelWindow>,
}

/// A step of conversations in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WindowStep {
    /// Number of times that it was done.
    pub done: u64,
    /// Attempts that failed in it.
    pub failed: u64,
}

/// State of the kernel at the end of a window, in the size that a run of an hour can keep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KernelWindow {
    /// When it was looked at, in seconds since the start; absent in results of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_s: Option<f64>,
    /// Ports in use on the fullest tuple; `null` where the sockets could not be seen.
    pub ports_in_use: Option<u64>,
    /// Ports that a tuple can have; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports_usable: Option<u64>,
    /// TIME_WAIT among them; `null` where the sockets could not be seen.
    pub time_wait: Option<u64>,
    /// TIME_WAIT sockets of the whole namespace.
    pub time_wait_total: Option<u64>,
    /// When that tuple will have no port left, as it then seemed, in seconds since the start.
    pub forecast_exhausted_at_s: Option<f64>,
    /// SYN and SYN-ACK segments sent again since the last sample, by all of the namespace.
    pub syn_retransmits: Option<u64>,
    /// Segments of any kind sent again since the last sample, by all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Handshakes that met a full accept queue since the last sample, by all of the namespace.
    pub listen_overflows: Option<u64>,
    /// True if every socket was counted, rather than some that stand for all.
    pub exact: bool,
    /// CPU that the sample cost, in microseconds.
    pub cost_us: f64,
}

impl WindowSummary {
    /// The summaries of windows, each with the last that was seen of the kernel after it and before the next. `steps`: the
    /// names of the steps.
    pub fn all(rows: &[WindowRow], seen: Vec<KernelWindow>, steps: &[String]) -> Vec<WindowSummary> {
        let mut windows: Vec<WindowSummary> =
            rows.iter().map(|row| WindowSummary::of(row, None, steps)).collect();
        for seen in seen {
            // The sample was taken after its window, or after the last of several that ended meanwhile.
            let at_s = seen.at_s.unwrap_or_default();
            if let Some(window) = windows.iter_mut().rev().find(|window| window.at_s <= at_s + 1e-9) {
                window.kernel = Some(seen);
            }
        }
        windows
    }

    /// The summary of a window, with what the kernel showed last.
    pub fn of(row: &WindowRow, kernel: Option<KernelWindow>, steps: &[String]) -> WindowSummary {
        let said =
            row.speech.steps.iter().filter_map(|(at, said)| Some((steps.get(usize::from(*at))?, said)));
        // Steps of one name, in several populations, are one.
        let (mut steps, mut step_times) = (BTreeMap::new(), BTreeMap::new());
        for (name, said) in said {
            let step: &mut WindowStep = steps.entry(name.clone()).or_default();
            (step.done, step.failed) = (step.done + said.done, step.failed + said.failed);
            let Some(latency) = &said.latency else { continue };
            step_times
                .entry(format!("step.{name}"))
                .and_modify(|sum: &mut WindowLatency| sum.join(latency))
                .or_insert_with(|| latency.clone());
        }
        let mut failures = BTreeMap::new();
        for (failure, count) in &row.failures {
            let code = failure.code.map_or(String::new(), |code| format!(" {code}"));
            *failures.entry(format!("{}/{}{code}", failure.stage, failure.cause)).or_insert(0) += count;
        }
        let [connect_p50_us, connect_p90_us, connect_p99_us, connect_max_us] = row.connect_us;
        WindowSummary {
            at_s: row.at.as_secs_f64(),
            partial: row.length < WHOLE,
            planned: row.planned,
            started: row.started,
            opened: row.opened,
            ok: row.ok,
            failed: row.failed,
            cut_short: row.cut_short,
            skipped: row.skipped,
            open: row.open,
            connect_p50_us,
            connect_p90_us,
            connect_p99_us,
            connect_max_us,
            connect_call_p99_us: row.connect_call_p99_us,
            lateness_p99_us: row.lateness_p99_us,
            message_lateness_p99_us: row.message_lateness_p99_us,
            cpu_s: row.cpu.as_secs_f64(),
            connect_histogram: row.connect_histogram.clone(),
            latency_us: row
                .speech
                .latencies
                .iter()
                .map(|(kind, latency)| (kind.name().to_owned(), latency.clone()))
                .chain(step_times)
                .collect(),
            messages: row.speech.messages.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            statuses: row.speech.statuses.clone(),
            closes: row.speech.closes.clone(),
            steps,
            failures,
            kernel,
        }
    }
}
