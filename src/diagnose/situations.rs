//! Situations with a known cause that no experiment of the lab has: two causes at once, and the cause that looks like
//! another and is not. Each is the facts of such a run, what should be said first, and what else may be proved.

use super::confusion_tests::{LOCAL, connect, failed, no_port, place, remote, run, s, timed_out};
use super::*;
use crate::linux::addresses::{Neighbour, RouteRefusal};
use crate::linux::holders::Holder;
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::linux::ruleset::Ruleset;
use crate::model::{Acknowledged, Cause, Errno, Failure, Lease, Stage};
use std::net::{IpAddr, SocketAddr};

/// Outcome that a situation should have.
pub(crate) struct Situation {
    /// The truth.
    pub(crate) truth: &'static str,
    /// Findings that explain failures, the one that explains the most first, each with the number.
    wanted: Vec<(FindingId, u64)>,
    /// Findings that may be proved.
    may_be_proved: Vec<FindingId>,
    pub(crate) facts: Facts,
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn lease(source: Option<&str>, port: Option<u16>, destination: SocketAddr) -> Lease {
    Lease { source: source.map(ip), port, destination }
}

/// Failures of one kind by destination.
fn by(failure: Failure, counts: &[(SocketAddr, u64)]) -> FailureFact {
    let count = counts.iter().map(|(_, count)| count).sum();
    FailureFact { by_destination: counts.to_vec(), ..failed(failure, count, counts[0].0) }
}

/// A run to several local ports, at all of which but those that are left out something listens.
fn ports_of(opened: u64, listening: &[u16], silent: &[u16], failures: Vec<FailureFact>) -> Facts {
    let mut facts = run(LOCAL, opened, failures);
    facts.destinations = listening.iter().chain(silent).map(|port| at(*port)).collect();
    facts.listening = listening.iter().map(|port| Listening::at(at(*port), 128)).collect();
    facts.target.listener_drops = None;
    facts
}

pub(crate) fn all() -> Vec<Situation> {
    let mut all = two_causes();
    all.extend(of_this_host());
    all.extend(look_alikes());
    all
}

fn add(
    all: &mut Vec<Situation>,
    truth: &'static str,
    (wanted, may_be_proved): (&[(FindingId, u64)], &[FindingId]),
    facts: Facts,
) {
    let (wanted, may_be_proved) = (wanted.to_vec(), may_be_proved.to_vec());
    all.push(Situation { truth, wanted, may_be_proved, facts });
}

fn two_causes() -> Vec<Situation> {
    use FindingId as Id;
    let mut all = Vec::new();
    let refused = connect(Errno::ECONNREFUSED);
    let silent = timed_out(Stage::Connect);

    let mut facts =
        ports_of(75, &[9000], &[9001], vec![by(refused, &[(at(9001), 100)]), by(silent, &[(at(9000), 25)])]);
    facts.counters = Some(Counters { resets_sent: 100, ..Counters::default() });
    add(
        &mut all,
        "nothing listens on one of two ports, and SYNs to the other are lost",
        (
            &[(Id::SomeAddressesFail, 100), (Id::NothingListens, 100), (Id::SomeTimedOut, 25)],
            &[Id::SomeAddressesFail, Id::NothingListens],
        ),
        facts,
    );

    let mut facts = no_port(1024, 0);
    facts.destinations = vec![LOCAL, at(9009)];
    facts.opened = 1000;
    facts.failures.push(by(refused, &[(at(9009), 1076)]));
    facts.started = 2152;
    facts.counters = Some(Counters { resets_sent: 1076, ..Counters::default() });
    add(
        &mut all,
        "one of two ports is dead, and the other's tuple is full of TIME_WAIT",
        (
            &[(Id::SomeAddressesFail, 1076), (Id::NothingListens, 1076), (Id::PortsExhaustedByTimeWait, 76)],
            &[Id::SomeAddressesFail, Id::NothingListens, Id::PortsExhaustedByTimeWait],
        ),
        facts,
    );

    let mut facts = no_port(20, 1004);
    facts.failures[0].count = 1000;
    facts.failures[0].last_at = s(4.5);
    let window = |at, failed, time_wait| PortWindow {
        at: s(at),
        failed,
        sockets: Some((time_wait, 1024 - time_wait)),
    };
    facts.port_windows = vec![
        window(2.0, 100, 30),
        window(3.0, 450, 1000),
        PortWindow { sockets: None, ..window(4.0, 450, 0) },
    ];
    add(
        &mut all,
        "open connections fill the tuple, then close, and it is their TIME_WAIT that fills it",
        (
            &[(Id::PortsExhaustedByTimeWait, 900), (Id::PortsExhaustedByLiveConnections, 100)],
            &[Id::PortsExhaustedByTimeWait, Id::PortsExhaustedByLiveConnections],
        ),
        facts,
    );

    let mut facts = no_port(0, 1024);
    facts.port_windows = vec![window(3.01, 75, 1024)];
    add(
        &mut all,
        "open connections fill the tuple, and the run closes them before the last look",
        (&[(Id::PortsExhaustedByLiveConnections, 76)], &[Id::PortsExhaustedByLiveConnections]),
        facts,
    );

    let v6: SocketAddr = "[::1]:9000".parse().unwrap();
    let mut facts = run(LOCAL, 50, vec![by(connect(Errno::EADDRNOTAVAIL), &[(v6, 50)])]);
    facts.destinations = vec![LOCAL, v6];
    facts.target.listener_drops = None;
    facts.places =
        vec![Place { refusal: Some(RouteRefusal::NoRoute), is_local: Some(true), ..Place::unknown(v6.ip()) }];
    add(
        &mut all,
        "the name has ::1 and 127.0.0.1, and IPv6 is off",
        (&[(Id::Ipv6Off, 50), (Id::SomeAddressesFail, 50)], &[Id::Ipv6Off]),
        facts,
    );

    let (full, both) = (Failure::new(Stage::Handshake, Cause::Reset), timed_out(Stage::Connect));
    let mut facts = run(LOCAL, 60, vec![failed(full, 40, LOCAL), failed(both, 10, LOCAL)]);
    facts.host.tcp_abort_on_overflow = Some(true);
    facts.target.listener_drops = Some(80);
    facts.counters = Some(Counters { listen_overflows: 80, listen_drops: 80, ..Counters::default() });
    add(
        &mut all,
        "a full accept queue resets some (tcp_abort_on_overflow) and drops the SYNs of others",
        (&[(Id::AcceptQueueFull, 50)], &[Id::AcceptQueueFull]),
        facts,
    );

    let emfile = FailureFact { ..failed(connect(Errno::EMFILE), 30, remote()) };
    let facts = run(remote(), 30, vec![emfile, failed(connect(Errno::ENFILE), 20, remote())]);
    add(
        &mut all,
        "the process meets its limit of descriptors, and then the machine meets its own",
        (
            &[(Id::ProcessFileLimit, 30), (Id::SystemFileLimit, 20)],
            &[Id::ProcessFileLimit, Id::SystemFileLimit],
        ),
        facts,
    );

    let mut facts = run(remote(), 60, vec![failed(refused, 30, remote()), failed(silent, 9, remote())]);
    facts.sources = 3;
    facts.source_weights = vec![(ip("10.0.0.1"), 1), (ip("10.0.0.2"), 1), (ip("10.0.0.3"), 1)];
    facts.failures[0].by_source = vec![(ip("10.0.0.3"), 30)];
    facts.failures[1].by_source = vec![(ip("10.0.0.1"), 5), (ip("10.0.0.2"), 4)];
    add(
        &mut all,
        "a rule refuses one of three sources, and SYNs of the others are lost",
        (&[(Id::RefusedForOneSource, 30), (Id::SomeTimedOut, 9)], &[]),
        facts,
    );

    let mut facts = run(remote(), 190, vec![failed(silent, 110, remote())]);
    facts.syn_retransmits = 110;
    facts.sources = 3;
    facts.source_weights = vec![(ip("10.0.0.1"), 1), (ip("10.0.0.2"), 1), (ip("10.0.0.3"), 1)];
    facts.failures[0].by_source = vec![(ip("10.0.0.1"), 6), (ip("10.0.0.2"), 5), (ip("10.0.0.3"), 99)];
    add(
        &mut all,
        "answers to one of three sources find no way back, and a few SYNs of all are lost",
        (&[(Id::SomeSourcesTimeOut, 99), (Id::SomeTimedOut, 11)], &[]),
        facts,
    );

    let (near, far) = (SocketAddr::from(([10, 0, 0, 9], 80)), SocketAddr::from(([192, 168, 7, 7], 80)));
    let unreachable = [(near, 20), (far, 20)];
    let mut facts = run(near, 0, vec![by(connect(Errno::EHOSTUNREACH), &unreachable)]);
    facts.destinations = vec![near, far];
    facts.places = place(near, |place| {
        place.neighbour = Some(Neighbour::Silent);
        place.network = Some("eth0".into());
    });
    facts.places.extend(place(far, |place| place.by_default_route = Some(true)));
    add(
        &mut all,
        "no host has the one address, and the other is private and elsewhere",
        (&[(Id::NoSuchHost, 20), (Id::PrivateAddressOutOfReach, 20)], &[Id::NoSuchHost]),
        facts,
    );

    let mut facts = run(remote(), 50, vec![by(connect(Errno::EINVAL), &[(near, 50)])]);
    facts.destinations = vec![remote(), near];
    facts.places = place(near, |place| {
        place.has_route = Some(false);
        place.refusal = Some(RouteRefusal::Blackhole);
    });
    add(
        &mut all,
        "a blackhole route covers one of two addresses",
        (&[(Id::SomeAddressesFail, 50), (Id::RouteForbids, 50)], &[Id::SomeAddressesFail, Id::RouteForbids]),
        facts,
    );

    let codes = |code| FailureFact {
        icmp_code: u8::try_from(code).ok(),
        ..failed(Failure { code: Some(code), ..connect(Errno::EHOSTUNREACH) }, 20, remote())
    };
    let facts = run(remote(), 0, vec![codes(1), codes(13)]);
    add(
        &mut all,
        "one of two gateways knows no host, the other prohibits",
        (&[(Id::RefusedByFirewall, 20), (Id::HostUnreachable, 20)], &[Id::RefusedByFirewall]),
        facts,
    );

    let mut facts = run(LOCAL, 100, vec![failed(refused, 50, LOCAL), failed(silent, 15, LOCAL)]);
    facts.listener_seen_gone = true;
    facts.refusals = Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 50, opened_after: 50 });
    add(
        &mut all,
        "the server restarts on a lossy way",
        (&[(Id::ListenerAway, 50), (Id::SomeTimedOut, 15)], &[Id::ListenerAway]),
        facts,
    );

    let not_http = Failure::new(Stage::Handshake, Cause::NotHttp);
    let other = SocketAddr::from(([192, 0, 2, 8], 9000));
    let mut facts = run(remote(), 100, vec![by(not_http, &[(other, 50)])]);
    facts.started = 100;
    facts.destinations = vec![remote(), other];
    add(
        &mut all,
        "one of two hosts of the name has an SSH server on that port",
        (
            &[(Id::SomeAddressesFail, 50), (Id::ReplyIsNotHttp, 50)],
            &[Id::SomeAddressesFail, Id::ReplyIsNotHttp],
        ),
        facts,
    );
    all
}

fn of_this_host() -> Vec<Situation> {
    use FindingId as Id;
    let mut all = Vec::new();
    let no_address = Failure::from_errno(Stage::Bind, Errno::EADDRNOTAVAIL);
    let (missing, duplicate) = (ip("fd00::9"), ip("fd00::5"));
    let to: SocketAddr = "[fd00::1]:80".parse().unwrap();

    let mut kind = failed(no_address, 40, to);
    kind.by_source = vec![(duplicate, 20), (missing, 20)];
    kind.lease = Some(lease(Some("fd00::5"), None, to));
    let mut facts = run(to, 20, vec![kind]);
    facts.foreign_sources = vec![missing];
    let mut moment = Moment::new(no_address, lease(Some("fd00::5"), None, to), 0, s(1.0));
    moment.address = Some(SourceAddress {
        is_local: true,
        interface: Some("eth0".into()),
        tentative: false,
        duplicate: true,
    });
    facts.moments.push(moment);
    add(
        &mut all,
        "one source is missing, another is a duplicate",
        (
            &[(Id::SourceAddressNotLocal, 20), (Id::AddressDuplicate, 20)],
            &[Id::SourceAddressNotLocal, Id::AddressDuplicate],
        ),
        facts,
    );

    let mut kind = failed(no_address, 20, to);
    kind.lease = Some(lease(Some("fd00::9"), None, to));
    let mut facts = run(to, 0, vec![kind]);
    facts.foreign_sources = vec![missing];
    let mut moment = Moment::new(no_address, lease(Some("fd00::9"), None, to), 0, s(1.0));
    moment.ipv6_disabled = Some(true);
    facts.moments.push(moment);
    add(&mut all, "an IPv6 source, on a host without IPv6", (&[(Id::Ipv6Off, 20)], &[Id::Ipv6Off]), facts);

    let in_use = Failure::from_errno(Stage::Bind, Errno::EADDRINUSE);
    let mut kind = failed(in_use, 20, LOCAL);
    kind.lease = Some(lease(Some("127.0.0.2"), Some(20_007), LOCAL));
    let mut facts = run(LOCAL, 80, vec![kind]);
    facts.explicit_ports = true;
    let holder = Some(Holder { pid: 7, name: "postgres".into() });
    facts.listening.push(Listening { holder, ..Listening::at(([0, 0, 0, 0], 20_007).into(), 128) });
    add(
        &mut all,
        "another program listens on a port of the explicit range",
        (&[(Id::ExplicitPortTaken, 20)], &[Id::ExplicitPortTaken]),
        facts,
    );

    let denied = Failure::from_errno(Stage::Bind, Errno::EACCES);
    let mut kind = failed(denied, 20, LOCAL);
    kind.lease = Some(lease(None, Some(80), LOCAL));
    let mut facts = run(LOCAL, 0, vec![kind]);
    facts.explicit_ports = true;
    add(
        &mut all,
        "an unprivileged user asks for ports below 1024",
        (&[(Id::ConnectNotPermitted, 20)], &[Id::ConnectNotPermitted]),
        facts,
    );

    let mut facts = no_port(1024, 0);
    facts.failures[0].failure = in_use;
    facts.moments[0].failure = in_use;
    add(
        &mut all,
        "a naive bind to one destination: its own TIME_WAIT has all ports",
        (&[(Id::PortsExhaustedByNaiveBind, 76)], &[Id::PortsExhaustedByNaiveBind]),
        facts,
    );

    let mut facts = no_port(0, 1024);
    facts.destinations = vec![LOCAL, at(9009)];
    facts.opened = 1924;
    facts.started = 22_000;
    facts.failures[0].count = 20_076;
    facts.failures[0].by_destination = vec![(LOCAL, 10_076), (at(9009), 10_000)];
    add(
        &mut all,
        "the tuples of both destinations are full for most of the run",
        (&[(Id::PortsExhaustedByLiveConnections, 20_076)], &[Id::PortsExhaustedByLiveConnections]),
        facts,
    );

    let mut facts = run(remote(), 20, vec![failed(timed_out(Stage::Connect), 5, remote())]);
    facts.counters = Some(Counters { time_wait_overflow: 900, ..Counters::default() });
    add(
        &mut all,
        "another program's TIME_WAIT is capped, and a few SYNs are lost",
        (&[(Id::SomeTimedOut, 5)], &[]),
        facts,
    );
    all
}

fn look_alikes() -> Vec<Situation> {
    use FindingId as Id;
    let mut all = Vec::new();
    let silent = timed_out(Stage::Connect);
    let long = |count, from: f64, to: f64, timeout: f64| FailureFact {
        first_at: s(from),
        last_at: s(to),
        ages: Some((s(timeout), s(timeout))),
        ..failed(silent, count, remote())
    };

    let mut facts = run(LOCAL, 500, vec![failed(silent, 50, LOCAL)]);
    (facts.failures[0].first_at, facts.failures[0].last_at) = (s(20.0), s(25.0));
    facts.target.listener_drops = Some(300);
    facts.target.drops_by = vec![(s(2.0), 200), (s(3.0), 100)];
    facts.counters = Some(Counters { listen_overflows: 300, listen_drops: 300, ..Counters::default() });
    facts.rules = Some(Ruleset { drops: 1, ..Ruleset::default() });
    add(
        &mut all,
        "the listener overflowed long before; now a rule drops",
        (&[(Id::SomeTimedOut, 50)], &[]),
        facts,
    );

    let mut facts = run(remote(), 60, vec![failed(silent, 400, remote())]);
    let lost = ConntrackDrops { drop: 2, ..ConntrackDrops::default() };
    facts.conntrack = Some((Conntrack { count: 1000, max: 1000, drops: Some(lost) }, lost));
    facts.rules = Some(Ruleset::default());
    add(
        &mut all,
        "the table is full and has lost two packets; 400 attempts timed out of another cause",
        (&[(Id::SomeTimedOut, 400)], &[]),
        facts,
    );

    let icmp = |count, from: f64, to: f64| FailureFact {
        first_at: s(from),
        last_at: s(to),
        ..failed(Failure { cause: Cause::RefusedIcmp, ..connect(Errno::ECONNREFUSED) }, count, remote())
    };
    let mut facts = run(remote(), 0, vec![icmp(1, 0.1, 0.1), long(500, 1.1, 60.0, 1.0)]);
    facts.syn_retransmits = 500;
    add(
        &mut all,
        "one attempt was rejected at the beginning, all others of a minute were dropped",
        (&[(Id::DroppedOnTheWay, 500), (Id::RefusedByFirewall, 1)], &[Id::RefusedByFirewall]),
        facts,
    );
    let mut facts = run(remote(), 0, vec![icmp(58, 0.1, 59.5), long(500, 1.1, 60.0, 1.0)]);
    facts.syn_retransmits = 500;
    add(
        &mut all,
        "a router rejects, and sends one ICMP message a second",
        (&[(Id::RefusedByFirewall, 558)], &[]),
        facts,
    );

    let looked = |by_then, resets| {
        let mut facts = run(remote(), 0, vec![long(60, 1.0, 4.0, 1.0)]);
        facts.syn_retransmits = 60;
        facts.counters = Some(Counters { resets_sent: resets, ..Counters::default() });
        let mut moment = Moment::new(silent, lease(None, None, remote()), 0, s(1.0));
        moment.counters = Some(Counters { resets_sent: by_then, ..Counters::default() });
        facts.moments.push(moment);
        facts
    };
    add(
        &mut all,
        "another program is refused all the while, as often as attempts are dropped",
        (&[(Id::DroppedOnTheWay, 60)], &[]),
        looked(15, 62),
    );
    add(
        &mut all,
        "the round trip is longer than the timeout; the last answers come after the end",
        (&[(Id::LongRoundTrip, 60)], &[]),
        looked(0, 47),
    );

    let mut facts = run(LOCAL, 0, vec![failed(silent, 20, LOCAL)]);
    facts.syn_retransmits = 20;
    facts.rules = Some(Ruleset::default());
    facts.counters = Some(Counters { ao_required: 60, ..Counters::default() });
    add(&mut all, "the listener demands TCP-AO", (&[(Id::TcpMd5Demanded, 20)], &[]), facts);

    let session = |cause| Failure::new(Stage::Session, cause);
    let mut ends = failed(session(Cause::ClosedEarly), 40, remote());
    ends.failure.step = Some(3);
    ends.answers = vec![(3, 40)];
    ends.ages = Some((s(0.5), s(3.0)));
    let facts = Facts { planned_messages: None, ..run(remote(), 40, vec![ends]) };
    add(
        &mut all,
        "the server does not take what the fourth step sends, and closes",
        (&[(Id::KeepAliveLimit, 40)], &[]),
        facts,
    );

    let lossy = FailureFact {
        acknowledged: Acknowledged { all: 1, not_all: 29, sent_again: 29 },
        ..failed(timed_out(Stage::Session), 30, LOCAL)
    };
    let mut facts = run(LOCAL, 30, vec![lossy]);
    facts.target.process_state = Some('S');
    add(
        &mut all,
        "large packets are lost in a session; the server is well",
        (&[(Id::MtuHole, 29)], &[]),
        facts,
    );

    let mut facts = run(LOCAL, 0, vec![failed(silent, 20, LOCAL)]);
    facts.syn_retransmits = 20;
    facts.target.listener_drops = Some(60);
    facts.counters = Some(Counters::default());
    add(
        &mut all,
        "the listener's own socket filter drops every SYN: no queue has overflowed",
        (&[(Id::DroppedOnTheWay, 20)], &[]),
        facts,
    );

    let mut facts = ports_of(50, &[9000], &[9001], vec![by(silent, &[(at(9001), 50)])]);
    facts.syn_retransmits = 50;
    add(
        &mut all,
        "a rule drops what goes to a port on which nothing listens either",
        (&[(Id::SomeAddressesFail, 50), (Id::DroppedOnTheWay, 50)], &[]),
        facts,
    );

    let mut facts = run(LOCAL, 0, vec![failed(connect(Errno::ECONNREFUSED), 50, LOCAL)]);
    facts.counters = Some(Counters { resets_sent: 400, ..Counters::default() });
    facts.listening.clear();
    facts.rules = Some(Ruleset { redirects: 1, ..Ruleset::default() });
    add(
        &mut all,
        "a rule leads to a dead host, while other programs are refused by this one",
        (&[(Id::NothingListens, 50)], &[]),
        facts,
    );

    let mut facts = run(LOCAL, 100, vec![failed(timed_out(Stage::Handshake), 30, LOCAL)]);
    facts.target.process_state = Some('T');
    let mut moment = Moment::new(timed_out(Stage::Handshake), lease(None, None, LOCAL), 0, s(1.0));
    moment.listener = Some(ListenerNow { stopped: Some(false), ..ListenerNow::idle(LOCAL) });
    facts.moments.push(moment);
    add(
        &mut all,
        "the server was slow, and a debugger stopped it after the failures",
        (&[(Id::TargetStopped, 30)], &[]),
        facts,
    );
    all
}

#[test]
fn each_cause_explains_its_own_failures_and_nothing_false_is_proved() {
    let mut wrong = Vec::new();
    for Situation { truth, wanted, may_be_proved, facts } in all() {
        let found = diagnose(&facts);
        let told: Vec<(FindingId, u64)> = found
            .iter()
            .filter(|finding| finding.explains > 0)
            .map(|finding| (finding.id, finding.explains))
            .collect();
        if told != wanted {
            wrong.push(format!("{truth}:\n    wanted {wanted:?}\n    told   {told:?}"));
        }
        for finding in &found {
            if finding.certainty == Certainty::Proved && !may_be_proved.contains(&finding.id) {
                wrong.push(format!("{truth}: proves {}", finding.id));
            }
        }
        for id in &may_be_proved {
            if !found.iter().any(|finding| finding.id == *id && finding.certainty == Certainty::Proved) {
                wrong.push(format!("{truth}: does not prove {id}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_situation_is_without_a_remedy() {
    for Situation { truth, facts, .. } in all() {
        for finding in diagnose(&facts) {
            assert!(!finding.remedies.is_empty(), "{truth}: {}", finding.id);
        }
    }
}

#[test]
fn there_are_two_dozen() {
    assert!(all().len() >= 24, "{}", all().len());
}
