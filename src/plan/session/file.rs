//! The tables of a scenario file that say what is said above TCP.

use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::reader::{Reader, Table, wrong_type};
use super::super::syntax::{COUNT, DURATION, POSITIVE_DURATION};
use super::SessionSettings;
use super::syntax::{
    ALPN, AUTH, CLOSE_CODE, EXPECT, FILE, JITTER, METHOD, SERVER_NAME, STATUSES, SUBPROTOCOL, TEMPLATE, TEXT,
    TLS_VERSION, header,
};
use toml::Spanned;
use toml::de::DeValue;

/// Fields of `[target]` beside `url` and `ports`.
pub(in crate::plan) const TARGET_FIELDS: [&str; 4] = ["headers", "auth", "origin", "subprotocols"];
/// Tables of the file that are read here.
pub(in crate::plan) const TABLES: [&str; 4] = ["tls", "http", "messages", "reconnect"];

/// What `[target]` says beside where.
pub(in crate::plan) fn target<'a>(table: &Table<'a>, settings: &mut SessionSettings) {
    if let Some(value) = table.value("headers") {
        settings.headers = headers(table.reader(), value);
    }
    settings.auth = table.parse("auth", &AUTH);
    settings.origin = table.parse("origin", &TEXT);
    settings.subprotocols = table.list("subprotocols", &SUBPROTOCOL);
}

/// The tables of [`TABLES`].
pub(in crate::plan) fn tables(top: &Table<'_>, settings: &mut SessionSettings) {
    let fields = ["ca", "cert", "key", "insecure", "server_name", "alpn", "version", "resumption"];
    if let Some(table) = sub_table(top, "tls", &fields) {
        settings.ca = table.parse("ca", &FILE);
        settings.cert = table.parse("cert", &FILE);
        settings.key = table.parse("key", &FILE);
        settings.insecure = table.boolean("insecure");
        settings.server_name = table.parse("server_name", &SERVER_NAME);
        settings.alpn = table.list("alpn", &ALPN);
        settings.tls_version = table.parse("version", &TLS_VERSION);
        settings.resumption = table.boolean("resumption");
    }
    if let Some(table) = sub_table(top, "http", &["method", "body", "requests", "status"]) {
        settings.method = table.parse("method", &METHOD);
        settings.body = table.parse("body", &TEMPLATE);
        settings.requests = table.parse("requests", &COUNT);
        settings.statuses = table.parse("status", &STATUSES);
    }
    messages(top, settings);
    let fields = ["backoff", "max", "jitter", "attempts"];
    if let Some(table) = sub_table(top, "reconnect", &fields) {
        settings.reconnect = Field::Given(Placed { value: true, place: table.place() });
        settings.backoff = table.parse("backoff", &POSITIVE_DURATION);
        settings.backoff_max = table.parse("max", &POSITIVE_DURATION);
        settings.jitter = table.parse("jitter", &JITTER);
        settings.attempts = table.parse("attempts", &COUNT);
    }
}

fn messages(top: &Table<'_>, settings: &mut SessionSettings) {
    let fields = [
        "send",
        "binary",
        "every",
        "think",
        "count",
        "expect",
        "timeout",
        "ping_every",
        "close_code",
        "senders",
    ];
    let Some(table) = sub_table(top, "messages", &fields) else { return };
    settings.send = table.parse("send", &TEMPLATE);
    settings.binary = table.boolean("binary");
    settings.every = table.parse("every", &POSITIVE_DURATION);
    settings.think = table.parse("think", &DURATION);
    settings.count = table.parse("count", &COUNT);
    settings.expect = table.parse("expect", &EXPECT);
    settings.timeout = table.parse("timeout", &POSITIVE_DURATION);
    settings.ping_every = table.parse("ping_every", &POSITIVE_DURATION);
    settings.close_code = table.parse("close_code", &CLOSE_CODE);
    settings.senders = table.parse("senders", &COUNT);
}

fn sub_table<'a>(top: &Table<'a>, field: &str, fields: &[&str]) -> Option<Table<'a>> {
    top.reader().as_table(top.value(field)?, &format!("[{field}]"), fields)
}

fn headers<'a>(reader: &'a Reader<'a>, value: &'a Spanned<DeValue<'a>>) -> Vec<super::Header> {
    let DeValue::Table(entries) = value.get_ref() else {
        reader.report(wrong_type(value.span(), value.get_ref(), "a table, such as { X-Token = \"abc\" }"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, span, value) in Table::in_file_order(entries) {
        let Some(text) = reader.parse(value, &TEXT).into_value() else { continue };
        match header(name, &text) {
            Ok(header) => found.push(header),
            Err(fault) => {
                let mistake: Mistake = fault.at(Place::File(span));
                reader.report(mistake);
            }
        }
    }
    found
}
