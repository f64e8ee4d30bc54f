//! Detectors of onsets: pure, fed once a window with what was counted and what the kernel said.
//!
//! Each tells its onset when it begins, and only with its cause there: noise that looks like one is told by
//! nobody, and so is the traffic of other programs.

mod generator;
mod path;
mod ports;
mod target;
mod time_wait;
mod tuple;

use super::run_context::RunContext;
use super::sample::{Delta, Sample};
use crate::linux::tcp_state::TcpState;
use crate::model::{Onset, Stamp, Tally, WindowRow};

/// View of a complete window.
#[derive(Debug, Clone, Copy)]
pub struct ObservedWindow<'a> {
    /// The window.
    pub window: &'a WindowRow,
    /// Everything counted so far.
    pub totals: &'a Tally,
    /// The newest sample.
    pub sample: &'a Sample,
    /// Changes since the sample before; `None` with the first.
    pub delta: Option<&'a Delta>,
}

impl ObservedWindow<'_> {
    /// Connections of the run that wait for an answer to their SYN.
    fn in_syn_sent(&self, context: &RunContext) -> u64 {
        let tuples = self.sample.tuples();
        let ours = tuples.iter().filter(|tuple| context.is_ours(tuple.source, tuple.destination));
        ours.map(|tuple| tuple.sockets.get(TcpState::SynSent)).sum()
    }

    fn now(&self) -> Stamp {
        self.window.at
    }
}

/// All detectors of a run.
#[derive(Debug)]
pub struct Detectors {
    context: RunContext,
    closes: tuple::RecentCloses,
    ports: ports::Ports,
    time_wait: time_wait::TimeWait,
    target: target::TargetTrouble,
    path: path::PathTrouble,
    generator: generator::Saturation,
}

impl Detectors {
    /// Detectors that have seen nothing.
    pub fn new(context: RunContext) -> Detectors {
        Detectors {
            context,
            closes: tuple::RecentCloses::default(),
            ports: ports::Ports::default(),
            time_wait: time_wait::TimeWait::default(),
            target: target::TargetTrouble::default(),
            path: path::PathTrouble::default(),
            generator: generator::Saturation::default(),
        }
    }

    /// Onsets of this window, in the order of time.
    pub fn window(&mut self, view: &ObservedWindow<'_>) -> Vec<Onset> {
        let mut onsets = Vec::new();
        self.closes.look(view);
        let busiest = tuple::busiest(view, &self.context, &self.closes);
        let forecast = self.time_wait.look(view, &self.context, busiest.as_ref(), &mut onsets);
        let look = ports::Look { view, context: &self.context, closes: &self.closes, busiest, forecast };
        self.ports.look(&look, &mut onsets);
        self.target.look(view, &self.context, &mut onsets);
        self.path.look(view, &self.context, &mut onsets);
        self.generator.look(view, &self.context, &mut onsets);
        onsets.sort_by_key(|onset| onset.at);
        onsets
    }

    /// When the fullest tuple will have no port left, as the last window shows it.
    pub fn forecast(&self) -> Option<Stamp> {
        self.time_wait.forecast()
    }
}
