//! Properties of any text and any plan.

use super::super::threshold::Threshold;
use super::super::units::Rate;
use super::super::{
    Arrivals, Close, Colour, Connection, Lifetime, Load, Overrides, Plan, PortPolicy, RateStage, Scheme,
    Secrets, Serve, Session, Source, Target, Until, from_flags,
};
use super::load;
use crate::model::AddressSet;
use crate::protocol::{Behaviour, Kind};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

fn read_and_show(text: &str) {
    if let Err(errors) = load(text) {
        assert!(!errors.mistakes().is_empty());
        assert!(!errors.render(Colour::Plain).is_empty());
        assert!(!errors.render(Colour::Ansi).is_empty());
    }
}

/// A line that is nearly one of a scenario.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("url"),
        Just("ports"),
        Just("addresses"),
        Just("open"),
        Just("closed"),
        Just("lifetime"),
        Just("close"),
        Just("listen"),
        Just("backlog"),
        Just("seed"),
        Just("\"a.b\""),
        Just("größe"),
        Just("connections"),
        Just("connect_timeout"),
        Just("a.b"),
    ];
    let value = prop_oneof![
        "\\PC{0,12}",
        "\"[^\"\\\\\\pC]{0,12}\"",
        "'\\PC{0,12}'",
        "\"tcp://\\PC{0,12}\"",
        "-?[0-9_.]{1,25}",
        "\"(uniform|exponential)\\(?[0-9smü,${}A-Z]{0,12}\\)?\"",
        "\\[\"[0-9:./*-]{0,12}\"\\]",
        "\"\"\"\\PC{0,6}\n\\PC{0,6}\"\"\"",
        "\"\\\\u00e9[${}A-Z\\\\]{0,8}\"",
        "\\[\\{ (hold|ramp_to|over|at) = \"?[0-9smx/]{0,8}\"? \\}\\]",
        "\\{ (slots|duration) = \"?[0-9smx/]{0,8}\"? \\}",
    ];
    let header = prop_oneof![
        Just("[target]"),
        Just("[load]"),
        Just("[source]"),
        Just("[connection]"),
        Just("[serve]"),
        Just("[thresholds]"),
        Just("[abort_when]"),
        Just("[[load.open]]"),
    ];
    prop_oneof![3 => (key, value).prop_map(|(k, v)| format!("{k} = {v}")), 1 => header.prop_map(str::to_owned)]
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..31_536_000_u64, 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n))
}

fn rate() -> impl Strategy<Value = Rate> {
    (0.0..1e9_f64).prop_filter_map("a rate", Rate::per_second)
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    let stage = (rate(), rate(), duration()).prop_map(|(from, to, over)| RateStage { from, to, over });
    prop_oneof![
        vec(stage, 0..5).prop_map(Arrivals::Open),
        (any::<u64>(), option::of(duration()))
            .prop_map(|(slots, duration)| Arrivals::Closed { slots, duration }),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    let block = prop_oneof![
        (any::<[u8; 4]>(), 0..=32_u8, 1..=1000).prop_map(|(ip, prefix, weight)| {
            format!("{}/{prefix} * {weight}", std::net::Ipv4Addr::from(ip))
        }),
        (any::<[u16; 8]>(), 0..=128_u8)
            .prop_map(|(ip, prefix)| format!("{}/{prefix}", std::net::Ipv6Addr::from(ip))),
    ];
    let set = vec(block, 0..4).prop_map(|texts| AddressSet::try_from(texts).expect("built to be right"));
    let policy = prop_oneof![
        Just(PortPolicy::Kernel),
        Just(PortPolicy::NaiveBind),
        any::<(u16, u16)>().prop_map(|(low, high)| PortPolicy::Explicit { low, high }),
        any::<(u16, u16)>().prop_map(|(low, high)| PortPolicy::Range { low, high }),
    ];
    (set, policy).prop_map(|(addresses, ports)| Source { addresses, ports })
}

fn connection() -> impl Strategy<Value = Connection> {
    let lifetime = prop_oneof![
        duration().prop_map(Lifetime::Fixed),
        (duration(), duration()).prop_map(|(a, b)| Lifetime::Uniform(a, b)),
        duration().prop_map(Lifetime::Exponential),
        Just(Lifetime::UntilEnd),
    ];
    let close = prop_oneof![Just(Close::Fin), Just(Close::Rst), Just(Close::Peer)];
    (lifetime, close, duration(), duration()).prop_map(
        |(lifetime, close, connect_timeout, handshake_timeout)| Connection {
            lifetime,
            close,
            connect_timeout,
            handshake_timeout,
        },
    )
}

fn workers() -> impl Strategy<Value = Option<NonZeroU32>> {
    any::<u32>().prop_map(NonZeroU32::new)
}

fn serve() -> impl Strategy<Value = Serve> {
    let behaviour = prop_oneof![Just(Behaviour::Echo), Just(Behaviour::Sink), Just(Behaviour::Discard)];
    let listen = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let kind = prop_oneof![Just(Kind::Tcp), Just(Kind::Wss)];
    (vec(listen, 0..3), kind, behaviour, any::<u32>(), workers()).prop_map(
        |(listen, kind, behaviour, backlog, workers)| Serve { listen, kind, behaviour, backlog, workers },
    )
}

fn threshold() -> impl Strategy<Value = Threshold> {
    let texts =
        ["connect.p99 < 50ms", "failed.ratio < 0.1%", "onset.fd_limit == never", "rate.achieved >= 5/s"];
    proptest::sample::select(texts.map(|text| text.parse().unwrap()).to_vec())
}

fn plan() -> impl Strategy<Value = Plan> {
    let target = option::of((any::<String>(), vec(any::<u16>(), 0..4)))
        .prop_map(|target| target.map(|(host, ports)| Target { scheme: Scheme::Tcp, host, ports }));
    let load = (arrivals(), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(arrivals, max_open, connections)| {
            let until = if connections.is_some() { Until::Number } else { Until::Time };
            Load { arrivals, max_open, connections, until }
        },
    );
    let whole = (any::<String>(), any::<u64>(), workers(), option::of(1..u64::MAX), vec(threshold(), 0..3));
    (whole, target, source(), load, connection(), option::of(serve())).prop_map(
        |((name, seed, workers, memory, thresholds), target, source, load, connection, serve)| Plan {
            name,
            seed,
            target,
            source,
            load,
            connection,
            session: Session::default(),
            spacing: Default::default(),
            data: Vec::new(),
            populations: Vec::new(),
            secrets: Secrets::default(),
            serve,
            workers,
            memory,
            abort_when: thresholds.clone(),
            thresholds,
        },
    )
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read_and_show(&text);
    }

    #[test]
    fn any_text_like_a_scenario_is_read_or_refused(lines in vec(line(), 0..8)) {
        read_and_show(&lines.join("\n"));
        read_and_show(&lines.join("\r\n"));
    }

    #[test]
    fn any_flag_is_read_or_refused(text in "\\PC{0,20}|[0-9a-z:/.,()-]{0,20}") {
        let rows = super::super::fields::rows();
        let flags = rows.iter().filter_map(|row| row.flag);
        let overrides = flags.fold(Overrides::to(&text), |all, flag| all.with(flag, &text));
        if let Err(errors) = from_flags(&overrides) {
            prop_assert!(!errors.render(Colour::Ansi).is_empty());
        }
    }

    #[test]
    fn a_plan_is_written_to_json_and_read_back(plan in plan()) {
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn any_count_is_covered(rate in 1_u32..100_000, ramp in 0_u32..100, connections in 1_u64..10_000_000) {
        let overrides = Overrides::to("tcp://h:1")
            .with("--rate", &format!("{rate}/s"))
            .with("--ramp", &format!("{ramp}s"))
            .with("--connections", &connections.to_string());
        let Arrivals::Open(stages) = from_flags(&overrides).unwrap().load.arrivals else { panic!() };
        let made: f64 = stages.iter().map(super::super::stages::arrivals).sum();
        prop_assert!(made >= connections as f64, "{made} of {connections}");
    }
}
