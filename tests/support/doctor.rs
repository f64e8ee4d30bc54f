//! `connstorm doctor` and its findings as JSON, and what tests of causes share.

use super::bound_to_us;
use super::storm::connstorm;
use serde_json::Value;
use std::process::{Command, Stdio};

/// Variables that would make proxies of the tester's own a finding.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The command `connstorm doctor`, without proxies.
pub(crate) fn doctor() -> Command {
    let mut command = connstorm();
    PROXIES.iter().for_each(|name| _ = command.env_remove(name));
    command.arg("doctor").stdin(Stdio::null());
    command
}

/// Findings about a target; the arguments are separated by white space.
pub(crate) fn examine(arguments: &str) -> Value {
    let mut command = doctor();
    command.args(arguments.split_whitespace());
    result(command)
}

/// Runs a doctor that was prepared.
pub(crate) fn result(mut command: Command) -> Value {
    let output = command.args(["--json", "-"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    let found = !result["findings"].as_array().unwrap().is_empty();
    assert_eq!(output.status.code(), Some(if found { 3 } else { 0 }), "{errors}");
    result
}

/// A doctor that sees other files in /etc: pairs of a path and its text.
pub(crate) fn with_files(files: &[(&str, &str)], arguments: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::new();
    for (number, (path, text)) in files.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, text).unwrap();
        script.push_str(&format!("mount --bind {} {path} && ", file.display()));
    }
    script.push_str(&format!("exec {} doctor {arguments} --json -", env!("CARGO_BIN_EXE_connstorm")));
    let mut command = bound_to_us("unshare");
    PROXIES.iter().for_each(|name| _ = command.env_remove(name));
    let output = command.args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"))
}

/// The first finding, its certainty, and every finding that is proved.
pub(crate) fn findings(result: &Value) -> (String, String, Vec<String>) {
    let all = result["findings"].as_array().unwrap();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let proved =
        all.iter().filter(|finding| finding["certainty"] == "proved").map(|f| text(f, "id")).collect();
    let first = all.first();
    (
        first.map(|f| text(f, "id")).unwrap_or_default(),
        first.map(|f| text(f, "certainty")).unwrap_or_default(),
        proved,
    )
}

/// The cause is named first and proved, and nothing else is.
#[track_caller]
pub(crate) fn proves_only(result: &Value, id: &str) {
    let wanted = (id.to_owned(), "proved".to_owned(), vec![id.to_owned()]);
    assert_eq!(findings(result), wanted, "{:#}", result["findings"]);
}

/// The cause is named first, with less than a proof, and nothing is proved.
#[track_caller]
pub(crate) fn suggests(result: &Value, id: &str, certainty: &str) {
    let wanted = (id.to_owned(), certainty.to_owned(), vec![]);
    assert_eq!(findings(result), wanted, "{:#}", result["findings"]);
}

/// Runs a command of the system, which has to succeed.
#[track_caller]
pub(crate) fn sh(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split_whitespace()).status();
    let status = status.unwrap_or_else(|error| panic!("{}", super::missing(program, program, &error)));
    assert!(status.success(), "{program} {arguments}: {status}");
}

/// Puts a rule into the input chain of a table of its own.
#[track_caller]
pub(crate) fn on_input(rule: &str) {
    sh("nft", "add table inet t");
    sh("nft", "add chain inet t in { type filter hook input priority 0 ; }");
    sh("nft", &format!("add rule inet t in {rule}"));
}
