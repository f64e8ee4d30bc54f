//! Effects of the kernel on connections, and what connstorm says of them: each in a network namespace.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use serde_json::Value;
use std::process::Command;
use support::namespace::Namespace;
use support::storm::{count, storm};

/// A namespace with 1,024 ports, in which TIME_WAIT blocks its port for the full minute.
fn narrow(test: &'static str) -> Namespace {
    Namespace::of(test)
        .sysctl("net.ipv4.ip_local_port_range", "40000 41023")
        .sysctl("net.ipv4.tcp_tw_reuse", 0)
        // A late RST must not end a TIME_WAIT (RFC 1337): the counts are to be exact.
        .sysctl("net.ipv4.tcp_rfc1337", 1)
}

/// A target that reads and never closes first.
fn sink(addresses: &[&str]) -> Running {
    let listen = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Target::start(Config::new(listen, Behaviour::Sink)).unwrap()
}

/// True if the result holds one kind of failure, and of that the stage, cause, errno and first ordinal.
#[track_caller]
fn only_failure(result: &Value) -> (&str, &str, &str, u64, u64) {
    let [kind] = &result["failures"].as_array().unwrap()[..] else {
        panic!("not one kind of failure: {:#}", result["failures"])
    };
    let text = |name: &str| kind[name].as_str().unwrap_or("none");
    let number = |name: &str| kind[name].as_u64().unwrap();
    (text("stage"), text("cause"), text("errno"), number("first_ordinal"), number("count"))
}

fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split_whitespace()).status();
    let status = status.unwrap_or_else(|error| panic!("{}", support::missing(program, program, &error)));
    assert!(status.success(), "{program} {arguments}: {status}");
}

#[test]
fn exactly_1024_are_held_on_1024_ports_and_the_1025th_is_told() {
    narrow("exactly_1024_are_held_on_1024_ports_and_the_1025th_is_told").run(|| {
        let _target = sink(&["127.0.0.1:9000"]);
        let result = storm(
            "tcp://127.0.0.1:9000 --rate 1100/s --connections 1100 --lifetime until-end --duration 3s \
             --workers 1 --source 127.0.0.2",
        );
        assert_eq!((count(&result, "ok"), count(&result, "held_max")), (1024, 1024));
        assert_eq!(only_failure(&result), ("connect", "address_not_available", "EADDRNOTAVAIL", 1025, 76));
        assert_eq!(result["failures"][0]["side"], "generator");
        assert_eq!(result["verdict"], "invalid", "the generator was the limit");
    });
}

#[test]
fn short_connections_run_out_of_ports_by_their_time_wait() {
    narrow("short_connections_run_out_of_ports_by_their_time_wait").run(|| {
        let _target = sink(&["127.0.0.1:9000"]);
        let run = |close: &str| {
            storm(&format!(
                "tcp://127.0.0.1:9000 --rate 2000/s --connections 1500 --workers 1 --close {close}"
            ))
        };
        // RST leaves nothing behind; FIN leaves a TIME_WAIT on each port.
        assert_eq!(count(&run("rst"), "ok"), 1500);
        let fin = run("fin");
        assert_eq!(count(&fin, "ok"), 1024);
        assert_eq!(only_failure(&fin), ("connect", "address_not_available", "EADDRNOTAVAIL", 1025, 476));
    });
}

#[test]
fn sources_and_destinations_multiply_the_ports_that_the_kernel_chooses() {
    narrow("sources_and_destinations_multiply_the_ports_that_the_kernel_chooses").run(|| {
        let _target = sink(&["127.0.0.1:9000", "127.0.0.1:9001"]);
        let held = |connections: u32, rest: &str| {
            storm(&format!(
                "tcp://127.0.0.1:{rest} --rate 5000/s --connections {connections} --lifetime until-end \
                 --duration 4s"
            ))
        };
        // FIELD.md §6: of 3 × 1,024 free ports another tool could not use 343.
        let three = held(3072, "9000 --source 127.0.0.2-127.0.0.4 --workers 2");
        assert_eq!((count(&three, "ok"), count(&three, "failed")), (3072, 0), "{:#}", three["failures"]);
        let two = held(2048, "9000-9001 --source 127.0.0.5 --workers 3");
        assert_eq!((count(&two, "ok"), count(&two, "failed")), (2048, 0), "{:#}", two["failures"]);
    });
}

#[test]
fn a_naive_bind_shares_no_port_between_destinations_and_fails_by_address_in_use() {
    narrow("a_naive_bind_shares_no_port_between_destinations_and_fails_by_address_in_use").run(|| {
        let _target = sink(&["127.0.0.1:9000", "127.0.0.1:9001"]);
        let result = storm(
            "tcp://127.0.0.1:9000-9001 --rate 3000/s --connections 1100 --lifetime until-end --duration 3s \
             --workers 1 --source 127.0.0.2 --ports naive-bind",
        );
        assert_eq!(count(&result, "ok"), 1024);
        assert_eq!(only_failure(&result), ("bind", "address_in_use", "EADDRINUSE", 1025, 76));
    });
}

#[test]
fn a_range_of_one_socket_is_obeyed() {
    narrow("a_range_of_one_socket_is_obeyed").run(|| {
        let _target = sink(&["127.0.0.1:9000"]);
        let result = storm(
            "tcp://127.0.0.1:9000 --rate 500/s --connections 100 --lifetime until-end --duration 1s \
             --workers 1 --ports 40100-40163",
        );
        assert_eq!(count(&result, "ok"), 64);
        assert_eq!(only_failure(&result), ("connect", "address_not_available", "EADDRNOTAVAIL", 65, 36));
    });
}

#[test]
fn explicit_ports_leave_out_what_is_reserved_or_listened_on() {
    narrow("explicit_ports_leave_out_what_is_reserved_or_listened_on")
        .sysctl("net.ipv4.ip_local_reserved_ports", "40010-40019")
        .run(|| {
            let _target = sink(&["127.0.0.1:9000", "127.0.0.9:40030"]);
            let result = storm(
                "tcp://127.0.0.1:9000 --rate 500/s --connections 100 --lifetime until-end --duration 1s \
                 --ports explicit:40000-40063 --source 127.0.0.2",
            );
            assert_eq!(count(&result, "ok"), 64 - 10 - 1);
            assert_eq!(result["leasable_ports"], 53);
            let (stage, cause, _, _, failed) = only_failure(&result);
            assert_eq!((stage, cause, failed), ("lease", "no_free_port", 47));
        });
}

/// FIELD.md §1: a tuple of ours in TIME_WAIT is taken again at once, even with `tcp_tw_reuse=0`, as long
/// as there are timestamps.
#[test]
fn explicit_ports_take_time_wait_again_at_once_if_there_are_timestamps() {
    narrow("explicit_ports_take_time_wait_again_at_once_if_there_are_timestamps").run(|| {
        let _target = sink(&["127.0.0.1:9000"]);
        let churn = |source: &str, connections: u32| {
            storm(&format!(
                "tcp://127.0.0.1:9000 --concurrency 1 --connections {connections} --duration 60s --close fin \
                 --workers 1 --ports explicit:20000-21999 --source {source}"
            ))
        };
        let with = churn("127.0.0.2", 20_000);
        assert_eq!((count(&with, "ok"), count(&with, "failed")), (20_000, 0), "{:#}", with["failures"]);
        std::fs::write("/proc/sys/net/ipv4/tcp_timestamps", "0").unwrap();
        let without = churn("127.0.0.3", 2_003);
        assert_eq!(count(&without, "ok"), 2_000);
        assert_eq!(only_failure(&without), ("connect", "address_not_available", "EADDRNOTAVAIL", 2001, 3));
    });
}

#[test]
fn a_firewalls_refusal_is_not_a_closed_port_and_a_drop_is_neither() {
    Namespace::of("a_firewalls_refusal_is_not_a_closed_port_and_a_drop_is_neither").run(|| {
        run("nft", "add table inet t");
        run("nft", "add chain inet t in { type filter hook input priority 0 ; }");
        run("nft", "add rule inet t in tcp dport 9001 reject with icmpx type port-unreachable");
        run("nft", "add rule inet t in tcp dport 9002 drop");
        let one = |port: u16| {
            storm(&format!(
                "tcp://127.0.0.1:{port} --rate 1000/s --connections 4 --workers 1 --connect-timeout 1500ms"
            ))
        };
        let closed = one(9000);
        assert_eq!(only_failure(&closed), ("connect", "refused", "ECONNREFUSED", 1, 4));
        assert_eq!(closed["failures"][0]["side"], "target");
        let rejected = one(9001);
        assert_eq!(only_failure(&rejected), ("connect", "refused_icmp", "ECONNREFUSED", 1, 4));
        assert_eq!(rejected["failures"][0]["side"], "path");
        let dropped = one(9002);
        assert_eq!(only_failure(&dropped), ("connect", "timed_out", "none", 1, 4));
        assert_eq!(count(&dropped, "syn_retransmits"), 4);
        assert_eq!(count(&closed, "syn_retransmits"), 0);
    });
}

#[test]
fn routes_that_lead_nowhere_are_told_apart() {
    Namespace::of("routes_that_lead_nowhere_are_told_apart").run(|| {
        run("ip", "route add unreachable 10.1.0.0/16");
        run("ip", "route add prohibit 10.2.0.0/16");
        let one = |address: &str| {
            storm(&format!("tcp://{address}:80 --concurrency 1 --connections 2 --duration 5s"))
        };
        for (address, cause, errno) in [
            ("10.1.2.3", "host_unreachable", "EHOSTUNREACH"),
            ("10.2.2.3", "permission", "EACCES"),
            ("10.3.2.3", "network_unreachable", "ENETUNREACH"),
        ] {
            assert_eq!(only_failure(&one(address)), ("connect", cause, errno, 1, 2), "{address}");
        }
    });
}

#[test]
fn ipv6_sources_and_destinations_work_like_the_others() {
    // A local route alone makes IPv4 addresses ours; for IPv6 bind() wants the sysctl besides.
    let namespace = narrow("ipv6_sources_and_destinations_work_like_the_others");
    namespace.sysctl("net.ipv6.ip_nonlocal_bind", 1).run(|| {
        run("ip", "-6 route add local fd00:77::/64 dev lo");
        let _target = sink(&["[::1]:9000"]);
        for ports in ["kernel", "explicit:20000-20999", "naive-bind"] {
            let result = storm(&format!(
                "tcp://[::1]:9000 --rate 2000/s --connections 1000 --lifetime 100ms --ports {ports} \
                 --source fd00:77::/120"
            ));
            assert_eq!((count(&result, "ok"), count(&result, "failed")), (1000, 0), "{ports}");
            assert_eq!(result["tuples"], 256);
        }
    });
}

#[test]
fn a_server_that_resets_is_told_from_one_that_closes() {
    Namespace::of("a_server_that_resets_is_told_from_one_that_closes").run(|| {
        let start = |address: &str, behaviour| {
            Target::start(Config::new(vec![address.parse().unwrap()], behaviour)).unwrap()
        };
        let _reset = start("127.0.0.1:9000", Behaviour::Reset);
        let _discard = start("127.0.0.1:9001", Behaviour::Discard);
        let one = |port: u16| {
            storm(&format!(
                "tcp://127.0.0.1:{port} --rate 100/s --connections 20 --lifetime 300ms --duration 2s --workers 1"
            ))
        };
        assert_eq!(only_failure(&one(9000)), ("session", "reset", "ECONNRESET", 1, 20));
        assert_eq!(only_failure(&one(9001)), ("session", "closed_early", "none", 1, 20));
    });
}
