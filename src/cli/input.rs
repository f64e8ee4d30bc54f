//! Text that is read: from a file, or from standard input for `-`.

use super::output::{named, say};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// An input that can't be read, or does not hold what it should. The program then ends with
/// [`super::Exit::Usage`]: the command line names the wrong file.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the {what} '{name}': {why}")]
pub(super) struct InputError {
    what: &'static str,
    name: String,
    why: String,
}

impl InputError {
    /// Error that says what should have been in a file, and why it is not.
    pub(super) fn new(what: &'static str, path: &Path, why: impl ToString) -> InputError {
        InputError { what, name: named(path), why: why.to_string() }
    }
}

/// True if the name stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// True if standard input was read already: the second reader would find it empty.
static STDIN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The text in a file, or on standard input for `-`, where it has at most so many bytes.
///
/// # Errors
/// When there is no such file, it can't be read, is too long, or is no text.
pub(super) fn read(what: &'static str, path: &Path, longest: u64) -> Result<String, InputError> {
    let wrong = |why: String| InputError { what, name: named(path), why };
    let read = match is_stdin(path) {
        true if STDIN_IS_TAKEN.swap(true, Relaxed) => {
            return Err(wrong("standard input is read once only; give each input but one a file".to_owned()));
        }
        true => {
            if io::stdin().is_terminal() {
                say(&format!("connstorm: reads the {what} from standard input; Ctrl-D ends it"));
            }
            bytes(io::stdin(), longest)
        }
        false => File::open(path).and_then(|file| bytes(file, longest)),
    };
    let bytes = read.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > longest {
        return Err(wrong(format!("it is longer than {} MiB, which no {what} is", longest >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not text in UTF-8".to_owned()))
}

fn bytes(file: impl Read, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The longest beginning of a file of data that its first line is looked for in, in bytes.
const BEGINNING: u64 = 1 << 20;

/// The beginning of a file that a scenario names.
pub(super) fn beginning(path: &Path) -> Result<Vec<u8>, String> {
    File::open(path).and_then(|file| bytes(file, BEGINNING)).map_err(|error| error.to_string())
}
