//! `connstorm check`: whether a scenario is right, and what its first clients would say. Opens nothing.

use super::exit::Exit;
use super::output::{Output, say, say_styled, style_for};
use super::run::{inputs, read_plan};
use super::scenario_flags::ScenarioFlags;
use crate::engine::{ScriptError, rehearse};
use crate::plan::secrets::hide_in;
use crate::plan::{Plan, Population};
use crate::report::{plan_line, rehearsal};
use crate::result::rehearsal::{Rehearsal, RehearsedClient, RehearsedPopulation};
use clap::Args;
use std::io;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  # Is it right, and what would the first two clients say?
  connstorm check scenarios/socket-io.toml

  # The same of flags alone
  connstorm check ws://127.0.0.1:9001/chat --send 'ping {seq}' --expect echo

  # For another program; exit code 2 where a mistake is found
  connstorm check scenarios/socket-io.toml --clients 1 --json - | jq .name

Exit codes:
  0  a run would begin          2  wrong usage or scenario";

/// Checks a scenario and shows what its first clients would say, step by step; opens nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// A scenario file, '-' for one on standard input, or a target
    #[arg(value_name = "SCENARIO.toml|URL|-")]
    what: String,
    #[command(flatten)]
    scenario: ScenarioFlags,
    /// Clients of each population to show
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1000))]
    clients: u64,
    /// Show what came from ${NAME} and the values of secret headers, too
    #[arg(long)]
    show_secrets: bool,
    /// Write it as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// Checks, and shows.
///
/// # Errors
/// When the output can't be written.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let plan = match read_plan(&args.what, &args.scenario.0) {
        Ok(plan) => plan,
        Err(mistakes) => {
            say_styled(&mistakes);
            return Ok(Exit::Usage);
        }
    };
    let plan = if args.show_secrets { plan.with_secrets_shown() } else { plan };
    let [json] = Output::open_all([args.json.as_deref()], &inputs(&args.what, &plan))?;
    let rehearsal = match rehearsed(&plan, args.clients) {
        Ok(rehearsal) => rehearsal,
        // A file that the scenario names.
        Err(error) => {
            say(&format!("connstorm: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let rehearsal = hide_in(rehearsal, &plan.secrets_beside_messages());
    let quiet = json.as_ref().is_some_and(Output::is_stdout);
    if let Some(json) = json {
        json.write_json(&rehearsal)?;
    }
    if !quiet {
        Output::Stdout.write(&rehearsal::render(&rehearsal, style_for(&io::stdout())))?;
    }
    Ok(Exit::Passed)
}

fn rehearsed(plan: &Plan, clients: u64) -> Result<Rehearsal, ScriptError> {
    let clients = rehearse(plan, clients)?;
    let own = |(of, clients): (&Population, Vec<RehearsedClient>)| RehearsedPopulation {
        name: Some(of.name.clone()),
        plan: Some(plan_line(&of.plan, None)),
        target: of.plan.url(),
        clients,
    };
    let populations = match &plan.populations[..] {
        [] => {
            let of_all =
                |clients| RehearsedPopulation { name: None, plan: None, target: plan.url(), clients };
            clients.into_iter().map(of_all).collect()
        }
        populations => populations.iter().zip(clients).map(own).collect(),
    };
    Ok(Rehearsal {
        name: plan.redacted().name,
        plan: plan_line(plan, None),
        thresholds: plan.thresholds.iter().map(ToString::to_string).collect(),
        populations,
    })
}
