//! Findings: what the evidence proves or suggests, whose fault it is, and what mends it. Pure.
//!
//! One body of rules serves a run, the doctor and the lab: a rule sees [`Facts`] and never learns who
//! gathered them. It returns a `Claim`: which failures its cause explains, counted; whose the numbers are; from
//! when to when; and what was seen of each rival. How sure that is, is computed in one place (`certainty`).
//! Every finding has its line in [`FindingId`], and every symptom its causes in `rivals`.

mod certainty;
mod claim;
mod client_facts;
mod facts;
mod finding;
mod finding_id;
mod handshake;
pub mod host;
mod keep_alive;
mod kinds;
mod limits;
mod listening;
mod local_listeners;
mod moment;
mod names;
mod no_reply;
mod no_source;
mod own_source;
mod parts;
mod place;
mod port_shares;
mod port_windows;
mod ports;
mod proxies;
mod queues;
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
pub use client_facts::ClientFacts;
pub use facts::{Blocked, Facts, FailureFact, Name, PortWindow, ProcessMemory, Refusals, TupleFact};
pub use finding::{Certainty, Finding, Rival};
pub use finding_id::FindingId;
pub use listening::{Listening, Proxy, ProxyListener, exempted};
pub use moment::{
    ConntrackNow, ListenerNow, Moment, PortHolder, PortOwner, PortScope, SourceAddress, TuplePorts,
};
pub use names::is_localhost;
use parts::{Part, Whose};
pub use place::{Place, Scope};
pub use scheme_trial::SchemeTrial;
pub use server_end::is_turned_away;
use std::net::SocketAddr;
pub use target_facts::{Plateau, TargetFacts};

/// A rule: what one cause has to say to the facts.
type Rule = fn(&Facts) -> Option<Claim>;

/// The part of a run that a rule judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// This host, names and proxies: what is not set apart.
    Host,
    /// The way to an address and what is there: each part of a run alone.
    Way,
}

/// Of two that are as sure, the one that lies further up is the cause.
const RULES: &[(Of, Rule)] = &[
    (Of::Host, own_source::not_local),
    (Of::Way, no_source::no_source),
    (Of::Host, ports::search_slow),
    (Of::Host, limits::process_descriptors),
    (Of::Host, limits::system_descriptors),
    (Of::Host, limits::memory),
    (Of::Host, limits::own_memory),
    (Of::Way, tracking::table_full),
    (Of::Way, tracking::own_snat),
    (Of::Host, limits::time_wait_capped),
    (Of::Host, names::elsewhere),
    (Of::Host, proxies::in_the_way),
    (Of::Way, refused::refused),
    (Of::Way, refused::connected_to_itself),
    (Of::Way, refused::refused_by_icmp),
    (Of::Way, timeout::timed_out),
    (Of::Way, syn_retransmit::syn_lost),
    (Of::Way, queues::aborted_on_overflow),
    (Of::Way, unreachable::route_forbids),
    (Of::Way, unreachable::unreachable),
    (Of::Way, unreachable::not_permitted),
    (Of::Host, names::unresolved),
    (Of::Way, no_reply::out_of_descriptors),
    (Of::Way, no_reply::stopped),
    (Of::Way, no_reply::not_accepted),
];

/// Destinations of one part whose causes are looked for one by one.
const MOST_CAUSES: usize = 4;

/// Findings that the facts show: by attempts explained, then by certainty. What explains no failure goes last, and what
/// nothing explains is told by a finding of its own.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let facts = facts.by_kind();
    let usable = |claim| remedies::without_those_in_use(&facts, claim);
    let mut findings: Vec<Finding> = Vec::new();
    for part in parts::of(&facts) {
        let mut told = without_late_ones(&part.facts, claims_of(&part));
        told.extend(unexplained::all(&part.facts, &told));
        let mut found: Vec<Finding> = told.into_iter().map(usable).filter_map(certainty::judge).collect();
        if part.whose == Whose::Destinations {
            // That they fail is told, and then why: the reason is no rival.
            let reasons: Vec<_> = found.iter().map(|finding| finding.id).collect();
            found.iter_mut().for_each(|finding| finding.rivals.retain(|rival| !reasons.contains(&rival.id)));
        }
        findings.extend(found);
    }
    findings.sort_by_key(Finding::rank);
    findings
}

fn claims_of(part: &Part<'_>) -> Vec<Claim> {
    let facts = &part.facts;
    let mut claims: Vec<Claim> = part.told.iter().cloned().collect();
    match part.whose {
        Whose::Sources => {}
        Whose::Destinations => claims.extend(why_each_fails(facts)),
        Whose::Rest => {
            claims.extend(ports::exhausted(facts));
            match of_several_causes(facts) {
                Some(each) => {
                    let of_host = RULES.iter().filter(|(of, _)| *of == Of::Host);
                    claims.extend(of_host.filter_map(|(_, rule)| rule(facts)).chain(each));
                }
                None => {
                    claims.extend(RULES.iter().filter_map(|(_, rule)| rule(facts)));
                    claims.extend(by_kind(facts));
                }
            }
        }
    }
    claims
}

/// Claims of rules that look at each kind of failure alone.
fn by_kind(facts: &Facts) -> Vec<Claim> {
    let mut claims = handshake::all(facts);
    claims.extend(unanswered::all(facts));
    claims.extend(unreachable::unreachable_otherwise(facts));
    claims
}

/// The causes for which destinations fail, each looked at alone; one claim where several have the same.
fn why_each_fails(facts: &Facts) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (to, found) in causes_of_each(facts) {
        for claim in found {
            match claims.iter_mut().find(|known| known.id == claim.id) {
                Some(known) => known.join(claim, &format!("the same at {to}")),
                None => claims.push(claim),
            }
        }
    }
    claims
}

/// The same where no destination took a connection, and they do not all have the same causes.
fn of_several_causes(facts: &Facts) -> Option<Vec<Claim>> {
    if facts.opened > 0 || facts.failures.iter().any(|failed| failed.by_destination.is_empty()) {
        return None;
    }
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.id).collect::<Vec<_>>();
    let each = causes_of_each(facts);
    let first = ids(&each.first()?.1);
    each.iter().any(|(_, claims)| ids(claims) != first).then(|| why_each_fails(facts))
}

fn causes_of_each(facts: &Facts) -> Vec<(SocketAddr, Vec<Claim>)> {
    let mut destinations = facts.destinations.clone();
    destinations.sort_unstable();
    destinations.dedup();
    if destinations.len() > MOST_CAUSES {
        return Vec::new();
    }
    let causes = |to: SocketAddr| {
        let alone = facts.at(to);
        let of_way = RULES.iter().filter(|(of, _)| *of == Of::Way);
        of_way.filter_map(|(_, rule)| rule(&alone)).chain(by_kind(&alone)).collect()
    };
    destinations.into_iter().map(|to| (to, causes(to))).collect()
}

/// Time-outs of a machine that was late are not the target's fault.
fn without_late_ones(facts: &Facts, mut claims: Vec<Claim>) -> Vec<Claim> {
    if let Some(late) = unanswered::generator_late(facts) {
        let blames = |claim: &Claim| claim.side == Side::Target && claim.claimed() > 0;
        let waited = |kind: Failure| kind.cause == Cause::TimedOut && kind.stage > Stage::Connect;
        claims.retain(|claim| !blames(claim) || !claim.kinds().all(waited));
        claims.push(late);
    }
    claims
}

#[cfg(test)]
pub(crate) mod confusion_tests;
#[cfg(test)]
pub(crate) mod situations;
