//! A run with everything around it: its own target, the observer beside it, the diagnosis after it.
//!
//! The command line and the lab both start runs; this is what they share. It stands between them and the
//! engine, which knows nothing of observation, and reports, which know nothing of running.

mod abort;
pub mod context;
pub mod from_plan;
mod moments;
mod monitor;
mod observer;
mod other_schemes;
mod plateau;
mod preparation;
mod watched;

pub use preparation::{make_ready, prepare};
pub use watched::Watched;

use crate::capacity::{Demand, Forecast};
use crate::diagnose::{Facts, diagnose};
use crate::engine::{self, Control, Destinations, RunError, TraceRequest};
use crate::host::moment::MomentLook;
use crate::linux::clock::Clock;
use crate::linux::sysctl::HostSettings;
use crate::model::{LoadCourse, PortSupply, Slice, TraceEvent};
use crate::observe::Hurry;
use crate::plan::{Plan, Serve};
use crate::result::{Completed, End, WindowSummary};
use crate::server::{Config, Running, StartError, Target};
use moments::Moments;
use monitor::Monitor;
use observer::Observer;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Reason for which a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartRunError {
    /// The scenario's own target could not start.
    #[error("the scenario's own target could not start: {0}")]
    Target(#[from] StartError),
    /// The engine could not begin.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A thread to watch the run with can't be had.
    #[error(
        "no thread to watch the run with could be started: {0}; look at ulimit -u and at the pids limit of the cgroup"
    )]
    Thread(std::io::Error),
    /// The user ended it.
    #[error("interrupted before the run began: no connection was opened, and there is nothing to report")]
    Interrupted,
    /// There is nothing to connect to.
    #[error("the scenario has no target: give it a [target] with a url, or a [serve] table")]
    NoTarget,
}

/// Starts the plan's own target if it has one, runs the plan, watches the kernel meanwhile, ends the run when
/// one of the plan's conditions for that holds, and looks for the causes of what failed. `watch` is told of progress at least ten times a second.
///
/// # Errors
/// When the run could not begin. Whatever happens after that is in the result.
pub fn execute(
    plan: &Plan,
    control: &Control,
    watch: impl FnMut(&Watched<'_>),
) -> Result<Completed, StartRunError> {
    let prepared = preparation::prepare(plan, Slice::WHOLE, &|| control.is_interrupted())?;
    let ready = preparation::make_ready(prepared, control, &|| control.is_interrupted())?;
    Ok(ready.run(Clock::start(), watch))
}

/// A run that is ready to begin: its own target listens, and its target's name is resolved.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    slice: Slice,
    host: HostSettings,
    own_target: Option<Running>,
    /// Those of each population.
    destinations: Vec<Destinations>,
    supply: PortSupply,
    forecast: Option<(Demand, Forecast)>,
    course: LoadCourse,
    trace: Option<TraceRequest>,
}

impl Prepared {
    /// Makes everything ready for what this process does of a plan.
    ///
    /// # Errors
    /// When the plan's own target can't start, or there is nothing to connect to.
    fn new(plan: &Plan, slice: Slice) -> Result<Prepared, StartRunError> {
        let host = HostSettings::read();
        let own_target = plan.serve.as_ref().map(start_target).transpose()?;
        let plan = trusting(plan, own_target.as_ref());
        let each = plan.each().into_iter().map(|plan| match (&plan.target, &own_target) {
            (Some(target), _) => Ok(Destinations::resolve(target)),
            (None, Some(own)) => Ok(Destinations::Known(own.addresses().to_vec())),
            (None, None) => Err(StartRunError::NoTarget),
        });
        let destinations = each.collect::<Result<Vec<_>, _>>()?;
        let share = plan.share(slice);
        let addresses = Destinations::all(&destinations);
        let supply = from_plan::supply_now(&share, &addresses, &host);
        // Populations take ports of each other's tuples, each in its way: no forecast speaks for all of them.
        let is_one = plan.populations.is_empty();
        let ends = from_plan::ends(&addresses, own_target.is_some());
        let forecast = is_one.then(|| from_plan::forecast(&share, &host, &supply, ends)).flatten();
        let course = LoadCourse::default();
        Ok(Prepared { plan, slice, host, own_target, destinations, supply, forecast, course, trace: None })
    }

    /// The plan of the run as a whole.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The load of this process alone, as [`Plan::share`] has it.
    pub fn share(&self) -> Plan {
        self.plan.share(self.slice)
    }

    /// Forecast of the run on this host. `None` where it can't be told: a closed loop whose connections are
    /// closed at once, or no destination.
    pub fn forecast(&self) -> Option<&Forecast> {
        self.forecast.as_ref().map(|(_, forecast)| forecast)
    }

    /// The same run, which also keeps response times by the moment of a load of this length.
    #[must_use]
    pub fn keeping_course(self, length: Duration) -> Prepared {
        Prepared { course: LoadCourse::over(length), ..self }
    }

    /// The same run, whose first so many attempts are told, as they go on, to whoever listens there.
    #[must_use]
    pub fn tracing(self, attempts: u64, to: Sender<TraceEvent>) -> Prepared {
        Prepared { trace: Some(TraceRequest::new(attempts, to)), ..self }
    }

    /// Sets the workers up, and the threads that watch them: what is left is to begin.
    ///
    /// # Errors
    /// When it can't begin.
    pub fn make_ready(self, control: &Control) -> Result<ReadyRun, StartRunError> {
        let Prepared { plan, slice, host, own_target, destinations, supply, forecast, course, trace } = self;
        let share = plan.share(slice);
        let hurry = Hurry::default();
        let look = MomentLook::new(plan.source.ports, host.clone());
        let to = Destinations::all(&destinations);
        let observer = Observer::new(&share, &to, host.clone(), supply, hurry.clone());
        let (moments, first_failures) = Moments::start(look, hurry.clone()).map_err(StartRunError::Thread)?;
        let monitor = Monitor::start(observer, hurry).map_err(StartRunError::Thread)?;
        let mut reporting = engine::Reporting::new(Some(first_failures), course);
        reporting.trace = trace;
        let engine = engine::ReadyEngine::new(&plan, slice, &destinations, control, reporting)?;
        let control = control.clone();
        Ok(ReadyRun {
            plan,
            share,
            host,
            own_target,
            destinations,
            forecast,
            control,
            moments,
            monitor,
            engine,
        })
    }
}

/// A run that has everything it needs, and begins when it is told to.
pub struct ReadyRun {
    plan: Plan,
    /// The load of this process alone.
    share: Plan,
    host: HostSettings,
    own_target: Option<Running>,
    destinations: Vec<Destinations>,
    forecast: Option<(Demand, Forecast)>,
    control: Control,
    moments: Moments,
    monitor: Monitor<Observer>,
    engine: engine::ReadyEngine,
}

impl ReadyRun {
    /// Runs it from the epoch of the clock on, and watches it meanwhile.
    pub fn run(self, clock: Clock, mut watch: impl FnMut(&Watched<'_>)) -> Completed {
        let ReadyRun { plan, share, host, own_target, destinations, .. } = self;
        let (control, mut monitor) = (self.control, self.monitor);
        let mut abort = abort::Abort::new(&plan);
        let mut run = self.engine.begin(clock, |progress| {
            if let Some(window) = progress.window {
                monitor.window(window, progress.tally, progress.elapsed);
            }
            let (onsets, seen) = monitor.news();
            let watched = Watched { plan: &plan, host: &host, progress, onsets, seen };
            if abort.is_due(&watched) {
                control.interrupt();
            }
            watch(&watched);
        });
        let observer = monitor.finish();
        let moments = self.moments.finish();
        run.worker_errors
            .extend([observer.as_ref().err(), moments.as_ref().err()].into_iter().flatten().cloned());
        // A run is worth its report also where nobody watched it to the end.
        let mut observer = observer.unwrap_or_else(|_| {
            let to = Destinations::all(&destinations);
            let supply = from_plan::supply_now(&share, &to, &host);
            Observer::new(&share, &to, host.clone(), supply, Hurry::default())
        });
        observer.settle(&run);
        let findings = diagnose(&Facts {
            trials: other_schemes::tried(&plan, &run),
            ..observer.facts(&share, &run, moments.unwrap_or_default())
        });
        drop(own_target);
        let time_wait_before = observer.time_wait_before();
        let unseen = observer.unseen().to_vec();
        let Observer { onsets, seen, .. } = observer;
        let windows = WindowSummary::all(&run.windows, seen, &plan.step_names());
        Completed {
            run,
            host,
            forecast: self.forecast,
            time_wait_before,
            onsets,
            windows,
            unseen,
            findings,
            end: abort.why().map_or(End::Ended, End::Aborted),
        }
    }
}

/// The plan, with the certificate of the run's own target among those it trusts.
fn trusting(plan: &Plan, own: Option<&Running>) -> Plan {
    let mut plan = plan.clone();
    let Some(own) = own else { return plan };
    let certificate = own.certificate().map(str::to_owned);
    if plan.target.is_none() {
        plan.session.tls.ca_pem.clone_from(&certificate);
    }
    for population in plan.populations.iter_mut().filter(|population| population.plan.target.is_none()) {
        population.plan.session.tls.ca_pem.clone_from(&certificate);
    }
    plan
}

fn start_target(serve: &Serve) -> Result<Running, StartError> {
    let config = Config::new(serve.listen.clone(), serve.behaviour.clone());
    Target::start(Config { kind: serve.kind, backlog: serve.backlog, workers: serve.workers, ..config })
}
