//! Ports of a tuple: the search becomes slow, they run low, they run out, they come back.

use super::tuple::{self, BusyTuple, RecentCloses};
use super::{ObservedWindow, RunContext};
use crate::model::{
    Cause, Evidence, FailureTally, Kept, Onset, OnsetKind, PORTS_LOW, SlowSearch, Stage, Stamp,
};
use std::time::Duration;

/// Windows without a failure after which ports have recovered: one alone may be luck.
const QUIET_WINDOWS: u32 = 2;

/// State of what was told.
#[derive(Debug, Default)]
pub(super) struct Ports {
    search_told: bool,
    low_told: bool,
    exhausted: Exhaustion,
}

/// Progress of exhaustion.
#[derive(Debug, Default)]
enum Exhaustion {
    #[default]
    None,
    Lasting {
        /// Failures for lack of a port that were counted when it was last looked at.
        counted: u64,
        /// Windows with openings and without such a failure since, and when the first of them began.
        quiet: u32,
        since: Stamp,
    },
    /// With the failures counted until then.
    Over(u64),
}

/// Knowledge that the detectors share about a window.
pub(super) struct Look<'a> {
    pub(super) view: &'a ObservedWindow<'a>,
    pub(super) context: &'a RunContext,
    pub(super) closes: &'a RecentCloses,
    pub(super) busiest: Option<BusyTuple>,
    /// The moment at which that tuple will have no port left.
    pub(super) forecast: Option<Stamp>,
}

impl Ports {
    pub(super) fn look(&mut self, look: &Look<'_>, onsets: &mut Vec<Onset>) {
        onsets.extend(self.search(look));
        // Low is only worth telling before they are out.
        if for_want_of_a_port(look.view).next().is_none() {
            onsets.extend(self.low(look));
        }
        onsets.extend(self.exhaustion(look));
    }

    fn search(&mut self, look: &Look<'_>) -> Option<Onset> {
        let slow = look.view.totals.slow_searches().first().filter(|_| !self.search_told)?;
        self.search_told = true;
        Some(slow_search(slow, look))
    }

    fn low(&mut self, look: &Look<'_>) -> Option<Onset> {
        let tuple = look.busiest?;
        let few = (tuple.blocked as f64) < tuple.usable as f64 * PORTS_LOW;
        // A look that came late may show what the run has closed at its end.
        let seen_at = look.view.window.at.max(look.view.sample.taken_at);
        if self.low_told || few || !look.context.opens_at(seen_at) {
            return None;
        }
        self.low_told = true;
        let evidence = tuple
            .evidence(look.context)
            .with_known("forecast_exhausted_at_s", look.forecast.map(|at| at.as_secs_f64()));
        Some(Onset {
            source: Some(tuple.source),
            destination: Some(tuple.destination),
            ..Onset::new(OnsetKind::PortsLow, look.view.now(), evidence)
        })
    }

    fn exhaustion(&mut self, look: &Look<'_>) -> Option<Onset> {
        let view = look.view;
        let counted: u64 = for_want_of_a_port(view).map(|kind| kind.count).sum();
        match &mut self.exhausted {
            Exhaustion::None => {
                let first =
                    for_want_of_a_port(view).min_by_key(|kind| (kind.first_at, kind.first_ordinal))?;
                if is_no_want_of_a_port(first, look) {
                    return None;
                }
                self.exhausted = Exhaustion::Lasting { counted, quiet: 0, since: view.window.at };
                Some(exhausted(first, look))
            }
            Exhaustion::Over(before) if counted > *before => {
                let again = counted - *before;
                self.exhausted = Exhaustion::Lasting { counted, quiet: 0, since: view.window.at };
                let evidence =
                    look.busiest.map_or_else(Evidence::default, |tuple| tuple.evidence(look.context));
                let evidence = evidence.with("failed_for_want_of_a_port_again", again);
                Some(Onset::new(OnsetKind::PortsExhausted, view.now(), evidence))
            }
            Exhaustion::Over(_) => None,
            Exhaustion::Lasting { counted: before, quiet, since } if counted > *before => {
                (*before, *quiet, *since) = (counted, 0, view.window.at);
                None
            }
            Exhaustion::Lasting { quiet, since, .. } if view.window.opened > 0 => {
                *quiet += 1;
                // At a ceiling of reuse some windows have no failure by chance.
                let ceiling = look.busiest.map_or(Duration::ZERO, |t| settles(&t, look.context));
                if *quiet < QUIET_WINDOWS || view.window.at.saturating_sub(*since) < ceiling {
                    return None;
                }
                self.exhausted = Exhaustion::Over(counted);
                let evidence = Evidence::default()
                    .with("failed_for_want_of_a_port", counted)
                    .with("opened_in_this_window", view.window.opened);
                Some(Onset::new(OnsetKind::PortsRecovered, view.now(), evidence))
            }
            Exhaustion::Lasting { .. } => None,
        }
    }
}

/// Time without a failure after which a ceiling is no longer met.
fn settles(tuple: &BusyTuple, context: &RunContext) -> Duration {
    match context.supply.kept(tuple.source, tuple.destination.ip()) {
        Kept::Reused(delay) => 2 * delay,
        Kept::Free | Kept::TimeWait => Duration::ZERO,
    }
}

/// Failures that mean: no port left. EADDRNOTAVAIL from bind() is not one; there the address is not ours.
fn for_want_of_a_port<'a>(view: &ObservedWindow<'a>) -> impl Iterator<Item = &'a FailureTally> {
    view.totals.failures().iter().filter(|kind| {
        matches!(
            (kind.failure.stage, kind.failure.cause),
            (Stage::Connect, Cause::AddressNotAvailable)
                | (Stage::Bind, Cause::AddressInUse)
                | (Stage::Lease, Cause::NoFreePort)
        )
    })
}

/// EADDRNOTAVAIL from the first attempt on, with hardly a port taken: IPv6 is off, or there is no source address.
fn is_no_want_of_a_port(first: &FailureTally, look: &Look<'_>) -> bool {
    let few = look.busiest.is_none_or(|tuple| tuple.blocked * 10 < tuple.usable);
    let held = look.context.supply.bound() > 0;
    first.failure.cause == Cause::AddressNotAvailable
        && first.first_ordinal == 0
        && look.view.totals.opened() == 0
        && few
        && !held
}

fn slow_search(slow: &SlowSearch, look: &Look<'_>) -> Onset {
    let of_lease = tuple::of(slow.lease.source, slow.lease.destination, look.view, look.context, look.closes);
    let tuple = of_lease.or(look.busiest);
    let evidence = tuple
        .map_or_else(Evidence::default, |tuple| tuple.evidence(look.context))
        .with_known("connect_call_before_us", slow.before.map(|before| before.as_secs_f64() * 1e6))
        .with("connect_call_after_us", slow.after.as_secs_f64() * 1e6)
        .with_known(
            "forecast_exhausted_at_s",
            look.forecast.filter(|at| *at > slow.at).map(|at| at.as_secs_f64()),
        );
    Onset {
        ordinal: Some(slow.ordinal),
        source: slow.lease.source.or(tuple.map(|tuple| tuple.source)),
        destination: Some(slow.lease.destination),
        ..Onset::new(OnsetKind::PortSearchSlow, slow.at, evidence)
    }
}

fn exhausted(first: &FailureTally, look: &Look<'_>) -> Onset {
    let lease = first.samples.first().map(|sample| sample.lease);
    let of_lease = lease
        .and_then(|lease| tuple::of(lease.source, lease.destination, look.view, look.context, look.closes));
    let tuple = of_lease.or(look.busiest);
    // A look that came when the run had closed its connections, or when others had ended, shows another moment.
    let shows_it = |tuple: &BusyTuple| {
        look.context.opens_at(look.view.sample.taken_at) && tuple.sockets() * 10 >= tuple.usable * 9
    };
    let evidence = match tuple.filter(shows_it) {
        Some(tuple) => tuple.evidence(look.context),
        None => {
            let pair = lease.and_then(|lease| Some((lease.source?, lease.destination.ip())));
            let pair = pair.or(look.busiest.map(|tuple| (tuple.source, tuple.destination.ip())));
            Evidence::default()
                .with_known("ports_usable", look.context.usable_ports)
                .with_known("ceiling_per_s", pair.and_then(|(from, to)| look.context.ceiling_per_s(from, to)))
        }
    };
    Onset {
        ordinal: Some(first.first_ordinal),
        source: lease.and_then(|lease| lease.source).or(tuple.map(|tuple| tuple.source)),
        destination: lease.map(|lease| lease.destination),
        ..Onset::new(
            OnsetKind::PortsExhausted,
            first.first_at,
            evidence.with("failure", first.failure.to_string()),
        )
    }
}
