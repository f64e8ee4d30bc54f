//! `connstorm merge`: the results of several processes or machines as one.

use super::exit::Exit;
use super::outputs::{OutputFlags, Summary};
use super::saved;
use crate::report::shown::clean;
use crate::result::merge::{Missing, Named, merge};
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # Two machines ran the same scenario at the same time
  connstorm merge left.json right.json --json both.json --html both.html

  # The three parts of one divided run (connstorm run ... --part 1/3, 2/3, 3/3)
  connstorm merge one.json two.json three.json --json whole.json";

/// Joins results of one load that several processes or machines made: counts and histograms add, windows
/// align on the wall clock
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MergeArgs {
    /// Results that `run --json` wrote
    #[arg(value_name = "RESULT.json", required = true, num_args = 2..)]
    results: Vec<PathBuf>,
    /// Count the arrivals of parts that have no result as skipped.agent_lost, rather than refuse to merge
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    output: OutputFlags,
}

/// Merges them. The exit code is that of the whole, judged anew.
///
/// # Errors
/// When they can't be read or merged, or an output can't be written.
pub(super) fn run(args: &MergeArgs) -> anyhow::Result<Exit> {
    let inputs: Vec<&Path> = args.results.iter().map(PathBuf::as_path).collect();
    let outputs = args.output.open(&inputs)?;
    let read = |path: &PathBuf| Ok(Named { name: path.display().to_string(), result: saved::read(path)? });
    let parts = args.results.iter().map(read).collect::<anyhow::Result<Vec<Named>>>()?;
    let missing = if args.lost { Missing::Lost } else { Missing::Refused };
    let merged = merge(parts, missing)
        .map_err(|error| anyhow::anyhow!("cannot merge: {}", clean(&error.to_string())))?;
    let stdout_is_taken = outputs.use_stdout();
    outputs.write(&merged)?;
    let exit = Exit::of(merged.verdict);
    Summary { verbose: args.output.verbose, stdout_is_taken, exit: Some(exit) }.show(&merged)?;
    Ok(exit)
}
