//! Each failure above TCP has its own finding; one fact changed, and it is another.

use crate::diagnose::{Certainty, Facts, FailureFact, Finding, FindingId, SchemeTrial, diagnose};
use crate::model::{Cause, Failure, Reply, Side, Stage};
use crate::protocol::Kind;
use std::time::Duration;

fn fact(failure: Failure, first_s: u64, last_s: u64) -> FailureFact {
    FailureFact {
        first_at: Duration::from_secs(first_s),
        last_at: Duration::from_secs(last_s),
        ..FailureFact::new(failure, 10)
    }
}

fn found(kind: Kind, failure: Failure, reply: Reply) -> Finding {
    let facts = Facts {
        spoken: Some(kind),
        url: Some(format!("{kind}://h:1/chat")),
        opened: 10,
        failures: vec![fact(failure, 0, 1)],
        replies: vec![(failure, reply)],
        ..Facts::default()
    };
    diagnose(&facts).remove(0)
}

#[test]
fn every_status_means_something_else_and_the_browsers_words_are_quoted() {
    for (status, id) in [
        (200, "no-websocket-there"),
        (302, "redirected"),
        (400, "bad-request"),
        (401, "not-authorised"),
        (403, "not-authorised"),
        (404, "wrong-path"),
        (426, "upgrade-required"),
        (429, "rate-limited"),
        (500, "server-error"),
        (502, "no-backend"),
        (503, "unavailable"),
    ] {
        let failure = Failure::with_code(Stage::Handshake, Cause::HttpStatus, status);
        let finding = found(Kind::Ws, failure, Reply::default());
        assert_eq!(
            (finding.id.as_str(), finding.side, finding.certainty),
            (id, Side::Target, Certainty::Proved)
        );
        let quoted = format!("Error during WebSocket handshake: Unexpected response code: {status}");
        assert!(finding.says.contains(&quoted) && finding.says.contains("ws://h:1/chat"), "{}", finding.says);
        assert!(!finding.remedies.is_empty());
        let plain = found(Kind::Http, failure, Reply::default());
        assert!(!plain.says.contains("WebSocket handshake:"), "{}", plain.says);
    }
    let redirect =
        Reply { headers: vec![("Location".into(), "https://new.example/".into())], ..Reply::default() };
    let failure = Failure::with_code(Stage::Handshake, Cause::HttpStatus, 301);
    let via = Reply { headers: vec![("Via".into(), "1.1 squid".into())], ..Reply::default() };
    assert!(found(Kind::Ws, failure, via).says.contains("by a proxy (Via: 1.1 squid)"));
    assert!(found(Kind::Ws, failure, redirect).remedies[0].contains("https://new.example/"));
}

#[test]
fn a_scheme_that_does_not_fit_is_told_with_the_other() {
    let at = |stage, cause| Failure::new(stage, cause);
    let cases = [
        (Kind::Wss, at(Stage::Tls, Cause::PlainTextOnTls), "", "tls-to-a-plain-port", "ws://h:1/chat"),
        (
            Kind::Ws,
            at(Stage::Handshake, Cause::TlsOnPlainText),
            "",
            "plain-text-to-a-tls-port",
            "wss://h:1/chat",
        ),
        (
            Kind::Ws,
            Failure::with_code(Stage::Handshake, Cause::HttpStatus, 400),
            "<title>400 The plain HTTP request was sent to HTTPS port</title>",
            "plain-text-to-a-tls-port",
            "wss://h:1/chat",
        ),
    ];
    for (kind, failure, body, id, other) in cases {
        let finding = found(kind, failure, Reply::default().with_body(body.as_bytes()));
        assert_eq!(finding.id, id);
        assert!(finding.remedies[0].ends_with(other), "{:?}", finding.remedies);
    }
}

#[test]
fn a_port_that_speaks_neither_tls_nor_the_same_without_is_told_so() {
    for (cause, protocol, id) in [
        (Cause::NotTls, "MySQL", "tls-to-another-protocol"),
        (Cause::PlainTextOnTls, "SSH", "tls-to-another-protocol"),
        (Cause::PlainTextOnTls, "HTTP", "tls-to-a-plain-port"),
        (Cause::PlainTextOnTls, "a text protocol", "tls-to-a-plain-port"),
    ] {
        let reply = Reply { protocol: Some(protocol.into()), ..Reply::default() };
        let finding = found(Kind::Https, Failure::new(Stage::Tls, cause), reply);
        assert_eq!(finding.id, id, "{protocol}");
        assert_eq!(finding.remedies[0].contains("http://h:1/chat"), id == "tls-to-a-plain-port");
    }
}

#[test]
fn connections_that_the_server_ends_are_told_with_its_code() {
    let closed =
        found(Kind::Ws, Failure::with_code(Stage::Session, Cause::ClosedEarly, 1001), Reply::default());
    assert_eq!((closed.id.as_str(), closed.certainty), ("closed-by-the-server", Certainty::Likely));
    assert!(
        closed.says.contains("10 connections") && closed.says.contains("close code 1001"),
        "{}",
        closed.says
    );
    let reset = found(Kind::Tcp, Failure::new(Stage::Session, Cause::Reset), Reply::default());
    assert_eq!((reset.id.as_str(), reset.certainty), ("reset-by-the-server", Certainty::Possible));
}

#[test]
fn a_reply_that_is_not_http_names_what_it_is() {
    let reply = Reply { protocol: Some("SSH".into()), ..Reply::default().beginning_with(b"SSH-2.0-x\r\n") };
    let failure = Failure::new(Stage::Handshake, Cause::NotHttp);
    let finding = found(Kind::Ws, failure, reply);
    assert_eq!(finding.id, "reply-is-not-http");
    for part in ["speaks SSH", "SSH-2.0-x", "net::ERR_INVALID_HTTP_RESPONSE"] {
        assert!(finding.says.contains(part), "{part}: {}", finding.says);
    }
    assert!(finding.remedies.iter().any(|remedy| remedy.contains("websocket://0.0.0.0")));
}

#[test]
fn certificates_alerts_silence_and_violations_have_their_own() {
    for (failure, id) in [
        (Failure::new(Stage::Tls, Cause::CertificateExpired), "certificate-expired"),
        (Failure::new(Stage::Tls, Cause::UnknownIssuer), "unknown-issuer"),
        (Failure::new(Stage::Tls, Cause::NameMismatch), "name-mismatch"),
        (Failure::with_code(Stage::Tls, Cause::TlsAlert, 112), "tls-alert"),
        (Failure::with_code(Stage::Tls, Cause::TlsAlert, 116), "client-certificate-required"),
        (Failure::new(Stage::Tls, Cause::TimedOut), "silent-after-connect"),
        (Failure::new(Stage::Handshake, Cause::TimedOut), "silent-after-connect"),
        (Failure::new(Stage::Handshake, Cause::ClosedEarly), "closed-before-the-reply"),
        (Failure::new(Stage::Handshake, Cause::Reset), "reset-in-the-handshake"),
        (Failure::new(Stage::Handshake, Cause::WrongAcceptKey), "wrong-accept-key"),
        (Failure::new(Stage::Handshake, Cause::UnrequestedSubprotocol), "unrequested-subprotocol"),
        (Failure::new(Stage::Handshake, Cause::UnrequestedExtension), "unrequested-extension"),
        (Failure::new(Stage::Handshake, Cause::Http10), "reply-is-http-1-0"),
        (Failure::new(Stage::Session, Cause::UnexpectedReply), "unexpected-reply"),
    ] {
        let finding = found(Kind::Wss, failure, Reply::saying("details"));
        assert_eq!(finding.id, id);
        assert!(!finding.remedies.is_empty(), "{id}");
    }
    let alert = found(Kind::Wss, Failure::with_code(Stage::Tls, Cause::TlsAlert, 116), Reply::default());
    assert!(alert.says.contains("alert 116 (certificate_required)") && alert.remedies[0].contains("--cert"));
}

#[test]
fn sessions_lost_before_refusals_are_a_restart_and_after_them_are_not() {
    let lost = Failure::new(Stage::Session, Cause::Reset);
    let refused = Failure::new(Stage::Connect, Cause::Refused);
    let facts = |lost_s, refused_s| Facts {
        opened: 100,
        failures: vec![fact(lost, lost_s, lost_s), fact(refused, refused_s, refused_s + 1)],
        ..Facts::default()
    };
    let ids = |facts: &Facts| diagnose(facts).iter().map(|finding| finding.id).collect::<Vec<_>>();
    assert!(ids(&facts(3, 4)).contains(&FindingId::ServerRestarted));
    assert!(!ids(&facts(9, 4)).contains(&FindingId::ServerRestarted));
}

fn with(headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Reply { headers, ..Reply::default().with_body(body.as_bytes()) }
}

fn status(kind: Kind, status: u16, reply: Reply) -> Finding {
    found(kind, Failure::with_code(Stage::Handshake, Cause::HttpStatus, status), reply)
}

#[test]
fn plain_http_to_a_websocket_is_told_to_use_its_scheme() {
    for (code, reply) in [
        (400, with(&[("Sec-WebSocket-Version", "13")], "")),
        (400, with(&[], "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".")),
        (400, with(&[], "Bad Request\nwebsocket: the client is not using the websocket protocol")),
        (426, with(&[("Upgrade", "websocket")], "Failed to open a WebSocket connection.")),
    ] {
        let finding = status(Kind::Https, code, reply);
        assert_eq!(finding.id.as_str(), "upgrade-required", "{}", finding.says);
        assert_eq!(finding.remedies[0], "use wss://h:1/chat");
    }
    assert_eq!(status(Kind::Http, 400, with(&[], "missing field")).id.as_str(), "bad-request");
    assert_eq!(
        status(Kind::Ws, 400, with(&[("Sec-WebSocket-Version", "13")], "")).id.as_str(),
        "bad-request"
    );
}

#[test]
fn redirects_and_limits_advise_what_is_there() {
    let long = format!("/{}", "a".repeat(5000));
    for (location, to) in [
        ("https://new.example/a", "use wss://new.example/a"),
        ("/login?x=1", "use 'ws://h:1/login?x=1'"),
        ("//other.example/ws", "use ws://other.example/ws"),
        ("room", "use ws://h:1/room"),
        ("ws://h:2/", "use ws://h:2/"),
        ("?room=1", "use 'ws://h:1/chat?room=1'"),
        // Words of a server run nothing where they are pasted.
        ("https://h:2/$(id);`id`", "use 'wss://h:2/$(id);`id`'"),
        ("javascript:alert(1)", "look at where its header Location leads"),
        (long.as_str(), "look at where its header Location leads"),
    ] {
        let finding = status(Kind::Ws, 302, with(&[("Location", location)], ""));
        assert!(finding.remedies[0].starts_with(to), "{:?}", finding.remedies);
    }
    let limited = status(Kind::Ws, 429, with(&[("Retry-After", "7")], ""));
    assert!(limited.remedies[0].starts_with("wait 7 s"), "{:?}", limited.remedies);
    let proxy = status(Kind::Ws, 407, with(&[("Proxy-Authenticate", "Basic realm=x")], ""));
    assert!(proxy.remedies.iter().any(|remedy| remedy.contains("Proxy-Authorization")));
    assert!(proxy.remedies.iter().all(|remedy| !remedy.contains("--auth")), "{:?}", proxy.remedies);
    for (asked, flag) in [
        ("Basic realm=x", "--auth 'basic("),
        ("Bearer", "--auth 'bearer("),
        ("Digest realm=\"x\", nonce=\"y\"", "it asks for digest"),
        ("$(id)", "it asks for another scheme"),
    ] {
        let finding = status(Kind::Ws, 401, with(&[("WWW-Authenticate", asked)], ""));
        assert!(finding.remedies[0].contains(flag), "{:?}", finding.remedies);
    }
    let several = with(&[("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "Basic realm=x")], "");
    assert!(status(Kind::Ws, 401, several).remedies[0].contains("basic("));
    let away = status(Kind::Http, 503, with(&[("Retry-After", "Wed, 21 Oct 2037 07:28:00 GMT")], ""));
    assert!(away.remedies[0].starts_with("wait until Wed, 21 Oct 2037"), "{:?}", away.remedies);
    for code in [101, 0, 999] {
        let finding = status(Kind::Http, code, with(&[], ""));
        assert_eq!(finding.id.as_str(), "protocol-violated", "{}", finding.says);
        assert!(!finding.says.contains("failed by itself"), "{}", finding.says);
    }
    assert!(status(Kind::Ws, 505, with(&[], "")).remedies[0].contains("proxy_http_version 1.1"));
    let version = status(Kind::Ws, 426, with(&[("Sec-WebSocket-Version", "8, 7")], ""));
    assert!(version.remedies[0].contains("8, 7"), "{:?}", version.remedies);
    let tls = status(Kind::Http, 426, with(&[("Upgrade", "TLS/1.2, HTTP/1.1")], ""));
    assert_eq!(tls.remedies[0], "use https://h:1/chat");
}

#[test]
fn a_certificate_that_a_page_asks_for_is_a_client_certificate() {
    let page = "<html><title>400 No required SSL certificate was sent</title>";
    let finding = status(Kind::Wss, 400, with(&[], page));
    assert_eq!(finding.id.as_str(), "client-certificate-required");
    assert!(finding.remedies[0].contains("--cert"));
}

#[test]
fn a_close_code_has_a_meaning_and_the_servers_words() {
    for (code, part) in
        [(1009, "longer than it takes"), (1012, "restarts"), (1013, "overloaded"), (4401, "who we are")]
    {
        let failure = Failure::with_code(Stage::Session, Cause::ClosedEarly, code);
        let reply = Reply { close_reason: Some("the server's words".into()), ..Reply::default() };
        let finding = found(Kind::Ws, failure, reply);
        assert_eq!((finding.id.as_str(), finding.certainty), ("closed-by-the-server", Certainty::Likely));
        for part in [part, "'the server's words'", &format!("close code {code}")] {
            assert!(finding.says.contains(part), "{part}: {}", finding.says);
        }
    }
}

#[test]
fn what_goes_wrong_at_the_close_is_not_in_the_handshake() {
    for (cause, code, id) in [
        (Cause::Reset, None, "reset-at-the-close"),
        (Cause::TimedOut, None, "close-not-answered"),
        (Cause::ClosedEarly, Some(1006), "closed-without-a-close-frame"),
        (Cause::ClosedEarly, Some(4401), "closed-by-the-server"),
    ] {
        let failure = Failure { code, ..Failure::new(Stage::Close, cause) };
        let finding = found(Kind::Ws, failure, Reply::default());
        assert_eq!((finding.id.as_str(), finding.certainty), (id, Certainty::Likely));
        assert!(!finding.remedies.is_empty());
    }
    let bare = found(Kind::Tcp, Failure::new(Stage::Close, Cause::TimedOut), Reply::default());
    assert_eq!(bare.id.as_str(), "peer-does-not-close");
}

#[test]
fn silence_to_plain_text_is_a_tls_port_only_where_a_client_hello_was_answered() {
    for cause in [Cause::ClosedEarly, Cause::Reset, Cause::TimedOut] {
        let failure = Failure::new(Stage::Handshake, cause);
        let of = |speaks_tls: bool| {
            let facts = Facts {
                spoken: Some(Kind::Ws),
                url: Some("ws://h:1/chat".into()),
                opened: 10,
                failures: vec![fact(failure, 0, 1)],
                trials: speaks_tls.then(|| works(Kind::Wss)).into_iter().collect(),
                ..Facts::default()
            };
            diagnose(&facts).remove(0)
        };
        let proved = of(true);
        assert_eq!((proved.id.as_str(), proved.certainty), ("plain-text-to-a-tls-port", Certainty::Proved));
        assert_eq!(proved.remedies[0], "use wss://h:1/chat");
        assert_ne!(of(false).id.as_str(), "plain-text-to-a-tls-port");
    }
}

#[test]
fn last_words_of_a_server_are_quoted() {
    let reply = Reply::default().with_body(b"-ERR max number of clients reached\r\n");
    let finding = found(Kind::Tcp, Failure::new(Stage::Session, Cause::ClosedEarly), reply);
    assert!(finding.says.contains("'-ERR max number of clients reached'"), "{}", finding.says);
}

/// A trial of a scheme that works.
fn works(kind: Kind) -> SchemeTrial {
    SchemeTrial {
        kind,
        answered_tls: kind.is_encrypted(),
        answered_http: true,
        untrusted: None,
        failure: None,
    }
}

/// The first finding where other schemes were tried after a failure.
fn found_after(kind: Kind, failure: Failure, trials: Vec<SchemeTrial>) -> Finding {
    let facts = Facts {
        spoken: Some(kind),
        url: Some(format!("{kind}://h:1/chat")),
        opened: 10,
        failures: vec![fact(failure, 0, 1)],
        trials,
        ..Facts::default()
    };
    diagnose(&facts).remove(0)
}

#[test]
fn a_refusal_of_plain_http_is_a_tls_port_only_where_tls_is_answered_otherwise() {
    let refused = Failure::with_code(Stage::Handshake, Cause::HttpStatus, 400);
    let proved = found_after(Kind::Ws, refused, vec![works(Kind::Wss)]);
    assert_eq!((proved.id.as_str(), proved.certainty), ("plain-text-to-a-tls-port", Certainty::Proved));
    // A port that takes both, and refuses this request by either.
    let both = SchemeTrial { failure: Some(refused), ..works(Kind::Wss) };
    assert_eq!(found_after(Kind::Ws, refused, vec![both]).id.as_str(), "bad-request");
}

#[test]
fn a_scheme_is_advised_as_it_was_tried() {
    let closed = Failure::new(Stage::Handshake, Cause::ClosedEarly);
    let advice = |trial| found_after(Kind::Ws, closed, vec![trial]).remedies;
    assert_eq!(advice(works(Kind::Wss))[0], "use wss://h:1/chat");
    let untrusted = SchemeTrial { untrusted: Some(Cause::UnknownIssuer), ..works(Kind::Wss) };
    let with = advice(untrusted);
    assert_eq!(with[0], "use wss://h:1/chat --insecure");
    assert!(with[1].starts_with("--ca FILE instead of --insecure"), "{with:?}");
    let not_found = Failure::with_code(Stage::Handshake, Cause::HttpStatus, 404);
    let path = SchemeTrial { failure: Some(not_found), ..works(Kind::Wss) };
    assert!(advice(path)[0].starts_with("use wss://h:1/chat    # it answers 404 there"));
    // Redis with TLS: there is TLS, and no WebSocket in it.
    let fails = SchemeTrial { failure: Some(closed), ..works(Kind::Wss) };
    let advice = advice(fails);
    assert!(!advice.iter().any(|line| line.starts_with("use wss://")), "{advice:?}");
    assert!(advice[0].contains("port of the WebSocket server"), "{advice:?}");
}

#[test]
fn a_websocket_over_tls_is_advised_where_plain_http_was_asked_for() {
    let refused = Failure::with_code(Stage::Handshake, Cause::HttpStatus, 400);
    // NATS: over TLS it answers HTTP as it does without.
    let https = SchemeTrial { failure: Some(refused), ..works(Kind::Https) };
    let finding = found_after(Kind::Http, refused, vec![https, works(Kind::Wss)]);
    assert_eq!(finding.id.as_str(), "plain-text-to-a-tls-port");
    assert_eq!(finding.remedies[0], "use wss://h:1/chat");
}

#[test]
fn an_end_after_a_certificate_was_asked_for_is_about_that_certificate() {
    let reply = Reply { certificate_asked: true, ..Reply::default() };
    for cause in [Cause::ClosedEarly, Cause::Reset] {
        let finding = found(Kind::Wss, Failure::new(Stage::Handshake, cause), reply.clone());
        assert_eq!(
            (finding.id.as_str(), finding.certainty),
            ("client-certificate-required", Certainty::Likely)
        );
        assert!(finding.remedies[0].contains("--cert"));
    }
}

#[test]
fn a_websocket_is_named_by_its_own_handshake_whatever_it_says_to_plain_http() {
    for failure in [
        Failure::with_code(Stage::Handshake, Cause::HttpStatus, 404),
        Failure::with_code(Stage::Handshake, Cause::HttpStatus, 400),
        Failure::new(Stage::Handshake, Cause::ClosedEarly),
        Failure::new(Stage::Handshake, Cause::TimedOut),
    ] {
        let finding = found_after(Kind::Http, failure, vec![works(Kind::Ws)]);
        assert_eq!((finding.id.as_str(), finding.certainty), ("upgrade-required", Certainty::Proved));
        assert_eq!(finding.remedies[0], "use ws://h:1/chat");
    }
    let neither =
        SchemeTrial { failure: Some(Failure::new(Stage::Handshake, Cause::ClosedEarly)), ..works(Kind::Ws) };
    let closed = Failure::new(Stage::Handshake, Cause::ClosedEarly);
    assert_ne!(found_after(Kind::Http, closed, vec![neither]).id.as_str(), "upgrade-required");
}
