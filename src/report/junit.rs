//! JUnit XML, as CI servers show it: the run itself, a case a threshold, a case a finding of the target's
//! side.
//!
//! A run that is not worth a verdict is an error, not a failure: no threshold was proved wrong by it.

use crate::diagnose::Finding;
use crate::model::Side;
use crate::plan::threshold::Evaluation;
use crate::report::output::{RenderError, library};
use crate::result::headline;
use crate::result::{RunResult, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The XML.
pub(super) fn render(result: &RunResult) -> Result<String, RenderError> {
    let mut report = Report::new("connstorm");
    let name = &result.plan.name;
    report.add_test_suite(suite(format!("{name}: run"), vec![run(result)]));
    let thresholds = result.thresholds.iter().map(threshold).collect();
    report.add_test_suite(suite(format!("{name}: thresholds"), thresholds));
    let of_target = result.findings.iter().filter(|finding| finding.side == Side::Target);
    let findings: Vec<TestCase> = of_target.map(|found| finding(found, result.verdict)).collect();
    if !findings.is_empty() {
        report.add_test_suite(suite(format!("{name}: findings about the target"), findings));
    }
    let text = report.to_string().map_err(|error| library("JUnit", &error))?;
    // The schema of Jenkins (junit-10.xsd) has no `skipped` on the root, and nothing is ever skipped here.
    Ok(text.replacen(" skipped=\"0\"", "", 1))
}

fn suite(name: String, cases: Vec<TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    for mut case in cases {
        case.set_classname(suite.name.as_str().to_owned());
        suite.add_test_case(case);
    }
    suite
}

fn run(result: &RunResult) -> TestCase {
    let says = headline::what_happened(result);
    let status = match result.verdict {
        Verdict::Passed | Verdict::Failed if result.aborted.is_none() => TestCaseStatus::success(),
        Verdict::Passed | Verdict::Failed => unsuccessful(
            NonSuccessKind::Failure,
            "ended early",
            result.aborted.as_deref().unwrap_or_default(),
            &says,
        ),
        verdict @ (Verdict::Invalid | Verdict::Interrupted) => {
            let why = result.reasons.first().map_or(says.as_str(), String::as_str);
            unsuccessful(NonSuccessKind::Error, headline::verdict(verdict), why, &result.reasons.join("\n"))
        }
    };
    let mut case = TestCase::new(format!("run was {}", headline::verdict(result.verdict)), status);
    case.set_time(Duration::try_from_secs_f64(result.elapsed_s).unwrap_or_default());
    case.set_system_out(says);
    case
}

fn threshold(judged: &Evaluation) -> TestCase {
    let status = if judged.passed {
        TestCaseStatus::success()
    } else {
        unsuccessful(NonSuccessKind::Failure, "threshold", &judged.says, &judged.says)
    };
    let mut case = TestCase::new(judged.expression.clone(), status);
    case.set_system_out(judged.says.clone());
    case
}

/// What the target did wrong fails a run that failed; in one that passed it is told, and fails nothing.
fn finding(found: &Finding, verdict: Verdict) -> TestCase {
    let head = format!("{}: {}", found.certainty, found.says);
    let text = [vec![head.clone()], found.remedies.clone()].concat().join("\n");
    let status = if verdict == Verdict::Passed {
        TestCaseStatus::success()
    } else {
        unsuccessful(NonSuccessKind::Failure, found.id.as_str(), &head, &text)
    };
    let mut case = TestCase::new(found.id.as_str(), status);
    case.set_system_out(text);
    case
}

fn unsuccessful(kind: NonSuccessKind, what: &str, message: &str, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what.to_owned()).set_message(message.to_owned()).set_description(text.to_owned());
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    /// The attributes that Jenkins' schema (xunit-plugin, junit-10.xsd) lets each element have.
    const ATTRIBUTES: [(&str, &[&str]); 6] = [
        ("testsuites", &["name", "time", "tests", "failures", "errors"]),
        ("testsuite", &["name", "tests", "failures", "errors", "skipped", "time"]),
        ("testcase", &["name", "time", "classname"]),
        ("failure", &["type", "message"]),
        ("error", &["type", "message"]),
        ("system-out", &[]),
    ];

    #[test]
    fn the_schema_of_jenkins_has_every_element_and_attribute() {
        let mut invalid = sample::exhausted();
        invalid.verdict = Verdict::Invalid;
        for result in [sample::good(), sample::exhausted(), invalid] {
            let text = render(&result).unwrap();
            let tags = text.split('<').filter(|tag| !tag.starts_with(['/', '?']) && !tag.is_empty());
            for tag in tags {
                let inside = tag.split('>').next().unwrap().trim_end_matches('/');
                let name = inside.split_whitespace().next().unwrap();
                let (_, allowed) = ATTRIBUTES.iter().find(|(known, _)| *known == name).expect(name);
                let ends = inside.match_indices("=\"").map(|(at, _)| &inside[..at]);
                let attributes = ends.filter_map(|before| before.rsplit(' ').next());
                attributes.for_each(|attribute| assert!(allowed.contains(&attribute), "{name} {attribute}"));
            }
        }
    }
}
