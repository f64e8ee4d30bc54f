//! The forecast of a run for a person: a line before the run, and forecast beside measured after it.

use crate::capacity::{Forecast, Limit};
use crate::model::format::{seconds, thousands};
use crate::report::findings::line;
use crate::report::plan_text;
use crate::report::style::Style;
use crate::result::forecast::{Compared, Figure, ForecastReport};

/// The forecast in a line, before the run begins.
pub fn beforehand(forecast: &Forecast) -> String {
    let Some(broken) = forecast.breaks_first() else {
        return match forecast.limit(Limit::PortSearch).and_then(|limit| limit.when) {
            None => plan_text::ports_suffice(forecast),
            Some(slow) => {
                format!(
                    "{}, but connect() becomes slow {}",
                    plan_text::ports_suffice(forecast),
                    plan_text::moment(slow)
                )
            }
        };
    };
    let when = broken.when.map_or(String::new(), plan_text::moment);
    let held = plan_text::held(forecast).filter(|_| broken.limit == Limit::Ports);
    format!(
        "{} {when}{}",
        plan_text::consequence(broken.limit, forecast),
        held.map_or(String::new(), |held| format!("; {held}"))
    )
}

/// The figures worth telling, each with what it is, as forecast, as measured, and the error.
pub(super) fn rows(report: &ForecastReport) -> Vec<[String; 4]> {
    let telling = report.compared.iter().filter(|row| row.is_telling());
    let row = |row: &Compared| {
        let error = row.error.map_or("-".to_owned(), |error| format!("{:.1} %", error * 100.0));
        [title(row.figure).to_owned(), text(row.figure, row.forecast), text(row.figure, row.measured), error]
    };
    telling.map(row).collect()
}

/// Measured beside forecast, a line each.
pub(super) fn render(out: &mut String, report: &ForecastReport, style: Style) {
    let rows = rows(report);
    if rows.is_empty() {
        return;
    }
    line(out, format_args!(""));
    let head = format!("  {:<20}{:>12}{:>12}{:>9}", "", "forecast", "measured", "error");
    line(out, format_args!("{}", style.bold(&head)));
    for [title, forecast, measured, error] in rows {
        line(out, format_args!("  {title:<20}{forecast:>12}{measured:>12}{error:>9}"));
    }
}

fn title(figure: Figure) -> &'static str {
    match figure {
        Figure::PortSearchSlowAtS => "port search slow",
        Figure::PortsExhaustedAtS => "ports exhausted",
        Figure::PortsExhaustedOrdinal => "  at attempt",
        Figure::HeldMax => "open at most",
        Figure::TimeWaitMax => "TIME_WAIT at most",
    }
}

fn text(figure: Figure, value: Option<f64>) -> String {
    match (figure, value) {
        (_, None) => "never".to_owned(),
        (Figure::PortSearchSlowAtS | Figure::PortsExhaustedAtS, Some(s)) => seconds(s),
        (_, Some(count)) => thousands(count.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Demand, HostLimits, PortSpan, forecast};
    use crate::model::{HeldPorts, Holder, TupleGroup};

    fn host() -> HostLimits {
        HostLimits {
            port_range: PortSpan { low: 40_000, high: 41_023 },
            tw_reuse: 0,
            ..HostLimits::default()
        }
    }

    #[test]
    fn the_line_before_the_run_says_what_breaks_and_when() {
        let text = beforehand(&forecast(&Demand::constant(512.0), &host()));
        assert_eq!(
            text,
            "source ports run out (EADDRNOTAVAIL from connect()) after 2.00 s, at attempt 1,025"
        );
        assert_eq!(
            beforehand(&forecast(&Demand::constant(1.0), &host())),
            "ports: enough for 1/s, 60 of 1,024 in use at most"
        );
        let slow = beforehand(&forecast(&Demand::constant(12.0), &host()));
        assert!(slow.starts_with("ports: enough for 12/s, 7"), "{slow}");
    }

    #[test]
    fn what_is_held_already_and_what_is_assumed_are_said() {
        let held =
            HeldPorts { lasting: 0, returning: vec![(50.0, 500)], by: [(Holder::TimeWait, 500)].into() };
        let group = TupleGroup { tuples: 1, share: 1.0, loopback: false, held };
        let demand = Demand { tuples: vec![group], ..Demand::constant(512.0) };
        let text = beforehand(&forecast(&demand, &host()));
        assert!(text.ends_with("at attempt 525; 500 are held already: 500 in TIME_WAIT"), "{text}");
        let reused = HostLimits { tw_reuse: 1, ..host() };
        let text = beforehand(&forecast(&Demand::constant(100.0), &reused));
        assert!(text.ends_with("if the server closes as soon as the client has"), "{text}");
    }
}
