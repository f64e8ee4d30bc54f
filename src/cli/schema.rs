//! `connstorm schema`: the JSON schemas of what is read and of what is written.

use super::exit::Exit;
use super::output::{Output, say};
use crate::plan;
use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  connstorm schema result > result.schema.json
  connstorm schema scenario > scenario.schema.json     # for editors
  connstorm schema scenario --markdown                 # a page to read";

/// Prints the JSON schema of scenarios, or of results
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArgs {
    /// Of what
    #[arg(value_enum, value_name = "scenario|result")]
    of: Of,
    /// Print a scenario's fields as a page of Markdown instead
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Of what `run` reads: a scenario, written in TOML
    Scenario,
    /// Of what `run --json` writes
    Result,
}

/// Prints it.
///
/// # Errors
/// When standard output can't be written to.
pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<Exit> {
    match args.of {
        Of::Scenario if args.markdown => Output::Stdout.write(&plan::reference())?,
        Of::Result if args.markdown => {
            say(
                "connstorm: --markdown is for scenarios; leave it out, or write `connstorm schema scenario --markdown`",
            );
            return Ok(Exit::Usage);
        }
        Of::Scenario => Output::Stdout.write_json(&plan::schema())?,
        Of::Result => Output::Stdout.write_json(&crate::result::schema::of_result())?,
    }
    Ok(Exit::Passed)
}
