//! The flags that say what the tables above TCP say.

use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::overrides::flag;
use super::super::syntax::{COUNT, DURATION, POSITIVE_DURATION, Syntax};
use super::SessionSettings;
use super::syntax::{
    ALPN, AUTH, CLOSE_CODE, EXPECT, FILE, HEADER, JITTER, METHOD, SERVER_NAME, STATUSES, SUBPROTOCOL,
    TEMPLATE, TEXT, TLS_VERSION,
};

/// What flags say about the part above TCP: the text of each as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionOverrides {
    /// `--header`, as often as it was given: `Name: value`.
    pub headers: Vec<String>,
    /// `--auth`: `basic(USER:PASSWORD)` or `bearer(TOKEN)`.
    pub auth: Option<String>,
    /// `--origin`: the header of that name.
    pub origin: Option<String>,
    /// `--subprotocol`, as often as it was given.
    pub subprotocols: Vec<String>,
    /// `--method`: of HTTP requests.
    pub method: Option<String>,
    /// `--body`: of HTTP requests.
    pub body: Option<String>,
    /// `--requests`: HTTP requests on one connection.
    pub requests: Option<String>,
    /// `--status`: statuses that are as they should be.
    pub status: Option<String>,
    /// `--ca`: file of certificates that are trusted.
    pub ca: Option<String>,
    /// `--cert`: file of our own certificate.
    pub cert: Option<String>,
    /// `--key`: file of its key.
    pub key: Option<String>,
    /// `--insecure`: any certificate is accepted.
    pub insecure: bool,
    /// `--server-name`: the name asked for and verified.
    pub server_name: Option<String>,
    /// `--alpn`, as often as it was given.
    pub alpn: Vec<String>,
    /// `--tls-version`: `1.2` or `1.3`.
    pub tls_version: Option<String>,
    /// `--resumption`: TLS sessions are resumed.
    pub resumption: bool,
    /// `--send`: what is sent.
    pub send: Option<String>,
    /// `--binary`: it is sent as binary.
    pub binary: bool,
    /// `--every`: time from one message to the next.
    pub every: Option<String>,
    /// `--think`: time from an answer to the next message.
    pub think: Option<String>,
    /// `--count`: messages on one connection.
    pub count: Option<String>,
    /// `--expect`: what answers a message.
    pub expect: Option<String>,
    /// `--reply-timeout`: longest wait for an answer.
    pub timeout: Option<String>,
    /// `--ping-every`: time from one ping to the next.
    pub ping_every: Option<String>,
    /// `--close-code`: code of our close frame.
    pub close_code: Option<String>,
    /// `--senders`: how many connections send; the others listen.
    pub senders: Option<String>,
    /// `--reconnect`: connect again when a connection is lost.
    pub reconnect: bool,
    /// `--backoff`: the first wait.
    pub backoff: Option<String>,
    /// `--backoff-max`: the longest wait.
    pub backoff_max: Option<String>,
    /// `--jitter`: how far waits are spread.
    pub jitter: Option<String>,
    /// `--reconnect-attempts`: failures in a row after which it is given up.
    pub attempts: Option<String>,
}

/// Reads every flag; each mistake goes to `mistakes`.
pub(in crate::plan) fn read(o: &SessionOverrides, mistakes: &mut Vec<Mistake>) -> SessionSettings {
    SessionSettings {
        headers: each("--header", &o.headers, &HEADER, mistakes).into_value().unwrap_or_default(),
        auth: flag("--auth", &o.auth, &AUTH, mistakes),
        origin: flag("--origin", &o.origin, &TEXT, mistakes),
        subprotocols: each("--subprotocol", &o.subprotocols, &SUBPROTOCOL, mistakes),
        method: flag("--method", &o.method, &METHOD, mistakes),
        body: flag("--body", &o.body, &TEMPLATE, mistakes),
        requests: flag("--requests", &o.requests, &COUNT, mistakes),
        statuses: flag("--status", &o.status, &STATUSES, mistakes),
        ca: flag("--ca", &o.ca, &FILE, mistakes),
        cert: flag("--cert", &o.cert, &FILE, mistakes),
        key: flag("--key", &o.key, &FILE, mistakes),
        insecure: switch("--insecure", o.insecure),
        server_name: flag("--server-name", &o.server_name, &SERVER_NAME, mistakes),
        alpn: each("--alpn", &o.alpn, &ALPN, mistakes),
        tls_version: flag("--tls-version", &o.tls_version, &TLS_VERSION, mistakes),
        resumption: switch("--resumption", o.resumption),
        send: flag("--send", &o.send, &TEMPLATE, mistakes),
        binary: switch("--binary", o.binary),
        every: flag("--every", &o.every, &POSITIVE_DURATION, mistakes),
        think: flag("--think", &o.think, &DURATION, mistakes),
        count: flag("--count", &o.count, &COUNT, mistakes),
        expect: flag("--expect", &o.expect, &EXPECT, mistakes),
        timeout: flag("--reply-timeout", &o.timeout, &POSITIVE_DURATION, mistakes),
        ping_every: flag("--ping-every", &o.ping_every, &POSITIVE_DURATION, mistakes),
        close_code: flag("--close-code", &o.close_code, &CLOSE_CODE, mistakes),
        senders: flag("--senders", &o.senders, &COUNT, mistakes),
        reconnect: switch("--reconnect", o.reconnect),
        backoff: flag("--backoff", &o.backoff, &POSITIVE_DURATION, mistakes),
        backoff_max: flag("--backoff-max", &o.backoff_max, &POSITIVE_DURATION, mistakes),
        jitter: flag("--jitter", &o.jitter, &JITTER, mistakes),
        attempts: flag("--reconnect-attempts", &o.attempts, &COUNT, mistakes),
    }
}

fn switch(flag: &'static str, given: bool) -> Field<bool> {
    let place = Place::Flag { flag, given: String::new() };
    if given { Field::Given(Placed { value: true, place }) } else { Field::Absent }
}

/// A flag that may be given several times.
fn each<T>(
    name: &'static str,
    given: &[String],
    syntax: &Syntax<T>,
    mistakes: &mut Vec<Mistake>,
) -> Field<Vec<T>> {
    let Some(first) = given.first() else { return Field::Absent };
    let place = Place::Flag { flag: name, given: first.clone() };
    let read: Vec<Field<T>> =
        given.iter().map(|text| flag(name, &Some(text.clone()), syntax, mistakes)).collect();
    if read.iter().any(Field::is_bad) {
        return Field::Bad;
    }
    Field::Given(Placed { value: read.into_iter().filter_map(Field::into_value).collect(), place })
}
