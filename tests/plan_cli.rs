//! `connstorm plan` as a user meets it: text, JSON, mistakes, another host's settings.

mod support;

use serde_json::Value;
use std::process::{Output, Stdio};
use support::storm::connstorm;

/// The settings of a host with 1,024 ports and no reuse, as `doctor --save` writes them.
const SMALL_HOST: &str = r#"{ "ip_local_port_range": [32768, 33791], "tcp_tw_reuse": 0, "ticks_per_second": 250,
    "nofile_soft": 20000, "memory_available": 8000000000 }"#;

fn plan(arguments: &str) -> Output {
    let host = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(host.path(), SMALL_HOST).unwrap();
    let mut command = connstorm();
    command.arg("plan").args(arguments.split_whitespace()).arg("--host").arg(host.path());
    command.stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &str) -> Value {
    serde_json::from_str(&stdout(&plan(&format!("{arguments} --json -")))).unwrap()
}

#[test]
fn it_says_what_breaks_first_and_what_is_enough() {
    let text = stdout(&plan("--rate 100/s --loopback"));
    for part in
        ["source ports run out", "at attempt 1,025", "16/s", "Enough to make it fit: --source 127.0.0.1-"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b') && text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn json_holds_the_forecast_and_the_remedies() {
    let answer = json("--rate 100/s --duration 30s");
    assert_eq!(answer["forecast"]["ports"]["exhausted"]["ordinal"], 1025);
    assert_eq!(answer["forecast"]["ports"]["search_slow"]["ordinal"], 513);
    assert_eq!(answer["forecast"]["ends_at_s"], 30.0);
    assert!(!answer["advice"]["remedies"].as_array().unwrap().is_empty());
}

#[test]
fn a_range_of_rates_is_swept() {
    let answer = json("--rate 10..100 --steps 4");
    let rates: Vec<f64> =
        answer["sweep"].as_array().unwrap().iter().map(|p| p["rate"].as_f64().unwrap()).collect();
    assert_eq!(rates, [10.0, 40.0, 70.0, 100.0]);
    let text = stdout(&plan("--rate 10..100 --steps 4"));
    assert!(text.contains("Ports in use at the peak") && text.contains("source ports"), "{text}");
}

#[test]
fn held_connections_need_no_rate() {
    let answer = json("--held 1025");
    assert_eq!(answer["forecast"]["ports"]["exhausted"]["ordinal"], 1025);
    assert_eq!(json("--held 1024")["forecast"]["ports"]["exhausted"], Value::Null);
}

#[test]
fn a_ramp_comes_before_the_rate() {
    // 500 in the ramp, then 100 a second.
    let at = json("--rate 100/s --ramp 10s --lifetime until-end")["forecast"]["ports"]["exhausted"]["at_s"]
        .as_f64()
        .unwrap();
    assert!((at - (10.0 + (1024.0 - 500.0) / 100.0)).abs() < 1e-6, "{at}");
}

#[test]
fn mistakes_are_wrong_usage() {
    for (arguments, says) in [
        ("", "nothing is asked for"),
        ("--rate fast", "--rate: 'fast' is not a rate"),
        ("--rate 500..100", "is not a range that grows"),
        ("--rate 10/s --held many", "--held: 'many'"),
        ("--rate 10/s --close gently", "rst"),
        ("--rate 10/s --lifetime exponental(3s)", "exponential"),
    ] {
        let output = plan(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {text}");
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let output = connstorm().args(["plan", "--rate", "1/s", "--host", "/none.json"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("'/none.json'"), "{text}");
}

/// The tuples of a scenario are counted by its own sources, ports and addresses, on the other host's ports.
#[test]
fn a_scenario_is_planned_for_by_its_load_sources_and_ports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let text = "[target]\nurl = \"tcp://192.0.2.7:9001-9002\"\n[source]\naddresses = [\"10.0.0.1-10.0.0.3\"]\n\
                [load]\nopen = [{ hold = \"10s\", at = \"50/s\" }]\n[connection]\nlifetime = \"until-end\"\n";
    std::fs::write(&file, text).unwrap();
    let of = json(&format!("{}", file.display()));
    let demand = &of["demand"];
    assert_eq!((&demand["sources"], &demand["destinations"]), (&3.into(), &2.into()), "{demand:#}");
    assert_eq!(demand["loopback"], false);
    // Flags lie over it, as over the scenario of a run.
    let faster = json(&format!("{} --rate 90/s --duration 1s --sources 1 --destinations 1", file.display()));
    assert_eq!(faster["demand"]["sources"], 1);
    assert_ne!(faster["demand"]["arrivals"], demand["arrivals"]);
    // A closed loop that closes at once has no rate of its own.
    let closed = plan("tcp://127.0.0.1:9 --held 5");
    assert_eq!(closed.status.code(), Some(0), "{closed:?}");
    std::fs::write(
        &file,
        "[target]\nurl = \"tcp://h:1\"\n[load]\nclosed = { slots = 3, duration = \"1s\" }\n",
    )
    .unwrap();
    let output = plan(&file.display().to_string());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("only found by running it"), "{text}");
}
