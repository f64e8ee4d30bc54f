//! The command line: raw arguments, one file a subcommand, and the only place besides `report/` that prints.

mod check;
mod compare;
mod doctor;
mod exit;
mod file_identity;
mod find;
#[cfg(test)]
mod help_tests;
mod http;
mod input;
mod interrupt;
mod lab;
mod merge;
mod metrics;
mod output;
mod outputs;
mod plan;
mod refusal;
#[cfg(test)]
mod remedy_tests;
mod replacement;
mod report;
mod run;
mod saved;
mod scenario_flags;
mod schema;
mod serve;
mod shell;
mod watch;

pub use exit::Exit;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Opens many connections, and says when and why they fail.
#[derive(Debug, Parser)]
#[command(name = "connstorm", version = env!("CONNSTORM_VERSION"), max_term_width = 110)]
struct Cli {
    /// Use colours: auto is on a terminal only, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: output::ColourWhen,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Check(Box<check::CheckArgs>),
    Plan(Box<plan::PlanArgs>),
    Find(Box<find::FindArgs>),
    Doctor(doctor::DoctorArgs),
    Serve(serve::Serve),
    Lab(lab::Lab),
    Watch(Box<watch::WatchArgs>),
    Report(Box<report::ReportArgs>),
    Compare(compare::CompareArgs),
    Merge(Box<merge::MergeArgs>),
    Metrics(metrics::MetricsArgs),
    Schema(schema::SchemaArgs),
    Completions(shell::CompletionArgs),
    Man(shell::ManArgs),
}

/// The whole program. Wrong usage is told by the parser, with [`Exit::Usage`].
pub fn main() -> ExitCode {
    let Cli { color, command } =
        Cli::try_parse().unwrap_or_else(|error| refusal::refuse(&error, &Cli::command()));
    output::use_colours(color);
    let done = match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Find(args) => find::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Serve(serve) => serve::run(serve),
        Command::Lab(args) => return ended(lab::run(&args)),
        Command::Watch(args) => return ended(watch::run(&args)),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
    };
    ended(done.map(ExitCode::from))
}

/// The exit code; an error is told first.
fn ended(done: anyhow::Result<ExitCode>) -> ExitCode {
    match done {
        Ok(exit) => exit,
        Err(error) => {
            output::say(&format!("connstorm: {error:#}"));
            Exit::of_error(&error).into()
        }
    }
}
