//! Where results go: a file, or standard output for `-`.

use super::file_identity::Identity;
use super::replacement::Replacement;
use crate::report::Style;
use crate::report::shown::{clean, clean_lines, json_text};
use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Tells the user something, whatever names and replies it quotes. If standard error is gone there is nobody
/// to tell.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", clean_lines(text));
}

/// The name of a file as a message may quote it.
pub(super) fn named(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// Tells the user a text that `report/` made: escaped where it has to be, and coloured where that is wanted.
pub(super) fn say_styled(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
}

/// True if colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColourWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Value of `--color`; set once, before anything is written.
static COLOUR: OnceLock<ColourWhen> = OnceLock::new();

/// From now on colours are used then.
pub(super) fn use_colours(when: ColourWhen) {
    // The first holds; there is one command line.
    let _ = COLOUR.set(when);
}

/// The style of a stream: what `--color` says, and by default colours only on a terminal, and never against `NO_COLOR`
/// (no-color.org).
pub(super) fn style_for(stream: &impl IsTerminal) -> Style {
    match COLOUR.get() {
        Some(ColourWhen::Always) => return Style::Coloured,
        Some(ColourWhen::Never) => return Style::Plain,
        Some(ColourWhen::Auto) | None => {}
    }
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if stream.is_terminal() && !unwanted && !dumb { Style::Coloured } else { Style::Plain }
}

/// An output that was looked at before the run: what can't be written fails before it, not after.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// A pipe, a device, or a descriptor that somebody else opened, and its name for errors.
    Stream(File, PathBuf),
    /// A file that is replaced as a whole, and its name for errors.
    File(Replacement, PathBuf),
}

impl Output {
    /// An output to a file, or to standard output for `-`. A file is not touched before it is written.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn open(path: &Path) -> anyhow::Result<Output> {
        let cannot =
            || format!("cannot write '{}'; give a file in a directory that exists and is yours", named(path));
        let opened = Identity::of(path).and_then(|identity| Output::of(&identity, path));
        opened.with_context(cannot)
    }

    /// Outputs to these files, where they are given. All are looked at before any is opened.
    ///
    /// # Errors
    /// When two of them are one file, one of them is an input, or one can't be written.
    pub(super) fn open_all<const N: usize>(
        wanted: [Option<&Path>; N],
        inputs: &[&Path],
    ) -> anyhow::Result<[Option<Output>; N]> {
        are_apart(&wanted.into_iter().flatten().collect::<Vec<_>>(), inputs)?;
        let mut opened = [const { None }; N];
        for (output, path) in opened.iter_mut().zip(wanted) {
            *output = path.map(Output::open).transpose()?;
        }
        Ok(opened)
    }

    fn of(identity: &Identity, path: &Path) -> io::Result<Output> {
        let stream = |file: File| Output::Stream(file, path.to_owned());
        match identity {
            Identity::Stdout => Ok(Output::Stdout),
            // What others wrote to it stays.
            Identity::Descriptor(_) => OpenOptions::new().append(true).open(path).map(stream),
            Identity::Device | Identity::Pipe(..) => OpenOptions::new().write(true).open(path).map(stream),
            Identity::Folder => Err(io::ErrorKind::IsADirectory.into()),
            Identity::File(..) | Identity::New(_) => {
                Replacement::prepare(path).map(|file| Output::File(file, path.to_owned()))
            }
        }
    }

    /// True if a name leads to standard output.
    pub(super) fn is_named_stdout(path: &Path) -> bool {
        matches!(Identity::of(path), Ok(Identity::Stdout))
    }

    /// True if it is standard output, which then holds nothing else.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Output::Stdout)
    }

    /// Writes text. A reader of standard output that has gone away (`| head`) is no error.
    ///
    /// # Errors
    /// When it can't be written: the disk is full, say.
    pub(super) fn write(self, text: &str) -> anyhow::Result<()> {
        let (written, path) = match self {
            Output::Stdout => {
                return match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    other => other.context("cannot write to standard output"),
                };
            }
            Output::Stream(mut stream, path) => (stream.write_all(text.as_bytes()), path),
            Output::File(file, path) => (file.write(text.as_bytes()), path),
        };
        written.with_context(|| format!("cannot write '{}'", named(&path)))
    }

    /// Writes a value as JSON, indented, with a line end.
    ///
    /// # Errors
    /// As for [`Output::write`].
    pub(super) fn write_json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = json_text(&serde_json::to_string_pretty(value)?);
        text.push('\n');
        self.write(&text)
    }
}

/// True if no output is another one or an input, by whatever name.
///
/// # Errors
/// Names the two that are one file.
pub(super) fn are_apart(outputs: &[&Path], inputs: &[&Path]) -> anyhow::Result<()> {
    // What can't be looked at can't be opened either, and is told then.
    let identity = |path: &&Path| Identity::of(path).ok();
    let known: Vec<Option<Identity>> = outputs.iter().map(identity).collect();
    let one = |a: &Option<Identity>, b: &Option<Identity>| {
        a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a.is_one_with(b))
    };
    for (n, path) in outputs.iter().enumerate() {
        if let Some(earlier) = (0..n).find(|earlier| one(&known[*earlier], &known[n])) {
            let (first, second) = (named(outputs[earlier]), named(path));
            let also =
                if outputs[earlier] == *path { String::new() } else { format!(", which is '{first}',") };
            anyhow::bail!("two results can't both go to '{second}'{also}; give each a file of its own");
        }
        // Standard input and output are two things, although both are written `-`.
        let read = inputs.iter().filter(|input| input.as_os_str() != "-");
        if let Some(input) = read.into_iter().find(|input| one(&identity(input), &known[n])) {
            anyhow::bail!(
                "'{}' would be written over '{}', which is read; give the result a file of its own",
                named(path),
                named(input)
            );
        }
    }
    Ok(())
}
