//! The number of connections held is not bound by `ulimit -n`: each worker has a descriptor table of its own.

mod support;

use connstorm::protocol::Behaviour;
use connstorm::server::{Config, Target};
use serde_json::Value;
use std::process::Command;
use support::namespace::Namespace;
use support::{bound_to_us, storm::count};

/// Runs connstorm under a hard limit on descriptors, and returns its result.
fn under_limit(limit: u32, arguments: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let ended = bound_to_us("sh")
        .args([
            "-c",
            &format!("ulimit -n {limit}; exec \"$0\" run {arguments} --quiet --json {}", json.display()),
        ])
        .arg(env!("CARGO_BIN_EXE_connstorm"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    let text = std::fs::read_to_string(json).unwrap_or_else(|error| panic!("{error}: {errors}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// Count of `ss`, which is not ours.
fn established_from(source: &str) -> usize {
    let found = Command::new("ss").args(["-Htn", "state", "established", "src", source]).output();
    let found = found.unwrap_or_else(|error| panic!("{}", support::missing("ss", "iproute2", &error)));
    String::from_utf8_lossy(&found.stdout).lines().count()
}

fn sink(namespace_address: &str) -> connstorm::server::Running {
    Target::start(Config::new(vec![namespace_address.parse().unwrap()], Behaviour::Sink)).unwrap()
}

#[test]
fn five_thousand_are_held_under_a_limit_of_1024() {
    Namespace::of("five_thousand_are_held_under_a_limit_of_1024").run(|| {
        let _target = sink("127.0.0.1:9000");
        let result = under_limit(
            1024,
            "tcp://127.0.0.1:9000 --rate 5000/s --connections 5000 --lifetime until-end --duration 3s",
        );
        assert_eq!((count(&result, "ok"), count(&result, "failed")), (5000, 0), "{:#}", result["failures"]);
        assert_eq!(count(&result, "held_max"), 5000);
        assert!(result["resources"]["workers"].as_u64() >= Some(6), "{}", result["resources"]);
    });
}

#[test]
fn sixty_thousand_are_held_under_a_limit_of_20_000() {
    Namespace::of("sixty_thousand_are_held_under_a_limit_of_20_000").run(|| {
        let _target = sink("127.0.0.1:9000");
        let watcher = std::thread::spawn(|| {
            let mut most = 0;
            // On a busy machine one count takes seconds: another, to be sure, might meet the end of the run.
            for _ in 0..200 {
                std::thread::sleep(std::time::Duration::from_millis(500));
                most = most.max(established_from("127.0.2.0/24"));
                if most >= 60_000 {
                    break;
                }
            }
            most
        });
        let result = under_limit(
            20_000,
            "tcp://127.0.0.1:9000 --rate 10000/s --connections 60000 --lifetime until-end --duration 16s \
             --source 127.0.2.1-127.0.2.4",
        );
        assert_eq!((count(&result, "ok"), count(&result, "failed")), (60_000, 0), "{:#}", result["failures"]);
        assert_eq!(count(&result, "held_max"), 60_000);
        assert_eq!(watcher.join().unwrap(), 60_000, "as ss counts them");
    });
}

/// One table, and no way to another: the limit is met, and told.
#[test]
fn the_descriptor_limit_of_one_table_is_a_failure_of_its_own_kind() {
    Namespace::of("the_descriptor_limit_of_one_table_is_a_failure_of_its_own_kind").run(|| {
        let _target = sink("127.0.0.1:9000");
        let result = under_limit(
            100,
            "tcp://127.0.0.1:9000 --rate 1000/s --connections 200 --lifetime until-end --duration 1s --workers 1",
        );
        let [kind] = &result["failures"].as_array().unwrap()[..] else { panic!("{:#}", result["failures"]) };
        let text = |name: &str| kind[name].as_str().unwrap();
        assert_eq!((text("stage"), text("cause"), text("errno")), ("bind", "process_file_limit", "EMFILE"));
        assert_eq!(text("side"), "generator");
        assert_eq!(count(&result, "ok") + count(&result, "failed"), 200);
        assert!((80..100).contains(&count(&result, "ok")), "{}", count(&result, "ok"));
        assert_eq!(result["verdict"], "invalid");
    });
}
