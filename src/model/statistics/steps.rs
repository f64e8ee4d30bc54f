//! Steps of conversations, counted by their number.

use super::Latency;
use std::time::Duration;

/// Outcome of each step, by its number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps(Vec<StepTally>);

/// Outcome of one step, over all connections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepTally {
    /// Number of times that the step was done.
    pub done: u64,
    /// Attempts that failed in it.
    pub failed: u64,
    /// Time that it took, where it was done; of a step that waits for nothing, none.
    pub latency: Latency,
}

impl Steps {
    /// A step was done.
    pub fn done(&mut self, step: u16, took: Option<Duration>) {
        let tally = self.of(step);
        tally.done += 1;
        if let Some(took) = took {
            tally.latency.record(took);
        }
    }

    /// An attempt failed in a step.
    pub fn failed(&mut self, step: u16) {
        self.of(step).failed += 1;
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Steps) {
        for (step, theirs) in (0_u16..).zip(&other.0) {
            let mine = self.of(step);
            mine.done += theirs.done;
            mine.failed += theirs.failed;
            mine.latency.merge(&theirs.latency);
        }
    }

    /// Every step up to the last that something is known of, in order.
    pub fn iter(&self) -> impl Iterator<Item = &StepTally> {
        self.0.iter()
    }

    fn of(&mut self, step: u16) -> &mut StepTally {
        let index = usize::from(step);
        if self.0.len() <= index {
            self.0.resize_with(index + 1, StepTally::default);
        }
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_by_their_number_and_added_up() {
        let mut one = Steps::default();
        one.done(2, Some(Duration::from_millis(3)));
        one.failed(0);
        let mut sum = Steps::default();
        sum.done(2, None);
        sum.merge(&one);
        let seen: Vec<_> = sum.iter().map(|step| (step.done, step.failed, step.latency.count())).collect();
        assert_eq!(seen, [(0, 1, 0), (0, 0, 0), (2, 0, 1)]);
    }
}
