//! Files that a package installs beside the program: version, completions, manual pages, schemas.

mod support;

use std::process::Command;
use support::storm::connstorm;

fn stdout(arguments: &[&str]) -> String {
    let output = connstorm().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_version_has_the_commit_where_there_is_one() {
    let version = stdout(&["--version"]);
    let expected = format!("connstorm {}", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&expected), "{version}");
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if std::path::Path::new(".git").exists()
        && let Ok(git) = git
        && git.status.success()
    {
        let commit = version.trim().strip_prefix(&expected).unwrap().trim();
        assert!(commit.starts_with('(') && commit.len() >= 12, "{version}");
    }
}

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let help = stdout(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What a command does may go on in the next line, further in.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"merge"), "{help}");
    let folder = tempfile::tempdir().unwrap();
    stdout(&["man", "--all", folder.path().to_str().unwrap()]);
    let bash = stdout(&["completions", "bash"]);
    for command in commands {
        let page = stdout(&["man", command]);
        assert!(page.contains(&format!("connstorm\\-{command}")), "{command}: {page}");
        assert!(folder.path().join(format!("connstorm-{command}.1")).exists(), "{command}");
        assert!(bash.contains(&format!("connstorm__{command}")) || bash.contains(command), "{command}");
    }
    let pages = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(pages.into_iter().all(|page| !page.to_string_lossy().contains("-help-")), "no page says nothing");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(&["completions", shell]).contains("connstorm"), "{shell}");
    }
}

#[test]
fn a_shell_takes_the_completions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connstorm.bash");
    std::fs::write(&file, stdout(&["completions", "bash"])).unwrap();
    let script = "source \"$0\"; COMP_WORDS=(connstorm run --thr); COMP_CWORD=2; _connstorm connstorm --thr run; echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", script]).arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("--threshold"), "{output:?}");
}

/// Words that bash offers for the last of these words.
fn completed(words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connstorm.bash");
    std::fs::write(&file, stdout(&["completions", "bash"])).unwrap();
    let script = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  _connstorm connstorm \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", script]).arg(&file).args(words).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn commands_flags_and_values_are_offered() {
    for (words, offered) in [
        (&["connstorm", "co"][..], "compare"),
        (&["connstorm", "met"], "metrics"),
        (&["connstorm", "run", "--thr"], "--threshold"),
        (&["connstorm", "find", "--at"], "--at-least"),
        (&["connstorm", "find", "--what", ""], "held"),
        (&["connstorm", "lab", "sh"], "shell"),
        (&["connstorm", "serve", "w"], "wss"),
        (&["connstorm", "run", "--color", ""], "never"),
        (&["connstorm", "completions", ""], "fish"),
    ] {
        let all = completed(words);
        assert!(all.iter().any(|word| word == offered), "{words:?}: {all:?}");
    }
}

/// What a shell says to a script about the file of its completions, whose name is `$1`, or `$argv[1]` in fish. `None` where
/// the shell is not installed.
fn said_by(shell: &str, options: &[&str], script: &str) -> Option<String> {
    if Command::new(shell).arg("--version").output().is_err() {
        println!("skipped: {shell} is not installed (Debian's package {shell})");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("_connstorm");
    std::fs::write(&file, stdout(&["completions", shell])).unwrap();
    let syntax = Command::new(shell).arg("-n").arg(&file).output().unwrap();
    assert!(syntax.status.success() && syntax.stderr.is_empty(), "{shell} -n: {syntax:?}");
    let mut command = Command::new(shell);
    command.args(options).args(["-c", script]);
    // zsh takes the word after the script for $0.
    command.args((shell == "zsh").then_some("zsh")).arg(&file).env("HOME", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn fish_offers_commands_flags_and_values() {
    for (line, offered) in [
        ("connstorm co", "compare"),
        ("connstorm run --thr", "--threshold"),
        ("connstorm lab sh", "shell"),
        ("connstorm run --color ", "never"),
    ] {
        let script = format!("source $argv[1]; complete -C '{line}'");
        let Some(said) = said_by("fish", &["--no-config"], &script) else { return };
        assert!(said.lines().any(|word| word.split('\t').next() == Some(offered)), "{line}: {said}");
    }
}

#[test]
fn zsh_loads_the_completions() {
    let script = "autoload -Uz compinit && compinit -D -u && source \"$1\" && \
                  print -r -- \"$_comps[connstorm]\" && whence -w _connstorm";
    let Some(said) = said_by("zsh", &["-f"], script) else { return };
    assert!(said.contains("_connstorm: function"), "{said}");
    assert!(said.lines().next() == Some("_connstorm"), "zsh asks it for this program: {said}");
}

/// A page that `man` can show: no warning of the formatter, and the sections that a reader looks for.
#[test]
fn a_manual_page_is_formatted_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    stdout(&["man", "--all", folder.path().to_str().unwrap()]);
    let groff = Command::new("groff").arg("--version").output();
    assert!(groff.is_ok(), "groff is missing: install Debian's package groff-base");
    let mut looked = 0;
    for page in std::fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let output = Command::new("groff")
            .args(["-k", "-man", "-Tutf8", "-ww", "-P-cbu"])
            .arg(&page)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty(), "{}: {}", page.display(), String::from_utf8_lossy(&output.stderr));
        for section in ["NAME", "SYNOPSIS", "OPTIONS"] {
            assert!(text.contains(section), "{}: no {section}", page.display());
        }
        looked += 1;
    }
    assert!(looked > 15, "{looked}");
}

#[test]
fn a_command_that_does_not_exist_has_no_page() {
    let output = connstorm().args(["man", "dance"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no command 'dance'"), "{output:?}");
}
