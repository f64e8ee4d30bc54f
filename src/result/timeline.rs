//! The windows of several runs on one timeline, by the wall clock.
//!
//! A window of a run lies in that second of the whole in which its middle lies: so each is counted once,
//! and no sum is lost, whatever the difference of their starts.

use crate::result::model::{KernelWindow, WindowSummary};
use crate::result::windows::{add, percentiles_together};
use std::collections::BTreeMap;

/// Length of a window, in seconds.
const LENGTH_S: f64 = 1.0;

/// The windows of one run.
pub(super) struct Track<'a> {
    /// Seconds from the common start to its own.
    pub(super) offset_s: f64,
    /// Host of the track: what the kernel showed to several runs on one host is the same.
    pub(super) host: String,
    /// Windows of the track.
    pub(super) windows: &'a [WindowSummary],
}

/// All windows, added up second by second.
pub(super) fn aligned(tracks: &[Track<'_>]) -> Vec<WindowSummary> {
    let mut seconds = BTreeMap::<u64, Vec<(usize, WindowSummary)>>::new();
    for (n, track) in tracks.iter().enumerate() {
        let mut from = 0.0;
        for window in track.windows {
            let middle = track.offset_s + f64::midpoint(from, window.at_s);
            from = window.at_s;
            let mut moved = window.clone();
            moved.at_s += track.offset_s;
            if let Some(kernel) = &mut moved.kernel {
                kernel.forecast_exhausted_at_s = kernel.forecast_exhausted_at_s.map(|at| at + track.offset_s);
            }
            // Never negative, and far below 2^53.
            seconds.entry((middle / LENGTH_S).floor().max(0.0) as u64).or_default().push((n, moved));
        }
    }
    let mut open = Open::of(tracks);
    seconds.into_iter().filter_map(|(second, group)| joined(second, group, tracks, &mut open)).collect()
}

/// Connections that each run had open when it was last seen.
struct Open {
    last: Vec<u64>,
    /// When each run ends, on the common timeline.
    ends_s: Vec<f64>,
}

impl Open {
    fn of(tracks: &[Track<'_>]) -> Open {
        let end = |track: &Track<'_>| track.windows.last().map_or(0.0, |last| last.at_s + track.offset_s);
        Open { last: vec![0; tracks.len()], ends_s: tracks.iter().map(end).collect() }
    }

    /// All that is open at a moment, runs that have ended left out.
    fn at(&self, at_s: f64) -> u64 {
        let alive = self.last.iter().zip(&self.ends_s).filter(|(_, ends_s)| **ends_s + 1e-9 >= at_s);
        alive.fold(0, |sum, (open, _)| sum.saturating_add(*open))
    }
}

fn joined(
    second: u64,
    group: Vec<(usize, WindowSummary)>,
    tracks: &[Track<'_>],
    open: &mut Open,
) -> Option<WindowSummary> {
    let windows: Vec<WindowSummary> = group.iter().map(|(_, window)| window.clone()).collect();
    let (first, rest) = windows.split_first()?;
    let mut whole = first.clone();
    rest.iter().for_each(|window| add(&mut whole, window));
    group.iter().for_each(|(n, window)| open.last[*n] = window.open);
    let last = windows.iter().map(|window| window.at_s).fold(0.0, f64::max);
    whole.at_s = last.min((second + 1) as f64 * LENGTH_S);
    whole.open = open.at(whole.at_s);
    whole.connect_histogram = percentiles_together(&windows, &mut whole);
    whole.kernel = kernels(&group, tracks);
    Some(whole)
}

/// Figures of the kernels: of several runs on one host the larger figure, of several hosts the sum where it
/// is about the whole host. The fullest tuple is the fullest of all.
fn kernels(group: &[(usize, WindowSummary)], tracks: &[Track<'_>]) -> Option<KernelWindow> {
    let mut by_host = BTreeMap::<&str, KernelWindow>::new();
    for (n, window) in group {
        let Some(kernel) = &window.kernel else { continue };
        by_host
            .entry(&tracks[*n].host)
            .and_modify(|known| *known = both(known, kernel, |a, b| a.max(b)))
            .or_insert_with(|| kernel.clone());
    }
    by_host.into_values().reduce(|a, b| both(&a, &b, u64::saturating_add))
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
