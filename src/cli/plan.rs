//! `connstorm plan`: what a load would do to a host, before it is run.

use super::exit::Exit;
use super::output::{Output, say_styled, style_for};
use super::run::read_plan;
use crate::capacity::{
    self, Advice, Demand, Ends, Forecast, HostLimits, RateCourse, SweepPoint, forecast, remedies,
};
use crate::engine::Destinations;
use crate::host::snapshot::SavedHost;
use crate::linux::sysctl::HostSettings;
use crate::plan;
use crate::plan::units::{Rate, parse_count};
use crate::plan::{Colour, Overrides};
use crate::report::plan_text::{self, Layout};
use crate::report::{Style, sweep_text};
use crate::run::from_plan;
use crate::run::from_plan::Whereto;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # 2,000 short connections a second to one server: how long do this host's ports last?
  connstorm plan --rate 2000/s

  # 50,000 WebSockets held by 4 addresses, reconnecting every 10 minutes on average
  connstorm plan --rate 83/s --lifetime 'exponential(10m)' --held 50000 --sources 4

  # Which rate is too high? A table and a chart
  connstorm plan --rate 100..5000 --lifetime 2s

  # What would a scenario do to this host, with what is held of its ports now? Nothing is opened
  connstorm plan scenarios/first-run.toml --rate 2000/s

  # The same for another host, whose settings were saved there
  connstorm plan --rate 2000/s --host host.json";

/// Width of the text where the terminal does not say.
const WIDTH: usize = 80;

/// Forecasts what a load does to this host: what breaks first, when, and what to change
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArgs {
    /// A scenario file, or a target such as tcp://127.0.0.1:9000, whose load is forecast; flags go before its fields
    #[arg(value_name = "SCENARIO.toml|URL")]
    scenario: Option<String>,
    /// Attempts a second, such as 2000/s; or a range of rates, such as 100..5000
    #[arg(long, value_name = "RATE|A..B")]
    rate: Option<String>,
    /// Rates looked at in a range
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=200))]
    steps: u16,
    /// Time in which the rate goes up from zero [default: none]
    #[arg(long, value_name = "TIME")]
    ramp: Option<String>,
    /// How long the rate is held [default: without an end]
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// How long a connection stays open: 2s, uniform(1s,5s), exponential(20s), until-end [default: 0s]
    #[arg(long, value_name = "TIME")]
    lifetime: Option<String>,
    /// Who closes, and how: fin, rst, peer [default: fin]
    #[arg(long, value_name = "HOW")]
    close: Option<String>,
    /// Who chooses source ports: kernel, explicit, explicit:LO-HI, naive-bind, LO-HI [default: kernel]
    #[arg(long, value_name = "POLICY")]
    ports: Option<String>,
    /// Number of source addresses
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "scenario",
        value_parser = clap::value_parser!(u32).range(1..))]
    sources: u32,
    /// Number of (address, port) pairs connected to
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "scenario",
        value_parser = clap::value_parser!(u32).range(1..))]
    destinations: u32,
    /// Connections held open from beginning to end, beside those of --rate [default: 0]
    #[arg(long, value_name = "N")]
    held: Option<String>,
    /// Arrivals open at once, at most; those beyond are not made
    #[arg(long, value_name = "N")]
    max_open: Option<String>,
    /// The target is on this host, at a loopback address (127.0.0.0/8 or ::1)
    #[arg(long, conflicts_with = "scenario")]
    loopback: bool,
    /// All sockets are in one descriptor table, as those of other programs than connstorm are
    #[arg(long)]
    one_table: bool,
    /// Length of the accept queue that the listener asks for
    #[arg(long, value_name = "N")]
    backlog: Option<u32>,
    /// Connections that the target accepts a second [default: as many as come]
    #[arg(long, value_name = "RATE")]
    accept_rate: Option<String>,
    /// Settings of another host, as `doctor --save` writes them [default: this host's]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Write demand, limits, forecast and remedies as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// The settings that were asked for, and the forecast for them.
///
/// # Errors
/// When the settings can't be read, or the output can't be written.
pub(super) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let settings = settings(args.host.as_deref())?;
    let mut host = from_plan::limits(&settings);
    host.private_tables = !args.one_table;
    host.backlog = args.backlog.unwrap_or(host.backlog);
    let asked = match asked(args, &settings) {
        Ok(asked) => asked,
        Err(mistake) => {
            say_styled(&mistake);
            return Ok(Exit::Usage);
        }
    };
    let [json] =
        Output::open_all([args.json.as_deref()], &args.host.as_deref().into_iter().collect::<Vec<_>>())?;
    let answer = Answer::to(asked, host);
    let quiet = json.as_ref().is_some_and(Output::is_stdout);
    if let Some(json) = json {
        json.write_json(&answer)?;
    }
    if !quiet {
        let layout = Layout { width: WIDTH, style: style_for(&io::stdout()) };
        Output::Stdout.write(&answer.text(layout))?;
    }
    Ok(Exit::Passed)
}

fn settings(file: Option<&Path>) -> anyhow::Result<HostSettings> {
    let Some(path) = file else { return Ok(HostSettings::read()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the host's settings '{}'", path.display()))?;
    SavedHost::parse(&text).with_context(|| format!("'{}' does not hold a host's settings", path.display()))
}

/// A demand, and the rates at which it is looked at; none for its own rate alone.
struct Asked {
    demand: Demand,
    rates: Vec<f64>,
}

/// What the arguments ask, or what is wrong with them, ready to print.
fn asked(args: &PlanArgs, settings: &HostSettings) -> Result<Asked, String> {
    let (rate, rates) = match args.rate.as_deref().map(|text| text.split_once("..").ok_or(text)) {
        None => (Rate::ZERO, Vec::new()),
        Some(Err(text)) => (flag("--rate", text.parse::<Rate>())?, Vec::new()),
        Some(Ok((from, to))) => {
            let (from, to): (Rate, Rate) = (flag("--rate", from.parse())?, flag("--rate", to.parse())?);
            (to, steps(from, to, args.steps)?)
        }
    };
    let mut demand = match &args.scenario {
        Some(scenario) => of_scenario(args, scenario, rate, settings)?,
        None => Demand { sources: args.sources, ..spoken(args, rate)? },
    };
    demand.held += args.held.as_deref().map_or(Ok(0), |text| flag("--held", parse_count(text)))?;
    let accept_rate = args.accept_rate.as_deref().map(|text| flag("--accept-rate", text.parse::<Rate>()));
    demand.accept_rate = accept_rate.transpose()?.map(Rate::as_per_second);
    if args.scenario.is_none() && rate == Rate::ZERO && demand.held == 0 {
        return Err(
            "connstorm: nothing is asked for; give --rate, such as --rate 2000/s, --held, or a scenario"
                .into(),
        );
    }
    Ok(Asked { demand, rates })
}

fn flag<T>(name: &str, value: Result<T, crate::plan::units::UnitError>) -> Result<T, String> {
    value.map_err(|error| format!("connstorm: {name}: {error}"))
}

/// Evenly spread rates, whole where they are above 10 a second.
fn steps(from: Rate, to: Rate, count: u16) -> Result<Vec<f64>, String> {
    let (from, to) = (from.as_per_second(), to.as_per_second());
    if !(from > 0.0 && to > from) {
        return Err(format!("connstorm: --rate: '{from}..{to}' is not a range that grows from above zero"));
    }
    let at = |n: u16| from + (to - from) * f64::from(n) / f64::from(count.max(2) - 1);
    let mut rates: Vec<f64> =
        (0..count.max(2)).map(at).map(|rate| if rate > 10.0 { rate.round() } else { rate }).collect();
    rates.dedup();
    Ok(rates)
}

/// The flags that `run` has too, as text.
fn overrides(args: &PlanArgs, rate: Rate) -> Overrides {
    let asks = rate > Rate::ZERO;
    let mut overrides = Overrides::default();
    let asked_rate = asks.then(|| rate.to_string());
    for (flag, given) in [
        ("--rate", &asked_rate),
        ("--ramp", &args.ramp.clone().filter(|_| asks || args.scenario.is_some())),
        ("--duration", &args.duration),
        ("--lifetime", &args.lifetime),
        ("--close", &args.close),
        ("--ports", &args.ports),
        ("--max-open", &args.max_open),
    ] {
        if let Some(text) = given {
            overrides.set(flag, text);
        }
    }
    overrides
}

/// The demand of a scenario on this host, with what is held of its ports now; on a host whose settings were saved,
/// with nothing held. Nothing is connected to.
fn of_scenario(
    args: &PlanArgs,
    scenario: &str,
    rate: Rate,
    settings: &HostSettings,
) -> Result<Demand, String> {
    let plan = read_plan(scenario, &overrides(args, rate))?;
    let own = plan.serve.as_ref().filter(|_| plan.target.is_none());
    let destinations = match (&plan.target, own) {
        (Some(target), _) => Destinations::resolve(target),
        (None, Some(serve)) => Destinations::Known(serve.listen.clone()),
        (None, None) => Destinations::Known(Vec::new()),
    };
    if let Some(why) = destinations.why_not() {
        return Err(format!("connstorm: where the connections of '{scenario}' go can't be told: {why}"));
    }
    let addresses = destinations.addresses();
    let whereto = match &args.host {
        None => from_plan::whereto(&plan, settings, addresses, own.is_some()),
        Some(_) => (!addresses.is_empty())
            .then(|| Whereto::of(&from_plan::supply(&plan, addresses, settings), Ends::Client)),
    };
    let whereto = whereto.ok_or_else(|| {
        format!("connstorm: '{scenario}' has no target: give it a [target] with a url, or a [serve] table")
    })?;
    from_plan::demand(&plan, whereto).ok_or_else(|| {
        format!(
            "connstorm: '{scenario}' is a closed loop whose connections are closed at once: how fast it goes is only \
             found by running it; give --rate, such as --rate 2000/s"
        )
    })
}

/// The demand of flags alone, read by the rules of `run`.
fn spoken(args: &PlanArgs, rate: Rate) -> Result<Demand, String> {
    let asks = rate > Rate::ZERO;
    // Nothing is connected to; flags are read as part of a scenario, which has a target.
    let overrides = overrides(args, rate).with_target("tcp://127.0.0.1:1");
    let colour = match style_for(&io::stderr()) {
        Style::Plain => Colour::Plain,
        Style::Coloured => Colour::Ansi,
    };
    let plan = plan::from_flags(&overrides).map_err(|mistakes| mistakes.render(colour))?;
    let ends = if args.loopback { Ends::TwoPrograms } else { Ends::Client };
    let tuples = Vec::new();
    let whereto = Whereto { destinations: args.destinations, loopback: args.loopback, tuples, ends };
    let mut demand =
        from_plan::demand(&plan, whereto).context("an open loop has a demand").map_err(|e| e.to_string())?;
    if !asks {
        demand.arrivals = RateCourse::endless(0.0);
    } else if args.duration.is_none() {
        demand.arrivals.pieces.pop();
        demand.arrivals.after = rate;
    }
    Ok(demand)
}

/// What is told, as text or as JSON.
#[derive(Serialize)]
struct Answer {
    demand: Demand,
    host: HostLimits,
    #[serde(flatten)]
    told: Told,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", untagged)]
enum Told {
    One { forecast: Box<Forecast>, advice: Advice },
    Sweep { sweep: Vec<SweepPoint> },
}

impl Answer {
    fn to(asked: Asked, host: HostLimits) -> Answer {
        let Asked { demand, rates } = asked;
        let told = if rates.is_empty() {
            Told::One { forecast: Box::new(forecast(&demand, &host)), advice: remedies(&demand, &host) }
        } else {
            Told::Sweep { sweep: capacity::sweep(&demand, &host, rates) }
        };
        Answer { demand, host, told }
    }

    fn text(&self, layout: Layout) -> String {
        match &self.told {
            Told::One { forecast, advice } => plan_text::render(&self.demand, forecast, advice, layout),
            Told::Sweep { sweep } => sweep_text::render(sweep, layout),
        }
    }
}
