//! Connected, and then silence or another answer than was due: each cause is named first.

mod support;

use connstorm::linux::fd_table::{self, NoDescriptors};
use connstorm::protocol::{Behaviour, Kind, Reply};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use support::doctor::{examine, proves_only, suggests};
use support::namespace::Namespace;
use support::storm::{Storm, storm};
use support::targets;

fn says(result: &Value) -> String {
    result["findings"][0]["says"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn browsers_words_for_a_wrong_protocol() {
    Namespace::of("browsers_words_for_a_wrong_protocol").run(|| {
        let (_http, http) = targets::start(Kind::Http, Behaviour::Echo);
        let told = examine(&format!("ws://{http}/chat"));
        proves_only(&told, "no-websocket-there");
        let code = "Error during WebSocket handshake: Unexpected response code: 200";
        assert!(says(&told).contains(code), "{}", says(&told));

        let (_missing, missing) =
            targets::start(Kind::Http, Behaviour::Reply(Reply { status: 404, body: None, chunked: false }));
        assert!(says(&examine(&format!("ws://{missing}/chat"))).contains("Unexpected response code: 404"));

        let banner = Behaviour::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec());
        let (_ssh, ssh) = targets::start(Kind::Tcp, banner);
        let told = examine(&format!("ws://{ssh}"));
        proves_only(&told, "reply-is-not-http");
        assert!(says(&told).contains("net::ERR_INVALID_HTTP_RESPONSE"), "{}", says(&told));
        assert!(says(&told).contains("the port speaks SSH"), "{}", says(&told));
        assert_eq!(told["findings"][0]["evidence"]["protocol"], "SSH");

        let (_echo, echo) = targets::start(Kind::Tcp, Behaviour::Echo);
        proves_only(&examine(&format!("http://{echo}")), "reply-is-not-http");
        let (_ws, ws) = targets::start(Kind::Ws, Behaviour::Echo);
        proves_only(&examine(&format!("http://{ws}")), "upgrade-required");
        let (_wrong, wrong) = targets::start(Kind::Ws, Behaviour::WrongAcceptKey);
        proves_only(&examine(&format!("ws://{wrong}")), "wrong-accept-key");
    });
}

#[test]
fn tls_and_plain_text_that_meet() {
    Namespace::of("tls_and_plain_text_that_meet").run(|| {
        let (_https, https) = targets::start(Kind::Https, Behaviour::Echo);
        proves_only(&examine(&format!("ws://{https}")), "plain-text-to-a-tls-port");
        let (_http, http) = targets::start(Kind::Http, Behaviour::Echo);
        proves_only(&examine(&format!("wss://{http}")), "tls-to-a-plain-port");
        let (_ssh, ssh) = targets::start(Kind::Tcp, Behaviour::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()));
        proves_only(&examine(&format!("tls://{ssh}")), "tls-to-another-protocol");
        let (_alert, alert) = targets::start(Kind::Tls, Behaviour::Alert(40));
        proves_only(&examine(&format!("tls://{alert}")), "tls-alert");
    });
}

#[test]
fn a_certificate_is_looked_at_unless_told_otherwise() {
    Namespace::of("a_certificate_is_looked_at_unless_told_otherwise").run(|| {
        let (_wss, wss) = targets::start(Kind::Wss, Behaviour::Reject(404));
        proves_only(&examine(&format!("wss://{wss}/")), "unknown-issuer");
        proves_only(&examine(&format!("wss://{wss}/ --insecure")), "wrong-path");
    });
}

#[test]
fn a_server_that_closes_or_resets() {
    Namespace::of("a_server_that_closes_or_resets").run(|| {
        let (_closes, closes) = targets::start(Kind::Http, Behaviour::CloseBeforeReply);
        suggests(&examine(&format!("http://{closes}")), "closed-before-the-reply", "likely");
        let (_resets, resets) = targets::start(Kind::Tcp, Behaviour::Reset);
        suggests(&examine(&format!("ws://{resets}")), "reset-in-the-handshake", "likely");
    });
}

#[test]
fn a_server_that_says_nothing_and_one_that_does_not_accept() {
    Namespace::of("a_server_that_says_nothing_and_one_that_does_not_accept").run(|| {
        let (_silent, silent) = targets::start(Kind::Tcp, Behaviour::Silent);
        suggests(&examine(&format!("ws://{silent}")), "silent-after-connect", "likely");
        suggests(&examine(&format!("wss://{silent}")), "silent-after-connect", "likely");
        let (_full, full) = targets::start(Kind::Tcp, Behaviour::FullBacklog);
        proves_only(&examine(&format!("ws://{full}")), "not-accepted");
        proves_only(&examine(&format!("tcp://{full}")), "not-accepted");
    });
}

/// A server on a descriptor table of its own, which accepts until it has no descriptor left; ends with the
/// process.
fn greedy_server() -> SocketAddr {
    const LIMIT: u64 = 40;
    let (told, address) = channel();
    let serve = |table: std::io::Result<()>, told: NoDescriptors<Sender<SocketAddr>>| {
        table.unwrap();
        let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
        told.0.send(listener.local_addr().unwrap()).unwrap();
        let mut held: Vec<TcpStream> = Vec::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => held.push(stream),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
    };
    fd_table::spawn(std::thread::Builder::new(), NoDescriptors(told), serve).unwrap();
    let address = address.recv().unwrap();
    // The soft limit, of this process; the main thread's table has room enough.
    let limit = format!("--nofile={LIMIT}:");
    let set = std::process::Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), &limit])
        .status();
    assert!(set.unwrap().success());
    address
}

#[test]
fn a_server_without_descriptors_is_named_by_the_doctor() {
    Namespace::of("a_server_without_descriptors_is_named_by_the_doctor").run(|| {
        let to = greedy_server();
        // More than its table holds, from several tables that each stay below the limit.
        let holders: Vec<_> = (0..2)
            .map(|_| {
                let (done, until) = channel::<()>();
                let (ready, all) = channel();
                type Ends = (SocketAddr, Sender<()>, Receiver<()>);
                let hold = |table: std::io::Result<()>, ends: NoDescriptors<Ends>| {
                    table.unwrap();
                    let (to, ready, until) = ends.0;
                    let held: Vec<_> = (0..30).map(|_| TcpStream::connect(to).unwrap()).collect();
                    ready.send(()).unwrap();
                    let _ = until.recv();
                    drop(held);
                };
                let ends = NoDescriptors((to, ready, until));
                fd_table::spawn(std::thread::Builder::new(), ends, hold).unwrap();
                all.recv().unwrap();
                done
            })
            .collect();
        let told = examine(&format!("ws://{to}"));
        proves_only(&told, "target-out-of-descriptors");
        assert_eq!(told["findings"][0]["evidence"]["limit"], 40);
        drop(holders);
    });
}

#[test]
fn a_server_without_descriptors_is_named_by_a_run() {
    Namespace::of("a_server_without_descriptors_is_named_by_a_run").run(|| {
        let to = greedy_server();
        let result =
            storm(&format!("tcp://{to} --rate 40/s --duration 4s --lifetime until-end --max-open 200"));
        proves_only(&result, "target-out-of-descriptors");
    });
}

#[test]
fn a_listener_that_restarts_is_one_interval() {
    Namespace::of("a_listener_that_restarts_is_one_interval").run(|| {
        let listen = || {
            let config =
                connstorm::server::Config::new(vec!["127.0.0.1:9000".parse().unwrap()], Behaviour::Sink);
            connstorm::server::Target::start(config).unwrap()
        };
        let first = listen();
        let mut storm = Storm::start("tcp://127.0.0.1:9000 --rate 50/s --duration 6s");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        drop(first);
        std::thread::sleep(std::time::Duration::from_millis(2200));
        let _second = listen();
        assert!(storm.is_running(), "the listener came back too late to be seen by the run");
        let result = storm.result();
        proves_only(&result, "listener-away");
        assert_eq!(result["findings"][0]["evidence"]["intervals"], 1);
        let refusals = result["onsets"].as_array().unwrap().iter().find(|onset| onset["kind"] == "refusals");
        let refusals = refusals.unwrap();
        assert_eq!(refusals["destination"], "127.0.0.1:9000");
        // An interval, with its end.
        let (from, until) = (refusals["at_s"].as_f64(), refusals["until_s"].as_f64());
        assert!(from < until && until < result["elapsed_s"].as_f64(), "{refusals}");
    });
}

/// A server of plain HTTP that closes when it hears anything else: only a plain request tells.
fn plain_http_that_closes() -> SocketAddr {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut heard = [0; 4096];
            let length = stream.read(&mut heard).unwrap_or(0);
            if heard[..length].starts_with(b"GET ") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    address
}

#[test]
fn the_other_scheme_is_tried_both_ways() {
    Namespace::of("the_other_scheme_is_tried_both_ways").run(|| {
        let address = plain_http_that_closes();
        let told = examine(&format!("https://{address}"));
        proves_only(&told, "tls-to-a-plain-port");
        assert_eq!(told["findings"][0]["remedies"][0], format!("use http://{address}"));
    });
}

#[test]
fn a_connection_that_the_server_ends_a_moment_later_is_told() {
    Namespace::of("a_connection_that_the_server_ends_a_moment_later_is_told").run(|| {
        let late = Behaviour::CloseAfter(std::time::Duration::from_millis(800));
        let (_late, late) = targets::start(Kind::Tcp, late);
        let told = examine(&late.to_string());
        assert_eq!(told["findings"][0]["id"], "closed-by-the-server", "{told:#}");
        let (_echo, echo) = targets::start(Kind::Tcp, Behaviour::Echo);
        assert_eq!(examine(&echo.to_string())["findings"].as_array().unwrap().len(), 0);
    });
}
