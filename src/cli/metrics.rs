//! `connstorm metrics`: what a threshold can name.

use super::exit::Exit;
use super::output::{Output, say, style_for};
use crate::plan::threshold::{Family, advice, catalogue};
use crate::report::metrics;
use clap::Args;
use std::io;

const EXAMPLES: &str = "\
Examples:
  connstorm metrics                 # all of them
  connstorm metrics failed          # those of one family: failed.refused, …
  connstorm metrics round_trip      # one latency, and what it needs
  connstorm run tcp://127.0.0.1:9000 --threshold 'connect.p95 < 50ms' \\
    --threshold 'failed.ratio < 0.1%'";

/// Lists every metric that a threshold can name, with its unit and meaning
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MetricsArgs {
    /// First word of the metrics to list, such as connect, failed or onset [default: all]
    #[arg(value_name = "FAMILY")]
    family: Option<String>,
    /// Print the list as a page of Markdown instead
    #[arg(long)]
    markdown: bool,
}

/// Prints the list.
///
/// # Errors
/// When standard output can't be written to.
pub(super) fn run(args: &MetricsArgs) -> anyhow::Result<Exit> {
    let families = listed(args.family.as_deref());
    if let (Some(family), true) = (&args.family, families.is_empty()) {
        say(&format!("connstorm: no metric is called '{family}'; {}", advice(family)));
        return Ok(Exit::Usage);
    }
    let text = match args.markdown {
        true => metrics::page(&families),
        false => metrics::render(&families, style_for(&io::stdout())),
    };
    Output::Stdout.write(&text)?;
    Ok(Exit::Passed)
}

/// Families with what is asked for: all, or what begins with a word or has that very name.
fn listed(family: Option<&str>) -> Vec<Family> {
    let mut families = catalogue();
    if let Some(family) = family {
        for of in &mut families {
            of.entries.retain(|entry| entry.is_of(family));
        }
    }
    families.retain(|family| !family.entries.is_empty());
    families
}
