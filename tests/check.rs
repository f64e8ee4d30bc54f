//! `connstorm check`, `run --trace`, and the data that clients fill placeholders with.

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use support::namespace::Namespace;
use support::storm::{connstorm, count, storm};
use tempfile::TempDir;

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A server that gives every line that it is sent to the test.
fn lines() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (to_test, lines) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let to_test = to_test.clone();
            std::thread::spawn(move || {
                BufReader::new(stream)
                    .lines()
                    .map_while(Result::ok)
                    .for_each(|line| to_test.send(line).unwrap());
            });
        }
    });
    (address, lines)
}

fn ids(lines: &Receiver<String>, of: u64) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..of).map(|_| lines.recv().unwrap().parse().unwrap()).collect();
    assert!(lines.try_recv().is_err(), "nobody has said more");
    ids.sort_unstable();
    ids
}

/// A scenario whose clients each say a row's id, of a file of so many rows.
fn scenario(folder: &TempDir, rows: u64, take: &str, load: &str, to: SocketAddr) -> PathBuf {
    let rows = (0..rows).map(|id| format!("{id},x{id}\n")).collect::<String>();
    let data = written(folder, "ids.csv", &format!("id,more\n{rows}"));
    let text = format!(
        "workers = 2\nsteps = [{{ send = \"{{rows.id}}\\n\" }}]\n[target]\nurl = \"tcp://{to}\"\n[load]\n{load}\n\
         [data.rows]\nfile = '{}'\ntake = \"{take}\"\n",
        data.display()
    );
    written(folder, "scenario.toml", &text)
}

#[test]
fn rows_that_are_used_once_end_and_arrivals_beyond_them_are_skipped() {
    Namespace::of("rows_that_are_used_once_end_and_arrivals_beyond_them_are_skipped").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let (address, lines) = lines();
        let load = "connections = 100\nopen = [{ hold = \"1s\", at = \"200/s\" }]";
        let result = storm(&scenario(&folder, 60, "once", load, address).display().to_string());
        assert_eq!(
            (count(&result, "planned"), count(&result, "started"), count(&result, "ok")),
            (100, 60, 60)
        );
        assert_eq!(result["skipped"]["data_exhausted"], 40);
        assert_eq!(ids(&lines, 60), (0..60).collect::<Vec<u64>>());
        // A slot of a closed loop for which there is no row is given up: the run ends.
        let result = storm(
            &scenario(&folder, 60, "once", "closed = { slots = 5, duration = \"30s\" }", address)
                .display()
                .to_string(),
        );
        assert_eq!((count(&result, "started"), &result["skipped"]["data_exhausted"]), (60, &5.into()));
        assert_eq!(ids(&lines, 60), (0..60).collect::<Vec<u64>>());
        let result = storm(&scenario(&folder, 60, "in-order", load, address).display().to_string());
        assert_eq!((count(&result, "started"), count(&result, "skipped")), (100, 0));
        let all: Vec<u64> = (0..60).chain(0..40).collect::<BTreeSet<u64>>().into_iter().collect();
        let seen = ids(&lines, 100);
        assert_eq!(seen.iter().copied().collect::<BTreeSet<u64>>().into_iter().collect::<Vec<u64>>(), all);
        assert_eq!(seen.iter().filter(|id| **id < 40).count(), 80, "the first forty rows twice");
    });
}

#[test]
fn parts_of_a_run_take_no_row_twice() {
    Namespace::of("parts_of_a_run_take_no_row_twice").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let (address, lines) = lines();
        let load = "connections = 90\nopen = [{ hold = \"1s\", at = \"200/s\" }]";
        let scenario = scenario(&folder, 90, "once", load, address);
        let mut parts: Vec<_> = (1..=3)
            .map(|part| {
                connstorm()
                    .args(["run", "--quiet", "--part", &format!("{part}/3"), "--json"])
                    .arg(folder.path().join(format!("{part}.json")))
                    .arg(&scenario)
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        parts.iter_mut().for_each(|part| assert!(part.wait().unwrap().code().is_some()));
        assert_eq!(ids(&lines, 90), (0..90).collect::<Vec<u64>>());
    });
}

#[test]
fn a_million_rows_are_held_in_less_than_100_mb() {
    Namespace::of("a_million_rows_are_held_in_less_than_100_mb").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let (address, lines) = lines();
        let load = "closed = { slots = 1 }\nconnections = 3";
        let rows = (0..1_000_000).map(|id| format!("user{id:07},token-{id:024x},{id}\n")).collect::<String>();
        let scenario = scenario(&folder, 1, "in-order", load, address);
        written(&folder, "ids.csv", &format!("name,token,id\n{rows}"));
        let text = std::fs::read_to_string(&scenario)
            .unwrap()
            .replace("{rows.id}", "{rows.id}\\n{rows.name}{rows.token}");
        std::fs::write(&scenario, text).unwrap();
        let result = storm(&scenario.display().to_string());
        assert_eq!(count(&result, "ok"), 3);
        let said: BTreeSet<String> = (0..6).map(|_| lines.recv().unwrap()).collect();
        assert!(said.contains("user0000002token-000000000000000000000002"), "{said:?}");
        let peak = result["resources"]["rss_peak_bytes"].as_u64().unwrap();
        assert!(peak < 100_000_000, "{peak} bytes");
    });
}

/// Standard output, standard error and the exit code of `connstorm check`.
fn check(arguments: &[&str], scenario: &Path) -> (String, String, Option<i32>) {
    let output =
        connstorm().arg("check").arg(scenario).args(arguments).env("SECRET", "hunter22").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_check_shows_what_would_be_said_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = written(&folder, "users.csv", "name,token\nann,t 1\nbob,t2\n");
    let scenario = written(
        &folder,
        "chat.toml",
        &format!(
            r#"
            steps = [
              {{ http = "POST /login", body = '{{"name":"{{users.name}}"}}', expect = "200", take = {{ token = "json:/token" }}, name = "login" }},
              {{ open = "/chat?t={{token}}&u={{users.token}}", headers = {{ X-Key = "${{SECRET}}" }} }},
              {{ on = "2", send = "3" }},
              {{ repeat = 3, steps = [
                {{ send = "{{conn}}/{{seq}}", expect = "echo", name = "say" }},
                {{ think = "2s" }},
              ] }},
              {{ send = {{ hex = "c0 00" }} }},
            ]
            [target]
            url = "ws://192.0.2.1:9/socket"
            [data.users]
            file = '{}'
            take = "once"
            [thresholds]
            "step.say.p99" = "< 1s"
            "#,
            data.display()
        ),
    );
    let (out, err, code) = check(&["--clients", "3"], &scenario);
    assert_eq!(code, Some(0), "{err}");
    for part in [
        "thresholds: step.say.p99 < 1s\n",
        "  login          POST /login HTTP/1.1\n                 Host: 192.0.2.1:9\n",
        "{\"name\":\"ann\"}\n                 waits for a reply, 5.00 s at most; takes token\n",
        "  over connection 2\n  open_2         GET /chat?t={token}&u=t%201 HTTP/1.1\n",
        "X-Key: (redacted)\n",
        "  on_3           from here on answers\n                 3\n                 to each '2'\n",
        "  repeat_4       repeats 3 times:\n",
        "    say            1/2\n                   waits for the same message, 5.00 s at most\n",
        "    think_6        pauses 2.00 s\n",
        "  send_7         c0 00\n",
        "{\"name\":\"bob\"}",
    ] {
        assert!(out.contains(part), "{part}\n--- in\n{out}");
    }
    assert!(!out.contains("client 3") && !out.contains("hunter22"), "two rows, each once: {out}");
    let (out, _, _) = check(&["--clients", "1", "--show-secrets", "--json", "-"], &scenario);
    let json: Value = serde_json::from_str(&out).unwrap();
    let steps = &json["populations"][0]["clients"][0]["steps"];
    assert_eq!((&steps[0]["name"], &steps[0]["takes"][0]), (&"login".into(), &"token".into()));
    assert!(steps[1]["sends"].as_str().unwrap().contains("X-Key: hunter22"), "{steps:#}");
    assert_eq!((&steps[1]["connection"], &steps[4]["depth"]), (&2.into(), &1.into()));
}

#[test]
fn a_check_finds_what_a_run_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let steps = "steps = [{ send = \"{rows.id}\" }]\n[target]\nurl = \"ws://127.0.0.1:9/\"\n";
    let data = written(&folder, "rows.csv", "id,b\n1,2\n3\n");
    let rows = format!("[data.rows]\nfile = '{}'\n", data.display());
    for (text, says) in [
        (steps.replace("rows.id", "rows.ip") + &rows, "did you mean `{rows.id}`?"),
        (format!("{steps}{rows}"), "line 3 has 1 values, the first line 2 names"),
        (format!("{steps}{rows}[thresholds]\n\"step.asy.p99\" = \"< 1s\"\n"), "step.asy"),
        (format!("{steps}[data.rows]\nfile = \"/nowhere/rows.csv\"\n"), "can't be read: No such file"),
        ("[target]\nurl = \"wss://127.0.0.1:9/\"\n[tls]\nca = \"/nowhere.pem\"\n".to_owned(), "/nowhere.pem"),
    ] {
        let scenario = written(&folder, "bad.toml", &text);
        let (out, err, code) = check(&[], &scenario);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}\n{err}");
        assert!(err.contains(says), "{says}\n--- in\n{err}");
    }
    let (out, _, code) = check(&["--requests", "2"], Path::new("http://127.0.0.1:9/a"));
    assert!(code == Some(0) && out.contains("GET /a HTTP/1.1") && out.contains("2 requests"), "{out}");
}

#[test]
fn a_trace_shows_the_whole_conversation_of_the_first_connections() {
    Namespace::of("a_trace_shows_the_whole_conversation_of_the_first_connections").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            steps = [
              { open = "/a?t=secret1", headers = { Cookie = "sid=secret2" } },
              { send = "hello secret3", expect = "echo" },
              { close = 4000 },
              { open = "/b" },
            ]
            [serve]
            kind = "ws"
            [load]
            closed = { slots = 3 }
            connections = 3
        "#;
        let scenario = written(&folder, "trace.toml", text);
        let trace = |more: &[&str]| {
            let output =
                connstorm().args(["run", "--quiet", "--trace", "1"]).args(more).arg(&scenario).output();
            String::from_utf8(output.unwrap().stderr).unwrap()
        };
        let told = trace(&[]);
        for part in [
            "* begins\n",
            "* connected, 127.0.0.1:",
            "> GET /a?t=(redacted) HTTP/1.1\n",
            "> Cookie: (redacted)\n",
            "< HTTP/1.1 101 ",
            "> text, 13 bytes (redacted)\n",
            "< text, 13 bytes (redacted)\n",
            "> close, 2 bytes",
            "> GET /b HTTP/1.1\n",
            "* ended well\n",
        ] {
            assert!(told.contains(part), "{part}\n--- in\n{told}");
        }
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(told.matches("* begins").count(), 2, "one client, both of its connections: {told}");
        assert!(trace(&["--show-secrets"]).contains("< text, 13 bytes: hello secret3"));
    });
}

#[test]
fn clients_of_several_connections_are_divided_among_parts() {
    Namespace::of("clients_of_several_connections_are_divided_among_parts").run(|| {
        let (_running, ws) =
            support::targets::start(connstorm::protocol::Kind::Ws, connstorm::protocol::Behaviour::Echo);
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"
            steps = [
              {{ open = true }},
              {{ send = "{{conn}}", expect = "echo", take = {{ n = "regex:.+" }}, name = "first" }},
              {{ close = true }},
              {{ open = "/{{n}}" }},
              {{ send = "{{n}}", expect = {{ equals = "{{conn}}" }}, name = "second" }},
            ]
            [target]
            url = "ws://{ws}/"
            [load]
            open = [{{ hold = "1s", at = "poisson(200/s)" }}]
            connections = 90
            "#
        );
        let scenario = written(&folder, "several.toml", &text);
        let file = |name: &str| folder.path().join(name);
        let parts = ["1", "2", "3"].map(|part| {
            connstorm()
                .args(["run", "--quiet", "--part", &format!("{part}/3"), "--json"])
                .args([&file(&format!("{part}.json")), &scenario])
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        parts.into_iter().for_each(|mut part| assert!(part.wait().unwrap().code().is_some()));
        let json = ["1.json", "2.json", "3.json"].map(file);
        connstorm().arg("merge").args(&json).arg("--json").arg(file("all.json")).output().unwrap();
        let result: Value = serde_json::from_slice(&std::fs::read(file("all.json")).unwrap()).unwrap();
        let counts = (count(&result, "planned"), count(&result, "started"), count(&result, "ok"));
        assert_eq!(counts, (180, 180, 180), "90 clients, two connections each: {:#}", result["failures"]);
        let steps: Vec<_> =
            result["steps"].as_array().unwrap().iter().map(|step| (&step["name"], &step["done"])).collect();
        assert!(steps.contains(&(&"second".into(), &90.into())), "{steps:?}");
    });
}

#[test]
fn close_codes_of_the_peer_are_expected_or_not() {
    Namespace::of("close_codes_of_the_peer_are_expected_or_not").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let text = "[serve]\nkind = \"ws\"\nbehaviour = \"close-after(100ms)\"\n[load]\nclosed = { slots = 2 }\nconnections = 6\n\
                    [connection]\nclose = \"peer\"\nlifetime = \"2s\"\n";
        let scenario = written(&folder, "close.toml", text);
        let run = |more: &str| storm(&format!("{} {more}", scenario.display()));
        assert_eq!(count(&run("--expect-close 1000,1001"), "ok"), 6);
        assert_eq!(count(&run("--expect-close 1001"), "failed"), 6, "1000 is none that was expected");
        assert_eq!(count(&run("--expect-close 1000 --close fin"), "ok"), 6);
    });
}
