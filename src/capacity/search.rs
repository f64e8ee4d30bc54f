//! The search for the largest value that passes: the state machine of `connstorm find`.
//!
//! It doubles until something fails, then halves the interval. It never runs anything: it says which value
//! to probe next, and is told how that went. Invariant: every answer is kept, and all that the search knows
//! is derived from them, so a stray answer cannot leave it in a state of its own.

use serde::{Deserialize, Serialize};

/// Where to search, and how closely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchLimits {
    /// The first value probed.
    pub start: f64,
    /// No value above it is probed.
    pub most: f64,
    /// Values nearer to each other than this are not told apart, and none below it is probed.
    pub step: f64,
    /// The interval may be so large a part of its upper end (0.05: 5 %).
    pub tolerance: f64,
    /// Most repetitions of a probe before the majority counts.
    pub repeats: u32,
    /// A value that has to be decided: it is probed itself where the interval would leave it open.
    #[serde(default)]
    pub decide: Option<f64>,
}

impl SearchLimits {
    /// From `start` to `most` in whole numbers, to 5 %, each doubtful probe repeated twice.
    pub fn new(start: f64, most: f64) -> SearchLimits {
        SearchLimits { start, most, step: 1.0, tolerance: 0.05, repeats: 2, decide: None }
    }
}

/// Mistake in the limits of a search.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The values do not make an interval.
    #[error(
        "the search goes from {start} to {most} in steps of {step}: each must be a number above zero, in growing order step, start, most"
    )]
    Interval {
        /// As given.
        start: f64,
        /// As given.
        most: f64,
        /// As given.
        step: f64,
    },
    /// The value to be decided is none that is probed.
    #[error("{value} can't be decided: the search goes to {most} in steps of {step}")]
    Decide {
        /// As given.
        value: f64,
        /// As given.
        most: f64,
        /// As given.
        step: f64,
    },
    /// The tolerance is not a part.
    #[error("the tolerance of the search is {0}: it must lie above 0 and below 1, such as 0.05")]
    Tolerance(f64),
}

/// A value to try.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The value.
    pub value: f64,
    /// Number of times that the value was tried before.
    pub repeat: u32,
}

/// Outcome of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Every threshold was met.
    Passed,
    /// One was not.
    Failed,
    /// The generator was the limit: the run says nothing of the target.
    Invalid,
}

/// Outcome of the search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The largest value that passes, by the majority; `None`: none did.
    pub passing: Option<f64>,
    /// The smallest value that fails; `None`: none did.
    pub failing: Option<f64>,
    /// The smallest value at which the generator was the limit, if that is what ended the search.
    pub invalid: Option<f64>,
    /// Probes made.
    pub probes: u32,
}

/// The search, as far as it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    limits: SearchLimits,
    tried: Vec<Tried>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Tried {
    value: f64,
    passed: u32,
    failed: u32,
    invalid: u32,
}

impl Search {
    /// A search that has not begun.
    ///
    /// # Errors
    /// If the limits do not make an interval that can be divided.
    pub fn new(limits: SearchLimits) -> Result<Search, SearchError> {
        let SearchLimits { start, most, step, tolerance, decide, .. } = limits;
        if !(step > 0.0 && start >= step && most >= start && most.is_finite()) {
            return Err(SearchError::Interval { start, most, step });
        }
        if !(tolerance > 0.0 && tolerance < 1.0) {
            return Err(SearchError::Tolerance(tolerance));
        }
        if let Some(value) = decide.filter(|value| !(*value >= step && *value <= most)) {
            return Err(SearchError::Decide { value, most, step });
        }
        Ok(Search { limits, tried: Vec::new() })
    }

    /// Next value to probe; `None`: the search has ended, see [`Search::end`]. The same until it is answered.
    pub fn next(&self) -> Option<Probe> {
        let undecided = self.tried.iter().find(|tried| self.verdict(tried).is_none());
        let value = match undecided {
            Some(tried) => tried.value,
            None => self.next_value().or_else(|| self.unconfirmed())?,
        };
        let repeat = self.tried.iter().find(|tried| tried.value == value).map_or(0, Tried::answers);
        Some(Probe { value, repeat })
    }

    /// Says how the probe went that [`Search::next`] gave. After the end it has no effect.
    pub fn answer(&mut self, answer: Answer) {
        let Some(Probe { value, .. }) = self.next() else { return };
        let at = self.tried.iter().position(|tried| tried.value == value).unwrap_or_else(|| {
            self.tried.push(Tried { value, passed: 0, failed: 0, invalid: 0 });
            self.tried.len() - 1
        });
        let tried = &mut self.tried[at];
        match answer {
            Answer::Passed => tried.passed += 1,
            Answer::Failed => tried.failed += 1,
            Answer::Invalid => tried.invalid += 1,
        }
    }

    /// Outcome of the search; `None` while there is something left to probe.
    pub fn end(&self) -> Option<End> {
        if self.next().is_some() {
            return None;
        }
        let lowest = |wanted| self.lowest(|answer| answer == wanted);
        let (failing, invalid) = (lowest(Answer::Failed), lowest(Answer::Invalid));
        Some(End {
            passing: self.passing().map(|tried| tried.value),
            failing,
            invalid: invalid.filter(|value| failing.is_none_or(|failing| *value < failing)),
            probes: self.tried.iter().map(Tried::answers).sum(),
        })
    }

    /// The value that divides what is still open; `None` if the interval is small enough.
    fn next_value(&self) -> Option<f64> {
        let limits = &self.limits;
        match (self.passing().map(|tried| tried.value), self.upper()) {
            (None, None) => Some(limits.start),
            (Some(low), None) => (low < limits.most).then(|| (low * 2.0).min(limits.most)),
            (None, Some(high)) => {
                let half = self.stepped(high / 2.0);
                (half < high).then_some(half)
            }
            (Some(low), Some(high)) => {
                let middle = self.stepped(low + (high - low) / 2.0);
                let close = high - low <= (limits.tolerance * high).max(limits.step);
                let open = limits.decide.filter(|value| low < *value && *value < high);
                (!close && low < middle && middle < high).then_some(middle).or(open)
            }
        }
    }

    /// A value that passed, is about to be the answer, and was not yet confirmed by a majority.
    fn unconfirmed(&self) -> Option<f64> {
        self.passing().filter(|tried| tried.passed < self.majority()).map(|tried| tried.value)
    }

    fn stepped(&self, value: f64) -> f64 {
        ((value / self.limits.step).round() * self.limits.step).max(self.limits.step)
    }

    /// The largest value that passed below everything that did not.
    fn passing(&self) -> Option<&Tried> {
        let upper = self.upper().unwrap_or(f64::INFINITY);
        let passed = self.tried.iter().filter(|t| self.verdict(t) == Some(Answer::Passed) && t.value < upper);
        passed.max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// The smallest value that failed or could not be judged.
    fn upper(&self) -> Option<f64> {
        self.lowest(|answer| answer != Answer::Passed)
    }

    fn lowest(&self, wanted: impl Fn(Answer) -> bool) -> Option<f64> {
        let found = self.tried.iter().filter(|tried| self.verdict(tried).is_some_and(&wanted));
        found.map(|tried| tried.value).min_by(f64::total_cmp)
    }

    /// Judgement of a value; `None`: the value must be tried again. A first pass counts for the time being; a
    /// failure must be borne out by the majority; a run that could not be judged is repeated.
    fn verdict(&self, tried: &Tried) -> Option<Answer> {
        if tried.failed >= self.answers_asked().div_ceil(2) {
            Some(Answer::Failed)
        } else if tried.passed >= self.majority() || (tried.passed > 0 && tried.failed == 0) {
            Some(Answer::Passed)
        } else if tried.invalid > self.limits.repeats {
            Some(Answer::Invalid)
        } else {
            None
        }
    }

    /// Answers after which a value is judged at the latest.
    fn answers_asked(&self) -> u32 {
        self.limits.repeats.saturating_add(1)
    }

    /// Passes that outvote every failure there can be. What passes half the time does not pass.
    fn majority(&self) -> u32 {
        self.answers_asked() / 2 + 1
    }
}

impl Tried {
    fn answers(&self) -> u32 {
        self.passed + self.failed + self.invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(limits: SearchLimits, mut judge: impl FnMut(Probe) -> Answer) -> End {
        let mut search = Search::new(limits).unwrap();
        for _ in 0..10_000 {
            match search.next() {
                Some(probe) => search.answer(judge(probe)),
                None => return search.end().unwrap(),
            }
        }
        panic!("no end: {search:?}");
    }

    fn threshold(at: f64) -> impl Fn(Probe) -> Answer {
        move |probe| if probe.value <= at { Answer::Passed } else { Answer::Failed }
    }

    #[test]
    fn it_doubles_then_halves() {
        let mut values = Vec::new();
        let limits = SearchLimits { repeats: 0, ..SearchLimits::new(100.0, 1e6) };
        run(limits, |probe| {
            values.push(probe.value);
            threshold(530.0)(probe)
        });
        assert_eq!(values, [100.0, 200.0, 400.0, 800.0, 600.0, 500.0, 550.0, 525.0]);
    }

    #[test]
    fn it_goes_down_from_a_start_that_fails() {
        let end = run(SearchLimits::new(1000.0, 1e6), threshold(3.0));
        assert_eq!((end.passing, end.failing), (Some(3.0), Some(4.0)));
        let none = run(SearchLimits::new(1000.0, 1e6), threshold(0.0));
        assert_eq!((none.passing, none.failing), (None, Some(1.0)));
    }

    #[test]
    fn it_stops_at_the_most_that_it_may_probe() {
        let end = run(SearchLimits::new(100.0, 1000.0), threshold(1e9));
        assert_eq!((end.passing, end.failing, end.invalid), (Some(1000.0), None, None));
    }

    #[test]
    fn a_single_failure_is_outvoted() {
        let mut first = true;
        let end = run(SearchLimits::new(100.0, 1000.0), |probe| {
            if probe.value == 200.0 && std::mem::take(&mut first) {
                return Answer::Failed;
            }
            threshold(1e9)(probe)
        });
        assert_eq!(end.passing, Some(1000.0));
    }

    #[test]
    fn a_single_lucky_pass_does_not_become_the_answer() {
        let end = run(SearchLimits::new(100.0, 1000.0), |probe| match probe {
            Probe { value: 400.0, repeat: 0 } => Answer::Passed,
            probe => threshold(300.0)(probe),
        });
        assert!(end.passing.unwrap() <= 300.0 && end.failing.unwrap() <= 320.0, "{end:?}");
    }

    #[test]
    fn where_the_generator_is_the_limit_the_search_says_so() {
        let end = run(SearchLimits::new(100.0, 1e6), |probe| {
            if probe.value > 5000.0 { Answer::Invalid } else { Answer::Passed }
        });
        assert!(end.failing.is_none());
        assert!(end.passing.unwrap() <= 5000.0 && end.invalid.unwrap() > 5000.0);
        assert!(end.passing.unwrap() >= end.invalid.unwrap() * 0.95);
    }

    #[test]
    fn limits_that_make_no_interval_are_refused() {
        for (start, most) in [(0.0, 10.0), (10.0, 5.0), (f64::NAN, 10.0), (1.0, f64::INFINITY)] {
            let error = Search::new(SearchLimits::new(start, most)).unwrap_err().to_string();
            assert!(error.contains("above zero"), "{error}");
        }
        let error = Search::new(SearchLimits { tolerance: 0.0, ..SearchLimits::new(1.0, 2.0) }).unwrap_err();
        assert!(error.to_string().contains("0.05"), "{error}");
    }

    proptest! {
        #[test]
        fn without_noise_the_threshold_is_enclosed(at in 1.0..1e6_f64, start in 1.0..1e6_f64, repeats in 0..4_u32) {
            let limits = SearchLimits { repeats, ..SearchLimits::new(start, 4e6) };
            let end = run(limits, threshold(at));
            let (low, high) = (end.passing.unwrap(), end.failing.unwrap());
            prop_assert!(low <= at && at < high);
            prop_assert!(high - low <= (0.05 * high).max(1.0) + 1e-9);
            prop_assert!(end.probes <= 200);
        }

        #[test]
        fn a_value_that_is_to_be_decided_is(at in 1.0..1e6_f64, start in 1.0..1e6_f64, wanted in 1.0..1e6_f64) {
            let limits = SearchLimits { repeats: 0, decide: Some(wanted), ..SearchLimits::new(start, 4e6) };
            let end = run(limits, threshold(at));
            let holds = end.passing.is_some_and(|passing| passing >= wanted);
            prop_assert_eq!(holds, wanted <= at, "{:?}", end);
            prop_assert!(end.passing.is_none_or(|passing| passing <= at));
        }

        #[test]
        fn with_noise_the_answer_is_near(at in 100.0..1e5_f64, noise in prop::collection::vec(0..100_u32, 600)) {
            // One answer in 25 is wrong, in turn by chance; the majority of nine outvotes it.
            let limits = SearchLimits { repeats: 8, ..SearchLimits::new(10.0, 1e6) };
            let mut n = 0;
            let end = run(limits, |probe| {
                n += 1;
                let wrong = noise[n % noise.len()] < 4;
                let passes = (probe.value <= at) != wrong;
                if passes { Answer::Passed } else { Answer::Failed }
            });
            prop_assert!(end.passing.unwrap() <= at * 1.001);
            prop_assert!(end.failing.unwrap() > at * 0.999 || end.failing.unwrap() - 1.0 <= at);
        }

        #[test]
        fn any_answers_lead_to_an_end(answers in prop::collection::vec(0..3_u8, 1..50), repeats in 0..4_u32) {
            let limits = SearchLimits { repeats, ..SearchLimits::new(50.0, 1e5) };
            let mut n = 0;
            let end = run(limits, |_| {
                n += 1;
                [Answer::Passed, Answer::Failed, Answer::Invalid][usize::from(answers[n % answers.len()])]
            });
            if let (Some(low), Some(high)) = (end.passing, end.failing) {
                prop_assert!(low < high);
            }
        }
    }
}
