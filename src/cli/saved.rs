//! Results that were saved, read from files.

use crate::result::RunResult;
use anyhow::Context;
use std::io::Read;
use std::path::Path;

/// The result in a file, or on standard input for `-`.
///
/// # Errors
/// When it can't be read, or is no result of this version.
pub(super) fn read(path: &Path) -> anyhow::Result<RunResult> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read the result '{}'", path.display()))?;
    RunResult::from_json(&text).with_context(|| format!("cannot read the result '{}'", path.display()))
}
