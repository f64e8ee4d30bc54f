//! Whole conversations with servers that nobody here wrote, by the scenarios in `scenarios/`: 1,000 clients each, longer
//! than two of the server's heartbeats; and over several connections with the embedded target.

mod support;

use serde_json::Value;
use support::conversations::Counting;
use support::namespace::Namespace;
use support::storm::{count, storm};

const CLIENTS: u64 = 1_000;

fn step<'r>(result: &'r Value, name: &str) -> &'r Value {
    let steps = result["steps"].as_array().unwrap_or_else(|| panic!("{result:#}"));
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {steps:#?}"))
}

fn done(result: &Value, name: &str) -> u64 {
    step(result, name)["done"].as_u64().unwrap()
}

#[track_caller]
fn all_well(result: &Value) {
    let ended = (count(result, "ok"), count(result, "failed"), count(result, "cut_short"));
    assert_eq!(ended, (CLIENTS, 0, 0), "{:#}", result["failures"]);
}

/// A scenario of the repository with 1,000 clients, for so long.
fn run(scenario: &str, duration: &str) -> Value {
    let scenario = format!("{}/scenarios/{scenario}", env!("CARGO_MANIFEST_DIR"));
    storm(&format!(
        "{scenario} --concurrency {CLIENTS} --connections {CLIENTS} --duration {duration} --connect-timeout 20s \
         --handshake-timeout 20s --drain 20s"
    ))
}

#[test]
fn socket_io_keeps_a_thousand_clients_that_answer_its_heartbeat() {
    Namespace::of("socket_io_keeps_a_thousand_clients_that_answer_its_heartbeat").run(|| {
        let Some(server) = Counting::socket_io() else { return };
        let result = run("socket-io.toml", "12s");
        all_well(&result);
        assert_eq!((done(&result, "joined"), count(&result, "held_max")), (CLIENTS, CLIENTS));
        assert!(done(&result, "heartbeat") >= 2 * CLIENTS, "{:#}", result["steps"]);
        let said = done(&result, "say");
        let counted = server.until("said", said);
        assert_eq!((&counted["joined"], &counted["said"]), (&CLIENTS.into(), &said.into()));
        assert_eq!(counted["gone"], 0, "no client has missed a heartbeat");
    });
}

#[test]
fn graphql_ws_gives_a_thousand_clients_what_they_subscribed_to() {
    Namespace::of("graphql_ws_gives_a_thousand_clients_what_they_subscribed_to").run(|| {
        let Some(server) = Counting::graphql() else { return };
        let result = run("graphql-ws.toml", "15s");
        all_well(&result);
        assert_eq!((done(&result, "subscribe"), done(&result, "complete")), (CLIENTS, CLIENTS));
        // Three greetings each, the first of which answers.
        assert_eq!(result["messages"]["pushes"], 2 * CLIENTS);
        let counted = server.until("completed", CLIENTS);
        assert_eq!((&counted["subscribed"], &counted["completed"]), (&CLIENTS.into(), &CLIENTS.into()));
    });
}

#[test]
fn mosquitto_knows_a_thousand_clients_by_their_ids() {
    Namespace::of("mosquitto_knows_a_thousand_clients_by_their_ids").run(|| {
        let Some(_server) = Counting::mosquitto() else { return };
        let result = run("mqtt.toml", "5s");
        all_well(&result);
        // An id that two had would have thrown the first of them out.
        assert_eq!((done(&result, "connect"), done(&result, "subscribe")), (CLIENTS, CLIENTS));
        assert!(done(&result, "publish") >= CLIENTS, "each had its own message back: {:#}", result["steps"]);
    });
}

#[test]
fn a_client_of_several_connections_makes_an_attempt_of_each() {
    Namespace::of("a_client_of_several_connections_makes_an_attempt_of_each").run(|| {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("several.toml");
        let text = r#"
            steps = [
              { open = true },
              { send = '{"n":"a{conn}"}', expect = "echo", take = { n = "json:/n" }, name = "first" },
              { close = 4000 },
              { open = "/{n}" },
              { send = "{n}", expect = { equals = "a{conn}" }, name = "second" },
            ]
            [serve]
            kind = "ws"
            [load]
            closed = { slots = 20 }
            connections = 200
        "#;
        std::fs::write(&scenario, text).unwrap();
        let result = storm(&scenario.display().to_string());
        let counts = (count(&result, "planned"), count(&result, "started"), count(&result, "ok"));
        assert_eq!(counts, (400, 400, 400), "200 clients, two connections each: {:#}", result["failures"]);
        assert_eq!((done(&result, "first"), done(&result, "second")), (200, 200));
        assert_eq!(result["latency_us"]["step.second"]["count"], 200);
        // One that fails says where.
        std::fs::write(
            &scenario,
            text.replace("equals = \"a{conn}\"", "equals = \"other\"")
                .replace("name = \"second\"", "within = \"100ms\", name = \"second\""),
        )
        .unwrap();
        let result = storm(&format!("{} --connections 10", scenario.display()));
        assert_eq!((count(&result, "ok"), count(&result, "failed")), (10, 10));
        assert_eq!(
            (&result["failures"][0]["step"], &step(&result, "second")["failed"]),
            (&"second".into(), &10.into())
        );
        assert_eq!(result["failures"][0]["cause"], "timed_out");
    });
}
