//! Trial of other schemes after a run in which no attempt came through, because the target did not answer as its scheme has
//! it: one connection a scheme, so that a run names the wrong scheme as surely as `doctor` does.

use crate::diagnose::SchemeTrial;
use crate::engine::{OtherSchemes, connect};
use crate::model::{Cause, Failure, FailureTally, Run, Stage};
use crate::plan::{Connection, Plan};
use std::time::Duration;

/// Longest wait for each part of a trial. A run ends within a second of its time.
const QUICK: Duration = Duration::from_millis(300);

/// Answers to other schemes, where nearly all attempts failed in one way that looks like that of a wrong scheme; nothing
/// is tried otherwise, nor after an interruption.
pub(super) fn tried(plan: &Plan, run: &Run) -> Vec<SchemeTrial> {
    let Some(failed) = most(run).filter(|failed| is_worth_it(failed.failure)) else { return Vec::new() };
    let Some(lease) = failed.samples.first().map(|sample| sample.lease) else { return Vec::new() };
    let host = plan.target.as_ref().map(|target| target.host.as_str());
    let quick =
        Connection { handshake_timeout: QUICK.min(plan.connection.handshake_timeout), ..plan.connection };
    // The files that the session names were read by the run itself.
    let others = OtherSchemes::of(plan.kind(), host, &plan.session, quick).unwrap_or_default();
    others.tried_after(failed.failure, lease.destination, || connect(lease.destination, lease.source, QUICK))
}

/// The failure of nearly all attempts, where none came through.
fn most(run: &Run) -> Option<&FailureTally> {
    let tally = &run.tally;
    if run.interrupted || tally.ok() > 0 {
        return None;
    }
    let most = tally.failures().iter().max_by_key(|failed| failed.count)?;
    (most.count.saturating_mul(10) >= tally.started().saturating_mul(9)).then_some(most)
}

/// A server of TLS that gets plain text ends the connection; one that is silent is slow, stuck or another's.
fn is_worth_it(failure: Failure) -> bool {
    failure.stage != Stage::Handshake || failure.cause != Cause::TimedOut
}
