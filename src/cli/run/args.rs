//! The raw arguments of `connstorm run`: text as it was given, under the names of the scenario's fields.

use super::session_args::SessionFlags;
use crate::cli::outputs::OutputFlags;
use crate::plan::Overrides;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;

const EXAMPLES: &str = "\
Examples:
  # A scenario that brings its own target
  connstorm run scenarios/first-run.toml

  # 5,000 connections a second for 30 s from eight source addresses
  connstorm run tcp://127.0.0.1:9000 --rate 5000/s --duration 30s --source 127.0.0.2-127.0.0.9

  # 20,000 connections held open at once, ports chosen by connstorm
  connstorm run tcp://127.0.0.1:9000 --rate 5000/s --connections 20000 --lifetime until-end --ports explicit

  # 1,000 WebSockets a second, each open for 10 s and sending a message a second that is to come back
  connstorm run ws://127.0.0.1:9001/chat --rate 1000/s --lifetime 10s --send 'ping {seq}' --every 1s --expect echo

  # 200 slots that connect and close as fast as they can; the result as JSON for another program
  connstorm run tcp://127.0.0.1:9000 --concurrency 200 --duration 10s --close rst --json - | jq .counts

Exit codes:
  0  passed                     3  a threshold failed
  1  could not run              4  invalid: the generator was the limit
  2  wrong usage or scenario    130  interrupted; the report of what ran is written";

/// Runs a load: the scenario of a file, or one made of flags. Flags override the file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Run {
    /// A scenario file, or a target: tcp, tls, http, https, ws or wss, such as ws://127.0.0.1:9001/chat
    /// (several ports: tcp://host:9000-9015)
    #[arg(value_name = "SCENARIO.toml|URL")]
    pub(super) what: String,
    #[command(flatten)]
    pub(super) load: LoadFlags,
    #[command(flatten)]
    pub(super) connection: ConnectionFlags,
    #[command(flatten)]
    pub(super) judgement: JudgementFlags,
    #[command(flatten)]
    pub(super) session: SessionFlags,
    #[command(flatten)]
    pub(super) output: OutputFlags,
}

impl Run {
    /// The flags as the scenario reads them.
    pub(super) fn overrides(&self) -> Overrides {
        let load = &self.load;
        let mut overrides = Overrides {
            rate: load.rate.clone(),
            concurrency: load.concurrency.clone(),
            ramp: load.ramp.clone(),
            duration: load.duration.clone(),
            connections: load.connections.clone(),
            max_open: load.max_open.clone(),
            thresholds: self.judgement.thresholds.clone(),
            abort_when: self.judgement.abort_when.clone(),
            workers: load.workers.clone(),
            seed: load.seed.clone(),
            name: load.name.clone(),
            session: self.session.overrides(),
            ..Overrides::default()
        };
        self.connection.put_into(&mut overrides);
        overrides
    }
}

/// How many attempts, when.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct LoadFlags {
    /// Open loop: attempts become due at this rate, such as 5000/s, whether or not earlier ones have ended
    #[arg(long, value_name = "RATE", conflicts_with = "concurrency")]
    pub(super) rate: Option<String>,
    /// Closed loop: so many slots, each starting its next attempt when the last has ended
    #[arg(long, value_name = "SLOTS")]
    pub(super) concurrency: Option<String>,
    /// Rise from 0 to the rate over this time first
    #[arg(long, value_name = "TIME")]
    pub(super) ramp: Option<String>,
    /// How long, after the ramp
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<String>,
    /// Stop after so many attempts
    #[arg(long, value_name = "N")]
    pub(super) connections: Option<String>,
    /// Have at most so many open at once; arrivals beyond are skipped, and counted
    #[arg(long, value_name = "N")]
    pub(super) max_open: Option<String>,
    /// Name of the run; names its report
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Seed of every random choice
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<String>,
    /// Worker threads [default: one a core, more where descriptors ask for it]
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<String>,
}

/// From where, and how a connection lives.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub(in crate::cli) struct ConnectionFlags {
    /// Source addresses, ranges and CIDR blocks, with commas; '127.0.0.2 * 3' has three times the share
    #[arg(long, value_name = "A,B-C,CIDR")]
    pub(super) source: Option<String>,
    /// Who chooses the source port: kernel (what an ordinary client does), explicit or explicit:LO-HI
    /// (we do), naive-bind (the kernel at bind), or LO-HI (the kernel, within a range)
    #[arg(long, value_name = "POLICY")]
    pub(super) ports: Option<String>,
    /// How long a connection stays open: 0s, 2s, 'uniform(1s,5s)', 'exponential(20s)' or until-end
    #[arg(long, value_name = "TIME")]
    pub(super) lifetime: Option<String>,
    /// Who closes, and how: fin, rst or peer
    #[arg(long, value_name = "HOW")]
    pub(super) close: Option<String>,
    /// Longest wait for a connection
    #[arg(long, value_name = "TIME")]
    pub(super) connect_timeout: Option<String>,
    /// Longest wait for each handshake above TCP
    #[arg(long, value_name = "TIME")]
    pub(super) handshake_timeout: Option<String>,
}

impl ConnectionFlags {
    /// Says what the flags say.
    pub(in crate::cli) fn put_into(&self, overrides: &mut Overrides) {
        overrides.lifetime.clone_from(&self.lifetime);
        overrides.close.clone_from(&self.close);
        overrides.source.clone_from(&self.source);
        overrides.ports.clone_from(&self.ports);
        overrides.connect_timeout.clone_from(&self.connect_timeout);
        overrides.handshake_timeout.clone_from(&self.handshake_timeout);
    }
}

/// What the result is judged by, and what is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judgement and progress")]
pub(super) struct JudgementFlags {
    /// What the result is judged by, such as 'connect.p99 < 50ms'; may be given several times
    #[arg(long = "threshold", value_name = "METRIC OP VALUE")]
    pub(super) thresholds: Vec<String>,
    /// End the run early, as failed, as soon as this holds, such as 'failed.ratio > 50%'; looked at each
    /// second; may be given several times
    #[arg(long = "abort-when", value_name = "METRIC OP VALUE")]
    pub(super) abort_when: Vec<String>,
    /// Answer GET /metrics with OpenMetrics text on this address while the run goes on
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// Show progress: auto is live on a terminal, and a plain line every 10 s elsewhere
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) progress: ProgressWhen,
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
