//! The result of a conducted run, as it is saved.

use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::result::forecast::ForecastReport;
use crate::result::{KernelWindow, RunResult, Verdict};
use crate::run::{Conducted, Observation};

impl Conducted {
    /// Everything as one result, judged.
    pub fn into_result(self, plan: &Plan) -> RunResult {
        let mut result = RunResult::of(plan, &self.run);
        for observation in &self.observations {
            // The sample was taken just after its window, or after the last of several that ended at once.
            let at = observation.at.as_secs_f64();
            if let Some(window) = result.windows.iter_mut().rev().find(|window| window.at_s <= at + 1e-9) {
                window.kernel = Some(observation.into());
            }
        }
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

impl From<&Observation> for KernelWindow {
    fn from(seen: &Observation) -> KernelWindow {
        KernelWindow {
            ports_in_use: seen.ports_in_use,
            ports_usable: seen.ports_usable.map(u64::from),
            time_wait: seen.time_wait,
            time_wait_total: seen.time_wait_total,
            forecast_exhausted_at_s: seen.forecast_exhausted_at.map(|at| at.as_secs_f64()),
            syn_retransmits: seen.syn_retransmits,
            retransmits: seen.retransmits,
            listen_overflows: seen.listen_overflows,
            exact: seen.exact,
            cost_us: seen.cost.as_secs_f64() * 1e6,
        }
    }
}
