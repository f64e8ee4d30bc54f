//! Results of the parts of one divided plan: whether they are that, and what those that are not there owe.

use super::{MergeError, Named};
use crate::model::{Schedule, SkipReason, Slice};
use crate::plan::{Arrivals, Plan};
use crate::result::model::{Counts, RunResult, WindowSummary};
use std::collections::BTreeMap;
use std::time::Duration;

/// Treatment of parts of the plan that have no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The results can't be merged.
    Refused,
    /// Their arrivals are counted as skipped, by `agent_lost`.
    Lost,
}

/// Arrivals of the plan that nobody started, nor counted as skipped.
pub(super) struct Owed {
    /// The same as windows of a run that skipped them all.
    pub(super) windows: Vec<WindowSummary>,
    /// Number of them.
    pub(super) count: u64,
}

/// True if these are parts of one plan: all of them, or none.
///
/// # Errors
/// When some are and some are not, or a part is there twice, or not at all and `missing` refuses that.
pub(super) fn check(parts: &[Named], missing: Missing) -> Result<(), MergeError> {
    let mut whole = parts.iter().filter(|part| part.result.slice.is_none());
    let mut sliced = parts.iter().filter_map(|part| Some((part, part.result.slice?)));
    let Some((first, slice)) = sliced.next() else { return Ok(()) };
    if let Some(whole) = whole.next() {
        return Err(MergeError::PartAndWhole { part: first.name.clone(), whole: whole.name.clone() });
    }
    for (other, part) in sliced {
        let what = if part.of() == slice.of() {
            difference(&first.result.plan, &other.result.plan)
        } else {
            Some("the number of parts that the plan was divided into")
        };
        if let Some(what) = what {
            let (first, second) = (first.name.clone(), other.name.clone());
            return Err(MergeError::Different { first, second, what });
        }
    }
    let mut of_number: Vec<Option<&Named>> = vec![None; slice.of() as usize];
    for part in parts {
        for number in part.result.slice.into_iter().flat_map(Slice::parts) {
            if let Some(earlier) = of_number[number as usize].replace(part) {
                return Err(MergeError::SamePart {
                    first: earlier.name.clone(),
                    second: part.name.clone(),
                    part: format!("{}/{}", number + 1, slice.of()),
                });
            }
        }
    }
    match of_number.iter().position(Option::is_none) {
        Some(number) if missing == Missing::Refused => {
            Err(MergeError::PartMissing { part: format!("{}/{}", number + 1, slice.of()) })
        }
        _ => Ok(()),
    }
}

/// In what two plans differ that should be one, divided. Each part may have sources and workers of its own.
fn difference(a: &Plan, b: &Plan) -> Option<&'static str> {
    if a.load != b.load {
        Some("[load]")
    } else if a.target != b.target {
        Some("the target")
    } else if a.seed != b.seed {
        Some("the seed")
    } else {
        None
    }
}

/// Arrivals of the plan, up to `elapsed_s`, that no part has counted, in this many windows: all of those that are missing, and
/// the rest of those whose program did not come to its end.
pub(super) fn owed(parts: &[Named], elapsed_s: f64, seconds: usize) -> Owed {
    let mut owed = Owed { windows: Vec::new(), count: 0 };
    let Some((first, slice)) = parts.first().and_then(|part| Some((&part.result, part.result.slice?))) else {
        return owed;
    };
    owed.windows = (1..=seconds)
        .map(|second| WindowSummary { at_s: second as f64, ..WindowSummary::default() })
        .collect();
    let partial = parts.iter().filter(|part| part.result.partial);
    let partial = partial.filter_map(|part| Some((part.result.slice?, counted(&part.result))));
    for (slice, counted) in absent(parts, slice.of()).into_iter().map(|slice| (slice, 0)).chain(partial) {
        owed.add(&first.plan, slice, counted, elapsed_s);
    }
    owed
}

/// The slices that no result is of; those that follow each other as one.
fn absent(parts: &[Named], of: u32) -> Vec<Slice> {
    let mut there: Vec<Slice> = parts.iter().filter_map(|part| part.result.slice).collect();
    there.sort_by_key(|slice| slice.parts().start);
    let ends = there.iter().map(|slice| slice.parts().end);
    let starts = there.iter().map(|slice| slice.parts().start).chain([of]);
    let gaps = std::iter::once(0).chain(ends).zip(starts);
    gaps.filter_map(|(from, to)| Slice::new(from, to.checked_sub(from)?, of).ok()).collect()
}

/// Arrivals of the plan that a result accounts for. In open loop reconnections are beyond it.
fn counted(result: &RunResult) -> u64 {
    let beyond = match result.plan.load.arrivals {
        Arrivals::Open(_) => result.messages.reconnects,
        Arrivals::Closed { .. } => 0,
    };
    result.counts.planned.saturating_sub(beyond)
}

impl Owed {
    /// Adds what a slice owes beyond what was counted.
    fn add(&mut self, plan: &Plan, slice: Slice, counted: u64, elapsed_s: f64) {
        let elapsed = Duration::try_from_secs_f64(elapsed_s).unwrap_or_default();
        match &plan.load.arrivals {
            Arrivals::Open(stages) => {
                let schedule = Schedule::new(stages, plan.load.connections);
                let until = elapsed.min(schedule.end());
                let mut before = counted;
                for second in 1..self.windows.len() {
                    let due = slice.share(schedule.due_before(until.min(Duration::from_secs(second as u64))));
                    self.skip(second - 1, due.saturating_sub(before));
                    before = before.max(due);
                }
                let due = slice.share(schedule.due_before(until));
                self.skip(self.windows.len().saturating_sub(1), due.saturating_sub(before));
            }
            // What a slot would have done is not known, but for a number of attempts in all.
            Arrivals::Closed { .. } => {
                let share = plan.load.connections.map_or(0, |attempts| slice.share(attempts));
                self.skip(self.windows.len().saturating_sub(1), share.saturating_sub(counted));
            }
        }
    }

    /// Skips arrivals in one of the windows, if there are any.
    fn skip(&mut self, window: usize, count: u64) {
        self.count = self.count.saturating_add(count);
        if let Some(window) = self.windows.get_mut(window) {
            window.planned = window.planned.saturating_add(count);
            window.skipped = window.skipped.saturating_add(count);
        }
    }

    /// Puts it into the counts of the whole, whose windows have it already.
    pub(super) fn enter(&self, counts: &mut Counts, skipped: &mut BTreeMap<String, u64>) {
        if self.count == 0 {
            return;
        }
        counts.planned = counts.planned.saturating_add(self.count);
        counts.skipped = counts.skipped.saturating_add(self.count);
        let lost = skipped.entry(SkipReason::AgentLost.name().into()).or_default();
        *lost = lost.saturating_add(self.count);
    }
}
