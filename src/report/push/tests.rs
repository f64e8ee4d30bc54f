use super::remote_write::WriteRequest;
use super::*;
use crate::result::sample;
use prost::Message;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

fn labels() -> Vec<(String, String)> {
    vec![("job".into(), "connstorm".into()), ("run".into(), "one".into())]
}

/// Every series of a body with its value and time.
fn series(body: &[u8]) -> BTreeMap<String, (f64, i64)> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let request = WriteRequest::decode(&plain[..]).unwrap();
    let named = request.timeseries.iter().map(|series| {
        assert!(series.labels.is_sorted_by(|a, b| a.name < b.name), "in order, each once: {series:?}");
        let name: Vec<String> =
            series.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
        (name.join(","), (series.samples[0].value, series.samples[0].timestamp))
    });
    named.collect()
}

#[test]
fn a_request_has_the_series_that_a_scrape_would_give() {
    let result = sample::exhausted();
    let mut requests = Requests::new(Protocol::RemoteWrite, labels());
    let written = series(&requests.body(&result, Progress::Ended).unwrap());
    let text = crate::report::openmetrics::render(&Shown::of(&result).unwrap()).unwrap();
    let scraped: HashSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    let names: HashSet<&str> = written
        .keys()
        .map(|name| name.split(',').find_map(|label| label.strip_prefix("__name__=")).unwrap())
        .collect();
    assert_eq!(names, scraped);
    assert_eq!(written.len(), text.lines().filter(|line| !line.starts_with('#')).count());
    let (started, at) = written["__name__=connstorm_started_total,job=connstorm,run=one"];
    assert_eq!(started as u64, result.counts.started);
    let expected = result.began_unix_us / 1000 + (result.elapsed_s * 1000.0) as u64;
    assert!(at.unsigned_abs().abs_diff(expected) <= 1);
}

#[test]
fn buckets_of_a_histogram_add_up_to_its_count() {
    let mut requests = Requests::new(Protocol::RemoteWrite, labels());
    let written = series(&requests.body(&sample::good(), Progress::Running).unwrap());
    let of = |what: &str| {
        let found = written.iter().filter(|(name, _)| name.contains(what) && name.contains("step=connect"));
        found.map(|(_, (value, _))| *value).fold(0.0, f64::max)
    };
    assert!(of("latency_seconds_count") > 0.0);
    assert_eq!(of("latency_seconds_bucket"), of("latency_seconds_count"));
}

#[test]
fn a_series_without_a_value_ends_and_no_moment_is_written_twice() {
    let result = sample::good();
    let mut requests = Requests::new(Protocol::RemoteWrite, labels());
    let running = series(&requests.body(&result, Progress::Running).unwrap());
    let ended = series(&requests.body(&result, Progress::Ended).unwrap());
    let verdict = |of: &BTreeMap<String, (f64, i64)>, verdict: &str| {
        of.iter().find(|(name, _)| name.contains(&format!("verdict={verdict}"))).map(|(_, value)| *value)
    };
    let (running, before) = (verdict(&running, "running").unwrap(), verdict(&running, "passed"));
    assert_eq!((running.0, before), (1.0, None), "nobody knows before the end");
    assert_eq!(verdict(&ended, "running").unwrap().0.to_bits(), 0x7ff0_0000_0000_0002, "stale");
    let passed = verdict(&ended, "passed").unwrap();
    assert!(passed.0 == 1.0 && passed.1 > running.1);
}

#[test]
fn otlp_has_every_metric_with_its_kind_and_strings_for_large_numbers() {
    let result = sample::exhausted();
    let mut requests = Requests::new(Protocol::Otlp, labels());
    let body: Value = serde_json::from_slice(&requests.body(&result, Progress::Ended).unwrap()).unwrap();
    let resource = &body["resourceMetrics"][0];
    let attributes = resource["resource"]["attributes"].as_array().unwrap();
    assert!(
        attributes.iter().any(|a| a["key"] == "service.name" && a["value"]["stringValue"] == "connstorm")
    );
    assert!(attributes.iter().any(|a| a["key"] == "run" && a["value"]["stringValue"] == "one"));
    let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let metric = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let started = &metric("connstorm.started")["sum"];
    assert_eq!(started["isMonotonic"], true);
    assert_eq!(started["dataPoints"][0]["asInt"], result.counts.started.to_string());
    assert_eq!(
        started["dataPoints"][0]["startTimeUnixNano"],
        (result.began_unix_us / 1000 * 1_000_000).to_string()
    );
    let latency = &metric("connstorm.latency");
    assert_eq!(latency["unit"], "s");
    let point = &latency["histogram"]["dataPoints"][0];
    let (bounds, counts) =
        (point["explicitBounds"].as_array().unwrap(), point["bucketCounts"].as_array().unwrap());
    assert_eq!(counts.len(), bounds.len() + 1);
    let sum: u64 = counts.iter().map(|count| count.as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum.to_string(), point["count"].as_str().unwrap());
}

#[test]
fn a_run_has_a_name_of_its_own() {
    assert_eq!(run_id(1_700_000_000_000_000, 42), "2023-11-14T22:13:20Z-42");
}
