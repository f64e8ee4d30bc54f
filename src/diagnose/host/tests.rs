use super::*;
use crate::diagnose::Listening;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::{StateCounts, TupleCount};

fn settings() -> HostSettings {
    HostSettings {
        nofile_soft: Some(1024),
        nofile_hard: Some(524_288),
        ip_local_port_range: Some((32_768, 60_999)),
        tcp_tw_reuse: Some(2),
        tcp_timestamps: Some(1),
        tcp_max_tw_buckets: Some(131_072),
        tcp_fin_timeout: Some(60),
        somaxconn: Some(4096),
        tcp_syncookies: Some(1),
        tcp_abort_on_overflow: Some(false),
        ..HostSettings::default()
    }
}

fn worth(checks: &[Check], name: &str) -> (Severity, Option<String>) {
    let check = checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name}"));
    (check.worth, check.change.clone())
}

#[test]
fn the_defaults_of_linux_are_no_warning() {
    let checks = checks(&settings(), &HostState::default());
    let warnings: Vec<&Check> = checks.iter().filter(|check| check.worth == Severity::Warning).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert_eq!(
        worth(&checks, "ulimit -n"),
        (Severity::Note, Some("ulimit -n 524288".into())),
        "the soft limit can be raised to the hard one"
    );
    assert_eq!(worth(&checks, "net.netfilter.nf_conntrack_max").0, Severity::Ok);
}

#[test]
fn what_makes_connections_fail_is_a_warning_with_its_command() {
    let bad = HostSettings {
        ip_local_port_range: Some((40_000, 41_023)),
        tcp_tw_reuse: Some(1),
        tcp_timestamps: Some(0),
        tcp_max_tw_buckets: Some(20_000),
        tcp_fin_timeout: Some(30),
        tcp_abort_on_overflow: Some(true),
        ..settings()
    };
    let checks = checks(&bad, &HostState::default());
    for name in [
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_tw_reuse",
        "net.ipv4.tcp_timestamps",
        "net.ipv4.tcp_max_tw_buckets",
        "net.ipv4.tcp_abort_on_overflow",
    ] {
        let (worth, change) = worth(&checks, name);
        assert_eq!(worth, Severity::Warning, "{name}");
        assert!(change.unwrap().starts_with("sysctl -w "), "{name}");
    }
    let fin = checks.iter().find(|check| check.name == "net.ipv4.tcp_fin_timeout").unwrap();
    assert!(fin.worth == Severity::Note && fin.why.contains("does not shorten TIME_WAIT"), "{fin:?}");
}

#[test]
fn outdated_advice_in_a_file_is_called_so() {
    let text = "# net.ipv4.tcp_tw_recycle = 1\nnet.ipv4.tcp_tw_recycle = 1\n-net/ipv4/tcp_max_tw_buckets=5000\n\
                net.ipv4.tcp_fin_timeout=15\nnet.ipv4.tcp_tw_reuse = 1\nnonsense\n; x = 1\n";
    let lines = parse_sysctl_file("/etc/sysctl.conf", text);
    assert_eq!(lines.len(), 4);
    let state = HostState { sysctl_lines: lines, ..HostState::default() };
    let told: Vec<Check> =
        checks(&settings(), &state).into_iter().filter(|check| check.area == Area::Advice).collect();
    let told: Vec<(&str, Severity)> = told.iter().map(|check| (check.name.as_str(), check.worth)).collect();
    assert_eq!(
        told,
        [
            ("/etc/sysctl.conf:2", Severity::Warning),
            ("/etc/sysctl.conf:3", Severity::Warning),
            ("/etc/sysctl.conf:4", Severity::Note)
        ]
    );
}

#[test]
fn full_tuples_full_queues_and_dead_proxies_are_seen() {
    let mut sockets = StateCounts::default();
    sockets.add(TcpState::TimeWait, 28_232);
    let tuple = TupleCount {
        source: "10.0.0.2".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
        sockets,
    };
    let full = Listening { waiting: 17, ..Listening::at("127.0.0.1:90".parse().unwrap(), 16) };
    let state = HostState {
        tuples: vec![tuple],
        listening: vec![full],
        proxies: vec![crate::diagnose::Proxy::new("https_proxy", "http://127.0.0.1:7890")],
        ..HostState::default()
    };
    let checks = checks(&settings(), &state);
    assert_eq!(
        worth(&checks, "10.0.0.2 to 10.0.0.1:80"),
        (Severity::Warning, Some("sysctl -w net.ipv4.tcp_tw_reuse=1".into()))
    );
    assert_eq!(worth(&checks, "listener 127.0.0.1:90").0, Severity::Warning);
    assert_eq!(worth(&checks, "https_proxy").0, Severity::Warning);
}

#[test]
fn what_cannot_be_read_is_said() {
    let checks = checks(&HostSettings::default(), &HostState::default());
    assert_eq!(worth(&checks, "net.ipv4.ip_local_port_range").0, Severity::Unseen);
    assert_eq!(worth(&checks, "established").0, Severity::Unseen);
}
