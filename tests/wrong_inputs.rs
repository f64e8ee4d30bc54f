//! Wrong inputs, a hundred and more: each flag, each file, the environment. Each is refused with the right exit code and a
//! text that says what to write, and no file that was there is lost.
//!
//! A line is what a user types after `connstorm`, cut at blanks as a shell does. `@` before a word is a file of the folder.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::storm::connstorm;

/// Files of the folder in which everything is tried.
const FILES: [(&str, &[u8]); 16] = [
    ("earlier.json", b"an earlier result"),
    ("empty", b""),
    ("binary", b"\x00\xff\xfe\x80\x00"),
    ("prose.toml", b"Dear colleague, please run the load test.\n"),
    ("cut.toml", b"[target]\nurl = \"tcp://127.0.0.1"),
    ("typo.toml", b"[target]\nurl = \"tcp://127.0.0.1:1\"\n[lode]\nopen = []\n"),
    ("field.toml", b"[target]\nurl = \"tcp://127.0.0.1:1\"\n[connection]\nlifetme = \"2s\"\n"),
    ("type.toml", b"[target]\nurl = 5\n"),
    ("twice.toml", b"[target]\nurl = \"tcp://127.0.0.1:1\"\nurl = \"tcp://127.0.0.1:2\"\n"),
    ("no-target.toml", b"name = \"lonely\"\n"),
    ("variable.toml", b"[target]\nurl = \"${NO_SUCH_VARIABLE}\"\n"),
    ("wrong-variable.toml", b"[target]\nurl = \"tcp://127.0.0.1:${PORT}\"\n"),
    ("metric.toml", b"[target]\nurl = \"tcp://127.0.0.1:1\"\n[thresholds]\n\"conect.p95\" = \"< 5ms\"\n"),
    (
        "unmeasured.toml",
        b"[target]\nurl = \"ws://127.0.0.1:1\"\n[thresholds]\n\"connect.p95\" = \"< 5ms\"\n\"round_trip.p95\" = \"< 5ms\"\n",
    ),
    ("cut.json", b"{\"schema_version\": 1, \"verd"),
    ("other.json", b"[1, 2, 3]"),
];

/// Flags of `run` that a target has before it, and what is said.
const RUN: &[(&str, &str)] = &[
    ("--rate fast", "such as 5000/s"),
    ("--rate 0/s", "above"),
    ("--rate -5/s", "no flag takes a negative value"),
    ("--rate 5000/fortnight", "5000/s"),
    ("--rate 1e400/s", "--rate"),
    ("--rate", "a value is required"),
    ("--rate 5/s --concurrency 5", "--concurrency"),
    ("--concurrency many", "whole number"),
    ("--concurrency 0", "1"),
    ("--connections 0", "1"),
    ("--connections 1.5", "whole number"),
    ("--max-open 0", "1"),
    ("--duration forever", "such as"),
    ("--duration 10", "unit"),
    ("--duration 0s", "longer than zero"),
    ("--ramp -1s", "no flag takes a negative value"),
    ("--lifetime uniform(5s,1s)", "uniform"),
    ("--lifetime normal(5s)", "exponential(20s)"),
    ("--lifetime exponential", "exponential(20s)"),
    ("--close softly", "`fin`, `rst` or `peer`"),
    ("--ports magic", "kernel"),
    ("--ports 5000-4000", "5000"),
    ("--ports 70000-80000", "65535"),
    ("--source 300.1.1.1", "300.1.1.1"),
    ("--source 127.0.0.9-127.0.0.2", "127.0.0.9"),
    ("--source 127.0.0.0/33", "33"),
    ("--source eth0", "eth0"),
    ("--source ::1", "IPv4"),
    ("--connect-timeout 0s", "longer than zero"),
    ("--handshake-timeout soon", "such as"),
    ("--threshold", "a value is required"),
    ("--threshold fast", "did you mean|there are latencies"),
    ("--threshold tls.p99<5ms", "a tcp connection has no TLS handshake"),
    ("--abort-when messages.unanswered>5", "`expect` in [messages]"),
    ("--threshold reconnects==0", "does not connect again"),
    ("--threshold conect.p95<5ms", "did you mean 'connect.p95'"),
    ("--threshold connect.p100<5ms", "did you mean 'connect.max'"),
    ("--threshold connect.stddev<5ms", "every percentile"),
    ("--threshold connect.p95<5", "50ms"),
    ("--threshold failed.ratio<200%", "0% to 100%"),
    ("--threshold ok=5", "'=='"),
    ("--abort-when failed.ratio>500%", "0% to 100%"),
    ("--send {random:1TiB} --expect echo", "such as {random:1KiB}"),
    ("--every 1s", "send"),
    ("--send x --expect perhaps", "contains("),
    ("--send x --expect json(a)", "json("),
    ("--send x --expect echo --count 0", "1"),
    ("--send x --expect echo --reply-timeout never", "such as"),
    ("--send x --every 1s --think 1s", "one of the two"),
    ("--ping-every 1s", "ws or wss"),
    ("--senders 3", "ws or wss"),
    ("--header X-Token:abc", "http, https, ws or wss"),
    ("--method GET", "http or https"),
    ("--insecure", "tls, https or wss"),
    ("--backoff 1s", "--reconnect"),
    ("--reconnect --jitter 2", "0"),
    ("--workers 0", "1"),
    ("--workers x", "--workers"),
    ("--seed x", "--seed"),
    ("--progress sometimes", "plain"),
    ("--color pink", "always"),
    ("--listen nowhere", "--listen"),
    ("--push-otlp nowhere", "--push-otlp"),
    ("--push-prometheus ftp://127.0.0.1/x", "http:// or https://"),
    ("--push-label main", "NAME=VALUE"),
    ("--push-label __name__=x", "no '__' before it"),
    ("--push-header secret", "'NAME: VALUE'"),
    ("--no-such-flag", "unexpected argument"),
    ("--thresold ok>5", "--threshold"),
    ("--json", "a value is required"),
];

/// Flags of `run` with another target.
const TARGETS: &[(&str, &str)] = &[
    ("ftp://127.0.0.1:1", "tcp"),
    ("tcp://", "host"),
    ("tcp://127.0.0.1", "port"),
    ("tcp://127.0.0.1:0", "port"),
    ("tcp://127.0.0.1:99999", "65535"),
    ("tcp://127.0.0.1:9000-8000", "9000"),
    ("tcp://[::1", "]"),
    ("tcp://127.0.0.1:1/path", "path"),
    ("ws://127.0.0.1:1 --close-code 5", "1000"),
    ("ws://127.0.0.1:1 --header nonsense", "Name: value|X-Token"),
    ("ws://127.0.0.1:1/x?c={connn}", "{connn} is not a placeholder here"),
    ("ws://127.0.0.1:1 --header X-Token:{connn}", "{connn} is not a placeholder here"),
    ("ws://127.0.0.1:1 --auth digest(x)", "bearer("),
    ("ws://127.0.0.1:1 --body x", "http or https"),
    ("ws://127.0.0.1:1 --senders 2", "send"),
    ("http://127.0.0.1:1 --method G[T", "method"),
    ("http://127.0.0.1:1 --requests 0", "1"),
    ("http://127.0.0.1:1 --status 99", "200"),
    ("http://127.0.0.1:1 --count 5", "requests"),
    ("tls://127.0.0.1:1 --cert @binary", "key"),
    ("tls://127.0.0.1:1 --key @binary", "cert"),
    ("tls://127.0.0.1:1 --tls-version 1.1", "1.2"),
    ("tls://127.0.0.1:1 --ca /no/such.pem", "PEM"),
    ("tls://127.0.0.1:1 --ca @empty", "PEM"),
    ("tls://127.0.0.1:1 --cert @prose.toml --key @prose.toml", "PEM"),
    ("@no-such.toml", "scenarios/first-run.toml"),
    ("@.", "directory"),
    ("@empty", "target"),
    ("@binary", "UTF-8"),
    ("@prose.toml", "expected"),
    ("@cut.toml", "cut.toml:2"),
    ("@typo.toml", "load"),
    ("@field.toml", "lifetime"),
    ("@type.toml", "type.toml:2"),
    ("@twice.toml", "twice.toml:3"),
    ("@no-target.toml", "target"),
    ("@variable.toml", "NO_SUCH_VARIABLE"),
    ("@wrong-variable.toml", "wrong-variable.toml:2"),
    ("@unmeasured.toml", "unmeasured.toml:5"),
    ("@metric.toml", "did you mean 'connect.p95'"),
    ("- ", "target"),
    ("", "SCENARIO"),
];

/// Other commands.
const OTHERS: &[(&str, &str)] = &[
    ("", "Usage"),
    ("rnu @typo.toml", "did you mean 'run'"),
    ("find", "SCENARIO"),
    ("find tcp://127.0.0.1:1 --start fast", "--start"),
    ("find tcp://127.0.0.1:1 --start 100 --most 10", "growing order"),
    ("find tcp://127.0.0.1:1 --probe 1ms", "100ms"),
    ("find tcp://127.0.0.1:1 --tolerance 0", "tolerance"),
    ("find tcp://127.0.0.1:1 --at-least 5M/s", "--most"),
    ("find tcp://127.0.0.1:1 --at-least much", "--at-least"),
    ("find tcp://127.0.0.1:1 --what speed", "held"),
    ("find tcp://127.0.0.1:1 --what messages", "[messages]"),
    ("find tcp://127.0.0.1:1 --rate 5/s", "--start"),
    ("find tcp://127.0.0.1:1 --pause long", "--pause"),
    ("find tcp://127.0.0.1:1 --repeats 99", "20"),
    ("find @no-such.toml", "no-such.toml"),
    ("plan", "--rate"),
    ("plan --rate fast", "--rate"),
    ("plan --rate 500..100", "grows"),
    ("plan --rate 5/s --held many", "--held"),
    ("plan --rate 5/s --sources 0", "--sources"),
    ("plan --rate 5/s --host /no/such.json", "host's settings"),
    ("plan --rate 5/s --host @cut.json", "cut.json"),
    ("plan @no-such.toml", "no-such.toml"),
    ("plan @typo.toml", "load"),
    ("doctor nonsense", "port"),
    ("doctor ftp://127.0.0.1:1", "tcp"),
    ("doctor 127.0.0.1:1 --timeout 5h", "60s"),
    ("doctor 127.0.0.1:1 --expect x", "--expect"),
    ("doctor --insecure", "TARGET"),
    ("doctor tls://127.0.0.1:1 --ca /no/such.pem", "PEM"),
    ("serve", "Usage"),
    ("serve carrier-pigeon", "tcp, tls, http, https, ws, wss"),
    ("serve tcp --listen localhost", "such as 127.0.0.1:9000"),
    ("serve tcp --behaviour ehco", "echo"),
    ("serve ws --behaviour push(never)", "push("),
    ("serve tcp --backlog -1", "no flag takes a negative value"),
    ("serve tcp --memory 5", "64MiB"),
    ("serve tcp --workers 0", "--workers"),
    ("serve tcp --duration soon", "--duration"),
    ("serve tls --certificate stale", "expired"),
    ("lab no-such-experiment", "lab list"),
    ("lab time-wait-chrun", "time-wait-churn"),
    ("lab time-wait-churn --cure=prayer", "prayer"),
    ("lab", "lab"),
    ("lab shell --ports 5-2 -- true", "--ports"),
    ("lab shell --tw-reuse 9 -- true", "--tw-reuse"),
    ("report", "RESULT"),
    ("report /no/such.json", "/no/such.json"),
    ("report @cut.json", "not JSON"),
    ("report @other.json", "not the result of a run"),
    ("report @prose.toml", "run --json"),
    ("report @.", "directory"),
    ("compare @cut.json", "NEW"),
    ("compare /no/such.json tests/data/good.json", "/no/such.json"),
    ("compare tests/data/good.json tests/data/good.json --tolerance much", "10%"),
    ("compare tests/data/good.json @sub", "no result in it"),
    ("compare - -", "not JSON"),
    ("merge tests/data/good.json", "2"),
    ("merge tests/data/good.json @cut.json", "not JSON"),
    ("metrics conect", "did you mean"),
    ("metrics wether", "lists them all"),
    ("schema", "scenario"),
    ("schema recipe", "scenario"),
    ("schema result --markdown", "scenario"),
    ("completions tcsh", "bash"),
    ("man dance", "--help"),
];

/// Cases that can't be done, though they are asked for rightly.
const IMPOSSIBLE: &[(&str, &str)] = &[
    ("run tcp://127.0.0.1:1 --json /no/such/folder/x.json", "/no/such/folder/x.json"),
    ("run tcp://127.0.0.1:1 --html @.", "directory"),
    ("run tcp://127.0.0.1:1 --json @new.json --html @new.json", "give each a file of its own"),
    ("run @metric-free.toml --json @metric-free.toml", "which is read"),
    ("report tests/data/good.json --csv /no/such/folder/x.csv", "/no/such/folder/x.csv"),
    ("find tcp://127.0.0.1:1 --json /no/such/folder/x.json", "/no/such/folder/x.json"),
    ("plan --rate 5/s --json /no/such/folder/x.json", "/no/such/folder/x.json"),
    ("doctor --save /no/such/folder/x.json", "/no/such/folder/x.json"),
    ("serve tcp --listen 127.0.0.1:0 --json /no/such/folder/x.json", "/no/such/folder/x.json"),
    ("serve tcp --listen 192.0.2.1:9000", "192.0.2.1 is not an address of this host"),
    ("compare tests/data/good.json tests/data/exhausted.json", "cannot compare"),
    ("merge tests/data/good.json tests/data/exhausted.json", "cannot merge"),
    ("man --all /proc/no-such-folder", "/proc/no-such-folder"),
];

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(
        folder.path().join("metric-free.toml"),
        "[target]\nurl = \"tcp://127.0.0.1:1\"\n[load]\nclosed = { slots = 1, duration = \"100ms\" }\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    folder
}

fn program(line: &str, folder: &Path) -> Output {
    let word = |word: &str| match word.strip_prefix('@') {
        Some(file) => folder.join(file).display().to_string(),
        None => word.to_owned(),
    };
    let mut command: Command = connstorm();
    command.args(line.split_whitespace().map(word)).env("PORT", "many").env_remove("NO_SUCH_VARIABLE");
    command.stdin(Stdio::null()).output().unwrap()
}

/// Tries a line; gives what is wrong with the answer.
fn faults(line: &str, code: i32, says: &str) -> Vec<String> {
    let folder = folder();
    let before = contents(folder.path());
    let output = program(line, folder.path());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!(
                "connstorm {line}\n  {what}\n  exit code {:?}, standard error:\n{err}",
                output.status.code()
            ));
        }
    };
    check(output.status.code() == Some(code), &format!("should exit with {code}"));
    check(out.is_empty(), "writes to standard output");
    check(says.split('|').any(|words| err.contains(words)), &format!("should say: {says}"));
    for innards in ["panicked", "RUST_BACKTRACE", "Os {", "Error(", "Some(", "src/"] {
        check(!err.contains(innards), &format!("shows its innards: {innards}"));
    }
    check(err.chars().all(|c| !c.is_control() || c == '\n'), "holds control characters");
    check(contents(folder.path()) == before, "changes the files that were there");
    found
}

#[track_caller]
fn assert_all(code: i32, lines: impl Iterator<Item = (String, &'static str)>) {
    let found: Vec<String> = lines.flat_map(|(line, says)| faults(&line, code, says)).collect();
    assert!(found.is_empty(), "{} faults\n\n{}", found.len(), found.join("\n\n"));
}

#[test]
fn a_wrong_flag_of_run_is_refused_and_says_what_to_write() {
    // With outputs: none of them may be touched.
    let target = "run tcp://127.0.0.1:1 --json @earlier.json --html @new.html";
    assert_all(2, RUN.iter().map(|(flags, says)| (format!("{target} {flags}"), *says)));
}

#[test]
fn a_wrong_target_or_scenario_is_refused_and_says_what_to_write() {
    assert_all(2, TARGETS.iter().map(|(what, says)| (format!("run --json @earlier.json {what}"), *says)));
}

#[test]
fn wrong_words_after_any_other_command_are_refused_and_say_what_to_write() {
    assert_all(2, OTHERS.iter().map(|(line, says)| ((*line).to_owned(), *says)));
}

#[test]
fn what_cannot_be_done_is_told_by_another_exit_code() {
    assert_all(1, IMPOSSIBLE.iter().map(|(line, says)| ((*line).to_owned(), *says)));
}

#[test]
fn there_are_a_hundred_and_more() {
    assert!(RUN.len() + TARGETS.len() + OTHERS.len() + IMPOSSIBLE.len() > 150);
}

/// A program with this text on its standard input.
fn fed(arguments: &[&str], text: &str) -> Output {
    let mut command = connstorm();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // Who refuses its arguments reads nothing.
    let _ = process.stdin.take().unwrap().write_all(text.as_bytes());
    process.wait_with_output().unwrap()
}

#[test]
fn standard_input_is_read_once_only() {
    let good = std::fs::read_to_string("tests/data/good.json").unwrap();
    assert_eq!(fed(&["report", "-"], &good).status.code(), Some(0));
    for command in ["compare", "merge"] {
        let output = fed(&[command, "-", "-"], &good);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("standard input is read once only"), "{err}");
    }
}

/// Every command that reads a scenario reads it from standard input too.
#[test]
fn a_scenario_on_standard_input_is_read_and_its_mistakes_have_their_places() {
    let good = "[target]\nurl = \"tcp://127.0.0.1:1\"\n[load]\nclosed = { slots = 1 }\nconnections = 2\n\
                [connection]\nlifetime = \"1ms\"\n[thresholds]\n\"failed.refused\" = \"== 2\"\n";
    let bad = "[target]\nurl = \"tcp://127.0.0.1:1\"\n[connection]\nclose = \"softly\"\n";
    let quick = ["find", "-", "--start", "4", "--most", "4", "--probe", "300ms", "--repeats", "0"];
    for (arguments, good_code) in [(&["run", "-", "--quiet"][..], 0), (&quick, 0), (&["plan", "-"], 0)] {
        for (text, code) in [(good, good_code), (bad, 2)] {
            let output = fed(arguments, text);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(code != 2 || err.contains("stdin:4"), "{err}");
        }
    }
}
