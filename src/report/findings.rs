//! Findings for a person at a terminal: the cause, whose it is, and the command that mends it.

use crate::diagnose::{Certainty, Finding};
use crate::model::format::{micros, seconds, thousands};
use crate::model::{Fact, OnsetKind};
use crate::report::style::Style;
use crate::result::{OnsetReport, RunResult};
use std::fmt::Write;

/// Columns that text is wrapped to.
pub(super) const WIDTH: usize = 78;

/// Every finding, the first with all its remedies, the others with their best.
pub(super) fn render(out: &mut String, result: &RunResult, style: Style) {
    for (place, finding) in result.findings.iter().enumerate() {
        render_one(out, finding, if place == 0 { usize::MAX } else { 1 }, style);
    }
}

/// One finding, with as many of its remedies as are wanted.
pub(super) fn render_one(out: &mut String, finding: &Finding, remedies: usize, style: Style) {
    line(out, format_args!(""));
    let head = format!("{}, {}:", finding.certainty, finding.side);
    let head = if finding.certainty == Certainty::Proved { style.bad(&head) } else { style.warn(&head) };
    line(out, format_args!("  {head} {}", finding.id));
    wrapped(out, &finding.says, 4);
    self::remedies(out, finding, remedies, style);
}

fn remedies(out: &mut String, finding: &Finding, most: usize, style: Style) {
    for remedy in finding.remedies.iter().take(most) {
        line(out, format_args!("    {} {remedy}", style.good("▸")));
    }
}

/// When an onset was over, behind its name; nothing where it has no end.
pub(super) fn until(onset: &OnsetReport) -> String {
    onset.until_s.map_or(String::new(), |until_s| format!(" until {}", seconds(until_s)))
}

/// The numbers of an onset that a person wants at a glance.
pub(super) fn numbers(onset: &OnsetReport) -> String {
    let evidence = &onset.evidence;
    let count = |name: &str| match evidence.get(name)? {
        Fact::Count(count) => Some(thousands(*count)),
        _ => None,
    };
    let us = |name: &str| evidence.number(name).map(|us| micros(us.round() as u64));
    let mut parts = Vec::new();
    if let (Some(before), Some(after)) = (us("connect_call_before_us"), us("connect_call_after_us")) {
        parts.push(format!("connect() call {before} → {after}"));
    }
    if let (Some(used), Some(usable)) = (count("ports_in_use"), count("ports_usable")) {
        let time_wait = count("time_wait").unwrap_or_else(|| "0".into());
        parts.push(format!("{used} of {usable} ports in use, {time_wait} in TIME_WAIT"));
    }
    if let Some(rate) = evidence.number("ceiling_per_s") {
        parts.push(format!(
            "tcp_tw_reuse gives ports back: a ceiling of some {}/s, and no wall",
            thousands(rate as u64)
        ));
    }
    let most_wait = evidence.number("fin_wait_2") >= evidence.number("ports_in_use").map(|all| all / 2.0);
    if let Some(waiting) = count("fin_wait_2").filter(|_| most_wait) {
        parts.push(format!(
            "{waiting} in FIN_WAIT_2: the peer does not close, which the forecast had assumed"
        ));
    }
    if let Some(at) = evidence.number("forecast_exhausted_at_s") {
        parts.push(format!("out of ports at {} if it goes on", seconds(at)));
    }
    if onset.kind == OnsetKind::GeneratorSaturated {
        parts.extend(us("lateness_p99_us").map(|late| format!("99 % started up to {late} late")));
        parts.extend(
            us("message_lateness_p99_us").map(|late| format!("99 % of messages sent up to {late} late")),
        );
    }
    parts.extend(
        count("listen_overflows_in_this_window").map(|n| format!("{n} handshakes found the queue full")),
    );
    parts.extend(count("tcp_syn_retrans_in_this_window").map(|n| format!("{n} SYNs sent again in a second")));
    parts.join("; ")
}

/// The part of a remedy that can be typed as it is: the whole, without its comment, or the flag behind a
/// colon. `None` where it is advice.
pub(super) fn remedy_command(remedy: &str) -> Option<&str> {
    const PROGRAMS: [&str; 8] =
        ["sysctl ", "ip ", "ulimit ", "nft ", "connstorm ", "systemctl ", "ss ", "sudo "];
    let typed = remedy.split(" #").next().unwrap_or(remedy).trim_end();
    if PROGRAMS.iter().any(|program| typed.starts_with(program)) {
        return Some(typed);
    }
    typed.find(": --").map(|at| &typed[at + 2..])
}

/// Text broken at spaces, indented.
pub(super) fn wrapped(out: &mut String, text: &str, indent: usize) {
    let mut current = String::new();
    for word in text.split_whitespace() {
        if !current.is_empty() && indent + current.chars().count() + 1 + word.chars().count() > WIDTH {
            line(out, format_args!("{:indent$}{current}", ""));
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    line(out, format_args!("{:indent$}{current}", ""));
}

/// One line with its end.
pub(super) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_advice() {
        for (remedy, command) in [
            (
                "sysctl -w net.ipv4.tcp_tw_reuse=1    # ports come back",
                Some("sysctl -w net.ipv4.tcp_tw_reuse=1"),
            ),
            ("close by RST (SO_LINGER 0): --close rst", Some("--close rst")),
            ("choose the ports yourself: --ports explicit    # 64,512", Some("--ports explicit")),
            ("let the server close first: it then keeps TIME_WAIT", None),
            ("ipconfig is of another system", None),
        ] {
            assert_eq!(remedy_command(remedy), command);
        }
    }
}
