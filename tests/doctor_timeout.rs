//! Connection timed out, and no way at all: each cause of the seed's list, there in a namespace, is named
//! first; nothing else is proved.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use support::doctor::{examine, on_input, proves_only, sh, suggests};
use support::namespace::Namespace;
use support::storm::storm;

fn listen(address: &str) -> Running {
    Target::start(Config::new(vec![address.parse().unwrap()], Behaviour::Sink)).unwrap()
}

/// A network in which nobody else is: 10.9.0.0/24, with link addresses asked for.
fn lonely_network() {
    sh("ip", "link add v0 type veth peer name v1");
    sh("ip", "addr add 10.9.0.1/24 dev v0");
    sh("ip", "link set v0 up");
    sh("ip", "link set v1 up");
}

/// A way out on which every packet is lost, and no link address is asked for.
fn way_to_nowhere() {
    sh("ip", "link add d0 type veth peer name d1");
    sh("ip", "link set d0 arp off");
    sh("ip", "link set d1 up");
    sh("ip", "addr add 192.0.2.2/24 dev d0");
    sh("ip", "link set d0 up");
    sh("ip", "route add default via 192.0.2.1 dev d0");
}

#[test]
fn the_firewall_of_this_host_drops() {
    Namespace::of("the_firewall_of_this_host_drops").run(|| {
        let _server = listen("127.0.0.1:9000");
        on_input("tcp dport 9000 drop");
        proves_only(&examine("127.0.0.1:9000 --timeout 2s"), "dropped-on-the-way");
    });
}

#[test]
fn something_on_the_way_drops() {
    Namespace::of("something_on_the_way_drops").run(|| {
        way_to_nowhere();
        suggests(&examine("198.51.100.7:80 --timeout 2s"), "dropped-on-the-way", "likely");
    });
}

#[test]
fn the_address_is_internal_to_another_network() {
    Namespace::of("the_address_is_internal_to_another_network").run(|| {
        proves_only(&examine("10.1.2.3:80"), "private-address-out-of-reach");
        proves_only(&examine("198.51.100.7:80"), "no-route");
        way_to_nowhere();
        suggests(&examine("192.168.5.5:80 --timeout 2s"), "private-address-out-of-reach", "likely");
        let run = storm("tcp://192.168.5.5:80 --rate 5/s --duration 1s --connect-timeout 1500ms");
        suggests(&run, "private-address-out-of-reach", "likely");
        // With a route of its own, as a VPN has, it may well be there.
        sh("ip", "route add 192.168.5.0/24 dev d0");
        suggests(&examine("192.168.5.5:80 --timeout 2s"), "dropped-on-the-way", "likely");
    });
}

#[test]
fn no_host_has_the_address() {
    Namespace::of("no_host_has_the_address").run(|| {
        lonely_network();
        proves_only(&examine("10.9.0.9:80"), "no-such-host");
        // Before the kernel gives up asking, the connection only times out.
        proves_only(&examine("10.9.0.8:80 --timeout 1500ms"), "no-such-host");
        let run = storm("tcp://10.9.0.7:80 --rate 5/s --duration 1s --connect-timeout 5s");
        proves_only(&run, "no-such-host");
        sh("ip", "route add 203.0.113.0/24 via 10.9.0.6");
        proves_only(&examine("203.0.113.9:80"), "gateway-silent");
    });
}

#[test]
fn the_accept_queue_is_full() {
    Namespace::of("the_accept_queue_is_full").run(|| {
        let to: SocketAddr = "127.0.0.1:9000".parse().unwrap();
        let config = Config { backlog: 4, ..Config::new(vec![to], Behaviour::FullBacklog) };
        let _server = Target::start(config).unwrap();
        let wait = Duration::from_millis(300);
        let held: Vec<_> = (0..6).map(|_| TcpStream::connect_timeout(&to, wait)).collect();
        let told = examine("127.0.0.1:9000 --timeout 1500ms");
        proves_only(&told, "accept-queue-full");
        assert_eq!(told["findings"][0]["evidence"]["waiting"], 5, "a queue holds one more than its backlog");
        drop(held);
    });
}

#[test]
fn one_source_address_is_dropped() {
    Namespace::of("one_source_address_is_dropped").run(|| {
        let _server = listen("127.0.0.1:9000");
        on_input("ip saddr 127.0.0.3 tcp dport 9000 drop");
        let run = storm(
            "tcp://127.0.0.1:9000 --rate 40/s --duration 2s --source 127.0.0.2-127.0.0.5 --connect-timeout 1500ms",
        );
        suggests(&run, "some-sources-time-out", "likely");
        assert_eq!(run["findings"][0]["evidence"]["sources_that_time_out"], "127.0.0.3");
    });
}

#[test]
fn what_fails_from_one_source_is_tried_from_the_kernels_choice_as_well() {
    Namespace::of("what_fails_from_one_source_is_tried_from_the_kernels_choice_as_well").run(|| {
        let _server = listen("127.0.0.1:9000");
        on_input("ip saddr 127.0.0.7 tcp dport 9000 drop");
        let told = examine("127.0.0.1:9000 --source 127.0.0.7 --timeout 1500ms");
        suggests(&told, "some-sources-time-out", "likely");
        let attempts = told["target"]["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2, "{attempts:#?}");
        assert!(attempts[0]["source"].as_str().unwrap().starts_with("127.0.0.7:"));
        assert_eq!((&attempts[0]["connected"], &attempts[1]["connected"]), (&false.into(), &true.into()));
    });
}
