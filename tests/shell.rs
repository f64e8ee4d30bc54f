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

#[test]
fn a_command_that_does_not_exist_has_no_page() {
    let output = connstorm().args(["man", "dance"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no command 'dance'"), "{output:?}");
}
