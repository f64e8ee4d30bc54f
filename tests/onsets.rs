//! The onsets and findings of a run, each with its cause there in a namespace, and none without.
//!
//! Counts and kinds, and shares of the range; durations are never asserted.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Running, Target};
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use support::namespace::Namespace;
use support::storm::{connstorm, count, storm};

const PORTS: u64 = 1024;

fn narrow(test: &'static str) -> Namespace {
    Namespace::of(test)
        .sysctl("net.ipv4.ip_local_port_range", "40000 41023")
        .sysctl("net.ipv4.tcp_tw_reuse", 0)
        // A late RST must not end a TIME_WAIT (RFC 1337): the counts are to be exact.
        .sysctl("net.ipv4.tcp_rfc1337", 1)
}

fn target(address: &str, behaviour: Behaviour) -> Running {
    Target::start(Config::new(vec![address.parse().unwrap()], behaviour)).unwrap()
}

fn onset<'a>(result: &'a Value, kind: &str) -> Option<&'a Value> {
    result["onsets"].as_array().unwrap().iter().find(|onset| onset["kind"] == kind)
}

#[track_caller]
fn has(result: &Value, kind: &str) -> Value {
    let Some(onset) = onset(result, kind) else { panic!("no {kind}: {:#}", result["onsets"]) };
    onset.clone()
}

fn kinds(result: &Value) -> Vec<&str> {
    result["onsets"].as_array().unwrap().iter().map(|onset| onset["kind"].as_str().unwrap()).collect()
}

/// The first finding, and every finding that is proved.
fn findings(result: &Value) -> (String, Vec<String>) {
    let all = result["findings"].as_array().unwrap();
    let id = |finding: &Value| finding["id"].as_str().unwrap().to_owned();
    let proved = all.iter().filter(|finding| finding["certainty"] == "proved").map(id).collect();
    (all.first().map(id).unwrap_or_default(), proved)
}

#[track_caller]
fn proves_only(result: &Value, wanted: &str) {
    assert_eq!(findings(result), (wanted.into(), vec![wanted.into()]), "{:#}", result["findings"]);
}

fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split_whitespace()).status();
    let status = status.unwrap_or_else(|error| panic!("{}", support::missing(program, program, &error)));
    assert!(status.success(), "{program} {arguments}: {status}");
}

#[test]
fn churn_by_fin_runs_out_of_ports_as_forecast() {
    narrow("churn_by_fin_runs_out_of_ports_as_forecast").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let result = storm("tcp://127.0.0.1:9000 --rate 300/s --duration 5s --source 127.0.0.2 --workers 1");
        let slow = has(&result, "port_search_slow");
        let share = slow["ordinal"].as_u64().unwrap() as f64 / PORTS as f64;
        assert!((0.45..=0.60).contains(&share), "the search is slow from {share} of the range: {slow:#}");

        let exhausted = has(&result, "ports_exhausted");
        assert_eq!(exhausted["ordinal"], PORTS + 1);
        assert_eq!(exhausted["source"], "127.0.0.2");
        assert_eq!(exhausted["destination"], "127.0.0.1:9000");
        assert_eq!(exhausted["evidence"]["ports_in_use"], PORTS);
        assert_eq!(exhausted["evidence"]["time_wait"], PORTS);
        proves_only(&result, "ports-exhausted-by-time-wait");

        // The forecast at half-way, against the truth.
        let truth = exhausted["at_s"].as_f64().unwrap();
        let windows = result["windows"].as_array().unwrap();
        let half = |w: &&Value| w["kernel"]["ports_in_use"].as_u64().is_some_and(|n| n >= PORTS / 2);
        let forecast =
            windows.iter().find(half).unwrap()["kernel"]["forecast_exhausted_at_s"].as_f64().unwrap();
        assert!((forecast - truth).abs() <= truth * 0.10, "forecast {forecast} s, truth {truth} s");

        // Told while it still lay ahead.
        let building = has(&result, "time_wait_building");
        assert!(building["at_s"].as_f64() < exhausted["at_s"].as_f64());
        assert!(building["evidence"]["forecast_exhausted_at_s"].as_f64() > building["at_s"].as_f64());
        assert!(has(&result, "ports_low")["at_s"].as_f64() < exhausted["at_s"].as_f64());
    });
}

#[test]
fn connections_held_open_run_out_of_ports_too() {
    narrow("connections_held_open_run_out_of_ports_too").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let result = storm(
            "tcp://127.0.0.1:9000 --rate 500/s --duration 3s --lifetime until-end --source 127.0.0.2 --workers 1",
        );
        assert_eq!(has(&result, "ports_exhausted")["ordinal"], PORTS + 1);
        proves_only(&result, "ports-exhausted-by-live-connections");
        assert_eq!(onset(&result, "time_wait_building"), None);
    });
}

#[test]
fn reserved_ports_are_named() {
    let namespace = narrow("reserved_ports_are_named");
    namespace.sysctl("net.ipv4.ip_local_reserved_ports", "40200-40299").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let result = storm(
            "tcp://127.0.0.1:9000 --rate 500/s --duration 3s --lifetime until-end --source 127.0.0.2 --workers 1",
        );
        assert_eq!(has(&result, "ports_exhausted")["ordinal"], PORTS - 100 + 1);
        proves_only(&result, "ports-exhausted-by-live-connections");
        let finding = &result["findings"][0];
        assert_eq!(finding["evidence"]["ports_reserved"], 100);
        assert!(finding["says"].as_str().unwrap().contains("ip_local_reserved_ports keeps 100"), "{finding:#}");
    });
}

#[test]
fn a_foreign_bind_poisons_the_ports_it_takes() {
    narrow("a_foreign_bind_poisons_the_ports_it_takes").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let _elsewhere = target("127.0.0.1:9001", Behaviour::Sink);
        // Another program (this one) binds before it connects, to another destination.
        let foreign: Vec<TcpStream> = (0..300).map(|_| bound_first("127.0.0.2", "127.0.0.1:9001")).collect();
        let result = storm(
            "tcp://127.0.0.1:9000 --rate 500/s --duration 3s --lifetime until-end --source 127.0.0.2 --workers 1",
        );
        assert_eq!(has(&result, "ports_exhausted")["ordinal"], PORTS - foreign.len() as u64 + 1);
        proves_only(&result, "ports-exhausted-by-poisoned-buckets");
        let says = result["findings"][0]["says"].as_str().unwrap();
        assert!(says.contains(&format!("pid {}, 300 sockets", std::process::id())), "{says}");
    });
}

/// bind(address, 0) without IP_BIND_ADDRESS_NO_PORT, then connect().
fn bound_first(source: &str, destination: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&destination.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.into()
}

#[test]
fn a_naive_bind_and_a_source_that_is_not_ours_have_findings_of_their_own() {
    narrow("a_naive_bind_and_a_source_that_is_not_ours_have_findings_of_their_own").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let naive = storm(
            "tcp://127.0.0.1:9000 --rate 800/s --duration 2s --lifetime until-end --source 127.0.0.2 \
             --ports naive-bind --workers 1",
        );
        assert_eq!(has(&naive, "ports_exhausted")["ordinal"], PORTS + 1);
        proves_only(&naive, "ports-exhausted-by-naive-bind");
        let foreign = storm("tcp://127.0.0.1:9000 --rate 100/s --duration 1s --source 192.0.2.7");
        proves_only(&foreign, "source-address-not-local");
        assert_eq!(onset(&foreign, "ports_exhausted"), None, "no port was ever wanted");
    });
}

/// With `tcp_tw_reuse=1` ports come back after a second: a ceiling, not a wall.
#[test]
fn with_reuse_ports_run_out_above_the_sustainable_rate_only() {
    let namespace = narrow("with_reuse_ports_run_out_above_the_sustainable_rate_only");
    namespace.sysctl("net.ipv4.tcp_tw_reuse", 1).run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let at = |rate: f64, source: &str| {
            storm(&format!(
                "tcp://127.0.0.1:9000 --rate {rate}/s --duration 4s --source {source} --workers 1"
            ))
        };
        let sustainable = planned_rate();
        // Where the machine halts the generator, what is due comes as a burst, which is a higher rate: such a run
        // says nothing of the planner, and is made again from another address.
        let is_even = |run: &Value| run["latency_us"]["lateness"]["max"].as_f64().unwrap() < 25_000.0;
        let mut below = Value::Null;
        for turn in 10..15 {
            below = at(sustainable * 0.95, &format!("127.0.0.{turn}"));
            if is_even(&below) {
                break;
            }
        }
        assert_eq!((count(&below, "failed"), onset(&below, "ports_exhausted")), (0, None));
        let above = at(sustainable * 1.05, "127.0.0.3");
        let told = has(&above, "ports_exhausted");
        let ceiling = told["evidence"]["ceiling_per_s"].as_f64().unwrap();
        assert!((ceiling / sustainable - 1.0).abs() < 0.1, "told as a ceiling of {ceiling}/s: {told:#}");
        assert!(count(&above, "ok") > 2 * PORTS, "a ceiling: ports came back, {} times", count(&above, "ok"));
    });
}

/// The rate that `connstorm plan` calls sustainable here, per second.
fn planned_rate() -> f64 {
    let planned = connstorm().args(["plan", "--rate", "1/s", "--loopback", "--json", "-"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&planned.stdout).unwrap();
    answer["forecast"]["ports"]["sustainable"]["per_second"].as_f64().unwrap()
}

#[test]
fn ports_that_come_back_are_told() {
    let namespace = narrow("ports_that_come_back_are_told");
    namespace.run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let text = "[target]\nurl = \"tcp://127.0.0.1:9000\"\n[source]\naddresses = [\"127.0.0.2\"]\n\
                    [load]\nopen = [{ hold = \"2s\", at = \"800/s\" }, { hold = \"4s\", at = \"20/s\" }, { hold = \"2s\", at = \"800/s\" }]\n\
                    [connection]\nlifetime = \"2s\"\nclose = \"rst\"\n";
        std::fs::write(file.path(), text).unwrap();
        let result = storm(file.path().to_str().unwrap());
        assert!(onset(&result, "ports_exhausted").is_some(), "{:#}", result["onsets"]);
        let (out, back) = (has(&result, "ports_exhausted"), has(&result, "ports_recovered"));
        assert!(out["at_s"].as_f64() < back["at_s"].as_f64());
        let again = kinds(&result).into_iter().filter(|kind| *kind == "ports_exhausted").count();
        assert_eq!(again, 2, "what comes after a recovery is told anew: {:#}", result["onsets"]);
    });
}

#[test]
fn time_wait_above_the_cap_is_told() {
    let namespace = narrow("time_wait_above_the_cap_is_told");
    namespace.sysctl("net.ipv4.tcp_max_tw_buckets", 100).run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let result = storm("tcp://127.0.0.1:9000 --rate 600/s --duration 3s --source 127.0.0.2");
        assert_eq!(count(&result, "failed"), 0, "the cap hides exhaustion");
        assert_eq!(has(&result, "time_wait_capped")["evidence"]["tcp_max_tw_buckets"], 100);
        proves_only(&result, "time-wait-capped");
    });
}

#[test]
fn a_full_accept_queue_is_no_firewall_and_a_drop_is_no_queue() {
    Namespace::of("a_full_accept_queue_is_no_firewall_and_a_drop_is_no_queue").run(|| {
        let full = Config { backlog: 16, ..Config::new(vec!["127.0.0.1:9000".parse().unwrap()], Behaviour::FullBacklog) };
        let _full = Target::start(full).unwrap();
        let _open = target("127.0.0.1:9001", Behaviour::Sink);
        run("nft", "add table inet t");
        run("nft", "add chain inet t in { type filter hook input priority 0 ; }");
        run("nft", "add rule inet t in tcp dport 9001 drop");
        let at = |port: u16| {
            storm(&format!("tcp://127.0.0.1:{port} --rate 40/s --duration 3s --lifetime until-end --connect-timeout 2500ms"))
        };
        let queue = at(9000);
        has(&queue, "accept_queue_full");
        has(&queue, "syn_retransmits");
        proves_only(&queue, "accept-queue-full");
        // The other queue overflows meanwhile, by another program.
        let others = std::thread::spawn(|| {
            let to: SocketAddr = "127.0.0.1:9000".parse().unwrap();
            (0..40).filter(|_| TcpStream::connect_timeout(&to, std::time::Duration::from_millis(60)).is_ok()).count()
        });
        let dropped = at(9001);
        others.join().unwrap();
        has(&dropped, "syn_retransmits");
        assert_eq!(onset(&dropped, "accept_queue_full"), None);
        assert_eq!(findings(&dropped).0, "dropped-on-the-way");
    });
}

#[test]
fn refusals_and_descriptor_limits_are_told() {
    Namespace::of("refusals_and_descriptor_limits_are_told").run(|| {
        let refused = storm("tcp://127.0.0.1:9000 --rate 50/s --duration 1s");
        assert_eq!(has(&refused, "refusals")["destination"], "127.0.0.1:9000");
        proves_only(&refused, "nothing-listens");
        let _other = target("127.0.0.1:9000", Behaviour::Sink);
        let elsewhere = storm("tcp://127.0.0.7:9000 --rate 50/s --duration 1s");
        proves_only(&elsewhere, "listens-on-another-address");
        let says = elsewhere["findings"][0]["says"].as_str().unwrap();
        assert!(says.contains("127.0.0.1:9000 only"), "{says}");
    });
}

/// Ports that come back in time, those of another source, and what the run closes at its end are not an exhaustion of ports.
#[test]
fn ports_are_low_only_where_they_will_be_gone() {
    narrow("ports_are_low_only_where_they_will_be_gone").run(|| {
        let _target = target("127.0.0.1:9000", Behaviour::Sink);
        let none = |result: &Value| {
            for kind in ["ports_low", "time_wait_building", "ports_exhausted"] {
                assert_eq!(onset(result, kind), None, "{:#}", result["onsets"]);
            }
        };
        // 700 open, all closed at the end: 700 in TIME_WAIT then, and none while it lasts.
        let held =
            storm("tcp://127.0.0.1:9000 --rate 700/s --duration 1s --lifetime until-end --source 127.0.0.2");
        none(&held);
        let beside = storm("tcp://127.0.0.1:9000 --rate 50/s --duration 2s --source 127.0.0.3");
        none(&beside);
        std::fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1").unwrap();
        // Some 700 in TIME_WAIT at any time, of which a second's worth can't be taken again.
        none(&storm("tcp://127.0.0.1:9000 --rate 600/s --duration 3s --source 127.0.0.4"));
    });
}

/// IPv6 that is off is not an exhaustion of ports, though the error number is the same.
#[test]
fn an_address_that_can_not_be_had_exhausts_no_ports() {
    let namespace = Namespace::of("an_address_that_can_not_be_had_exhausts_no_ports");
    namespace.sysctl("net.ipv6.conf.all.disable_ipv6", 1).run(|| {
        let result = storm("tcp://[::1]:9000 --rate 20/s --duration 1s");
        proves_only(&result, "ipv6-off");
        assert_eq!(onset(&result, "ports_exhausted"), None);
    });
}

/// No onset without its cause: a run far below every limit, with and without a second run beside it.
#[test]
fn a_quiet_run_tells_nothing() {
    Namespace::of("a_quiet_run_tells_nothing").run(|| {
        // A queue long enough for the target to be kept from its CPU for a while.
        let listen = vec!["127.0.0.1:9000".parse().unwrap()];
        let config = Config { backlog: 4096, ..Config::new(listen, Behaviour::Echo) };
        let _target = Target::start(config).unwrap();
        let quiet = storm("tcp://127.0.0.1:9000 --rate 50/s --duration 4s --lifetime 200ms --close rst");
        assert_eq!((kinds(&quiet), findings(&quiet).0.as_str()), (vec![], ""), "{:#}", quiet["onsets"]);
        // Short connections leave TIME_WAIT behind, which fills no range of 28,232 ports in this time.
        let churn = storm("tcp://127.0.0.1:9000 --rate 200/s --duration 2s --source 127.0.0.8");
        assert_eq!((kinds(&churn), findings(&churn).0.as_str()), (vec![], ""), "{:#}", churn["onsets"]);
        let beside = std::thread::spawn(|| {
            storm("tcp://127.0.0.1:9000 --rate 400/s --duration 5s --close rst --source 127.0.0.9")
        });
        let noisy = storm("tcp://127.0.0.1:9000 --rate 50/s --duration 4s --lifetime 200ms --close rst");
        beside.join().unwrap();
        let told: Vec<&str> =
            kinds(&noisy).into_iter().filter(|kind| *kind != "generator_saturated").collect();
        assert_eq!(told, Vec::<&str>::new(), "{:#}", noisy["onsets"]);
    });
}
