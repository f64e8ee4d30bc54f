//! Tests of the rules for ports, by cause.

use super::*;
use crate::diagnose::{Certainty, Moment, PortHolder, PortOwner, TuplePorts, diagnose};
use crate::linux::holders::Holder;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;
use crate::model::{Errno, Failure, Lease};

fn facts(time_wait: u64, established: u64) -> Facts {
    let destination = ([127, 0, 0, 1], 9000).into();
    let source = "127.0.0.2".parse().unwrap();
    let mut sockets = StateCounts::default();
    sockets.add(TcpState::TimeWait, time_wait);
    sockets.add(TcpState::Established, established);
    let mut facts = Facts {
        usable_ports: Some(1024),
        tuple: Some(TupleFact { source, destination, sockets, exact: true }),
        failures: vec![FailureFact {
            first_ordinal: 1024,
            lease: Some(Lease { source: Some(source), port: None, destination }),
            ..FailureFact::new(Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL), 76)
        }],
        ..Facts::default()
    };
    facts.host.ip_local_port_range = Some((40_000, 41_023));
    facts.host.tcp_tw_reuse = Some(0);
    facts
}

fn first(facts: &Facts) -> (String, Certainty) {
    let finding = diagnose(facts).remove(0);
    (finding.id.to_string(), finding.certainty)
}

#[test]
fn time_wait_and_live_connections_are_told_apart() {
    assert_eq!(first(&facts(1024, 0)), ("ports-exhausted-by-time-wait".into(), Certainty::Proved));
    assert_eq!(first(&facts(0, 1024)), ("ports-exhausted-by-live-connections".into(), Certainty::Proved));
    assert_eq!(first(&facts(300, 720)).0, "ports-exhausted-by-live-connections");
}

#[test]
fn an_estimate_proves_nothing() {
    let mut facts = facts(1024, 0);
    facts.tuple.as_mut().unwrap().exact = false;
    assert_eq!(first(&facts).1, Certainty::Likely);
}

#[test]
fn reserved_ports_are_named_with_their_number() {
    let mut facts = facts(0, 924);
    facts.usable_ports = Some(924);
    facts.host.ip_local_reserved_ports = "40100-40199".parse().unwrap();
    let finding = diagnose(&facts).remove(0);
    assert_eq!(finding.certainty, Certainty::Proved);
    assert!(finding.says.contains("keeps 100 of the 1024 ports"), "{}", finding.says);
    assert!(finding.remedies.iter().any(|r| r.contains("ip_local_reserved_ports")));
}

#[test]
fn reserved_ports_are_the_cause_where_they_are_more_than_are_left() {
    let mut facts = facts(0, 512);
    facts.usable_ports = Some(512);
    facts.host.ip_local_reserved_ports = "40000-40511".parse().unwrap();
    assert_eq!(first(&facts).0, "ports-exhausted-by-live-connections");
    facts.usable_ports = Some(511);
    facts.host.ip_local_reserved_ports = "40000-40512".parse().unwrap();
    let finding = diagnose(&facts).remove(0);
    assert_eq!(
        (finding.id.as_str(), finding.certainty),
        ("ports-exhausted-by-reserved-ports", Certainty::Proved)
    );
    assert!(finding.remedies[0].contains("ip_local_reserved_ports"), "{:?}", finding.remedies);
}

#[test]
fn connections_that_were_counted_after_they_ended_were_live() {
    let mut facts = facts(1024, 0);
    facts.held_max = 1024;
    facts.tuples = 1;
    assert_eq!(first(&facts), ("ports-exhausted-by-live-connections".into(), Certainty::Proved));
}

/// Facts with a look at the failing tuple: 1024 ports, of which so many are held in each way.
fn looked_at(change: impl FnOnce(&mut TuplePorts)) -> Facts {
    let mut facts = facts(0, 0);
    // The fullest tuple of any sample is another: it is not to be judged by.
    facts.tuple.as_mut().unwrap().source = "127.0.0.9".parse().unwrap();
    let failed = &facts.failures[0];
    let mut moment =
        Moment::new(failed.failure, failed.lease.unwrap(), failed.first_ordinal, failed.first_at);
    let mut ports =
        TuplePorts { low: 40_000, high: 41_023, usable: 1024, bound: Some(0), ..TuplePorts::default() };
    change(&mut ports);
    let held = ports.taken() as u32 + ports.listening + ports.bound.unwrap_or(0) + ports.elsewhere;
    ports.free = ports.usable - held;
    moment.ports = Some(ports);
    facts.moments.push(moment);
    facts
}

fn held_by_proxy(ports: &mut TuplePorts, count: u32) {
    let owner = PortOwner::Process(Holder { pid: 7, name: "proxy".into() });
    ports.holders = vec![PortHolder { owner, ports: count }];
}

#[test]
fn each_state_is_a_cause_of_its_own_with_its_side() {
    for (state, id, side) in [
        (TcpState::Established, "ports-exhausted-by-live-connections", Side::Generator),
        (TcpState::TimeWait, "ports-exhausted-by-time-wait", Side::Generator),
        (TcpState::FinWait2, "ports-exhausted-by-fin-wait-2", Side::Target),
        (TcpState::CloseWait, "ports-exhausted-by-close-wait", Side::Generator),
        (TcpState::LastAck, "ports-exhausted-by-last-ack", Side::Path),
    ] {
        let finding = diagnose(&looked_at(|ports| ports.own.add(state, 1024))).remove(0);
        assert_eq!((finding.id.as_str(), finding.certainty, finding.side), (id, Certainty::Proved, side));
    }
}

#[test]
fn time_wait_of_an_earlier_run_is_told_as_such() {
    let finding = diagnose(&looked_at(|ports| ports.earlier.add(TcpState::TimeWait, 1024))).remove(0);
    assert_eq!((finding.id.as_str(), finding.certainty), ("ports-exhausted-by-time-wait", Certainty::Proved));
    assert!(finding.says.contains("1024 left from before this run"), "{}", finding.says);
}

#[test]
fn several_causes_are_told_as_shares_and_none_is_proved() {
    let finding = diagnose(&looked_at(|ports| {
        ports.own.add(TcpState::Established, 600);
        ports.own.add(TcpState::TimeWait, 424);
    }))
    .remove(0);
    assert_eq!(finding.certainty, Certainty::Likely);
    assert!(
        finding.says.contains("600 of 1024 are open connections, 424 are in TIME_WAIT"),
        "{}",
        finding.says
    );
}

#[test]
fn listeners_of_others_are_no_poisoned_buckets() {
    let finding = diagnose(&looked_at(|ports| {
        ports.own.add(TcpState::Established, 624);
        ports.listening = 400;
        held_by_proxy(ports, 400);
    }))
    .remove(0);
    assert_eq!(
        (finding.id.as_str(), finding.certainty),
        ("ports-exhausted-by-other-sockets", Certainty::Proved)
    );
    assert!(finding.says.contains("proxy (pid 7, 400 sockets) (400 listening"), "{}", finding.says);
}

#[test]
fn poisoned_buckets_need_every_port_to_be_barred() {
    let poisoned = |elsewhere| {
        looked_at(|ports| {
            ports.own.add(TcpState::Established, 524);
            ports.elsewhere = elsewhere;
            held_by_proxy(ports, elsewhere);
        })
    };
    let finding = diagnose(&poisoned(500)).remove(0);
    assert_eq!(
        (finding.id.as_str(), finding.certainty),
        ("ports-exhausted-by-poisoned-buckets", Certainty::Proved)
    );
    assert!(finding.says.contains("proxy (pid 7, 500 sockets)"), "{}", finding.says);
    assert_eq!(first(&poisoned(300)), ("ports-exhausted".into(), Certainty::Possible), "200 ports were free");
}

#[test]
fn a_look_after_the_end_or_at_a_list_that_changed_proves_nothing() {
    let mut facts = looked_at(|ports| ports.own.add(TcpState::TimeWait, 1024));
    facts.moments[0].after_the_end = true;
    assert_eq!(first(&facts), ("ports-exhausted".into(), Certainty::Possible), "the run has closed them");
    facts.moments[0].after_the_end = false;
    facts.moments[0].ports.as_mut().unwrap().inconsistent = true;
    assert_eq!(first(&facts), ("ports-exhausted-by-time-wait".into(), Certainty::Likely));
}

#[test]
fn reserved_ports_outside_the_range_of_the_sockets_are_no_cause() {
    let mut facts = looked_at(|ports| {
        (ports.low, ports.high, ports.usable) = (20_000, 20_099, 100);
        ports.own.add(TcpState::Established, 100);
    });
    facts.host.ip_local_port_range = Some((10_000, 60_999));
    facts.host.ip_local_reserved_ports = "30000-60000".parse().unwrap();
    facts.usable_ports = Some(100);
    let finding = diagnose(&facts).remove(0);
    assert_eq!(finding.id.as_str(), "ports-exhausted-by-live-connections");
    assert!(
        finding.remedies.iter().all(|remedy| !remedy.contains("reserved_ports")),
        "{:?}",
        finding.remedies
    );
}

#[test]
fn address_in_use_from_bind_is_a_naive_bind_or_a_port_that_is_taken() {
    let mut facts = facts(0, 0);
    facts.failures[0].failure = Failure::from_errno(Stage::Bind, Errno::EADDRINUSE);
    assert_eq!(first(&facts).0, "ports-exhausted-by-naive-bind");
    facts.explicit_ports = true;
    assert_eq!(first(&facts).0, "explicit-port-taken");
}

#[test]
fn nothing_is_said_where_nothing_failed() {
    let mut facts = facts(1024, 0);
    facts.failures.clear();
    assert!(diagnose(&facts).is_empty());
}
