//! Signs of programs seen from outside, and what they mean: the rules behind `connstorm watch`.
//!
//! No attempt of another program is seen, and no error number of its calls. So no finding here explains a failure:
//! each says what was counted, at which moment, of which tuple, listener or process. "Proved" is what the count
//! itself shows, such as that no port of a tuple was free; that a call failed for it is never said to be.

mod facts;
mod listeners;
mod ports;
mod processes;
mod programs;

pub use facts::{HalfClosed, HalfClosedEnd, ListenerSeen, PortChoice, TupleHolder, TupleSeen, WatchedFacts};

use super::certainty;
use super::claim::Claim;
use super::finding::Finding;

/// Findings of the facts, the surest first; of those that are as sure, what stops a program goes before what may.
pub fn diagnose(facts: &WatchedFacts) -> Vec<Finding> {
    let mut claims: Vec<Claim> = Vec::new();
    claims.extend(facts.tuples.iter().filter_map(|tuple| ports::exhausted(facts, tuple)));
    claims.extend(processes::descriptors(facts));
    claims.extend(listeners::overflowed(facts));
    claims.extend(processes::never_closed(facts));
    claims.extend(facts.tuples.iter().filter_map(|tuple| ports::bound_before_connect(facts, tuple)));
    claims.extend(facts.tuples.iter().filter_map(|tuple| ports::running_low(facts, tuple)));
    claims.extend(processes::conntrack(facts));
    claims.extend(ports::capped(facts));
    let mut findings: Vec<Finding> = claims.into_iter().filter_map(certainty::judge).collect();
    findings.sort_by_key(Finding::rank);
    findings
}

#[cfg(test)]
pub(crate) mod tests;
