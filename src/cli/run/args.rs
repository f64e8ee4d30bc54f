//! The raw arguments of `connstorm run`: text as it was given, under the names of the scenario's fields.

use super::division::Division;
use super::push::PushFlags;
use crate::cli::outputs::OutputFlags;
use crate::cli::scenario_flags::ScenarioFlags;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;

const EXAMPLES: &str = "\
Examples:
  # A scenario that brings its own target
  connstorm run scenarios/first-run.toml

  # 5,000 connections a second for 30 s from eight source addresses
  connstorm run tcp://127.0.0.1:9000 --rate 5000/s --duration 30s \\
    --source 127.0.0.2-127.0.0.9

  # 20,000 connections held open at once, ports chosen by connstorm
  connstorm run tcp://127.0.0.1:9000 --rate 5000/s --connections 20000 \\
    --lifetime until-end --ports explicit

  # 1,000 WebSockets a second, each open for 10 s, with a message a second
  # that is to come back
  connstorm run ws://127.0.0.1:9001/chat --rate 1000/s --lifetime 10s \\
    --send 'ping {seq}' --every 1s --expect echo

  # 200 slots that connect and close as fast as they can; the result as JSON
  # for another program
  connstorm run tcp://127.0.0.1:9000 --concurrency 200 --duration 10s \\
    --close rst --json - | jq .counts

  # The second of three machines that do one plan together, all at the same
  # moment; merge makes one result of theirs
  connstorm run tcp://10.0.0.5:9000 --rate 9000/s --part 2/3 \\
    --start-at 2030-01-02T03:04:05Z --json two.json

  # The figures of each second to Prometheus' receiver of remote writes
  connstorm run tcp://127.0.0.1:9000 --rate 500/s --push-label branch=main \\
    --push-prometheus http://127.0.0.1:9090/api/v1/write

  # A scenario that another program writes, on standard input
  sed 's/2000/1000/' scenarios/first-run.toml | connstorm run -

Exit codes:
  0  passed                     3  a threshold failed
  1  could not run              4  invalid: the generator was the limit
  2  wrong usage or scenario    130  interrupted; the report of what ran is written";

/// Runs a load: the scenario of a file, or one made of flags. Flags override the file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Run {
    /// A scenario file, '-' for one on standard input, or a target: tcp, tls, http, https, ws or wss, such as
    /// ws://127.0.0.1:9001/chat (several ports: tcp://host:9000-9015), or HOST:PORT for tcp
    #[arg(value_name = "SCENARIO.toml|URL|-")]
    pub(in crate::cli) what: String,
    #[command(flatten)]
    pub(in crate::cli) scenario: ScenarioFlags,
    #[command(flatten)]
    pub(super) division: Division,
    #[command(flatten)]
    pub(super) progress: ProgressFlags,
    #[command(flatten)]
    pub(super) push: PushFlags,
    #[command(flatten)]
    pub(super) output: OutputFlags,
}

/// Flags for what is shown while the run goes on, and after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judgement and progress")]
pub(super) struct ProgressFlags {
    /// Show a page that grows with the run at http://ADDRESS:PORT/, and its figures at /metrics for Prometheus
    /// [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// Show progress: auto is live on a terminal, and a plain line every 10 s elsewhere
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) progress: ProgressWhen,
    /// Show the whole conversation of the first N connections, with times, on standard error; what is secret, messages
    /// among it, is told by its size unless --show-secrets is given
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(super) trace: u64,
    /// Show secrets in outputs and errors: what came from ${NAME}, headers, queries, messages
    #[arg(long)]
    pub(super) show_secrets: bool,
    /// Print no summary and no progress; the exit code tells
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressWhen {
    /// Live on a terminal, plain elsewhere.
    Auto,
    /// A line every ten seconds.
    Plain,
    /// Never.
    Never,
}
