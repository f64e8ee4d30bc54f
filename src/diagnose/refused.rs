//! Refusals: by RST, nothing listens there; by ICMP, somebody on the way said no.

use super::claim::{Claim, Owner, Span};
use super::local_listeners::{described, local};
use super::spread::Concentration;
use super::{Facts, FailureFact, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Refusals over so long a time have a whole window of a second among them, or more.
const MIXED: Duration = Duration::from_millis(2500);

/// ECONNREFUSED by RST.
pub(super) fn refused(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed(Stage::Connect, Cause::Refused)?;
    let destination = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    let claim = if facts.opened > 0 {
        some_refused(facts, failed, destination)?
    } else if facts.proxy_at(destination).is_some() {
        // Not the server that was meant: said by the rule about proxies.
        return None;
    } else if facts.is_local(destination.ip()) {
        local(facts, failed, destination)
    } else {
        remote(destination).seen(Owner::Destinations, Span::EachAttempt).without(
            &[
                FindingId::RefusedForOneSource,
                FindingId::ListenerAway,
                FindingId::ServerGone,
                FindingId::ConnectionLimit,
            ],
            "not one connection was taken",
        )
    };
    let evidence = Evidence::default()
        .with("destination", destination.to_string())
        .with("refused", failed.count)
        .with("opened", facts.opened)
        .with("first_at_s", failed.first_at.as_secs_f64())
        .with("last_at_s", failed.last_at.as_secs_f64())
        .with_known("resets_sent_by_this_host", facts.counters.map(|counters| counters.resets_sent));
    let claim = if claim.claimed() == 0 { claim.explaining(failed) } else { claim };
    Some(claim.resting_on(evidence))
}

/// ECONNREFUSED by an ICMP message.
pub(super) fn refused_by_icmp(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed(Stage::Connect, Cause::RefusedIcmp)?;
    let to = failed.lease.map_or(String::new(), |lease| format!(" to {}", lease.destination));
    let by = failed.icmp_offender.map_or(String::new(), |by| format!(" from {by}"));
    let says = format!(
        "connections{to} were refused by an ICMP message{by} and not by RST: a firewall's reject rule, or a service \
         without endpoints, answered in the server's place"
    );
    let claim = Claim::new(FindingId::RefusedByFirewall, Side::Path, says).explaining(failed);
    Some(
        super::unreachable::with_silent_ones(facts, failed, claim)
            .seen(Owner::Attempts, Span::EachAttempt)
            .resting_on(
                Evidence::default()
                    .with("refused", failed.count)
                    .with("error", failed.failure.to_string())
                    .with_known("icmp_code", failed.icmp_code.map(u32::from))
                    .with_known("icmp_from", failed.icmp_offender.map(|by| by.to_string())),
            )
            .remedy("nft list ruleset    # or: iptables -L -n -v, on the server and on the way; also the output chain of this host")
            .remedy("Kubernetes: kubectl get endpoints SERVICE"),
    )
}

/// Sockets that connected to themselves: the attempt itself shows it, its own address is its peer's.
pub(super) fn connected_to_itself(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed(Stage::Connect, Cause::SelfConnect)?;
    let destination = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    let port = destination.port();
    let says = format!(
        "{} attempts to {destination} connected to themselves: nothing listens there, and port {port} is one that this \
         host gives to outgoing connections, so that a socket got the very port it was connecting to (TCP's \
         simultaneous open). To the program it looks like a connection, and it keeps the server from taking its port",
        failed.count
    );
    let evidence = Evidence::default()
        .with("destination", destination.to_string())
        .with("connected_to_themselves", failed.count)
        .with("refused", facts.failed_by(Cause::Refused));
    Some(
        Claim::new(FindingId::SelfConnect, Side::Target, says)
            .explaining(failed)
            .seen(Owner::Attempts, Span::EachAttempt)
            .resting_on(evidence)
            .remedy("start the server; in the program, close a connection whose own address is its peer's, and try again later")
            .remedy(format!(
                "sysctl -w net.ipv4.ip_local_reserved_ports=\"{}\"    # so that no outgoing connection gets port {port}",
                with_port(&facts.host.ip_local_reserved_ports.to_string(), port)
            )),
    )
}

/// The list of reserved ports with one more.
fn with_port(list: &str, port: u16) -> String {
    if list.is_empty() { port.to_string() } else { format!("{list},{port}") }
}

fn remote(destination: SocketAddr) -> Claim {
    Claim::new(
        FindingId::NothingListens,
        Side::Target,
        format!(
            "{destination} answered every attempt with RST: the host is there, and nothing listens on that port at \
             that address. The server is not running, listens on another address (127.0.0.1 only?), or the port or \
             the address is wrong"
        ),
    )
    .remedy("on the server: ss -ltn")
    .remedy(format!("ip route get {}    # is it the right host? Of a name: getent ahosts NAME", destination.ip()))
}

/// Connections succeeded as well.
fn some_refused(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Option<Claim> {
    if let Some(sources) = facts.failing_sources(failed) {
        return Some(for_some_sources(facts, failed, &sources));
    }
    if facts.plateau.is_some() && !facts.listener_seen_gone {
        // Said by the rule about limits.
        return None;
    }
    let refusals = facts.refusals.unwrap_or_default();
    // A listener that is away for so long leaves at least one window without a connection.
    let is_mixed = refusals.windows_closed == 0 && failed.last_at.saturating_sub(failed.first_at) >= MIXED;
    if (refusals.intervals > 1 || is_mixed) && !facts.listener_seen_gone {
        return Some(at_times(facts, failed, destination));
    }
    if facts.is_gone_for_good() {
        return None;
    }
    Some(for_a_while(facts, failed, destination))
}

/// Sources whose attempts are all refused, while those of others are taken.
pub(super) fn for_some_sources(
    facts: &Facts,
    failed: &FailureFact,
    sources: &Concentration<IpAddr>,
) -> Claim {
    let to = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied());
    let destination = to.map_or("the target".to_owned(), |to| to.to_string());
    let named: Vec<String> = sources.failing.iter().take(5).map(|(source, _)| source.to_string()).collect();
    let others = sources.of - sources.failing.len();
    let says = format!(
        "{destination} refused every attempt from {}, and took those from the other {others} source addresses all the \
         while: a rule for that source (a firewall's reject rule, an access list of the server)",
        named.join(", ")
    );
    let significant =
        sources.is_significant.then(|| format!("{} connections from the others opened", facts.opened));
    Claim::new(FindingId::RefusedForOneSource, Side::Path, says)
        .explaining(&failed.of_sources(|from| sources.has(from)).unwrap_or_else(|| failed.clone()))
        .seen(Owner::Sources, Span::EachAttempt)
        .without_if(
            &[
                FindingId::NothingListens,
                FindingId::ListensOnAnotherAddress,
                FindingId::ListenerAway,
                FindingId::ServerGone,
                FindingId::ListenerIsV6Only,
                FindingId::SomeAddressesFail,
            ],
            significant,
            "more attempts from each source address",
        )
        .unless(
            &[FindingId::RefusedByFirewall, FindingId::ConnectionLimit],
            "nft list ruleset, on the server and on the way; the server's access list",
        )
        .resting_on(
            Evidence::default()
                .with("destination", destination)
                .with("sources_refused", named.join(", "))
                .with("sources", sources.of as u64)
                .with("refused_of_these_sources", sources.count),
        )
        .remedy("nft list ruleset    # or: iptables -L -n -v, on the server: a rule with that source address")
        .remedy("the server's own list of clients: allow and deny of nginx, hosts.allow")
}

fn at_times(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Claim {
    let refusals = facts.refusals.unwrap_or_default();
    let (from, to) = (failed.first_at.as_secs_f64(), failed.last_at.as_secs_f64());
    let says = format!(
        "{destination} refused {} attempts and took {} others, now and then from {from:.1} s to {to:.1} s: some of \
         several servers behind that address are not there, or one restarts again and again",
        failed.count, facts.opened
    );
    Claim::new(FindingId::RefusedAtTimes, Side::Target, says)
        .seen(Owner::Destinations, Span::EachAttempt)
        .unless(&[FindingId::ListenerAway, FindingId::ConnectionLimit], "the servers' logs at these times")
        .resting_on(
            Evidence::default()
                .with("intervals", refusals.intervals)
                .with("windows_without_a_connection", refusals.windows_closed),
        )
        .remedy("look at each server behind the balancer, and at their logs: restarts, failed health checks")
}

/// In one interval no connection opened.
fn for_a_while(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Claim {
    let (from, to) = (failed.first_at.as_secs_f64(), failed.last_at.as_secs_f64());
    let refusals = facts.refusals.unwrap_or_default();
    let seen = facts.listener_seen_gone;
    let came_back = refusals.opened_after > 0 || facts.target.listens_at_end == Some(true);
    let says = format!(
        "{destination} refused {} attempts in one interval, from {from:.1} s to {to:.1} s, and took {} others: its \
         listener was {} for that time{}{}",
        failed.count,
        facts.opened,
        if refusals.opened_before == 0 && facts.refusals.is_some() {
            "not there yet, or away,"
        } else {
            "away"
        },
        if came_back { ", as in a restart" } else { "; that it came back was not seen" },
        if seen { ", and this host saw it gone" } else { "" }
    );
    let evidence = Evidence::default()
        .with("intervals", refusals.intervals)
        .with("windows_without_a_connection", refusals.windows_closed)
        .with("opened_before", refusals.opened_before)
        .with("opened_after", refusals.opened_after)
        .with_known("listens_now_on", facts.listener_for(destination).map(|at| described(&[at])));
    let gone =
        (seen && refusals.intervals <= 1).then_some("the listener was seen to be gone in that interval");
    Claim::new(FindingId::ListenerAway, Side::Target, says)
        .seen(Owner::Listener(destination), Span::EachAttempt)
        .without_if(super::rivals::REFUSALS, gone, "the server's log at that time; ss -ltn during it")
        .resting_on(evidence)
        .remedy("look into the server's log at that time")
        .remedy("keep the listening socket over restarts: socket activation, or SO_REUSEPORT with an overlap")
}

impl Facts {
    /// True if the listener ended in mid-run and was seen not to be there at the end.
    pub(super) fn is_gone_for_good(&self) -> bool {
        let none_after =
            self.refusals.is_some_and(|refusals| refusals.opened_before > 0 && refusals.opened_after == 0);
        let unseen_at_end = self.target.listens_at_end != Some(true);
        none_after && unseen_at_end && (self.target.listens_at_end == Some(false) || self.sessions_lost() > 0)
    }

    /// Open sessions that ended by the peer.
    pub(super) fn sessions_lost(&self) -> u64 {
        let lost = |failed: &&FailureFact| {
            failed.failure.stage == Stage::Session
                && matches!(failed.failure.cause, Cause::Reset | Cause::ClosedEarly)
        };
        self.failures.iter().filter(lost).map(|failed| failed.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, Listening, Refusals, diagnose};
    use crate::linux::proc_net::Counters;
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
        Listening::at(address.parse().unwrap(), 128)
    }

    fn first(facts: &Facts) -> (String, Certainty, Side) {
        let finding = diagnose(facts).remove(0);
        (finding.id.to_string(), finding.certainty, finding.side)
    }

    #[test]
    fn a_connection_to_itself_is_told_beside_refusals_and_is_no_restart() {
        let alone = facts(Cause::SelfConnect);
        assert_eq!(first(&alone), ("self-connect".into(), Certainty::Proved, Side::Target));
        let mut both = facts(Cause::Refused);
        both.failures.push(FailureFact { count: 3, ..alone.failures[0].clone() });
        let ids: Vec<String> = diagnose(&both).iter().map(|finding| finding.id.to_string()).collect();
        assert_eq!(ids, ["nothing-listens", "self-connect"]);
    }

    #[test]
    fn each_refusal_has_its_own_cause() {
        let remote = facts(Cause::Refused);
        assert_eq!(first(&remote), ("nothing-listens".into(), Certainty::Likely, Side::Target));

        let mut local = facts(Cause::Refused);
        local.target_is_local = Some(true);
        assert_eq!(first(&local), ("nothing-listens".into(), Certainty::Likely, Side::Target), "whose RSTs?");
        local.counters = Some(Counters { resets_sent: 10, ..Counters::default() });
        assert_eq!(first(&local), ("nothing-listens".into(), Certainty::Proved, Side::Target));
        local.listening = vec![at("127.0.0.1:9000"), at("192.0.2.1:9001")];
        assert_eq!(first(&local), ("listens-on-another-address".into(), Certainty::Proved, Side::Target));

        assert_eq!(
            first(&facts(Cause::RefusedIcmp)),
            ("refused-by-firewall".into(), Certainty::Proved, Side::Path)
        );
    }

    #[test]
    fn a_refusal_that_this_hosts_kernel_did_not_send_is_of_another_host_or_a_firewall() {
        let mut published = facts(Cause::Refused);
        published.target_is_local = Some(true);
        published.counters = Some(Counters::default());
        assert_eq!(first(&published), ("translated-destination".into(), Certainty::Likely, Side::Path));
        published.listening = vec![at("0.0.0.0:9000")];
        assert_eq!(first(&published), ("refused-by-firewall".into(), Certainty::Likely, Side::Path));
    }

    #[test]
    fn a_listener_for_ipv6_alone_is_named_and_no_firewall() {
        let mut facts = facts(Cause::Refused);
        facts.target_is_local = Some(true);
        facts.counters = Some(Counters { resets_sent: 10, ..Counters::default() });
        facts.listening = vec![Listening { v6_only: Some(true), ..at("[::]:9000") }];
        assert_eq!(first(&facts), ("listener-is-v6only".into(), Certainty::Proved, Side::Target));
        facts.listening[0].v6_only = Some(false);
        assert_eq!(first(&facts).0, "refused-by-firewall", "it takes IPv4 as well");
    }

    #[test]
    fn a_source_that_is_refused_beside_others_that_are_not_is_no_restart() {
        let one = "127.0.0.3".parse().unwrap();
        let mut facts = facts(Cause::Refused);
        (facts.opened, facts.started, facts.sources) = (10, 20, 2);
        facts.failures[0].by_source = vec![(one, 10)];
        facts.refusals = Some(Refusals { intervals: 4, ..Refusals::default() });
        assert_eq!(first(&facts), ("refused-for-some-sources".into(), Certainty::Likely, Side::Path));
        facts.failures[0].by_source = vec![(one, 6), ("127.0.0.4".parse().unwrap(), 4)];
        assert_eq!(first(&facts).0, "refused-at-times", "of both, by chance");
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
