//! The published JSON schemas, held against what the program really writes and reads.

mod support;

use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use support::storm::{connstorm, storm};
use support::targets;

fn schema(of: &str) -> Value {
    let output = connstorm().args(["schema", of]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn validator(of: &str) -> Validator {
    let schema = schema(of);
    jsonschema::draft202012::meta::validate(&schema).expect("it is a schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn results_old_and_new_are_valid() {
    let validator = validator("result");
    for file in ["tests/data/good.json", "tests/data/exhausted.json"] {
        assert_valid(&validator, &serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap());
    }
    let (_target, address) =
        targets::start(connstorm::protocol::Kind::Tcp, connstorm::protocol::Behaviour::Echo);
    let fresh = storm(&format!("tcp://{address} --connections 50 --concurrency 3"));
    assert_valid(&validator, &fresh);
    // Nothing listens: failures with an errno, findings and samples are in it.
    let failed = storm("tcp://127.0.0.1:1 --connections 5 --concurrency 1");
    assert_valid(&validator, &failed);
    assert_eq!(failed["failures"][0]["errno"], "ECONNREFUSED");
}

#[test]
fn what_is_no_result_is_not_valid() {
    let validator = validator("result");
    let good: Value =
        serde_json::from_str(&std::fs::read_to_string("tests/data/good.json").unwrap()).unwrap();
    for (path, wrong) in [
        ("/schema_version", json!(2)),
        ("/verdict", json!("splendid")),
        ("/counts/ok", json!(-1)),
        ("/windows/0/at_s", json!("soon")),
        ("/plan/source/ports", json!("magic")),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = wrong;
        assert!(!validator.is_valid(&changed), "{path}");
    }
    assert!(!validator.is_valid(&json!({})));
}

/// Every name that the model ever had stays in the schema: nothing is removed.
#[test]
fn no_field_of_the_first_version_is_gone() {
    let schema = schema("result");
    let properties = schema["properties"].as_object().unwrap();
    let first: Value =
        serde_json::from_str(&std::fs::read_to_string("tests/data/exhausted.json").unwrap()).unwrap();
    for name in first.as_object().unwrap().keys() {
        assert!(properties.contains_key(name), "{name}");
    }
    let window = schema["$defs"]["WindowSummary"]["properties"].as_object().unwrap();
    for name in first["windows"][0].as_object().unwrap().keys() {
        assert!(window.contains_key(name), "{name}");
    }
}

fn toml_as_json(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn every_scenario_that_is_shipped_is_valid() {
    let validator = validator("scenario");
    let mut found = 0;
    for folder in ["scenarios", "scenarios/ci"] {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                assert_valid(&validator, &toml_as_json(&std::fs::read_to_string(&path).unwrap()));
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

#[test]
fn a_mistake_in_a_scenario_is_not_valid() {
    let validator = validator("scenario");
    for text in [
        "name = \"no target\"",
        "[target]\nport = 5",
        "[target]\norigin = \"x\"",
        "[target]\nurl = \"tcp://h:1\"\nurll = 5",
        "[target]\nurl = \"tcp://h:1\"\n[connection]\nclose = \"gently\"",
        "[target]\nurl = \"tcp://h:1\"\n[load]\nopen = [{ hold = \"1s\" }]\nclosed = { slots = 1 }",
        "[target]\nurl = \"tcp://h:1\"\n[load]\nopen = [{ ramp_to = \"1/s\" }]",
        "[target]\nurl = \"tcp://h:1\"\n[thresholds]\n\"connect.p99\" = 5",
    ] {
        assert!(!validator.is_valid(&toml_as_json(text)), "{text}");
    }
}

/// A scenario with one threshold.
fn judged_by(key: &str, comparison: &str) -> Value {
    toml_as_json(&format!("[target]\nurl = \"tcp://h:1\"\n[thresholds]\n{key} = \"{comparison}\""))
}

#[test]
fn every_metric_has_its_place_in_the_schema_and_a_name_that_is_none_is_marked() {
    use connstorm::plan::threshold::Metric;
    let validator = validator("scenario");
    let is_right = |key: &str, comparison: &str| validator.is_valid(&judged_by(key, comparison));
    for metric in Metric::all() {
        let (name, comparison) = (metric.to_string(), metric.unit().example());
        assert!(is_right(&format!("\"{name}\""), comparison), "\"{name}\" = {comparison}");
        assert!(is_right(&name, comparison), "{name} = {comparison}, as tables");
    }
    for (key, comparison) in [
        ("\"connect.p95\"", "<= 1m 30s"),
        ("\"round_trip.p99.99\"", "< ${BOUND}"),
        ("\"step.say-hello.p99_9\"", "!= 250us"),
        ("\"step.login.failed\"", "== 0"),
        ("\"onset.ports_exhausted\"", "never"),
        ("\"onset.ports_exhausted\"", "> 30s"),
        ("\"failed.ratio\"", "<0.1 %"),
    ] {
        assert!(is_right(key, comparison), "{key} {comparison}");
    }
    for (key, comparison) in [
        ("\"conect.p99\"", "< 50ms"),
        ("\"connect.p99\"", "50ms"),
        ("\"connect.p99\"", "< 50"),
        ("\"connect.p99\"", "< 50 fortnights"),
        ("\"connect.q99\"", "< 50ms"),
        ("\"failed.ratio\"", "< 5ms"),
        ("\"failed.refused\"", "never"),
        ("\"held.max\"", "=> 5"),
    ] {
        assert!(!is_right(key, comparison), "{key} {comparison}");
    }
}

/// Fields of a table by the reader of scenarios, out of its own message about a wrong one.
fn fields_read(table: &str) -> BTreeSet<String> {
    let text = format!("{table}zzzzzzzz = 1\n");
    let read = connstorm::plan::load_file(Path::new("x.toml"), &text, &|_| None, &Default::default());
    let message = read.unwrap_err().render(connstorm::plan::Colour::Plain);
    let (_, after) = message.split_once("zzzzzzzz").expect(&message);
    let listed = after.split_once("expected").unwrap_or(("", after)).1.lines().next().unwrap_or_default();
    let known: BTreeSet<String> = listed.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(known.len() > 1, "{message}");
    known
}

const TABLES: [&str; 9] =
    ["target", "source", "load", "connection", "tls", "http", "messages", "reconnect", "serve"];

#[test]
fn the_schema_has_every_field_that_is_read_and_no_other() {
    let schema = schema("scenario");
    let named = |pointer: &str| -> BTreeSet<String> {
        schema.pointer(pointer).and_then(Value::as_object).expect(pointer).keys().cloned().collect()
    };
    assert_eq!(named("/properties"), fields_read(""));
    for table in TABLES {
        let read = fields_read(&format!("[{table}]\n"));
        assert_eq!(named(&format!("/properties/{table}/properties")), read, "[{table}]");
    }
    // Every table of the schema is looked at above, or is made of the user's own names.
    let tables: BTreeSet<String> = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, of)| of.get("properties").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(tables, BTreeSet::from(TABLES.map(str::to_owned)));
}
