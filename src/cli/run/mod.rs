//! `connstorm run`: the main job. Reads the scenario, starts its target if it brings one, runs it, and
//! reports.

mod args;
mod division;
mod exporter;
mod journal;
mod progress;
mod push;

pub(super) use args::Run;

use super::exit::Exit;
use super::input::{self, InputError};
use super::interrupt::Interrupt;
use super::output::{say, say_styled, style_for};
use super::outputs::{Outputs, Summary};
use crate::engine::Control;
use crate::linux::memory::available;
use crate::model::TraceEvent;
use crate::plan;
use crate::plan::secrets::command_line;
use crate::plan::{Arrivals, Colour, Overrides, Plan, Surroundings, TargetUrl};
use crate::report::trace::Trace;
use crate::report::{Style, forecast, plan_line};
use crate::result::{Completed, RunResult};
use crate::run::{Prepared, StartRunError, make_ready, prepare};
use anyhow::Context;
use args::{ProgressFlags, ProgressWhen};
use exporter::Exporter;
use journal::Journal;
use push::Push;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Runs it.
pub(super) fn run(args: &Run) -> anyhow::Result<Exit> {
    let plan = match read_plan(&args.what, &args.scenario.0) {
        Ok(plan) => plan,
        Err(mistakes) => {
            say_styled(&mistakes);
            return Ok(Exit::Usage);
        }
    };
    let slice = match args.division.slice(&plan) {
        Ok(slice) => slice,
        Err(error) => {
            say(&format!("connstorm: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let plan = if args.progress.show_secrets { plan.with_secrets_shown() } else { plan };
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    // Looked at first: what can't be written should fail before the run, not after it.
    let outputs = args.output.open(&inputs(&args.what, &plan))?;
    let mut journal = args.output.json.as_deref().and_then(|file| Journal::beside(file, &plan));
    let prepared = prepare(&plan, slice, &|| interrupt.asked());
    let completed = prepared.map_err(anyhow::Error::from);
    let completed = completed.and_then(|prepared| watched(prepared, &interrupt, args, journal.as_mut()));
    let (completed, exporter, push) = match completed {
        Err(error) if matches!(error.downcast_ref(), Some(StartRunError::Interrupted)) => {
            // Outputs are dropped as they are: earlier files stay whole.
            say(&format!("connstorm: {error}"));
            if let Some(journal) = journal {
                journal.remove();
            }
            return Ok(Exit::Interrupted);
        }
        completed => completed?,
    };
    let balance = completed.run.conservation();
    let command = Some(command(&plan, args.progress.show_secrets));
    let result = RunResult { command, ..completed.into_result(&plan) };
    let exit = Exit::of(result.verdict);
    let shown =
        Summary { verbose: args.output.verbose, stdout_is_taken: outputs.use_stdout(), exit: Some(exit) };
    report(&result, outputs, (!args.progress.quiet).then_some(shown))?;
    if let Some(journal) = journal {
        journal.remove();
    }
    push.finish(&result);
    if let Some(exporter) = exporter {
        exporter.finish(&result);
    }
    balance.map_err(anyhow::Error::msg).context("the counts do not add up: a defect of connstorm")?;
    Ok(exit)
}

/// The command line, as a report may tell it.
fn command(plan: &Plan, show_secrets: bool) -> String {
    let given: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words = std::iter::once("connstorm").chain(given.iter().map(String::as_str));
    if show_secrets { words.collect::<Vec<_>>().join(" ") } else { command_line(words, &plan.secret_texts()) }
}

/// The files that a run reads.
pub(super) fn inputs<'a>(what: &'a str, plan: &'a Plan) -> Vec<&'a Path> {
    let tls = &plan.session.tls;
    let of_tls = [&tls.ca, &tls.cert, &tls.key].into_iter().flatten().map(PathBuf::as_path);
    let scenario = (!is_target(what)).then_some(Path::new(what));
    let data = plan.data.iter().map(|table| table.file.as_path());
    scenario.into_iter().chain(of_tls).chain(data).collect()
}

/// True if the argument is a target: a URL, or HOST:PORT where no file has that name.
fn is_target(what: &str) -> bool {
    what.contains("://") || (what.parse::<TargetUrl>().is_ok() && !Path::new(what).exists())
}

/// The longest scenario that is read, in bytes.
const LONGEST_SCENARIO: u64 = 16 << 20;

/// The plan of a scenario file, or of a target and flags; or the mistakes in it, ready to print.
pub(super) fn read_plan(what: &str, overrides: &Overrides) -> Result<Plan, String> {
    let colour = match style_for(&io::stderr()) {
        Style::Plain => Colour::Plain,
        Style::Coloured => Colour::Ansi,
    };
    let plan = if is_target(what) {
        plan::from_flags(&overrides.clone().with_target(what))
    } else {
        let path = Path::new(what);
        let text = input::read("scenario", path, LONGEST_SCENARIO).map_err(|error| unreadable(&error))?;
        // The name that messages show, and that names the scenario where it does not.
        let path = if input::is_stdin(path) { Path::new("stdin") } else { path };
        let surroundings =
            Surroundings { environment: &|name| std::env::var(name).ok(), files: &input::beginning };
        plan::load_file_with(path, &text, &surroundings, overrides)
    };
    plan.map_err(|mistakes| mistakes.render(colour))
}

/// Message for a scenario file that can't be read, with what else may have been meant.
fn unreadable(error: &InputError) -> String {
    format!(
        "connstorm: {error}; give a file such as scenarios/first-run.toml, '-' for standard input, or a target such \
         as tcp://127.0.0.1:9000"
    )
}

/// Told at the first signal.
const ENDING: &str = "connstorm: interrupted: what is open is closed, then the report is written; \
                      a second Ctrl-C ends at once, without a report";

/// The run itself, with its progress shown and Ctrl-C passed on.
fn watched(
    prepared: Prepared,
    interrupt: &Interrupt,
    args: &Run,
    mut journal: Option<&mut Journal>,
) -> anyhow::Result<(Completed, Option<Exporter>, Push)> {
    let flags = &args.progress;
    let share = prepared.share();
    let progress = if flags.quiet { ProgressWhen::Never } else { flags.progress };
    let mut exporter = flags.listen.map(|address| Exporter::start(address, &share)).transpose()?;
    let push = Push::start(&args.push)?;
    let mut line = progress::Line::new(progress, end(&share), share.load.connections);
    let control = Control::default();
    if !flags.quiet {
        say(&format!("plan: {}", plan_line(&share, available())));
    }
    if let Some(forecast) = prepared.forecast().filter(|_| !flags.quiet) {
        say(&format!("forecast: {}", forecast::beforehand(forecast)));
    }
    let (prepared, mut trace) = tracing(prepared, flags);
    let ready = make_ready(prepared, &control, &|| interrupt.asked())?;
    let (clock, told) = args.division.clock(end(&share))?;
    told.filter(|_| !flags.quiet).iter().for_each(|told| say(told));
    let completed = ready.run(clock, |progress| {
        let stopped = exporter.as_ref().is_some_and(Exporter::is_asked_to_stop);
        if (interrupt.asked() || stopped) && !control.is_interrupted() {
            control.interrupt();
            say(ENDING);
        }
        line.show(progress);
        trace.tell();
        if let Some(journal) = &mut journal {
            journal.look(progress);
        }
        if let Some(exporter) = &mut exporter {
            exporter.look(progress);
        }
        push.look(progress);
    });
    trace.tell();
    line.finish();
    Ok((completed, exporter, push))
}

/// The connections that are to be traced, and the run that traces them.
fn tracing(prepared: Prepared, flags: &ProgressFlags) -> (Prepared, Tracing) {
    let trace = Trace::new(prepared.plan(), flags.show_secrets);
    let (to_us, events) = channel();
    let prepared = if flags.trace > 0 { prepared.tracing(flags.trace, to_us) } else { prepared };
    (prepared, Tracing { trace, events })
}

/// Traced connections while they go on.
struct Tracing {
    trace: Trace,
    events: Receiver<TraceEvent>,
}

impl Tracing {
    /// Tells what has happened since the last time.
    fn tell(&mut self) {
        for event in self.events.try_iter() {
            self.trace.lines(&event).iter().for_each(|line| say_styled(line));
        }
    }
}

/// When the plan's arrivals end by time.
fn end(plan: &Plan) -> Option<Duration> {
    match &plan.load.arrivals {
        Arrivals::Open(stages) => Some(stages.iter().map(|stage| stage.over).sum()),
        Arrivals::Closed { duration, .. } => *duration,
    }
}

/// Everything that was asked for. What can't be written does not keep the rest from being written.
fn report(result: &RunResult, outputs: Outputs, summary: Option<Summary>) -> anyhow::Result<()> {
    let written = outputs.write(result);
    summary.map_or(Ok(()), |summary| summary.show(result))?;
    written
}
