//! Populations of several results as one: each as if it were the whole.

use super::{MergeError, Named, Whole};
use crate::model::{Closes, Codes, Traffic};
use crate::result::model::{PopulationResult, RunResult, StepCount};
use crate::result::timeline::{Timeline, Track};
use std::collections::BTreeMap;

impl Whole<'_> {
    /// Each population in all parts together.
    pub(super) fn populations(&self) -> Result<Vec<PopulationResult>, MergeError> {
        let names = self.parts[0].result.populations.iter().map(|population| population.name.as_str());
        names.map(|name| self.population(name)).collect()
    }

    fn population(&self, name: &str) -> Result<PopulationResult, MergeError> {
        let of_part = |part: &Named| {
            let population = part.result.populations.iter().find(|population| population.name == name)?;
            Some(Named { name: part.name.clone(), result: population.as_result(&part.result) })
        };
        let parts: Vec<Named> = self.parts.iter().filter_map(of_part).collect();
        let whole = Whole { start_us: self.start_us, parts: &parts };
        let windows = whole.windows();
        let result = RunResult {
            counts: whole.counts(windows.iter().map(|window| window.open).max().unwrap_or(0)),
            skipped: whole.skipped(),
            messages: whole.sum(|sum: &mut Traffic, result| sum.merge(&result.messages)),
            closes: whole.sum(|sum: &mut Closes, result| sum.merge(&result.closes)),
            statuses: whole.sum(|sum: &mut Codes, result| sum.merge(&result.statuses)),
            steps: StepCount::added_up(&parts),
            failures: whole.failures()?,
            latency_us: whole.latencies()?,
            windows,
            ..parts[0].result.clone()
        };
        Ok(PopulationResult::of_result(name, result))
    }

    /// Windows of all parts on one timeline.
    fn windows(&self) -> Vec<crate::result::WindowSummary> {
        let mut hosts = BTreeMap::new();
        for part in self.parts {
            *hosts.entry(part.result.host.hostname.clone()).or_default() += 1;
        }
        let mut timeline = Timeline::new(hosts);
        for (offset_s, part) in self.each() {
            let (host, windows) = (&part.result.host.hostname, &part.result.windows);
            timeline.add(&Track { offset_s, host, windows });
        }
        timeline.finish()
    }
}
