//! The result of a run, as it is saved.

use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::result::forecast::ForecastReport;
use crate::result::{RunResult, Verdict};
use crate::run::Completed;

impl Completed {
    /// Everything as one result, judged.
    pub fn into_result(self, plan: &Plan) -> RunResult {
        let mut result = RunResult::of(plan, &self.run);
        for seen in self.seen {
            // The sample was taken after its window, or after the last of several that ended meanwhile.
            let at_s = seen.at_s.unwrap_or_default();
            if let Some(window) = result.windows.iter_mut().rev().find(|window| window.at_s <= at_s + 1e-9) {
                window.kernel = Some(seen);
            }
        }
        result.unseen = self.unseen;
        result.onsets = self.onsets.iter().map(Into::into).collect();
        result.findings = self.findings;
        result.forecast = self
            .forecast
            .map(|(demand, forecast)| ForecastReport::new(demand, forecast, self.time_wait_before, &result));
        result.host = self.host;
        if self.aborted.is_some() {
            // It was ended from inside, by what the user asked for.
            result.verdict = Verdict::Passed;
        }
        let abort = self.aborted.as_ref().map(|why| format!("ended early: {why}"));
        result.aborted = self.aborted;
        let why = self.run.unresolved.as_ref();
        let troubles = why.map(|why| format!("the target's name could not be resolved: {why}"));
        result.judge(abort.into_iter().chain(troubles).collect(), &self.run.worker_errors);
        hide_in(result, &plan.secret_texts())
    }
}
