//! Figures of a run that are written to databases of metrics: outages, refusals, silence, and a real Prometheus.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::Ended;
use support::namespace::Namespace;
use support::prometheus::{ask, is_installed};
use support::storm::connstorm;
use support::targets;

/// One request: its head, and its body.
type Request = (String, Vec<u8>);

/// A receiver that answers the n-th request as `status` says, and hands on what it takes.
fn receiver(status: fn(usize) -> u16) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (to, taken) = channel();
    std::thread::spawn(move || {
        let mut requests = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(request) = read(&mut stream) {
                let status = status(requests);
                requests += 1;
                if status == 200 && to.send(request).is_err() {
                    return;
                }
                let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 4\r\n\r\nsaid");
                if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, taken)
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A short run against a target of its own, with more flags.
fn run(flags: &[&str]) -> Output {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let url = format!("tcp://{address}");
    connstorm()
        .args(["run", &url, "--rate", "50/s", "--duration", "3s", "--progress", "never"])
        .args(flags)
        .output()
        .unwrap()
}

/// Value of a counter in a body of OTLP.
fn counter(body: &Value, name: &str) -> u64 {
    let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap();
    metric["sum"]["dataPoints"][0]["asInt"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_was_not_taken_in_an_outage_is_sent_again_in_order() {
    let (address, taken) = receiver(|n| if n < 2 { 503 } else { 200 });
    let url = format!("http://{address}/v1/metrics");
    let output = run(&["--push-otlp", &url, "--push-label", "branch=main", "--push-header", "X-Key: geheim"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("503") && said.contains("sent again"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
    let requests: Vec<Request> = taken.try_iter().collect();
    let bodies: Vec<Value> = requests.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    let started: Vec<u64> = bodies.iter().map(|body| counter(body, "connstorm.started")).collect();
    assert!(started.len() >= 4 && started.is_sorted(), "each window and the end: {started:?}");
    assert!(started[0] < 100, "the first window came too: {started:?}");
    assert_eq!(started.last(), Some(&150));
    let head = requests[0].0.to_lowercase();
    assert!(head.starts_with("post /v1/metrics ") && head.contains("x-key: geheim"), "{head}");
    let text = bodies[0].to_string();
    assert!(
        text.contains("\"branch\"") && text.contains("\"running\"") && !text.contains("\"passed\""),
        "{text}"
    );
    assert!(bodies.last().unwrap().to_string().contains("\"passed\""));
}

#[test]
fn a_database_that_refuses_or_says_nothing_costs_the_run_nothing_but_a_word() {
    let (refuses, _) = receiver(|_| 400);
    // It is connected to, by the kernel, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}/v1/metrics", silent.local_addr().unwrap());
    let refusing = format!("http://user:geheim@{refuses}/api/v1/write?token=geheim");
    let output =
        run(&["--push-otlp", &silent_url, "--push-prometheus", &refusing, "--threshold", "ok == 150"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("400 Bad Request: said; those figures are given up"), "{said}");
    assert!(said.contains(&silent_url), "{said}");
    assert!(!said.contains("geheim"), "{said}");
}

#[test]
fn a_real_prometheus_takes_every_figure() {
    if !is_installed("prometheus") {
        return;
    }
    Namespace::of("a_real_prometheus_takes_every_figure").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "").unwrap();
        let prometheus = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:9090", "--web.enable-remote-write-receiver"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _prometheus = Ended(prometheus.unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        while !ask("1").contains("success") {
            assert!(Instant::now() < until, "Prometheus does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        let url = "http://127.0.0.1:9090/api/v1/write";
        let output = run(&["--push-prometheus", url, "--push-label", "branch=main"]);
        assert!(output.status.success(), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("did not take"), "{output:?}");
        let started = ask("connstorm_started_total{branch=\"main\",job=\"connstorm\"}");
        assert!(started.contains("\"150\"]"), "{started}");
        assert!(ask("connstorm_run_info{verdict=\"passed\"}").contains("\"1\"]"));
        assert!(!ask("connstorm_run_info{verdict=\"running\"}").contains("\"metric\""), "it has ended");
        let windows = ask("count_over_time(connstorm_started_total[1h])");
        assert!(["\"4\"]", "\"5\"]"].iter().any(|count| windows.contains(count)), "{windows}");
        let quantile = "histogram_quantile(0.5, connstorm_latency_seconds_bucket{step=\"connect\"})";
        assert!(ask(quantile).contains("\"metric\""));
    });
}
