//! The part above TCP as a whole: held against the scheme, with a default for what is left out.

use super::super::definition::{Close, Lifetime};
use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::fields::Settings;
use super::steps;
use super::{Expect, Header, Messages, Reconnect, Request, Session, Tls};
use crate::protocol::{Application, Kind};
use std::time::Duration;

/// Session of a plan that speaks `kind`; each mistake goes to `mistakes`. What it is made of is taken out of the
/// settings.
pub(in crate::plan) fn resolve(settings: &mut Settings, kind: Kind, mistakes: &mut Vec<Mistake>) -> Session {
    let ends_at_once = matches!(settings.lifetime.value(), None | Some(Lifetime::Fixed(Duration::ZERO)));
    let lives = !ends_at_once || settings.close.value() == Some(&Close::Peer);
    misfits(settings, kind, mistakes);
    pairs(settings, kind, lives, mistakes);
    match (settings.steps.given(), place(&settings.data)) {
        (Some(steps), _) => steps::check(settings, steps, kind, mistakes),
        (None, Some(data)) if settings.steps.is_absent() => {
            let mistake = Mistake::new(data.clone(), "nothing of this scenario can use data");
            mistakes.push(mistake.expected("`steps`, whose placeholders stand for its columns"));
        }
        _ => {}
    }
    let url = settings.url.value();
    let path = url.map(|url| url.path.clone()).filter(|path| !path.is_empty());
    let credentials = url.and_then(|url| url.credentials.clone());
    let mut headers = take(&mut settings.headers).unwrap_or_default();
    if let Some(origin) = take(&mut settings.origin) {
        headers.push(Header { name: "Origin".to_owned(), value: origin });
    }
    headers.extend(take(&mut settings.auth).or(credentials));
    let send = take(&mut settings.send).or(take(&mut settings.body));
    let count = take(&mut settings.count);
    // One exchange, where no lifetime leaves room for more.
    let count = count.or((send.is_some() && !lives).then_some(1));
    let (request, messages, reconnect) = (Request::default(), Messages::default(), Reconnect::default());
    Session {
        request: Request {
            path: path.unwrap_or(request.path),
            method: take(&mut settings.method),
            headers,
            subprotocols: take(&mut settings.subprotocols).unwrap_or_default(),
            requests: take(&mut settings.requests)
                .map_or(request.requests, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            statuses: take(&mut settings.statuses).unwrap_or(request.statuses),
        },
        tls: Tls {
            ca: take(&mut settings.ca),
            ca_pem: None,
            cert: take(&mut settings.cert),
            key: take(&mut settings.key),
            insecure: take(&mut settings.insecure).unwrap_or(false),
            server_name: take(&mut settings.server_name),
            alpn: take(&mut settings.alpn).unwrap_or_default(),
            version: take(&mut settings.tls_version),
            resumption: take(&mut settings.resumption).unwrap_or(false),
        },
        messages: Messages {
            send,
            binary: take(&mut settings.binary).unwrap_or(false),
            every: take(&mut settings.every),
            think: take(&mut settings.think).unwrap_or(messages.think),
            count,
            expect: take(&mut settings.expect),
            timeout: take(&mut settings.timeout).unwrap_or(messages.timeout),
            ping_every: take(&mut settings.ping_every),
            close_code: take(&mut settings.close_code).unwrap_or(messages.close_code),
            expect_close: take(&mut settings.expect_close).unwrap_or_default(),
            framing: take(&mut settings.framing).unwrap_or_default(),
            senders: take(&mut settings.senders),
        },
        drain: take(&mut settings.drain),
        reconnect: take(&mut settings.reconnect).filter(|wanted| *wanted).map(|_| Reconnect {
            backoff: take(&mut settings.backoff).unwrap_or(reconnect.backoff),
            max: take(&mut settings.backoff_max).unwrap_or(reconnect.max),
            jitter: take(&mut settings.jitter).unwrap_or(reconnect.jitter),
            attempts: take(&mut settings.attempts),
        }),
        steps: take(&mut settings.steps).map(|written| written.steps).unwrap_or_default(),
    }
}

fn take<T>(field: &mut Field<T>) -> Option<T> {
    std::mem::take(field).into_value()
}

/// Messages that are sent `every` so often, and no number of them, are sent until the end of the run: that is how long a
/// connection lives whose lifetime is not given.
pub(in crate::plan) fn lifetime_of_messages(settings: &mut Settings) {
    if let Some(every) =
        place(&settings.every).filter(|_| settings.lifetime.is_absent() && no_number(settings))
    {
        settings.lifetime = Field::Given(Placed { value: Lifetime::UntilEnd, place: every.clone() });
    }
}

/// True if messages are sent until the end of the run, with nothing else to end them.
pub(in crate::plan) fn sends_until_the_end(settings: &Settings) -> bool {
    settings.every.given().is_some() && no_number(settings)
}

fn no_number(settings: &Settings) -> bool {
    let is_http = settings.url.value().is_some_and(|url| url.scheme.application() == Application::Http)
        || settings.serve_kind.value().is_some_and(|kind| kind.application() == Application::Http);
    !is_http && settings.send.given().is_some() && settings.count.is_absent()
}

/// Time a connection takes to say what it is to say, the answers left out.
pub(in crate::plan) fn longest_speech(s: &Settings) -> Duration {
    let pause: Duration = [&s.every, &s.think].into_iter().filter_map(Field::value).sum();
    let times = [&s.count, &s.requests].into_iter().filter_map(Field::value).max();
    pause.saturating_mul(times.map_or(0, |times| u32::try_from(*times).unwrap_or(u32::MAX)))
}

/// Fields that mean nothing with this scheme.
fn misfits(settings: &Settings, kind: Kind, mistakes: &mut Vec<Mistake>) {
    for (row, place) in settings.given() {
        if !row.schemes.fit(kind) {
            let says = format!("a {kind} connection has no {}", row.of_schemes);
            mistakes.push(Mistake::new(place, says).expected(format!("a target of {}", row.schemes.names)));
        }
    }
}

/// True if no number of messages or requests ends a conversation.
fn has_no_end(s: &Settings, is_http: bool, lives: bool) -> bool {
    if is_http {
        return s.requests.value().is_none_or(|requests| *requests <= 1) && !s.requests.is_bad();
    }
    let one_exchange = s.send.given().is_some() && !lives;
    !one_exchange && s.count.given().is_none() && !s.count.is_bad()
}

fn place<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|placed| &placed.place)
}

/// Fields that want each other, or exclude each other.
fn pairs(settings: &Settings, kind: Kind, lives: bool, mistakes: &mut Vec<Mistake>) {
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
    if let Some(framing) = place(&s.framing).filter(|_| s.steps.is_absent()) {
        report(framing, "without steps there are no messages in a stream", "`steps` that wait for messages");
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
    if s.reconnect.is_absent() {
        let needs = [place(&s.backoff), place(&s.backoff_max), place(&s.jitter), place(&s.attempts)];
        for place in needs.into_iter().flatten() {
            report(place, "nothing is connected again, so this has no use", "`--reconnect` beside it");
        }
    }
    if let Some(drain) = place(&s.drain).filter(|_| s.steps.is_absent() && has_no_end(s, is_http, lives)) {
        report(
            drain,
            "no conversation has an end that it could be given time for",
            if is_http {
                "`requests`: more than one on a connection"
            } else {
                "`count`: messages on a connection"
            },
        );
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
