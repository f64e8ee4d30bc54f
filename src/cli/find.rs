//! `connstorm find`: the largest load at which the thresholds hold.

use super::exit::Exit;
use super::interrupt::Interrupt;
use super::output::{Output, say, say_styled, style_for};
use super::run::read_plan;
use super::scenario_flags::ScenarioFlags;
use crate::capacity::SearchLimits;
use crate::find::{Asked, Step, connections, find};
use crate::model::Side;
use crate::model::format::seconds;
use crate::plan::units::{Rate, parse_count, parse_duration};
use crate::report::find::{render, render_markdown};
use crate::result::find::{FindReport, Quantity};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # How many connections a second does the server take, 99 % within 50 ms?
  connstorm find tcp://127.0.0.1:9000 --threshold 'connect.p99 < 50ms'

  # A gate for CI: exit code 3 where it takes less
  connstorm find scenarios/first-run.toml --at-least 1500/s --most 2000/s \\
    --probe 2s --summary find.md

  # How many can it hold?
  connstorm find scenarios/first-run.toml --what held --start 200 --most 800

  # How many messages a second does it answer, over 50 connections?
  connstorm find ws://127.0.0.1:9001/chat --what messages --connections 50 \\
    --send 'ping {seq}' --expect echo --threshold 'round_trip.p99 < 50ms'

A value passes where every threshold holds and the target keeps up: response times do not
grow from the second quarter of the load to the fourth (for --what held, every connection is
open when the load ends). A queue that is worked off after the load is no success. What is
seen of it: handshakes, answers (--send with --expect, requests), the queue for accept() of a
target on this host.

Exit codes:
  0  found, and as much as --at-least wants
  1  could not run
  2  wrong usage or scenario
  3  less than --at-least wants, or not even the smallest value passes
  4  the generator was the limit
  130  interrupted, with what was found so far";

/// Finds the largest rate, number held, or messages a second, at which the thresholds hold, and what stopped it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FindArgs {
    /// A scenario file, '-' for one on standard input, or a target such as tcp://127.0.0.1:9000
    #[arg(value_name = "SCENARIO.toml|URL|-")]
    pub(super) what: String,
    /// Quantity that is made larger
    #[arg(long = "what", value_name = "QUANTITY", default_value = "rate")]
    quantity: Of,
    /// The first value probed: a rate such as 100/s, or a number [default: that of --at-least, or 100]
    #[arg(long, value_name = "VALUE")]
    start: Option<String>,
    /// The least that is wanted: exit code 3 where less is found [default: none]
    #[arg(long, value_name = "VALUE")]
    at_least: Option<String>,
    /// No value above it is probed
    #[arg(long, value_name = "VALUE", default_value = "1M")]
    most: String,
    /// Time that the load of a probe lasts
    #[arg(long, value_name = "TIME", default_value = "5s")]
    probe: String,
    /// Cooldown between probes [default: as long as ports in TIME_WAIT of earlier probes ask for]
    #[arg(long, value_name = "TIME")]
    pause: Option<String>,
    /// The interval may be so wide, as a percentage of its upper end
    #[arg(long, value_name = "PERCENT", default_value_t = 3.0)]
    tolerance: f64,
    /// Most repetitions of a doubtful probe before the majority counts
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=20))]
    repeats: u32,
    /// Write the figure and all probes as JSON
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write the figure, what stopped it and all probes in Markdown, such as for "$GITHUB_STEP_SUMMARY"
    #[arg(long, value_name = "FILE|-")]
    summary: Option<PathBuf>,
    /// Show secrets in outputs and errors: what came from ${NAME}, headers, queries, messages
    #[arg(long)]
    show_secrets: bool,
    /// Say nothing while it goes on
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    pub(super) scenario: ScenarioFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Attempts a second
    Rate,
    /// Connections held at once
    Held,
    /// Messages a second, over as many connections as the scenario has
    Messages,
}

/// Searches, and reports.
///
/// # Errors
/// When a probe can't begin, or the output can't be written.
pub(super) fn run(args: &FindArgs) -> anyhow::Result<Exit> {
    let asked = match asked(args) {
        Ok(asked) => asked,
        Err(mistake) => {
            say(&format!("connstorm: {mistake}"));
            return Ok(Exit::Usage);
        }
    };
    let plan = match read_plan(&args.what, &args.scenario.0) {
        Ok(plan) => plan,
        Err(mistakes) => {
            say_styled(&mistakes);
            return Ok(Exit::Usage);
        }
    };
    let plan = if args.show_secrets { plan.with_secrets_shown() } else { plan };
    if asked.quantity == Quantity::Messages && connections(&plan).is_none() {
        say(
            "connstorm: --what messages needs a scenario that says what is sent, over how many connections: \
             `send` in [messages], and `closed = { slots = N }`, `connections` or `max_open` in [load]",
        );
        return Ok(Exit::Usage);
    }
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    let wanted = [args.json.as_deref(), args.summary.as_deref()];
    let [json, summary] = Output::open_all(wanted, &[Path::new(&args.what)])?;
    let mut report =
        find(&plan, &asked, &|| interrupt.asked(), |step| tell(step, args.quiet, asked.quantity))?;
    report.judge(asked.limits.decide);
    let stdout_is_taken = [&json, &summary].into_iter().flatten().any(Output::is_stdout);
    if let Some(json) = json {
        json.write_json(&report)?;
    }
    if let Some(summary) = summary {
        summary.write(&render_markdown(&report))?;
    }
    if stdout_is_taken {
        say_styled(&render(&report, style_for(&io::stderr())));
    } else {
        Output::Stdout.write(&render(&report, style_for(&io::stdout())))?;
    }
    Ok(exit(&report))
}

fn exit(report: &FindReport) -> Exit {
    match &report.stopped_by {
        _ if report.interrupted => Exit::Interrupted,
        _ if report.enough == Some(true) => Exit::Passed,
        _ if report.enough == Some(false) => Exit::ThresholdsFailed,
        Some(stopped) if stopped.side == Side::Generator => Exit::Invalid,
        _ if report.passing.is_none() => Exit::ThresholdsFailed,
        _ => Exit::Passed,
    }
}

fn tell(step: &Step<'_>, quiet: bool, quantity: Quantity) {
    match step {
        _ if quiet => {}
        Step::Probing(_) => {}
        Step::Probed(probe) => {
            let why = probe.reasons.first().map_or(String::new(), |reason| format!(": {reason}"));
            let verdict = crate::result::verdict_word(probe.verdict);
            say(&format!("probe {}: {verdict}{why}", quantity.show(probe.value)));
        }
        Step::Resting(time) => {
            say(&format!("resting {} until ports in TIME_WAIT are free", seconds(time.as_secs_f64())));
        }
    }
}

fn asked(args: &FindArgs) -> Result<Asked, String> {
    let quantity = match args.quantity {
        Of::Rate => Quantity::Rate,
        Of::Held => Quantity::Held,
        Of::Messages => Quantity::Messages,
    };
    let value = |flag: &str, text: &str| {
        let read = match quantity {
            Quantity::Rate | Quantity::Messages => text.parse::<Rate>().map(Rate::as_per_second),
            Quantity::Held => parse_count(text).map(|count| count as f64),
        };
        read.map_err(|error| format!("{flag}: {error}"))
    };
    let time = |flag: &str, text: &str| parse_duration(text).map_err(|error| format!("{flag}: {error}"));
    if quantity == Quantity::Rate
        && let Some(flag) = ["--rate", "--concurrency", "--ramp", "--duration"]
            .into_iter()
            .find(|flag| args.scenario.0.has(flag))
    {
        return Err(format!(
            "{flag}: find makes the load itself; give --start and --most for the rates, and --probe for how long"
        ));
    }
    let length = time("--probe", &args.probe)?;
    if length < Duration::from_millis(100) {
        return Err("--probe: a probe lasts 100ms at least".into());
    }
    let decide = args.at_least.as_deref().map(|text| value("--at-least", text)).transpose()?;
    let start = args.start.as_deref().map(|text| value("--start", text)).transpose()?;
    let most = value("--most", &args.most)?;
    if let Some(decide) = decide.filter(|decide| *decide > most) {
        let (decide, most) = (quantity.show(decide), quantity.show(most));
        return Err(format!(
            "--at-least: {decide} is more than is ever probed ({most}); give a larger --most"
        ));
    }
    let mut limits = SearchLimits::new(start.or(decide).unwrap_or(100.0), most);
    limits.decide = decide;
    limits.tolerance = args.tolerance / 100.0;
    limits.repeats = args.repeats;
    crate::capacity::Search::new(limits).map_err(|error| error.to_string())?;
    let pause = args.pause.as_deref().map(|text| time("--pause", text)).transpose()?;
    Ok(Asked { quantity, limits, length, pause })
}
