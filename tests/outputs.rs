//! The outputs of a run as a user meets them: one file a format, whatever happens to the run.

mod support;

use connstorm::protocol::{Behaviour, Kind};
use connstorm::result::RunResult;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use support::storm::connstorm;
use support::targets;
use tempfile::TempDir;

const FORMATS: [(&str, &str); 7] = [
    ("json", "{\n  \"schema_version\": 1"),
    ("html", "<!doctype html>"),
    ("junit", "<?xml"),
    ("summary", "## "),
    ("hlog", "#[Histogram log format"),
    ("openmetrics", "# HELP connstorm_run "),
    ("csv", "from_s,to_s,planned,"),
];

fn arguments(folder: &TempDir) -> Vec<String> {
    let flag = |format: &str| [format!("--{format}"), path(folder, format)];
    FORMATS.iter().flat_map(|(format, _)| flag(format)).collect()
}

fn path(folder: &TempDir, format: &str) -> String {
    folder.path().join(format).to_str().unwrap().to_owned()
}

#[track_caller]
fn assert_all_are_written(folder: &TempDir) {
    for (format, begins) in FORMATS {
        let text = std::fs::read_to_string(folder.path().join(format)).unwrap();
        assert!(text.starts_with(begins), "{format}: {}", &text[..text.len().min(200)]);
        assert!(text.ends_with('\n') || format == "html", "{format} has its end");
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    connstorm().args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn each_format_goes_to_its_file_and_a_saved_result_renders_the_same() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let output = connstorm()
        .args(["run", &format!("tcp://{address}"), "--connections", "200", "--concurrency", "4"])
        .args(arguments(&folder))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_all_are_written(&folder);

    let again = tempfile::tempdir().unwrap();
    let output =
        connstorm().arg("report").arg(folder.path().join("json")).args(arguments(&again)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (format, _) in FORMATS {
        let text = |folder: &TempDir| std::fs::read_to_string(folder.path().join(format)).unwrap();
        assert!(text(&folder) == text(&again), "{format} differs");
    }
    let result = RunResult::from_json(&std::fs::read_to_string(folder.path().join("json")).unwrap()).unwrap();
    assert_eq!(result.counts.ok, 200);
    let shown = run(&["report", &path(&folder, "json")]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("200 connections, none failed"));
}

#[test]
fn a_run_that_is_cut_short_writes_them_all() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "200/s", "--duration", "60s", "--quiet"])
        .args(["--lifetime", "until-end"])
        .args(arguments(&folder))
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1300));
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert_all_are_written(&folder);
    assert_eq!(json(&folder.path().join("json"))["verdict"], "interrupted");
    let junit = std::fs::read_to_string(folder.path().join("junit")).unwrap();
    assert!(
        junit.contains("<error ") && junit.contains("interrupted"),
        "no success for a CI server: {junit}"
    );
}

#[test]
fn a_condition_ends_the_run_as_failed_and_everything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens: every attempt fails, and a minute of that would tell no more than a second.
    let output = connstorm()
        .args(["run", "tcp://127.0.0.1:1", "--rate", "50/s", "--duration", "60s"])
        .args(["--abort-when", "failed.ratio > 50%"])
        .args(arguments(&folder))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_all_are_written(&folder);
    let result = json(&folder.path().join("json"));
    assert!(result["aborted"].as_str().unwrap().contains("failed.ratio is 100 %"), "{}", result["aborted"]);
    assert!(result["counts"]["started"].as_u64().unwrap() < 1000, "{}", result["counts"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ended early: failed.ratio is 100 %"), "{text}");
}

#[test]
fn one_output_may_be_standard_output_and_two_may_not() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let url = format!("tcp://{address}");
    let args = ["run", &url, "--connections", "3", "--concurrency", "1"];
    let output = run(&[&args[..], &["--junit", "-"]].concat());
    assert!(output.stdout.starts_with(b"<?xml"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 connections"), "the summary makes room");
    let output = run(&[&args[..], &["--junit", "-", "--json", "-"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("two results can't both go to '-'"),
        "{output:?}"
    );
    let output = run(&[&args[..], &["--csv", "/no/such/folder/x.csv"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/folder/x.csv"), "{output:?}");
}

#[test]
fn what_is_no_result_is_not_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    std::fs::write(&other, "{\"schema_version\": 7, \"connstorm_version\": \"9.9.9\"}").unwrap();
    let output = run(&["report", other.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("other.json") && text.contains("schema_version is 7") && text.contains("9.9.9"),
        "{text}"
    );
    assert_eq!(run(&["report", "/no/such.json"]).status.code(), Some(2));
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map(|_| text)
}

#[test]
fn figures_can_be_had_while_the_run_goes_on() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "100/s", "--duration", "20s", "--quiet"])
        .args(["--listen", &free.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A client that says nothing holds up neither the run nor, for more than a second, the next client.
    let limit = Instant::now() + Duration::from_secs(15);
    let text = loop {
        match get(free, "/metrics") {
            // The look at the kernel comes after the window that it belongs to.
            Ok(text) if text.contains("connstorm_ports_in_use") => break text,
            other => assert!(Instant::now() < limit, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _silent = TcpStream::connect(free).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let started: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("connstorm_started_total "))
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    assert!(started > 0, "{text}");
    for part in
        ["connstorm_open_connections", "connstorm_latency_seconds_bucket{le=", "connstorm_ports_in_use"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(get(free, "/nothing").unwrap().starts_with("HTTP/1.1 404"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

#[test]
fn an_address_that_is_taken_is_told_before_the_run() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        run(&["run", "tcp://127.0.0.1:1", "--connections", "1", "--concurrency", "1", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address), "{output:?}");
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_that_cannot_begin_leaves_the_earlier_files_whole() {
    let folder = tempfile::tempdir().unwrap();
    for (format, _) in FORMATS {
        std::fs::write(folder.path().join(format), "of yesterday").unwrap();
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = connstorm()
        .args(["run", "tcp://127.0.0.1:1", "--connections", "1", "--concurrency", "1", "--listen", &listen])
        .args(arguments(&folder))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for (format, _) in FORMATS {
        assert_eq!(std::fs::read_to_string(folder.path().join(format)).unwrap(), "of yesterday", "{format}");
    }
    assert_eq!(names(&folder).len(), FORMATS.len(), "{:?}", names(&folder));
}

#[test]
fn after_a_kill_the_earlier_result_is_whole_and_the_last_windows_are_beside_it() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let folder = tempfile::tempdir().unwrap();
    let json = path(&folder, "r.json");
    std::fs::write(&json, "of yesterday").unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "100/s", "--duration", "60s", "--quiet"])
        .args(["--json", &json])
        .spawn()
        .unwrap();
    let partial = folder.path().join("r.json.partial");
    let read = || RunResult::from_json(&std::fs::read_to_string(&partial).ok()?).ok();
    let several = || read().is_some_and(|result| result.windows.len() >= 2);
    assert!(support::eventually(true, several), "{:?}", names(&folder));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "of yesterday");
    let left = read().unwrap();
    assert!(left.counts.started > 0 && left.began_unix_us > 0, "{:?}", left.counts);
    let shown = run(&["report", partial.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("interrupted") && text.contains("did not come to its end"), "{text}");

    // The next run takes it away, and its result can be read by its owner alone.
    std::fs::remove_file(&json).unwrap();
    let next = run(&[
        "run",
        &format!("tcp://{address}"),
        "--connections",
        "3",
        "--concurrency",
        "1",
        "--json",
        &json,
    ]);
    assert_eq!(next.status.code(), Some(0), "{next:?}");
    assert_eq!(names(&folder), ["r.json"]);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&json).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn two_names_of_one_file_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (a, hard, soft) = (path(&folder, "a"), path(&folder, "hard"), path(&folder, "soft"));
    let scenario = path(&folder, "s.toml");
    std::fs::write(&a, "kept").unwrap();
    std::fs::hard_link(&a, &hard).unwrap();
    std::os::unix::fs::symlink("a", &soft).unwrap();
    let text = "[target]\nurl = \"tcp://127.0.0.1:1\"\n[load]\nconnections = 1\nclosed = { slots = 1 }\n";
    std::fs::write(&scenario, text).unwrap();
    let cases = [
        (vec!["run", &scenario, "--json", &a, "--html", &hard], "both go to"),
        (vec!["run", &scenario, "--json", &soft, "--csv", &a], "both go to"),
        (vec!["run", &scenario, "--json", "-", "--csv", "/dev/stdout"], "both go to"),
        (vec!["run", &scenario, "--json", &scenario], "is read"),
        (vec!["report", &soft, "--html", &hard], "is read"),
        (vec!["compare", &a, &hard, "--json", &soft], "is read"),
        (vec!["merge", &a, &hard, "--summary", &soft], "is read"),
    ];
    for (arguments, says) in cases {
        let output = run(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(says), "{arguments:?}: {told}");
        assert_eq!(std::fs::read_to_string(&a).unwrap(), "kept", "{arguments:?}");
        assert_eq!(std::fs::read_to_string(&scenario).unwrap(), text, "{arguments:?}");
    }
}

#[test]
fn a_pipe_takes_a_result_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = path(&folder, "pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    let output = run(&["report", "tests/data/good.json", "--csv", &pipe]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(reader.join().unwrap().starts_with("from_s,to_s"));
    let output = run(&["report", "tests/data/good.json", "--csv", "/dev/null", "--html", "/dev/null"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_disk_that_is_full_leaves_the_earlier_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let json = path(&folder, "r.json");
    std::fs::write(&json, "of yesterday").unwrap();
    // A limit on the size of files is a full disk to whoever writes them.
    let script =
        format!("trap '' XFSZ; ulimit -f 4; exec \"$0\" report tests/data/exhausted.json --json {json}");
    let output = std::process::Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_connstorm")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "of yesterday");
    assert_eq!(names(&folder), ["r.json"]);
}

/// A scenario with a secret in every place where people put one.
const WITH_SECRETS: &str = r#"
name = "job ${CI_TOKEN}"
[target]
url = "ws://127.0.0.1:PORT/chat?access_token=SECRET-query"
headers = { X-Auth-Token = "${CI_TOKEN}", PRIVATE-TOKEN = "SECRET-gitlab", Authorization = "Bearer SECRET-bearer" }
subprotocols = ["base64url.bearer.authorization.k8s.io.SECRET-k8s"]
[messages]
send = '{"login":"me","password":"SECRET-message"}'
[load]
connections = 2
closed = { slots = 1, duration = "2s" }
"#;

/// Answers every connection with what it said itself: what we said comes back to us.
fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut said = [0; 4096];
            let read = stream.read(&mut said).unwrap_or(0);
            let body = String::from_utf8_lossy(&said[..read]).replace(['\r', '\n'], " ");
            let _ =
                write!(stream, "HTTP/1.1 403 no SECRET-env\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn no_output_holds_a_secret_even_where_the_peer_repeats_it() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = path(&folder, "s.toml");
    std::fs::write(&scenario, WITH_SECRETS.replace("PORT", &parrot().port().to_string())).unwrap();
    let storm = |more: &[&str]| {
        connstorm()
            .env("CI_TOKEN", "SECRET-env")
            .args(["run", &scenario, "--progress", "never"])
            .args(more)
            .args(arguments(&folder))
            .output()
            .unwrap()
    };
    let output = storm(&[]);
    let shown = |output: &Output| {
        let mut shown = vec![
            ("stdout", String::from_utf8_lossy(&output.stdout).into_owned()),
            ("stderr", String::from_utf8_lossy(&output.stderr).into_owned()),
        ];
        shown.extend(
            FORMATS.map(|(format, _)| (format, std::fs::read_to_string(folder.path().join(format)).unwrap())),
        );
        shown
    };
    for (what, text) in shown(&output) {
        let secrets: Vec<&str> =
            text.match_indices("SECRET").map(|(at, _)| &text[at..(at + 20).min(text.len())]).collect();
        assert!(secrets.is_empty(), "{what}: {secrets:?}");
    }
    let result = json(&folder.path().join("json"));
    assert!(result["failures"][0]["count"].as_u64() >= Some(2), "{result}");
    assert!(result["failures"][0]["samples"][0]["reply"].to_string().contains("(redacted)"), "{result}");
    // Nor does what is written while a run goes on.
    let mut process = connstorm()
        .env("CI_TOKEN", "SECRET-env")
        .args(["run", &scenario, "--duration", "30s", "--connections", "100000", "--quiet"])
        .args(["--json", &path(&folder, "live")])
        .spawn()
        .unwrap();
    let partial = folder.path().join("live.partial");
    let told = || std::fs::read_to_string(&partial).is_ok_and(|text| text.contains("\"reply\""));
    assert!(support::eventually(true, told));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!std::fs::read_to_string(&partial).unwrap().contains("SECRET"));
    // And with the flag, everything is there.
    let output = storm(&["--show-secrets"]);
    let text = &shown(&output)[2].1;
    for secret in ["query", "env", "gitlab", "bearer", "k8s", "message"] {
        assert!(text.contains(&format!("SECRET-{secret}")), "{secret}");
    }
}

#[test]
fn an_error_quotes_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = path(&folder, "s.toml");
    std::fs::write(&scenario, "[target]\nurl = \"ws://h:1\"\nheaders = { A = \"${T}\", \"B C\" = \"x\" }\n[load]\nrate = \"${T}\"\n").unwrap();
    let cases: [&[&str]; 8] = [
        &["ws://127.0.0.1:9/", "--auth", "basic(SECRET-flag)"],
        &["ws://127.0.0.1:9/", "--auth", "digest(user:SECRET-flag)"],
        &["ws://127.0.0.1:9/", "--header", "X Y: SECRET-header"],
        &["ws://127.0.0.1:9/", "--header", "X-Y: SECRET-head\u{7}er"],
        &["ws://u:SECRET-url@/"],
        &["wss://h:99999/?token=SECRET-query"],
        &[
            "ws://u:SECRET-a-very-long-password-that-is-longer-than-eighty-characters-and-so-is-cut-somewhere@/",
        ],
        &[&scenario],
    ];
    for arguments in cases {
        let output = connstorm().env("T", "SECRET-\u{7}env").arg("run").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(!text.contains("SECRET"), "{arguments:?}: {text}");
    }
    let doctor: [&[&str]; 2] =
        [&["ws://u:SECRET-url@/"], &["ws://127.0.0.1:9/", "--header", "X Y: SECRET-header"]];
    for arguments in doctor {
        let output = connstorm().arg("doctor").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(!text.contains("SECRET") && text.contains("(redacted)"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_silent_scraper_delays_nobody_and_the_figures_never_say_that_it_passed() {
    let (_target, address) = targets::start(Kind::Tcp, Behaviour::Echo);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut process = connstorm()
        .args(["run", &format!("tcp://{address}"), "--rate", "100/s", "--duration", "30s", "--quiet"])
        .args(["--listen", &free.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let answers = || get(free, "/metrics").is_ok_and(|text| text.contains("connstorm_started_total"));
    assert!(support::eventually(true, answers));
    // More than are answered side by side, and each says nothing.
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(free).unwrap()).collect();
    let began = Instant::now();
    for _ in 0..20 {
        let text = get(free, "/metrics").unwrap();
        assert!(text.contains("verdict=\"running\"") && !text.contains("passed\""), "{text}");
    }
    // One after the other they would take minutes: no duration of ours is asserted beyond that.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(silent);
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

#[test]
fn no_error_lets_through_what_a_file_or_its_name_holds() {
    let folder = tempfile::tempdir().unwrap();
    let name = path(&folder, "a\u{1b}[2J\nall passed\u{9b}\u{202e}.toml");
    std::fs::write(&name, "name = \"x\u{1b}[31my\u{9b}z\"\nfoo\u{202e} = 1\n").unwrap();
    for arguments in [
        vec!["run", &name],
        vec!["report", &name],
        vec!["compare", &name, &name],
        vec!["merge", &name, &name],
    ] {
        for colour in ["never", "auto"] {
            let output = connstorm().args(&arguments).args(["--color", colour]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {text}");
            let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(harmful), "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("all passed")), "{arguments:?}: {text}");
        }
    }
}
