//! The client against servers that nobody here wrote: npm's ws, PyPI's websockets, websocketd, nginx (plain,
//! over TLS, and before a WebSocket), redis-server.

mod support;

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use support::namespace::Namespace;
use support::nginx::Nginx;
use support::redis::Redis;
use support::storm::{Storm, count, storm};
use support::websockets::EchoServer;

const CONNECTIONS: u64 = 1_000;
const ECHOES: u64 = 20;

fn said(result: &Value, name: &str) -> u64 {
    result["messages"][name].as_u64().unwrap_or_else(|| panic!("no messages.{name}: {result:#}"))
}

/// 1,000 connections open at once, 20 echoes on each, and not one that differs.
#[track_caller]
fn converse(url: &str, flags: &str) -> Value {
    let result = storm(&format!(
        "{url} --concurrency {CONNECTIONS} --connections {CONNECTIONS} --send {{conn}}.{{seq}}:{{random:100}} --count {ECHOES} \
         --expect echo --connect-timeout 20s --handshake-timeout 30s --reply-timeout 30s {flags}"
    ));
    assert_eq!(
        (count(&result, "ok"), count(&result, "failed")),
        (CONNECTIONS, 0),
        "{:#}",
        result["failures"]
    );
    let echoes = CONNECTIONS * ECHOES;
    assert_eq!((said(&result, "sent"), said(&result, "matched")), (echoes, echoes));
    assert_eq!(
        (said(&result, "mismatches"), said(&result, "unanswered"), said(&result, "pushes")),
        (0, 0, 0)
    );
    assert_eq!(result["latency_us"]["round_trip"]["count"], echoes);
    result
}

fn namespace(test: &'static str) -> Namespace {
    Namespace::of(test).sysctl("net.ipv4.ip_local_port_range", "1024 65535")
}

#[test]
fn the_ws_of_npm_echoes_20_000_messages() {
    namespace("the_ws_of_npm_echoes_20_000_messages").run(|| {
        let server = EchoServer::node();
        converse(&format!("ws://{}/", server.address()), "");
        converse(&format!("ws://{}/", server.address()), "--binary");
    });
}

#[test]
fn the_websockets_of_pypi_echo_20_000_messages() {
    namespace("the_websockets_of_pypi_echo_20_000_messages").run(|| {
        let server = EchoServer::python();
        converse(&format!("ws://{}/", server.address()), "");
    });
}

#[test]
fn websocketd_echoes_20_000_messages() {
    namespace("websocketd_echoes_20_000_messages").run(|| {
        let server = EchoServer::websocketd();
        converse(&format!("ws://{}/", server.address()), "");
    });
}

#[test]
fn nginx_hands_20_000_messages_on_plain_and_over_tls() {
    namespace("nginx_hands_20_000_messages_on_plain_and_over_tls").run(|| {
        let _backend = EchoServer::node();
        let nginx = Nginx::start();
        converse(&format!("ws://{}/ws", nginx.address()), "");
        let trust = format!("--ca {}", nginx.certificate().display());
        let result = converse(&format!("wss://{}/ws", nginx.secure_address()), &trust);
        assert_eq!(result["latency_us"]["tls"]["count"], CONNECTIONS);
    });
}

#[test]
fn nginx_counts_http_requests_as_we_do_plain_and_over_tls() {
    namespace("nginx_counts_http_requests_as_we_do_plain_and_over_tls").run(|| {
        let nginx = Nginx::start();
        let ask = |url: String, flags: &str| {
            let result = storm(&format!(
                "{url} --concurrency 20 --connections 200 --expect contains(ok) --send x {flags}"
            ));
            assert_eq!(
                (count(&result, "ok"), count(&result, "failed")),
                (200, 0),
                "{:#}",
                result["failures"]
            );
            said(&result, "matched")
        };
        assert_eq!(ask(format!("http://{}/", nginx.address()), "--method GET --requests 10"), 2000);
        let secure = format!("https://{}/", nginx.secure_address());
        let trust = format!("--method GET --requests 5 --ca {}", nginx.certificate().display());
        assert_eq!(ask(secure, &trust), 1000);
    });
}

#[test]
fn nginx_asks_for_a_certificate_and_gets_it() {
    namespace("nginx_asks_for_a_certificate_and_gets_it").run(|| {
        let nginx = Nginx::start();
        let (certificate, key) = (nginx.certificate(), nginx.key());
        let ask = |shown: &str| {
            storm(&format!(
                "https://{}/ --concurrency 2 --connections 20 --ca {} {shown}",
                nginx.mutual_address(),
                certificate.display()
            ))
        };
        let shown = ask(&format!("--cert {} --key {}", certificate.display(), key.display()));
        assert_eq!((count(&shown, "ok"), count(&shown, "failed")), (20, 0), "{:#}", shown["failures"]);
        // "No required SSL certificate was sent", which nginx says by HTTP.
        let bare = ask("");
        let kind = &bare["failures"][0];
        assert_eq!((&kind["cause"], &kind["code"]), (&"http_status".into(), &400.into()), "{kind:#}");
        assert_eq!(kind["count"], 20);
    });
}

fn first_failure(url: &str) -> (String, u64, Value) {
    let result =
        storm(&format!("{url} --concurrency 1 --connections 2 --duration 20s --handshake-timeout 2s"));
    assert_eq!(count(&result, "failed"), 2, "{result:#}");
    let kind = &result["failures"][0];
    let named = format!("{}/{}", kind["stage"].as_str().unwrap(), kind["cause"].as_str().unwrap());
    (named, kind["code"].as_u64().unwrap_or(0), result["findings"][0].clone())
}

#[test]
fn what_real_servers_refuse_is_named() {
    namespace("what_real_servers_refuse_is_named").run(|| {
        let nginx = Nginx::start();
        let redis = Redis::start();
        let (plain, secure): (SocketAddr, SocketAddr) = (nginx.address(), nginx.secure_address());
        for (url, named, code, finding) in [
            (format!("ws://{plain}/"), "handshake/http_status", 200, "no-websocket-there"),
            (format!("ws://{plain}/private"), "handshake/http_status", 403, "not-authorised"),
            // Nothing listens behind it.
            (format!("ws://{plain}/ws"), "handshake/http_status", 502, "no-backend"),
            (format!("ws://{secure}/ws"), "handshake/http_status", 400, "plain-text-to-a-tls-port"),
            (format!("wss://{plain}/ws"), "tls/plain_text_on_tls", 0, "tls-to-a-plain-port"),
            (format!("wss://{secure}/ws"), "tls/unknown_issuer", 0, "unknown-issuer"),
            (format!("http://{plain}/private"), "handshake/http_status", 403, "not-authorised"),
            // "Possible SECURITY ATTACK detected": it closes on the header Host.
            (format!("ws://{}/", redis.address()), "handshake/closed_early", 0, "closed-before-the-reply"),
        ] {
            let (found, number, first) = first_failure(&url);
            assert_eq!((found.as_str(), number), (named, code), "{url}: {first:#}");
            assert_eq!(first["id"], finding, "{url}: {first:#}");
        }
    });
}

#[test]
fn a_restart_in_mid_run_shows_as_losses_refusals_and_recovery() {
    namespace("a_restart_in_mid_run_shows_as_losses_refusals_and_recovery").run(|| {
        let server = EchoServer::node();
        let url = format!("ws://{}/", server.address());
        let storm = Storm::start(&format!(
            "{url} --rate 200/s --connections 200 --duration 8s --lifetime until-end --send m{{seq}} --every 200ms \
             --expect echo --reconnect --backoff 50ms --backoff-max 300ms"
        ));
        std::thread::sleep(Duration::from_secs(3));
        drop(server);
        std::thread::sleep(Duration::from_secs(1));
        let _again = EchoServer::node();
        let result = storm.result();
        let of = |stage: &str| -> Vec<&Value> {
            result["failures"].as_array().unwrap().iter().filter(|kind| kind["stage"] == stage).collect()
        };
        let total = |kinds: &[&Value]| kinds.iter().map(|kind| kind["count"].as_u64().unwrap()).sum::<u64>();
        let (lost, refused) = (of("session"), of("connect"));
        assert_eq!(total(&lost), 200, "{:#}", result["failures"]);
        assert!(refused.iter().all(|kind| kind["cause"] == "refused"), "{:#}", result["failures"]);
        assert!(total(&refused) >= 200, "{:#}", result["failures"]);
        let at = |kind: &Value, name: &str| kind[name].as_f64().unwrap();
        assert!(at(lost[0], "first_at_s") > 2.0 && at(refused[0], "last_at_s") > at(lost[0], "first_at_s"));
        // It recovers: all that were planned are open at the end, and say something again.
        assert_eq!(count(&result, "ok"), 200);
        assert_eq!(result["windows"].as_array().unwrap().last().unwrap()["failed"], 0);
        assert_eq!(said(&result, "mismatches"), 0);
        let ids: Vec<&str> = result["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect();
        assert!(ids.contains(&"server-restarted"), "{ids:?}");
    });
}
