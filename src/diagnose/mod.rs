//! Findings: what the evidence proves or suggests, whose fault it is, and what mends it. Pure.
//!
//! One body of rules serves a run, the doctor and the lab: a rule sees [`Facts`] and never learns who
//! gathered them. It returns a `Claim`: which failures its cause explains, counted; whose the numbers are; from
//! when to when; and what was seen of each rival. How sure that is, is computed in one place (`certainty`).
//! Every finding has its line in [`FindingId`], and every symptom its causes in `rivals`.

mod certainty;
mod claim;
mod facts;
mod finding;
mod finding_id;
mod handshake;
pub mod host;
mod keep_alive;
mod limits;
mod listening;
mod local_listeners;
mod moment;
mod names;
mod no_reply;
mod no_source;
mod own_source;
mod place;
mod port_shares;
mod ports;
mod proxies;
mod refused;
mod remedies;
mod rivals;
mod scheme_trial;
mod server_end;
mod spread;
mod syn_retransmit;
mod target_facts;
mod timeout;
mod tracking;
mod unanswered;
mod unexplained;
mod unreachable;
pub mod watched;

use crate::model::{Cause, Failure, Side, Stage};
use claim::Claim;
pub use facts::{Blocked, Facts, FailureFact, Name, ProcessMemory, Refusals, TupleFact};
pub use finding::{Certainty, Finding, Rival};
pub use finding_id::FindingId;
pub use listening::{Listening, Proxy, ProxyListener, exempted};
pub use moment::{
    ConntrackNow, ListenerNow, Moment, PortHolder, PortOwner, PortScope, SourceAddress, TuplePorts,
};
pub use names::is_localhost;
pub use place::{Place, Scope};
pub use scheme_trial::SchemeTrial;
pub use server_end::is_turned_away;
pub use target_facts::{Plateau, TargetFacts};

/// Findings that the facts show: by attempts explained, then by certainty. What explains no failure goes last, and what
/// nothing explains is told by a finding of its own.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let rules = [
        own_source::not_local,
        no_source::no_source,
        ports::exhausted,
        ports::search_slow,
        limits::descriptors,
        limits::memory,
        limits::own_memory,
        tracking::table_full,
        tracking::own_snat,
        limits::time_wait_capped,
        // Of two that are as sure, the one that lies further up is the cause.
        names::elsewhere,
        proxies::in_the_way,
        refused::refused,
        refused::connected_to_itself,
        refused::refused_by_icmp,
        timeout::timed_out,
        syn_retransmit::syn_lost,
        timeout::aborted_on_overflow,
        unreachable::route_forbids,
        unreachable::unreachable,
        unreachable::not_permitted,
        names::unresolved,
        names::some_fail,
        no_reply::out_of_descriptors,
        no_reply::stopped,
        no_reply::not_accepted,
    ];
    let mut claims: Vec<Claim> = rules.iter().filter_map(|rule| rule(facts)).collect();
    claims.extend(handshake::all(facts));
    claims.extend(unanswered::all(facts));
    if let Some(late) = unanswered::generator_late(facts) {
        // What a late machine did not wait for is not the target's fault.
        let blames = |claim: &Claim| claim.side == Side::Target && claim.claimed() > 0;
        let waited = |kind: Failure| kind.cause == Cause::TimedOut && kind.stage > Stage::Connect;
        claims.retain(|claim| !blames(claim) || !claim.kinds().all(waited));
        claims.push(late);
    }
    claims.extend(unexplained::all(facts, &claims));
    let mut findings: Vec<Finding> = claims.into_iter().filter_map(certainty::judge).collect();
    findings.sort_by_key(Finding::rank);
    findings
}

#[cfg(test)]
mod confusion_tests;
