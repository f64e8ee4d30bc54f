//! Ports of a tuple: the search becomes slow, they run low, they run out, they come back.

use super::{ObservedWindow, RunContext, occupation};
use crate::linux::tuple_usage::TupleCount;
use crate::model::{Cause, Evidence, FailureTally, Onset, OnsetKind, SlowSearch, Stage, Stamp};

/// Share at which ports are low.
const LOW_SHARE: f64 = 0.8;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Ports {
    search_told: bool,
    low_told: bool,
    exhausted: Exhaustion,
}

/// How far exhaustion has come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Exhaustion {
    #[default]
    None,
    /// With the failures for want of a port that were counted when it was last looked at.
    Lasting(u64),
    Over,
}

impl Ports {
    /// `forecast` is the moment at which the fullest tuple will have no port left.
    pub(super) fn look(
        &mut self,
        view: &ObservedWindow<'_>,
        context: &RunContext,
        forecast: Option<Stamp>,
        onsets: &mut Vec<Onset>,
    ) {
        let fullest = view.fullest();
        onsets.extend(self.search(view, context, fullest.as_ref(), forecast));
        // Low is only worth telling before they are out.
        if for_want_of_a_port(view).next().is_none() {
            onsets.extend(self.low(view, context, fullest.as_ref(), forecast));
        }
        onsets.extend(self.exhaustion(view, context, fullest.as_ref()));
    }

    fn search(
        &mut self,
        view: &ObservedWindow<'_>,
        context: &RunContext,
        fullest: Option<&TupleCount>,
        forecast: Option<Stamp>,
    ) -> Option<Onset> {
        let slow = view.totals.slow_searches().first().filter(|_| !self.search_told)?;
        self.search_told = true;
        Some(slow_search(slow, fullest, context, forecast.filter(|at| *at > slow.at)))
    }

    fn low(
        &mut self,
        view: &ObservedWindow<'_>,
        context: &RunContext,
        fullest: Option<&TupleCount>,
        forecast: Option<Stamp>,
    ) -> Option<Onset> {
        let (tuple, usable) = (fullest?, context.usable_ports?);
        if self.low_told || (tuple.sockets.total() as f64) < f64::from(usable) * LOW_SHARE {
            return None;
        }
        self.low_told = true;
        let evidence = occupation(tuple, context)
            .with_known("forecast_exhausted_at_s", forecast.map(|at| at.as_secs_f64()));
        Some(about(tuple, OnsetKind::PortsLow, view.now(), evidence))
    }

    fn exhaustion(
        &mut self,
        view: &ObservedWindow<'_>,
        context: &RunContext,
        fullest: Option<&TupleCount>,
    ) -> Option<Onset> {
        let counted: u64 = for_want_of_a_port(view).map(|kind| kind.count).sum();
        match self.exhausted {
            Exhaustion::None => {
                let first =
                    for_want_of_a_port(view).min_by_key(|kind| (kind.first_at, kind.first_ordinal))?;
                self.exhausted = Exhaustion::Lasting(counted);
                Some(exhausted(first, fullest, context))
            }
            Exhaustion::Lasting(before) if counted > before => {
                self.exhausted = Exhaustion::Lasting(counted);
                None
            }
            Exhaustion::Lasting(_) if view.window.opened > 0 => {
                self.exhausted = Exhaustion::Over;
                let evidence = Evidence::default()
                    .with("failed_for_want_of_a_port", counted)
                    .with("opened_in_this_window", view.window.opened);
                Some(Onset::new(OnsetKind::PortsRecovered, view.now(), evidence))
            }
            Exhaustion::Lasting(_) | Exhaustion::Over => None,
        }
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

fn slow_search(
    slow: &SlowSearch,
    fullest: Option<&TupleCount>,
    context: &RunContext,
    forecast: Option<Stamp>,
) -> Onset {
    let evidence = fullest
        .map_or_else(Evidence::default, |tuple| occupation(tuple, context))
        .with_known("connect_call_before_us", slow.before.map(|before| before.as_secs_f64() * 1e6))
        .with("connect_call_after_us", slow.after.as_secs_f64() * 1e6)
        .with_known("forecast_exhausted_at_s", forecast.map(|at| at.as_secs_f64()));
    Onset {
        ordinal: Some(slow.ordinal),
        source: slow.lease.source.or(fullest.map(|tuple| tuple.source)),
        destination: Some(slow.lease.destination),
        ..Onset::new(OnsetKind::PortSearchSlow, slow.at, evidence)
    }
}

fn exhausted(first: &FailureTally, fullest: Option<&TupleCount>, context: &RunContext) -> Onset {
    let evidence = fullest.map_or_else(Evidence::default, |tuple| occupation(tuple, context));
    let lease = first.samples.first().map(|sample| sample.lease);
    Onset {
        ordinal: Some(first.first_ordinal),
        source: lease.and_then(|lease| lease.source).or(fullest.map(|tuple| tuple.source)),
        destination: lease.map(|lease| lease.destination),
        ..Onset::new(
            OnsetKind::PortsExhausted,
            first.first_at,
            evidence.with("failure", first.failure.to_string()),
        )
    }
}

fn about(tuple: &TupleCount, kind: OnsetKind, at: Stamp, evidence: Evidence) -> Onset {
    Onset {
        source: Some(tuple.source),
        destination: Some(tuple.destination),
        ..Onset::new(kind, at, evidence)
    }
}
