//! JSON schema of thresholds: an editor completes the usual metrics, and marks a name or a comparison that is wrong.

use super::{Comparator, Metric, Unit};
use crate::model::LatencyKind;
use crate::plan::syntax::{COUNT, DURATION, RATE};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Figures of a distribution.
const FIGURES: &str = r"(min|mean|max|p[0-9]{1,2}([._][0-9]{1,4})?)";
/// Name of a step.
const STEP: &str = r"step\.[A-Za-z0-9_-]{1,31}";
/// Name of the definition of a table whose keys are parts of a metric's name.
const PART: &str = "#/$defs/part_of_a_metric";

/// Definitions of the schema that thresholds need; a field of them is `{ "$ref": "#/$defs/comparisons" }`.
pub(in crate::plan) fn definitions() -> Map<String, Value> {
    let mut definitions = Map::new();
    definitions.insert("comparisons".into(), comparisons());
    definitions.insert("part_of_a_metric".into(), parts());
    for unit in Unit::ALL {
        definitions.insert(name_of(unit).to_owned(), comparison(unit));
    }
    definitions
}

/// Metrics with their comparisons. Without quotes TOML takes `connect.p99` for a table `connect`, which means the same.
fn comparisons() -> Value {
    let mut properties = Map::new();
    for metric in Metric::all() {
        properties.insert(metric.to_string(), reference(metric.unit()));
    }
    let latencies: Vec<&str> = LatencyKind::ALL.iter().map(|kind| kind.name()).collect();
    let mut patterns = Map::new();
    patterns.insert(format!(r"^({})\.{FIGURES}$", latencies.join("|")), reference(Unit::Microseconds));
    patterns.insert(format!(r"^{STEP}\.{FIGURES}$"), reference(Unit::Microseconds));
    patterns.insert(format!(r"^{STEP}\.(done|failed)$"), reference(Unit::Count));
    // Any metric of a population, whatever its unit.
    let any: Vec<Value> = Unit::ALL.map(reference).into();
    patterns.insert(r"^population\.[A-Za-z0-9_-]{1,31}\..+$".to_owned(), json!({ "anyOf": any }));
    for first in first_words() {
        // Some first words are metrics themselves, such as `failed`.
        let whole = properties.remove(&first);
        let either = |whole| json!({ "anyOf": [whole, { "$ref": PART }] });
        properties.insert(first, whole.map_or(json!({ "$ref": PART }), either));
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "patternProperties": patterns,
    })
}

/// The words that a metric of several words begins with.
fn first_words() -> BTreeSet<String> {
    let all = Metric::all().filter_map(|metric| Some(metric.to_string().split_once('.')?.0.to_owned()));
    all.chain(["step", "population"].map(str::to_owned)).collect()
}

/// A table whose keys are parts of a metric's name; its values are further parts, or the comparison.
fn parts() -> Value {
    let any = Unit::ALL.map(reference).into_iter().chain([json!({ "$ref": PART })]);
    json!({ "type": "object", "additionalProperties": { "anyOf": any.collect::<Vec<Value>>() } })
}

fn reference(unit: Unit) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name_of(unit)) })
}

fn name_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Microseconds => "comparison_of_a_latency",
        Unit::Seconds => "comparison_of_a_moment",
        Unit::Ratio => "comparison_of_a_share",
        Unit::Count => "comparison_of_a_count",
        Unit::Bytes => "comparison_of_bytes",
        Unit::PerSecond => "comparison_of_a_rate",
    }
}

fn comparison(unit: Unit) -> Value {
    let value = match unit {
        Unit::Microseconds => DURATION.pattern.to_owned(),
        Unit::Seconds => format!("never|{}", DURATION.pattern),
        Unit::Ratio => r"[0-9]+(\.[0-9]*)?\s*%?|\.[0-9]+\s*%?".to_owned(),
        Unit::Count | Unit::Bytes => COUNT.pattern.to_owned(),
        Unit::PerSecond => RATE.pattern.to_owned(),
    };
    let never = if unit == Unit::Seconds { "never|" } else { "" };
    let signs = Comparator::ALL.map(Comparator::sign).join("|");
    json!({
        "description": format!("A comparison with {}: \"{}\".", unit.expected(), unit.example()),
        "type": "string",
        "pattern": format!(r"^\s*({never}({signs})\s*({value}))\s*$|\$\{{"),
    })
}
