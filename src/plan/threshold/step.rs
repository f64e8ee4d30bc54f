//! Steps of conversations as metrics: `step.say.p99`, `step.login.failed`.

use super::stat::Stat;
use super::value::Unit;
use crate::plan::Plan;
use crate::plan::steps;
use std::fmt;

/// Longest name of a step, in bytes.
pub const LONGEST_STEP_NAME: usize = 31;

/// Name of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepName {
    length: u8,
    bytes: [u8; LONGEST_STEP_NAME],
}

/// Figure of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepFigure {
    /// Number of times that it was done.
    Done,
    /// Attempts that failed in it.
    Failed,
    /// A number of the time that it took.
    Time(Stat),
}

impl StepName {
    /// A name of ASCII letters, digits, `_` and `-`.
    pub fn new(name: &str) -> Option<StepName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > LONGEST_STEP_NAME || !name.bytes().all(fits) {
            return None;
        }
        let mut bytes = [0; LONGEST_STEP_NAME];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(StepName { length: name.len() as u8, bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Debug for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl StepFigure {
    /// Word that stands after the step's name.
    fn named(name: &str) -> Option<StepFigure> {
        match name {
            "done" => Some(StepFigure::Done),
            "failed" => Some(StepFigure::Failed),
            _ => Stat::named(name).map(StepFigure::Time),
        }
    }

    /// Unit of the figure.
    pub(super) fn unit(self) -> Unit {
        match self {
            StepFigure::Done | StepFigure::Failed => Unit::Count,
            StepFigure::Time(_) => Unit::Microseconds,
        }
    }
}

impl fmt::Display for StepFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepFigure::Done => f.write_str("done"),
            StepFigure::Failed => f.write_str("failed"),
            StepFigure::Time(stat) => stat.fmt(f),
        }
    }
}

/// Step and figure of `step.NAME.FIGURE`.
pub(super) fn named(metric: &str) -> Option<(StepName, StepFigure)> {
    let (name, figure) = metric.strip_prefix("step.")?.split_once('.')?;
    Some((StepName::new(name)?, StepFigure::named(figure)?))
}

/// Reason why a plan has no such figure, and what it has instead.
pub(super) fn lacking(plan: &Plan, name: StepName, figure: StepFigure) -> Option<(String, String)> {
    let names = steps::names(&plan.session.steps);
    if names.is_empty() {
        return Some(("it has no steps".to_owned(), "`steps`, one of them of this name".to_owned()));
    }
    let Some(at) = names.iter().position(|known| known == name.as_str()) else {
        let known: Vec<String> = names.iter().map(|name| format!("`step.{name}`")).collect();
        return Some((format!("it has no step '{}'", name.as_str()), known.join(", ")));
    };
    let is_timed = steps::flat(&plan.session.steps).get(at).is_some_and(|step| step.act.is_timed());
    let has_no_time = matches!(figure, StepFigure::Time(_)) && !is_timed;
    has_no_time.then(|| {
        let why = format!("the step '{}' waits for nothing", name.as_str());
        (why, "a step that waits for an answer".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use crate::plan::load_file;
    use crate::plan::threshold::Metric;
    use std::path::Path;

    #[test]
    fn steps_are_metrics_by_their_names() {
        for name in ["step.say.p99", "step.log-in_2.failed", "step.wait_3.done", "step.a.mean"] {
            assert_eq!(Metric::named(name).unwrap().to_string(), name);
        }
        for none in ["step.say", "step..p99", "step.a b.p99", "step.say.p0", "step.say.p99.x"] {
            assert!(Metric::named(none).is_none(), "{none}");
        }
        assert!(Metric::named(&format!("step.{}.done", "a".repeat(32))).is_none());
    }

    #[test]
    fn a_threshold_on_a_step_that_is_not_there_is_refused_with_those_that_are() {
        let load = |threshold: &str| {
            let text = format!(
                "steps = [{{ send = \"a\", expect = \"echo\", name = \"say\" }}, {{ send = \"b\" }}]\n\
                 [target]\nurl = \"ws://h:1/\"\n[thresholds]\n\"{threshold}\" = \"< 5\"\n"
            );
            let text = text.replace("p99\" = \"< 5\"", "p99\" = \"< 5ms\"");
            load_file(Path::new("a.toml"), &text, &|_| None, &Default::default()).map_err(|e| e.to_string())
        };
        assert!(
            load("step.say.p99").is_ok()
                && load("step.send_2.done").is_ok()
                && load("step.say.failed").is_ok()
        );
        let shown = load("step.sya.p99").unwrap_err();
        assert!(
            shown.contains("has no step 'sya'") && shown.contains("`step.say`, `step.send_2`"),
            "{shown}"
        );
        let shown = load("step.send_2.p99").unwrap_err();
        assert!(shown.contains("'send_2' waits for nothing"), "{shown}");
    }
}
