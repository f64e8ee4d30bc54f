//! The figures of a run by the names of metrics, held against thresholds.

use crate::model::{Cause, Latency, LatencyKind, OnsetKind};
use crate::plan::threshold::{
    Counter, Evaluation, Metric, Percentile, Share, Stat, StepFigure, StepName, Threshold,
};
use crate::result::figures::Figures;
use crate::result::model::LatencySummary;

impl Figures<'_> {
    /// Judges every threshold of the plan, or the default where it has none. A part of a run is not judged: no
    /// threshold is about it, and the whole is judged when it is merged.
    pub(super) fn evaluate(&self) -> Vec<Evaluation> {
        if self.slice.is_some() {
            return Vec::new();
        }
        let written = &self.plan.thresholds[..];
        let thresholds = if written.is_empty() { &[Threshold::DEFAULT][..] } else { written };
        thresholds.iter().map(|threshold| self.held_against(threshold)).collect()
    }

    fn held_against(&self, threshold: &Threshold) -> Evaluation {
        let Some(name) = threshold.population() else {
            return threshold.evaluate(&|metric| self.value(metric));
        };
        let population = self.populations.iter().find(|population| population.name == name);
        let figures = population.map(|population| population.figures(self));
        threshold.evaluate(&|metric| figures.as_ref()?.value(metric))
    }

    /// True if the user's thresholds speak of a cause: then it is what the run is about, and no accident.
    pub(super) fn is_about(&self, cause: Cause) -> bool {
        let of_ports = matches!(cause, Cause::AddressNotAvailable | Cause::AddressInUse | Cause::NoFreePort);
        let thresholds = self.plan.thresholds.iter().chain(&self.plan.abort_when);
        thresholds.map(Threshold::metric).any(|metric| match metric {
            Metric::Failed(named) | Metric::FailedRatio(named) => named == cause,
            Metric::Onset(onset) => of_ports && onset == OnsetKind::PortsExhausted,
            _ => false,
        })
    }

    /// The value of a metric in its unit; `None` where it was not measured.
    pub(super) fn value(&self, metric: &Metric) -> Option<f64> {
        let counts = self.counts;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        match *metric {
            Metric::Latency { of, stat } => self.latency(of, stat),
            Metric::Count(counter) => Some(self.count(counter) as f64),
            Metric::Ratio(Share::Ok) => share(counts.ok, counts.started),
            Metric::Ratio(Share::Failed) => share(counts.failed, counts.started),
            Metric::Ratio(Share::Skipped) => share(counts.skipped, counts.planned),
            Metric::Failed(cause) => Some(self.failed_by(cause) as f64),
            Metric::FailedRatio(cause) => share(self.failed_by(cause), counts.started),
            Metric::Skipped(reason) => Some(self.skipped.get(reason.name()).copied().unwrap_or(0) as f64),
            Metric::Onset(kind) => {
                let told = self.onsets.iter().find(|onset| onset.kind == kind).map(|onset| onset.at_s);
                told.or_else(|| self.is_blind_to(kind).then_some(f64::NAN))
            }
            Metric::Step { name, figure } => self.step(name, figure),
            Metric::RateAchieved => Some(super::model::per_second(counts.ok, self.elapsed_s)),
            // A watch's.
            Metric::Observed(_) => None,
        }
    }

    fn step(&self, name: StepName, figure: StepFigure) -> Option<f64> {
        let counted = || self.steps.iter().find(|step| step.name == name.as_str());
        match figure {
            StepFigure::Done => counted().map(|step| step.done as f64),
            StepFigure::Failed => counted().map(|step| step.failed as f64),
            StepFigure::Time(stat) => self.time(&format!("step.{}", name.as_str()), stat),
        }
    }

    fn latency(&self, of: LatencyKind, stat: Stat) -> Option<f64> {
        self.time(of.name(), stat)
    }

    fn time(&self, name: &str, stat: Stat) -> Option<f64> {
        let summary = self.latency_us.get(name).filter(|summary| summary.count > 0)?;
        Some(match stat {
            Stat::Min => summary.min as f64,
            Stat::Percentile(percentile) => summary.percentile(percentile)? as f64,
            Stat::Max => summary.max as f64,
            Stat::Mean => summary.mean,
        })
    }

    fn count(&self, counter: Counter) -> u64 {
        let counts = self.counts;
        match counter {
            Counter::Planned => counts.planned,
            Counter::Started => counts.started,
            Counter::Ok => counts.ok,
            Counter::Failed => counts.failed,
            Counter::CutShort => counts.cut_short,
            Counter::Skipped => counts.skipped,
            Counter::InFlight => counts.in_flight,
            Counter::Backoffs => counts.backoffs,
            Counter::HeldMax => counts.held_max,
            Counter::BytesIn => counts.bytes_in,
            Counter::BytesOut => counts.bytes_out,
            Counter::Sessions => self.messages.sessions,
            Counter::Sent => self.messages.sent,
            Counter::Received => self.messages.received,
            Counter::Matched => self.messages.matched,
            Counter::Mismatches => self.messages.mismatches,
            Counter::Unanswered => self.messages.unanswered,
            Counter::UnsentLate => self.messages.unsent_late,
            Counter::UnsentWaiting => self.messages.unsent_waiting,
            Counter::UnsentCut => self.messages.unsent_cut,
            Counter::UnsentLost => self.messages.unsent_lost,
            Counter::Pushes => self.messages.pushes,
            Counter::Pings => self.messages.pings,
            Counter::PeerPings => self.messages.peer_pings,
            Counter::Pongs => self.messages.pongs,
            Counter::Reconnects => self.messages.reconnects,
        }
    }

    /// True if an onset is told by the kernel's sockets or counters alone, and those could not be seen: that it
    /// was not told is then no sign that it did not happen.
    fn is_blind_to(&self, kind: OnsetKind) -> bool {
        use OnsetKind::{
            FdLimit, GeneratorSaturated, PortSearchSlow, PortsExhausted, PortsRecovered, Refusals,
        };
        let is_told_by_attempts = matches!(
            kind,
            PortSearchSlow | PortsExhausted | PortsRecovered | FdLimit | Refusals | GeneratorSaturated
        );
        // A result of 0.1 does not tell.
        let blind = |note: &String| note.starts_with("sockets (") || note.starts_with("counters (");
        !is_told_by_attempts && self.unseen.iter().any(blind)
    }

    fn failed_by(&self, cause: Cause) -> u64 {
        self.failures.iter().filter(|kind| kind.cause == cause).map(|kind| kind.count).sum()
    }
}

impl LatencySummary {
    /// The value that a percentile of all values does not exceed, in microseconds; `None` where it is none of those
    /// that are kept and the histogram is not there.
    pub fn percentile(&self, percentile: Percentile) -> Option<u64> {
        match percentile {
            Percentile::P50 => Some(self.p50),
            Percentile::P90 => Some(self.p90),
            Percentile::P99 => Some(self.p99),
            Percentile::P99_9 => Some(self.p99_9),
            other => Latency::from_base64(&self.histogram)
                .filter(|latency| latency.count() > 0)
                .map(|latency| latency.quantile_us(other.share())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::threshold::catalogue;
    use crate::result::RunResult;

    #[test]
    fn the_result_has_a_value_where_the_list_of_metrics_says() {
        let result = serde_json::to_value(crate::result::sample::good()).unwrap();
        let mut looked = 0;
        for entry in catalogue().into_iter().flat_map(|family| family.entries) {
            for path in entry.from.split('`').skip(1).step_by(2).filter(|path| path.contains('.')) {
                let pointer = format!("/{}", path.replace('.', "/"));
                // A result of 0.1 has none of these.
                let is_newer = path.starts_with("latency_us")
                    || path.starts_with("skipped.agent_")
                    || path == "skipped.data_exhausted";
                assert!(is_newer || result.pointer(&pointer).is_some(), "{path}");
                looked += 1;
            }
        }
        assert!(looked > 30, "{looked}");
    }

    #[test]
    fn any_percentile_is_judged_by_the_histogram() {
        let mut result = crate::result::sample::good();
        let mut latency = crate::model::Latency::default();
        for us in 1..=100u64 {
            latency.record(std::time::Duration::from_micros(us));
        }
        result.latency_us.insert("connect".into(), LatencySummary::of(&latency));
        let value = |result: &RunResult, name: &str| Figures::of(result).value(&Metric::named(name).unwrap());
        for (name, us) in
            [("connect.p95", 95.0), ("connect.p99.9", 100.0), ("connect.p50", 50.0), ("connect.p1", 1.0)]
        {
            assert_eq!(value(&result, name), Some(us), "{name}");
        }
        // A result whose histogram was taken out tells what it still has.
        result.latency_us.get_mut("connect").unwrap().histogram.clear();
        assert_eq!(value(&result, "connect.p95"), None);
        assert_eq!(value(&result, "connect.p90"), Some(90.0));
    }

    #[test]
    fn never_can_not_pass_where_nothing_could_be_seen() {
        let mut result = crate::result::sample::good();
        result.onsets.clear();
        result.plan.thresholds = ["onset.time_wait_building == never", "onset.refusals == never"]
            .map(|t| t.parse().unwrap())
            .into();
        let passed =
            |result: &RunResult| Figures::of(result).evaluate().iter().map(|t| t.passed).collect::<Vec<_>>();
        assert_eq!(passed(&result), [true, true]);
        result.unseen = vec!["sockets (sock_diag): Operation not permitted".into()];
        assert_eq!(passed(&result), [false, true], "refusals are seen by the attempts themselves");
        let says = Figures::of(&result).evaluate().swap_remove(0).says;
        assert!(says.contains("could not be seen"), "{says}");
    }

    /// As the reference page and `--help` say it.
    #[test]
    fn the_default_is_one_failure_in_a_hundred() {
        assert_eq!(Threshold::DEFAULT.to_string(), "failed.ratio < 1%");
    }
}
