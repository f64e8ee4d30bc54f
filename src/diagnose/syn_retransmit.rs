//! Connections that came about, but late: their SYN had to be sent again.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};
use std::time::Duration;

/// Fewer than this may be chance.
const FEWEST: u64 = 3;
/// Share of the connections that has to be late for it to be worth a finding.
const SHARE: f64 = 0.001;

/// A round trip above the time after which a SYN is sent again (RFC 6298) makes every connection late.
const FIRST_RETRANSMIT: Duration = Duration::from_millis(1040);

/// SYNs were sent again, and every attempt that sent one again still got its connection.
pub(super) fn syn_lost(facts: &Facts) -> Option<Claim> {
    let late = facts.syn_retransmits;
    let gave_up = facts.failed(Stage::Connect, Cause::TimedOut).is_some();
    if gave_up || late < FEWEST || (late as f64) < facts.opened as f64 * SHARE {
        return None;
    }
    let evidence = Evidence::default()
        .with("attempts_with_a_syn_sent_again", late)
        .with("opened", facts.opened)
        .with_known("connect_min_ms", facts.connect_min.map(|min| min.as_secs_f64() * 1e3))
        .with_known("dropped_by_its_own_listener", facts.target.listener_drops)
        .with_known(
            "tcp_syn_retrans_of_all_connections",
            facts.counters.map(|counters| counters.syn_retransmits),
        );
    let claim = if facts.connect_min.is_some_and(|min| min > FIRST_RETRANSMIT)
        && late * 10 >= facts.opened * 9
    {
        long_round_trip(facts)
    } else if super::queues::accept_queue_overflowed(facts) {
        queue_was_full(facts, late)
    } else if let Some(claim) = super::tracking::snat_was_short(facts, late) {
        claim
    } else {
        let says = format!(
            "{late} of {} connections were late by a second or more, and none failed: their first SYN, or the answer \
             to it, was lost on the way, or dropped by a queue of the server",
            facts.opened
        );
        Claim::new(FindingId::SynLostOnTheWay, Side::Path, says)
            .unless(
                &[FindingId::AcceptQueueFull, FindingId::SynQueueFull],
                "on the server: nstat -az TcpExtListenDrops; ss -ltm",
            )
            .remedy("on the server: nstat -az TcpExtListenDrops TcpExtTCPReqQFullDrop IpExtInNoRoutes")
            .remedy(format!("on the way: ip -s link (drops, errors); {}", trace(facts)))
    };
    Some(claim.seen(Owner::Destinations, Span::EachAttempt).resting_on(evidence))
}

/// The first destination's address.
fn address(facts: &Facts) -> String {
    facts.destinations.first().map_or("HOST".to_owned(), |to| to.ip().to_string())
}

fn trace(facts: &Facts) -> String {
    let port = facts.destinations.first().map_or("PORT".to_owned(), |to| to.port().to_string());
    format!("mtr --tcp --port {port} {}", address(facts))
}

fn long_round_trip(facts: &Facts) -> Claim {
    let says = format!(
        "every connection took {:.1} s or more: the round trip is longer than the 1 s after which a SYN is sent again, so \
         that each was sent twice. Nothing need be lost",
        facts.connect_min.unwrap_or_default().as_secs_f64()
    );
    Claim::new(FindingId::LongRoundTrip, Side::Path, says)
        .unless(&[FindingId::SynLostOnTheWay], "the round trip of an established connection: ss -tin, rtt")
        .remedy("keep connections open and use them again (a pool, HTTP keep-alive): each new one costs a round trip and more")
        .remedy(format!("ping {}    # the round trip itself", address(facts)))
}

/// The server's own listener dropped them.
fn queue_was_full(facts: &Facts, late: u64) -> Claim {
    let drops = facts.target.listener_drops;
    let says = format!(
        "{late} connections were late by a second or more: the listener's accept queue was full when they came{}, and had \
         room when their SYN was sent again",
        drops.map_or(String::new(), |drops| format!(" (it dropped {drops} SYNs or ACKs)"))
    );
    let claim = Claim::new(FindingId::AcceptQueueFull, Side::Target, says)
        .without_if(
            &[FindingId::SynLostOnTheWay],
            drops
                .filter(|drops| *drops >= late)
                .map(|drops| format!("its own listener dropped {drops}, for {late} late connections")),
            "ss -ltm: d, the drops of that listener",
        )
        .remedy("accept faster: more workers, no slow work between accept() calls");
    super::queues::longer_queue(facts, claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, diagnose};
    use crate::linux::proc_net::Counters;

    fn first(facts: &Facts) -> Option<(String, Certainty)> {
        diagnose(facts).first().map(|finding| (finding.id.to_string(), finding.certainty))
    }

    #[test]
    fn late_connections_are_the_ways_or_a_full_queues() {
        let mut facts = Facts { opened: 100, syn_retransmits: 3, ..Facts::default() };
        assert_eq!(first(&facts), Some(("syn-lost-on-the-way".into(), Certainty::Likely)));
        facts.counters = Some(Counters { listen_overflows: 3, ..Counters::default() });
        assert_eq!(first(&facts).unwrap().0, "syn-lost-on-the-way", "another listener's counter");
        facts.target_is_local = Some(true);
        assert_eq!(first(&facts).unwrap().0, "syn-lost-on-the-way", "another listener's, on this host");
        facts.target.listener_drops = Some(3);
        assert_eq!(first(&facts), Some(("accept-queue-full".into(), Certainty::Proved)));
    }

    #[test]
    fn a_round_trip_above_a_second_loses_nothing() {
        let ms = Duration::from_millis;
        let mut facts =
            Facts { opened: 60, syn_retransmits: 60, connect_min: Some(ms(1300)), ..Facts::default() };
        assert_eq!(first(&facts), Some(("long-round-trip".into(), Certainty::Likely)));
        facts.connect_min = Some(ms(1));
        assert_eq!(first(&facts).unwrap().0, "syn-lost-on-the-way", "some came at once");
    }

    #[test]
    fn a_few_of_very_many_are_nothing() {
        let few = Facts { opened: 100, syn_retransmits: 2, ..Facts::default() };
        let share = Facts { opened: 10_000, syn_retransmits: 9, ..Facts::default() };
        assert_eq!((first(&few), first(&share)), (None, None));
    }
}
