//! `connstorm merge`: the results of several processes or machines as one.

use super::exit::Exit;
use super::outputs::{OutputFlags, Summary};
use super::saved;
use crate::report::shown::clean;
use crate::result::merge::{Expected, MergeError, Merger, Missing, Named};
use crate::result::{Counts, RunResult};
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # Two machines ran the same scenario at the same time
  connstorm merge left.json right.json --json both.json --html both.html

  # The three parts of one divided run (--part 1/3, 2/3 and 3/3)
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

/// Bytes of files whose results are kept as they were read. Those beyond are read again when their turn comes, so that any
/// number of long runs can be merged.
const KEPT: u64 = 64 << 20;

/// A result that was looked at.
enum Part<'a> {
    /// The result is in memory.
    Kept(Box<Named>),
    /// The result is in this file, and began and counted so.
    Again(&'a Path, u64, Counts),
}

impl Part<'_> {
    fn read(self) -> anyhow::Result<Named> {
        match self {
            Part::Kept(part) => Ok(*part),
            Part::Again(path, began_unix_us, counts) => {
                let result = saved::read(path)?;
                anyhow::ensure!(
                    result.began_unix_us == began_unix_us && result.counts == counts,
                    "'{}' was changed while it was merged: merge again",
                    path.display()
                );
                Ok(named(path, result))
            }
        }
    }
}

fn named(path: &Path, result: RunResult) -> Named {
    Named { name: path.display().to_string(), result }
}

/// Merges them. The exit code is that of the whole, judged anew.
///
/// # Errors
/// When they can't be read or merged, or an output can't be written.
pub(super) fn run(args: &MergeArgs) -> anyhow::Result<Exit> {
    let inputs: Vec<&Path> = args.results.iter().map(PathBuf::as_path).collect();
    let outputs = args.output.open(&inputs)?;
    let missing = if args.lost { Missing::Lost } else { Missing::Refused };
    let mut expected = Expected::default();
    let mut kept_bytes = 0;
    let mut parts = Vec::new();
    for path in inputs {
        let result = saved::read(path)?;
        expected.add(&result);
        // A pipe can be read only once.
        let file_bytes =
            std::fs::metadata(path).ok().filter(|file| file.is_file()).map_or(0, |file| file.len());
        kept_bytes += file_bytes;
        parts.push(match kept_bytes > KEPT && file_bytes > 0 {
            true => Part::Again(path, result.began_unix_us, result.counts),
            false => Part::Kept(Box::new(named(path, result))),
        });
    }
    let refused = |error: MergeError| anyhow::anyhow!("cannot merge: {}", clean(&error.to_string()));
    let mut merger = Merger::new(expected);
    for part in parts {
        merger.add(part.read()?).map_err(refused)?;
    }
    let merged = merger.finish(missing).map_err(refused)?;
    let stdout_is_taken = outputs.use_stdout();
    outputs.write(&merged)?;
    let exit = Exit::of(merged.verdict);
    Summary { verbose: args.output.verbose, stdout_is_taken, exit: Some(exit) }.show(&merged)?;
    Ok(exit)
}
