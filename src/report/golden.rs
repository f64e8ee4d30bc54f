//! Every text output of two saved runs, as it was looked at and found right.

use crate::report::output::{Csv, Format, Hlog, Junit, Markdown, OpenMetrics};
use crate::report::{Style, summary};
use crate::result::{RunResult, Verdict, sample};

fn render(format: &dyn Format, result: &RunResult) -> String {
    format.render(result).unwrap()
}

macro_rules! golden {
    ($($name:ident: $text:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!($text);
        })*
    };
}

golden! {
    summary_of_a_good_run: summary::render(&sample::good(), Style::Plain);
    summary_of_a_bad_run: summary::render(&sample::exhausted(), Style::Plain);
    summary_in_colour: summary::render(&sample::exhausted(), Style::Coloured).replace('\x1b', "ESC");
    markdown_of_a_good_run: render(&Markdown, &sample::good());
    markdown_of_a_bad_run: render(&Markdown, &sample::exhausted());
    junit_of_a_good_run: render(&Junit, &sample::good());
    junit_of_a_bad_run: render(&Junit, &sample::exhausted());
    junit_of_a_run_that_is_invalid: render(&Junit, &invalid());
    junit_with_a_finding_about_the_target: render(&Junit, &at_the_target());
    openmetrics_of_a_bad_run: render(&OpenMetrics, &sample::exhausted());
    csv_of_a_bad_run: render(&Csv, &sample::exhausted());
    hlog_of_a_good_run: render(&Hlog, &sample::good());
}

fn invalid() -> RunResult {
    RunResult {
        verdict: Verdict::Invalid,
        reasons: vec![
            "the generator was late: 99 % of attempts started up to 300 ms after they were due".into(),
        ],
        ..sample::good()
    }
}

fn at_the_target() -> RunResult {
    let mut result = sample::exhausted();
    let finding = &mut result.findings[0];
    finding.id = crate::diagnose::FindingId::NothingListens;
    finding.side = crate::model::Side::Target;
    result
}

#[test]
fn a_good_run_fits_a_terminal() {
    let text = summary::render(&sample::good(), Style::Plain);
    assert!(text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_bad_run_leads_with_its_trouble_and_stays_in_its_columns() {
    let text = summary::render(&sample::exhausted(), Style::Plain);
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(place("49.4 %") < place("ports-exhausted-by-time-wait"));
    assert!(place("ports-exhausted-by-time-wait") < place("sysctl -w net.ipv4.tcp_tw_reuse=1"));
    assert!(place("sysctl -w net.ipv4.tcp_tw_reuse=1") < place("planned"));
    // A command is not broken: it is there to be copied.
    let prose = text.lines().filter(|line| !line.contains('▸'));
    for line in prose {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
