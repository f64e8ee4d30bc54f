//! Steps of conversations as rows, for the tables of Markdown and HTML.

use crate::model::format::{micros, thousands};
use crate::result::{FailureKind, LatencySummary, RunResult, StepCount};

/// Headings of the columns beside the step's name.
pub(super) const COLUMNS: [&str; 7] = ["done", "failed", "p50", "p90", "p99", "max", "failed by"];

/// Name of a step, and a cell for each of [`COLUMNS`]. A step that waits for nothing has no times.
pub(super) fn rows(result: &RunResult) -> Vec<(&str, [String; COLUMNS.len()])> {
    fn row<'r>(result: &'r RunResult, step: &'r StepCount) -> (&'r str, [String; COLUMNS.len()]) {
        let times = result.latency_us.get(&format!("step.{}", step.name)).filter(|times| times.count > 0);
        let time = |of: fn(&LatencySummary) -> u64| times.map_or(String::new(), |times| micros(of(times)));
        let of_step = |kind: &&FailureKind| kind.step.as_deref() == Some(step.name.as_str());
        let causes: Vec<String> = result
            .failures
            .iter()
            .filter(of_step)
            .map(|kind| format!("{} × {}", thousands(kind.count), kind.cause))
            .collect();
        let counts = [step.done, step.failed].map(thousands);
        let [done, failed] = counts;
        let cells = [
            done,
            failed,
            time(|times| times.p50),
            time(|times| times.p90),
            time(|times| times.p99),
            time(|times| times.max),
            causes.join(", "),
        ];
        (step.name.as_str(), cells)
    }
    result.steps.iter().map(|step| row(result, step)).collect()
}

/// True of a latency that the table of steps has.
pub(super) fn is_of_a_step(latency: &str) -> bool {
    latency.starts_with("step.")
}

/// Name of a latency for a heading; a step's own name stays as the user wrote it.
pub(super) fn title(latency: &str) -> String {
    match latency.strip_prefix("step.") {
        Some(step) => format!("step {step}"),
        None => latency.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::output::{Csv, Format, Html, Markdown};
    use crate::result::{StepCount, WindowStep, sample};

    /// A conversation of two steps, in one of which an attempt failed.
    fn conversation() -> RunResult {
        let mut result = sample::exhausted();
        let step = |name: &str, done, failed| StepCount { name: name.into(), done, failed };
        result.steps = vec![step("log_in", 1200, 0), step("say|hello", 1100, 3)];
        result.latency_us.insert("step.log_in".into(), result.latency_us["connect"].clone());
        result.failures[0].step = Some("say|hello".into());
        result.windows[0].steps.insert("say|hello".into(), WindowStep { done: 7, failed: 3 });
        result
    }

    #[test]
    fn a_step_has_its_counts_times_and_causes() {
        let result = conversation();
        let rows = rows(&result);
        let cause = result.failures[0].cause.name();
        assert_eq!((rows[0].0, rows[0].1[0].as_str(), rows[0].1[1].as_str()), ("log_in", "1,200", "0"));
        assert!(rows[0].1[2].ends_with("s") && rows[0].1[6].is_empty(), "{rows:?}");
        assert!(rows[1].1[2].is_empty() && rows[1].1[6].contains(cause), "{rows:?}");
    }

    #[test]
    fn every_report_for_people_and_the_table_of_windows_has_the_steps() {
        let result = conversation();
        let markdown = Markdown.render(&result).unwrap();
        assert!(markdown.contains("| say\\|hello | 1,100 | 3 |"), "{markdown}");
        assert!(!markdown.contains("| step.log\\_in |"), "a step is told once:\n{markdown}");
        let html = Html.render(&result).unwrap();
        assert!(html.contains("Steps of the conversation") && html.contains("<td>say|hello</td>"));
        let csv = Csv.render(&result).unwrap();
        let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        let at = header.iter().position(|name| *name == "step.say|hello_failed").expect("a column");
        let first: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
        assert_eq!((first[at - 1], first[at]), ("7", "3"));
    }
}
