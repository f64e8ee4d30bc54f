//! The lab, as an unprivileged user runs it: every experiment has its failure, the diagnosis names the cause
//! and proves no other, every cure cures, and nothing is left.

mod support;

use connstorm::lab;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use support::eventually;
use support::nobody::{binary, connstorm, unprivileged};

fn lab(arguments: &str) -> Output {
    connstorm().arg("lab").args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap()
}

/// Runs an experiment with all its cures, and holds it against what it is for.
fn holds(name: &str) {
    let experiment = lab::find(name).unwrap();
    let intended = experiment.intended.map(|id| id.as_str());
    let output = lab(&format!("{name} --cure=all --json -"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let had: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{name}: {e}: {errors}"));
    let before = &had["before"];
    let found = ids(before, |_| true);
    assert_eq!(found.first().map(String::as_str), intended, "{name}: {:#}", before["findings"]);
    let proved = ids(before, |finding| finding["certainty"] == "proved");
    let others: Vec<&String> = proved.iter().filter(|id| Some(id.as_str()) != intended).collect();
    assert!(others.is_empty(), "{name} also proves {others:?}: {:#}", before["findings"]);
    for finding in before["findings"].as_array().unwrap() {
        assert!(!finding["remedies"].as_array().unwrap().is_empty(), "{name}: no remedy in {finding:#}");
    }
    let after = had["after"].as_array().unwrap();
    assert_eq!(after.len(), experiment.cures.len(), "{name}");
    for cured in after {
        let (cure, result) = (&cured["cure"], &cured["result"]);
        assert_eq!(result["counts"]["failed"], 0, "{name} with {cure}: {:#}", result["failures"]);
        assert_ne!(result["counts"]["ok"], 0, "{name} with {cure}");
        let still: Vec<String> = ids(result, |f| Some(f["id"].as_str().unwrap()) == intended);
        assert!(still.is_empty(), "{name} with {cure}: {:#}", result["findings"]);
    }
    assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
}

fn ids(result: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let findings = result["findings"].as_array().unwrap().iter();
    findings.filter(|finding| wanted(finding)).map(|f| f["id"].as_str().unwrap().to_owned()).collect()
}

macro_rules! experiments {
    ($($test:ident = $name:literal;)*) => {
        $(#[test] fn $test() { holds($name); })*

        #[test]
        fn every_experiment_is_tested() {
            let tested: BTreeSet<&str> = [$($name),*].into();
            let all: BTreeSet<&str> = lab::all().iter().map(|experiment| experiment.name).collect();
            assert_eq!(tested, all);
        }
    };
}

experiments! {
    nothing_listens = "nothing-listens";
    wrong_port = "wrong-port";
    wrong_address = "wrong-address";
    dns_elsewhere = "dns-elsewhere";
    proxy_in_the_way = "proxy-in-the-way";
    localhost_only = "localhost-only";
    reject_rule = "reject-rule";
    listener_restarts = "listener-restarts";
    drop_rule = "drop-rule";
    one_source_dropped = "one-source-dropped";
    no_such_host = "no-such-host";
    private_address_elsewhere = "private-address-elsewhere";
    syn_lost = "syn-lost";
    accept_queue_full = "accept-queue-full";
    server_silent = "server-silent";
    too_many_held = "too-many-held";
    time_wait_churn = "time-wait-churn";
    reserved_ports = "reserved-ports";
    poisoned_buckets = "poisoned-buckets";
    naive_bind = "naive-bind";
    source_not_local = "source-not-local";
    server_side_has_no_limit = "server-side-has-no-limit";
    ws_to_http = "ws-to-http";
    http_to_ws = "http-to-ws";
    ws_to_tls = "ws-to-tls";
    wss_to_plain = "wss-to-plain";
    ws_to_line_protocol = "ws-to-line-protocol";
    emfile_in_target = "emfile-in-target";
    emfile_in_client = "emfile-in-client";
    conntrack_full = "conntrack-full";
    time_wait_capped = "time-wait-capped";
    routed_private_network = "routed-private-network";
    ipv6_off = "ipv6-off";
    idle_timeout = "idle-timeout";
    reload = "reload";
    crash_for_good = "crash-for-good";
    connection_limit = "connection-limit";
    fin_wait_2 = "fin-wait-2";
    close_wait_leak = "close-wait-leak";
    foreign_holder = "foreign-holder";
    self_connect = "self-connect";
    syn_queue_full = "syn-queue-full";
    mtu_hole = "mtu-hole";
    long_round_trip = "long-round-trip";
    own_snat_ports = "own-snat-ports";
}

/// Each thing that is not a cause beside an experiment that it resembles; `lab --all --distractors` does all pairs.
const BESIDE: [(&str, &str); 7] = [
    ("drop-rule", "other-listener-overflows,others-are-refused"),
    ("nothing-listens", "others-reset"),
    ("reject-rule", "others-are-refused"),
    ("too-many-held", "others-churn,others-listen"),
    ("reserved-ports", "others-hold-ports"),
    ("poisoned-buckets", "others-fin-wait-2,others-close-wait"),
    ("ws-to-http", "other-server-is-silent,generator-stops"),
];

#[test]
fn nothing_beside_an_experiment_is_taken_for_its_cause() {
    let mut beside: BTreeSet<&str> = BTreeSet::new();
    std::thread::scope(|scope| {
        for (name, distractors) in BESIDE {
            beside.extend(distractors.split(','));
            scope.spawn(move || {
                let output = lab(&format!("{name} --distractors={distractors}"));
                let (text, errors) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                let all = distractors.split(',').count();
                let wanted = format!("{all} of {all} as intended, with nothing else proved.");
                assert!(text.contains(&wanted), "{name}: {text}{errors}");
                assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
            });
        }
    });
    let all: BTreeSet<&str> = lab::Distractor::ALL.iter().map(|one| one.name()).collect();
    assert_eq!(beside, all);
}

/// Text for a person: the application's words, onsets, the finding, the cure side by side.
#[test]
fn an_experiment_is_told_in_words() {
    let output = lab("time-wait-churn --cure=rst");
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "connect: Cannot assign requested address\n",
        "time_wait_building",
        "ports_exhausted, attempt 1,025",
        "proved, generator: ports-exhausted-by-time-wait",
        "▸ ",
        "With the cure rst: --close rst",
        "before",
        "after",
    ] {
        assert!(text.contains(words), "no '{words}' in\n{text}");
    }
}

/// Without `--cure` the JSON is that of `run`, and can be read as such.
#[test]
fn the_json_is_that_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (file, page) = (folder.path().join("result.json"), folder.path().join("page.html"));
    let mut command = connstorm();
    command.args(["lab", "nothing-listens", "--json"]).arg(&file).arg("--html").arg(&page);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("connect: Connection refused"));
    let result: connstorm::result::RunResult =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(result.plan.name, "nothing-listens");
    assert!(fs::read_to_string(&page).unwrap().contains("nothing-listens"));
}

#[test]
fn the_list_has_all_in_groups_and_unknown_names_lead_to_the_nearest() {
    let list = String::from_utf8(lab("list").stdout).unwrap();
    for experiment in lab::all() {
        let group = list.find(&experiment.group.to_string()).unwrap();
        assert!(list[group..].contains(experiment.name), "{}", experiment.name);
    }
    let unknown = lab("time-wait-chum");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean 'time-wait-churn'?"));
    let cure = lab("time-wait-churn --cure=pray");
    assert_eq!(cure.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&cure.stderr).contains("it has tw-reuse, rst"));
}

/// A program of the user's: 64 ports, all held; then it ends with a code of its own.
const HOLDER: &str = "
import socket, sys, time
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(1000)
held = []
try:
    while len(held) < 200: held.append(socket.create_connection(('127.0.0.1', 9000)))
except OSError as error:
    print(len(held), error.strerror)
time.sleep(0.3)
sys.exit(7)
";

fn shell(arguments: &[&str]) -> Output {
    connstorm().args(["lab", "shell"]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_program_of_the_users_runs_in_the_shell_and_its_exit_code_is_ours() {
    let output = shell(&["--ports", "40000-40063", "--tw-reuse", "0", "--", "python3", "-c", HOLDER]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "64 Cannot assign requested address\n", "{errors}");
    assert!(errors.contains("ports_exhausted"), "{errors}");
    assert!(errors.contains("64 of 64 ports in use"), "{errors}");
}

#[test]
fn the_shells_settings_are_the_programs() {
    let script = "ulimit -n; cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/tcp_tw_reuse; kill -TERM $$";
    let output =
        shell(&["--nofile", "32", "--backlog", "7", "--tw-reuse", "1", "-q", "--", "sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "32\n7\n1\n");
    assert_eq!(output.status.code(), Some(128 + 15));
    assert_eq!(output.stderr, b"", "-q is quiet");
    let none = shell(&["--", "/no/such/program"]);
    assert_eq!(none.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&none.stderr).contains("cannot start '/no/such/program'"));
    assert_eq!(shell(&["--ports", "9-1", "--", "true"]).status.code(), Some(2));
}

/// Who has lost its parent is the guard's child, and is buried by it.
#[test]
fn no_zombie_stays_in_the_shell() {
    let script = "for n in 1 2 3 4 5; do (sleep 0.05 &); done; sleep 0.6; grep -l '^State:.Z' /proc/[0-9]*/status; true";
    let output = shell(&["-q", "--", "sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_source_that_is_denied_gets_no_answer() {
    let script = "
import socket
listener = socket.socket(); listener.bind(('127.0.0.1', 9000)); listener.listen(10)
socket.create_connection(('127.0.0.1', 9000)); print('in')
denied = socket.socket(); denied.bind(('127.0.0.5', 0)); denied.settimeout(2.5)
try: denied.connect(('127.0.0.1', 9000))
except socket.timeout: print('out')
";
    let output = shell(&["--deny-source", "127.0.0.5", "--", "python3", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in\nout\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("syn_retransmits"));
}

/// Processes that the program started go with it, though nobody waits for them.
#[test]
fn what_the_program_leaves_behind_is_ended() {
    let mark = mark("left");
    let output = shell(&["--quiet", "--", "sh", "-c", &format!("setsid sleep {mark} & exit 0")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(eventually(0, || processes_with(&mark)), 0);
}

/// A crash of connstorm, as hard as can be, and Ctrl-C.
#[test]
fn nothing_is_left_of_a_shell_that_is_killed() {
    for signal in ["KILL", "TERM"] {
        let mark = mark(signal);
        let mut outer = connstorm()
            .args(["lab", "shell", "-q", "--", "sleep", &mark])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        assert!(eventually(true, || processes_with(&mark) > 3), "it never started");
        end(&mut outer, signal);
        assert_eq!(eventually(0, || processes_with(&mark)), 0, "after SIG{signal}");
    }
}

#[test]
fn nothing_is_left_of_an_experiment_that_is_killed() {
    for signal in ["KILL", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut outer = connstorm()
            .args(["lab", "accept-queue-full"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut inner = None;
        let started = eventually(true, || {
            inner = child_of(outer.id()).filter(|pid| namespace_of(*pid) != namespace_of(outer.id()));
            inner.is_some()
        });
        assert!(started, "it never started");
        let namespace = namespace_of(inner.unwrap()).unwrap();
        end(&mut outer, signal);
        let users = || {
            all_processes().into_iter().filter(|pid| namespace_of(*pid).as_ref() == Some(&namespace)).count()
        };
        assert_eq!(eventually(0, users), 0, "after SIG{signal}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!Path::new("/tmp/laid-over").exists());
    }
}

/// Where namespaces are forbidden: the setting is named, and what to run instead. The limits of a user
/// namespace can be set in it, so that a test can forbid.
#[test]
fn the_setting_that_forbids_is_named() {
    for (setting, drop_capabilities) in [("max_net_namespaces", false), ("max_user_namespaces", true)] {
        let drop = if drop_capabilities { "setpriv --bounding-set=-all --inh-caps=-all " } else { "" };
        let script = format!(
            "echo 0 > /proc/sys/user/{setting} && exec {drop}{} lab nothing-listens",
            binary().display()
        );
        let output = unprivileged(Path::new("unshare")).args(["-r", "sh", "-c", &script]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&format!("user.{setting} is 0")), "{errors}");
        assert!(errors.contains("sudo connstorm lab nothing-listens"), "{errors}");
    }
}

/// A number of seconds to sleep that no other process has.
fn mark(what: &str) -> String {
    format!("9{}.{}", std::process::id(), what.bytes().map(u32::from).sum::<u32>())
}

fn end(process: &mut Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
    process.wait().unwrap();
}

fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Number of processes that have this among their arguments.
fn processes_with(mark: &str) -> usize {
    let has = |pid: &u32| {
        let mut text = Vec::new();
        let read = fs::File::open(format!("/proc/{pid}/cmdline")).and_then(|mut f| f.read_to_end(&mut text));
        read.is_ok() && String::from_utf8_lossy(&text).contains(mark)
    };
    all_processes().iter().filter(|pid| has(pid)).count()
}

fn child_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn namespace_of(pid: u32) -> Option<std::ffi::OsString> {
    Some(fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.into_os_string())
}
