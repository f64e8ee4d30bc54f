//! Gives the program the commit that it is built from, for `--version`; the version alone where that is not
//! known.
//!
//! `CONNSTORM_COMMIT` names it where there is no git: in a package of the source, for one.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CONNSTORM_COMMIT");
    let told = std::env::var("CONNSTORM_COMMIT").ok();
    let commit = told.or_else(from_git).filter(|commit| !commit.trim().is_empty());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let shown = commit.map_or(version.clone(), |commit| format!("{version} ({})", commit.trim()));
    println!("cargo::rustc-env=CONNSTORM_VERSION={shown}");
}

/// The commit of this package's own repository, not of one that the package was unpacked in.
fn from_git() -> Option<String> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")?;
    if !Path::new(&here).join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&here).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Built again when another commit is checked out.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
