//! The windows as a table, a line a window, for spreadsheets and notebooks.

use crate::model::WindowLatency;
use crate::report::output::RenderError;
use crate::report::shown::Shown;
use crate::result::windows::spans;
use crate::result::{RunResult, WindowStep, WindowSummary};
use std::collections::BTreeSet;
use std::fmt::Write;

const COLUMNS: &str = "from_s,to_s,planned,started,opened,ok,failed,skipped,open,connect_p50_us,connect_p90_us,\
                       connect_p99_us,connect_max_us,connect_call_p99_us,lateness_p99_us,cpu_s,ports_in_use,\
                       ports_usable,time_wait,time_wait_total,syn_retransmits,retransmits,listen_overflows";

/// A header, and a line a window. What was not seen is left empty; failures have a column a kind, and what was said
/// above TCP one a number, where any window has it.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    let kinds: BTreeSet<&String> = result.windows.iter().flat_map(|window| window.failures.keys()).collect();
    let mut text = COLUMNS.to_owned();
    kinds
        .iter()
        .for_each(|kind| text += &format!(",{}", cell(&format!("failed_{}", kind.replace('/', "_")))));
    let said = said(result);
    said.iter().for_each(|(column, _)| text += &format!(",{}", cell(column)));
    let populations = of_populations(result);
    populations.iter().for_each(|(column, _)| text += &format!(",{}", cell(column)));
    text.push('\n');
    for span in spans(&result.windows, usize::MAX) {
        let w = &span.window;
        // Writing to a String can't fail.
        let _ = write!(text, "{:.6},{:.6}", span.from_s, w.at_s);
        for count in [
            w.planned,
            w.started,
            w.opened,
            w.ok,
            w.failed,
            w.skipped,
            w.open,
            w.connect_p50_us,
            w.connect_p90_us,
            w.connect_p99_us,
            w.connect_max_us,
            w.connect_call_p99_us,
            w.lateness_p99_us,
        ] {
            let _ = write!(text, ",{count}");
        }
        let _ = write!(text, ",{:.6}", w.cpu_s);
        let seen = w.kernel.as_ref();
        for known in [
            seen.and_then(|kernel| kernel.ports_in_use),
            seen.and_then(|kernel| kernel.ports_usable),
            seen.and_then(|kernel| kernel.time_wait),
            seen.and_then(|kernel| kernel.time_wait_total),
            seen.and_then(|kernel| kernel.syn_retransmits),
            seen.and_then(|kernel| kernel.retransmits),
            seen.and_then(|kernel| kernel.listen_overflows),
        ] {
            text.push(',');
            text += &known.map_or(String::new(), |count| count.to_string());
        }
        for kind in &kinds {
            let _ = write!(text, ",{}", w.failures.get(*kind).unwrap_or(&0));
        }
        for (_, value) in &said {
            text.push(',');
            text += &value(w).map_or(String::new(), |number| number.to_string());
        }
        for (_, value) in &populations {
            text.push(',');
            text += &value(span.from_s, w.at_s).map_or(String::new(), |number| number.to_string());
        }
        text.push('\n');
    }
    Ok(text)
}

/// A column of what was said: its name, and its value in a window.
type Column = (String, Box<dyn Fn(&WindowSummary) -> Option<u64>>);

/// A figure of a latency, and its name.
type Figure = (&'static str, fn(&WindowLatency) -> u64);

/// A count of a step, and its name.
type StepFigure = (&'static str, fn(&WindowStep) -> u64);

/// The columns of what was said above TCP: latencies, numbers of messages, steps, statuses, close
/// codes.
fn said(result: &RunResult) -> Vec<Column> {
    fn keys<K: Ord>(windows: &[WindowSummary], of: impl Fn(&WindowSummary) -> Vec<K>) -> BTreeSet<K> {
        windows.iter().flat_map(of).collect()
    }
    let windows = &result.windows;
    let mut columns: Vec<Column> = Vec::new();
    for name in keys(windows, |w| w.latency_us.keys().cloned().collect()) {
        let figures: [Figure; 3] = [("p50", |l| l.p50), ("p99", |l| l.p99), ("max", |l| l.max)];
        for (figure, of) in figures {
            let name = name.clone();
            let column = format!("{name}_{figure}_us");
            columns.push((column, Box::new(move |w| w.latency_us.get(&name).map(of))));
        }
    }
    for name in keys(windows, |w| w.messages.keys().cloned().collect()) {
        let column = format!("messages_{name}");
        columns.push((column, Box::new(move |w| Some(w.messages.get(&name).copied().unwrap_or(0)))));
    }
    for name in keys(windows, |w| w.steps.keys().cloned().collect()) {
        let counts: [StepFigure; 2] = [("done", |step| step.done), ("failed", |step| step.failed)];
        for (what, of) in counts {
            let name = name.clone();
            let column = format!("step.{name}_{what}");
            columns.push((column, Box::new(move |w| Some(w.steps.get(&name).map_or(0, of)))));
        }
    }
    for code in keys(windows, |w| w.statuses.iter().map(|(code, _)| code).collect()) {
        columns.push((format!("status_{code}"), Box::new(move |w| Some(w.statuses.count(code)))));
    }
    for code in keys(windows, |w| w.closes.iter().map(|(code, _)| code).collect()) {
        columns.push((format!("close_{code}"), Box::new(move |w| Some(w.closes.count(code)))));
    }
    columns
}

/// A column of a population: its name, and its value from one moment to another.
type OfPopulation<'r> = (String, Box<dyn Fn(f64, f64) -> Option<u64> + 'r>);

/// The columns of populations, whose windows end when those of the whole do, or a moment before.
fn of_populations(result: &RunResult) -> Vec<OfPopulation<'_>> {
    type Figure = (&'static str, fn(&WindowSummary) -> u64);
    let figures: [Figure; 7] = [
        ("planned", |w| w.planned),
        ("started", |w| w.started),
        ("ok", |w| w.ok),
        ("failed", |w| w.failed),
        ("skipped", |w| w.skipped),
        ("open", |w| w.open),
        ("connect_p99_us", |w| w.connect_p99_us),
    ];
    let mut columns: Vec<OfPopulation<'_>> = Vec::new();
    for population in &result.populations {
        for (name, figure) in figures {
            let windows = &population.windows;
            let column = format!("population_{}_{name}", population.name);
            let value = move |from_s: f64, to_s: f64| {
                let is_it = |window: &&WindowSummary| window.at_s > from_s && window.at_s <= to_s;
                windows.iter().find(is_it).map(figure)
            };
            columns.push((column, Box::new(value)));
        }
    }
    columns
}

/// A cell of text: quoted where it has to be, and never a formula to a spreadsheet.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{guard}{}\"", text.replace('"', "\"\""));
    }
    format!("{guard}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_no_formula() {
        assert_eq!(
            ["a", "=1", "a,b", "-\"x\"", "\t1"].map(cell),
            ["a", "'=1", "\"a,b\"", "\"'-\"\"x\"\"\"", "'\t1"]
        );
    }
}
