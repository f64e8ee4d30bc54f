//! A comparison for people: a table for a terminal, and one in Markdown.

use crate::model::format::micros;
use crate::report::Style;
use crate::report::findings::{line, wrapped};
use crate::report::markdown::{code, escaped};
use crate::report::shown::clean;
use crate::result::compare::{Change, Comparison, Row, Weight};

/// For a terminal: what decides, then what is only shown.
pub fn render(comparison: &Comparison, style: Style) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("{}", head(comparison, |change, text| painted(change, text, style))));
    comparison.notes.iter().for_each(|note| wrapped(&mut out, &clean(note), 2));
    for weight in [Weight::Decides, Weight::Shown] {
        let rows: Vec<&Row> = comparison.rows.iter().filter(|row| row.weight == weight).collect();
        if rows.is_empty() {
            continue;
        }
        let title = if weight == Weight::Decides { "" } else { "only shown" };
        line(
            &mut out,
            format_args!("\n  {title:<24}{:>10}{:>10}{:>9}   {}", "base", "new", "change", "95 % interval"),
        );
        for row in rows {
            let (base, new) = (shown(row, row.base), shown(row, row.new));
            let (change, interval) = (changed(row, row.change), interval(row));
            let verdict = match row.verdict {
                Change::NoChangeSeen => String::new(),
                change => painted(change, &format!("  {}", word(change)), style),
            };
            let name = clean(&row.metric);
            line(&mut out, format_args!("  {name:<24}{base:>10}{new:>10}{change:>9}   {interval}{verdict}"));
        }
    }
    out
}

/// In Markdown.
pub fn render_markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mark = match comparison.verdict {
        Change::Regressed => "❌",
        Change::Improved => "✅",
        Change::NoChangeSeen => "➖",
        Change::TooNoisy => "⚠️",
    };
    line(&mut out, format_args!("## {mark} {}", head(comparison, |_, text| text.to_owned())));
    comparison.notes.iter().for_each(|note| line(&mut out, format_args!("\n> {}", escaped(&clean(note)))));
    line(
        &mut out,
        format_args!("\n| metric | base | new | change | 95 % interval | |\n|---|---:|---:|---:|---:|---|"),
    );
    for row in &comparison.rows {
        let verdict = match (row.weight, row.verdict) {
            (_, Change::NoChangeSeen) => "",
            (_, Change::TooNoisy) => "too noisy",
            (Weight::Shown, change) => word(change),
            (Weight::Decides, Change::Regressed) => "❌ regressed",
            (Weight::Decides, _) => "✅ improved",
        };
        line(
            &mut out,
            format_args!(
                "| {} | {} | {} | {} | {} | {verdict} |",
                code(&clean(&row.metric)),
                shown(row, row.base),
                shown(row, row.new),
                changed(row, row.change),
                interval(row)
            ),
        );
    }
    out
}

fn head(comparison: &Comparison, paint: impl Fn(Change, &str) -> String) -> String {
    let verdict = paint(comparison.verdict, word(comparison.verdict));
    format!("{verdict}  {}", runs_and_tolerance(comparison))
}

/// Numbers of runs on either side, and the tolerance.
pub(super) fn runs_and_tolerance(comparison: &Comparison) -> String {
    let runs = |n: usize| if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
    let (base, new) = (runs(comparison.base_runs), runs(comparison.new_runs));
    format!("{new} against {base}, tolerance {:.0} %", comparison.tolerance * 100.0)
}

pub(super) fn word(change: Change) -> &'static str {
    match change {
        Change::Regressed => "regressed",
        Change::Improved => "improved",
        Change::NoChangeSeen => "no change seen",
        Change::TooNoisy => "too noisy to tell",
    }
}

fn painted(change: Change, text: &str, style: Style) -> String {
    match change {
        Change::Regressed => style.bad(text),
        Change::Improved => style.good(text),
        Change::NoChangeSeen => style.bold(text),
        Change::TooNoisy => style.warn(text),
    }
}

pub(super) fn shown(row: &Row, value: f64) -> String {
    match row.unit {
        "us" => micros(value.round() as u64),
        "ratio" => format!("{:.2} %", value * 100.0),
        _ => format!("{value:.1}/s"),
    }
}

/// A ratio changes by percentage points, everything else by a share.
pub(super) fn changed(row: &Row, change: f64) -> String {
    match row.unit {
        "ratio" => format!("{:+.2} pp", change * 100.0),
        _ => format!("{:+.1} %", change * 100.0),
    }
}

pub(super) fn interval(row: &Row) -> String {
    format!("{} to {}", changed(row, row.low), changed(row, row.high))
}
