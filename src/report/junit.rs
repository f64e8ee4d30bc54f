//! JUnit XML, as CI servers show it: the run itself, a case a threshold, a case a finding of the target's
//! side.
//!
//! A run that is not worth a verdict is an error, not a failure: no threshold was proved wrong by it.

use crate::diagnose::Finding;
use crate::model::Side;
use crate::plan::threshold::Evaluation;
use crate::report::output::{RenderError, library};
use crate::report::shown::Shown;
use crate::result::headline;
use crate::result::{RunResult, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The XML.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    let mut report = Report::new("connstorm");
    let name = &result.plan.name;
    let time = Duration::try_from_secs_f64(result.elapsed_s).unwrap_or_default();
    let mut whole = suite(format!("{name}: run"), time, vec![run(result)]);
    for (name, value) in properties(result) {
        whole.add_property((name, value.as_str()));
    }
    report.add_test_suite(whole);
    let thresholds = result.thresholds.iter().map(threshold).collect();
    report.add_test_suite(suite(format!("{name}: thresholds"), Duration::ZERO, thresholds));
    let of_target = result.findings.iter().filter(|finding| finding.side == Side::Target);
    let findings: Vec<TestCase> = of_target.map(|found| finding(found, result.verdict)).collect();
    if !findings.is_empty() {
        report.add_test_suite(suite(format!("{name}: findings about the target"), Duration::ZERO, findings));
    }
    let text = report.to_string().map_err(|error| library("JUnit", &error))?;
    // The schema of Jenkins (junit-10.xsd) has no `skipped` on the root, and nothing is ever skipped here.
    Ok(text.replacen(" skipped=\"0\"", "", 1))
}

/// Properties of a run: what a CI server shows beside its cases.
fn properties(result: &RunResult) -> Vec<(&'static str, String)> {
    let counts = result.counts;
    vec![
        ("connstorm.version", result.connstorm_version.clone()),
        ("target", result.plan.url().unwrap_or_else(|| "of its own".into())),
        ("began", result.began.clone()),
        ("verdict", headline::verdict(result.verdict).to_owned()),
        ("planned", counts.planned.to_string()),
        ("started", counts.started.to_string()),
        ("ok", counts.ok.to_string()),
        ("failed", counts.failed.to_string()),
        ("skipped", counts.skipped.to_string()),
        ("held_max", counts.held_max.to_string()),
    ]
}

/// A suite of cases that took no time beside the run itself.
fn suite(name: String, time: Duration, cases: Vec<TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.set_time(time);
    for mut case in cases {
        case.set_classname(suite.name.as_str().to_owned());
        case.set_time(time);
        suite.add_test_case(case);
    }
    suite
}

/// The run itself. Its name is the same however it ended, so that a CI server sees its history.
fn run(result: &RunResult) -> TestCase {
    let says = headline::what_happened(result);
    let broken = result.thresholds.iter().any(|judged| !judged.passed);
    let status = match result.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        // The threshold's own case says it.
        Verdict::Failed if broken && result.aborted.is_none() => TestCaseStatus::success(),
        Verdict::Failed => {
            let ended = result.aborted.as_deref().map(|why| ("ended early", why));
            let (what, why) = ended.unwrap_or_else(|| ("failed", first_reason(result, &says)));
            unsuccessful(NonSuccessKind::Failure, what, why, &says)
        }
        verdict @ (Verdict::Invalid | Verdict::Interrupted) => {
            let why = first_reason(result, &says);
            unsuccessful(NonSuccessKind::Error, headline::verdict(verdict), why, &result.reasons.join("\n"))
        }
    };
    let mut case = TestCase::new("run", status);
    case.set_system_out(says);
    case
}

fn first_reason<'a>(result: &'a RunResult, otherwise: &'a str) -> &'a str {
    result.reasons.first().map_or(otherwise, String::as_str)
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

/// A fault of the target fails a run that failed; in one that passed it is told, and fails nothing.
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
    use crate::report::output::{Format, Junit};
    use crate::result::sample;

    /// The attributes that Jenkins' schema (xunit-plugin, junit-10.xsd) lets each element have.
    const ATTRIBUTES: [(&str, &[&str]); 8] = [
        ("testsuites", &["name", "time", "tests", "failures", "errors"]),
        ("testsuite", &["name", "tests", "failures", "errors", "skipped", "time"]),
        ("testcase", &["name", "time", "classname"]),
        ("failure", &["type", "message"]),
        ("error", &["type", "message"]),
        ("system-out", &[]),
        ("properties", &[]),
        ("property", &["name", "value"]),
    ];

    #[test]
    fn the_schema_of_jenkins_has_every_element_and_attribute() {
        let mut invalid = sample::exhausted();
        invalid.verdict = Verdict::Invalid;
        for result in [sample::good(), sample::exhausted(), invalid] {
            let text = Junit.render(&result).unwrap();
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

    #[test]
    fn a_case_has_the_same_name_however_the_run_ended() {
        let names = |result: &RunResult| -> Vec<String> {
            let text = Junit.render(result).unwrap();
            let cases = text.split("<testcase name=\"").skip(1);
            cases.map(|case| case.split('"').next().unwrap().to_owned()).collect()
        };
        let good = sample::good();
        for verdict in [Verdict::Failed, Verdict::Invalid, Verdict::Interrupted] {
            assert_eq!(names(&RunResult { verdict, ..good.clone() }), names(&good));
        }
    }

    #[test]
    fn a_run_that_failed_by_no_threshold_fails_its_own_case() {
        let reasons = vec!["the target's name could not be resolved".to_owned()];
        let result = RunResult { verdict: Verdict::Failed, reasons, ..sample::good() };
        let text = Junit.render(&result).unwrap();
        assert!(text.contains("failures=\"1\"") && text.contains("could not be resolved"), "{text}");
    }
}
