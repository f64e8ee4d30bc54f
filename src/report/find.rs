//! What `connstorm find` found, for a terminal.

use crate::model::format::{micros, thousands};
use crate::report::findings::{line, wrapped};
use crate::report::shown::clean;
use crate::report::style::Style;
use crate::result::Verdict;
use crate::result::find::FindReport;
use crate::result::headline;

/// The figure, what stopped it, and the probes, for a terminal.
pub fn render(report: &FindReport, style: Style) -> String {
    let mut out = String::new();
    let (quantity, name) = (report.quantity, style.bold(&clean(&report.name)));
    let figure = match (report.passing, report.failing) {
        (Some(low), Some(high)) => {
            format!(
                "{}  (between {} and {})",
                style.good(&quantity.show(low)),
                quantity.show(low),
                quantity.show(high)
            )
        }
        (Some(low), None) => format!("at least {}", style.good(&quantity.show(low))),
        (None, Some(high)) => format!("{} already fails", style.bad(&quantity.show(high))),
        (None, None) => "nothing was probed to the end".to_owned(),
    };
    line(&mut out, format_args!("{name}  {figure}"));
    if report.interrupted {
        line(&mut out, format_args!("  {}: the figure is that so far", style.warn("interrupted")));
    }
    match &report.stopped_by {
        Some(stopped) => {
            wrapped(&mut out, &clean(&format!("stopped by the {}: {}", stopped.side, stopped.why)), 2)
        }
        None if report.passing.is_some() && report.failing.is_none() => {
            line(&mut out, format_args!("  nothing stopped it: it was not to go further (--most)"));
        }
        None => {}
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
    }
}
