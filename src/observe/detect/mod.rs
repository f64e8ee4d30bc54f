//! Detectors of onsets: pure, fed once a window with what was counted and what the kernel said.
//!
//! Each tells its onset once, and only with its cause there: noise that looks like one is told by
//! nobody.

mod generator;
mod path;
mod ports;
mod target;
mod time_wait;

use super::run_context::RunContext;
use super::sample::{Delta, Sample};
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::TupleCount;
use crate::model::{Onset, Stamp, Tally, WindowRow};

/// What there is to see when a window is complete.
#[derive(Debug, Clone, Copy)]
pub struct ObservedWindow<'a> {
    /// The window.
    pub window: &'a WindowRow,
    /// Everything counted so far.
    pub totals: &'a Tally,
    /// The newest sample.
    pub sample: &'a Sample,
    /// What happened since the sample before it; `None` with the first.
    pub delta: Option<&'a Delta>,
}

impl ObservedWindow<'_> {
    /// The tuple with the most sockets, with its counts by state.
    fn fullest(&self) -> Option<TupleCount> {
        self.sample.tuples().into_iter().max_by_key(|tuple| tuple.sockets.total())
    }

    fn now(&self) -> Stamp {
        self.window.at
    }
}

/// All detectors of a run.
#[derive(Debug)]
pub struct Detectors {
    context: RunContext,
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
            ports: ports::Ports::default(),
            time_wait: time_wait::TimeWait::default(),
            target: target::TargetTrouble::default(),
            path: path::PathTrouble::default(),
            generator: generator::Saturation::default(),
        }
    }

    /// What begins with this window, in the order of time.
    pub fn window(&mut self, view: &ObservedWindow<'_>) -> Vec<Onset> {
        let mut onsets = Vec::new();
        let growth = self.time_wait.look(view, &self.context, &mut onsets);
        self.ports.look(view, &self.context, growth, &mut onsets);
        self.target.look(view, &self.context, &mut onsets);
        self.path.look(view, &mut onsets);
        self.generator.look(view, &self.context, &mut onsets);
        onsets.sort_by_key(|onset| onset.at);
        onsets
    }

    /// When the fullest tuple will have no port left, as the last window shows it.
    pub fn forecast(&self) -> Option<Stamp> {
        self.time_wait.forecast()
    }
}

/// Evidence about a tuple: its sockets by what keeps the port.
fn occupation(tuple: &TupleCount, context: &RunContext) -> crate::model::Evidence {
    let states = &tuple.sockets;
    let (time_wait, established) = (states.get(TcpState::TimeWait), states.get(TcpState::Established));
    crate::model::Evidence::default()
        .with("ports_in_use", states.total())
        .with("time_wait", time_wait)
        .with("established", established)
        .with("other_states", states.total() - time_wait - established)
        .with_known("ports_usable", context.usable_ports)
        .with("ports_reserved", context.reserved_ports)
}
