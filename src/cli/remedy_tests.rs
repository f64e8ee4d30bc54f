//! Remedies of the diagnosis can be pasted: flags of ours are ours and take such values, and what begins with another
//! program's name is a line that a shell understands.

use super::run::read_plan;
use super::{Cli, Command as Asked};
use crate::diagnose::{Facts, FailureFact, confusion_tests, diagnose, situations};
use crate::model::{Cause, Failure, Stage};
use crate::protocol::Kind;
use clap::{Arg, Command, CommandFactory, Parser};
use std::collections::BTreeSet;

/// Words in capitals that stand for what the user knows, each with a value of the kind.
const STANDS_FOR: [(&str, &str); 6] = [
    ("FILE", "file.pem"),
    ("NAME", "name"),
    ("TIME", "5s"),
    ("TOKEN", "token"),
    ("LO-HI", "20000-29999"),
    ("INTERFACE", "lo"),
];

/// Programs with which a remedy begins that is a command.
const PROGRAMS: [&str; 32] = [
    "sysctl",
    "ip",
    "ss",
    "nft",
    "nstat",
    "ps",
    "kill",
    "prlimit",
    "ulimit",
    "getent",
    "cat",
    "docker",
    "ping",
    "tracepath",
    "mtr",
    "journalctl",
    "openssl",
    "traceroute",
    "grep",
    "unset",
    "export",
    "strace",
    "lsof",
    "conntrack",
    "printf",
    "connstorm",
    "tc",
    "ethtool",
    "iptables",
    "systemctl",
    "resolvectl",
    "kubectl",
];

/// The remedies of every experiment and situation, each once.
fn remedies() -> BTreeSet<String> {
    let experiments = confusion_tests::experiments().into_iter().map(|(_, facts)| facts);
    let situations = situations::all().into_iter().map(|situation| situation.facts);
    let of = |facts: Facts| diagnose(&facts).into_iter().flat_map(|finding| finding.remedies);
    experiments.chain(situations).chain(each_failure()).flat_map(of).collect()
}

/// Runs of each protocol in which a failure of each kind happened.
fn each_failure() -> impl Iterator<Item = Facts> {
    let codes = |cause| match cause {
        Cause::HttpStatus => {
            (200..=204).chain(300..=308).chain(400..=431).chain(500..=505).map(Some).collect()
        }
        Cause::TlsAlert => (40..=120).map(Some).collect(),
        Cause::ClosedEarly => {
            [None].into_iter().chain((1000..=1015).chain(3000..=3003).chain(4400..=4430).map(Some)).collect()
        }
        _ => vec![None],
    };
    let kinds = Stage::ALL.iter().flat_map(|stage| Cause::ALL.iter().map(|cause| (*stage, *cause)));
    let failures = kinds.flat_map(move |(stage, cause)| {
        let codes: Vec<Option<u16>> = codes(cause);
        codes.into_iter().map(move |code| Failure { code, ..Failure::new(stage, cause) })
    });
    failures.flat_map(|failure| {
        [Kind::Tcp, Kind::Tls, Kind::Http, Kind::Wss].map(|spoken| Facts {
            destinations: vec![([192, 0, 2, 7], 9000).into()],
            spoken: Some(spoken),
            url: Some(format!("{spoken}://192.0.2.7:9000/")),
            opened: 10,
            started: 20,
            failures: vec![FailureFact::new(failure, 10)],
            ..Facts::default()
        })
    })
}

/// The remedy without its explanation.
fn command(remedy: &str) -> &str {
    remedy.split("    #").next().unwrap_or_default().trim()
}

/// True if a remedy is a command of another program, whose flags are not ours.
fn is_a_command(remedy: &str) -> bool {
    let first = command(remedy).split_whitespace().next().unwrap_or_default();
    PROGRAMS.contains(&first)
}

/// A target of each sort: some flags are for one of them only.
const TARGETS: [&str; 3] = ["tcp://127.0.0.1:9000", "https://127.0.0.1:9000", "wss://127.0.0.1:9000"];

/// The plan of a run with this flag, or the mistakes in it.
fn plan_of(target: &str, typed: &[&str], remedy: &str) -> Result<(), String> {
    let words = [["connstorm", "run", target].as_slice(), typed].concat();
    let parsed = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{remedy}: {error}"));
    let Asked::Run(run) = &parsed.command else { panic!("{remedy}: no run") };
    read_plan(&run.what, &run.scenario.0).map(drop).map_err(|mistakes| mistakes.to_string())
}

fn argument<'c>(run: &'c Command, flag: &str) -> Option<&'c Arg> {
    run.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"))
}

#[test]
fn flags_in_remedies_are_ours_and_take_such_values() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let mut looked = 0;
    for remedy in remedies().iter().filter(|remedy| !is_a_command(remedy) && !remedy.contains(": ip ")) {
        let text = command(remedy);
        let words: Vec<&str> = text.split_whitespace().collect();
        for (at, word) in words.iter().enumerate().filter(|(_, word)| word.starts_with("--")) {
            let flag = word.trim_end_matches([',', ':', ';', '.', ')']);
            let arg = argument(run, flag).unwrap_or_else(|| panic!("`run` has no {flag}: {remedy}"));
            let mut typed = vec![flag];
            let is_last = flag.len() < word.len();
            if arg.get_action().takes_values() {
                let value = words
                    .get(at + 1)
                    .filter(|_| !is_last)
                    .map_or("", |next| next.trim_end_matches([',', ':', ';', ')']));
                let known = STANDS_FOR.iter().find(|(stands, _)| *stands == value);
                let value = known.map_or(value, |(_, value)| value);
                // A flag that is only spoken of.
                if !value.chars().any(|c| c.is_ascii_digit())
                    && known.is_none()
                    && !["rst", "fin", "peer", "explicit", "kernel"].contains(&value)
                {
                    continue;
                }
                typed.push(value);
            }
            let told: Vec<_> = TARGETS.iter().map(|target| plan_of(target, &typed, remedy)).collect();
            let is_one = told.iter().any(Result::is_ok) || typed.contains(&"file.pem");
            assert!(is_one, "{remedy}: {told:?}");
            looked += 1;
        }
    }
    assert!(looked > 10, "{looked}");
}

#[test]
fn commands_in_remedies_are_lines_that_a_shell_understands() {
    let mut looked = 0;
    for remedy in remedies().iter().filter(|remedy| is_a_command(remedy)) {
        let checked = std::process::Command::new("bash").args(["-n", "-c", remedy]).output().unwrap();
        assert!(checked.status.success(), "{remedy}: {}", String::from_utf8_lossy(&checked.stderr));
        looked += 1;
    }
    assert!(looked > 20, "{looked}");
}
