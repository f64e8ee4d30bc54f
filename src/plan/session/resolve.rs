//! The part above TCP as a whole: held against the scheme, with a default for what is left out.

use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::{Expect, Header, Messages, Reconnect, Request, Session, SessionSettings, Tls};
use crate::protocol::{Application, Kind};
use std::time::Duration;

/// What the URL says of the session.
#[derive(Debug, Default)]
pub(in crate::plan) struct FromUrl {
    /// Path and query; empty where it has none.
    pub(in crate::plan) path: String,
    /// `user:password`.
    pub(in crate::plan) credentials: Option<Header>,
}

/// The session of a plan that speaks `kind`; each mistake goes to `mistakes`. `lives` says whether a
/// connection has a lifetime above zero.
pub(in crate::plan) fn resolve(
    settings: SessionSettings,
    url: FromUrl,
    kind: Kind,
    lives: bool,
    mistakes: &mut Vec<Mistake>,
) -> Session {
    misfits(&settings, kind, mistakes);
    pairs(&settings, kind, lives, mistakes);
    let mut headers = settings.headers;
    if let Some(origin) = settings.origin.into_value() {
        headers.push(Header { name: "Origin".to_owned(), value: origin });
    }
    headers.extend(settings.auth.into_value().or(url.credentials));
    let send = settings.send.or(settings.body).into_value();
    let count = settings.count.into_value();
    // One exchange, where no lifetime leaves room for more.
    let count = count.or((send.is_some() && !lives).then_some(1));
    let reconnect = Reconnect::default();
    Session {
        request: Request {
            path: if url.path.is_empty() { "/".to_owned() } else { url.path },
            method: settings.method.into_value(),
            headers,
            subprotocols: settings.subprotocols.into_value().unwrap_or_default(),
            requests: settings.requests.into_value().map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            statuses: settings.statuses.into_value().unwrap_or_default(),
        },
        tls: Tls {
            ca: settings.ca.into_value(),
            ca_pem: None,
            cert: settings.cert.into_value(),
            key: settings.key.into_value(),
            insecure: settings.insecure.into_value().unwrap_or(false),
            server_name: settings.server_name.into_value(),
            alpn: settings.alpn.into_value().unwrap_or_default(),
            version: settings.tls_version.into_value(),
            resumption: settings.resumption.into_value().unwrap_or(false),
        },
        messages: Messages {
            send,
            binary: settings.binary.into_value().unwrap_or(false),
            every: settings.every.into_value(),
            think: settings.think.into_value().unwrap_or(Duration::ZERO),
            count,
            expect: settings.expect.into_value(),
            timeout: settings.timeout.into_value().unwrap_or(Messages::default().timeout),
            ping_every: settings.ping_every.into_value(),
            close_code: settings.close_code.into_value().unwrap_or(1000),
            senders: settings.senders.into_value(),
        },
        reconnect: settings.reconnect.into_value().filter(|wanted| *wanted).map(|_| Reconnect {
            backoff: settings.backoff.into_value().unwrap_or(reconnect.backoff),
            max: settings.backoff_max.into_value().unwrap_or(reconnect.max),
            jitter: settings.jitter.into_value().unwrap_or(reconnect.jitter),
            attempts: settings.attempts.into_value(),
        }),
    }
}

/// Fields that mean nothing with this scheme.
fn misfits(settings: &SessionSettings, kind: Kind, mistakes: &mut Vec<Mistake>) {
    let application = kind.application();
    let speaks_http = application != Application::Stream;
    let mut need = |place: Option<&Place>, fits: bool, what: &str, schemes: &str| {
        if let Some(place) = place.filter(|_| !fits) {
            let says = format!("a {kind} connection has no {what}");
            mistakes.push(Mistake::new(place.clone(), says).expected(format!("a target of {schemes}")));
        }
    };
    let any_http = "http, https, ws or wss";
    need(place(&settings.auth), speaks_http, "headers to authenticate by", any_http);
    need(place(&settings.origin), speaks_http, "origin", any_http);
    let is_ws = application == Application::WebSocket;
    need(place(&settings.subprotocols), is_ws, "subprotocols", "ws or wss");
    need(place(&settings.ping_every), is_ws, "pings", "ws or wss");
    need(place(&settings.close_code), is_ws, "close code", "ws or wss");
    need(place(&settings.senders), is_ws, "senders and listeners", "ws or wss");
    let is_http = application == Application::Http;
    for field in [place(&settings.method), place(&settings.requests), place(&settings.body)] {
        need(field, is_http, "requests", "http or https");
    }
    need(place(&settings.statuses), is_http, "statuses", "http or https");
    need(place(&settings.count), !is_http, "count of messages; `requests` is the number", "ws, tcp or tls");
    let secure = kind.is_encrypted();
    let files = [place(&settings.ca), place(&settings.cert), place(&settings.key)];
    let others = [place(&settings.server_name), place(&settings.alpn), place(&settings.tls_version)];
    let switches = [place(&settings.insecure), place(&settings.resumption)];
    for field in files.into_iter().chain(others).chain(switches) {
        need(field, secure, "TLS", "tls, https or wss");
    }
    if !speaks_http && !settings.headers.is_empty() {
        let says = format!("a {kind} connection has no headers");
        mistakes.push(Mistake::new(Place::Whole, says).expected(format!("a target of {any_http}")));
    }
}

fn place<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|placed| &placed.place)
}

/// Fields that want each other, or exclude each other.
fn pairs(settings: &SessionSettings, kind: Kind, lives: bool, mistakes: &mut Vec<Mistake>) {
    let s = settings;
    let mut report = |place: &Place, says: &str, expected: &str| {
        mistakes.push(Mistake::new(place.clone(), says).expected(expected));
    };
    let is_http = kind.application() == Application::Http;
    if let (Some(send), true) = (place(&s.send), s.body.given().is_some()) {
        report(send, "the body of the request is given twice", "`send` or `body`, not both");
    }
    if let (Some(think), true) = (place(&s.think), s.every.given().is_some()) {
        report(think, "`think` counts from an answer, `every` from the last message", "one of the two");
    }
    match (s.cert.given(), s.key.given()) {
        (Some(cert), None) if !s.key.is_bad() => {
            report(&cert.place, "the certificate has no key", "`key` beside `cert`");
        }
        (None, Some(key)) if !s.cert.is_bad() => {
            report(&key.place, "the key has no certificate", "`cert` beside `key`");
        }
        _ => {}
    }
    if is_http {
        return;
    }
    let nothing_sent = s.send.is_absent();
    for needs in [place(&s.every), place(&s.count), place(&s.expect), place(&s.senders), place(&s.think)] {
        if let Some(needs) = needs.filter(|_| nothing_sent) {
            report(needs, "there is no message to send", "`send`: the message, such as \"ping {seq}\"");
        }
    }
    if let (Some(Placed { value: Expect::Json { .. }, place }), Application::Stream) =
        (s.expect.given(), kind.application())
    {
        report(place, "bytes have no messages in them to be JSON", "echo, any or contains(TEXT)");
    }
    if let (Some(senders), Some(expect)) = (s.senders.given(), place(&s.expect)) {
        let _ = senders;
        report(expect, "with `senders` the others receive, and nobody answers", "no `expect`");
    }
    let paced = s.every.given().is_some() || s.expect.given().is_some();
    let several = s.count.value().is_some_and(|count| *count > 1) || (s.count.is_absent() && lives);
    if let Some(send) =
        place(&s.send).filter(|_| several && !paced && !s.every.is_bad() && !s.expect.is_bad())
    {
        report(
            send,
            "nothing says when the next message is due",
            "`every`, or `expect` to wait for an answer",
        );
    }
}
