//! `connstorm compare`: what became slower or worse from one side of results to another.

use super::exit::Exit;
use super::input::InputError;
use super::output::{Output, say_styled, style_for};
use super::saved;
use crate::report::compare_table;
use crate::report::html::compare as page;
use crate::result::compare::{Change, Comparison};
use crate::result::{RunResult, compare};
use anyhow::Context;
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # One run a side
  connstorm compare main.json branch.json

  # The same as a page for browsers
  connstorm compare main.json branch.json --html comparison.html

  # Three runs a side: noise is then measured, not guessed
  connstorm compare main-1.json,main-2.json,main-3.json \\
    branch-1.json,branch-2.json,branch-3.json

  # All results of two folders, for a CI job
  connstorm compare results/main results/branch --tolerance 15% \\
    --summary \"$GITHUB_STEP_SUMMARY\"

Exit codes:
  0  no regression past the tolerance     3  a regression
  1  can't be compared                    5  too noisy to tell
  2  wrong usage";

/// Compares results of one scenario: the change of each percentile with an interval that takes noise into
/// account
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompareArgs {
    /// Base: a result, several with commas, or a folder of results
    #[arg(value_name = "BASE")]
    base: String,
    /// New: the same
    #[arg(value_name = "NEW")]
    new: String,
    /// A change for the worse may be so large, such as 10% or 0.1
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = share)]
    tolerance: f64,
    /// Write the comparison as JSON
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write a page for browsers: what changed, and the first run of each side in the same plots
    #[arg(long, value_name = "FILE|-")]
    html: Option<PathBuf>,
    /// Write the comparison in Markdown
    #[arg(long, value_name = "FILE|-")]
    summary: Option<PathBuf>,
}

/// Compares them.
///
/// # Errors
/// When they can't be read or compared, or an output can't be written.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    let (base, new) = (side(&args.base)?, side(&args.new)?);
    let inputs: Vec<&Path> = base.iter().chain(&new).map(PathBuf::as_path).collect();
    let wanted = [args.json.as_deref(), args.summary.as_deref(), args.html.as_deref()];
    let [json, summary, html] = Output::open_all(wanted, &inputs)?;
    let (base, new) = (read(&base)?, read(&new)?);
    let comparison = compare::compare(&base, &new, args.tolerance).context("cannot compare")?;
    // Made first: what can't be made keeps nothing else from being written.
    let page = match (&html, base.first(), new.first()) {
        (Some(_), Some(base), Some(new)) => Some(page::render(&comparison, [base, new])?),
        _ => None,
    };
    let texts = [summary.is_some().then(|| compare_table::render_markdown(&comparison)), page];
    write(&comparison, json, [summary, html].into_iter().zip(texts))?;
    Ok(match comparison.verdict {
        Change::Regressed => Exit::ThresholdsFailed,
        Change::TooNoisy => Exit::TooNoisy,
        Change::Improved | Change::NoChangeSeen => Exit::Passed,
    })
}

/// Writes every output, and the table for people where standard output is free.
fn write(
    comparison: &Comparison,
    json: Option<Output>,
    others: impl Iterator<Item = (Option<Output>, Option<String>)>,
) -> anyhow::Result<()> {
    let mut stdout_is_taken = json.as_ref().is_some_and(Output::is_stdout);
    if let Some(json) = json {
        json.write_json(comparison)?;
    }
    for (output, text) in others.filter_map(|(output, text)| output.zip(text)) {
        stdout_is_taken |= output.is_stdout();
        output.write(&text)?;
    }
    if stdout_is_taken {
        say_styled(&compare_table::render(comparison, style_for(&io::stderr())));
        return Ok(());
    }
    Output::Stdout.write(&compare_table::render(comparison, style_for(&io::stdout())))
}

/// Forms that a side may have.
const FOLDER: &str = "folder of results";

/// The files of a side.
fn side(text: &str) -> Result<Vec<PathBuf>, InputError> {
    let mut results = Vec::new();
    for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(Path::new) {
        if !path.is_dir() {
            results.push(path.to_owned());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| InputError::new(FOLDER, path, error))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        if files.is_empty() {
            return Err(InputError::new(FOLDER, path, "it has no result in it: no file that ends in .json"));
        }
        results.extend(files);
    }
    Ok(results)
}

fn read(files: &[PathBuf]) -> Result<Vec<RunResult>, InputError> {
    files.iter().map(|file| saved::read(file)).collect()
}

/// A share such as `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent.trim_end(), 100.0));
    let share = number.parse::<f64>().map(|number| number / scale);
    match share {
        Ok(share) if (0.0..=10.0).contains(&share) => Ok(share),
        _ => Err(format!("'{text}' is not a share, such as 10% or 0.1")),
    }
}
