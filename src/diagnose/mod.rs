//! Findings: what the evidence proves or suggests, whose fault it is, and what mends it. Pure.
//!
//! One body of rules serves a run, the doctor and the lab: a rule sees [`Facts`] and never learns who
//! gathered them. `proved` is said only where the numbers leave no other cause; every rule that says it
//! has a test in which one number is changed and the proof is gone.

mod facts;
mod finding;
pub mod host;
mod limits;
mod listening;
mod own_source;
mod ports;
mod refused;
mod timeout;

pub use facts::{Blocked, Facts, FailureFact, ForeignSockets, TupleFact};
pub use finding::{Certainty, Finding};
pub use listening::{Listening, Proxy, ProxyListener, exempted};

/// What the facts show, the surest and weightiest first.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let rules = [
        own_source::not_local,
        ports::exhausted,
        ports::search_slow,
        limits::descriptors,
        limits::memory,
        limits::conntrack,
        limits::time_wait_capped,
        refused::refused,
        timeout::timed_out,
    ];
    let mut findings: Vec<(u64, Finding)> = rules.iter().filter_map(|rule| rule(facts)).collect();
    findings.sort_by_key(|(attempts, finding)| (finding.certainty, std::cmp::Reverse(*attempts)));
    findings.into_iter().map(|(_, finding)| finding).collect()
}
