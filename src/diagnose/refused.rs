//! Refusals: by RST, nothing listens there; by ICMP, somebody on the way said no.

use super::{Certainty, Facts, FailureFact, Finding};
use crate::attempt::{Cause, Side, Stage};
use crate::metrics::Evidence;
use std::net::SocketAddr;

/// ECONNREFUSED.
pub(super) fn refused(facts: &Facts) -> Option<(u64, Finding)> {
    if let Some(failed) = facts.failed(Stage::Connect, Cause::RefusedIcmp) {
        return Some((failed.count, by_icmp(failed)));
    }
    let failed = facts.failed(Stage::Connect, Cause::Refused)?;
    let destination = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    let finding = if facts.opened > 0 {
        for_a_while(facts, failed, destination)
    } else if facts.target_is_local == Some(true) {
        local(facts, destination)
    } else {
        remote(facts, destination)
    };
    let evidence = Evidence::default()
        .with("destination", destination.to_string())
        .with("refused", failed.count)
        .with("opened", facts.opened)
        .with("first_at_s", failed.first_at.as_secs_f64())
        .with("last_at_s", failed.last_at.as_secs_f64())
        .with_known("listens_on", listed(&facts.listeners));
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

/// The target is on this host, so that its listeners are known.
fn local(facts: &Facts, destination: SocketAddr) -> Finding {
    let port = destination.port();
    if let Some(other) = facts.listeners.first() {
        let says = format!(
            "nothing listens on {destination}; on port {port} something listens on {} only. A server that \
             listens on 127.0.0.1 can be reached by 127.0.0.1 only",
            listed(&facts.listeners).unwrap_or_default()
        );
        return Finding::new("listens-on-another-address", Side::Target, Certainty::Proved, says)
            .remedy(format!("let the server listen on 0.0.0.0:{port} (or [::]:{port})"))
            .remedy(format!("or connect to {other}"));
    }
    let says = format!(
        "nothing listens on {destination}: this host answered with RST, and has no listener on port {port} at all. \
         The server is not running, or the port is wrong"
    );
    Finding::new("nothing-listens", Side::Target, Certainty::Proved, says)
        .remedy("start the server; then look where it listens: ss -ltn")
}

fn remote(facts: &Facts, destination: SocketAddr) -> Finding {
    let mut finding = Finding::new(
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
    .remedy("check that the name leads to the right host: getent ahosts NAME");
    if !facts.proxies.is_empty() {
        let names: Vec<&str> = facts.proxies.iter().map(|(name, _)| name.as_str()).collect();
        finding = finding.remedy(format!(
            "a proxy is set ({}): unset it, or address the target directly",
            names.join(", ")
        ));
    }
    finding
}

/// Connections succeeded as well: the listener was away for a time.
fn for_a_while(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Finding {
    let (from, to) = (failed.first_at.as_secs_f64(), failed.last_at.as_secs_f64());
    let says = format!(
        "{destination} refused {} attempts between {from:.1} s and {to:.1} s and took {} others: its listener was \
         away for that time, as in a restart",
        failed.count, facts.opened
    );
    Finding::new("listener-away", Side::Target, Certainty::Likely, says)
        .remedy("look into the server's log at that time")
        .remedy("keep the listening socket over restarts: socket activation, or SO_REUSEPORT with an overlap")
}

fn listed(addresses: &[SocketAddr]) -> Option<String> {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::{Errno, Failure, Lease};
    use crate::diagnose::diagnose;
    use std::time::Duration;

    fn facts(cause: Cause) -> Facts {
        let failure = Failure { cause, ..Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED) };
        let destination = ([192, 0, 2, 1], 9000).into();
        Facts {
            target_is_local: Some(false),
            failures: vec![FailureFact {
                failure,
                count: 10,
                first_at: Duration::from_secs(1),
                last_at: Duration::from_secs(2),
                first_ordinal: 0,
                lease: Some(Lease { source: None, port: None, destination }),
            }],
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (String, Certainty, Side) {
        let finding = diagnose(facts).remove(0);
        (finding.id, finding.certainty, finding.side)
    }

    #[test]
    fn each_refusal_has_its_own_cause() {
        let mut remote = facts(Cause::Refused);
        assert_eq!(first(&remote), ("nothing-listens".into(), Certainty::Likely, Side::Target));
        remote.opened = 5;
        assert_eq!(first(&remote).0, "listener-away");

        let mut local = facts(Cause::Refused);
        local.target_is_local = Some(true);
        assert_eq!(first(&local), ("nothing-listens".into(), Certainty::Proved, Side::Target));
        local.listeners = vec![([127, 0, 0, 1], 9000).into()];
        assert_eq!(first(&local), ("listens-on-another-address".into(), Certainty::Proved, Side::Target));

        assert_eq!(
            first(&facts(Cause::RefusedIcmp)),
            ("refused-by-firewall".into(), Certainty::Proved, Side::Path)
        );
    }
}
