//! Results that were saved, read from files.

use super::output::named;
use crate::result::RunResult;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest result that is read, in bytes: that of a run of some weeks.
const LONGEST: u64 = 512 << 20;

/// The result in a file, or on standard input for `-`.
///
/// # Errors
/// When it can't be read, or is no result of this version.
pub(super) fn read(path: &Path) -> anyhow::Result<RunResult> {
    let text = if path.as_os_str() == "-" {
        text(std::io::stdin())
    } else {
        File::open(path).map_err(Into::into).and_then(text)
    };
    let text = text.with_context(|| format!("cannot read the result '{}'", named(path)))?;
    RunResult::from_json(&text).with_context(|| format!("cannot read the result '{}'", named(path)))
}

fn text(file: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        bail!("it is longer than {} MiB, which no result is", LONGEST >> 20);
    }
    Ok(text)
}
