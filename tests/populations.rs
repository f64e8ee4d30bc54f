//! Clients of several kinds in one run: each is counted by itself, and all of them together, in every format and after
//! every merge.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::namespace::Namespace;
use support::storm::{connstorm, count, storm};
use support::targets;
use tempfile::TempDir;

/// 100 talkers who have a row of data each, 300 listeners that nobody serves, and 4 slots of a load of their own.
fn scenario(folder: &TempDir, ws: &str, tcp: &str) -> PathBuf {
    let rows: String = (0..100).map(|id| format!("u{id}\n")).collect();
    let data = folder.path().join("users.csv");
    std::fs::write(&data, format!("name\n{rows}")).unwrap();
    let text = format!(
        r#"
        name = "mix"
        [load]
        open = [{{ hold = "1s", at = "400/s" }}]
        connections = 400
        [data.users]
        file = '{}'
        take = "once"
        [[population]]
        name = "talkers"
        share = 1
        target = "ws://{ws}/"
        steps = [
          {{ send = "{{users.name}} {{conn}}", expect = "echo", name = "say" }},
          {{ think = "200ms" }},
        ]
        [[population]]
        name = "strangers"
        share = 3
        target = "tcp://127.0.0.1:9"
        [[population]]
        name = "loop"
        target = "tcp://{tcp}"
        [population.load]
        closed = {{ slots = 4, duration = "1s" }}
        connections = 40
        [thresholds]
        "population.talkers.step.say.p99" = "< 60s"
        "population.talkers.ok" = "== 100"
        "population.strangers.failed.refused" = "== 300"
        "population.loop.failed" = "== 0"
        "failed" = "== 300"
        "#,
        data.display()
    );
    let path = folder.path().join("mix.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn population<'r>(result: &'r Value, name: &str) -> &'r Value {
    let all = result["populations"].as_array().unwrap();
    all.iter().find(|population| population["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[track_caller]
fn assert_balanced(result: &Value) {
    let in_windows = |of: &Value, name: &str| {
        of["windows"].as_array().unwrap().iter().map(|window| window[name].as_u64().unwrap()).sum::<u64>()
    };
    for of in result["populations"].as_array().unwrap().iter().chain([result]) {
        let count = |name: &str| of["counts"][name].as_u64().unwrap();
        assert_eq!(count("planned"), count("started") + count("skipped"), "{}", of["name"]);
        assert_eq!(count("started"), count("ok") + count("failed") + count("cut_short"), "{}", of["name"]);
        for name in ["planned", "started", "ok", "failed", "skipped"] {
            assert_eq!(in_windows(of, name), count(name), "{name} of {}", of["name"]);
        }
    }
    for name in ["planned", "started", "ok", "failed", "skipped", "bytes_in", "bytes_out"] {
        let each = result["populations"].as_array().unwrap().iter();
        let sum: u64 = each.map(|population| population["counts"][name].as_u64().unwrap()).sum();
        assert_eq!(sum, count(result, name), "{name}");
    }
}

#[test]
fn each_population_is_counted_by_itself_and_in_all() {
    Namespace::of("each_population_is_counted_by_itself_and_in_all").run(|| {
        let (_ws, ws) = targets::start(Kind::Ws, Behaviour::Echo);
        let (_tcp, tcp) = targets::start(Kind::Tcp, Behaviour::Echo);
        let folder = tempfile::tempdir().unwrap();
        let scenario = scenario(&folder, &ws.to_string(), &tcp.to_string());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let result = storm(&format!(
            "{} --csv {} --openmetrics {} --html {} --summary {}",
            scenario.display(),
            file("a.csv"),
            file("a.txt"),
            file("a.html"),
            file("a.md")
        ));
        assert_balanced(&result);
        assert_eq!(
            (count(&result, "planned"), count(&result, "ok"), count(&result, "failed")),
            (440, 140, 300)
        );
        let talkers = population(&result, "talkers");
        assert_eq!((&talkers["counts"]["ok"], &talkers["steps"][0]["name"]), (&100.into(), &"say".into()));
        assert_eq!(
            talkers["steps"][0]["done"], 100,
            "the opening that no step asks for is none of the first"
        );
        assert_eq!(talkers["latency_us"]["step.say"]["count"], 100);
        assert_eq!(population(&result, "strangers")["failures"][0]["cause"], "refused");
        assert_eq!(population(&result, "loop")["counts"]["ok"], 40);
        let thresholds = result["thresholds"].as_array().unwrap();
        assert_eq!(thresholds.len(), 5);
        assert!(thresholds.iter().all(|judged| judged["passed"] == true), "{thresholds:#?}");
        assert_eq!(thresholds[0]["expression"], "population.talkers.step.say.p99 < 1m");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("a.csv").lines().next().unwrap().contains("population_talkers_ok"));
        assert!(read("a.txt").contains("population=\"strangers\",what=\"failed\"} 300"), "{}", read("a.txt"));
        assert!(read("a.html").contains("<td>strangers</td>") && read("a.md").contains("| loop | 40 | 40 |"));
    });
}

#[test]
fn parts_of_populations_come_to_what_one_run_counts() {
    Namespace::of("parts_of_populations_come_to_what_one_run_counts").run(|| {
        let (_ws, ws) = targets::start(Kind::Ws, Behaviour::Echo);
        let (_tcp, tcp) = targets::start(Kind::Tcp, Behaviour::Echo);
        let folder = tempfile::tempdir().unwrap();
        let scenario = scenario(&folder, &ws.to_string(), &tcp.to_string());
        let file = |name: String| folder.path().join(name);
        let mut parts: Vec<_> = (1..=2)
            .map(|part| {
                let json = file(format!("{part}.json"));
                let process = connstorm()
                    .args(["run", "--quiet", "--part", &format!("{part}/2"), "--json"])
                    .args([&json, &scenario])
                    .stderr(Stdio::null())
                    .spawn();
                (process.unwrap(), json)
            })
            .collect();
        parts.iter_mut().for_each(|(process, _)| assert!(process.wait().unwrap().code().is_some()));
        let merged = file("merged.json".into());
        let output = connstorm()
            .arg("merge")
            .args(parts.iter().map(|(_, json)| json))
            .arg("--json")
            .arg(&merged)
            .output();
        let says = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        let result: Value = serde_json::from_str(&read(&merged, &says)).unwrap();
        assert_balanced(&result);
        assert_eq!(
            (count(&result, "planned"), count(&result, "ok"), count(&result, "failed")),
            (440, 140, 300)
        );
        assert_eq!(population(&result, "talkers")["latency_us"]["step.say"]["count"], 100);
        assert_eq!(population(&result, "talkers")["skipped"]["data_exhausted"], 0, "no row was taken twice");
        assert!(
            result["thresholds"].as_array().unwrap().iter().all(|judged| judged["passed"] == true),
            "{result:#}"
        );
    });
}

fn read(path: &Path, says: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}: {says}"))
}

#[test]
fn explicit_ports_of_populations_are_no_others() {
    Namespace::of("explicit_ports_of_populations_are_no_others").run(|| {
        let (_tcp, tcp) = targets::start(Kind::Tcp, Behaviour::Echo);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("two.toml");
        let text = format!(
            "[target]\nurl = \"tcp://{tcp}\"\n[source]\naddresses = [\"127.0.0.1\"]\nports = \"explicit:20000-20399\"\n\
             [load]\nclosed = {{ slots = 400, duration = \"1s\" }}\nconnections = 400\n\
             [connection]\nlifetime = \"until-end\"\n[[population]]\nname = \"a\"\n[[population]]\nname = \"b\"\n"
        );
        std::fs::write(&path, text).unwrap();
        let result = storm(&path.display().to_string());
        assert_balanced(&result);
        assert_eq!((count(&result, "ok"), count(&result, "held_max")), (400, 400), "{:#}", result["failures"]);
        assert_eq!(population(&result, "a")["counts"]["held_max"], 200);
    });
}
