//! Markdown for a CI job's summary (`$GITHUB_STEP_SUMMARY`), and for pasting into an issue.

use crate::model::format::{micros, seconds, thousands};
use crate::report::findings::{line, numbers, until};
use crate::report::output::RenderError;
use crate::report::populations;
use crate::report::shown::Shown;
use crate::report::steps;
use crate::result::headline;
use crate::result::own_delay::own_delay;
use crate::result::{LatencySummary, RunResult, Verdict};
use std::fmt::Write;

/// The text.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    let mut out = String::new();
    head(&mut out, result);
    thresholds(&mut out, result);
    findings(&mut out, result);
    failures(&mut out, result);
    onsets(&mut out, result);
    forecast(&mut out, result);
    populations(&mut out, result);
    figures(&mut out, result);
    Ok(out)
}

fn head(out: &mut String, result: &RunResult) {
    let mark = match result.verdict {
        Verdict::Passed => "✅",
        Verdict::Failed => "❌",
        Verdict::Invalid => "⚠️",
        Verdict::Interrupted => "⏹️",
    };
    line(out, format_args!("## {mark} {} {}", escaped(&result.plan.name), headline::verdict(result.verdict)));
    line(out, format_args!("\n{}.", escaped(&headline::what_happened(result))));
    if let Some((side, why)) = headline::whose_fault(result) {
        line(out, format_args!("Side: **{side}** ({}).", escaped(&why)));
    }
    if result.verdict != Verdict::Passed && !result.reasons.is_empty() {
        line(out, format_args!(""));
        result.reasons.iter().for_each(|reason| line(out, format_args!("- {}", escaped(reason))));
    }
}

fn thresholds(out: &mut String, result: &RunResult) {
    if result.thresholds.is_empty() {
        return;
    }
    line(out, format_args!("\n| | threshold | measured | margin |\n|---|---|---:|---:|"));
    for judged in &result.thresholds {
        let mark = if judged.passed { "✅" } else { "❌" };
        let margin = judged.margin_percent().map_or(String::new(), |margin| format!("{margin:+} %"));
        let (expression, shown) = (code(&judged.expression), escaped(&judged.shown));
        line(out, format_args!("| {mark} | {expression} | {shown} | {margin} |"));
    }
}

fn findings(out: &mut String, result: &RunResult) {
    for finding in &result.findings {
        line(
            out,
            format_args!(
                "\n### {} ({}, {})",
                escaped(&finding.id.to_string()),
                finding.certainty,
                finding.side
            ),
        );
        line(out, format_args!("\n{}\n", escaped(&finding.says)));
        if !finding.remedies.is_empty() {
            line(out, format_args!("```sh"));
            finding.remedies.iter().for_each(|remedy| line(out, format_args!("{}", as_shell(remedy))));
            line(out, format_args!("```"));
        }
    }
}

/// A remedy as a line that may be pasted into a shell: one that is no command is a comment.
fn as_shell(remedy: &str) -> String {
    match crate::report::remedy_command(remedy) {
        Some(command) if remedy.starts_with(command) => remedy.to_owned(),
        _ => format!("# {remedy}"),
    }
}

fn failures(out: &mut String, result: &RunResult) {
    if result.failures.is_empty() {
        return;
    }
    line(out, format_args!("\n| failures | what | side | from | to |\n|---:|---|---|---:|---:|"));
    for kind in &result.failures {
        line(
            out,
            format_args!(
                "| {} | {} | {} | {} (attempt {}) | {} |",
                thousands(kind.count),
                escaped(&kind.failure().to_string()),
                kind.side,
                seconds(kind.first_at_s),
                thousands(kind.first_ordinal),
                seconds(kind.last_at_s)
            ),
        );
    }
}

fn onsets(out: &mut String, result: &RunResult) {
    if result.onsets.is_empty() {
        return;
    }
    line(out, format_args!("\n| at | attempt | what begins | numbers |\n|---:|---:|---|---|"));
    for onset in &result.onsets {
        let attempt = onset.ordinal.map_or(String::new(), thousands);
        let numbers = escaped(&numbers(onset));
        let what = format!("{}{}", onset.kind, until(onset));
        line(out, format_args!("| {} | {attempt} | {what} | {numbers} |", seconds(onset.at_s)));
    }
}

fn forecast(out: &mut String, result: &RunResult) {
    let rows = result.forecast.as_ref().map(crate::report::forecast::rows).unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    line(out, format_args!("\n| | forecast | measured | error |\n|---|---:|---:|---:|"));
    for [title, forecast, measured, error] in rows {
        line(out, format_args!("| {} | {forecast} | {measured} | {error} |", title.trim()));
    }
}

fn populations(out: &mut String, result: &RunResult) {
    if result.populations.is_empty() {
        return;
    }
    line(out, format_args!("\n| {} |", populations::TITLES.join(" | ")));
    line(out, format_args!("|---|{}", "---:|".repeat(populations::TITLES.len() - 1)));
    for cells in populations::cells(result) {
        line(out, format_args!("| {} |", cells.map(|cell| escaped(&cell)).join(" | ")));
    }
}

fn figures(out: &mut String, result: &RunResult) {
    let counts = result.counts;
    line(
        out,
        format_args!("\n| planned | started | ok | failed | skipped | in flight | open at most | ok/s |"),
    );
    line(out, format_args!("|---:|---:|---:|---:|---:|---:|---:|---:|"));
    let rate = result.ok_per_second().round() as u64;
    let cells = [
        counts.planned,
        counts.started,
        counts.ok,
        counts.failed,
        counts.skipped,
        counts.in_flight,
        counts.held_max,
        rate,
    ];
    line(out, format_args!("| {} |", cells.map(thousands).join(" | ")));
    if counts.cut_short > 0 {
        let cut = thousands(counts.cut_short);
        line(out, format_args!("\nCut short by the end of the run: {cut} conversations."));
    }
    let said = headline::messages(result).into_iter();
    let said: Vec<String> = said.map(|(name, count)| format!("{} {name}", thousands(count))).collect();
    if !said.is_empty() {
        line(out, format_args!("\nMessages: {}.", said.join(", ")));
    }
    if !result.statuses.is_empty() {
        line(out, format_args!("\nReplies by status: {}.", headline::statuses(result)));
    }
    let closes = headline::closes(result);
    if !closes.is_empty() {
        line(out, format_args!("\nClosed by the server: {}.", closes.join("; ")));
    }
    let steps = steps::rows(result);
    if !steps.is_empty() {
        line(
            out,
            format_args!(
                "\n| step | {} |\n|---{}|",
                steps::COLUMNS.join(" | "),
                "|---:".repeat(steps::COLUMNS.len())
            ),
        );
    }
    for (name, cells) in &steps {
        line(
            out,
            format_args!(
                "| {} | {} |",
                escaped(name),
                cells.each_ref().map(|cell| escaped(cell)).join(" | ")
            ),
        );
    }
    let is_measured = |name: &str, summary: &LatencySummary| summary.count > 0 && !steps::is_of_a_step(name);
    let measured = result.latency_us.iter().filter(|(name, summary)| is_measured(name, summary));
    line(out, format_args!("\n| latency | p50 | p90 | p99 | p99.9 | max |\n|---|---:|---:|---:|---:|---:|"));
    for (name, l) in measured {
        let cells = [l.p50, l.p90, l.p99, l.p99_9, l.max].map(micros);
        line(out, format_args!("| {} | {} |", escaped(name), cells.join(" | ")));
    }
    own_delay(result).iter().for_each(|told| line(out, format_args!("\nAbove, {told}.")));
    line(
        out,
        format_args!(
            "\n<sub>connstorm {}, {}</sub>",
            escaped(&result.connstorm_version),
            escaped(&result.began)
        ),
    );
}

/// Text as code. Within a table, `|` ends a cell even in code; a back-tick would end the code.
pub(super) fn code(text: &str) -> String {
    if text.contains(['`', '\\']) { escaped(text) } else { format!("`{}`", text.replace('|', "\\|")) }
}

/// Text in which nothing is Markdown or HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '&' => safe += "&amp;",
            '\n' => safe.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                // Writing to a String can't fail.
                let _ = write!(safe, "\\{c}");
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_user_is_no_markup() {
        assert_eq!(escaped("a|b *c* <i>&\n`x`"), "a\\|b \\*c\\* &lt;i&gt;&amp; \\`x\\`");
    }
}
