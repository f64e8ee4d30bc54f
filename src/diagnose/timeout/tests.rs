use super::*;
use crate::diagnose::{Certainty, Listening, diagnose};
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::linux::ruleset::Ruleset;
use crate::model::{Failure, Lease};
use std::net::SocketAddr;

const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

fn facts() -> Facts {
    let timed_out = Failure::new(Stage::Connect, Cause::TimedOut);
    let lease = Some(Lease { source: None, port: None, destination: TO });
    Facts {
        destinations: vec![TO],
        syn_retransmits: 4,
        failures: vec![FailureFact { lease, ..FailureFact::new(timed_out, 4) }],
        ..Facts::default()
    }
}

fn listening(waiting: u32) -> Vec<Listening> {
    vec![Listening { waiting, drops: Some(0), ..Listening::at(TO, 16) }]
}

fn ids(facts: &Facts) -> Vec<(String, Certainty)> {
    diagnose(facts).into_iter().map(|finding| (finding.id.to_string(), finding.certainty)).collect()
}

#[test]
fn a_full_queue_is_proved_by_its_counter_on_this_host_only() {
    let mut facts = facts();
    facts.counters = Some(Counters { listen_overflows: 9, ..Counters::default() });
    facts.target_is_local = Some(true);
    assert_eq!(
        ids(&facts),
        [("dropped-on-the-way".into(), Certainty::Likely)],
        "the counter is every listener's of this host"
    );
    facts.target.listener_drops = Some(9);
    assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
    facts.target.listener_drops = Some(2);
    assert_eq!(ids(&facts)[0], ("accept-queue-full".into(), Certainty::Possible), "2 drops don't explain 4");
    facts.target.listener_drops = Some(9);
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
    assert_eq!(
        ids(&facts),
        [("dropped-on-the-way".into(), Certainty::Likely)],
        "there is room: a firewall, or DNAT"
    );
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
    assert_eq!(
        ids(&facts),
        [("conntrack-full".into(), Certainty::Likely)],
        "are these left out of tracking?"
    );
    facts.rules = Some(Ruleset::default());
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
    facts.counters = Some(Counters { listen_drops: 5, ..Counters::default() });
    facts.target.listener_drops = Some(5);
    facts.host.tcp_syncookies = Some(0);
    assert_eq!(ids(&facts), [("syn-queue-full".into(), Certainty::Proved)]);
    facts.host.tcp_syncookies = Some(1);
    assert_eq!(ids(&facts)[0].0, "dropped-on-the-way", "a full queue answers by cookies");
}

#[test]
fn a_few_timeouts_among_successes_are_no_firewall() {
    let facts = Facts { opened: 1000, ..facts() };
    assert_eq!(ids(&facts), [("some-timed-out".into(), Certainty::Likely)]);
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
    let mut facts = Facts { target_is_local: Some(true), destinations: vec![TO], ..Facts::default() };
    facts.failures = vec![FailureFact::new(Failure::new(Stage::Session, Cause::Reset), 5)];
    facts.counters = Some(Counters { listen_overflows: 5, ..Counters::default() });
    assert_eq!(ids(&facts), [("reset-by-the-server".into(), Certainty::Possible)]);
    facts.host.tcp_abort_on_overflow = Some(true);
    facts.target.listener_drops = Some(5);
    assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
}

#[test]
fn a_listener_that_demands_signatures_is_no_firewall() {
    let mut facts = Facts { target_is_local: Some(true), destinations: vec![TO], ..facts() };
    facts.listening = listening(0);
    facts.counters = Some(Counters { md5_not_found: 9, ..Counters::default() });
    assert_eq!(ids(&facts), [("tcp-md5-demanded".into(), Certainty::Likely)]);
    facts.counters = Some(Counters::default());
    assert_eq!(ids(&facts)[0].0, "dropped-on-the-way");
}

#[test]
fn answers_that_come_after_the_timeout_are_a_long_way_and_no_firewall() {
    let mut facts = facts();
    let to = ([192, 0, 2, 1], 9000).into();
    facts.failures[0].lease = Some(Lease { source: None, port: None, destination: to });
    facts.counters = Some(Counters { resets_sent: 4, ..Counters::default() });
    assert_eq!(ids(&facts), [("long-round-trip".into(), Certainty::Likely)]);
    facts.counters = Some(Counters { resets_sent: 1, ..Counters::default() });
    assert_eq!(ids(&facts), [("dropped-on-the-way".into(), Certainty::Likely)]);
}

#[test]
fn losses_below_all_never_mean_that_there_is_no_way() {
    let mut facts = Facts { opened: 75, started: 100, ..facts() };
    let to = ([10, 2, 0, 2], 9000);
    facts.failures[0].lease = Some(Lease { source: None, port: None, destination: to.into() });
    facts.places = vec![crate::diagnose::Place {
        is_local: Some(false),
        has_route: Some(true),
        by_default_route: Some(true),
        ..crate::diagnose::Place::unknown(std::net::IpAddr::from(to.0))
    }];
    assert_eq!(ids(&facts), [("some-timed-out".into(), Certainty::Likely)]);
    facts.opened = 0;
    assert_eq!(ids(&facts)[0].0, "private-address-out-of-reach");
}
