use super::*;
use crate::diagnose::{Listening, diagnose};
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::model::{Failure, Lease};
use std::net::SocketAddr;

const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

fn facts() -> Facts {
    let timed_out = Failure::new(Stage::Connect, Cause::TimedOut);
    let lease = Some(Lease { source: None, port: None, destination: TO });
    Facts {
        syn_retransmits: 4,
        failures: vec![FailureFact { lease, ..FailureFact::new(timed_out, 4) }],
        ..Facts::default()
    }
}

fn listening(waiting: u32) -> Vec<Listening> {
    vec![Listening { waiting, drops: Some(0), ..Listening::at(TO, 16) }]
}

fn ids(facts: &Facts) -> Vec<(String, Certainty)> {
    diagnose(facts).into_iter().map(|finding| (finding.id, finding.certainty)).collect()
}

#[test]
fn a_full_queue_is_proved_by_its_counter_on_this_host_only() {
    let mut facts = facts();
    facts.counters = Some(Counters { listen_overflows: 9, ..Counters::default() });
    facts.target_is_local = Some(true);
    assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
    facts.target_is_local = Some(false);
    assert_eq!(ids(&facts), [("dropped-on-the-way".into(), Certainty::Likely)]);
}

#[test]
fn a_full_queue_is_proved_by_its_length_too() {
    let mut facts = Facts { target_is_local: Some(true), destinations: vec![TO], ..facts() };
    facts.counters = Some(Counters::default());
    facts.listening = listening(17);
    assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
    facts.listening = listening(16);
    assert_eq!(ids(&facts), [("dropped-on-the-way".into(), Certainty::Proved)], "there is room: a firewall");
    facts.counters = Some(Counters { listen_drops: 1, ..Counters::default() });
    assert_eq!(
        ids(&facts),
        [("dropped-on-the-way".into(), Certainty::Likely)],
        "something else may have dropped it"
    );
}

#[test]
fn drops_of_connection_tracking_go_before_a_firewall() {
    let mut facts = facts();
    let lost = ConntrackDrops { drop: 7, ..ConntrackDrops::default() };
    facts.conntrack = Some((Conntrack { count: 100, max: 100, drops: Some(lost) }, lost));
    assert_eq!(ids(&facts), [("conntrack-full".into(), Certainty::Proved)]);
    let none = ConntrackDrops::default();
    facts.conntrack = Some((Conntrack { count: 100, max: 100, drops: None }, none));
    assert_eq!(
        ids(&facts)[0],
        ("conntrack-full".into(), Certainty::Likely),
        "a kernel that does not count drops"
    );
    facts.conntrack = Some((Conntrack { count: 100, max: 100, drops: Some(none) }, none));
    assert_eq!(ids(&facts)[0].0, "dropped-on-the-way", "full, and nothing was dropped");
}

#[test]
fn a_full_queue_of_half_open_connections_has_its_own_counter() {
    let mut facts = Facts { target_is_local: Some(true), ..facts() };
    facts.counters = Some(Counters { syn_queue_drops: 3, listen_drops: 3, ..Counters::default() });
    assert_eq!(ids(&facts), [("syn-queue-full".into(), Certainty::Proved)]);
}

#[test]
fn a_few_timeouts_among_successes_are_no_firewall() {
    let facts = Facts { opened: 1000, ..facts() };
    assert_eq!(ids(&facts), [("some-timed-out".into(), Certainty::Possible)]);
}

#[test]
fn one_source_that_always_fails_is_named_and_one_that_sometimes_fails_is_not() {
    let mut facts = Facts { opened: 12, started: 16, sources: 4, ..facts() };
    facts.failures[0].by_source = vec![("127.0.0.3".parse().unwrap(), 4)];
    let finding = diagnose(&facts).remove(0);
    assert_eq!((finding.id.as_str(), finding.certainty), ("some-sources-time-out", Certainty::Likely));
    assert!(finding.says.contains("127.0.0.3"), "{}", finding.says);
    facts.started = 32;
    facts.opened = 28;
    assert_eq!(ids(&facts)[0].0, "some-timed-out");
}

#[test]
fn resets_by_a_full_queue_are_no_fault_of_the_path() {
    let mut facts = Facts { target_is_local: Some(true), ..Facts::default() };
    facts.failures = vec![FailureFact::new(Failure::new(Stage::Session, Cause::Reset), 5)];
    facts.counters = Some(Counters { listen_overflows: 5, ..Counters::default() });
    assert_eq!(ids(&facts), [("reset-by-the-server".into(), Certainty::Possible)]);
    facts.host.tcp_abort_on_overflow = Some(true);
    assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
}
