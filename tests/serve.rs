//! `connstorm serve` as a user runs it: what it prints where, and how it exits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn serve(arguments: &[&str]) -> Command {
    serve_kind("tcp", arguments)
}

fn serve_kind(kind: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connstorm"));
    command.args(["serve", kind]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The address on the next line, which must be an announcement.
fn announced(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.strip_prefix("listening on ").expect("an announcement").trim_end().to_owned()
}

fn send(signal: rustix::process::Signal, child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn it_says_where_it_listens_serves_and_ends_well_on_a_signal() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = serve(&["--listen", "127.0.0.1:0,127.0.0.2:0"]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let addresses = [announced(&mut stdout), announced(&mut stdout)];
        assert!(addresses[1].starts_with("127.0.0.2:"), "{addresses:?}");
        let mut held = Vec::new();
        for address in &addresses {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            held.push(stream);
        }
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("2 connections accepted in "), "{told}");
        assert!(told.contains("2 open at the end\n10 bytes received, 10 sent; 0 accept errors\n"), "{told}");
        assert!(!told.contains('\r'), "a progress line although standard error is no terminal: {told:?}");
    }
}

#[test]
fn it_stops_by_itself_and_json_has_standard_output_alone() {
    let output =
        serve(&["--listen", "127.0.0.1:0", "--duration", "100ms", "--json", "-", "--behaviour", "sink"])
            .output()
            .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["schema_version"], &json["behaviour"]), (&1.into(), &"sink".into()));
    assert_eq!(json["counters"]["accepted"], 0);
    assert!(json["elapsed_s"].as_f64().unwrap() >= 0.1);
    let address = json["listened_on"][0].as_str().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("listening on {address}\n")));
}

#[test]
fn json_goes_to_a_file_which_is_opened_before_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("counters.json");
    let arguments = ["--listen", "127.0.0.1:0", "--duration", "10ms", "--json"];
    let output = serve(&arguments).arg(&file).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"listening on 127.0.0.1:"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(json["counters"]["open"], 0);

    let output = serve(&arguments).arg(directory.path().join("no/such.json")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("connstorm: cannot write '") && told.contains("No such file"), "{told}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn what_cannot_listen_says_why_and_exits_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = serve(&["--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let expected =
        format!("connstorm: {address} is taken: another socket listens there; choose another port or 0\n");
    assert_eq!(told, expected);
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_was_expected() {
    for (arguments, expected) in [
        (&["--behaviour", "ekho"][..], "expected echo, sink, discard"),
        (&["--listen", "9000"], "such as 127.0.0.1:9000"),
        (&["--duration", "10"], "a duration with its unit"),
        (&["--workers", "0"], "--workers"),
    ] {
        let output = serve(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn every_kind_serves_and_its_json_names_it_and_counts_its_messages() {
    for kind in ["tcp", "tls", "http", "https", "ws", "wss"] {
        let arguments = ["--listen", "127.0.0.1:0", "--duration", "20ms", "--json", "-"];
        let output = serve_kind(kind, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{kind}");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["kind"], &json["behaviour"]), (&kind.into(), &"echo".into()));
        let counted = ["handshakes", "rejected", "messages_in", "messages_out", "pings", "tls_handshakes"];
        assert!(counted.iter().all(|name| json["counters"][name] == 0), "{json}");
    }
}

#[test]
fn the_certificate_is_there_when_the_address_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let mut command = serve_kind("wss", &["--listen", "127.0.0.1:0", "--name", "target.test", "--write-ca"]);
    let mut child = command.arg(&path).spawn().unwrap();
    announced(&mut BufReader::new(child.stdout.take().unwrap()));
    let pem = std::fs::read_to_string(&path).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END CERTIFICATE-----\n"));
    send(rustix::process::Signal::TERM, &child);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let arguments = ["--listen", "127.0.0.1:0", "--write-ca", "/no/such/ca.pem"];
    let output = serve_kind("tls", &arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("cannot write the certificate to '/no/such/ca.pem'"), "{told}");
}

#[test]
fn a_behaviour_of_another_kind_is_wrong_usage() {
    for (kind, behaviour, expected) in [
        ("tcp", "broadcast", "a tcp target can't do 'broadcast'; expected echo, sink"),
        ("ws", "alert(40)", "a ws target can't do 'alert(40)'"),
        ("http", "push(1s)", "a http target can't do 'push(1s)'"),
        ("ws", "reject(200)", "'200' is not a status from 300 to 599"),
    ] {
        let output = serve_kind(kind, &["--behaviour", behaviour]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{kind} {behaviour}");
        assert!(told.contains(expected), "{told}");
    }
}
