//! Watches of a real network namespace, with time handed in.

use super::*;
use crate::diagnose::FindingId;
use crate::linux::netns;
use crate::model::OnsetKind;
use std::net::{TcpListener, TcpStream};

fn s(seconds: f64) -> Stamp {
    Duration::from_secs_f64(seconds)
}

fn kinds(onsets: &[Onset]) -> Vec<OnsetKind> {
    onsets.iter().map(|onset| onset.kind).collect()
}

/// Both ends of so many more connections.
fn connect(listener: &TcpListener, held: &mut Vec<(TcpStream, TcpStream)>, more: usize) {
    for _ in 0..more {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        held.push((client, listener.accept().unwrap().0));
    }
}

fn range(low: u16, high: u16) {
    netns::set_sysctl("net.ipv4.ip_local_port_range", &format!("{low} {high}")).unwrap();
}

#[test]
fn connections_that_stay_are_seen_to_grow_and_told_step_by_step() {
    netns::for_test(|| {
        range(40_000, 40_255);
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let mut held = Vec::new();
        let mut watch = Watch::new(WatchConfig::default(), s(0.0));
        connect(&listener, &mut held, 64);
        assert_eq!(watch.look(s(1.0)), []);
        connect(&listener, &mut held, 64);
        assert_eq!(kinds(&watch.look(s(2.0))), [OnsetKind::PortSearchSlow], "half of 256");
        let look = watch.shown(10);
        assert_eq!((look.tuples.len(), look.tuples_in_all), (1, 1), "the accepted ends are no tuples");
        let tuple = &look.tuples[0];
        assert_eq!((tuple.ports_used, tuple.ports_usable, tuple.exact), (128, 256, true));
        assert_eq!(tuple.time_left_s.map(f64::round), Some(2.0), "{tuple:?}");
        assert_eq!(tuple.holders[0].pid, std::process::id());
        connect(&listener, &mut held, 128);
        let onsets = watch.look(s(4.0));
        assert_eq!(kinds(&onsets), [OnsetKind::PortsExhausted]);
        let findings = watch.findings();
        assert_eq!(findings[0].id, FindingId::PortsExhaustedByLiveConnections);
        assert!(findings[0].says.contains("256 of 256"), "{}", findings[0].says);
        let judged =
            watch.judge(&["ports.used < 80%".parse().unwrap(), "time_wait.max == 0".parse().unwrap()]);
        assert_eq!(judged.iter().map(|one| one.passed).collect::<Vec<_>>(), [false, true]);
        held.truncate(20);
        watch.look(s(5.0));
        assert_eq!(kinds(&watch.look(s(8.0))), [], "those closed are in TIME_WAIT");
    });
}

#[test]
fn what_listens_or_is_bound_in_the_range_is_no_tuples_to_have() {
    netns::for_test(|| {
        range(40_000, 40_063);
        let _listeners: Vec<_> =
            (40_000..40_004u16).map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let mut held = Vec::new();
        connect(&listener, &mut held, 5);
        let mut watch = Watch::new(WatchConfig::default(), s(0.0));
        watch.look(s(1.0));
        let tuple = &watch.shown(1).tuples[0];
        assert_eq!((tuple.ports_usable, tuple.ports_bound), (60, 4));
    });
}

#[test]
fn a_program_that_does_not_close_is_told_and_one_that_is_slow_is_not() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let mut held = Vec::new();
        connect(&listener, &mut held, 12);
        let mut watch = Watch::new(WatchConfig::default(), s(0.0));
        // The clients close; their ends on the server stay.
        let accepted: Vec<TcpStream> = held.into_iter().map(|(_, accepted)| accepted).collect();
        watch.look(s(1.0));
        assert_eq!(kinds(&watch.look(s(6.0))), [], "five seconds may be a slow program");
        let onsets = watch.look(s(12.0));
        assert_eq!(kinds(&onsets), [OnsetKind::CloseWaitLeak]);
        assert_eq!(onsets[0].evidence.number("close_wait_for_long"), Some(12.0));
        let finding = watch.findings().into_iter().find(|one| one.id == FindingId::CloseWaitLeak).unwrap();
        let own = format!("(pid {})", std::process::id());
        assert!(finding.says.contains(&own) && finding.says.contains("port 9001"), "{}", finding.says);
        drop(accepted);
        watch.look(s(14.0));
        assert_eq!(watch.shown(1).half_closed, []);
    });
}

#[test]
fn a_listener_without_room_is_told_with_its_own_drops() {
    netns::for_test(|| {
        use socket2::{Domain, Socket, Type};
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let to: SocketAddr = "127.0.0.1:9001".parse().unwrap();
        full.bind(&to.into()).unwrap();
        full.listen(0).unwrap();
        let _quiet = TcpListener::bind("127.0.0.1:9002").unwrap();
        let mut watch = Watch::new(WatchConfig::default(), s(0.0));
        let _held: Vec<_> =
            (0..4).map(|_| TcpStream::connect_timeout(&to, Duration::from_millis(200))).collect();
        let onsets = watch.look(s(1.0));
        let queue: Vec<&Onset> = onsets.iter().filter(|one| one.kind == OnsetKind::AcceptQueueFull).collect();
        assert_eq!(queue.iter().map(|one| one.destination).collect::<Vec<_>>(), [Some(to)]);
        let listeners = watch.shown(10).listeners;
        assert_eq!(listeners[0].address, to, "the one in trouble first");
        assert_eq!((listeners.len(), listeners[1].dropped), (2, Some(0)));
        assert!(watch.findings().iter().any(|one| one.id == FindingId::AcceptQueueFull));
    });
}

#[test]
fn connections_to_other_destinations_are_not_looked_at_where_one_is_named() {
    netns::for_test(|| {
        let listeners: Vec<_> =
            [9001, 9002].iter().map(|port| TcpListener::bind(("127.0.0.1", *port)).unwrap()).collect();
        let mut held = Vec::new();
        listeners.iter().for_each(|listener| connect(listener, &mut held, 3));
        let to = listeners[1].local_addr().unwrap();
        let config = WatchConfig { destinations: vec![to], ..WatchConfig::default() };
        let mut watch = Watch::new(config, s(0.0));
        watch.look(s(1.0));
        let tuples = watch.shown(10).tuples;
        assert_eq!(tuples.iter().map(|tuple| tuple.destination).collect::<Vec<_>>(), [to]);
    });
}
