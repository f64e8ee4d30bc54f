//! `connstorm plan`: what a load would do to a host, before it is run.

use super::exit::Exit;
use super::input::{self, InputError};
use super::output::{Output, say_styled, style_for};
use super::run::read_plan;
use crate::capacity::{
    self, Advice, Demand, Ends, Forecast, HostLimits, RateCourse, SweepPoint, forecast, remedies,
};
use crate::host::held_ports::{self, HeldLook};
use crate::host::snapshot::SavedHost;
use crate::linux::sysctl::HostSettings;
use crate::plan;
use crate::plan::units::{Rate, parse_count};
use crate::plan::{Colour, Overrides, Plan};
use crate::report::plan_text::{self, Layout};
use crate::report::{Style, sweep_text};
use crate::run::from_plan;
use crate::run::from_plan::Whereto;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  # 2,000 short connections a second to one server: how long do the ports of
  # this host last?
  connstorm plan --rate 2000/s

  # 50,000 WebSockets held by 4 addresses, each for 10 minutes on average
  connstorm plan --rate 83/s --lifetime 'exponential(10m)' --held 50000 \\
    --sources 4

  # Which rate is too high? A table and a chart
  connstorm plan --rate 100..5000 --lifetime 2s

  # The load of a scenario, with what is held of its ports on this host now
  connstorm plan scenarios/first-run.toml --rate 2000/s

  # The same on another host, whose settings were saved there
  connstorm plan scenarios/first-run.toml --host host.json

  # A scenario that another program writes; flags override it, as for run
  sed 's/2000/1000/' scenarios/first-run.toml | connstorm plan - --rate 50/s";

/// Content of a file that `doctor --save` writes.
const SETTINGS: &str = "host's settings";

/// The longest file of settings that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Width of the text where the terminal does not say.
const WIDTH: usize = 80;

/// Forecasts what a load does to this host: what breaks first, when, and what to change
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArgs {
    /// A scenario file, '-' for one on standard input, or a target: its load, sources and ports [default: what the
    /// flags say]
    #[arg(value_name = "SCENARIO.toml|URL|-")]
    scenario: Option<String>,
    /// Attempts a second, such as 2000/s; or a range of rates, such as 100..5000 [default: those of the scenario]
    #[arg(long, value_name = "RATE|A..B")]
    rate: Option<String>,
    /// Rates looked at in a range
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=200))]
    steps: u16,
    /// Time in which the rate goes up from zero [default: 0s]
    #[arg(long, value_name = "TIME")]
    ramp: Option<String>,
    /// Time for which the rate is held [default: without an end]
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// Time that a connection stays open: 2s, uniform(1s,5s), exponential(20s), until-end [default: 0s]
    #[arg(long, value_name = "TIME")]
    lifetime: Option<String>,
    /// Who closes, and how: fin, rst, peer [default: fin]
    #[arg(long, value_name = "HOW")]
    close: Option<String>,
    /// Who chooses source ports: kernel, explicit, explicit:LO-HI, naive-bind, LO-HI [default: kernel]
    #[arg(long, value_name = "POLICY")]
    ports: Option<String>,
    /// Number of source addresses [default: those of the scenario, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sources: Option<u32>,
    /// Number of (address, port) pairs connected to [default: those of the scenario, a name counted as one address;
    /// or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    destinations: Option<u32>,
    /// Connections held open from beginning to end, beside those of --rate [default: 0]
    #[arg(long, value_name = "N")]
    held: Option<String>,
    /// Arrivals open at once, at most; those beyond are not made [default: no limit]
    #[arg(long, value_name = "N")]
    max_open: Option<String>,
    /// The target is on this host, at a loopback address (127.0.0.0/8 or ::1)
    #[arg(long)]
    loopback: bool,
    /// All sockets are in one descriptor table, as those of other programs than connstorm are
    #[arg(long)]
    one_table: bool,
    /// Length of the accept queue that the listener asks for [default: 4096]
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
    let inputs: Vec<&Path> =
        args.host.as_deref().into_iter().chain(args.scenario.as_deref().map(Path::new)).collect();
    let [json] = Output::open_all([args.json.as_deref()], &inputs)?;
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
    let text = input::read(SETTINGS, path, LONGEST)?;
    Ok(SavedHost::parse(&text).map_err(|error| InputError::new(SETTINGS, path, error))?)
}

/// A demand, and the rates at which it is looked at; none for its own rate alone.
struct Asked {
    demand: Demand,
    rates: Vec<f64>,
}

/// Question that the arguments ask, or what is wrong with them, ready to print.
fn asked(args: &PlanArgs, host: &HostSettings) -> Result<Asked, String> {
    let (rate, rates) = match args.rate.as_deref().map(|text| text.split_once("..").ok_or(text)) {
        None => (Rate::ZERO, Vec::new()),
        Some(Err(text)) => (flag("--rate", text.parse::<Rate>())?, Vec::new()),
        Some(Ok((from, to))) => {
            let (from, to): (Rate, Rate) = (flag("--rate", from.parse())?, flag("--rate", to.parse())?);
            (to, steps(from, to, args.steps)?)
        }
    };
    let mut demand = spoken(args, rate, host)?;
    if let Some(text) = args.held.as_deref() {
        demand.held = flag("--held", parse_count(text))?;
    }
    let accept_rate = args.accept_rate.as_deref().map(|text| flag("--accept-rate", text.parse::<Rate>()));
    demand.accept_rate = accept_rate.transpose()?.map(Rate::as_per_second);
    if args.scenario.is_none() && rate == Rate::ZERO && demand.held == 0 {
        return Err(
            "connstorm: nothing is asked for; give a scenario, --rate, such as --rate 2000/s, or --held"
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

/// The demand of a scenario, or of those flags alone that `run` has too, read by its rules.
fn spoken(args: &PlanArgs, rate: Rate, host: &HostSettings) -> Result<Demand, String> {
    let asks = rate > Rate::ZERO;
    // Where there is no scenario, nothing is connected to; flags are read as part of one, which has a target.
    let mut overrides = match &args.scenario {
        Some(_) => Overrides::default(),
        None => Overrides::to("tcp://127.0.0.1:1"),
    };
    let asked_rate = asks.then(|| rate.to_string());
    for (flag, given) in [
        ("--rate", &asked_rate),
        ("--ramp", &args.ramp.clone().filter(|_| asks)),
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
    match &args.scenario {
        Some(what) => of_scenario(args, &read_plan(what, &overrides)?, host),
        None => of_flags(args, &overrides, asks),
    }
}

/// The demand of a scenario, with what is held of its ports on this host now; on another host, with nothing held. Names
/// are not looked up: one counts as one address, beyond this host.
fn of_scenario(args: &PlanArgs, plan: &Plan, host: &HostSettings) -> Result<Demand, String> {
    let destinations = destinations(plan);
    let ends = match plan.serve {
        Some(_) => Ends::OneProgram,
        None if destinations.iter().all(|destination| destination.ip().is_loopback()) => Ends::TwoPrograms,
        None => Ends::Client,
    };
    let supply = from_plan::supply(plan, &destinations, host);
    let seen = match &args.host {
        None => held_ports::look(&supply).unwrap_or_default(),
        Some(_) => HeldLook::default(),
    };
    let mut whereto = Whereto::of(&supply.holding(seen.sockets), ends);
    whereto.loopback |= args.loopback;
    if let Some(destinations) = args.destinations {
        (whereto.destinations, whereto.tuples) = (destinations, Vec::new());
    }
    let mut demand = from_plan::demand(plan, whereto).ok_or(
        "connstorm: how fast a closed loop goes whose connections are closed at once is only found by running it; \
         give --rate to plan for a rate",
    )?;
    if let Some(sources) = args.sources {
        (demand.sources, demand.tuples) = (sources, Vec::new());
    }
    Ok(demand)
}

/// Where a plan connects to, as far as that can be told without a look-up.
fn destinations(plan: &Plan) -> Vec<SocketAddr> {
    // TEST-NET-1: nobody's address.
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let Some(target) = &plan.target else {
        return plan.serve.iter().flat_map(|serve| serve.listen.iter().copied()).collect();
    };
    let literal = target.host.split('%').next().and_then(|host| host.parse().ok());
    let localhost = (target.host == "localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = literal.or(localhost).unwrap_or(ELSEWHERE);
    target.ports.iter().map(|port| SocketAddr::new(address, *port)).collect()
}

/// The demand of flags alone.
fn of_flags(args: &PlanArgs, overrides: &Overrides, asks: bool) -> Result<Demand, String> {
    let colour = match style_for(&io::stderr()) {
        Style::Plain => Colour::Plain,
        Style::Coloured => Colour::Ansi,
    };
    let plan = plan::from_flags(overrides).map_err(|mistakes| mistakes.render(colour))?;
    let ends = if args.loopback { Ends::TwoPrograms } else { Ends::Client };
    let destinations = args.destinations.unwrap_or(1);
    let whereto = Whereto { destinations, loopback: args.loopback, tuples: Vec::new(), ends };
    let mut demand =
        from_plan::demand(&plan, whereto).context("an open loop has a demand").map_err(|e| e.to_string())?;
    demand.sources = args.sources.unwrap_or(1);
    if !asks {
        demand.arrivals = RateCourse::endless(0.0);
    } else if args.duration.is_none() {
        // The load of the flags goes on for ever where nothing ends it.
        let rate = demand.arrivals.pieces.pop().map_or(Rate::ZERO, |last| last.to);
        demand.arrivals.after = rate;
    }
    Ok(demand)
}

/// Answer, as text or as JSON.
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
