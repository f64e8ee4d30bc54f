//! Where results go: a file, or standard output for `-`.

use crate::report::Style;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Tells the user something. If standard error is gone there is nobody to tell.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The style of a stream: colours only on a terminal, and never against `NO_COLOR` (no-color.org).
pub(super) fn style_for(stream: &impl IsTerminal) -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if stream.is_terminal() && !unwanted && !dumb { Style::Coloured } else { Style::Plain }
}

/// An output that was opened before the run: what can't be written fails before it, not after.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// A file, and its name for errors.
    File(File, PathBuf),
}

impl Output {
    /// Opens a file for writing, or standard output for `-`.
    ///
    /// # Errors
    /// When the file can't be made.
    pub(super) fn open(path: &Path) -> anyhow::Result<Output> {
        if path.as_os_str() == "-" {
            return Ok(Output::Stdout);
        }
        let file = File::create(path).with_context(|| {
            format!("cannot write '{}'; give a file in a directory that exists and is yours", path.display())
        })?;
        Ok(Output::File(file, path.to_owned()))
    }

    /// Whether it is standard output, which then holds nothing else.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Output::Stdout)
    }

    /// Writes text. A reader of standard output that has gone away (`| head`) is no error.
    ///
    /// # Errors
    /// When it can't be written: the disk is full, say.
    pub(super) fn write(self, text: &str) -> anyhow::Result<()> {
        match self {
            Output::Stdout => {
                match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    other => other.context("cannot write to standard output"),
                }
            }
            Output::File(mut file, path) => {
                file.write_all(text.as_bytes()).with_context(|| format!("cannot write '{}'", path.display()))
            }
        }
    }

    /// Writes a value as JSON, indented, with a line end.
    ///
    /// # Errors
    /// As for [`Output::write`].
    pub(super) fn write_json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.write(&text)
    }
}
