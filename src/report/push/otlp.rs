//! OTLP metrics over HTTP in their JSON encoding (opentelemetry.io/docs/specs/otlp): 64-bit numbers are strings, names in
//! lowerCamelCase. Counters and histograms are cumulative since the start of the run.

use super::PREFIX;
use crate::report::openmetrics::{Figures, Labels, Values};
use serde_json::{Value, json};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// The body of an `ExportMetricsServiceRequest`.
pub(super) fn body(figures: &Figures, common: &Labels, began_ms: u64, at_ms: u64) -> Vec<u8> {
    let nanos = |ms: u64| ms.saturating_mul(1_000_000).to_string();
    let (start, now) = (nanos(began_ms), nanos(at_ms));
    let point = |labels: &Labels| json!({ "attributes": attributes(labels), "startTimeUnixNano": start, "timeUnixNano": now });
    let with = |mut point: Value, fields: &[(&str, Value)]| {
        fields.iter().for_each(|(name, value)| point[*name] = value.clone());
        point
    };
    let metrics: Vec<Value> = figures
        .families()
        .iter()
        .map(|family| {
            let unit = family
                .unit
                .as_ref()
                .map_or("1", |unit| if unit.as_str() == "seconds" { "s" } else { unit.as_str() });
            let mut metric = json!({
                "name": format!("{PREFIX}.{}", family.name), "description": family.help, "unit": unit,
            });
            match &family.values {
                Values::Counters(members) => {
                    let points: Vec<Value> = members
                        .iter()
                        .map(|(labels, value)| with(point(labels), &[("asInt", value.to_string().into())]))
                        .collect();
                    metric["sum"] = json!({
                        "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points,
                    });
                }
                Values::Gauges(members) => {
                    let points: Vec<Value> = members
                        .iter()
                        .map(|(labels, value)| with(point(labels), &[("asDouble", number(*value))]))
                        .collect();
                    metric["gauge"] = json!({ "dataPoints": points });
                }
                Values::Info(labels) => {
                    metric["gauge"] =
                        json!({ "dataPoints": [with(point(labels), &[("asInt", "1".into())])] });
                }
                Values::Histograms(members) => {
                    let points: Vec<Value> = members
                        .iter()
                        .map(|(labels, of)| {
                            let bounds: Vec<f64> = of
                                .buckets
                                .iter()
                                .map(|(bound, _)| *bound)
                                .filter(|b| b.is_finite())
                                .collect();
                            let counts: Vec<String> =
                                of.buckets.iter().map(|(_, inside)| inside.to_string()).collect();
                            with(
                                point(labels),
                                &[
                                    ("count", of.count.to_string().into()),
                                    ("sum", number(of.sum_s)),
                                    ("explicitBounds", bounds.into()),
                                    ("bucketCounts", counts.into()),
                                ],
                            )
                        })
                        .collect();
                    metric["histogram"] =
                        json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points });
                }
            }
            metric
        })
        .collect();
    let service = ("service.name".to_owned(), PREFIX.to_owned());
    let resource: Labels = std::iter::once(service).chain(common.iter().cloned()).collect();
    let request = json!({ "resourceMetrics": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeMetrics": [{
            "scope": { "name": PREFIX, "version": env!("CARGO_PKG_VERSION") },
            "metrics": metrics,
        }],
    }]});
    request.to_string().into_bytes()
}

/// A number; protobuf's JSON writes what is none as text.
fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

fn attributes(labels: &Labels) -> Vec<Value> {
    let filled = labels.iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| json!({ "key": name, "value": { "stringValue": value } })).collect()
}
