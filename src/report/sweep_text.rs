//! The forecast of one demand at many rates: a table, and a chart of ports in use.

use crate::capacity::{Forecast, SweepPoint};
use crate::model::format::{seconds, thousands};
use crate::report::findings::line;
use crate::report::plan_text::{Layout, name, per_second};

/// The table and the chart; several lines with a line end each.
pub fn render(points: &[SweepPoint], layout: Layout) -> String {
    let mut out = String::new();
    table(&mut out, points, layout);
    line(&mut out, format_args!(""));
    chart(&mut out, points, layout);
    out
}

fn table(out: &mut String, points: &[SweepPoint], layout: Layout) {
    let row = |cells: [&str; 6]| {
        let [rate, ports, time_wait, slow, exhausted, first] = cells;
        format!("  {rate:>10} {ports:>12} {time_wait:>10} {slow:>9} {exhausted:>9}  {first}")
    };
    let head = row(["rate", "ports needed", "TIME_WAIT", "slow", "run out", "breaks first"]);
    line(out, format_args!("{}", layout.style.bold(&head)));
    for SweepPoint { rate, forecast } in points {
        let at = |moment: Option<crate::capacity::Moment>| {
            moment.map_or("-".to_owned(), |moment| seconds(moment.at_s))
        };
        let (first, met) = match forecast.breaks_first() {
            Some(b) => (name(b.limit), true),
            None => ("nothing", false),
        };
        let text = row([
            &per_second(*rate),
            &forecast.ports.needed.map_or("no end".to_owned(), thousands),
            &thousands(forecast.time_wait.peak),
            &at(forecast.ports.search_slow),
            &at(forecast.ports.exhausted),
            first,
        ]);
        line(out, format_args!("{}", if met { layout.style.bad(&text) } else { text }));
    }
}

/// A bar for each rate. The scale ends a quarter beyond the ports there are; `>` says that a bar goes on.
fn chart(out: &mut String, points: &[SweepPoint], layout: Layout) {
    const LABEL: usize = 12;
    let Some(most) = points.iter().map(|point| point.forecast.ports.capacity).max() else { return };
    let columns = layout.columns().saturating_sub(LABEL + 2);
    let column = |ports: f64| (ports / (most.max(1) as f64 * 1.25) * columns as f64).round() as usize;
    line(out, format_args!("  Ports in use at the peak: `:` the search becomes slow, `|` none is left"));
    for SweepPoint { rate, forecast } in points {
        let bar = bar(forecast, columns, column);
        line(out, format_args!("{:>LABEL$} {}", per_second(*rate), bar.trim_end()));
    }
}

fn bar(forecast: &Forecast, columns: usize, column: impl Fn(f64) -> usize) -> String {
    let ports = &forecast.ports;
    let length = ports.needed.map_or(usize::MAX, |needed| column(needed as f64));
    let first = ports.supply.first_pass().map(|first| column(first as f64));
    let all = column(ports.capacity as f64);
    (0..=columns)
        .map(|at| match at {
            at if at == all => '|',
            at if Some(at) == first => ':',
            at if at == columns && length > columns => '>',
            at if at < length => '#',
            _ => ' ',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Demand, HostLimits, sweep};
    use crate::report::Style;

    #[test]
    fn a_sweep_is_a_table_and_a_chart() {
        let host = HostLimits { private_tables: true, ..HostLimits::default() };
        let points = sweep(&Demand::constant(1.0), &host, [100.0, 300.0, 500.0, 700.0, 5000.0]);
        insta::assert_snapshot!(render(&points, Layout { width: 76, style: Style::Plain }));
    }

    #[test]
    fn nothing_swept_is_an_empty_table() {
        let text = render(&[], Layout { width: 0, style: Style::Plain });
        assert_eq!(text.lines().count(), 2);
    }
}
