//! Ends a run early when one of the plan's conditions holds.
//!
//! Conditions are thresholds the other way round: the run goes on while they do not hold. They are looked at
//! after each window, on everything counted so far.

use crate::plan::Plan;
use crate::plan::threshold::Threshold;
use crate::run::Watched;

/// The conditions, and the one that held first.
#[derive(Debug)]
pub(super) struct Abort {
    conditions: Vec<Threshold>,
    why: Option<String>,
}

impl Abort {
    /// Those of a plan.
    pub(super) fn new(plan: &Plan) -> Abort {
        Abort { conditions: plan.abort_when.clone(), why: None }
    }

    /// True if the run is to end, told once.
    pub(super) fn is_due(&mut self, watched: &Watched<'_>) -> bool {
        if self.conditions.is_empty() || self.why.is_some() || watched.window.is_none() {
            return false;
        }
        let result = watched.so_far(Vec::new());
        let judge = |condition: &Threshold| condition.evaluate(&|metric| result.value(metric));
        let held = self.conditions.iter().map(judge);
        self.why = held
            .into_iter()
            .find(|judged| judged.passed)
            .map(|judged| format!("{} ({}) after {:.1} s", judged.says, judged.expression, result.elapsed_s));
        self.why.is_some()
    }

    /// The condition that ended the run, with the value.
    pub(super) fn why(self) -> Option<String> {
        self.why
    }
}
