//! The outputs of a result: a flag a format, each to a file or to standard output, for every command that
//! has a result.

use super::exit::Exit;
use super::output::{Output, say, say_styled, style_for};
use crate::report::output::{Csv, Format, Hlog, Html, Json, Junit, Markdown, OpenMetrics};
use crate::report::{screen, summary};
use crate::result::RunResult;
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};

/// Outputs that are written, and where to. `-` is standard output.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Results")]
pub(super) struct OutputFlags {
    /// Write the result as JSON to a file, or to standard output with '-'; the summary then goes to
    /// standard error
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<PathBuf>,
    /// Write a page for browsers, with plots: one file that loads nothing from elsewhere
    #[arg(long, value_name = "FILE|-")]
    pub(super) html: Option<PathBuf>,
    /// Write JUnit XML for CI servers: a case a threshold, a case a finding about the target
    #[arg(long, value_name = "FILE|-")]
    pub(super) junit: Option<PathBuf>,
    /// Write a summary in Markdown, such as for "$GITHUB_STEP_SUMMARY"
    #[arg(long, value_name = "FILE|-")]
    pub(super) summary: Option<PathBuf>,
    /// Write a log of HdrHistogram, for its tools
    #[arg(long, value_name = "FILE|-")]
    pub(super) hlog: Option<PathBuf>,
    /// Write metrics as OpenMetrics text, for Prometheus
    #[arg(long, value_name = "FILE|-")]
    pub(super) openmetrics: Option<PathBuf>,
    /// Write the windows (one a second) as CSV
    #[arg(long, value_name = "FILE|-")]
    pub(super) csv: Option<PathBuf>,
    /// Show the whole summary, with every figure, finding and remedy, rather than what fits a screen
    #[arg(long, short)]
    pub(super) verbose: bool,
}

/// Outputs that are open.
pub(super) struct Outputs(Vec<(Output, &'static dyn Format)>);

impl OutputFlags {
    fn asked(&self) -> [(&Option<PathBuf>, &'static dyn Format); 7] {
        [
            (&self.json, &Json),
            (&self.html, &Html),
            (&self.junit, &Junit),
            (&self.summary, &Markdown),
            (&self.hlog, &Hlog),
            (&self.openmetrics, &OpenMetrics),
            (&self.csv, &Csv),
        ]
    }

    /// Looks at every output: what can't be written should fail before the work, not after it.
    ///
    /// # Errors
    /// When a file can't be written, two outputs are one file, or one of them is an input.
    pub(super) fn open(&self, inputs: &[&Path]) -> anyhow::Result<Outputs> {
        let asked = self.asked();
        let opened = Output::open_all(asked.map(|(path, _)| path.as_deref()), inputs)?;
        let formats = asked.map(|(_, format)| format);
        let outputs = opened.into_iter().zip(formats).filter_map(|(output, format)| Some((output?, format)));
        Ok(Outputs(outputs.collect()))
    }
}

impl Outputs {
    /// True if anything is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if standard output holds a result, and nothing else then.
    pub(super) fn use_stdout(&self) -> bool {
        self.0.iter().any(|(output, _)| output.is_stdout())
    }

    /// Writes every output. What can't be written does not keep the rest from being written.
    ///
    /// # Errors
    /// The first that could not be written; the others are told on standard error.
    pub(super) fn write(self, result: &RunResult) -> anyhow::Result<()> {
        let mut first = Ok(());
        for (output, format) in self.0 {
            let written = format.render(result).map_err(Into::into).and_then(|text| output.write(&text));
            match written {
                Err(error) if first.is_ok() => first = Err(error),
                Err(error) => say(&format!("connstorm: {error:#}")),
                Ok(()) => {}
            }
        }
        first
    }
}

/// Form of the summary for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    /// With every figure, rather than what fits a screen.
    pub(super) verbose: bool,
    /// Standard output holds a result: the summary goes to standard error.
    pub(super) stdout_is_taken: bool,
    /// The code that the program will end with, where it tells something.
    pub(super) exit: Option<Exit>,
}

impl Summary {
    /// Shows it.
    ///
    /// # Errors
    /// When standard output can't be written to.
    pub(super) fn show(self, result: &RunResult) -> anyhow::Result<()> {
        let render = |style| match self.verbose {
            true => summary::render(result, style),
            false => screen::render(result, style, self.exit.map(|exit| exit as u8)),
        };
        if self.stdout_is_taken {
            say_styled(&render(style_for(&io::stderr())));
            return Ok(());
        }
        Output::Stdout.write(&render(style_for(&io::stdout())))
    }
}
