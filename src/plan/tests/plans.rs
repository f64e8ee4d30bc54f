//! Meaning of scenario files.

use super::super::units::Rate;
use super::super::{
    Arrivals, Close, Connection, Lifetime, Load, Plan, PortPolicy, RateStage, Scheme, Secrets, Serve,
    Session, Source, Target, Until,
};
use super::load;
use crate::protocol::{Behaviour, Kind};
use std::num::NonZeroU32;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn stage(from: f64, to: f64, seconds: u32) -> RateStage {
    let rate = |value| Rate::per_second(value).unwrap();
    RateStage { from: rate(from), to: rate(to), over: SECOND * seconds }
}

#[test]
fn a_whole_scenario() {
    let text = r#"
name = "storm"
seed = 0x2a
workers = 2
memory = "512MiB"
[target]
url = "tcp://${HOST}:${PORT}"
[source]
addresses = ["127.0.0.2-127.0.0.9", "127.1.0.0/24 * 2"]
ports = "explicit"
[load]
open = [{ ramp_to = "5000/s", over = "10s" }, { hold = "30s" }, { hold = "1s", at = 100 }, { ramp_to = 0, over = "2s" }]
max_open = 100_000
connections = "1M"
[connection]
lifetime = "exponential(20s)"
close = "rst"
connect_timeout = "1s"
handshake_timeout = "2s"
[serve]
kind = "tcp"
behaviour = "sink"
listen = ["127.0.0.1:9001", "[::1]:0"]
backlog = 16
workers = 1
[thresholds]
"connect.p99" = "< 50ms"
failed.ratio = "< 0.1%"
[abort_when]
failed.ratio = ">50%"
"#;
    let expected = Plan {
        name: "storm".to_owned(),
        seed: 42,
        target: Some(Target { scheme: Scheme::Tcp, host: "127.0.0.1".to_owned(), ports: vec![9001] }),
        source: Source {
            addresses: "127.0.0.2-127.0.0.9,127.1.0.0/24*2".parse().unwrap(),
            ports: PortPolicy::Explicit { low: 1024, high: 65_535 },
        },
        load: Load {
            arrivals: Arrivals::Open(vec![
                stage(0.0, 5000.0, 10),
                stage(5000.0, 5000.0, 30),
                stage(100.0, 100.0, 1),
                stage(100.0, 0.0, 2),
            ]),
            max_open: Some(100_000),
            connections: Some(1_000_000),
            until: Until::Time,
        },
        connection: Connection {
            lifetime: Lifetime::Exponential(20 * SECOND),
            close: Close::Rst,
            connect_timeout: SECOND,
            handshake_timeout: 2 * SECOND,
        },
        session: Session::default(),
        spacing: Default::default(),
        data: Vec::new(),
        populations: Vec::new(),
        secrets: Secrets::default(),
        serve: Some(Serve {
            listen: vec!["127.0.0.1:9001".parse().unwrap(), "[::1]:0".parse().unwrap()],
            kind: Kind::Tcp,
            behaviour: Behaviour::Sink,
            backlog: 16,
            workers: NonZeroU32::new(1),
        }),
        workers: NonZeroU32::new(2),
        memory: Some(512 << 20),
        thresholds: ["connect.p99 < 50ms", "failed.ratio < 0.1%"].map(|text| text.parse().unwrap()).into(),
        abort_when: vec!["failed.ratio > 50%".parse().unwrap()],
    };
    assert_eq!(load(text), Ok(expected));
}

#[test]
fn an_empty_serve_is_enough_and_all_else_has_a_default() {
    let plan = load("[serve]").unwrap();
    assert_eq!(plan.name, "storm", "the file's stem");
    assert_eq!((plan.target, plan.workers, plan.seed), (None, None, 0));
    assert_eq!(plan.source.ports, PortPolicy::Kernel);
    assert!(plan.source.addresses.is_empty());
    assert_eq!(plan.load.arrivals, Arrivals::Open(vec![stage(100.0, 100.0, 10)]));
    assert_eq!(plan.connection.lifetime, Lifetime::Fixed(Duration::ZERO));
    assert_eq!(plan.connection.close, Close::Fin);
    assert_eq!(plan.connection.connect_timeout, 3 * SECOND);
    assert_eq!(plan.connection.handshake_timeout, 5 * SECOND);
    let serve = plan.serve.unwrap();
    assert_eq!(serve.listen, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!((serve.behaviour, serve.backlog, serve.workers), (Behaviour::Echo, 4096, None));
}

#[test]
fn closed_loops_end_by_time_or_by_number() {
    let arrivals = |load_table: &str| load(&format!("[serve]\n[load]\n{load_table}")).unwrap().load.arrivals;
    assert_eq!(
        arrivals("closed = { slots = 200, duration = \"30s\" }"),
        Arrivals::Closed { slots: 200, duration: Some(30 * SECOND) }
    );
    assert_eq!(
        arrivals("closed = { slots = 200 }\nconnections = 5"),
        Arrivals::Closed { slots: 200, duration: None }
    );
}

#[test]
fn several_ports_stand_in_the_url_or_beside_it() {
    for target in [
        "url = \"tcp://h:9001-9003\"",
        "url = \"tcp://h\"\nports = [9001, 9002, 9003]",
        "url = \"tcp://h\"\nports = [\"9001-9002\", 9003]",
        "url = \"tcp://h\"\nports = \"9001-9003\"",
    ] {
        let plan = load(&format!("[target]\n{target}")).expect(target);
        assert_eq!(plan.target.unwrap().ports, [9001, 9002, 9003], "{target}");
    }
    let plan = load("[target]\nurl = \"tcp://h\"\nports = 5").unwrap();
    assert_eq!(plan.target.unwrap().ports, [5]);
}

#[test]
fn connections_alone_are_made_at_the_default_rate() {
    let plan = load("[serve]\n[load]\nconnections = 5000").unwrap();
    let Arrivals::Open(stages) = plan.load.arrivals else { panic!("a closed loop") };
    assert!(stages.len() == 1 && stages[0].over >= 50 * SECOND && stages[0].over < 51 * SECOND);
}

#[test]
fn a_target_of_every_kind_can_be_asked_for() {
    let text = "[serve]\nkind = \"ws\"\nbehaviour = 'raw(SSH-2.0-x\\r\\n)'";
    let serve = load(text).unwrap().serve.unwrap();
    assert_eq!((serve.kind, serve.behaviour), (Kind::Ws, Behaviour::Raw(b"SSH-2.0-x\r\n".to_vec())));
}
