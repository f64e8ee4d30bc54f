use super::*;
use crate::linux::netns;
use crate::linux::tuple_usage::TupleUsage;
use proptest::prelude::*;
use socket2::{Domain, Socket as Raw, Type};
use std::net::{TcpListener, TcpStream};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Both ends of one connection from `source`.
fn pair(source: &str, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = Raw::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_reuse_address(true).unwrap();
    client.bind(&at(source).into()).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    (client.into(), listener.accept().unwrap().0)
}

/// A connection that its client closed first: the client's end is in TIME_WAIT when this returns.
fn time_wait(source: &str, listener: &TcpListener) {
    let (client, server) = pair(source, listener);
    drop(client);
    let mut byte = [0];
    assert_eq!(std::io::Read::read(&mut &server, &mut byte).unwrap(), 0);
    drop(server);
}

fn dump(filter: &Filter) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let stats = SockDiag::open().unwrap().dump(filter, |socket| sockets.push(*socket)).unwrap();
    assert_eq!(stats.sockets, sockets.len() as u64);
    assert_eq!(stats.unknown, 0);
    sockets
}

#[test]
fn five_hundred_established_and_two_hundred_in_time_wait_are_counted_by_tuple() {
    netns::for_test(|| {
        let listeners =
            [TcpListener::bind("127.0.0.1:9001").unwrap(), TcpListener::bind("127.0.0.1:9002").unwrap()];
        let held: Vec<_> = (0..500).map(|n| pair("127.0.0.2:0", &listeners[n % 2])).collect();
        (0..150).for_each(|_| time_wait("127.0.0.2:0", &listeners[0]));
        (0..50).for_each(|_| time_wait("127.0.0.3:0", &listeners[0]));
        let mut usage = TupleUsage::default();
        let destinations = vec![at("127.0.0.1:9001"), at("127.0.0.1:9002")];
        let filter = Filter { destinations, ..Filter::states(StateSet::CONNECTIONS) };
        SockDiag::open().unwrap().dump(&filter, |socket| usage.add(socket)).unwrap();
        let count =
            |source: &str, destination, state| usage.get(source.parse().unwrap(), at(destination)).get(state);
        assert_eq!(count("127.0.0.2", "127.0.0.1:9001", TcpState::Established), 250);
        assert_eq!(count("127.0.0.2", "127.0.0.1:9002", TcpState::Established), 250);
        assert_eq!(count("127.0.0.2", "127.0.0.1:9001", TcpState::TimeWait), 150);
        assert_eq!(count("127.0.0.3", "127.0.0.1:9001", TcpState::TimeWait), 50);
        let rows = usage.into_rows();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows.iter().map(|row| row.sockets.total()).sum::<u64>(), 700);
        drop(held);
    });
}

#[test]
fn conditions_are_held_by_the_kernel() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let held: Vec<_> = (20_000..20_100)
            .map(|port| pair(&format!("127.0.0.{}:{port}", 2 + port % 2), &listener))
            .collect();
        let all =
            Filter { destinations: vec![at("127.0.0.1:9001")], ..Filter::states(StateSet::CONNECTIONS) };
        assert_eq!(dump(&all).len(), 100);
        let ports = dump(&Filter { source_ports: vec![20_010..=20_019, 20_050..=20_050], ..all.clone() });
        assert_eq!(ports.len(), 11);
        assert!(ports.iter().all(|socket| [1, 5].contains(&(socket.source.port() % 100 / 10))));
        let source = ("127.0.0.3".parse().unwrap(), 32);
        assert_eq!(dump(&Filter { sources: vec![source], ..all.clone() }).len(), 50);
        let net = ("127.0.0.2".parse().unwrap(), 31);
        let both = Filter { sources: vec![net], source_ports: vec![20_010..=20_019], ..all.clone() };
        assert_eq!(dump(&both).len(), 10);
        assert_eq!(dump(&Filter { states: StateSet::TIME_WAIT, ..all.clone() }).len(), 0);
        let elsewhere = Filter { destinations: vec![at("127.0.0.1:9002")], ..all.clone() };
        assert_eq!(dump(&elsewhere).len(), 0);
        let any_port = Filter { destinations: vec![at("127.0.0.2:0")], ..all.clone() };
        assert_eq!(dump(&any_port).len(), 50, "the listener's ends");
        drop(held);
    });
}

#[test]
fn conditions_beyond_what_a_request_holds_are_an_error() {
    let sources =
        (0..5000u16).map(|n| (std::net::Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8).into(), 32)).collect();
    let filter = Filter { sources, ..Filter::states(StateSet::ALL) };
    let error = SockDiag::open().unwrap().dump(&filter, |_| {}).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn many_conditions_pass_the_kernels_audit() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let _held = pair("127.0.0.2:0", &listener);
        let destinations = (8002..=9001).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(dump(&Filter { destinations, ..Filter::states(StateSet::CONNECTIONS) }).len(), 1);
    });
}

/// 64,000 destinations were compiled into a program that no request holds, each copied for each.
#[test]
fn destinations_beyond_what_a_request_holds_are_told_apart_here() {
    netns::for_test(|| {
        let wanted = TcpListener::bind("127.0.0.1:9001").unwrap();
        let other = TcpListener::bind("127.0.0.1:80").unwrap();
        let _held = [pair("127.0.0.2:0", &wanted), pair("127.0.0.2:0", &other)];
        let destinations = (1024..=65_023).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let found = dump(&Filter { destinations, ..Filter::states(StateSet::CONNECTIONS) });
        let to: Vec<u16> = found.iter().map(|socket| socket.destination.port()).collect();
        assert!(to.contains(&9001) && !to.contains(&80), "{to:?}");
        // Of many addresses too: those are not even told apart in the kernel.
        let mut many: Vec<SocketAddr> =
            (0..2000u16).map(|n| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 80))).collect();
        many.push("127.0.0.1:0".parse().unwrap());
        let found = dump(&Filter { destinations: many, ..Filter::states(StateSet::CONNECTIONS) });
        assert!(found.iter().any(|socket| socket.destination.port() == 80));
    });
}

#[test]
fn a_limit_truncates_and_the_next_dump_is_whole() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let _held: Vec<_> = (0..100).map(|_| pair("127.0.0.2:0", &listener)).collect();
        let mut diag = SockDiag::open().unwrap();
        let all = Filter::states(StateSet::CONNECTIONS);
        let stats = diag.dump(&Filter { limit: 30, ..all.clone() }, |_| {}).unwrap();
        assert_eq!((stats.sockets, stats.truncated), (30, true));
        let stats = diag.dump(&all, |_| {}).unwrap();
        assert_eq!((stats.sockets, stats.truncated), (200, false));
        let exactly = diag.dump(&Filter { limit: 200, ..all }, |_| {}).unwrap();
        assert_eq!((exactly.sockets, exactly.truncated), (200, false));
    });
}

#[test]
fn a_listener_shows_its_queue_and_its_backlog() {
    netns::for_test(|| {
        let listener = Raw::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&at("127.0.0.1:9001").into()).unwrap();
        listener.listen(7).unwrap();
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect("127.0.0.1:9001").unwrap()).collect();
        let listeners = SockDiag::open().unwrap().listeners().unwrap();
        assert_eq!(listeners.len(), 1);
        assert_eq!(listeners[0].source, at("127.0.0.1:9001"));
        assert_eq!((listeners[0].receive_queue, listeners[0].send_queue), (3, 7));
        assert_ne!(listeners[0].inode, 0);
        assert!(listeners[0].destination.ip().is_unspecified());
    });
}

#[test]
fn ports_to_keep_clear_of() {
    netns::for_test(|| {
        let _here = TcpListener::bind("127.0.0.1:9001").unwrap();
        let _elsewhere = TcpListener::bind("127.0.0.2:9002").unwrap();
        let _anywhere = TcpListener::bind("[::]:9003").unwrap();
        let _any_v4 = TcpListener::bind("0.0.0.0:9004").unwrap();
        let idle = Raw::new(Domain::IPV4, Type::STREAM, None).unwrap();
        idle.bind(&at("127.0.0.1:9005").into()).unwrap();
        let mut diag = SockDiag::open().unwrap();
        assert_eq!(diag.bound_ports("127.0.0.1".parse().unwrap()).unwrap(), [9001, 9003, 9004, 9005]);
        assert_eq!(diag.bound_ports("::1".parse().unwrap()).unwrap(), [9003]);
        let bound = dump(&Filter::states(StateSet::NONE.with(TcpState::BoundInactive)));
        assert_eq!(bound.len(), 1);
        assert_eq!(bound[0].source, at("127.0.0.1:9005"));
        assert_eq!(bound[0].state, TcpState::Close, "the kernel tells its state, not the table it lies in");
    });
}

#[test]
fn mapped_addresses_are_ipv4() {
    netns::for_test(|| {
        let listener = TcpListener::bind("[::]:9001").unwrap();
        let client = Raw::new(Domain::IPV6, Type::STREAM, None).unwrap();
        client.connect(&at("[::ffff:127.0.0.1]:9001").into()).unwrap();
        let v6 = TcpStream::connect("[::1]:9001").unwrap();
        let filter = Filter::states(StateSet::CONNECTIONS);
        let mapped = Filter { destinations: vec![at("127.0.0.1:9001")], ..filter.clone() };
        assert_eq!(dump(&mapped).len(), 1);
        assert_eq!(dump(&mapped)[0].source.ip(), at("127.0.0.1:0").ip());
        let by_v6 = dump(&Filter { destinations: vec![at("[::1]:9001")], ..filter });
        assert_eq!(by_v6.len(), 1);
        assert_eq!(by_v6[0].source, v6.local_addr().unwrap());
        drop((listener, client));
    });
}

#[test]
fn a_cookie_stays_with_a_connection_into_time_wait() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let filter =
            Filter { destinations: vec![at("127.0.0.1:9001")], ..Filter::states(StateSet::CONNECTIONS) };
        let (client, server) = pair("127.0.0.2:20000", &listener);
        let before = dump(&filter)[0];
        drop(client);
        drop(server);
        let _other = pair("127.0.0.2:20001", &listener);
        let after = dump(&filter);
        assert_eq!(before.state, TcpState::Established);
        let waiting = after.iter().find(|socket| socket.state == TcpState::TimeWait).unwrap();
        assert_eq!(waiting.cookie, before.cookie);
        assert_eq!((waiting.inode, waiting.uid), (0, 0));
        let mut cookies = Cookies::default();
        assert!(cookies.is_new(&before));
        assert_eq!(after.iter().filter(|&socket| cookies.is_new(socket)).count(), 1);
        cookies.clear();
        assert!(cookies.is_new(&before));
    });
}

#[test]
fn a_message_too_short_or_of_another_family_is_no_socket() {
    assert_eq!(parse(&[2; 71]), None);
    assert_eq!(parse(&[9; 80]), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 72..120), family in 0usize..3) {
        bytes[0] = [2, 10, 255][family];
        if let Some(socket) = parse(&bytes) {
            prop_assert_eq!(socket.source.port(), u16::from_be_bytes([bytes[4], bytes[5]]));
        }
    }
}
