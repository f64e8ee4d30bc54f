//! `connstorm watch`: what programs that are not ours do to ports, listeners and descriptors, and when it goes wrong.

mod args;
mod live;

pub(super) use args::WatchArgs;

use super::exit::Exit;
use super::http::{self, Answer, Feed, Request, Server, Site};
use super::interrupt::Interrupt;
use super::output::{say, say_styled, style_for};
use crate::linux::clock::Clock;
use crate::linux::holders;
use crate::linux::netns::Namespace;
use crate::model::Stamp;
use crate::report::openmetrics::CONTENT_TYPE;
use crate::report::shown::{clean, json_text};
use crate::report::{watch as text, watch_metrics};
use crate::result::{
    OnsetReport, Verdict, WATCH_SCHEMA_VERSION, WatchLine, WatchLook, WatchReport, WatchStart,
};
use crate::watch::program::Program;
use crate::watch::{Closeness, Company, Watch, WatchConfig};
use anyhow::Context;
use live::{Asked, Live};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks; the budget of the watch says which of them look at the sockets.
const STEP: Duration = Duration::from_millis(250);
/// A program that was started may be gone soon: it is looked at more often at first.
const STEP_AT_FIRST: Duration = Duration::from_millis(10);
const AT_FIRST: Duration = Duration::from_secs(3);
/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// The exit code of a shell that finds no such program, and of one that can't start it (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// Runs it.
pub(super) fn run(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    // Before any namespace is entered: files and ports are those of the caller.
    let mut out = Out::open(args)?;
    let site = args.listen.map(http::listen).transpose()?;
    enter(args)?;
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    let clock = Clock::start();
    let mut watch = Watch::new(config(args), clock.now());
    let mut program = None;
    if !args.program.is_empty() {
        match Program::start(&args.program) {
            Ok(started) => {
                watch.follow(started.pid());
                program = Some(started);
            }
            Err(error) => {
                say(&format!("connstorm: cannot start '{}': {error}", args.program[0].to_string_lossy()));
                let found = error.kind() != io::ErrorKind::NotFound;
                return Ok(if found { NOT_STARTED } else { NOT_FOUND }.into());
            }
        }
    }
    let figures = Arc::new(Feed::new("# EOF\n"));
    let server = match site {
        Some(listener) => {
            http::announce(&listener);
            Some(Server::start(listener, Arc::new(Figures(figures.clone())))?)
        }
        None => None,
    };
    out.start(args, &clock, watch.ports_usable());
    let mut round = Round { args, clock, interrupt, figures, next: Stamp::ZERO, ending: None };
    let exit = round.go(&mut watch, &mut program, &mut out)?;
    drop(server);
    let report = report(args, &watch, clock.now(), &exit);
    let code = exit_code(&report, &exit);
    out.end(report)?;
    Ok(code)
}

/// End of a program.
#[derive(Debug, Default)]
struct Ended {
    /// The program's exit code.
    program: Option<u8>,
    /// A signal ended it before its time.
    interrupted: bool,
    /// The program was asked to end, as its time was over.
    in_time: bool,
}

/// State that goes from look to look.
struct Round<'a> {
    args: &'a WatchArgs,
    clock: Clock,
    interrupt: Interrupt,
    figures: Arc<Feed>,
    /// When the next look is shown.
    next: Stamp,
    /// Reason for which the program was asked to end, if it was.
    ending: Option<Ended>,
}

impl Round<'_> {
    fn go(
        &mut self,
        watch: &mut Watch,
        program: &mut Option<Program>,
        out: &mut Out,
    ) -> anyhow::Result<Ended> {
        loop {
            // Asked first: what it left behind is looked at once more.
            let program_ended = match program.as_mut() {
                Some(program) => program.ended().context("cannot wait for the program")?,
                None => None,
            };
            let now = self.clock.now();
            let onsets: Vec<OnsetReport> = watch.look(now).iter().map(OnsetReport::from).collect();
            onsets.iter().for_each(|onset| out.onset(onset));
            if now >= self.next || !onsets.is_empty() {
                self.show(watch, out, now);
            }
            if let Some(code) = program_ended {
                return Ok(Ended { program: Some(code), ..self.ending.take().unwrap_or_default() });
            }
            let over = self.args.time.is_some_and(|time| now >= time);
            let interrupted = self.interrupt.asked();
            match program.as_mut() {
                Some(program) if over || interrupted || self.ending.is_some() => {
                    self.ending.get_or_insert(Ended { program: None, interrupted, in_time: !interrupted });
                    // A signal of ours was passed on to it: it ends in its own way.
                    if over {
                        program.end(now);
                    }
                }
                None if over => return Ok(Ended::default()),
                // Without an end of its own, a watch is ended by a signal as a matter of course.
                None if interrupted => {
                    return Ok(Ended { interrupted: self.args.time.is_some(), ..Ended::default() });
                }
                _ => {}
            }
            let first = program.is_some() && now < AT_FIRST;
            if !first {
                watch.look_as(Closeness::Budgeted);
            }
            if out.wait(if first { STEP_AT_FIRST } else { STEP }) == Asked::Leave {
                match program.as_mut() {
                    Some(program) => program.end(self.clock.now()),
                    None => return Ok(Ended::default()),
                }
            }
        }
    }

    fn show(&mut self, watch: &Watch, out: &mut Out, now: Stamp) {
        let look = watch.shown(self.args.top.into());
        if self.args.listen.is_some() {
            let onsets: Vec<OnsetReport> = watch.onsets().iter().map(OnsetReport::from).collect();
            if let Ok(text) = watch_metrics::render(&look, &onsets, env!("CARGO_PKG_VERSION")) {
                self.figures.set(text);
            }
        }
        out.look(look, now);
        self.next = now + self.args.every;
    }
}

fn config(args: &WatchArgs) -> WatchConfig {
    WatchConfig {
        destinations: args.to.iter().flat_map(|to| to.0.iter().copied()).collect(),
        process: args.pid,
        company: Company::Others,
        closeness: if args.program.is_empty() { Closeness::Budgeted } else { Closeness::WhileFew },
        ..WatchConfig::default()
    }
}

/// Enters the network namespace of the process that was named, where it is another.
fn enter(args: &WatchArgs) -> anyhow::Result<()> {
    let Some(pid) = args.pid.or(args.container_of) else { return Ok(()) };
    if holders::process(pid).is_none() {
        anyhow::bail!("there is no process {pid}; ps -e lists those there are");
    }
    let cannot = || {
        format!(
            "cannot enter the network namespace of process {pid}: it needs root (CAP_SYS_ADMIN and CAP_SYS_PTRACE); try sudo"
        )
    };
    let (theirs, ours) = (Namespace::of_process(pid).with_context(cannot)?, Namespace::current()?);
    if theirs.id()? != ours.id()? {
        theirs.enter_beside(pid).with_context(cannot)?;
    }
    Ok(())
}

/// Subject of the watch, in words.
fn watches(args: &WatchArgs) -> String {
    let name = |pid: u32| holders::process(pid).map_or(String::new(), |at| format!(" ({})", clean(&at.name)));
    let mut words = match (args.pid, args.container_of, args.program.first()) {
        (Some(pid), ..) => format!("process {pid}{}", name(pid)),
        (_, Some(pid), _) => format!("the network namespace of process {pid}{}", name(pid)),
        (.., Some(program)) => format!("'{}'", clean(&program.to_string_lossy())),
        _ => "this network namespace".to_owned(),
    };
    let to: Vec<String> = args.to.iter().flat_map(|to| to.0.iter().map(ToString::to_string)).collect();
    if !to.is_empty() {
        words += &format!(", to {}", to.join(", "));
    }
    words
}

fn report(args: &WatchArgs, watch: &Watch, now: Stamp, ended: &Ended) -> WatchReport {
    let thresholds = watch.judge(&args.threshold);
    let verdict = match () {
        () if thresholds.iter().any(|judged| !judged.passed) => Verdict::Failed,
        () if ended.interrupted => Verdict::Interrupted,
        () => Verdict::Passed,
    };
    WatchReport {
        watches: watches(args),
        verdict,
        elapsed_s: now.as_secs_f64(),
        onsets: watch.onsets().iter().map(OnsetReport::from).collect(),
        fullest: watch.fullest(args.top.into()),
        findings: watch.findings(),
        thresholds,
        last: watch.shown(args.top.into()),
        program_exit: ended.program,
        unseen: watch.unseen(),
    }
}

/// A threshold that failed goes before the program's own code, and an interruption before a program that it ended.
fn exit_code(report: &WatchReport, ended: &Ended) -> ExitCode {
    match (report.verdict, ended.program) {
        (Verdict::Failed, _) => Exit::ThresholdsFailed.into(),
        (Verdict::Interrupted, None) => Exit::Interrupted.into(),
        // That it ended because its time was over is no failure, whatever it makes of SIGTERM.
        (_, Some(_)) if ended.in_time => Exit::Passed.into(),
        (_, Some(code)) => code.into(),
        _ => Exit::Passed.into(),
    }
}

/// Where it goes: lines for people, JSON lines, or a live view.
struct Out {
    json: Option<Box<dyn Write>>,
    live: Option<Live>,
    /// Nothing for people.
    quiet: bool,
    /// Text goes to standard error: standard output is the program's, or holds JSON.
    aside: bool,
    plain_due: Stamp,
    error: Option<io::Error>,
    wants_live: bool,
}

impl Out {
    fn open(args: &WatchArgs) -> anyhow::Result<Out> {
        let to_stdout = args.json.as_deref().is_some_and(|path| path == Path::new("-"));
        let json: Option<Box<dyn Write>> = match &args.json {
            None => None,
            Some(_) if to_stdout => Some(Box::new(io::stdout())),
            Some(path) => Some(Box::new(File::create(path).with_context(|| {
                format!(
                    "cannot write '{}'; give a file in a directory that exists and is yours",
                    clean(&path.to_string_lossy())
                )
            })?)),
        };
        let aside = to_stdout || !args.program.is_empty();
        let wants_live = !args.quiet && !args.plain && !aside;
        let plain_due = PLAIN_EVERY;
        Ok(Out { json, live: None, quiet: args.quiet, aside, plain_due, error: None, wants_live })
    }

    fn start(&mut self, args: &WatchArgs, clock: &Clock, ports_usable: u32) {
        let watches = watches(args);
        self.line(&WatchLine::Start(WatchStart {
            schema_version: WATCH_SCHEMA_VERSION,
            connstorm_version: env!("CONNSTORM_VERSION").to_owned(),
            began: clock.wall_epoch(),
            watches: watches.clone(),
            ports_usable,
        }));
        self.live = if self.wants_live { Live::begin(&watches) } else { None };
        if self.live.is_none() {
            self.tell(&format!("watching {watches}: {ports_usable} source ports a tuple"));
        }
    }

    fn onset(&mut self, onset: &OnsetReport) {
        self.line(&WatchLine::Onset(onset.clone()));
        match &mut self.live {
            Some(live) => live.onset(onset),
            None => {
                let style = if self.aside { style_for(&io::stderr()) } else { style_for(&io::stdout()) };
                self.tell(text::onset(onset, style).trim_end());
            }
        }
    }

    fn look(&mut self, look: WatchLook, now: Stamp) {
        if self.live.is_none() && now >= self.plain_due {
            self.plain_due = now + PLAIN_EVERY;
            self.tell(&text::one_line(&look));
        }
        match &mut self.live {
            Some(live) => {
                live.look(look.clone());
                self.line(&WatchLine::Look(Box::new(look)));
            }
            None => self.line(&WatchLine::Look(Box::new(look))),
        }
    }

    fn wait(&mut self, wait: Duration) -> Asked {
        match &mut self.live {
            Some(live) => live.wait(wait),
            None => {
                std::thread::sleep(wait);
                Asked::Nothing
            }
        }
    }

    fn end(mut self, report: WatchReport) -> anyhow::Result<()> {
        // The terminal is as it was before the summary is written.
        self.live = None;
        let style = if self.aside { style_for(&io::stderr()) } else { style_for(&io::stdout()) };
        self.tell(text::summary(&report, style).trim_end());
        self.line(&WatchLine::End(Box::new(report)));
        match self.error {
            None => Ok(()),
            Some(error) => Err(error).context("cannot write the JSON lines"),
        }
    }

    /// Text for people. Whoever has closed standard output wants no more of it.
    fn tell(&self, text: &str) {
        match (self.quiet, self.aside) {
            (true, _) => {}
            (false, true) => say_styled(text),
            (false, false) => _ = writeln!(io::stdout(), "{text}"),
        }
    }

    fn line(&mut self, line: &WatchLine) {
        let Some(json) = &mut self.json else { return };
        let Ok(text) = serde_json::to_string(line) else { return };
        let written = writeln!(json, "{}", json_text(&text)).and_then(|()| json.flush());
        if let Err(error) = written {
            self.json = None;
            // A reader that has gone away (`| head`) has had enough.
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.error = Some(error);
            }
        }
    }
}

struct Figures(Arc<Feed>);

impl Site for Figures {
    fn answer(&self, request: &Request<'_>) -> Answer {
        if request.method == "GET" && request.path == "/metrics" {
            return Answer::Text { status: "200 OK", kind: CONTENT_TYPE, body: self.0.get() };
        }
        Answer::plain("404 Not Found", "figures are at /metrics\n")
    }
}
