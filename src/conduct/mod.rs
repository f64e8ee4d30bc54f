//! A run with everything around it: its own target, the observer beside it, the diagnosis after it.
//!
//! The command line and the lab both start runs; this is what they share. It stands between them and the
//! engine, which knows nothing of observation, and reports, which know nothing of running.

mod abort;
mod ground;
mod observer;
pub mod outlook;
mod result;
mod watched;

pub use observer::Observation;
pub use watched::Watched;

use crate::diagnose::{Finding, diagnose};
use crate::engine::{self, Control, Destinations, RunError};
use crate::kernel::sysctl::HostSettings;
use crate::metrics::{Onset, Run};
use crate::scenario::{Plan, Serve};
use crate::target::{Config, Running, StartError, Target};
use observer::Observer;

/// Everything that a run came to.
#[derive(Debug)]
pub struct Conducted {
    /// What was counted.
    pub run: Run,
    /// The settings of this host when it began.
    pub host: HostSettings,
    /// What began when.
    pub onsets: Vec<Onset>,
    /// What was seen of the kernel, a window each.
    pub observations: Vec<Observation>,
    /// Causes, the surest first.
    pub findings: Vec<Finding>,
    /// Why the run was ended early, if one of the plan's conditions for that held.
    pub aborted: Option<String>,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConductError {
    /// The scenario's own target could not start.
    #[error("the scenario's own target could not start: {0}")]
    Target(#[from] StartError),
    /// The engine could not begin.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is nothing to connect to.
    #[error("the scenario has no target: give it a [target] with a url, or a [serve] table")]
    NoTarget,
}

/// Starts the plan's own target if it has one, runs the plan, watches the kernel meanwhile, ends the run when
/// one of the plan's conditions for that holds, and looks for the causes of what failed. `watch` is told of progress at least ten times a second.
///
/// # Errors
/// When the run could not begin. Whatever happens after that is in the result.
pub fn conduct(
    plan: &Plan,
    control: &Control,
    mut watch: impl FnMut(&Watched<'_>),
) -> Result<Conducted, ConductError> {
    let host = HostSettings::read();
    let own_target = plan.serve.as_ref().map(start_target).transpose()?;
    let destinations = match (&plan.target, &own_target) {
        (Some(target), _) => Destinations::resolve(target),
        (None, Some(own)) => Destinations::Known(own.addresses().to_vec()),
        (None, None) => return Err(ConductError::NoTarget),
    };
    let mut observer = Observer::new(plan, destinations.addresses(), host.clone());
    let mut abort = abort::Abort::new(plan);
    let run = engine::run(plan, &destinations, control, |progress| {
        if let Some(window) = progress.window {
            observer.window(window, progress.tally);
        }
        let watched =
            Watched { plan, progress, onsets: &observer.onsets, seen: observer.observations.last() };
        if abort.is_due(&watched) {
            control.interrupt();
        }
        watch(&watched);
    })?;
    let findings = diagnose(&observer.facts(plan, &run));
    drop(own_target);
    let Observer { onsets, observations, .. } = observer;
    Ok(Conducted { run, host, onsets, observations, findings, aborted: abort.why() })
}

fn start_target(serve: &Serve) -> Result<Running, StartError> {
    let config = Config::new(serve.listen.clone(), serve.behaviour.clone());
    Target::start(Config { kind: serve.kind, backlog: serve.backlog, workers: serve.workers, ..config })
}
