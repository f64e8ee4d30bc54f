//! The plan in the words of the scenario: tables, fields and values as a user writes them.
//!
//! Made from the plan's JSON, so that a field that is added is shown without a line here; what is written otherwise in a
//! scenario is put into its words first.

use crate::model::format::bytes;
use crate::plan::data::{DataTable, TakeRows};
use crate::plan::{Arrivals, Lifetime, Plan, Population, PortPolicy, RateStage};
use crate::protocol::Application;
use crate::report::plan_line;
use humantime::format_duration;
use serde_json::{Map, Value};

/// The scenario's tables, by the place of their fields in the plan; the first that fits.
const TABLES: [(&str, &str); 11] = [
    ("session.messages.", "[messages] "),
    ("session.request.headers", "[target] headers"),
    ("session.request.subprotocols", "[target] subprotocols"),
    ("session.request.", "[http] "),
    ("session.tls.", "[tls] "),
    ("session.reconnect.", "[reconnect] "),
    ("session.steps", "steps"),
    ("session.", ""),
    ("serve.", "[serve] "),
    ("data.", "[data] "),
    ("population.", "[[population]] "),
];
/// Tables that have the same name in both.
const SAME: [&str; 4] = ["target.", "source.", "load.", "connection."];

/// Each field that is not left out, with its value.
pub(super) fn rows(plan: &Plan) -> Vec<(String, String)> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(plan) else { return Vec::new() };
    fields.remove("target");
    if let Some(url) = plan.url() {
        fields.insert("target".into(), serde_json::json!({ "url": url }));
    }
    of_data(plan, &mut fields);
    of_populations(plan, &mut fields);
    if let Some(memory) = plan.memory {
        fields.insert("memory".into(), bytes(memory).into());
    }
    put(&mut fields, "source", "ports", Some(ports(plan.source.ports)));
    put(&mut fields, "load", "arrivals", None);
    let (name, arrivals) = arrivals(&plan.load.arrivals);
    put(&mut fields, "load", name, Some(arrivals));
    put(&mut fields, "connection", "lifetime", Some(lifetime(plan.connection.lifetime)));
    if let Some(Value::Object(session)) = fields.get_mut("session") {
        spoken(plan, session);
    }
    let rows = super::rows(&Value::Object(fields));
    rows.into_iter()
        .filter(|(_, value)| value != "false")
        .map(|(path, value)| (named(&path), value))
        .collect()
}

/// Data, each by its name.
fn of_data(plan: &Plan, fields: &mut Map<String, Value>) {
    if fields.remove("data").is_some() {
        let told = |table: &DataTable| {
            let order = match table.take {
                TakeRows::InOrder => "in-order",
                TakeRows::Random => "random",
                TakeRows::Once => "once",
            };
            (table.name.clone(), format!("{}, {order}", table.file.display()).into())
        };
        fields.insert("data".into(), Value::Object(plan.data.iter().map(told).collect()));
    }
}

/// Populations, each by its name.
fn of_populations(plan: &Plan, fields: &mut Map<String, Value>) {
    if fields.remove("populations").is_some() {
        let told = |population: &Population| {
            let to = population.plan.url().map_or(String::new(), |url| format!("{url}; "));
            (population.name.clone(), format!("{to}{}", plan_line(&population.plan, None)).into())
        };
        fields.insert("population".into(), Value::Object(plan.populations.iter().map(told).collect()));
    }
}

/// Settings above TCP: without what this target does not have.
fn spoken(plan: &Plan, session: &mut Map<String, Value>) {
    let kind = plan.kind();
    let is_http = kind.application() == Application::Http;
    if kind.application() == Application::Stream {
        session.remove("request");
    }
    if !kind.is_encrypted() {
        session.remove("tls");
    }
    let messages = &plan.session.messages;
    if messages.send.is_none() && messages.ping_every.is_none() && !is_http {
        session.remove("messages");
    }
    put(session, "messages", "expect", messages.expect.as_ref().map(ToString::to_string));
    // It stands in the URL.
    put(session, "request", "path", None);
    let ranges = plan.session.request.statuses.0.iter();
    let statuses: Vec<String> = ranges
        .map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") })
        .collect();
    put(session, "request", "statuses", None);
    if is_http {
        put(session, "request", "status", Some(statuses.join(",")));
    } else {
        put(session, "request", "requests", None);
    }
    let headers = plan.session.request.headers.iter();
    let headers: Vec<String> = headers.map(|header| format!("{}: {}", header.name, header.value)).collect();
    put(session, "request", "headers", (!headers.is_empty()).then(|| headers.join("; ")));
}

/// Puts a text in the place of a field, or takes the field away; does nothing where the table is not there.
fn put(fields: &mut Map<String, Value>, table: &str, field: &str, text: Option<String>) {
    let Some(Value::Object(table)) = fields.get_mut(table) else { return };
    match text {
        Some(text) => table.insert(field.to_owned(), Value::String(text)),
        None => table.remove(field),
    };
}

/// The name of a field by its path in the plan.
fn named(path: &str) -> String {
    if let Some((table, rest)) = SAME.iter().find_map(|table| Some((table, path.strip_prefix(table)?))) {
        return format!("[{}] {rest}", table.trim_end_matches('.'));
    }
    let table = TABLES.iter().find_map(|(prefix, table)| Some((table, path.strip_prefix(prefix)?)));
    table.map_or_else(|| path.to_owned(), |(table, rest)| format!("{table}{rest}"))
}

fn ports(policy: PortPolicy) -> String {
    match policy {
        PortPolicy::Kernel => "kernel".to_owned(),
        PortPolicy::NaiveBind => "naive-bind".to_owned(),
        PortPolicy::Explicit { low, high } => format!("explicit:{low}-{high}"),
        PortPolicy::Range { low, high } => format!("{low}-{high}"),
    }
}

fn lifetime(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Fixed(time) => format_duration(time).to_string(),
        Lifetime::Uniform(low, high) => {
            format!("uniform({}, {})", format_duration(low), format_duration(high))
        }
        Lifetime::Exponential(mean) => format!("exponential({})", format_duration(mean)),
        Lifetime::UntilEnd => "until-end".to_owned(),
    }
}

fn arrivals(arrivals: &Arrivals) -> (&'static str, String) {
    let stage = |stage: &RateStage| {
        let over = format_duration(stage.over);
        match stage.from == stage.to {
            true => format!("{} for {over}", stage.to),
            false => format!("{} to {} over {over}", stage.from, stage.to),
        }
    };
    match arrivals {
        Arrivals::Open(stages) => ("open", stages.iter().map(stage).collect::<Vec<_>>().join(", then ")),
        Arrivals::Closed { slots, duration } => {
            let end = duration.map_or(String::new(), |time| format!(" for {}", format_duration(time)));
            ("closed", format!("{slots} slots{end}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    fn rows_of(url: &str, flags: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let mut overrides = Overrides::to(url);
        flags.iter().for_each(|(flag, value)| overrides.set(flag, value));
        rows(&from_flags(&overrides).unwrap())
    }

    fn value<'a>(rows: &'a [(String, String)], field: &str) -> Option<&'a str> {
        rows.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    #[test]
    fn fields_and_values_are_written_as_a_scenario_has_them() {
        let rows = rows_of(
            "ws://127.0.0.1:9001/chat",
            &[
                ("--rate", "50/s"),
                ("--ramp", "2s"),
                ("--duration", "3s"),
                ("--lifetime", "exponential(5s)"),
                ("--send", "x"),
                ("--every", "1s"),
                ("--expect", "contains(x)"),
                ("--ports", "explicit:2000-3000"),
                ("--threshold", "connect.p95 < 50ms"),
            ],
        );
        for (field, shown) in [
            ("[target] url", "ws://127.0.0.1:9001/chat"),
            ("[load] open", "0/s to 50/s over 2s, then 50/s for 3s"),
            ("[connection] lifetime", "exponential(5s)"),
            ("[source] ports", "explicit:2000-3000"),
            ("[messages] send", "x"),
            ("[messages] expect", "contains(x)"),
            ("thresholds", "connect.p95 < 50ms"),
        ] {
            assert_eq!(value(&rows, field), Some(shown), "{rows:#?}");
        }
        assert!(rows.iter().all(|(name, _)| !name.starts_with("session")), "{rows:#?}");
    }

    #[test]
    fn what_a_target_does_not_have_is_not_shown() {
        let rows = rows_of("tcp://127.0.0.1:9001", &[("--concurrency", "3"), ("--duration", "1s")]);
        assert_eq!(value(&rows, "[load] closed"), Some("3 slots for 1s"));
        let above = ["[messages]", "[http]", "[tls]", "[reconnect]"];
        assert!(!rows.iter().any(|(name, _)| above.iter().any(|table| name.starts_with(table))), "{rows:#?}");
        let rows = rows_of("http://127.0.0.1:9001/x", &[("--status", "200,404"), ("--header", "X-A: b")]);
        assert_eq!(value(&rows, "[http] status"), Some("200,404"));
        assert_eq!(value(&rows, "[target] headers"), Some("X-A: b"));
    }
}
