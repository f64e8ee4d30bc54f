//! `connstorm report`: any output, from a result that was saved.

use super::exit::Exit;
use super::outputs::{OutputFlags, Summary};
use super::saved;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  # The summary, once more
  connstorm report result.json

  # A page for browsers, and a summary for a CI job
  connstorm report result.json --html report.html \\
    --summary \"$GITHUB_STEP_SUMMARY\"

  # The windows for a spreadsheet
  connstorm report result.json --csv -";

/// Renders a saved result: a summary, or any output that run can write
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArgs {
    /// A result that `run --json` wrote, or '-' for standard input
    #[arg(value_name = "RESULT.json")]
    result: PathBuf,
    #[command(flatten)]
    output: OutputFlags,
}

/// Renders it. The verdict of the run is no matter of the exit code: rendering it succeeded.
///
/// # Errors
/// When the result can't be read, or an output can't be written.
pub(super) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let outputs = args.output.open(&[&args.result])?;
    let result = saved::read(&args.result)?;
    if outputs.is_empty() {
        Summary { verbose: args.output.verbose, stdout_is_taken: false, exit: None }.show(&result)?;
    }
    outputs.write(&result)?;
    Ok(Exit::Passed)
}
