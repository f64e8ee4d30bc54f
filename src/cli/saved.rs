//! Results that were saved, read from files.

use super::input::{self, InputError};
use crate::result::RunResult;
use std::path::Path;

/// The longest result that is read, in bytes: that of a run of some weeks.
const LONGEST: u64 = 512 << 20;

/// The result in a file, or on standard input for `-`.
///
/// # Errors
/// When it can't be read, or is no result of this version.
pub(super) fn read(path: &Path) -> Result<RunResult, InputError> {
    let text = input::read("result", path, LONGEST)?;
    RunResult::from_json(&text).map_err(|error| InputError::new("result", path, error))
}
