//! Against listeners that nobody here wrote: what connstorm counts has to be what nginx and redis-server count.

mod support;

use support::eventually;
use support::namespace::Namespace;
use support::nginx::{self, Nginx};
use support::redis::{self, Redis};
use support::storm::{Storm, count, storm};

const SHORT: u64 = 20_000;
const HELD: u64 = 5_000;

/// A namespace in which no port limit stands in the way of 20,000 connections to one port.
fn roomy(test: &'static str) -> Namespace {
    Namespace::of(test).sysctl("net.ipv4.ip_local_port_range", "1024 65535")
}

/// Opens and closes 20,000, by one FIN each.
fn short_connections(target: std::net::SocketAddr) {
    let result = storm(&format!("tcp://{target} --concurrency 50 --connections {SHORT} --close fin"));
    for (name, wanted) in
        [("planned", SHORT), ("started", SHORT), ("ok", SHORT), ("failed", 0), ("in_flight", 0)]
    {
        assert_eq!(count(&result, name), wanted, "{name}: {result:#}");
    }
}

/// Opens 5,000 and holds them, while the server is asked how many it has.
fn held_connections(target: std::net::SocketAddr, mut open: impl FnMut() -> u64) {
    let mut storm = Storm::start(&format!(
        "tcp://{target} --rate 2500/s --connections {HELD} --lifetime until-end --duration 6s"
    ));
    let (mut most, mut seen) = (0, 0);
    while storm.is_running() {
        let now = open();
        most = most.max(now);
        seen += u32::from(now == HELD);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let result = storm.result();
    for (name, wanted) in
        [("started", HELD), ("ok", HELD), ("failed", 0), ("in_flight", 0), ("held_max", HELD)]
    {
        assert_eq!(count(&result, name), wanted, "{name}: {result:#}");
    }
    assert_eq!(most, HELD, "the server's own count of open connections, at most");
    assert!(seen >= 3, "the server was seen with all {HELD} open only {seen} times");
}

#[test]
fn nginx_counts_20_000_short_connections_as_we_do() {
    roomy("nginx_counts_20_000_short_connections_as_we_do").run(|| {
        let mut nginx = Nginx::start();
        short_connections(nginx.address());
        let agreed = nginx::Counted { accepted: SHORT, handled: SHORT, open: 0 };
        assert_eq!(eventually(agreed, || nginx.counted()), agreed);
    });
}

#[test]
fn nginx_counts_5_000_held_connections_as_we_do() {
    roomy("nginx_counts_5_000_held_connections_as_we_do").run(|| {
        let mut nginx = Nginx::start();
        held_connections(nginx.address(), || nginx.counted().open);
        let agreed = nginx::Counted { accepted: HELD, handled: HELD, open: 0 };
        assert_eq!(eventually(agreed, || nginx.counted()), agreed);
    });
}

#[test]
fn redis_counts_20_000_short_connections_as_we_do() {
    roomy("redis_counts_20_000_short_connections_as_we_do").run(|| {
        let mut redis = Redis::start();
        short_connections(redis.address());
        let agreed = redis::Counted { accepted: SHORT, rejected: 0, open: 0 };
        assert_eq!(eventually(agreed, || redis.counted()), agreed);
    });
}

#[test]
fn redis_counts_5_000_held_connections_as_we_do() {
    roomy("redis_counts_5_000_held_connections_as_we_do").run(|| {
        let mut redis = Redis::start();
        held_connections(redis.address(), || redis.counted().open);
        let agreed = redis::Counted { accepted: HELD, rejected: 0, open: 0 };
        assert_eq!(eventually(agreed, || redis.counted()), agreed);
    });
}
