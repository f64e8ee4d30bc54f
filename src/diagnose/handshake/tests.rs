//! Each failure above TCP has its own finding; one fact changed, and it is another.

use crate::diagnose::{Certainty, Facts, FailureFact, Finding, FindingId, diagnose};
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
        (Failure::with_code(Stage::Tls, Cause::TlsAlert, 116), "tls-alert"),
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
