use super::*;
use crate::diagnose::{Certainty, FindingId};
use crate::linux::holders::{Holder, Table};
use crate::linux::proc_net::Conntrack;
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;

/// A tuple of one program with sockets in these states.
pub(crate) fn tuple(states: &[(TcpState, u64)], usable: u64) -> TupleSeen {
    let mut sockets = StateCounts::default();
    states.iter().for_each(|(state, count)| sockets.add(*state, *count));
    TupleSeen {
        source: "10.0.0.2".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
        seen_at_s: 8.25,
        exact: true,
        age_s: 0.0,
        sockets,
        ports_used: sockets.total(),
        ports_usable: usable,
        ports_bound: 0,
        ports_poisoned: 0,
        reusable: 0,
        outside_range: 0,
        syn_sent_again: 0,
        closed_per_s: None,
        taken_per_s: None,
        time_left_s: None,
        ceiling_per_s: None,
        chosen: PortChoice::Connect,
        holders: vec![TupleHolder { pid: 4711, name: "hey".into(), processes: 1, seen: true }],
    }
}

fn facts(tuple: TupleSeen) -> WatchedFacts {
    let host = HostSettings { ip_local_port_range: Some((40_000, 41_023)), ..HostSettings::default() };
    WatchedFacts { host, tuples: vec![tuple], ..WatchedFacts::default() }
}

fn first(facts: &WatchedFacts) -> (FindingId, Certainty) {
    let findings = diagnose(facts);
    (findings[0].id, findings[0].certainty)
}

#[test]
fn what_holds_nine_tenths_of_a_full_tuple_is_the_cause() {
    use TcpState::{CloseWait, Established, FinWait2, LastAck, TimeWait};
    for (state, id) in [
        (TimeWait, FindingId::PortsExhaustedByTimeWait),
        (Established, FindingId::PortsExhaustedByLiveConnections),
        (FinWait2, FindingId::PortsExhaustedByFinWait2),
        (CloseWait, FindingId::PortsExhaustedByCloseWait),
        (LastAck, FindingId::PortsExhaustedByLastAck),
    ] {
        assert_eq!(first(&facts(tuple(&[(state, 1024)], 1024))), (id, Certainty::Proved));
    }
    let mixed = tuple(&[(TimeWait, 600), (Established, 424)], 1024);
    assert_eq!(
        first(&facts(mixed)),
        (FindingId::PortsExhausted, Certainty::Proved),
        "that none is left is proved"
    );
}

#[test]
fn nothing_is_proved_by_parts_or_with_a_port_left() {
    let full = tuple(&[(TcpState::TimeWait, 1024)], 1024);
    assert_eq!(first(&facts(TupleSeen { exact: false, ..full.clone() })).1, Certainty::Possible);
    let one_left = tuple(&[(TcpState::TimeWait, 1023)], 1024);
    assert_eq!(first(&facts(one_left)), (FindingId::PortsRunningLow, Certainty::Proved), "that few are left");
    let quiet = tuple(&[(TcpState::TimeWait, 100)], 1024);
    assert_eq!(diagnose(&facts(quiet.clone())), []);
    let soon = TupleSeen { time_left_s: Some(9.0), ..quiet };
    assert_eq!(diagnose(&facts(soon)), [], "a tenth, however fast, may be a burst");
    let half = TupleSeen { time_left_s: Some(9.0), ..tuple(&[(TcpState::TimeWait, 512)], 1024) };
    assert_eq!(
        first(&facts(half)),
        (FindingId::PortsRunningLow, Certainty::Possible),
        "a forecast is no proof"
    );
}

#[test]
fn ports_of_a_naive_bind_are_never_more_than_likely() {
    let bound = TupleSeen { chosen: PortChoice::Bind, ..tuple(&[(TcpState::TimeWait, 1024)], 1024) };
    assert_eq!(first(&facts(bound.clone())), (FindingId::PortsExhaustedByNaiveBind, Certainty::Likely));
    let says = &diagnose(&facts(bound))[0].says;
    assert!(says.contains("EADDRINUSE") && !says.contains("EADDRNOTAVAIL"), "{says}");
    let few = TupleSeen { chosen: PortChoice::Bind, ..tuple(&[(TcpState::TimeWait, 100)], 1024) };
    assert_eq!(first(&facts(few)), (FindingId::BindsWithoutNoPort, Certainty::Likely));
    let kept_away = TupleSeen { ports_poisoned: 900, ..tuple(&[(TcpState::TimeWait, 124)], 124) };
    assert_eq!(first(&facts(kept_away)), (FindingId::PortsExhaustedByPoisonedBuckets, Certainty::Likely));
}

#[test]
fn the_remedy_is_the_programs_own_and_none_that_is_in_use() {
    let of = |name: &str| {
        let mut full = tuple(&[(TcpState::TimeWait, 1024)], 1024);
        full.holders[0].name = name.into();
        diagnose(&facts(full))[0].remedies.join("\n")
    };
    for (name, remedy) in [
        ("hey", "-disable-keepalive"),
        ("ab", "add -k"),
        ("python3.11", "requests.Session"),
        ("node", "keepAlive: true"),
        ("haproxy", "http-reuse always"),
        ("nginx", "keepalive 64"),
        ("php-fpm8.2", "curl_init"),
        ("my-own-client", "keep connections open"),
        ("about", "keep connections open"),
    ] {
        assert!(of(name).contains(remedy), "{name}: {}", of(name));
    }
    let mut reused = facts(tuple(&[(TcpState::TimeWait, 1024)], 1024));
    assert!(diagnose(&reused)[0].remedies.iter().any(|one| one.contains("tcp_tw_reuse=1")));
    reused.tuples[0].ceiling_per_s = Some(1024.0);
    let told = &diagnose(&reused)[0];
    assert!(!told.remedies.iter().any(|one| one.contains("tcp_tw_reuse")), "{:?}", told.remedies);
    assert!(told.says.contains("1024 connections a second"), "{}", told.says);
}

#[test]
fn programs_and_listeners_in_trouble_are_named() {
    let holder = Holder { pid: 7, name: "leaky".into() };
    let table = |open| Table { holder: holder.clone(), open, limit: Some(1024) };
    let half = |for_long, oldest_s| HalfClosed {
        end: HalfClosedEnd::AcceptedOn(80),
        holder: Some(holder.clone()),
        sockets: for_long,
        for_long,
        oldest_s,
    };
    let listener = |dropped, waiting_max| ListenerSeen {
        address: "0.0.0.0:80".parse().unwrap(),
        waiting: 0,
        backlog: 16,
        waiting_max,
        dropped,
        holder: Some(holder.clone()),
    };
    let judged = |facts: WatchedFacts| -> Vec<(FindingId, Certainty)> {
        diagnose(&facts).into_iter().map(|one| (one.id, one.certainty)).collect()
    };
    let none = WatchedFacts::default;
    assert_eq!(judged(WatchedFacts { tables: vec![table(900)], ..none() }), []);
    let full = judged(WatchedFacts { tables: vec![table(1000)], ..none() });
    assert_eq!(full, [(FindingId::DescriptorsUsedUp, Certainty::Proved)]);
    assert_eq!(judged(WatchedFacts { half_closed: vec![half(9, 600.0)], ..none() }), []);
    let slow = judged(WatchedFacts { half_closed: vec![half(20, 20.0)], ..none() });
    assert_eq!(slow, [(FindingId::CloseWaitLeak, Certainty::Possible)]);
    let leak = judged(WatchedFacts { half_closed: vec![half(20, 90.0)], ..none() });
    assert_eq!(leak, [(FindingId::CloseWaitLeak, Certainty::Proved)]);
    assert_eq!(
        judged(WatchedFacts { listeners: vec![listener(Some(0), 16), listener(None, 16)], ..none() }),
        []
    );
    let full = judged(WatchedFacts { listeners: vec![listener(Some(3), 17)], ..none() });
    assert_eq!(full, [(FindingId::AcceptQueueFull, Certainty::Proved)]);
    let unseen = judged(WatchedFacts { listeners: vec![listener(Some(3), 2)], ..none() });
    assert_eq!(unseen, [(FindingId::AcceptQueueFull, Certainty::Possible)], "a full SYN queue drops as well");
    let conntrack = |count| Some(Conntrack { count, max: 1000, drops: None });
    assert_eq!(judged(WatchedFacts { conntrack: conntrack(899), ..none() }), []);
    let full = judged(WatchedFacts { conntrack: conntrack(1000), ..none() });
    assert_eq!(full, [(FindingId::ConntrackFull, Certainty::Possible)], "everybody's number");
}
