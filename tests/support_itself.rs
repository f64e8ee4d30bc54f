//! Shows that what the tests on sockets stand on does what it says, by a client that is not connstorm.

mod support;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use support::eventually;
use support::namespace::Namespace;
use support::nginx::Nginx;
use support::redis::Redis;

#[test]
fn a_namespace_is_fresh_and_has_its_own_settings() {
    Namespace::of("a_namespace_is_fresh_and_has_its_own_settings")
        .sysctl("net.ipv4.ip_local_port_range", "20000 20009")
        .sysctl("net.ipv4.tcp_tw_reuse", 0)
        .run(|| {
            let interfaces = std::fs::read_to_string("/proc/net/dev").unwrap();
            assert_eq!(interfaces.lines().filter(|line| line.contains(':')).count(), 1, "{interfaces}");
            let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
            let held: Vec<TcpStream> =
                (0..10).map(|_| TcpStream::connect("127.0.0.1:9000").unwrap()).collect();
            assert!(held.iter().all(|s| (20000..20010).contains(&s.local_addr().unwrap().port())));
            let eleventh = TcpStream::connect("127.0.0.1:9000").unwrap_err();
            assert_eq!(eleventh.kind(), std::io::ErrorKind::AddrNotAvailable);
            drop(listener);
        });
}

#[test]
#[should_panic(expected = "seven of nine")]
fn a_body_that_fails_fails_its_test() {
    Namespace::of("a_body_that_fails_fails_its_test").run(|| panic!("seven of nine"));
}

#[test]
#[should_panic(expected = "no test of this binary is named 'another_name'")]
fn a_wrong_name_does_not_pass_for_success() {
    Namespace::of("another_name").run(|| ());
}

#[test]
#[should_panic(expected = "killed after")]
fn a_body_that_hangs_is_killed() {
    let namespace = Namespace::of("a_body_that_hangs_is_killed").limit(Duration::from_millis(300));
    namespace.run(|| std::thread::sleep(Duration::from_secs(60)));
}

#[test]
fn nginx_counts_what_a_plain_client_opens() {
    Namespace::of("nginx_counts_what_a_plain_client_opens").run(|| {
        let mut nginx = Nginx::start();
        let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(nginx.address()).unwrap()).collect();
        assert_eq!(eventually(100, || nginx.counted().open), 100);
        drop(held);
        assert_eq!(eventually(0, || nginx.counted().open), 0);
        let counted = nginx.counted();
        assert_eq!((counted.accepted, counted.handled), (100, 100));
    });
}

#[test]
fn redis_counts_what_a_plain_client_opens() {
    Namespace::of("redis_counts_what_a_plain_client_opens").run(|| {
        let mut redis = Redis::start();
        let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(redis.address()).unwrap()).collect();
        assert_eq!(eventually(100, || redis.counted().open), 100);
        drop(held);
        assert_eq!(eventually(0, || redis.counted().open), 0);
        let counted = redis.counted();
        assert_eq!((counted.accepted, counted.rejected), (100, 0));
    });
}
