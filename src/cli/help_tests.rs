//! The texts of `--help`: examples that survive a paste, and a default for every flag.

use super::run::read_plan;
use super::{Cli, Command as Asked};
use crate::plan::Overrides;
use clap::{ArgAction, Command, CommandFactory, Parser};
use std::fmt::Write;

/// Columns of the narrowest terminal that is reckoned with.
const NARROW: usize = 80;

/// Every command that a user can give, with its path of names.
fn commands() -> Vec<(String, Command)> {
    fn gather(path: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((path.to_owned(), command.clone()));
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            gather(&format!("{path} {}", inner.get_name()), inner, found);
        }
    }
    let mut found = Vec::new();
    let mut program = Cli::command();
    program.build();
    gather("connstorm", &program, &mut found);
    found
}

/// The examples of a command, as a narrow terminal shows them.
fn examples(command: &Command) -> Vec<String> {
    let help = command.clone().term_width(NARROW).max_term_width(NARROW).render_long_help().to_string();
    let Some((_, rest)) = help.split_once("\nExamples:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
    lines.map(str::to_owned).collect()
}

/// The arguments of each `connstorm` in a script, as the shell hands them over.
fn handed_over(script: &str) -> Vec<Vec<String>> {
    let mut whole = "connstorm() { printf '%s\\001' \"$@\"; printf '\\002'; }\nset -e\n".to_owned();
    // What reads or takes the output of connstorm is not there, and is not what is tried.
    whole += "jq() { cat; }; man() { cat; }; sudo() { \"$@\"; }; docker() { echo 1; }; fpath=(/dev); GITHUB_STEP_SUMMARY=summary.md\n";
    for line in script.lines() {
        // Redirected output would go to files.
        let line = line.split("> ").next().unwrap_or(line);
        let _ = writeln!(whole, "{line}");
    }
    let output = std::process::Command::new("bash").args(["-c", &whole]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{whole}\n{}", String::from_utf8_lossy(&output.stderr));
    let calls = told.split('\u{2}').filter(|call| !call.is_empty());
    calls.map(|call| call.split_terminator('\u{1}').map(str::to_owned).collect()).collect()
}

/// True if a scenario, or a target with flags, can be run.
fn assert_is_a_plan(what: &str, flags: &Overrides) {
    // What another program writes is taken to be what it reads.
    let what = if what == "-" { "scenarios/first-run.toml" } else { what };
    if let Err(mistakes) = read_plan(what, flags) {
        panic!("{what}: {mistakes}");
    }
}

#[test]
fn examples_survive_a_paste() {
    let mut looked = 0;
    for (path, command) in commands() {
        let lines = examples(&command);
        for line in &lines {
            assert!(line.chars().count() < NARROW, "{path}: a narrow terminal breaks '{line}'");
        }
        for arguments in handed_over(&lines.join("\n")) {
            let line = arguments.join(" ");
            let words = std::iter::once("connstorm".to_owned()).chain(arguments);
            let Cli { command, .. } =
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{path}: {line}: {error}"));
            match &command {
                Asked::Run(run) => assert_is_a_plan(&run.what, &run.scenario.0),
                Asked::Find(find) => assert_is_a_plan(&find.what, &find.scenario.0),
                _ => {}
            }
            looked += 1;
        }
    }
    assert!(looked > 40, "{looked}");
}

#[test]
fn every_command_has_an_example() {
    for (path, command) in commands() {
        let is_of_commands = command.has_subcommands() && command.get_positionals().count() == 0;
        let is_one_more =
            ["connstorm serve https", "connstorm serve wss", "connstorm lab list"].contains(&path.as_str());
        assert!(is_of_commands || is_one_more || !examples(&command).is_empty(), "{path}");
    }
}

#[test]
fn every_flag_with_a_value_tells_what_holds_without_it() {
    for (path, command) in commands() {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()) {
            if !matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) || arg.is_required_set() {
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            // Without a flag of an output nothing is written.
            let is_told = help.starts_with("Write ")
                || help.contains("default: ")
                || !arg.get_default_values().is_empty();
            assert!(is_told, "{path} --{}: {help}", arg.get_id());
        }
    }
}
