//! The client against targets that are broken in one chosen way: each failure has its name, its stage, and
//! a finding with a remedy.

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use connstorm::protocol::Reply;
use connstorm::server::{Behaviour, Certificate, Flaw, Kind};
use rcgen::{CertificateParams, CertifiedKey, DnType, KeyPair};
use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use support::client_certificate;
use support::storm::{count, storm};
use support::targets::{start, start_with};

const FLAGS: &str =
    "--concurrency 1 --connections 2 --duration 20s --handshake-timeout 1s --reply-timeout 1s";

/// Failure of connstorm at a target of this kind and behaviour, spoken to by this scheme.
fn met(kind: Kind, behaviour: Behaviour, scheme: &str, flags: &str) -> Value {
    let (_running, address) = start(kind, behaviour);
    let slash = if matches!(scheme, "tcp" | "tls") { "" } else { "/chat" };
    storm(&format!("{scheme}://{address}{slash} {FLAGS} {flags}"))
}

/// Both attempts failed so, and the first finding is this one.
#[track_caller]
fn assert_failed(result: &Value, stage: &str, cause: &str, code: Option<u64>, finding: &str) {
    let kinds = result["failures"].as_array().unwrap();
    assert_eq!(kinds.len(), 1, "{:#}", result["failures"]);
    let kind = &kinds[0];
    assert_eq!((&kind["stage"], &kind["cause"]), (&stage.into(), &cause.into()), "{kind:#}");
    assert_eq!(kind["code"].as_u64(), code, "{kind:#}");
    assert_eq!((kind["count"].as_u64(), &kind["side"]), (Some(2), &"target".into()));
    let found = &result["findings"][0];
    assert_eq!(found["id"], finding, "{:#}", result["findings"]);
    assert!(!found["remedies"].as_array().unwrap().is_empty(), "{found:#}");
    assert_eq!(count(result, "started"), 2);
}

fn says(result: &Value) -> &str {
    result["findings"][0]["says"].as_str().unwrap()
}

fn reply<'r>(result: &'r Value, field: &str) -> &'r str {
    result["failures"][0]["samples"][0]["reply"][field].as_str().unwrap_or("")
}

#[test]
fn a_refused_upgrade_keeps_its_status_and_quotes_the_browser() {
    for (status, finding) in [
        (301, "redirected"),
        (403, "not-authorised"),
        (404, "wrong-path"),
        (426, "upgrade-required"),
        (503, "unavailable"),
    ] {
        let result = met(Kind::Ws, Behaviour::Reject(status), "ws", "");
        assert_failed(&result, "handshake", "http_status", Some(status.into()), finding);
        let quoted = format!("Error during WebSocket handshake: Unexpected response code: {status}");
        assert!(says(&result).contains(&quoted), "{}", says(&result));
        assert!(reply(&result, "status").starts_with(&status.to_string()));
        assert!(reply(&result, "body").starts_with(&status.to_string()));
    }
    let page = met(Kind::Ws, Behaviour::PlainHttp, "ws", "");
    assert_failed(&page, "handshake", "http_status", Some(200), "no-websocket-there");
}

#[test]
fn a_101_that_breaks_the_rules_is_named() {
    for (behaviour, cause, finding) in [
        (Behaviour::WrongAcceptKey, "wrong_accept_key", "wrong-accept-key"),
        (Behaviour::UnrequestedSubprotocol, "unrequested_subprotocol", "unrequested-subprotocol"),
        (Behaviour::UnrequestedExtension, "unrequested_extension", "unrequested-extension"),
        (Behaviour::Http10, "http_1_0", "reply-is-http-1-0"),
    ] {
        assert_failed(&met(Kind::Ws, behaviour, "ws", ""), "handshake", cause, None, finding);
    }
}

#[test]
fn another_protocol_is_named_by_its_first_bytes() {
    for (bytes, protocol) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH"),
        (b"-ERR unknown command\r\n", "Redis (RESP) or POP3"),
        (b"220 mail ESMTP\r\n", "SMTP"),
        (b"J\x00\x00\x00\x0a8.0.36\x00", "MySQL"),
    ] {
        let result = met(Kind::Tcp, Behaviour::Raw(bytes.to_vec()), "ws", "");
        assert_failed(&result, "handshake", "not_http", None, "reply-is-not-http");
        assert_eq!(reply(&result, "protocol"), protocol);
        assert!(says(&result).contains("net::ERR_INVALID_HTTP_RESPONSE"), "{}", says(&result));
    }
}

#[test]
fn no_reply_is_told_from_a_late_and_from_a_lost_one() {
    let closed = met(Kind::Ws, Behaviour::CloseBeforeReply, "ws", "");
    assert_failed(&closed, "handshake", "closed_early", None, "closed-before-the-reply");
    let silent = met(Kind::Ws, Behaviour::Silent, "ws", "");
    assert_failed(&silent, "handshake", "timed_out", None, "silent-after-connect");
    let slow = met(Kind::Ws, Behaviour::Slow(Duration::from_millis(50)), "ws", "");
    assert_eq!(count(&slow, "ok"), 2, "{slow:#}");
    assert_eq!(slow["latency_us"]["handshake"]["count"], 2);
}

#[test]
fn a_scheme_that_does_not_fit_is_told_with_the_one_that_does() {
    let plain = met(Kind::Ws, Behaviour::Echo, "wss", "");
    assert_failed(&plain, "tls", "plain_text_on_tls", None, "tls-to-a-plain-port");
    let remedy = plain["findings"][0]["remedies"][0].as_str().unwrap();
    assert!(remedy.starts_with("use ws://127.0.0.1:") && remedy.ends_with("/chat"), "{remedy}");
    let secure = met(Kind::Wss, Behaviour::Echo, "ws", "");
    assert_failed(&secure, "handshake", "tls_on_plain_text", None, "plain-text-to-a-tls-port");
    let text = met(Kind::Wss, Behaviour::PlainTextReply, "wss", "");
    assert_failed(&text, "tls", "plain_text_on_tls", None, "tls-to-a-plain-port");
    let alert = met(Kind::Wss, Behaviour::Alert(112), "wss", "");
    assert_failed(&alert, "tls", "tls_alert", Some(112), "tls-alert");
}

/// Runs against a TLS target with this certificate, trusting it.
fn trusting(flaw: Flaw, trusts: bool, flags: &str) -> Value {
    let certificate = Certificate { names: vec!["example.test".into()], flaw };
    let (running, address) =
        start_with(Kind::Wss, Behaviour::Echo, |config| config.certificate = certificate);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), running.certificate().unwrap()).unwrap();
    let trust = if trusts { format!("--ca {}", ca.path().display()) } else { String::new() };
    storm(&format!("wss://{address}/ {FLAGS} {trust} {flags}"))
}

#[test]
fn certificates_are_verified_and_each_flaw_has_its_name() {
    let good = trusting(Flaw::None, true, "--send a --expect echo");
    assert_eq!((count(&good, "ok"), &good["messages"]["matched"]), (2, &2.into()), "{good:#}");
    assert_eq!(good["latency_us"]["tls"]["count"], 2);
    assert_eq!(count(&trusting(Flaw::None, true, "--server-name example.test"), "ok"), 2);
    let wrong = trusting(Flaw::None, true, "--server-name other.test");
    assert_failed(&wrong, "tls", "name_mismatch", None, "name-mismatch");
    assert_failed(&trusting(Flaw::WrongName, true, ""), "tls", "name_mismatch", None, "name-mismatch");
    assert_failed(
        &trusting(Flaw::Expired, true, ""),
        "tls",
        "certificate_expired",
        None,
        "certificate-expired",
    );
    assert_failed(&trusting(Flaw::None, false, ""), "tls", "unknown_issuer", None, "unknown-issuer");
    assert_eq!(count(&trusting(Flaw::Expired, false, "--insecure"), "ok"), 2);
    for version in ["1.2", "1.3"] {
        assert_eq!(count(&trusting(Flaw::None, true, &format!("--tls-version {version}")), "ok"), 2);
    }
}

#[test]
fn http_replies_are_read_however_they_are_delimited_and_statuses_count() {
    let reply = |status, body, chunked| Behaviour::Reply(Reply { status, body, chunked });
    for (scheme, kind) in [("http", Kind::Http), ("https", Kind::Https)] {
        let flags = if scheme == "https" { "--insecure --requests 5" } else { "--requests 5" };
        for chunked in [false, true] {
            let result = met(kind, reply(200, Some(100_000), chunked), scheme, flags);
            assert_eq!(
                (count(&result, "ok"), &result["messages"]["received"]),
                (2, &10.into()),
                "{result:#}"
            );
        }
    }
    let result = met(Kind::Http, reply(503, None, false), "http", "");
    assert_failed(&result, "handshake", "http_status", Some(503), "unavailable");
    assert!(!says(&result).contains("WebSocket"));
    assert_eq!(count(&met(Kind::Http, reply(503, None, false), "http", "--status 503"), "ok"), 2);
    let early = met(Kind::Http, Behaviour::CloseAfterMessages(2), "http", "--requests 3");
    assert_failed_without_finding(&early, "session", "closed_early");
    let flags = "--close peer --lifetime 10s";
    assert_eq!(
        count(&met(Kind::Http, Behaviour::Echo, "http", flags), "ok"),
        2,
        "the peer closes when asked to"
    );
}

#[track_caller]
fn assert_failed_without_finding(result: &Value, stage: &str, cause: &str) {
    let kind = &result["failures"][0];
    assert_eq!((&kind["stage"], &kind["cause"]), (&stage.into(), &cause.into()), "{kind:#}");
}

#[test]
fn a_session_that_ends_early_or_answers_wrongly_is_named() {
    let flags = "--send m{seq} --count 5 --expect";
    let closed = met(Kind::Ws, Behaviour::CloseAfterMessages(2), "ws", &format!("{flags} echo"));
    assert_failed_without_finding(&closed, "session", "closed_early");
    assert_eq!(closed["failures"][0]["code"], 1000);
    let wrong = met(Kind::Ws, Behaviour::Echo, "ws", &format!("{flags} contains(x)"));
    assert_failed(&wrong, "session", "unexpected_reply", None, "unexpected-reply");
    assert_eq!(wrong["messages"]["mismatches"], 2);
    let none = met(Kind::Ws, Behaviour::Sink, "ws", &format!("{flags} any"));
    assert_failed(&none, "session", "timed_out", None, "no-answer-in-the-session");
    assert_eq!(none["messages"]["unanswered"], 2);
}

/// Writes a certificate for 127.0.0.1 and its key: NAME.pem and NAME.key.
fn certificate(folder: &Path, name: &str) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let made = CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key };
    let write = |ending: &str, label: &str, der: &[u8]| {
        let lines = BASE64_STANDARD
            .encode(der)
            .into_bytes()
            .chunks(64)
            .map(|line| [line, b"\n"].concat())
            .collect::<Vec<_>>();
        let text = [
            format!("-----BEGIN {label}-----\n").into_bytes(),
            lines.concat(),
            format!("-----END {label}-----\n").into_bytes(),
        ];
        std::fs::write(folder.join(format!("{name}.{ending}")), text.concat()).unwrap();
    };
    write("pem", "CERTIFICATE", made.cert.der());
    write("key", "PRIVATE KEY", &made.signing_key.serialize_der());
    made
}

/// A server of TLS 1.3 that takes no client certificate but its own. It judges that when the client's handshake is done.
fn strict_server(own: &CertifiedKey<KeyPair>) -> SocketAddr {
    let config = client_certificate::demanded_as(own);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let _ = tls.read_to_end(&mut Vec::new());
            // What has come and is not read would make a RST of the end, and the RST might overtake the alert.
            let _ = tls.sock.shutdown(std::net::Shutdown::Write);
            let _ = tls.sock.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn a_client_certificate_that_is_refused_after_our_handshake_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let own = certificate(folder.path(), "own");
    certificate(folder.path(), "stranger");
    let address = strict_server(&own);
    let ask = |scheme: &str, shown: &str| {
        let shown = match shown {
            "" => String::new(),
            name => format!("--cert {} --key {}", at(&format!("{name}.pem")), at(&format!("{name}.key"))),
        };
        storm(&format!("{scheme}://{address} {FLAGS} --ca {} {shown}", at("own.pem")))
    };
    let taken = ask("tls", "own");
    assert_eq!((count(&taken, "ok"), count(&taken, "failed")), (2, 0), "{:#}", taken["failures"]);
    for scheme in ["tls", "https", "wss"] {
        for (shown, alert) in [("", 116), ("stranger", 48)] {
            let refused = ask(scheme, shown);
            assert_failed(&refused, "tls", "tls_alert", Some(alert), "client-certificate-required");
            assert!(says(&refused).contains("certificate"), "{}", says(&refused));
            assert_eq!(count(&refused, "ok"), 0);
        }
    }
}
