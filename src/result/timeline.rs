//! The windows of several runs on one timeline, by the wall clock.
//!
//! A window of a run lies in that second of the whole in which its middle lies: so each is counted once,
//! and no sum is lost, whatever the difference of their starts. Runs are added one after the other, in any order: a
//! second is kept as sums, so that a thousand runs of an hour take the memory of one.

use crate::model::Latency;
use crate::result::model::{KernelWindow, WindowSummary};
use crate::result::windows::add;
use std::collections::BTreeMap;

/// Length of a window, in seconds.
const LENGTH_S: f64 = 1.0;

/// The windows of one run.
pub(super) struct Track<'a> {
    /// Seconds from the common start to its own.
    pub(super) offset_s: f64,
    /// Host of the track: what the kernel showed to several runs on one host is the same.
    pub(super) host: &'a str,
    /// Windows of the track.
    pub(super) windows: &'a [WindowSummary],
}

/// All windows, second by second.
#[derive(Debug)]
pub(super) struct Timeline {
    seconds: BTreeMap<u64, Second>,
    /// Runs that are still to come, by host.
    expected: BTreeMap<String, usize>,
    /// Second by second what the kernel showed on a host of which more runs are to come.
    incomplete: BTreeMap<String, BTreeMap<u64, KernelWindow>>,
}

/// Sums of one second.
#[derive(Debug, Default)]
struct Second {
    /// Windows in it, added up; `None` where there is none.
    sum: Option<WindowSummary>,
    /// When the last of them ended.
    last_at_s: f64,
    /// Connect latencies of its windows.
    connect: Latency,
    /// Some window connected something and has no histogram of it.
    lacks_histogram: bool,
    /// Connections more that are open from here on than in the second before, of runs that go on beyond it.
    opened: i128,
    /// Runs that end in it: when, and with how many open.
    ending: Vec<(f64, u64)>,
    /// State of the kernels of hosts of which no more runs are to come.
    kernel: Option<KernelWindow>,
}

impl Timeline {
    /// No windows yet, of runs of which this many are to come from each host.
    pub(super) fn new(expected: BTreeMap<String, usize>) -> Timeline {
        Timeline { seconds: BTreeMap::new(), expected, incomplete: BTreeMap::new() }
    }

    /// Adds the windows of a run.
    pub(super) fn add(&mut self, track: &Track<'_>) {
        let end_s = track.windows.last().map_or(0.0, |last| last.at_s + track.offset_s);
        let last_second = second_of(end_s);
        let (mut from_s, mut open) = (0.0, 0);
        for window in track.windows {
            let second = second_of(track.offset_s + f64::midpoint(from_s, window.at_s));
            from_s = window.at_s;
            let entry = self.seconds.entry(second).or_default();
            entry.window(window, window.at_s + track.offset_s);
            if second < last_second {
                entry.opened += i128::from(window.open) - i128::from(open);
                open = window.open;
            }
        }
        if let Some(last) = track.windows.last() {
            let entry = self.seconds.entry(last_second).or_default();
            entry.opened -= i128::from(open);
            entry.ending.push((end_s, last.open));
        }
        self.kernels(track);
    }

    /// State of the kernel as a run saw it: of several runs on one host the larger figure, of several hosts the sum where
    /// it is about the whole host. The fullest tuple is the fullest of all.
    fn kernels(&mut self, track: &Track<'_>) {
        let mut host = self.incomplete.remove(track.host).unwrap_or_default();
        let mut from_s = 0.0;
        for window in track.windows {
            let second = second_of(track.offset_s + f64::midpoint(from_s, window.at_s));
            from_s = window.at_s;
            let Some(kernel) = &window.kernel else { continue };
            let mut kernel = kernel.clone();
            kernel.forecast_exhausted_at_s = kernel.forecast_exhausted_at_s.map(|at| at + track.offset_s);
            host.entry(second)
                .and_modify(|known| *known = both(known, &kernel, |a, b| a.max(b)))
                .or_insert(kernel);
        }
        let left = self.expected.get_mut(track.host);
        let more = left.is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        if more {
            self.incomplete.insert(track.host.to_owned(), host);
        } else {
            self.host(host);
        }
    }

    /// Adds what the kernel of one host showed.
    fn host(&mut self, host: BTreeMap<u64, KernelWindow>) {
        for (second, kernel) in host {
            let entry = self.seconds.entry(second).or_default();
            entry.kernel = Some(match entry.kernel.take() {
                Some(known) => both(&known, &kernel, u64::saturating_add),
                None => kernel,
            });
        }
    }

    /// All windows, added up second by second.
    pub(super) fn finish(mut self) -> Vec<WindowSummary> {
        for host in std::mem::take(&mut self.incomplete).into_values() {
            self.host(host);
        }
        let mut open: i128 = 0;
        let each = self.seconds.into_iter().filter_map(|(number, second)| {
            open += second.opened;
            second.finish(number, open)
        });
        each.collect()
    }
}

/// The second in which a moment lies. Never negative, and far below 2^53.
fn second_of(at_s: f64) -> u64 {
    (at_s / LENGTH_S).floor().max(0.0) as u64
}

impl Second {
    /// Adds a window, which ends at this moment of the whole.
    fn window(&mut self, window: &WindowSummary, at_s: f64) {
        match &mut self.sum {
            Some(sum) => add(sum, window),
            None => {
                let (connect_histogram, kernel) = (None, None);
                self.sum = Some(WindowSummary { connect_histogram, kernel, ..window.clone() });
            }
        }
        self.last_at_s = self.last_at_s.max(at_s);
        if window.opened > 0 {
            match window.connect_histogram.as_deref().and_then(Latency::from_base64) {
                Some(latency) => self.connect.merge(&latency),
                None => self.lacks_histogram = true,
            }
        }
    }

    /// The second as one window; `open`: connections of the runs that go on beyond it.
    fn finish(self, number: u64, open: i128) -> Option<WindowSummary> {
        let mut whole = self.sum?;
        whole.at_s = self.last_at_s.min((number + 1) as f64 * LENGTH_S);
        let alive = self.ending.iter().filter(|(ends_s, _)| *ends_s + 1e-9 >= whole.at_s);
        let open = alive.fold(open, |sum, (_, open)| sum + i128::from(*open));
        whole.open = u64::try_from(open.max(0)).unwrap_or(u64::MAX);
        if self.connect.count() > 0 && !self.lacks_histogram {
            whole.connect_p50_us = self.connect.quantile_us(0.5);
            whole.connect_p90_us = self.connect.quantile_us(0.9);
            whole.connect_p99_us = self.connect.quantile_us(0.99);
            whole.connect_max_us = self.connect.min_max_us().1;
            whole.connect_histogram = Some(self.connect.to_base64());
        }
        whole.kernel = self.kernel;
        Some(whole)
    }
}

/// Two of them; `of_hosts` puts figures of whole hosts together.
fn both(a: &KernelWindow, b: &KernelWindow, of_hosts: impl Fn(u64, u64) -> u64) -> KernelWindow {
    let together = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(of_hosts(a, b)),
        (a, b) => a.or(b),
    };
    let fullest = if a.ports_in_use >= b.ports_in_use { a } else { b };
    let soonest = match (a.forecast_exhausted_at_s, b.forecast_exhausted_at_s) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    KernelWindow {
        time_wait_total: together(a.time_wait_total, b.time_wait_total),
        syn_retransmits: together(a.syn_retransmits, b.syn_retransmits),
        retransmits: together(a.retransmits, b.retransmits),
        listen_overflows: together(a.listen_overflows, b.listen_overflows),
        forecast_exhausted_at_s: soonest,
        exact: a.exact && b.exact,
        cost_us: a.cost_us + b.cost_us,
        ..fullest.clone()
    }
}
