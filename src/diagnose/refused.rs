//! Refusals: by RST, nothing listens there; by ICMP, somebody on the way said no.

use super::local_listeners::{described, local};
use super::{Certainty, Facts, FailureFact, Finding};
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::SocketAddr;
use std::time::Duration;

/// Refusals over so long a time have a whole window of a second among them, or more.
const MIXED: Duration = Duration::from_millis(2500);

/// ECONNREFUSED.
pub(super) fn refused(facts: &Facts) -> Option<(u64, Finding)> {
    if let Some(failed) = facts.failed(Stage::Connect, Cause::RefusedIcmp) {
        return Some((failed.count, by_icmp(failed)));
    }
    let failed = facts.failed(Stage::Connect, Cause::Refused)?;
    let destination = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    let finding = if facts.only_some_destinations(failed) {
        // Said by its own rule, with each address.
        return None;
    } else if facts.opened == 0 && facts.proxy_at(destination).is_some() {
        // Not the server that was meant: said by the rule about proxies.
        return None;
    } else if facts.opened > 0 {
        for_a_while(facts, failed, destination)
    } else if facts.is_local(destination.ip()) {
        local(facts, destination)
    } else {
        remote(destination)
    };
    let evidence = Evidence::default()
        .with("destination", destination.to_string())
        .with("refused", failed.count)
        .with("opened", facts.opened)
        .with("first_at_s", failed.first_at.as_secs_f64())
        .with("last_at_s", failed.last_at.as_secs_f64());
    let evidence = finding.evidence.iter().fold(evidence, |all, (name, fact)| all.with(name, fact.clone()));
    Some((failed.count, finding.resting_on(evidence)))
}

fn by_icmp(failed: &FailureFact) -> Finding {
    let to = failed.lease.map_or(String::new(), |lease| format!(" to {}", lease.destination));
    let says = format!(
        "connections{to} were refused by an ICMP message and not by RST: a firewall's reject rule, or a service \
         without endpoints, answered in the server's place"
    );
    Finding::new("refused-by-firewall", Side::Path, Certainty::Proved, says)
        .resting_on(
            Evidence::default().with("refused", failed.count).with("error", failed.failure.to_string()),
        )
        .remedy("nft list ruleset    # or: iptables -L -n -v, on the server and on the way")
        .remedy("Kubernetes: kubectl get endpoints SERVICE")
}

fn remote(destination: SocketAddr) -> Finding {
    Finding::new(
        "nothing-listens",
        Side::Target,
        Certainty::Likely,
        format!(
            "{destination} answered every attempt with RST: the host is there, and nothing listens on that port at \
             that address. The server is not running, listens on another address (127.0.0.1 only?), or the port or \
             the address is wrong"
        ),
    )
    .remedy("on the server: ss -ltn")
    .remedy("check that the name leads to the right host: getent ahosts NAME")
}

/// Connections succeeded as well: in one interval none did, or now and then one was refused.
fn for_a_while(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Finding {
    let (from, to) = (failed.first_at.as_secs_f64(), failed.last_at.as_secs_f64());
    let refusals = facts.refusals.unwrap_or_default();
    // A listener that is away for so long leaves at least one window without a connection.
    let is_mixed = refusals.windows_closed == 0 && failed.last_at.saturating_sub(failed.first_at) >= MIXED;
    if (refusals.intervals > 1 || is_mixed) && !facts.listener_seen_gone {
        let says = format!(
            "{destination} refused {} attempts and took {} others, now and then from {from:.1} s to {to:.1} s: some of \
             several servers behind that address are not there, or one restarts again and again",
            failed.count, facts.opened
        );
        return Finding::new("refused-at-times", Side::Target, Certainty::Likely, says)
            .resting_on(
                Evidence::default()
                    .with("intervals", refusals.intervals)
                    .with("windows_without_a_connection", refusals.windows_closed),
            )
            .remedy(
                "look at each server behind the balancer, and at their logs: restarts, failed health checks",
            );
    }
    let seen = facts.listener_seen_gone;
    let says = format!(
        "{destination} refused {} attempts in one interval, from {from:.1} s to {to:.1} s, and took {} others: its \
         listener was away for that time, as in a restart{}",
        failed.count,
        facts.opened,
        if seen { ", and this host saw it gone" } else { "" }
    );
    let certainty = if seen { Certainty::Proved } else { Certainty::Likely };
    let evidence = Evidence::default()
        .with("intervals", refusals.intervals)
        .with("windows_without_a_connection", refusals.windows_closed)
        .with("opened_before", refusals.opened_before)
        .with("opened_after", refusals.opened_after)
        .with_known("listens_now_on", facts.listener_for(destination).map(|at| described(&[at])));
    Finding::new("listener-away", Side::Target, certainty, says)
        .resting_on(evidence)
        .remedy("look into the server's log at that time")
        .remedy("keep the listening socket over restarts: socket activation, or SO_REUSEPORT with an overlap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Listening, Refusals, diagnose};
    use crate::model::{Errno, Failure, Lease};

    fn facts(cause: Cause) -> Facts {
        let failure = Failure { cause, ..Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED) };
        let destination = ([192, 0, 2, 1], 9000).into();
        let lease = Some(Lease { source: None, port: None, destination });
        Facts {
            target_is_local: Some(false),
            failures: vec![FailureFact { lease, ..FailureFact::new(failure, 10) }],
            ..Facts::default()
        }
    }

    fn at(address: &str) -> Listening {
        Listening { address: address.parse().unwrap(), waiting: 0, backlog: 128, holder: None }
    }

    fn first(facts: &Facts) -> (String, Certainty, Side) {
        let finding = diagnose(facts).remove(0);
        (finding.id, finding.certainty, finding.side)
    }

    #[test]
    fn each_refusal_has_its_own_cause() {
        let remote = facts(Cause::Refused);
        assert_eq!(first(&remote), ("nothing-listens".into(), Certainty::Likely, Side::Target));

        let mut local = facts(Cause::Refused);
        local.target_is_local = Some(true);
        assert_eq!(first(&local), ("nothing-listens".into(), Certainty::Proved, Side::Target));
        local.listening = vec![at("127.0.0.1:9000"), at("192.0.2.1:9001")];
        assert_eq!(first(&local), ("listens-on-another-address".into(), Certainty::Proved, Side::Target));

        assert_eq!(
            first(&facts(Cause::RefusedIcmp)),
            ("refused-by-firewall".into(), Certainty::Proved, Side::Path)
        );
    }

    #[test]
    fn a_restart_is_one_interval_and_proved_by_the_listener_that_was_gone() {
        let mut facts = facts(Cause::Refused);
        facts.opened = 5;
        facts.refusals =
            Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 3, opened_after: 2 });
        assert_eq!(first(&facts), ("listener-away".into(), Certainty::Likely, Side::Target));
        facts.listener_seen_gone = true;
        assert_eq!(first(&facts).1, Certainty::Proved);
        facts.listener_seen_gone = false;
        facts.refusals = Some(Refusals { intervals: 3, ..Refusals::default() });
        assert_eq!(first(&facts).0, "refused-at-times");
        facts.refusals = Some(Refusals { intervals: 1, ..Refusals::default() });
        assert_eq!(first(&facts).0, "listener-away", "a short time");
        facts.failures[0].last_at = MIXED;
        assert_eq!(first(&facts).0, "refused-at-times", "a long time, in which connections opened all along");
    }
}
