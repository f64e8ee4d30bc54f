//! `connstorm lab`: failures on demand, in namespaces that leave nothing behind.

mod beside;
mod shell;

use super::exit::Exit;
use super::output::{Output, say, style_for};
use crate::lab::table::{self, Row};
use crate::lab::{self, Answer, Cure, Distractor, Experiment, Holder, Way, plain_server, text};
use crate::report::explain;
use crate::report::output::{Format, Html};
use crate::result::RunResult;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  # Why does my client get \"Cannot assign requested address\"?
  connstorm lab too-many-held
  connstorm lab time-wait-churn --cure

  # One cure by its name, or all of them one after the other
  connstorm lab time-wait-churn --cure=rst
  connstorm lab time-wait-churn --cure=all

  # My own program with 64 ports, to see what it does when they run out
  connstorm lab shell --ports 40000-40063 --tw-reuse 0 -- ./my-client

Nothing needs root, and nothing outside the namespace is changed.

Exit codes:
  0  the failure was had, and its cause was named first
  1  could not run: namespaces are forbidden here, say
  2  wrong usage: no such experiment
  3  another cause was named, or a cure did not help";

/// Reproduces a failure in a throw-away namespace, explains it, and shows its cure
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Lab {
    #[command(subcommand)]
    what: Option<What>,
    /// The experiment; `connstorm lab list` names all
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "perform", "ordinary_server", "beside", "hold"])]
    name: Option<String>,
    /// Then do it again with the remedy applied: the first cure, the one of this name, or all [default:
    /// no cure]
    #[arg(long, value_name = "CURE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    cure: Option<String>,
    /// Do all experiments, one after the other
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Do it with each of ten things beside it that are not its cause, or with those of these names, and print the
    /// table: the first finding stays, and nothing else is proved. All experiments take some ten minutes [default:
    /// nothing beside it]
    #[arg(
        long,
        value_name = "NAME,NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_parser = beside::several,
        conflicts_with_all = ["cure", "json", "html"]
    )]
    distractors: Option<beside::Several>,
    /// Print just a table in Markdown: what the diagnosis says of each
    #[arg(long)]
    table: bool,
    /// Write the result as JSON to a file, or to standard output with '-': that of `run`; with --cure an
    /// object of `before` and `after`; with --all a list
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write the page for browsers of the run before any cure
    #[arg(long, value_name = "FILE|-", conflicts_with = "all")]
    html: Option<PathBuf>,
    /// Inside the namespace: do the experiment of this name, and answer with JSON
    #[arg(long, hide = true, value_name = "NAME", conflicts_with_all = ["all", "name"])]
    perform: Option<String>,
    /// Inside the namespace: be a server like most
    #[arg(long, hide = true, value_name = "ADDRESS:PORT", conflicts_with_all = ["all", "name", "perform"])]
    ordinary_server: Option<SocketAddr>,
    /// Inside the namespace: the connections that the server like most keeps
    #[arg(long, hide = true, value_name = "N", default_value_t = usize::MAX)]
    at_most: usize,
    /// Inside the namespace: be another program that does this; with --perform, have one beside it
    #[arg(long, hide = true, value_name = "NAME", value_parser = beside::named)]
    beside: Option<Distractor>,
    /// Inside the namespace: be another program that holds these
    #[arg(long, hide = true, value_name = "WAY", value_parser = beside::way, requires_all = ["hold_from", "hold_to"])]
    hold: Option<Way>,
    /// Inside the namespace: where its connections come from
    #[arg(long, hide = true, value_name = "ADDRESS")]
    hold_from: Option<IpAddr>,
    /// Inside the namespace: where they go
    #[arg(long, hide = true, value_name = "ADDRESS:PORT")]
    hold_to: Option<SocketAddr>,
    /// Inside the namespace: how many they are
    #[arg(long, hide = true, value_name = "N", default_value_t = 1)]
    hold_count: u32,
    /// Inside the namespace: the process that the load comes from
    #[arg(long, hide = true, value_name = "PID", default_value_t = 0)]
    generator: u32,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists all experiments
    List,
    Shell(shell::Shell),
}

/// Values as they were, for JSON.
#[derive(Debug, Serialize)]
struct Had {
    experiment: String,
    before: RunResult,
    /// Cure and result, in the order in which they were tried.
    after: Vec<Cured>,
}

#[derive(Debug, Serialize)]
struct Cured {
    cure: String,
    remedy: String,
    result: RunResult,
}

/// Does what is asked.
pub(super) fn run(args: &Lab) -> anyhow::Result<ExitCode> {
    match &args.what {
        Some(What::Shell(args)) => shell::run(args),
        Some(What::List) => {
            Output::Stdout.write(&text::list(&lab::all(), style_for(&io::stdout())))?;
            Ok(Exit::Passed.into())
        }
        None => Ok(experiments(args)?.into()),
    }
}

fn experiments(args: &Lab) -> anyhow::Result<Exit> {
    if let Some(name) = &args.perform {
        return perform(name, args);
    }
    if let Some(listen) = args.ordinary_server {
        plain_server::serve(listen, args.at_most, || drop(Output::Stdout.write("ready\n")))?;
    }
    if let (Some(way), Some(source), Some(destination)) = (args.hold, args.hold_from, args.hold_to) {
        let holder = Holder { way, source, destination, count: args.hold_count };
        holder.go_on(|| drop(Output::Stdout.write("ready\n")))?;
    }
    if let Some(distractor) = args.beside {
        distractor.go_on(args.generator, || drop(Output::Stdout.write("ready\n")))?;
        return Ok(Exit::Passed);
    }
    let experiments = match &args.name {
        None => lab::all(),
        Some(name) => match lab::find(name) {
            Ok(found) => vec![found],
            Err(unknown) => {
                say(&format!("connstorm: {unknown}"));
                return Ok(Exit::Usage);
            }
        },
    };
    if let Some(beside::Several(distractors)) = &args.distractors {
        return beside::table(&experiments, distractors);
    }
    if let Err(unknown) = experiments.iter().try_for_each(|e| cures(e, args).map(drop)) {
        say(&format!("connstorm: {unknown}"));
        return Ok(Exit::Usage);
    }
    let [json, html] = Output::open_all([args.json.as_deref(), args.html.as_deref()], &[])?;
    let quiet = args.table || [&json, &html].into_iter().flatten().any(Output::is_stdout);
    let (mut had, mut rows, mut missing) = (Vec::new(), Vec::new(), false);
    for experiment in &experiments {
        match one(experiment, args, quiet) {
            Ok((before, row)) => {
                had.push(before);
                rows.push(row);
            }
            // Of many, the others can be had all the same.
            Err(error @ lab::LabError::Missing { .. }) if args.all => {
                say(&format!("connstorm: {error}"));
                missing = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if args.table {
        Output::Stdout.write(&table::markdown(&rows))?;
    }
    if let (Some(html), Some(one)) = (html, had.first()) {
        html.write(&Html.render(&one.before)?)?;
    }
    if let Some(json) = json {
        written(json, had, args)?;
    }
    let as_meant = rows.iter().all(|row| row.is_named() && row.is_cured());
    Ok(match (as_meant, missing) {
        (false, _) => Exit::ThresholdsFailed,
        (true, true) => Exit::CouldNotRun,
        (true, false) => Exit::Passed,
    })
}

/// One experiment, with the cures that were asked for; each is told as soon as it has run.
fn one(experiment: &Experiment, args: &Lab, quiet: bool) -> Result<(Had, Row), lab::LabError> {
    let style = style_for(&io::stdout());
    let tell = |text: &str| {
        if !quiet {
            // A reader that has gone away is told nothing more; the exit code still counts.
            let _ = Output::Stdout.write(text);
        }
    };
    tell(&text::introduction(experiment, style));
    let before = lab::reproduce(experiment, None)?;
    tell(&explain::render(&before, style));
    let mut row = Row::of(experiment, &before);
    let mut after = Vec::new();
    for cure in cures(experiment, args).unwrap_or_default() {
        tell(&format!("\n{} {}: {}\n", style.bold("With the cure"), cure.name, cure.remedy));
        let result = lab::reproduce(experiment, Some(&cure))?;
        tell(&explain::side_by_side(&before, &result, style));
        row.cure(cure.name, &result);
        after.push(Cured { cure: cure.name.into(), remedy: cure.remedy.into(), result });
    }
    tell("\n");
    Ok((Had { experiment: experiment.name.into(), before, after }, row))
}

/// The cures that are to be tried; an unknown name is a mistake.
fn cures(experiment: &Experiment, args: &Lab) -> Result<Vec<Cure>, String> {
    match args.cure.as_deref() {
        None => Ok(Vec::new()),
        Some("") => Ok(experiment.cures.iter().take(1).cloned().collect()),
        Some("all") => Ok(experiment.cures.clone()),
        Some(name) => cure(experiment, name).map(|cure| vec![cure]),
    }
}

fn cure(experiment: &Experiment, name: &str) -> Result<Cure, String> {
    let found = experiment.cures.iter().find(|cure| cure.name == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = experiment.cures.iter().map(|cure| cure.name).collect();
        format!("'{}' has no cure '{name}'; it has {}", experiment.name, names.join(", "))
    })
}

fn written(json: Output, mut had: Vec<Had>, args: &Lab) -> anyhow::Result<()> {
    match had.pop() {
        Some(one) if had.is_empty() && !args.all => match args.cure {
            None => json.write_json(&one.before),
            Some(_) => json.write_json(&one),
        },
        last => {
            had.extend(last);
            json.write_json(&had)
        }
    }
}

/// The confined half: this process is in a namespace of its own already.
fn perform(name: &str, args: &Lab) -> anyhow::Result<Exit> {
    let experiment = lab::find(name).map_err(anyhow::Error::msg)?;
    let mut experiment = match args.cure.as_deref() {
        None => experiment,
        Some(with) => experiment.cured(&cure(&experiment, with).map_err(anyhow::Error::msg)?),
    };
    experiment.setting.beside = args.beside;
    let answer: Answer = lab::inside(&experiment);
    Output::Stdout.write_json(&answer)?;
    Ok(Exit::Passed)
}
