//! TIME_WAIT: it builds up, it becomes steady, it is capped.

use super::tuple::BusyTuple;
use super::{ObservedWindow, RunContext};
use crate::model::{Close, Evidence, Onset, OnsetKind, Stamp};
use crate::observe::run_context::forecast;
use std::collections::VecDeque;

/// Windows over which growth is measured.
const SPAN: usize = 4;
/// Windows in which exhaustion is so near that two samples have to do.
const SOON: u32 = 3;
/// Windows over which nothing may grow for TIME_WAIT to be steady.
const STEADY_SPAN: usize = 8;
/// Share of a tuple's ports that TIME_WAIT has to hold before its growth is worth telling.
const WORTH_TELLING: f64 = 0.02;
/// Change over the span, against its mean, that still counts as steady.
const STEADY_WITHIN: f64 = 0.05;

/// Observations of TIME_WAIT so far.
#[derive(Debug, Default)]
pub(super) struct TimeWait {
    /// Moment, ports that can't be taken of the busiest tuple, TIME_WAIT of it; the newest last.
    seen: VecDeque<(Stamp, u64, u64)>,
    forecast: Option<Stamp>,
    building_told: bool,
    steady_told: bool,
    capped_told: bool,
}

impl TimeWait {
    /// When the fullest tuple will have no port left, as the last window shows it.
    pub(super) fn forecast(&self) -> Option<Stamp> {
        self.forecast
    }

    /// Tells what begins, and when the tuple will have no port left. TIME_WAIT builds up in every churn; it
    /// is told only where the ports will be gone before the run stops opening connections.
    pub(super) fn look(
        &mut self,
        view: &ObservedWindow<'_>,
        context: &RunContext,
        busiest: Option<&BusyTuple>,
        onsets: &mut Vec<Onset>,
    ) -> Option<Stamp> {
        if !context.opens_at(view.window.at.max(view.sample.taken_at)) {
            return self.forecast;
        }
        onsets.extend(self.capped(view, context));
        let Some(tuple) = busiest else {
            self.forecast = None;
            return None;
        };
        self.remember(view.sample.taken_at, tuple.blocked, tuple.time_wait);
        let growth = self.growth(SPAN);
        self.forecast = growth.and_then(|growth| {
            let held = context.open_for.map(|open_for| open_for.saturating_add(tuple.blocks(context)));
            let (used, usable) = (tuple.blocked, tuple.usable);
            (used < usable).then(|| forecast(view.sample.taken_at, used, usable, growth, held))?
        });
        let in_time = self.forecast.is_some_and(|at| context.opens_at(at));
        let worth_telling = tuple.time_wait as f64 >= tuple.usable as f64 * WORTH_TELLING;
        if !self.building_told && in_time && worth_telling && self.builds_up() {
            self.building_told = true;
            let evidence = tuple
                .evidence(context)
                .with_known("growth_per_s", growth)
                .with("time_wait_blocks_s", tuple.blocks(context).as_secs_f64())
                .with_known("forecast_exhausted_at_s", self.forecast.map(|at| at.as_secs_f64()));
            onsets.push(Onset {
                source: Some(tuple.source),
                destination: Some(tuple.destination),
                ..Onset::new(OnsetKind::TimeWaitBuilding, view.now(), evidence)
            });
        }
        if self.building_told && !self.steady_told && view.window.opened > 0 && self.is_steady() {
            self.steady_told = true;
            let evidence = tuple.evidence(context).with("opened_in_this_window", view.window.opened);
            onsets.push(Onset::new(OnsetKind::TimeWaitSteady, view.now(), evidence));
        }
        self.forecast
    }

    fn remember(&mut self, at: Stamp, used: u64, time_wait: u64) {
        // A sample that carries an older look shows nothing new.
        if self.seen.back().is_some_and(|(before, ..)| *before >= at) {
            return;
        }
        self.seen.push_back((at, used, time_wait));
        if self.seen.len() > STEADY_SPAN {
            self.seen.pop_front();
        }
    }

    /// Ports taken per second over the last samples.
    fn growth(&self, span: usize) -> Option<f64> {
        let last = self.seen.back()?;
        let first = self.seen.iter().rev().nth(span - 1).or(self.seen.front())?;
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        (seconds > 0.0).then(|| (last.1 as f64 - first.1 as f64) / seconds)
    }

    /// True if TIME_WAIT grew from each of the last three samples to the next; of the last two, where the
    /// ports will be gone before there can be many more: a forecast is worth most while it lies ahead.
    fn builds_up(&self) -> bool {
        let mut last = self.seen.iter().rev().map(|(at, _, time_wait)| (*at, *time_wait));
        let (Some((now, c)), Some((before, b))) = (last.next(), last.next()) else { return false };
        let soon = self.forecast.is_some_and(|at| at < now + SOON * now.saturating_sub(before));
        b < c && (soon || last.next().is_some_and(|(_, a)| a < b))
    }

    fn is_steady(&self) -> bool {
        if self.seen.len() < STEADY_SPAN {
            return false;
        }
        let counts = self.seen.iter().map(|(_, _, time_wait)| *time_wait as f64);
        let (least, most) = counts.fold((f64::MAX, 0.0f64), |(least, most), n| (least.min(n), most.max(n)));
        most > 0.0 && most - least <= most * STEADY_WITHIN
    }

    fn capped(&mut self, view: &ObservedWindow<'_>, context: &RunContext) -> Option<Onset> {
        let destroyed = view.delta?.counters?.time_wait_overflow;
        // The counter is everybody's: ours are among them only where we close first, and did.
        let ours = context.supply.close() == Close::Fin && view.window.opened > 0;
        if self.capped_told || destroyed == 0 || !ours {
            return None;
        }
        self.capped_told = true;
        let evidence = Evidence::default()
            .with("destroyed_in_this_window", destroyed)
            .with_known("tcp_max_tw_buckets", context.time_wait_cap)
            .with_known("time_wait_of_the_namespace", view.sample.sockets.map(|sockets| sockets.time_wait));
        Some(Onset::new(OnsetKind::TimeWaitCapped, view.now(), evidence))
    }
}
