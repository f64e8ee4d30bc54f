//! Every command line of the README and of docs/ is run as it stands there, in a network namespace with the servers
//! that the texts speak of: a WebSocket echo server on port 9001.

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::namespace::Namespace;
use support::{bound_to_us, eventually};
use tempfile::TempDir;

/// Command lines that a test can't run, each with the reason.
const NOT_RUN: [(&str, &str); 3] = [
    ("connstorm run scenarios/one-million-websockets.toml", "a million connections, 16 GiB"),
    ("connstorm compare results/base", "tests/ci_examples.rs runs it"),
    (
        "connstorm run scenarios/ci/passes.toml --json result.json --html report.html --junit junit.xml --summary",
        "tests/ci_examples.rs runs it",
    ),
];
/// Longest time of one line; it is interrupted then, as by Ctrl-C.
const LONGEST: Duration = Duration::from_secs(60);
/// Time that a server gets, which would run for ever.
const SERVES: Duration = Duration::from_secs(1);

/// The command lines in the blocks of a document: fenced as `sh`, or indented.
fn command_lines(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let mut fence: Option<String> = None;
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(language) = trimmed.strip_prefix("```") {
            fence = fence.is_none().then(|| language.to_owned());
            continue;
        }
        let is_block = match &fence {
            Some(language) => language == "sh",
            None => line.starts_with("    "),
        };
        if !is_block {
            continue;
        }
        match found.last_mut() {
            Some(open) if open.ends_with('\\') => {
                open.pop();
                open.push_str(trimmed);
            }
            _ => found.push(trimmed.to_owned()),
        }
    }
    found.retain(|line| {
        line.starts_with("connstorm ") || line.starts_with("cargo ") || line.starts_with("scripts/")
    });
    found
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_connstorm"))
}

fn server(kind: &str, address: &str) -> Child {
    let mut server = bound_to_us(program().to_str().unwrap())
        .args(["serve", kind, "--listen", address])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_up = eventually(true, || std::net::TcpStream::connect(address).is_ok());
    assert!(is_up, "no server at {address}: {:?}", server.try_wait());
    server
}

/// A folder that looks like a checkout, as far as the command lines go.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"),
        folder.path().join("scenarios"),
    )
    .unwrap();
    folder
}

/// Runs a line in a shell; gives its exit code and what it printed. It is interrupted when its time is over.
fn run(line: &str, folder: &Path, longest: Duration) -> (Option<i32>, String) {
    let path = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let log = folder.join("log");
    let file = std::fs::File::create(&log).unwrap();
    // `exec` where it is one command: the interrupt is then for connstorm, not for the shell.
    let script = if line.contains(';') { line.to_owned() } else { format!("exec {line}") };
    let mut child = bound_to_us("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let limit = Instant::now() + longest;
    let mut interrupted = false;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > limit && !interrupted {
            interrupted = true;
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        }
        if Instant::now() > limit + Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut told = String::new();
    std::fs::File::open(log).unwrap().read_to_string(&mut told).unwrap();
    (code, told)
}

/// The exit codes that a line may have.
fn allowed(line: &str) -> &'static [i32] {
    match line.split_whitespace().nth(1) {
        // A cause of trouble may be found on the machine that runs the tests.
        Some("doctor") => &[0, 3],
        // 4: a machine that is busy with other tests is the limit, and said so.
        Some("run") => &[0, 4],
        // 130: interrupted when its time was over, and the report was written.
        Some("find") => &[0, 4, 130],
        Some("serve") => &[0, 130],
        // 5: a busy machine makes a run's own windows too noisy to compare, and said so.
        Some("compare") => &[0, 5],
        _ => &[0],
    }
}

/// Runs the lines of these documents that `chosen` chooses; each has to end as it should.
fn all_run(documents: &[&str], chosen: impl Fn(&str) -> bool) {
    let mut server = server("ws", "127.0.0.1:9001");
    let folder = checkout();
    let mut count = 0;
    for document in documents {
        for line in command_lines(document) {
            if !line.starts_with("connstorm ")
                || NOT_RUN.iter().any(|(begin, _)| line.starts_with(begin))
                || !chosen(&line)
            {
                continue;
            }
            count += 1;
            let is_server = line.starts_with("connstorm serve ");
            let (code, told) = run(&line, folder.path(), if is_server { SERVES } else { LONGEST });
            println!("{code:?}  {line}");
            assert!(
                code.is_some_and(|code| allowed(&line).contains(&code)),
                "{document}: {line}: {code:?}\n{told}"
            );
            assert!(!is_server || told.contains("listening"), "{line}: {told}");
        }
    }
    assert!(count > 0, "no command line was found");
    let _ = server.kill();
    let _ = server.wait();
}

fn is_slow(line: &str) -> bool {
    line.contains(" lab ") || line.contains(" find ")
}

#[test]
fn the_readmes_uses_work_as_pasted() {
    Namespace::of("the_readmes_uses_work_as_pasted").run(|| all_run(&["README.md"], |line| !is_slow(line)));
}

#[test]
fn the_readmes_experiments_work_as_pasted() {
    Namespace::of("the_readmes_experiments_work_as_pasted")
        .run(|| all_run(&["README.md"], |line| line.contains(" lab ")));
}

#[test]
fn the_readmes_searches_work_as_pasted() {
    Namespace::of("the_readmes_searches_work_as_pasted")
        .run(|| all_run(&["README.md"], |line| line.contains(" find ")));
}

#[test]
fn the_pages_about_errors_work_as_pasted() {
    let pages = [
        "docs/errors/index.md",
        "docs/errors/cannot-assign-requested-address.md",
        "docs/errors/connection-refused.md",
        "docs/errors/connection-timeout.md",
        "docs/errors/handshake.md",
    ];
    Namespace::of("the_pages_about_errors_work_as_pasted").run(|| all_run(&pages, |_| true));
}

#[test]
fn the_how_tos_work_as_pasted() {
    let pages = [
        "docs/howto/nginx.md",
        "docs/howto/kubernetes.md",
        "docs/howto/nat-gateway.md",
        "docs/howto/editor.md",
        "docs/howto/many-machines.md",
    ];
    Namespace::of("the_how_tos_work_as_pasted").run(|| all_run(&pages, |_| true));
}

/// The scenario of docs/ci.md, with which a stranger begins.
#[test]
fn the_scenario_of_the_gate_for_ci_passes() {
    Namespace::of("the_scenario_of_the_gate_for_ci_passes").run(|| {
        let text = std::fs::read_to_string("docs/ci.md").unwrap();
        let (_, rest) = text.split_once("```toml\n").unwrap();
        let (scenario, _) = rest.split_once("```").unwrap();
        let folder = checkout();
        std::fs::write(folder.path().join("chat.toml"), scenario).unwrap();
        let mut server = server("ws", "127.0.0.1:9001");
        let (code, told) = run("connstorm run chat.toml", folder.path(), LONGEST);
        let _ = server.kill();
        let _ = server.wait();
        assert!(matches!(code, Some(0 | 4)), "{code:?}: {told}");
    });
}

#[test]
fn the_two_commands_for_a_fresh_machine_are_there() {
    let lines = command_lines("README.md");
    assert!(lines.iter().any(|line| line == "scripts/test"));
    let first = lines.iter().find(|line| line.starts_with("cargo run ")).unwrap();
    let (_, arguments) = first.split_once(" -- ").unwrap();
    let folder = checkout();
    let (code, told) = run(&format!("connstorm {arguments}"), folder.path(), LONGEST);
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {told}");
    for script in lines.iter().filter(|line| line.starts_with("scripts/")) {
        let script = script.split_whitespace().next().unwrap();
        assert!(Path::new(script).exists(), "{script}");
    }
}

#[test]
fn what_is_not_run_is_still_in_the_documents() {
    let documents = ["README.md", "docs/ci.md", "docs/scaling.md"];
    let text: String = documents.iter().map(|document| std::fs::read_to_string(document).unwrap()).collect();
    for (line, why) in NOT_RUN {
        assert!(text.contains(line), "{line} ({why}) is in no document any more");
    }
}
