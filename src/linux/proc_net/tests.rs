use super::*;
use crate::linux::netns;
use proptest::prelude::*;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener, TcpStream};

const NETSTAT: &str = "\
TcpExt: SyncookiesSent TW ListenOverflows ListenDrops TCPSynRetrans OfTheFuture
TcpExt: 1 22 333 4444 5 6
IpExt: InNoRoutes InTruncatedPkts
IpExt: 7 8
";

const SNMP: &str = "\
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 68 2 3 56 0 3330 2433 9 0 58 0
IcmpMsg: InType3
IcmpMsg: 1
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs
Icmp: 1 0 0 11
";

#[test]
fn counters_are_taken_by_name() {
    let mut counters = Counters::default();
    counters.take(NETSTAT);
    counters.take(SNMP);
    assert_eq!((counters.listen_overflows, counters.listen_drops, counters.syn_retransmits), (333, 4444, 5));
    assert_eq!((counters.active_opens, counters.resets_sent, counters.retransmits), (68, 58, 9));
    assert_eq!((counters.icmp_unreachable_in, counters.no_routes_in), (11, 7));
    assert_eq!(counter(NETSTAT, "TcpExt", "OfTheFuture"), Some(6));
    assert_eq!(counter(NETSTAT, "IpExt", "OfTheFuture"), None);
    assert_eq!(counter(SNMP, "Tcp", "MaxConn"), None);
    assert!(counters.iter().any(|pair| pair == ("ListenOverflows", 333)));
}

#[test]
fn differences_never_go_below_zero() {
    let mut earlier = Counters::default();
    earlier.take(NETSTAT);
    let later = Counters { listen_overflows: 400, ..Counters::default() };
    let delta = later.since(&earlier);
    assert_eq!((delta.listen_overflows, delta.listen_drops), (67, 0));
}

#[test]
fn totals_and_drops_are_understood() {
    let mut totals = SocketTotals::default();
    totals.take("sockets: used 14\nTCP: inuse 10 orphan 1 tw 2 alloc 13 mem 238\nUDP: inuse 5 mem 9\n");
    totals.take("TCP6: inuse 7\nUDP6: inuse 3\n");
    let expected =
        SocketTotals { tcp_in_use: 17, time_wait: 2, orphans: 1, allocated: 13, memory_pages: 238 };
    assert_eq!(totals, expected);
    let drops = conntrack_drops("entries  insert_failed drop early_drop\n0a 01 02 ff\n0a 0f 00 01\n");
    assert_eq!(drops, ConntrackDrops { drop: 2, early_drop: 256, insert_failed: 16 });
    assert_eq!(parse_file_nr("485\t0\t2466177\n"), Some(SystemFiles { open: 485, max: 2_466_177 }));
    assert_eq!(parse_file_nr("485 0"), None);
}

fn listener(address: SocketAddr, backlog: i32) -> Socket {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(backlog).unwrap();
    listener
}

#[test]
fn a_full_accept_queue_is_counted() {
    netns::for_test(|| {
        let address: SocketAddr = "127.0.0.1:9001".parse().unwrap();
        let _listener = listener(address, 3);
        let mut files = ProcNet::open().unwrap();
        let before = files.counters().unwrap();
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&address.into());
                client
            })
            .collect();
        let counted = files.counters().unwrap().since(&before);
        assert_eq!(counted.active_opens, 10);
        // A backlog of 3 holds 4: the queue is full when it is longer than the backlog (sk_acceptq_is_full).
        assert_eq!(counted.passive_opens, 4);
        assert!(counted.listen_overflows >= 6 && counted.listen_drops >= 6, "{counted:?}");
        drop(clients);
    });
}

#[test]
fn refusals_and_sockets_are_counted_in_the_namespace_only() {
    netns::for_test(|| {
        let mut files = ProcNet::open().unwrap();
        assert_eq!(files.sockets().unwrap().tcp_in_use, 0);
        assert!(TcpStream::connect("127.0.0.1:9").is_err());
        let counters = files.counters().unwrap();
        assert_eq!((counters.active_opens, counters.attempt_fails, counters.resets_sent), (1, 1, 1));
        let v4 = TcpListener::bind("127.0.0.1:9001").unwrap();
        let _v6 = TcpListener::bind("[::1]:9001").unwrap();
        let client = TcpStream::connect("127.0.0.1:9001").unwrap();
        let (server, _) = v4.accept().unwrap();
        assert_eq!(files.sockets().unwrap().tcp_in_use, 4);
        drop(client);
        drop(server);
        // The last ACK is handled before close() returns: loopback runs it inside the system call.
        assert_eq!(files.sockets().unwrap().time_wait, 1);
        assert_eq!(files.sockets().unwrap().tcp_in_use, 2);
        netns::enter_new().ok();
        assert_eq!(files.sockets().unwrap().time_wait, 1, "the files stay with their namespace");
    });
}

#[test]
fn time_wait_above_its_cap_is_counted_as_overflow() {
    netns::for_test(|| {
        netns::set_sysctl("net.ipv4.tcp_max_tw_buckets", "10").unwrap();
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let mut files = ProcNet::open().unwrap();
        for _ in 0..25 {
            let client = TcpStream::connect("127.0.0.1:9001").unwrap();
            let server = listener.accept().unwrap();
            drop(client);
            drop(server);
        }
        let waiting = files.sockets().unwrap().time_wait;
        let overflow = files.counters().unwrap().time_wait_overflow;
        assert!((9..=10).contains(&waiting), "{waiting}");
        assert_eq!(waiting + overflow, 25);
    });
}

#[test]
fn files_of_the_system() {
    let files = system_files().unwrap();
    assert!(files.open > 0 && files.open < files.max);
    // Absent or there: neither is an error.
    ProcNet::open().unwrap().conntrack().unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([A-Za-z]{1,4}:?( -?[0-9a-f]{1,21}){0,4}\n?){0,8}") {
        let mut counters = Counters::default();
        counters.take(&text);
        let mut totals = SocketTotals::default();
        totals.take(&text);
        conntrack_drops(&text);
        let _ = parse_file_nr(&text);
    }
}
