//! Outcome of `connstorm find`, for a terminal and in Markdown.

use crate::model::format::{micros, thousands};
use crate::report::findings::{line, wrapped};
use crate::report::markdown::{code, escaped};
use crate::report::shown::clean;
use crate::report::style::Style;
use crate::result::Verdict;
use crate::result::find::FindReport;
use crate::result::headline;

/// The figure, what stopped it, and the probes, for a terminal.
pub fn render(report: &FindReport, style: Style) -> String {
    let mut out = String::new();
    let (quantity, name) = (report.quantity, style.bold(&clean(&report.name)));
    line(&mut out, format_args!("{name}  {}", figure(report, style)));
    if report.interrupted {
        line(&mut out, format_args!("  {}: the figure is that so far", style.warn("interrupted")));
    }
    for sentence in [stopped(report), wanted(report)].into_iter().flatten() {
        wrapped(&mut out, &clean(&sentence), 2);
    }
    line(
        &mut out,
        format_args!(
            "\n  {:>14}  {:<11}{:>10}{:>10}{:>10}{:>12}",
            "probe", "", "ok", "failed", "held", "connect p99"
        ),
    );
    for probe in &report.probes {
        let verdict = format!("{:<11}", headline::verdict(probe.verdict));
        let verdict = match probe.verdict {
            Verdict::Passed => style.good(&verdict),
            Verdict::Failed => style.bad(&verdict),
            _ => style.warn(&verdict),
        };
        let counts =
            [probe.ok, probe.failed, probe.held_max].map(|count| format!("{:>10}", thousands(count)));
        let (value, p99) = (quantity.show(probe.value), micros(probe.connect_p99_us));
        line(&mut out, format_args!("  {value:>14}  {verdict}{}{p99:>12}", counts.concat()));
    }
    let thresholds: Vec<String> = report.thresholds.iter().map(ToString::to_string).collect();
    line(&mut out, format_args!("\n  held by: {}", thresholds.join(", ")));
    out
}

/// The same in Markdown, for a CI job's summary.
pub fn render_markdown(report: &FindReport) -> String {
    let mut out = String::new();
    let mark = match (report.enough, report.passing) {
        (Some(false), _) | (_, None) => "❌",
        (Some(true), _) => "✅",
        (None, Some(_)) => "🔎",
    };
    line(
        &mut out,
        format_args!("## {mark} {}: {}", escaped(&clean(&report.name)), figure(report, Style::Plain)),
    );
    if report.interrupted {
        line(&mut out, format_args!("\nInterrupted: the figure is that so far."));
    }
    for sentence in [stopped(report), wanted(report)].into_iter().flatten() {
        line(&mut out, format_args!("\n{}.", escaped(&clean(&sentence))));
    }
    line(
        &mut out,
        format_args!("\n| probe | | ok | failed | held | connect p99 |\n|---:|---|---:|---:|---:|---:|"),
    );
    for probe in &report.probes {
        let (value, verdict) = (report.quantity.show(probe.value), headline::verdict(probe.verdict));
        let [ok, failed, held] = [probe.ok, probe.failed, probe.held_max].map(thousands);
        let p99 = micros(probe.connect_p99_us);
        line(&mut out, format_args!("| {value} | {verdict} | {ok} | {failed} | {held} | {p99} |"));
    }
    let thresholds: Vec<String> =
        report.thresholds.iter().map(|threshold| code(&threshold.to_string())).collect();
    line(&mut out, format_args!("\nHeld by {}.", thresholds.join(", ")));
    out
}

/// The figure that was found, with its interval.
fn figure(report: &FindReport, style: Style) -> String {
    let quantity = report.quantity;
    match (report.passing, report.failing) {
        (Some(low), Some(high)) => {
            let found = quantity.show(low);
            format!("{}  (between {found} and {})", style.good(&found), quantity.show(high))
        }
        (Some(low), None) => format!("at least {}", style.good(&quantity.show(low))),
        (None, Some(high)) => format!("{} already fails", style.bad(&quantity.show(high))),
        (None, None) => "nothing was probed to the end".to_owned(),
    }
}

/// Limit that stopped the search; nothing where it was interrupted before that was known.
fn stopped(report: &FindReport) -> Option<String> {
    match &report.stopped_by {
        Some(stopped) => Some(format!("stopped by the {}: {}", stopped.side, stopped.why)),
        None if report.passing.is_some() && report.failing.is_none() => {
            Some("nothing stopped it: it was not to go further (--most)".to_owned())
        }
        None => None,
    }
}

/// Figure that was wanted, and whether as much was found; nothing where nothing was wanted.
fn wanted(report: &FindReport) -> Option<String> {
    let least = report.quantity.show(report.at_least?);
    Some(match report.enough {
        Some(true) => format!("{least} was wanted, and holds"),
        Some(false) => format!("{least} was wanted: less holds"),
        None => format!("{least} was wanted: whether it holds is not decided"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::End;
    use crate::model::Side;
    use crate::result::find::{ProbeReport, Quantity, Stopped};
    use crate::result::sample;

    #[test]
    fn it_reads_well() {
        let mut report =
            FindReport::new("storm", Quantity::Rate, vec!["connect.p99 < 50ms".parse().unwrap()]);
        report.conclude(&End { passing: Some(200.0), failing: Some(206.0), invalid: None, probes: 2 });
        report.stopped_by = Some(Stopped { side: Side::Target, why: "accept_queue_full at 1.0 s".into() });
        report.probes =
            vec![ProbeReport::of(200.0, 0, &sample::good()), ProbeReport::of(206.0, 0, &sample::exhausted())];
        insta::assert_snapshot!(render(&report, Style::Plain));
        report.judge(Some(500.0));
        insta::assert_snapshot!("markdown", render_markdown(&report));
    }
}
