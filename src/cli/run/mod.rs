//! `connstorm run`: the main job. Reads the scenario, starts its target if it brings one, runs it, and
//! reports.

mod args;
mod progress;

pub(super) use args::Run;

use super::exit::Exit;
use super::interrupt::Interrupt;
use super::output::{Output, say, style_for};
use crate::conduct::{Conducted, Prepared};
use crate::engine::Control;
use crate::report::{RunResult, Style, Verdict, forecast, summary};
use crate::scenario::{self, Arrivals, Colour, Plan};
use anyhow::Context;
use args::{OutputFlags, ProgressWhen};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Runs it.
pub(super) fn run(args: &Run) -> anyhow::Result<Exit> {
    let plan = match read(args) {
        Ok(plan) => plan,
        Err(mistakes) => {
            say(mistakes.trim_end());
            return Ok(Exit::Usage);
        }
    };
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    // Opened first: what can't be written should fail before the run, not after it.
    let json = args.output.json.as_deref().map(Output::open).transpose()?;
    let conducted = watched(&plan, &interrupt, &args.output)?;
    let balance = conducted.run.conservation();
    let result = conducted.into_result(&plan);
    report(&result, json, &args.output)?;
    balance.map_err(anyhow::Error::msg).context("the books don't balance: a defect of connstorm")?;
    Ok(exit(result.verdict))
}

/// The plan, or the mistakes in it, ready to print.
fn read(args: &Run) -> Result<Plan, String> {
    let overrides = args.overrides();
    let colour = match style_for(&io::stderr()) {
        Style::Plain => Colour::Plain,
        Style::Coloured => Colour::Ansi,
    };
    let plan = if args.is_url() {
        scenario::from_flags(&overrides)
    } else {
        let path = Path::new(&args.what);
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        scenario::load_file(path, &text, &|name| std::env::var(name).ok(), &overrides)
    };
    plan.map_err(|mistakes| mistakes.render(colour))
}

/// What is wrong with a scenario file that can't be read, and what else may have been meant.
fn unreadable(path: &Path, error: &io::Error) -> String {
    format!(
        "connstorm: cannot read the scenario '{}': {error}; give a file such as scenarios/first-run.toml, or a \
         target such as tcp://127.0.0.1:9000",
        path.display()
    )
}

/// The run itself, with its progress shown and Ctrl-C passed on.
fn watched(plan: &Plan, interrupt: &Interrupt, output: &OutputFlags) -> anyhow::Result<Conducted> {
    let wanted = !output.quiet && output.progress == ProgressWhen::Auto;
    let line = progress::Line::new(wanted, end(plan), plan.load.connections);
    let control = Control::default();
    let prepared = Prepared::new(plan)?;
    if let Some(forecast) = prepared.forecast().filter(|_| !output.quiet) {
        say(&format!("forecast: {}", forecast::beforehand(forecast)));
    }
    let conducted = prepared.run(&control, |progress| {
        if interrupt.asked() {
            control.interrupt();
        }
        line.show(progress);
    });
    line.finish();
    Ok(conducted?)
}

/// When the plan's arrivals end by time.
fn end(plan: &Plan) -> Option<Duration> {
    match &plan.load.arrivals {
        Arrivals::Open(stages) => Some(stages.iter().map(|stage| stage.over).sum()),
        Arrivals::Closed { duration, .. } => *duration,
    }
}

/// Everything that was asked for. What can't be written does not keep the rest from being written.
fn report(result: &RunResult, json: Option<Output>, output: &OutputFlags) -> anyhow::Result<()> {
    let to_stderr = json.as_ref().is_some_and(Output::is_stdout);
    let written = json.map_or(Ok(()), |json| json.write_json(result));
    if !output.quiet {
        if to_stderr {
            let _ = io::stderr().write_all(summary::render(result, style_for(&io::stderr())).as_bytes());
        } else {
            Output::Stdout.write(&summary::render(result, style_for(&io::stdout())))?;
        }
    }
    written
}

fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::ThresholdsFailed,
        Verdict::Invalid => Exit::Invalid,
        Verdict::Interrupted => Exit::Interrupted,
    }
}
