//! Worth of a run: the rule by which it is passed, failed or invalid.

use crate::model::format::{micros, percent, seconds, thousands};
use crate::model::{Late, Served, Side, SkipReason};
use crate::plan::Arrivals;
use crate::plan::threshold::Evaluation;
use crate::result::figures::{Ending, Figures};
use crate::result::model::{Counts, FailureKind, Verdict};

/// Share of planned arrivals that the generator may spoil before the run says nothing about the target.
const SPOILED_SHARE: f64 = 0.001;
/// 99th percentile of the lateness, in microseconds, above which the generator did not keep to its plan.
pub(crate) const LATE_US: u64 = 100_000;
/// Share of started attempts whose conversations the end of the run may cut: what they would have been is not known.
const CUT_SHARE: f64 = 0.01;

/// Worth of a run, and the reasons.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    pub(super) thresholds: Vec<Evaluation>,
}

impl Figures<'_> {
    /// Judges the run. Invalid goes before failed: a run that its own machine spoiled says nothing about the
    /// target, neither good nor bad. A run under way is held against no threshold: the figures may still come to
    /// what is wanted.
    ///
    /// `troubles` are why the run as a whole could not succeed; `defects` are those of the program itself.
    pub(super) fn judge(&self, troubles: Vec<String>, defects: &[String]) -> Judgement {
        if self.ending == Ending::UnderWay {
            return Judgement { verdict: Verdict::Interrupted, reasons: troubles, thresholds: Vec::new() };
        }
        let thresholds = self.evaluate();
        let broken = thresholds.iter().filter(|threshold| !threshold.passed).map(|t| t.says.clone());
        let broken: Vec<String> =
            troubles.into_iter().chain(broken).chain(self.conversations_cut()).collect();
        let mut spoiled: Vec<String> = defects.to_vec();
        spoiled.extend(self.spoiled_attempts());
        spoiled.extend(self.lateness_beyond_reason());
        spoiled.extend(self.messages_not_sent());
        spoiled.extend(self.served_too_late());
        let verdict = match self.ending {
            Ending::Interrupted => Verdict::Interrupted,
            _ if !spoiled.is_empty() => Verdict::Invalid,
            _ if !broken.is_empty() => Verdict::Failed,
            _ => Verdict::Passed,
        };
        Judgement { verdict, reasons: spoiled.into_iter().chain(broken).collect(), thresholds }
    }

    /// Conversations that were to come to their end and did not, beyond the few that any end cuts. Where the run
    /// was ended early, by the user or by the condition of the user, nothing was promised.
    fn conversations_cut(&self) -> Option<String> {
        let Counts { cut_short, started, ok, .. } = *self.counts;
        // In a closed loop any end meets one conversation of each slot: it says something only where nothing came of any.
        let is_closed = matches!(self.plan.load.arrivals, Arrivals::Closed { .. });
        let nothing_came = ok == 0 && self.messages.received == 0;
        let is_much = cut_short as f64 > started as f64 * CUT_SHARE && (!is_closed || nothing_came);
        (is_much && self.ending == Ending::Planned).then(|| {
            format!(
                "the end of the run cut {} of {} conversations short ({}): the target answered too slowly for the \
                 plan, or the plan is too short for its conversations",
                thousands(cut_short),
                thousands(started),
                percent(cut_short, started)
            )
        })
    }

    /// Attempts that failed on the generator's side, unless a threshold is about just that, and arrivals
    /// that it did not come to, or was not there for.
    fn spoiled_attempts(&self) -> Option<String> {
        let spoils = |kind: &&FailureKind| kind.side == Side::Generator && !self.is_about(kind.cause);
        let own = self.failures.iter().filter(spoils);
        let failed: u64 = own.clone().map(|kind| kind.count).sum();
        let late = self.late_beyond_reason();
        let [missed, lost] =
            [SkipReason::AgentLate, SkipReason::AgentLost].map(|reason| self.skipped_for(reason));
        let spoiled = failed + late + missed + lost;
        if spoiled == 0 || (spoiled as f64) <= self.counts.planned as f64 * SPOILED_SHARE {
            return None;
        }
        let mut parts: Vec<String> =
            own.map(|kind| format!("{} × {}", thousands(kind.count), kind.failure())).collect();
        if late > 0 {
            parts.push(format!("{} arrivals never started because it was late", thousands(late)));
        }
        if missed > 0 {
            parts.push(format!("{} arrivals missed because it began late", thousands(missed)));
        }
        if lost > 0 {
            parts.push(format!("{} arrivals of parts of the run that were lost", thousands(lost)));
        }
        Some(format!(
            "the generator was the limit for {} of the planned attempts: {}",
            percent(spoiled, self.counts.planned),
            parts.join(", ")
        ))
    }

    /// Arrivals that were not started because the generator was late. Being late by less than [`LATE_US`] at
    /// the end of a run is as little a fault as in its midst; and where the user's own condition ended the
    /// run, nothing that was left over is.
    fn late_beyond_reason(&self) -> u64 {
        let late = self.skipped_for(SkipReason::Late);
        let due_in_reason = self.counts.planned as f64 / self.elapsed_s.max(1e-3) * LATE_US as f64 / 1e6;
        if self.ending == Ending::Aborted || late as f64 <= due_in_reason { 0 } else { late }
    }

    fn skipped_for(&self, reason: SkipReason) -> u64 {
        self.skipped.get(reason.name()).copied().unwrap_or(0)
    }

    /// Messages that were due and that the generator never came to, beyond those of its last moments.
    fn messages_not_sent(&self) -> Option<String> {
        let late = self.messages.unsent_late;
        let due = late + self.messages.sent;
        let due_in_reason = due as f64 / self.elapsed_s.max(1e-3) * LATE_US as f64 / 1e6;
        (self.ending != Ending::Aborted && late as f64 > due_in_reason.max(due as f64 * SPOILED_SHARE)).then(|| {
            format!(
                "the generator was the limit: {} of {} messages were due and never sent because it was late ({})",
                thousands(late),
                thousands(due),
                percent(late, due)
            )
        })
    }

    /// Messages sent so late, or sockets served so late, that the figures are those of the generator.
    fn served_too_late(&self) -> Option<String> {
        let measured = |name: &str| self.latency_us.get(name).filter(|summary| summary.count > 0);
        let p99 = |name: &str| measured(name).map(|summary| summary.p99);
        let median = |name: &str| measured(name).map(|summary| summary.p50);
        let served = Served {
            message_lateness_us: p99("message_lateness"),
            service_lateness_us: p99("service_lateness"),
            measured_us: p99("round_trip").max(p99("pong")),
            median_service_us: median("service_lateness"),
            median_message_us: median("message_lateness"),
            median_pong_us: median("pong"),
            median_from_due_us: median("round_trip_from_due"),
            late_s: self.resources.late_s,
            workers: self.resources.workers,
            elapsed_s: self.elapsed_s,
        };
        Some(match served.too_late()? {
            Late::Away(away_s) => format!(
                "the generator was late: its workers left their connections alone for {} of {}, on average",
                seconds(away_s),
                seconds(self.elapsed_s)
            ),
            Late::Messages(us) => format!(
                "the generator was late: 99 % of messages were sent up to {} after they were due, and that is much of \
                 what was measured",
                micros(us)
            ),
            Late::Sockets(us) => format!(
                "the generator was late: what came to its connections waited up to {} (99 %) for a worker, and that is \
                 much of what was measured",
                micros(us)
            ),
            Late::Always(us) => format!(
                "the generator was late: half of its answers have {} or more of its own delay in them, and that is much of \
                 what was measured",
                micros(us)
            ),
        })
    }

    fn lateness_beyond_reason(&self) -> Option<String> {
        let lateness = self.latency_us.get("lateness")?;
        (lateness.p99 > LATE_US).then(|| {
            format!(
                "the generator was late: 99 % of attempts started up to {} after they were due",
                micros(lateness.p99)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{RunResult, sample};

    fn judged(late: u64, change: impl FnOnce(&mut RunResult)) -> Verdict {
        let mut result = sample::good();
        result.skipped.insert("late".into(), late);
        change(&mut result);
        Figures::of(&result).judge(Vec::new(), &[]).verdict
    }

    #[test]
    fn a_run_that_cuts_more_than_one_conversation_in_a_hundred_is_not_passed() {
        let cut = |share: f64| {
            judged(0, |result| result.counts.cut_short = (result.counts.started as f64 * share) as u64)
        };
        assert_eq!(cut(0.009), Verdict::Passed);
        assert_eq!(cut(0.011), Verdict::Failed);
    }

    #[test]
    fn a_generator_that_is_late_spoils_the_run_and_one_that_is_hardly_late_does_not() {
        // 13,000 arrivals in 8.09 s: 160 of them in 100 ms.
        assert_eq!(judged(150, |_| {}), Verdict::Passed);
        assert_eq!(judged(200, |_| {}), Verdict::Invalid);
        assert_eq!(judged(200, |result| result.aborted = Some("it was to end".into())), Verdict::Passed);
        let late = |result: &mut RunResult| result.latency_us.get_mut("lateness").unwrap().p99 = LATE_US + 1;
        assert_eq!(judged(0, late), Verdict::Invalid);
    }
}
