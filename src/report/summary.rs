//! The whole result for a person at a terminal (`--verbose`): what broke first, then every figure. Fits 80
//! columns; [`super::screen`] is what is shown without being asked.

use crate::model::Reply;
use crate::model::format::{bytes, micros, seconds, thousands};
use crate::plan::Arrivals;
use crate::plan::threshold::Evaluation;
use crate::report::findings::{self, WIDTH, line, wrapped};
use crate::report::shown::Shown;
use crate::report::style::Style;
use crate::report::{bars, forecast, plan_line, populations};
use crate::result::headline;
use crate::result::own_delay::own_delay;
use crate::result::windows::{spans, without_stub};
use crate::result::{FailureKind, LatencySummary, RunResult, StepCount, Verdict};

/// The summary, several lines with a line end each.
pub fn render(result: &RunResult, style: Style) -> String {
    let result = &*match Shown::of(result) {
        Ok(result) => result,
        Err(error) => return format!("the result can't be shown: {error}\n"),
    };
    let mut out = String::new();
    head(&mut out, result, style);
    findings::render(&mut out, result, style);
    if !result.failures.is_empty() {
        failures(&mut out, result, style);
    }
    onsets(&mut out, result, style);
    counts(&mut out, result);
    out += &populations::lines(result, usize::MAX, style);
    course(&mut out, result);
    messages(&mut out, result, style);
    latencies(&mut out, result);
    if let Some(report) = &result.forecast {
        forecast::render(&mut out, report, style);
    }
    thresholds(&mut out, result, style);
    cost(&mut out, result);
    if !result.unseen.is_empty() {
        wrapped(&mut out, &format!("not seen: {}", result.unseen.join("; ")), 2);
    }
    out
}

fn head(out: &mut String, result: &RunResult, style: Style) {
    let verdict = match result.verdict {
        Verdict::Passed => style.good("passed"),
        Verdict::Failed => style.bad("failed"),
        Verdict::Invalid => style.bad("invalid"),
        Verdict::Interrupted => style.warn("interrupted"),
    };
    let happened = headline::what_happened(result);
    let width = result.plan.name.chars().count() + 2 + headline::verdict(result.verdict).len();
    let name = style.bold(&result.plan.name);
    if width + 2 + happened.chars().count() <= WIDTH {
        line(out, format_args!("{name} {verdict}  {happened}"));
    } else {
        line(out, format_args!("{name} {verdict}"));
        wrapped(out, &happened, 2);
    }
    result.reasons.iter().for_each(|reason| wrapped(out, reason, 2));
}

fn failures(out: &mut String, result: &RunResult, style: Style) {
    line(out, format_args!(""));
    for kind in &result.failures {
        let count = style.bad(&thousands(kind.count));
        let code = kind.code.map_or(String::new(), |code| format!(" {code}"));
        let step = kind.step.as_ref().map_or(String::new(), |step| format!(" in step {step}"));
        line(out, format_args!("  {count} × {}{code} at {}{step}, {}", kind.cause, kind.stage, kind.side));
        if let Some(errno) = kind.errno {
            line(out, format_args!("      {errno}: {}", errno.text()));
        }
        line(out, format_args!("      {}", when(kind)));
        if let Some(sample) = kind.samples.first() {
            let source = sample.source.map_or("any source".to_owned(), |source| source.to_string());
            let port = sample.source_port.map_or(String::new(), |port| format!(" port {port}"));
            line(out, format_args!("      first: {source}{port} to {}", sample.destination));
            if let Some(reply) = &sample.reply {
                reply_lines(out, reply);
            }
        }
    }
}

/// The peer's words, in a line or a few.
fn reply_lines(out: &mut String, reply: &Reply) {
    let cut =
        |text: &str| -> String { text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(66).collect() };
    let told = [("reply", &reply.status), ("", &reply.says), ("speaks", &reply.protocol)];
    for (title, text) in told {
        if let Some(text) = text {
            let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
            line(out, format_args!("      {title}{}", cut(text)));
        }
    }
    match (&reply.body, &reply.bytes) {
        (Some(body), _) => line(out, format_args!("      body: {}", cut(body))),
        (None, Some(bytes)) => line(out, format_args!("      bytes: {}", cut(bytes))),
        (None, None) => {}
    }
}

/// Onsets: the course of the run, a line each.
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
        let kind = style.warn(onset.kind.name());
        line(out, format_args!("  {at}  {kind}{}{attempt}{tuple}", findings::until(onset)));
        let numbers = findings::numbers(onset);
        if !numbers.is_empty() && result.verdict != Verdict::Passed {
            wrapped(out, &numbers, 11);
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
    let parts = [
        ("planned", counts.planned),
        ("started", counts.started),
        ("ok", counts.ok),
        ("failed", counts.failed),
        ("skipped", counts.skipped),
        ("cut short", counts.cut_short),
        ("in flight", counts.in_flight),
    ];
    // Few plans have conversations that can be cut.
    let told = parts.iter().filter(|(name, count)| *name != "cut short" || *count > 0);
    let told: Vec<String> = told.map(|(name, count)| format!("{name} {}", thousands(*count))).collect();
    filled(out, &told);
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
    if counts.backoffs > 0 && result.plan.session.reconnect.is_none() {
        let times = thousands(counts.backoffs);
        line(out, format_args!("  slots backed off {times} times after failures (10 ms, doubling to 1 s)"));
    }
}

/// Parts that are not broken, three blanks apart, in as many lines as they need.
pub(super) fn filled(out: &mut String, parts: &[String]) {
    let mut current = String::from("  ");
    for part in parts {
        if current.chars().count() + 3 + part.chars().count() > WIDTH + 2 {
            line(out, format_args!("{}", current.trim_end()));
            current = String::from("  ");
        }
        current += part;
        current += "   ";
    }
    line(out, format_args!("{}", current.trim_end()));
}

/// The course of the rate and, where it says something, of the ports: a line of bars each.
fn course(out: &mut String, result: &RunResult) {
    const BARS: usize = 40;
    let spans = spans(&without_stub(&result.windows), BARS);
    if spans.len() < 3 {
        return;
    }
    let rates: Vec<f64> = spans.iter().map(|span| span.per_second(span.window.opened)).collect();
    let peak = rates.iter().copied().fold(0.0, f64::max);
    let peak_rate = format!("{}/s connected at most", thousands(peak.round() as u64));
    line(out, format_args!("  rate   {}  {peak_rate}", bars::bars(&rates, BARS, 0.0)));
    let seen = || result.windows.iter().filter_map(|window| window.kernel.as_ref());
    let (used, usable) = (
        seen().filter_map(|kernel| kernel.ports_in_use).max(),
        seen().filter_map(|kernel| kernel.ports_usable).max(),
    );
    let (Some(used), Some(usable)) = (used.filter(|used| *used > 0), usable) else { return };
    let ports =
        spans.iter().map(|span| span.window.kernel.as_ref().and_then(|k| k.ports_in_use).unwrap_or(0) as f64);
    let bars = bars::bars(&ports.collect::<Vec<f64>>(), BARS, usable as f64);
    line(out, format_args!("  ports  {bars}  {} of {} at most", thousands(used), thousands(usable)));
}

/// Number of times that a step was done, and of attempts that failed in it.
fn step_count(step: &StepCount, style: Style) -> String {
    let done = format!("{} {}", step.name, thousands(step.done));
    match step.failed {
        0 => done,
        failed => format!("{done} {}", style.bad(&format!("({} failed)", thousands(failed)))),
    }
}

/// Messages above TCP, if there were any.
pub(super) fn messages(out: &mut String, result: &RunResult, style: Style) {
    let said = &result.messages;
    if said.is_silent() {
        return;
    }
    let plain = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", thousands(count)));
    let bad =
        |count: u64, what: &str| (count > 0).then(|| style.bad(&format!("{} {what}", thousands(count))));
    let parts = [
        plain(said.sessions, "sessions"),
        plain(said.sent, "sent"),
        plain(said.received, "received"),
        plain(said.matched, "as expected"),
        bad(said.mismatches, "not as expected"),
        bad(said.unanswered, "unanswered"),
        bad(said.unsent_late, "not sent in time"),
        bad(said.unsent_waiting, "not sent, waiting for a reply"),
        bad(said.unsent_cut, "not sent, cut short"),
        bad(said.unsent_lost, "not sent, connection lost"),
        plain(said.pushes, "pushes"),
        plain(said.pings, "pings"),
        plain(said.pongs, "pongs"),
        plain(said.peer_pings, "pings answered"),
        plain(said.reconnects, "reconnections"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    for pieces in parts.chunks(4) {
        line(out, format_args!("  {}", pieces.join("   ")));
    }
    if !result.statuses.is_empty() {
        wrapped(out, &format!("replies by status: {}", headline::statuses(result)), 2);
    }
    for close in headline::closes(result) {
        line(out, format_args!("  closed by the server: {close}"));
    }
    let steps: Vec<String> = result.steps.iter().map(|step| step_count(step, style)).collect();
    for (at, pieces) in steps.chunks(4).enumerate() {
        let title = if at == 0 { "steps  " } else { "       " };
        line(out, format_args!("  {title}{}", pieces.join("   ")));
    }
}

/// Load of the run, in two lines.
pub(super) fn load(result: &RunResult) -> String {
    let plan = &result.plan;
    let arrivals = match &plan.load.arrivals {
        Arrivals::Open(_) => "open loop".to_owned(),
        Arrivals::Closed { slots, .. } => format!("closed loop, {} slots", thousands(*slots)),
    };
    let lifetime = plan_line::lifetime(plan);
    let close = plan_line::close(plan.connection.close);
    let ports = plan_line::ports(plan.source.ports);
    let tuples = match result.tuples {
        1 => "1 tuple".to_owned(),
        many => format!("{} tuples", thousands(many)),
    };
    let insecure = if plan.kind().is_encrypted() && plan.session.tls.insecure {
        "; certificates not verified (insecure)"
    } else {
        ""
    };
    let part = result.slice.map_or(String::new(), |slice| format!(", part {slice}: judged when merged"));
    let elapsed = seconds(result.elapsed_s);
    format!("{arrivals}, {elapsed}; {lifetime}, closed by {close}\n  {tuples}, {ports}{insecure}{part}")
}

/// The latencies worth a line: those that have values, except the calls, which `--json` has.
fn latencies(out: &mut String, result: &RunResult) {
    const FIRST: [(&str, &str); 3] =
        [("connect", "connect"), ("from due time", "connect_from_due"), ("lateness", "lateness")];
    const LEFT_OUT: [&str; 2] = ["bind_call", "lifetime"];
    let others = result.latency_us.keys().map(String::as_str).filter(|name| {
        !LEFT_OUT.contains(name)
            && !FIRST.iter().any(|(_, first)| first == name)
            && (*name != "connect_call" || result.verdict != Verdict::Passed)
    });
    let named = FIRST.map(|(title, name)| (title.to_owned(), name)).into_iter();
    let titled = others.map(|name| (name.replace('_', " "), name));
    let rows: Vec<(String, &LatencySummary)> = named
        .chain(titled)
        .filter_map(|(title, name)| Some((title, result.latency_us.get(name)?)))
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
    own_delay(result).iter().for_each(|told| wrapped(out, told, 2));
}

fn thresholds(out: &mut String, result: &RunResult, style: Style) {
    if result.thresholds.is_empty() {
        return;
    }
    line(out, format_args!(""));
    for threshold in &result.thresholds {
        let default = if result.plan.thresholds.is_empty() { "  (default)" } else { "" };
        line(out, format_args!("  {}{default}", judged(threshold, style)));
    }
}

/// A threshold with what was measured, and by how much it holds or not.
pub(super) fn judged(threshold: &Evaluation, style: Style) -> String {
    let mark = if threshold.passed { style.good("passed") } else { style.bad("FAILED") };
    let spare = match threshold.margin_percent() {
        Some(margin) if threshold.passed => format!(", {margin} % to spare"),
        Some(margin) => format!(", missed by {} %", -margin),
        None => String::new(),
    };
    format!("{mark}  {}: {}{spare}", threshold.expression, threshold.shown)
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
