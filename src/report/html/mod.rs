//! The result as one page for a browser: nothing is loaded from elsewhere, and without scripts it still
//! tells everything but the plots.
//!
//! ```text
//! page.html  the page, a minijinja template        data.rs  what the plots draw, as columns
//! body.html  its report                            uplot/   the plotting library, unchanged
//! page.css   light, dark, phone and paper          live.*   the page of a run under way: a frame, into which
//! page.js    plots, zoom, keyboard, copying                 the report comes again and again
//! plan.rs    the plan in the words of the scenario     compare.*  the page of a comparison
//! ```

pub mod compare;
mod data;
mod plan;

use crate::diagnose::Finding;
use crate::model::close_code_name;
use crate::model::format::{bytes, micros, percent, seconds, thousands};
use crate::report::findings::{numbers, until};
use crate::report::output::{RenderError, library};
use crate::report::shown::{Shown, clean};
use crate::report::{forecast, populations, remedy_command, steps, summary};
use crate::result::headline;
use crate::result::{LatencySummary, RunResult, Verdict};
use minijinja::{Environment, Value, context};

const PAGE: &str = include_str!("page.html");
const BODY: &str = include_str!("body.html");
const LIVE: &str = include_str!("live.html");
const LIVE_SCRIPT: &str = include_str!("live.js");
const STYLE: &str = concat!(include_str!("uplot/uPlot.min.css"), include_str!("page.css"));
const PLOTTER: &str = include_str!("uplot/uPlot.iife.min.js");
const PLOTTER_LICENCE: &str = include_str!("uplot/LICENSE");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    filled("page.html", facts(result, Stage::Ended)?)
}

/// State of the run that a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The run goes on: nothing is judged.
    UnderWay,
    /// The run is over.
    Ended,
}

/// The page of a run under way, empty: its script asks for the report.
///
/// # Errors
/// When the template can't be filled, which none can't.
pub fn live_frame(name: &str) -> Result<String, RenderError> {
    let empty = data::Columns::default();
    let data = serde_json::to_string(&empty).map_err(|error| library("HTML", &error))?;
    filled(
        "live.html",
        context! {
            name => clean(name), style => STYLE, plotter => PLOTTER, licence => PLOTTER_LICENCE, script => SCRIPT,
            live => LIVE_SCRIPT, data, version => env!("CARGO_PKG_VERSION"),
        },
    )
}

/// The report of a run as it is now, for the page of [`live_frame`]: JSON in one line.
///
/// # Errors
/// When a histogram can't be read.
pub fn live_report(result: &RunResult, stage: Stage) -> Result<String, RenderError> {
    let result = &*Shown::of(result).map_err(|error| library("HTML", &error))?;
    let verdict = verdict(result, stage);
    let report = serde_json::json!({
        "title": format!("{}: {verdict} – connstorm", result.plan.name),
        "body": filled("body.html", facts(result, stage)?)?,
        "data": data::Columns::of(result),
        "ended": stage == Stage::Ended,
    });
    Ok(report.to_string())
}

fn filled(name: &str, facts: Value) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    // The names end in .html: whatever is put into them is escaped.
    for (name, template) in [("page.html", PAGE), ("body.html", BODY), ("live.html", LIVE)] {
        environment.add_template(name, template).map_err(|error| library("HTML", &error))?;
    }
    let template = environment.get_template(name).map_err(|error| library("HTML", &error))?;
    template.render(facts).map_err(|error| library("HTML", &error))
}

/// The verdict in a word; of a run that goes on there is none.
fn verdict(result: &RunResult, stage: Stage) -> &'static str {
    match stage {
        Stage::UnderWay => "running",
        Stage::Ended => headline::verdict(result.verdict),
    }
}

fn facts(result: &RunResult, stage: Stage) -> Result<Value, RenderError> {
    let data = serde_json::to_string(&data::Columns::of(result)).map_err(|error| library("HTML", &error))?;
    let ended = stage == Stage::Ended;
    let fault = headline::whose_fault(result).filter(|_| ended);
    let fault = fault.map(|(side, why)| context! { side => side.name(), why });
    Ok(context! {
        style => STYLE,
        plotter => PLOTTER,
        licence => PLOTTER_LICENCE,
        script => SCRIPT,
        // Inside a script element only `<` can end it or begin a comment.
        data => data.replace('<', "\\u003c"),
        name => result.plan.name.clone(),
        verdict => verdict(result, stage),
        good => ended && result.verdict == Verdict::Passed,
        happened => headline::what_happened(result),
        fault,
        reasons => if !ended || result.verdict == Verdict::Passed { Vec::new() } else { result.reasons.clone() },
        target => result.plan.url(),
        load => summary::load(result).lines().map(str::trim).collect::<Vec<_>>().join("; "),
        command => result.command.clone(),
        began => result.began.clone(),
        elapsed => seconds(result.elapsed_s),
        version => result.connstorm_version.clone(),
        counts => counts(result),
        thresholds => if ended { thresholds(result) } else { Vec::new() },
        findings => result.findings.iter().map(finding).collect::<Vec<_>>(),
        failures => failures(result),
        onsets => onsets(result),
        latencies => latencies(result),
        population_titles => populations::TITLES.to_vec(),
        populations => populations::cells(result).into_iter().map(Vec::from).collect::<Vec<_>>(),
        forecasts => forecasts(result),
        plan => plan::rows(&result.plan),
        answers => answers(result),
        step_columns => steps::COLUMNS.to_vec(),
        steps => steps::rows(result).into_iter().map(|(name, cells)| context! { name, cells => cells.to_vec() }).collect::<Vec<_>>(),
        host => rows(&serde_json::to_value(&result.host).unwrap_or_default()),
        resources => resources(result),
    })
}

fn counts(result: &RunResult) -> Vec<(String, String)> {
    let counts = serde_json::to_value(result.counts).unwrap_or_default();
    let shown = |(name, value): (&String, &serde_json::Value)| {
        let number = value.as_u64()?;
        let bytes_or_count = if name.starts_with("bytes") { bytes(number) } else { thousands(number) };
        Some((name.replace('_', " "), bytes_or_count))
    };
    let mut rows: Vec<_> = counts.as_object().into_iter().flatten().filter_map(shown).collect();
    let said = headline::messages(result).into_iter();
    rows.extend(said.map(|(name, count)| (format!("messages: {name}"), thousands(count))));
    rows.push(("ok per second".into(), thousands(result.ok_per_second().round() as u64)));
    for (reason, count) in result.skipped.iter().filter(|(_, count)| **count > 0) {
        rows.push((format!("skipped: {}", reason.replace('_', " ")), thousands(*count)));
    }
    rows
}

/// Answers and closes of the server: HTTP statuses and close codes, each with its share and its meaning.
fn answers(result: &RunResult) -> Vec<Value> {
    let all: u64 = result.statuses.iter().map(|(_, count)| count).sum();
    let statuses = result.statuses.iter().map(|(code, count)| {
        let good = (100..400).contains(&code);
        context! { kind => "HTTP status", code, good, count => thousands(count), share => percent(count, all) }
    });
    let closed: u64 = result.closes.iter().map(|close| close.count).sum();
    let closes = result.closes.iter().map(|close| {
        let words: Vec<String> = close.reasons.iter().map(|reason| format!("“{reason}”")).collect();
        let says = [close_code_name(close.code).to_owned(), words.join(", ")].join(" ");
        context! {
            kind => "close code", code => close.code, good => matches!(close.code, 1000 | 1001 | 1005),
            count => thousands(close.count), share => percent(close.count, closed), says => says.trim(),
        }
    });
    statuses.chain(closes).collect()
}

fn thresholds(result: &RunResult) -> Vec<Value> {
    let row = |judged: &crate::plan::threshold::Evaluation| {
        let margin = judged.margin_percent().map(|margin| format!("{margin:+} %"));
        context! { passed => judged.passed, expression => judged.expression.clone(), shown => judged.shown.clone(), margin }
    };
    result.thresholds.iter().map(row).collect()
}

fn finding(finding: &Finding) -> Value {
    let remedy = |text: &String| context! { text => text.clone(), command => remedy_command(text) };
    let evidence = finding.evidence.iter().map(|(name, fact)| (name.replace('_', " "), fact.to_string()));
    context! {
        id => finding.id.as_str(),
        side => finding.side.name(),
        certainty => finding.certainty.to_string(),
        says => finding.says.clone(),
        evidence => evidence.collect::<Vec<_>>(),
        remedies => finding.remedies.iter().map(remedy).collect::<Vec<_>>(),
    }
}

fn failures(result: &RunResult) -> Vec<Value> {
    let row = |kind: &crate::result::FailureKind| {
        context! {
            count => thousands(kind.count),
            share => percent(kind.count, result.counts.started),
            what => kind.failure().to_string(),
            side => kind.side.name(),
            first => format!("{} (attempt {})", seconds(kind.first_at_s), thousands(kind.first_ordinal)),
            last => seconds(kind.last_at_s),
            after => micros(kind.latency_us.p50),
        }
    };
    result.failures.iter().map(row).collect()
}

fn onsets(result: &RunResult) -> Vec<Value> {
    let row = |onset: &crate::result::OnsetReport| {
        let tuple = match (onset.source, onset.destination) {
            (Some(source), Some(destination)) => Some(format!("{source} → {destination}")),
            _ => None,
        };
        context! {
            at => seconds(onset.at_s),
            at_s => onset.at_s,
            kind => onset.kind.name(),
            until => until(onset),
            attempt => onset.ordinal.map(thousands),
            tuple,
            numbers => numbers(onset),
            host => onset.host.clone(),
        }
    };
    result.onsets.iter().map(row).collect()
}

fn latencies(result: &RunResult) -> Vec<Value> {
    let is_shown = |name: &str, l: &LatencySummary| l.count > 0 && !steps::is_of_a_step(name);
    let measured = result.latency_us.iter().filter(|(name, summary)| is_shown(name, summary));
    let row = |(name, l): (&String, &LatencySummary)| {
        let cells = [l.min, l.p50, l.p90, l.p99, l.p99_9, l.max].map(micros);
        context! { name => name.replace('_', " "), count => thousands(l.count), cells => cells.to_vec() }
    };
    measured.map(row).collect()
}

/// Forecast, beside what came: the forecast before the run, where there is one, and each change of
/// the forecast during it.
fn forecasts(result: &RunResult) -> Value {
    let came = result.onsets.iter().find(|onset| onset.kind.name() == "ports_exhausted");
    let mut during = Vec::new();
    let mut last: Option<f64> = None;
    for window in &result.windows {
        let Some(at) = window.kernel.as_ref().and_then(|kernel| kernel.forecast_exhausted_at_s) else {
            continue;
        };
        if came.is_some_and(|came| window.at_s >= came.at_s) {
            break;
        }
        // A forecast that hardly moves is told once.
        if last.is_none_or(|last| (last - at).abs() > 0.02 * at) {
            let error = came.map(|came| format!("{:+.1} %", (at - came.at_s) / came.at_s * 100.0));
            during.push(context! { said_at => seconds(window.at_s), at => seconds(at), error });
            last = Some(at);
        }
    }
    let before = result.forecast.as_ref().map(forecast::rows).unwrap_or_default();
    let before: Vec<Vec<String>> = before.into_iter().map(Vec::from).collect();
    context! { during, came => came.map(|came| seconds(came.at_s)), before }
}

fn resources(result: &RunResult) -> Vec<(&'static str, String)> {
    let own = &result.resources;
    vec![
        ("workers", thousands(own.workers.into())),
        ("CPU of the workers", seconds(own.worker_cpu_s)),
        ("CPU of the process", seconds(own.cpu_s)),
        ("memory before", bytes(own.rss_start_bytes)),
        ("memory at most", bytes(own.rss_peak_bytes)),
    ]
}

/// Every value of a JSON tree with its path, in the order of the tree; what is null or empty is left out.
fn rows(value: &serde_json::Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
        use serde_json::Value::{Array, Null, Object, String as Text};
        match value {
            Null => {}
            Object(_) if duration(value).is_some() => {
                into.extend(duration(value).map(|time| (path.to_owned(), time)));
            }
            Object(fields) => fields.iter().for_each(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, value, into);
            }),
            Array(items) if items.is_empty() => {}
            Array(items) if items.iter().any(|item| item.is_object()) => {
                items.iter().enumerate().for_each(|(n, item)| walk(&format!("{path}[{n}]"), item, into));
            }
            Array(items) => {
                let items: Vec<String> =
                    items.iter().map(|item| item.as_str().map_or(item.to_string(), str::to_owned)).collect();
                into.push((path.to_owned(), items.join(", ")));
            }
            Text(text) if text.is_empty() => {}
            Text(text) => into.push((path.to_owned(), text.clone())),
            other => into.push((path.to_owned(), other.to_string())),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

/// A time, as serde writes one: in seconds and nanoseconds.
fn duration(value: &serde_json::Value) -> Option<String> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let (whole, nanos) = (fields.get("secs")?.as_f64()?, fields.get("nanos")?.as_f64()?);
    Some(seconds(whole + nanos / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::output::{Format, Html};
    use crate::result::{WindowSummary, sample};

    /// A run of an hour, made of a real one: every window has its own figures.
    fn an_hour() -> RunResult {
        let mut result = sample::exhausted();
        let windows = result.windows.clone();
        let hour = (0..3600).map(|second| WindowSummary {
            at_s: f64::from(second) + 1.0 + f64::from(second % 7) * 1e-4,
            connect_p50_us: 100 + u64::from(second as u32 * 37 % 900),
            ..windows[second as usize % windows.len()].clone()
        });
        result.windows = hour.collect();
        result.elapsed_s = 3600.0;
        result
    }

    #[test]
    fn a_run_of_an_hour_is_less_than_400_kb_and_loads_nothing() {
        let page = Html.render(&an_hour()).unwrap();
        assert!(page.len() < 400_000, "{} bytes", page.len());
        let own = page.replace(PLOTTER, "").replace(PLOTTER_LICENCE, "");
        for elsewhere in ["src=", "href=\"http", "@import", "url(", "fetch(", "XMLHttpRequest"] {
            assert!(!own.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_the_user_wrote_is_no_markup() {
        let mut result = sample::exhausted();
        result.plan.name = "</script><script>alert(1)</script><!--".into();
        result.findings[0].says = "<img onerror=alert(1)>".into();
        let page = Html.render(&result).unwrap();
        assert!(!page.contains("<script>alert") && !page.contains("<img"));
        assert_eq!(page.matches("</script>").count(), 3, "data, plotter, script");
    }

    #[test]
    fn the_page_says_what_happened_and_whose_fault_it_is() {
        let page = Html.render(&sample::exhausted()).unwrap();
        for part in [
            "49.4 % of 2,025 attempts failed",
            "ports-exhausted-by-time-wait",
            "sysctl -w net.ipv4.tcp_tw_reuse=1",
            "onset.ports_exhausted == never",
            "The MIT License",
            "ip_local_port_range",
            "8.33 s",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(Html.render(&sample::good()).unwrap().contains("13,000 connections, none failed"));
    }

    #[test]
    fn times_of_the_plan_are_told_as_times() {
        let plan = serde_json::json!({"timeout": {"secs": 3, "nanos": 500_000_000}, "seed": 1});
        let told = [("timeout".to_owned(), "3.50 s".to_owned()), ("seed".to_owned(), "1".to_owned())];
        let mut rows = rows(&plan);
        rows.sort_by(|a, b| b.cmp(a));
        assert_eq!(rows, told);
    }

    #[test]
    fn the_plotting_library_is_as_it_was_published() {
        // crc32 of the files of uPlot 1.6.32, as the npm package has them.
        let (script, style) = (PLOTTER.len(), include_str!("uplot/uPlot.min.css").len());
        assert_eq!((script, style), (51_081, 1857));
        assert!(PLOTTER.contains("v1.6.32"));
    }
}
