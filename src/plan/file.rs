//! The tables of a scenario file, read field by field.

use super::diagnostics::{Mistake, Place};
use super::env::Environment;
use super::field::{Field, Placed};
use super::plan::Serve;
use super::reader::{Reader, Table, wrong_type};
use super::session;
use super::settings::{Settings, Written, WrittenLoad};
use super::stages::{closed, stages};
use super::syntax::{ADDRESSES, BACKLOG, COUNT, Fault, NAME, POSITIVE_DURATION, SEED, Syntax, WORKERS};
use super::target_url::{PORTS, TARGET_URL};
use super::thresholds::{COMPARISON, Threshold, ThresholdFault};
use super::words::{BEHAVIOUR, CLOSE, KIND, LIFETIME, PORT_POLICY};
use crate::model::AddressSet;
use crate::protocol::Behaviour;
use std::net::{Ipv4Addr, SocketAddr};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the text of a file says, or its mistakes of syntax. Mistakes in single values are in the list, and
/// the values are then marked as bad.
pub(super) fn read(
    text: &str,
    environment: &Environment<'_>,
) -> Result<(Written, Vec<Mistake>), Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_mistakes(text, &errors));
    }
    let reader = Reader::new(text, environment);
    let written = scenario(&reader, &document);
    Ok((written, reader.into_mistakes()))
}

/// The parser goes on after a mistake, and then often finds more in the same line: only the first of a line
/// is the user's.
fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut lines = Vec::new();
    let mut mistakes = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let (says, expected) = match error.message().split_once(", expected ") {
            Some((says, expected)) => (says, Some(expected)),
            None => (error.message(), None),
        };
        let mistake = Mistake::new(Place::File(span), format!("this is not TOML: {says}"));
        mistakes.push(match expected {
            Some(expected) => mistake.expected(expected),
            None => mistake,
        });
    }
    mistakes
}

fn scenario<'a>(reader: &'a Reader<'a>, document: &'a Spanned<DeTable<'a>>) -> Written {
    let mut fields = vec![
        "name",
        "seed",
        "workers",
        "target",
        "source",
        "load",
        "connection",
        "serve",
        "thresholds",
        "abort_when",
    ];
    fields.extend(session::file::TABLES);
    let top = reader.table(document.get_ref(), document.span(), "a scenario", &fields);
    let mut written = Written::default();
    let settings = &mut written.settings;
    settings.name = top.parse("name", &NAME);
    settings.seed = top.parse("seed", &SEED);
    settings.workers = top.parse("workers", &WORKERS);
    if let Some(table) = sub_table(&top, "source", &["addresses", "ports"]) {
        source(&table, settings);
    }
    let fields = ["lifetime", "close", "connect_timeout", "handshake_timeout"];
    if let Some(table) = sub_table(&top, "connection", &fields) {
        settings.lifetime = table.parse("lifetime", &LIFETIME);
        settings.close = table.parse("close", &CLOSE);
        settings.connect_timeout = table.parse("connect_timeout", &POSITIVE_DURATION);
        settings.handshake_timeout = table.parse("handshake_timeout", &POSITIVE_DURATION);
    }
    if let Some(value) = top.value("thresholds") {
        settings.thresholds = thresholds(reader, value, "[thresholds] with \"connect.p99\" = \"< 50ms\"");
    }
    if let Some(value) = top.value("abort_when") {
        settings.abort_when = thresholds(reader, value, "[abort_when] with \"failed.ratio\" = \"> 50%\"");
    }
    session::file::tables(&top, &mut settings.session);
    target(&top, &mut written);
    load(&top, &mut written);
    serve(&top, &mut written);
    written
}

/// The table `[field]`, if it is there and is a table.
fn sub_table<'a>(top: &Table<'a>, field: &str, fields: &[&str]) -> Option<Table<'a>> {
    top.reader().as_table(top.value(field)?, &format!("[{field}]"), fields)
}

fn target(top: &Table<'_>, written: &mut Written) {
    if top.value("target").is_none() {
        if top.has_misspelt("target") || top.has_misspelt("serve") {
            written.target_table = Field::Bad;
        }
        return;
    }
    let mut fields = vec!["url", "ports"];
    fields.extend(session::file::TARGET_FIELDS);
    let Some(table) = sub_table(top, "target", &fields) else {
        written.target_table = Field::Bad;
        return;
    };
    written.target_table = Field::Given(Placed { value: (), place: table.place() });
    session::file::target(&table, &mut written.settings.session);
    written.settings.url = table.parse("url", &TARGET_URL);
    if written.settings.url.is_absent() && table.has_misspelt("url") {
        written.settings.url = Field::Bad;
    }
    written.target_ports = match table.value("ports") {
        Some(value) if value.get_ref().is_array() => port_list(&table),
        _ => table.parse("ports", &PORTS),
    };
}

/// Ports as a list, each element a number or a range in quotes.
fn port_list(table: &Table<'_>) -> Field<Vec<u16>> {
    let Field::Given(Placed { value: ranges, place }) = table.list("ports", &PORTS) else {
        return Field::Bad;
    };
    let ports: Vec<u16> = ranges.concat();
    let mistake = |says: String| {
        let mistake = Mistake::new(place.clone(), says).expected("one port or more, each once");
        table.reader().report(mistake);
        Field::Bad
    };
    if ports.is_empty() {
        return mistake("the list of ports is empty".to_owned());
    }
    let mut sorted = ports.clone();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return mistake(format!("port {} is given twice", pair[0]));
    }
    Field::Given(Placed { value: ports, place })
}

fn source(table: &Table<'_>, settings: &mut Settings) {
    settings.addresses = match table.list("addresses", &ADDRESSES) {
        Field::Given(Placed { value, place }) => {
            Field::Given(Placed { value: AddressSet::new(value), place })
        }
        Field::Bad => Field::Bad,
        Field::Absent => Field::Absent,
    };
    settings.ports = table.parse("ports", &PORT_POLICY);
}

fn load(top: &Table<'_>, written: &mut Written) {
    let Some(table) = sub_table(top, "load", &["open", "closed", "max_open", "connections"]) else {
        if top.value("load").is_some() {
            written.load = WrittenLoad { open: Field::Bad, closed: Field::Bad };
        }
        return;
    };
    written.settings.max_open = table.parse("max_open", &COUNT);
    written.settings.connections = table.parse("connections", &COUNT);
    written.load = WrittenLoad { open: stages(&table), closed: closed(&table) };
    if let (Some(open), Some(closed)) = (table.value("open"), table.value("closed")) {
        let (first, second) =
            if open.span().start < closed.span().start { (open, closed) } else { (closed, open) };
        table.reader().report(
            Mistake::new(
                Place::File(second.span()),
                "the load is given twice, as an open and as a closed loop",
            )
            .expected("`open` or `closed`, not both")
            .also(&Place::File(first.span()), "the other load is here")
            .help("`open` starts attempts at planned times; `closed` starts one when another has ended"),
        );
        written.load = WrittenLoad { open: Field::Bad, closed: Field::Bad };
    }
}

/// An address to listen on.
const LISTEN: Syntax<SocketAddr> = Syntax {
    expected: "a string with an address and a port, such as \"127.0.0.1:9001\"",
    bare_number: false,
    parse: |text| {
        text.trim().parse().map_err(|_| {
            Fault::new(format!("{} is not an address with a port", super::diagnostics::quote(text)))
                .expected("a literal address and a port, such as 127.0.0.1:9001 or [::1]:0")
        })
    },
};

fn serve(top: &Table<'_>, written: &mut Written) {
    if top.value("serve").is_none() {
        return;
    }
    written.serve = Field::Bad;
    let fields = ["kind", "behaviour", "listen", "backlog", "workers"];
    let Some(table) = sub_table(top, "serve", &fields) else { return };
    let kind = table.parse("kind", &KIND);
    let behaviour = table.parse("behaviour", &BEHAVIOUR);
    let listen = table.list("listen", &LISTEN);
    let backlog = table.parse("backlog", &BACKLOG);
    let workers = table.parse("workers", &WORKERS);
    if let Some(Placed { value, place }) = listen.given()
        && value.is_empty()
    {
        let mistake = Mistake::new(place.clone(), "the target listens nowhere");
        table.reader().report(mistake.expected("one address or more, such as [\"127.0.0.1:0\"]"));
        return;
    }
    if kind.is_bad() || behaviour.is_bad() || listen.is_bad() || backlog.is_bad() || workers.is_bad() {
        return;
    }
    let kind = kind.into_value().unwrap_or_default();
    if let Some(Placed { value, place }) = behaviour.given()
        && !value.suits(kind)
    {
        let mistake = Mistake::new(place.clone(), format!("a {kind} target can't do '{value}'"));
        table.reader().report(mistake.expected(super::behaviour::expected(kind)));
        return;
    }
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let value = Serve {
        kind,
        listen: listen.into_value().unwrap_or_else(|| vec![anywhere]),
        behaviour: behaviour.into_value().unwrap_or(Behaviour::Echo),
        backlog: backlog.into_value().unwrap_or(4096),
        workers: workers.into_value(),
    };
    written.serve = Field::Given(Placed { value, place: table.place() });
}

fn thresholds<'a>(reader: &'a Reader<'a>, value: &'a Spanned<DeValue<'a>>, example: &str) -> Vec<Threshold> {
    let mut found = Vec::new();
    match value.get_ref() {
        DeValue::Table(entries) => gather(reader, "", entries, &mut found),
        other => reader.report(wrong_type(value.span(), other, &format!("a table such as {example}"))),
    }
    found
}

/// A metric's name has dots in it, and without quotes TOML takes `connect.p99` for a table `connect`: both
/// ways mean the same here.
fn gather<'a>(reader: &'a Reader<'a>, prefix: &str, entries: &'a DeTable<'a>, found: &mut Vec<Threshold>) {
    for (key, key_span, value) in Table::in_file_order(entries) {
        let metric = format!("{prefix}{key}");
        if let DeValue::Table(inner) = value.get_ref() {
            gather(reader, &format!("{metric}."), inner, found);
            continue;
        }
        let Some(comparison) = reader.parse(value, &COMPARISON).into_value() else { continue };
        match Threshold::new(&metric, &comparison) {
            Ok(threshold) => found.push(threshold),
            Err(ThresholdFault::Metric(fault)) => reader.report(fault.at(Place::File(key_span))),
            Err(ThresholdFault::Comparison(fault)) => reader.report(fault.at(Place::File(value.span()))),
        }
    }
}
