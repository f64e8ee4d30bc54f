//! The examples of docs/ci.md: every command in them is run as it stands there.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder that looks like a checkout, as far as the commands go.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(here.join("scenarios"), folder.path().join("scenarios")).unwrap();
    folder
}

fn shell(command: &str, folder: &Path) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_connstorm"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new("bash")
        .args(["-e", "-c", command])
        .env("PATH", path)
        .env("GITHUB_STEP_SUMMARY", folder.join("step-summary.md"))
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The lines of the document that begin with `connstorm`, by what follows that.
fn commands(which: &str) -> Vec<String> {
    let text = std::fs::read_to_string("docs/ci.md").unwrap();
    let line = |line: &str| line.trim().trim_start_matches("- ").to_owned();
    let found: Vec<String> =
        text.lines().map(line).filter(|line| line.starts_with(&format!("connstorm {which}"))).collect();
    assert!(!found.is_empty(), "no 'connstorm {which}' in docs/ci.md");
    found
}

#[test]
fn the_jobs_pass_and_leave_what_they_publish() {
    for command in commands("run") {
        let folder = checkout();
        let output = shell(&command, folder.path());
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
        let written = command.split_whitespace().zip(command.split_whitespace().skip(1));
        let outputs = ["--json", "--html", "--junit", "--summary", "--openmetrics"];
        let files: Vec<&str> =
            written.filter(|(flag, _)| outputs.contains(flag)).map(|(_, file)| file).collect();
        assert!(files.len() >= 4, "{command}");
        for file in files {
            let file = if file.contains("GITHUB") { "step-summary.md" } else { file };
            assert!(std::fs::metadata(folder.path().join(file)).unwrap().len() > 0, "{file}");
        }
    }
}

#[test]
fn the_comparison_of_a_job_runs() {
    for command in commands("compare") {
        let folder = checkout();
        for side in ["results/base", "results/new"] {
            std::fs::create_dir_all(folder.path().join(side)).unwrap();
            std::fs::copy("tests/data/good.json", folder.path().join(side).join("1.json")).unwrap();
        }
        let output = shell(&command, folder.path());
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
        assert!(folder.path().join("comparison.md").exists());
    }
}

/// The rows of the document's table: each scenario exits as it says there.
#[test]
fn each_scenario_exits_with_the_code_that_is_written_beside_it() {
    let text = std::fs::read_to_string("docs/ci.md").unwrap();
    let mut seen = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| `scenarios/ci/")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (scenario, code): (&str, i32) = (cells[1], cells[2].parse().unwrap());
        let folder = checkout();
        let output =
            shell(&format!("connstorm run {scenario} --junit junit.xml --json result.json"), folder.path());
        assert_eq!(output.status.code(), Some(code), "{scenario}: {output:?}");
        let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
        let expected = match code {
            0 => "failures=\"0\" errors=\"0\"",
            3 => "nothing-listens",
            _ => "<error ",
        };
        assert!(junit.contains(expected), "{scenario}: {junit}");
        seen.push(code);
    }
    assert_eq!(seen, [0, 3, 4]);
}
