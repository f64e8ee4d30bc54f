//! The result for a person at a terminal: what broke first, then the figures. Fits 80 columns.

use super::findings::{self, line};
use super::forecast;
use super::format::{bytes, micros, percent, seconds, thousands};
use super::model::{FailureKind, LatencySummary, RunResult, Verdict};
use super::style::Style;
use crate::scenario::{Arrivals, Close, Lifetime, PortPolicy};

/// The summary, several lines with a line end each.
pub fn render(result: &RunResult, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, result, style);
    findings::render(&mut out, result, style);
    if !result.failures.is_empty() {
        failures(&mut out, result, style);
    }
    onsets(&mut out, result, style);
    counts(&mut out, result);
    latencies(&mut out, result);
    if let Some(report) = &result.forecast {
        forecast::render(&mut out, report, style);
    }
    thresholds(&mut out, result, style);
    cost(&mut out, result);
    out
}

fn head(out: &mut String, result: &RunResult, style: Style) {
    let verdict = match result.verdict {
        Verdict::Passed => style.good("passed"),
        Verdict::Failed => style.bad("failed"),
        Verdict::Invalid => style.bad("invalid"),
        Verdict::Interrupted => style.warn("interrupted"),
    };
    line(out, format_args!("{} {verdict}  {}", style.bold(&result.plan.name), what_happened(result)));
    for reason in &result.reasons {
        line(out, format_args!("  {reason}"));
    }
}

/// One sentence: how much went well and, if not all did, the greatest trouble and whose it is.
fn what_happened(result: &RunResult) -> String {
    let counts = result.counts;
    let Some(worst) = result.failures.iter().max_by_key(|kind| kind.count) else {
        return format!("{} connections, none failed", thousands(counts.ok));
    };
    format!(
        "{} of {} attempts failed, most on the side of the {}: {}",
        percent(counts.failed, counts.started),
        thousands(counts.started),
        worst.side,
        worst.failure()
    )
}

fn failures(out: &mut String, result: &RunResult, style: Style) {
    line(out, format_args!(""));
    for kind in &result.failures {
        line(
            out,
            format_args!("  {} × {}  side: {}", style.bad(&thousands(kind.count)), kind.failure(), kind.side),
        );
        line(out, format_args!("      {}", when(kind)));
        if let Some(sample) = kind.samples.first() {
            let source = sample.source.map_or("any source".to_owned(), |source| source.to_string());
            let port = sample.source_port.map_or(String::new(), |port| format!(" port {port}"));
            line(out, format_args!("      first: {source}{port} to {}", sample.destination));
        }
    }
}

/// What began when: the story of the run, a line each.
fn onsets(out: &mut String, result: &RunResult, style: Style) {
    if result.onsets.is_empty() {
        return;
    }
    line(out, format_args!(""));
    for onset in &result.onsets {
        let attempt = onset.ordinal.map_or(String::new(), |n| format!(", attempt {}", thousands(n)));
        let tuple = match (onset.source, onset.destination) {
            (Some(source), Some(destination)) => format!("  {source} to {destination}"),
            _ => String::new(),
        };
        let at = format!("{:>7}", seconds(onset.at_s));
        line(out, format_args!("  {at}  {}{attempt}{tuple}", style.warn(onset.kind.name())));
        let numbers = findings::numbers(onset);
        if !numbers.is_empty() {
            line(out, format_args!("           {numbers}"));
        }
    }
}

fn when(kind: &FailureKind) -> String {
    let first = format!("from {} (attempt {})", seconds(kind.first_at_s), thousands(kind.first_ordinal));
    let after = match kind.latency_us.p50 {
        0 => "at once".to_owned(),
        us => format!("after {} (median)", micros(us)),
    };
    format!("{first} to {}, each {after}", seconds(kind.last_at_s))
}

fn counts(out: &mut String, result: &RunResult) {
    let counts = result.counts;
    line(out, format_args!(""));
    line(out, format_args!("  {}", load(result)));
    line(
        out,
        format_args!(
            "  planned {}   started {}   ok {}   failed {}   skipped {}   in flight {}",
            thousands(counts.planned),
            thousands(counts.started),
            thousands(counts.ok),
            thousands(counts.failed),
            thousands(counts.skipped),
            thousands(counts.in_flight)
        ),
    );
    let skipped: Vec<String> = result
        .skipped
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{} {reason}", thousands(*count)))
        .collect();
    if !skipped.is_empty() {
        line(out, format_args!("  skipped: {}", skipped.join(", ")));
    }
    line(
        out,
        format_args!(
            "  {}/s ended well   {} open at most   {} in, {} out",
            thousands(result.ok_per_second().round() as u64),
            thousands(counts.held_max),
            bytes(counts.bytes_in),
            bytes(counts.bytes_out)
        ),
    );
    if counts.backoffs > 0 {
        let times = thousands(counts.backoffs);
        line(out, format_args!("  slots backed off {times} times after failures (10 ms, doubling to 1 s)"));
    }
}

/// What was done, in two lines.
fn load(result: &RunResult) -> String {
    let plan = &result.plan;
    let arrivals = match &plan.load.arrivals {
        Arrivals::Open(_) => "open loop".to_owned(),
        Arrivals::Closed { slots, .. } => format!("closed loop, {} slots", thousands(*slots)),
    };
    let lifetime = match plan.connection.lifetime {
        Lifetime::Fixed(time) if time.is_zero() => "closed at once".to_owned(),
        Lifetime::Fixed(time) => format!("open {}", seconds(time.as_secs_f64())),
        Lifetime::Uniform(low, high) => {
            format!("open {} to {}", seconds(low.as_secs_f64()), seconds(high.as_secs_f64()))
        }
        Lifetime::Exponential(mean) => format!("open {} on average", seconds(mean.as_secs_f64())),
        Lifetime::UntilEnd => "open until the end".to_owned(),
    };
    let close = match plan.connection.close {
        Close::Fin => "FIN",
        Close::Rst => "RST",
        Close::Peer => "the peer",
    };
    let ports = match plan.source.ports {
        PortPolicy::Kernel => "ports by the kernel".to_owned(),
        PortPolicy::NaiveBind => "ports by bind(0)".to_owned(),
        PortPolicy::Explicit { low, high } => format!("explicit ports {low}-{high}"),
        PortPolicy::Range { low, high } => format!("ports {low}-{high} by the kernel"),
    };
    let tuples = match result.tuples {
        1 => "1 tuple".to_owned(),
        many => format!("{} tuples", thousands(many)),
    };
    let elapsed = seconds(result.elapsed_s);
    format!("{arrivals}, {elapsed}; {lifetime}, closed by {close}\n  {tuples}, {ports}")
}

/// The latencies worth a line: those that have values, except the calls, which `--json` has.
fn latencies(out: &mut String, result: &RunResult) {
    let shown = [
        ("connect", "connect"),
        ("from due time", "connect_from_due"),
        ("lateness", "lateness"),
        ("connect() call", "connect_call"),
    ];
    let rows: Vec<(&str, &LatencySummary)> = shown
        .iter()
        .filter_map(|(title, name)| Some((*title, result.latency_us.get(*name)?)))
        .filter(|(_, summary)| summary.count > 0)
        .collect();
    if rows.is_empty() {
        return;
    }
    line(out, format_args!(""));
    line(
        out,
        format_args!(
            "  {:<15}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "", "min", "p50", "p90", "p99", "p99.9", "max"
        ),
    );
    for (title, l) in rows {
        let cells = [l.min, l.p50, l.p90, l.p99, l.p99_9, l.max].map(|us| format!("{:>9}", micros(us)));
        line(out, format_args!("  {title:<15}{}", cells.concat()));
    }
}

fn thresholds(out: &mut String, result: &RunResult, style: Style) {
    if result.thresholds.is_empty() {
        return;
    }
    line(out, format_args!(""));
    for threshold in &result.thresholds {
        let mark = if threshold.passed { style.good("passed") } else { style.bad("FAILED") };
        let spare = match threshold.margin {
            Some(margin) if threshold.passed => format!(", {:.0} % to spare", margin * 100.0),
            Some(margin) => format!(", missed by {:.0} %", -margin * 100.0),
            None => String::new(),
        };
        let default = if result.plan.thresholds.is_empty() { "  (default)" } else { "" };
        line(out, format_args!("  {mark}  {}: {}{spare}{default}", threshold.expression, threshold.shown));
    }
}

fn cost(out: &mut String, result: &RunResult) {
    let own = &result.resources;
    let per_attempt = if result.counts.started > 0 {
        let us = own.worker_cpu_s * 1e6 / result.counts.started as f64;
        format!("   {us:.1} µs an attempt")
    } else {
        String::new()
    };
    line(out, format_args!(""));
    line(
        out,
        format_args!(
            "  {}, {} of CPU{per_attempt}   {} resident at most",
            if own.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", own.workers) },
            seconds(own.worker_cpu_s),
            bytes(own.rss_peak_bytes)
        ),
    );
}
