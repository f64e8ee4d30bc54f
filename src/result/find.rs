//! Outcome of `connstorm find`: the figure, its interval, and what stopped it.

use crate::capacity::End;
use crate::model::format::{micros, thousands};
use crate::model::{OnsetKind, Side};
use crate::plan::threshold::Threshold;
use crate::result::headline;
use crate::result::model::{RunResult, Verdict};
use serde::Serialize;
use std::fmt;

/// Version of what [`FindReport`] serialises to.
pub const FIND_VERSION: u32 = 1;

/// Quantity that is made larger until something gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Attempts a second.
    Rate,
    /// Connections held at once.
    Held,
    /// Messages a second, over a number of connections that stays.
    Messages,
}

impl Quantity {
    /// A value of it as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Quantity::Rate if value < 10.0 => format!("{value:.1}/s"),
            Quantity::Rate => format!("{}/s", thousands(value.round() as u64)),
            Quantity::Held => format!("{} held", thousands(value.round() as u64)),
            Quantity::Messages => format!("{} messages/s", thousands(value.round() as u64)),
        }
    }
}

/// The whole search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FindReport {
    /// See [`FIND_VERSION`].
    pub find_version: u32,
    /// The scenario.
    pub name: String,
    /// Quantity that was looked for.
    pub quantity: Quantity,
    /// The largest value at which every threshold held; absent: at none.
    pub passing: Option<f64>,
    /// The smallest value at which one did not, or that could not be judged; absent: none was met.
    pub failing: Option<f64>,
    /// Limit that stopped the search; absent where the largest value that was to be probed passed.
    pub stopped_by: Option<Stopped>,
    /// True if it was ended from outside: the figures are those so far.
    pub interrupted: bool,
    /// The thresholds.
    pub thresholds: Vec<Threshold>,
    /// The least value that was wanted (`--at-least`); absent: none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// True if as much was found; absent where nothing was wanted, or where that was not decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough: Option<bool>,
    /// Every probe, in order.
    pub probes: Vec<ProbeReport>,
}

/// Limit that stood in the way of more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stopped {
    /// Whose limit it is.
    pub side: Side,
    /// Reason.
    pub why: String,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The value.
    pub value: f64,
    /// Number of times that the value had been tried before.
    pub repeat: u32,
    /// Verdict of the probe.
    pub verdict: Verdict,
    /// Reasons, where it did not pass.
    pub reasons: Vec<String>,
    /// Attempts that ended well.
    pub ok: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// The most open at once.
    pub held_max: u64,
    /// 99th percentile of connect, in microseconds.
    pub connect_p99_us: u64,
    /// Sign that the target did not keep up with the load; absent where it did, or where too little was seen to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fell_behind: Option<FellBehind>,
}

/// Sign that a target did not keep up with a probe, whatever it made good after the load. Response times are means
/// without the longest tenth; "early" is the second quarter of the load, "late" the fourth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum FellBehind {
    /// Time from the start of an attempt until its handshakes were done.
    Openings {
        /// In microseconds.
        early_us: u64,
        /// In microseconds.
        late_us: u64,
    },
    /// Time from a message or request to its answer.
    Answers {
        /// In microseconds.
        early_us: u64,
        /// In microseconds.
        late_us: u64,
    },
    /// Connections that waited for accept() at a target on this host.
    AcceptQueue {
        /// On average.
        early: u64,
        /// On average.
        late: u64,
    },
    /// Connections that were to be held and were still opening when the load ended.
    NotOpen {
        /// Number that was open.
        open: u64,
        /// Number that was to be held.
        wanted: u64,
    },
}

impl fmt::Display for FellBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FellBehind::Openings { early_us, late_us } => write!(
                f,
                "the target did not keep up: a connection took {} to open in the second quarter of the load, and {} in \
                 the fourth",
                micros(early_us),
                micros(late_us)
            ),
            FellBehind::Answers { early_us, late_us } => write!(
                f,
                "the target did not keep up: an answer took {} in the second quarter of the load, and {} in the fourth",
                micros(early_us),
                micros(late_us)
            ),
            FellBehind::AcceptQueue { early, late } => write!(
                f,
                "the target did not keep up: {} connections waited for its accept() in the second quarter of the load, \
                 and {} in the fourth",
                thousands(early),
                thousands(late)
            ),
            FellBehind::NotOpen { open, wanted } => write!(
                f,
                "the target did not keep up: only {} of {} connections were open when the load ended",
                thousands(open),
                thousands(wanted)
            ),
        }
    }
}

impl ProbeReport {
    /// The probe of a value, by its result.
    pub fn of(value: f64, repeat: u32, result: &RunResult) -> ProbeReport {
        ProbeReport {
            value,
            repeat,
            verdict: result.verdict,
            reasons: if result.verdict == Verdict::Passed { Vec::new() } else { result.reasons.clone() },
            ok: result.counts.ok,
            failed: result.counts.failed,
            held_max: result.counts.held_max,
            connect_p99_us: result.latency_us.get("connect").map_or(0, |connect| connect.p99),
            fell_behind: None,
        }
    }
}

impl FindReport {
    /// A search that has not begun.
    pub fn new(name: &str, quantity: Quantity, thresholds: Vec<Threshold>) -> FindReport {
        FindReport {
            find_version: FIND_VERSION,
            name: name.to_owned(),
            quantity,
            passing: None,
            failing: None,
            stopped_by: None,
            interrupted: false,
            thresholds,
            at_least: None,
            enough: None,
            probes: Vec::new(),
        }
    }

    /// Holds what was found against the least that was wanted. That the generator was the limit, or that the search
    /// was interrupted, decides nothing where too little was found by then.
    pub fn judge(&mut self, at_least: Option<f64>) {
        self.at_least = at_least;
        let Some(least) = at_least else { return };
        let is_enough = self.passing.is_some_and(|passing| passing >= least);
        let by_generator = self.stopped_by.as_ref().is_some_and(|stopped| stopped.side == Side::Generator);
        let is_open = self.interrupted || by_generator;
        self.enough = if is_enough || !is_open { Some(is_enough) } else { None };
    }

    /// Takes over what the search knows at its end.
    pub fn conclude(&mut self, end: &End) {
        self.passing = end.passing;
        let limits = [end.failing, end.invalid];
        self.failing = limits.into_iter().flatten().reduce(f64::min);
    }
}

/// Whose limit a run met that did not pass: the generator's if it is invalid; otherwise that of its surest
/// finding, of its onsets, of its failures; otherwise, if it was merely slow, the target's.
pub fn stopped_by(result: &RunResult) -> Stopped {
    let reason = || result.reasons.first().cloned().unwrap_or_else(|| headline::what_happened(result));
    if result.verdict == Verdict::Invalid {
        return Stopped { side: Side::Generator, why: reason() };
    }
    let telling = result.onsets.iter().find_map(|onset| Some((side_of(onset.kind)?, onset)));
    match (telling, headline::whose_fault(result)) {
        // A full queue of the target's explains retransmits and timeouts that look like the path's.
        (Some((side, onset)), _) => {
            Stopped { side, why: format!("{} at {:.1} s; {}", onset.kind, onset.at_s, reason()) }
        }
        (None, Some((side, why))) => Stopped { side, why: format!("{why}; {}", reason()) },
        (None, None) => Stopped { side: Side::Target, why: reason() },
    }
}

/// The onsets that say by themselves whose limit was met.
fn side_of(kind: OnsetKind) -> Option<Side> {
    match kind {
        OnsetKind::AcceptQueueFull | OnsetKind::Refusals => Some(Side::Target),
        OnsetKind::PortsExhausted | OnsetKind::FdLimit | OnsetKind::GeneratorSaturated => {
            Some(Side::Generator)
        }
        OnsetKind::ConntrackNearFull => Some(Side::Path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn what_was_wanted_is_decided_but_where_the_generator_was_the_limit() {
        let judged = |passing: f64, stopped: Option<Side>, interrupted: bool| {
            let mut report = FindReport::new("x", Quantity::Rate, Vec::new());
            report.passing = Some(passing);
            report.stopped_by = stopped.map(|side| Stopped { side, why: String::new() });
            report.interrupted = interrupted;
            report.judge(Some(5000.0));
            report.enough
        };
        assert_eq!(judged(5000.0, None, false), Some(true));
        assert_eq!(judged(5000.0, Some(Side::Generator), false), Some(true), "as much was seen to pass");
        assert_eq!(judged(5000.0, None, true), Some(true));
        assert_eq!(judged(4999.0, Some(Side::Target), false), Some(false));
        assert_eq!(judged(4999.0, Some(Side::Generator), false), None);
        assert_eq!(judged(4999.0, None, true), None);
    }

    #[test]
    fn what_stopped_it_is_told_by_the_surest_sign() {
        let bad = sample::exhausted();
        let stopped = stopped_by(&bad);
        assert_eq!(stopped.side, Side::Generator);
        assert!(stopped.why.starts_with("ports_exhausted at 8.3 s; failed.ratio is 49"), "{}", stopped.why);
        let slow = RunResult {
            verdict: Verdict::Failed,
            reasons: vec!["connect.p99 is 80 ms; wanted < 50ms".into()],
            onsets: Vec::new(),
            ..sample::good()
        };
        assert_eq!(stopped_by(&slow).side, Side::Target, "slow, and nothing else to be seen");
        let invalid = RunResult { verdict: Verdict::Invalid, reasons: vec!["late".into()], ..slow };
        assert_eq!(stopped_by(&invalid), Stopped { side: Side::Generator, why: "late".into() });
    }
}
