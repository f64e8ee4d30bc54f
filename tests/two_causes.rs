//! Runs with two causes at once, and with one that looks like another: each cause explains its own failures, counted, and
//! nothing false is proved.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::doctor::{on_input, sh};
use support::namespace::Namespace;
use support::storm::{Storm, count, storm};

fn serve(addresses: &[&str], behaviour: Behaviour) -> Running {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Target::start(Config::new(addresses, behaviour)).unwrap()
}

/// The findings that explain failures: id, certainty, number.
fn told(result: &Value) -> Vec<(&str, &str, u64)> {
    let all = result["findings"].as_array().unwrap().iter();
    let told = all.map(|finding| {
        let text = |field: &str| finding[field].as_str().unwrap();
        (text("id"), text("certainty"), finding["explains"].as_u64().unwrap())
    });
    told.filter(|(_, _, explains)| *explains > 0).collect()
}

fn proved<'r>(told: &[(&'r str, &str, u64)]) -> Vec<&'r str> {
    told.iter().filter(|(_, certainty, _)| *certainty == "proved").map(|(id, ..)| *id).collect()
}

#[test]
fn a_dead_port_is_not_the_cause_of_what_fails_at_another() {
    Namespace::of("a_dead_port_is_not_the_cause_of_what_fails_at_another").run(|| {
        let _server = serve(&["127.0.0.1:9000"], Behaviour::Sink);
        on_input("tcp dport 9000 tcp flags syn numgen random mod 100 < 60 drop");
        let run = storm("tcp://127.0.0.1:9000-9001 --rate 60/s --duration 1500ms --connect-timeout 900ms");
        let found = told(&run);
        let ids: Vec<&str> = found.iter().map(|(id, ..)| *id).collect();
        assert_eq!(ids, ["some-addresses-fail", "nothing-listens", "some-timed-out"], "{found:?}");
        assert_eq!((found[0].2, found[1].2), (45, 45), "{found:?}");
        assert_eq!(found[0].2 + found[2].2, count(&run, "failed"), "{found:?}");
        assert_eq!(proved(&found), ["some-addresses-fail", "nothing-listens"]);
    });
}

#[test]
fn ports_that_were_open_first_are_kept_by_time_wait_later() {
    let namespace = Namespace::of("ports_that_were_open_first_are_kept_by_time_wait_later");
    let namespace = namespace.sysctl("net.ipv4.ip_local_port_range", "40000 40255");
    namespace.sysctl("net.ipv4.tcp_tw_reuse", 0).run(|| {
        let _server = serve(&["127.0.0.1:9000"], Behaviour::Sink);
        let run =
            storm("tcp://127.0.0.1:9000 --rate 400/s --duration 4s --lifetime 1100ms --source 127.0.0.2");
        let found = told(&run);
        let ids: Vec<&str> = found.iter().map(|(id, ..)| *id).collect();
        let wanted = ["ports-exhausted-by-time-wait", "ports-exhausted-by-live-connections"];
        assert_eq!(ids, wanted, "{:#}", run["findings"]);
        assert_eq!(found[0].2 + found[1].2, count(&run, "failed"), "{found:?}");
    });
}

#[test]
fn a_source_that_is_missing_leaves_the_other_alone() {
    Namespace::of("a_source_that_is_missing_leaves_the_other_alone").run(|| {
        let _server = serve(&["127.0.0.1:9000"], Behaviour::Sink);
        on_input("tcp dport 9000 tcp flags syn numgen random mod 100 < 50 drop");
        let run = storm(
            "tcp://127.0.0.1:9000 --rate 60/s --duration 1s --source 127.0.0.2,10.99.99.9 --connect-timeout 900ms",
        );
        let found = told(&run);
        assert_eq!(found[0], ("source-address-not-local", "proved", 30), "{found:?}");
        assert_eq!((found[1].0, found.len()), ("some-timed-out", 2), "{found:?}");
        assert_eq!(found[0].2 + found[1].2, count(&run, "failed"), "{found:?}");
    });
}

const PAUSED: &str = "
import socket, threading
listener = socket.create_server(('127.0.0.1', 9000), backlog=512)
print('ready', flush=True)
def echo(connection):
    while data := connection.recv(100): connection.sendall(data)
while True: threading.Thread(target=echo, args=[listener.accept()[0]], daemon=True).start()
";

/// Stopped in the middle of the run, and going on when it ends.
#[test]
fn a_server_that_was_stopped_for_a_second_is_told_so() {
    Namespace::of("a_server_that_was_stopped_for_a_second_is_told_so").run(|| {
        let mut server = Command::new("python3").args(["-c", PAUSED]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(server.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let run = Storm::start(
            "tcp://127.0.0.1:9000 --rate 30/s --duration 3s --lifetime 200ms --send x --count 1 --expect echo --reply-timeout 300ms",
        );
        let pid = server.id().to_string();
        std::thread::sleep(Duration::from_millis(1000));
        sh("kill", &format!("-STOP {pid}"));
        std::thread::sleep(Duration::from_millis(1000));
        sh("kill", &format!("-CONT {pid}"));
        let run = run.result();
        server.kill().unwrap();
        server.wait().unwrap();
        let found = told(&run);
        assert_eq!((found[0].0, found[0].1), ("target-stopped", "proved"), "{:#}", run["findings"]);
        let says = run["findings"][0]["says"].as_str().unwrap();
        assert!(says.contains("was stopped when") && says.contains("has gone on since"), "{says}");
    });
}
