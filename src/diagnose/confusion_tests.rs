//! The rivals test: each rule gets the facts of every other experiment, and of each with something beside it that is
//! not its cause. The first finding stays the intended one, and nothing else is proved.

use super::*;
use crate::linux::addresses::{Neighbour, Route, RouteKind, RouteRefusal};
use crate::linux::holders::{Holder, Table};
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters};
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;
use crate::model::{Acknowledged, Cause, Errno, Failure, Lease, Stage};
use crate::protocol::Kind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(super) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

pub(super) fn remote() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 9000))
}

pub(super) fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(super) fn failed(failure: Failure, count: u64, to: SocketAddr) -> FailureFact {
    FailureFact {
        first_at: s(1.0),
        last_at: s(3.0),
        lease: Some(Lease { source: None, port: None, destination: to }),
        by_destination: vec![(to, count)],
        ..FailureFact::new(failure, count)
    }
}

/// A run to one destination in which these failed, and so many opened.
pub(super) fn run(to: SocketAddr, opened: u64, failures: Vec<FailureFact>) -> Facts {
    let count: u64 = failures.iter().map(|kind| kind.count).sum();
    let local = to.ip().is_loopback();
    let mut facts = Facts {
        destinations: vec![to],
        opened,
        started: opened + count,
        held_max: opened,
        tuples: 1,
        spoken: Some(Kind::Ws),
        failures,
        target_is_local: Some(local),
        counters: Some(Counters::default()),
        ..Facts::default()
    };
    if local {
        facts.listening = vec![Listening { drops: Some(0), ..Listening::at(to, 128) }];
        facts.target.listener_drops = Some(0);
        facts.target.listens_at_end = Some(true);
    }
    facts
}

pub(super) fn connect(errno: Errno) -> Failure {
    Failure::from_errno(Stage::Connect, errno)
}

pub(super) fn timed_out(stage: Stage) -> Failure {
    Failure::new(stage, Cause::TimedOut)
}

pub(super) fn no_port(time_wait: u64, live: u64) -> Facts {
    let mut sockets = StateCounts::default();
    sockets.add(TcpState::TimeWait, time_wait);
    sockets.add(TcpState::Established, live);
    let mut facts = run(LOCAL, 1024, vec![failed(connect(Errno::EADDRNOTAVAIL), 76, LOCAL)]);
    facts.usable_ports = Some(1024);
    facts.host.ip_local_port_range = Some((40_000, 41_023));
    facts.host.tcp_tw_reuse = Some(0);
    facts.held_max = live;
    let first = &facts.failures[0];
    let way = first.lease.unwrap_or(Lease { source: None, port: None, destination: LOCAL });
    let ports = TuplePorts { low: 40_000, high: 41_023, usable: 1024, own: sockets, ..TuplePorts::default() };
    let moment = Moment::new(first.failure, way, first.first_ordinal, first.first_at);
    facts.moments.push(Moment { ports: Some(ports), ..moment });
    facts
}

pub(super) fn place(to: SocketAddr, change: impl FnOnce(&mut Place)) -> Vec<Place> {
    let route =
        Route { kind: RouteKind::Unicast, source: None, gateway: None, interface: Some("eth0".into()) };
    let mut place = Place {
        is_local: Some(false),
        has_route: Some(true),
        by_default_route: Some(false),
        route: Some(route),
        ..Place::unknown(to.ip())
    };
    change(&mut place);
    vec![place]
}

/// Experiments: what should come first, and the facts that such a run gives.
pub(crate) fn experiments() -> Vec<(FindingId, Facts)> {
    use FindingId as Id;
    let mut all = vec![
        (Id::PortsExhaustedByTimeWait, no_port(1024, 0)),
        (Id::PortsExhaustedByLiveConnections, no_port(0, 1024)),
    ];
    let mut add = |id, facts: Facts, change: &dyn Fn(&mut Facts)| {
        let mut facts = facts;
        change(&mut facts);
        all.push((id, facts));
    };
    let refused = |count| failed(connect(Errno::ECONNREFUSED), count, LOCAL);
    add(Id::NothingListens, run(LOCAL, 0, vec![refused(50)]), &|facts| {
        facts.listening.clear();
        facts.target.listens_at_end = Some(false);
        facts.counters = Some(Counters { resets_sent: 50, ..Counters::default() });
    });
    add(Id::RefusedByFirewall, run(LOCAL, 0, vec![refused(50)]), &|_| {});
    add(Id::ListensOnAnotherAddress, run(LOCAL, 0, vec![refused(50)]), &|facts| {
        facts.listening = vec![Listening::at(SocketAddr::from(([10, 0, 0, 1], 9000)), 128)];
        facts.counters = Some(Counters { resets_sent: 50, ..Counters::default() });
    });
    add(Id::ListenerIsV6Only, run(LOCAL, 0, vec![refused(50)]), &|facts| {
        facts.listening =
            vec![Listening { v6_only: Some(true), ..Listening::at("[::]:9000".parse().unwrap(), 128) }];
        facts.counters = Some(Counters { resets_sent: 50, ..Counters::default() });
    });
    add(Id::TranslatedToDeadHost, run(LOCAL, 0, vec![refused(50)]), &|facts| facts.listening.clear());
    add(Id::ListenerAway, run(LOCAL, 100, vec![refused(50)]), &|facts| {
        facts.listener_seen_gone = true;
        facts.refusals =
            Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 50, opened_after: 50 });
    });
    add(Id::ServerGone, run(LOCAL, 100, vec![refused(50)]), &|facts| {
        facts.listener_seen_gone = true;
        facts.target.listens_at_end = Some(false);
        facts.listening.clear();
        facts.refusals =
            Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 100, opened_after: 0 });
    });
    add(
        Id::ConnectionLimit,
        run(remote(), 20, vec![failed(connect(Errno::ECONNREFUSED), 90, remote())]),
        &|facts| {
            facts.refusals =
                Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 20, opened_after: 0 });
            facts.plateau = Some(Plateau { held: 20, windows: 3, from: s(1.0), to: s(3.0) });
        },
    );
    let silent = |count, to| failed(timed_out(Stage::Connect), count, to);
    add(Id::DroppedOnTheWay, run(LOCAL, 0, vec![silent(20, LOCAL)]), &|facts| facts.syn_retransmits = 20);
    add(Id::DroppedOnTheWay, run(remote(), 0, vec![silent(20, remote())]), &|facts| {
        facts.syn_retransmits = 20
    });
    add(Id::AcceptQueueFull, run(LOCAL, 0, vec![silent(20, LOCAL)]), &|facts| {
        facts.listening[0].waiting = 129;
        facts.target.listener_drops = Some(44);
        facts.counters = Some(Counters { listen_overflows: 44, listen_drops: 44, ..Counters::default() });
    });
    add(Id::SynQueueFull, run(LOCAL, 0, vec![silent(20, LOCAL)]), &|facts| {
        facts.target.listener_drops = Some(44);
        facts.host.tcp_syncookies = Some(0);
    });
    add(Id::TcpMd5Demanded, run(LOCAL, 0, vec![silent(20, LOCAL)]), &|facts| {
        facts.counters = Some(Counters { md5_not_found: 40, ..Counters::default() });
    });
    add(Id::SomeTimedOut, run(remote(), 75, vec![silent(25, remote())]), &|_| {});
    add(Id::LongRoundTrip, run(remote(), 0, vec![silent(20, remote())]), &|facts| {
        facts.counters = Some(Counters { resets_sent: 20, ..Counters::default() });
    });
    add(Id::SomeSourcesTimeOut, run(remote(), 75, vec![silent(25, remote())]), &|facts| {
        facts.sources = 4;
        facts.failures[0].by_source = vec![("127.0.0.3".parse().unwrap(), 25)];
    });
    add(
        Id::NoSuchHost,
        run(remote(), 0, vec![failed(connect(Errno::EHOSTUNREACH), 20, remote())]),
        &|facts| {
            facts.places = place(remote(), |place| place.neighbour = Some(Neighbour::Silent));
        },
    );
    add(
        Id::RouteForbids,
        run(remote(), 0, vec![failed(connect(Errno::EHOSTUNREACH), 20, remote())]),
        &|facts| {
            facts.places = place(remote(), |place| {
                place.has_route = Some(false);
                place.refusal = Some(RouteRefusal::Unreachable);
            });
        },
    );
    add(Id::NoRoute, run(remote(), 0, vec![failed(connect(Errno::ENETUNREACH), 20, remote())]), &|facts| {
        facts.places = place(remote(), |place| place.has_route = Some(false));
    });
    add(Id::ConntrackFull, run(remote(), 60, vec![silent(40, remote())]), &|facts| {
        let lost = ConntrackDrops { drop: 80, ..ConntrackDrops::default() };
        facts.conntrack = Some((Conntrack { count: 100, max: 100, drops: Some(lost) }, lost));
    });
    add(Id::SnatPortsExhausted, run(remote(), 60, vec![silent(40, remote())]), &|facts| {
        let lost = ConntrackDrops { drop: 80, insert_failed: 80, ..ConntrackDrops::default() };
        facts.conntrack = Some((Conntrack { count: 100, max: 262_144, drops: Some(lost) }, lost));
    });
    add(
        Id::TargetOutOfDescriptors,
        run(LOCAL, 30, vec![failed(timed_out(Stage::Handshake), 30, LOCAL)]),
        &|facts| {
            let holder = Holder { pid: 7, name: "server".into() };
            facts.listening[0].waiting = 20;
            facts.server_table = Some(Table { holder, open: 64, limit: Some(64) });
        },
    );
    add(
        Id::SilentAfterConnect,
        run(remote(), 30, vec![failed(timed_out(Stage::Handshake), 30, remote())]),
        &|_| {},
    );
    let unanswered =
        |acknowledged| FailureFact { acknowledged, ..failed(timed_out(Stage::Session), 30, remote()) };
    let of = |all, not_all, sent_again| Acknowledged { all, not_all, sent_again };
    add(Id::NoAnswerInTheSession, run(remote(), 30, vec![unanswered(of(30, 0, 0))]), &|_| {});
    add(Id::MtuHole, run(remote(), 30, vec![unanswered(of(0, 30, 30))]), &|_| {});
    add(Id::SlowLink, run(remote(), 30, vec![unanswered(of(0, 30, 0))]), &|_| {});
    add(Id::ProcessFileLimit, run(remote(), 30, vec![failed(connect(Errno::EMFILE), 30, remote())]), &|_| {});
    add(Id::NotExplained, run(remote(), 30, vec![failed(connect(Errno(4000)), 30, remote())]), &|_| {});
    all
}

/// A thing beside the experiment that is not its cause.
type Distractor = (&'static str, fn(&mut Facts));

/// Things that happen beside, as the facts show them.
const DISTRACTORS: &[Distractor] = &[
    ("nothing", |_| {}),
    ("another listener overflows", |facts| {
        if let Some(counters) = &mut facts.counters {
            counters.listen_overflows += 500;
            counters.listen_drops += 500;
        }
    }),
    ("others' SYNs are sent again", |facts| {
        if let Some(counters) = &mut facts.counters {
            counters.syn_retransmits += 5_000;
            counters.retransmits += 5_000;
        }
    }),
    ("others' TIME_WAIT overflow", |facts| {
        if let Some(counters) = &mut facts.counters {
            counters.time_wait_killed += 500;
        }
    }),
    ("the hosts file has the name", |facts| {
        let ip = facts.destinations[0].ip();
        let name = "db.internal".to_owned();
        facts.name = Some(Name { name, answers: vec![ip], in_hosts_file: vec![ip], ..Name::default() });
    }),
    ("a proxy variable is set", |facts| {
        facts.proxies = vec![Proxy::new("http_proxy", "http://proxy.example:3128")];
    }),
    ("another program listens", |facts| {
        facts.listening.push(Listening { waiting: 900, ..Listening::at(([127, 0, 0, 1], 7777).into(), 5) });
    }),
    ("another program holds ports", |facts| {
        let holder = Holder { pid: 99, name: "other".into() };
        // Autobound, to another server: those ports are no obstacle, and the tuple's own are counted first.
        let owner = PortOwner::Process(holder);
        for ports in facts.moments.iter_mut().filter_map(|moment| moment.ports.as_mut()) {
            ports.holders = vec![PortHolder { owner: owner.clone(), ports: 500 }];
        }
    }),
    ("a few SYNs are lost", |facts| facts.syn_retransmits += 4),
    ("packets without a route arrive", |facts| {
        if let Some(counters) = &mut facts.counters {
            counters.no_routes_in += 40;
            counters.reverse_path_drops += 40;
            counters.icmp_unreachable_in += 40;
        }
    }),
    ("reserved ports outside the range", |facts| {
        facts.host.ip_local_reserved_ports = "1000-20000".parse().unwrap();
    }),
    ("connection tracking has entries", |facts| {
        if facts.conntrack.is_none() {
            let none = ConntrackDrops::default();
            facts.conntrack = Some((Conntrack { count: 900, max: 262_144, drops: Some(none) }, none));
        }
    }),
];

#[test]
fn nothing_beside_an_experiment_takes_its_place_or_is_proved() {
    let mut wrong = Vec::new();
    for (intended, facts) in experiments() {
        for (beside, change) in DISTRACTORS {
            let mut facts = facts.clone();
            change(&mut facts);
            let found = diagnose(&facts);
            let first = found.first().map(|finding| finding.id);
            if first != Some(intended) {
                wrong.push(format!("{intended} beside '{beside}' begins with {first:?}"));
            }
            for finding in found.iter().filter(|f| f.certainty == Certainty::Proved && f.id != intended) {
                wrong.push(format!("{intended} beside '{beside}' proves {}", finding.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_failure_is_explained_or_told_as_not_explained() {
    for (intended, facts) in experiments() {
        let found = diagnose(&facts);
        let explained: u64 = found.iter().map(|finding| finding.explains).max().unwrap_or(0);
        assert!(explained * 10 >= facts.failed_attempts() * 9, "{intended}: {explained}");
    }
}

#[test]
fn what_explains_no_failure_never_goes_before_what_does() {
    for (intended, mut facts) in experiments() {
        // Proved, and of no failure.
        facts.counters.get_or_insert_default().time_wait_overflow = 900;
        let found = diagnose(&facts);
        assert_eq!(found[0].id, intended);
        assert!(found.is_sorted_by_key(|finding| std::cmp::Reverse(finding.explains)), "{intended}");
    }
}
