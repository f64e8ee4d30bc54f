//! Files that `packaging/watch` has for Prometheus and Grafana, against a real Prometheus. Left out where that is not installed.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::Ended;
use support::namespace::Namespace;
use support::prometheus::{ask, is_installed};
use support::storm::connstorm;

/// Connections that grow in number, some that the peer has closed, and a listener.
const PROGRAM: &str = "
import socket, time
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(100)
held = []
def one():
    client = socket.create_connection(('127.0.0.1', 9000)); return client, listener.accept()[0]
closed = [one() for n in range(3)]
for client, accepted in closed: accepted.close()
print('ready', flush=True)
while True: held.append(one()); time.sleep(0.05)
";

#[test]
fn the_alert_rules_are_rules() {
    if !is_installed("promtool") {
        return;
    }
    let output =
        Command::new("promtool").args(["check", "rules", "packaging/watch/alerts.yaml"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_query_of_the_dashboard_and_of_the_rules_has_data() {
    if !is_installed("prometheus") {
        return;
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string("packaging/watch/dashboard.json").unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let mut queries: Vec<String> = panels
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(queries.len() >= 12);
    // What an alert compares is there, although nothing is wrong.
    let rules = std::fs::read_to_string("packaging/watch/alerts.yaml").unwrap();
    let names: Vec<&str> = rules
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("connstorm_watch_") && !word.contains("conntrack"))
        .collect();
    queries.extend(names.into_iter().map(str::to_owned));
    Namespace::of("each_query_of_the_dashboard_and_of_the_rules_has_data").run(|| {
        let mut program = Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let _program = Ended(program);
        let quiet = |command: &mut Command| {
            Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        };
        let _watch = quiet(connstorm().args(["watch", "-q", "--listen", "127.0.0.1:9464", "--every", "500ms"]));
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(
            &config,
            "global: { scrape_interval: 500ms }\nscrape_configs:\n- job_name: watch\n  static_configs: [{ targets: ['127.0.0.1:9464'] }]\n",
        )
        .unwrap();
        let _prometheus = quiet(
            Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg("--web.listen-address=127.0.0.1:9090"),
        );
        let until = Instant::now() + Duration::from_secs(60);
        for query in queries {
            while !has_data(&query) {
                assert!(Instant::now() < until, "no data for {query}");
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    });
}

fn has_data(query: &str) -> bool {
    let text = ask(query);
    assert!(!text.contains("\"status\":\"error\""), "{query}: {text}");
    text.contains("\"metric\":")
}
