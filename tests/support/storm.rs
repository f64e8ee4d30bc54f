//! connstorm itself, as a user runs it, and its result as JSON.

use super::bound_to_us;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The command `connstorm`.
pub(crate) fn connstorm() -> Command {
    bound_to_us(env!("CARGO_BIN_EXE_connstorm"))
}

/// `connstorm run`, under way.
pub(crate) struct Storm {
    process: Child,
    folder: TempDir,
}

impl Storm {
    /// Starts `connstorm run` with these arguments, which are separated by white space.
    pub(crate) fn start(arguments: &str) -> Storm {
        let folder = tempfile::tempdir().unwrap();
        let process = connstorm()
            .arg("run")
            .args(arguments.split_whitespace())
            .arg("--quiet")
            .arg("--json")
            .arg(folder.path().join("result.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("connstorm starts");
        Storm { process, folder }
    }

    /// True if it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Result of the run, when it has ended. A verdict is one, whatever it is: tests look at counts and kinds, and
    /// on a busy machine a run may be called `invalid`.
    pub(crate) fn result(self) -> Value {
        let ended = self.process.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(matches!(ended.status.code(), Some(0 | 3 | 4)), "connstorm run: {}\n{errors}", ended.status);
        let text = std::fs::read_to_string(self.folder.path().join("result.json")).expect(&errors);
        serde_json::from_str(&text).expect("the result is JSON")
    }
}

/// Runs `connstorm run` to its end.
pub(crate) fn storm(arguments: &str) -> Value {
    Storm::start(arguments).result()
}

/// One of the result's `counts`.
#[track_caller]
pub(crate) fn count(result: &Value, name: &str) -> u64 {
    let number = result.pointer(&format!("/counts/{name}")).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("the result has no number counts.{name}: {result:#}"))
}
