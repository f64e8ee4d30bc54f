//! Holds the order of the house: who imports whom, and where `unsafe`, `libc`, the clock and printing live.
//!
//! The rules are read off the source text, without comments, strings and test modules. Each rule is shown
//! to catch a source that breaks it, further below.

mod rules;
mod tokens;

use rules::{File, LEVELS, LONGEST, MAY_BE_LONGER};
use std::path::{Path, PathBuf};

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<File> = sources(&root)
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            File::new(&name, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(files.len() > 10, "only {} source files were found below {}", files.len(), root.display());
    let violations = violations(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_exception_names_a_file() {
    for (path, reason) in MAY_BE_LONGER {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path).exists(), "{path} is gone");
        assert!(!reason.is_empty(), "{path} has no reason");
    }
}

/// Every `.rs` file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Violations in the files, leaving out those that hold nothing but another file's tests.
fn violations(files: &[File]) -> Vec<String> {
    let tests: Vec<&String> = files.iter().flat_map(|f| &f.test_files).collect();
    let is_test = |file: &File| {
        let stem = file.path().trim_end_matches(".rs").trim_end_matches("/mod");
        tests.iter().any(|t| stem == t.as_str() || stem.starts_with(&format!("{t}/")))
    };
    files.iter().filter(|file| !is_test(file)).flat_map(File::violations).collect()
}

/// The violations of one made-up file.
fn of(path: &str, source: &str) -> Vec<String> {
    violations(&[File::new(path, source)])
}

fn assert_caught(path: &str, source: &str, says: &str) {
    let found = of(path, source);
    assert_eq!(found.len(), 1, "{path}: {source}\n{found:#?}");
    assert!(found[0].contains(says), "'{}' does not say '{says}'", found[0]);
}

#[test]
fn an_import_upwards_is_caught() {
    assert_caught("linux/socket.rs", "use crate::engine::Worker;", "`engine`, which is above it");
    assert_caught("model/mod.rs", "fn f() { crate::protocol::sniff(); }", "`protocol`, which is above it");
    assert_caught("plan/plan.rs", "\nuse crate::{model, lab::x};", "plan.rs:2: `plan` imports `lab`");
    assert_caught("model/pool/leases.rs", "use super::super::super::cli::Args;", "`cli`");
    assert_caught("model/mod.rs", "use super::cli::Args;", "`cli`");
    assert_caught("model/errno.rs", "macro_rules! m { () => { $crate::linux::f() } }", "`linux`");
    assert_caught("model/tally.rs", "mod inner { use super::super::super::report::Json; }", "`report`");
}

#[test]
fn an_import_sideways_is_caught() {
    assert_caught("engine/mod.rs", "use crate::report::Style;", "of the same level");
    assert_caught("server/sink.rs", "use crate::result::RunResult;", "of the same level");
    assert_caught(
        "protocol/sniff.rs",
        "use crate::{model::{Lease, Record}, linux::clock::Clock};",
        "same level",
    );
}

#[test]
fn the_root_of_the_crate_is_no_way_round() {
    assert_caught("engine/mod.rs", "use crate::*;", "from the crate's root");
    assert_caught("engine/mod.rs", "use crate::{self as all};", "from the crate's root");
    assert_caught("helpers/mod.rs", "", "`helpers` has no place");
    assert_caught("helpers.rs", "", "`helpers` has no place");
}

#[test]
fn imports_downwards_and_at_home_are_free() {
    for (path, source) in [
        (
            "cli/run.rs",
            "use crate::engine; use crate::report::{json::{self, Model}, text}; pub(crate) fn f() {}",
        ),
        ("engine/worker.rs", "use super::pacer::Pacer; use crate::{model::*, linux::clock::Clock};"),
        ("linux/a/b.rs", "use super::super::fd_table; mod c { use super::super::x; }"),
        ("main.rs", "use connstorm::cli;"),
        ("lib.rs", "pub mod cli; pub use crate::engine::run;"),
    ] {
        assert_eq!(of(path, source), Vec::<String>::new(), "{path}");
    }
    let levels: Vec<&str> = LEVELS.iter().flat_map(|level| level.iter().copied()).collect();
    assert_eq!(levels.len(), 18, "{levels:?}");
}

#[test]
fn unsafe_and_libc_stay_in_linux() {
    assert_caught("engine/worker.rs", "fn f() { unsafe { g() } }", "`unsafe` belongs in src/linux/");
    assert_caught("model/ports.rs", "const MAX: i32 = libc::SOMAXCONN;", "`libc` belongs in src/linux/");
    assert_eq!(of("linux/socket.rs", "fn f() { unsafe { libc::close(3); } }"), Vec::<String>::new());
    assert_eq!(of("engine/mod.rs", "// unsafe\nconst A: &str = \"libc\";"), Vec::<String>::new());
}

#[test]
fn the_clock_stays_in_its_module() {
    assert_caught("engine/pacer.rs", "fn f() { tokio::time::Instant::now(); }", "linux/clock.rs");
    assert_caught("linux/socket.rs", "use std::time::{Duration, SystemTime};", "linux/clock.rs");
    assert_eq!(of("linux/clock.rs", "use std::time::{Instant, SystemTime};"), Vec::<String>::new());
}

#[test]
fn printing_stays_in_cli_and_report() {
    for source in [
        "fn f() { println!(\"x\"); }",
        "fn f() { std::eprint!(\"x\"); }",
        "fn f() { std::io::stdout().lock(); }",
        "fn f() { stderr().flush(); }",
    ] {
        assert_caught("engine/mod.rs", source, "belongs in src/cli/ or src/report/");
        assert_caught("main.rs", source, "belongs in src/cli/ or src/report/");
        assert_eq!(of("cli/run.rs", source), Vec::<String>::new());
        assert_eq!(of("report/text.rs", source), Vec::<String>::new());
    }
    assert_eq!(of("lab/shell.rs", "fn f(c: C) { c.stdout(Stdio::null()); }"), Vec::<String>::new());
}

#[test]
fn a_file_that_is_too_long_is_caught() {
    assert_caught("engine/mod.rs", &"fn f() {}\n".repeat(LONGEST + 1), "451 lines, 450 at most");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(LONGEST));
    assert_eq!(of("engine/mod.rs", &format!("fn a() {{}}\n{tests}")), Vec::<String>::new());
}

#[test]
fn tests_may_do_as_they_like() {
    let tests =
        "#[cfg(test)] mod tests { use crate::cli::x; use std::time::Instant; fn f() { println!(); } }";
    assert_eq!(of("model/mod.rs", tests), Vec::<String>::new());
    let files = [
        File::new("model/mod.rs", "#[cfg(test)] mod tests;"),
        File::new("model/tests.rs", "use crate::cli::x;"),
        File::new("model/tests/more.rs", "use crate::cli::x;"),
    ];
    assert_eq!(violations(&files), Vec::<String>::new());
    let files = [File::new("model/mod.rs", "mod tests;"), File::new("model/tests.rs", "use crate::cli::x;")];
    assert_eq!(violations(&files).len(), 1);
}
