//! The first screen: a run in what a terminal of 80 columns and 24 lines shows, read from its end.
//!
//! The last lines are the verdict, its cause, the first remedy and the exit code; above them stand the figures
//! that explain them. What does not fit is left to [`super::summary`] (`--verbose`), and every format has it.

use crate::model::format::{bytes, micros, percent, seconds, thousands};
use crate::model::{Cause, OnsetKind};
use crate::plan::threshold::Evaluation;
use crate::report::findings::{self, WIDTH, line, remedy_command, wrapped};
use crate::report::shown::Shown;
use crate::report::style::Style;
use crate::report::{bars, populations, summary};
use crate::result::own_delay::own_delay;
use crate::result::windows::{spans, without_stub};
use crate::result::{FailureKind, LatencySummary, RunResult, Verdict, headline};

/// Lines of a run that passed, and of any other.
const GOOD_LINES: usize = 15;
const BAD_LINES: usize = 24;
/// Lines of a cause, reasons, kinds of failures and onsets that are told.
const SAYS_LINES: usize = 4;
const MOST: usize = 3;

/// The screen, several lines with a line end each. `exit` is the code that the program will end with.
pub fn render(result: &RunResult, style: Style, exit: Option<u8>) -> String {
    let result = &*match Shown::of(result) {
        Ok(result) => result,
        Err(error) => return format!("the result can't be shown: {error}\n"),
    };
    let end = end(result, style, exit);
    let limit = if result.verdict == Verdict::Passed { GOOD_LINES } else { BAD_LINES };
    let mut above = [
        head(result, style),
        counts(result) + &populations::lines(result, 4, style),
        messages(result, style),
        course(result),
        latencies(result),
        onsets(result, style),
        failures(result, style),
    ];
    // Those that explain least are left out first.
    for least in [3, 5, 2, 4, 1, 6] {
        let lines: usize = above.iter().chain([&end]).map(|part| part.lines().count()).sum();
        if lines > limit {
            above[least].clear();
        }
    }
    above.concat() + &end
}

/// Name and load; of a run that passed, with its verdict, as nothing has to be looked for below.
fn head(result: &RunResult, style: Style) -> String {
    let mut out = String::new();
    let load = summary::load(result);
    let load = load.lines().next().unwrap_or_default().to_owned();
    let name = &result.plan.name;
    let (word, told, next) = match result.verdict {
        Verdict::Passed => (style.good(" passed"), headline::what_happened(result), Some(load)),
        _ => (String::new(), load, None),
    };
    let width = name.chars().count() + 9 + told.chars().count();
    let name = style.bold(name);
    if width <= WIDTH {
        line(&mut out, format_args!("{name}{word}  {told}"));
    } else {
        line(&mut out, format_args!("{name}{word}"));
        wrapped(&mut out, &told, 2);
    }
    next.into_iter().for_each(|next| line(&mut out, format_args!("  {next}")));
    out
}

fn counts(result: &RunResult) -> String {
    let counts = result.counts;
    let parts = [
        ("planned", counts.planned, counts.planned != counts.started),
        ("started", counts.started, true),
        ("ok", counts.ok, true),
        ("failed", counts.failed, counts.failed > 0),
        ("skipped", counts.skipped, counts.skipped > 0),
        ("cut short", counts.cut_short, counts.cut_short > 0),
        ("in flight", counts.in_flight, counts.in_flight > 0),
        ("open at most", counts.held_max, counts.held_max > 0),
    ];
    let told = parts.into_iter().filter(|(_, _, told)| *told);
    let mut parts: Vec<String> =
        told.map(|(name, count, _)| format!("{name} {}", thousands(count))).collect();
    parts.push(format!("{}/s ended well", thousands(result.ok_per_second().round() as u64)));
    if counts.bytes_in + counts.bytes_out > 0 {
        parts.push(format!("{} in, {} out", bytes(counts.bytes_in), bytes(counts.bytes_out)));
    }
    let mut out = String::new();
    summary::filled(&mut out, &parts);
    out
}

fn messages(result: &RunResult, style: Style) -> String {
    let mut out = String::new();
    summary::messages(&mut out, result, style);
    out
}

/// The course of the rate and, where ports are the matter, of those in use.
fn course(result: &RunResult) -> String {
    const BARS: usize = 40;
    let mut out = String::new();
    let spans = spans(&without_stub(&result.windows), BARS);
    if spans.len() < 3 {
        return out;
    }
    let rates: Vec<f64> = spans.iter().map(|span| span.per_second(span.window.opened)).collect();
    let peak = rates.iter().copied().fold(0.0, f64::max);
    if peak > 0.0 {
        let (bars, peak) = (bars::bars(&rates, BARS, 0.0), thousands(peak.round() as u64));
        line(&mut out, format_args!("  rate   {bars}  {peak}/s connected at most"));
    }
    let seen = || result.windows.iter().filter_map(|window| window.kernel.as_ref());
    let usable = seen().filter_map(|kernel| kernel.ports_usable).max();
    if let Some(usable) = usable.filter(|_| is_about_ports(result)) {
        let used = seen().filter_map(|kernel| kernel.ports_in_use).max().unwrap_or(0);
        let ports = spans
            .iter()
            .map(|span| span.window.kernel.as_ref().and_then(|k| k.ports_in_use).unwrap_or(0) as f64);
        let bars = bars::bars(&ports.collect::<Vec<f64>>(), BARS, usable as f64);
        line(&mut out, format_args!("  ports  {bars}  {} of {} at most", thousands(used), thousands(usable)));
    }
    out
}

fn is_about_ports(result: &RunResult) -> bool {
    let onset =
        |kind| matches!(kind, OnsetKind::PortsLow | OnsetKind::PortsExhausted | OnsetKind::PortSearchSlow);
    let cause = |cause| matches!(cause, Cause::AddressNotAvailable | Cause::AddressInUse | Cause::NoFreePort);
    result.onsets.iter().any(|told| onset(told.kind)) || result.failures.iter().any(|kind| cause(kind.cause))
}

/// Connect, and the two steps above it that took longest.
fn latencies(result: &RunResult) -> String {
    const OWN: [&str; 5] = ["connect", "bind_call", "connect_call", "lifetime", "connect_from_due"];
    let mut rows: Vec<(&str, &LatencySummary)> = result
        .latency_us
        .iter()
        .filter(|(name, summary)| summary.count > 0 && !OWN.contains(&name.as_str()))
        .filter(|(name, _)| !name.ends_with("lateness") || result.verdict == Verdict::Invalid)
        .map(|(name, summary)| (name.as_str(), summary))
        .collect();
    rows.sort_by_key(|(_, summary)| std::cmp::Reverse(summary.p50));
    rows.truncate(2);
    let connect = result.latency_us.get("connect").filter(|summary| summary.count > 0);
    let mut out = String::new();
    let all: Vec<_> = connect.map(|connect| ("connect", connect)).into_iter().chain(rows).collect();
    if all.is_empty() {
        return out;
    }
    line(&mut out, format_args!("  {:<15}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99", "max"));
    for (name, l) in all {
        let cells = [l.p50, l.p90, l.p99, l.max].map(|us| format!("{:>9}", micros(us)));
        // The name of a step is the user's own.
        let title = if name.starts_with("step.") { name.to_owned() } else { name.replace('_', " ") };
        line(&mut out, format_args!("  {title:<15}{}", cells.concat()));
    }
    own_delay(result).iter().for_each(|told| wrapped(&mut out, told, 2));
    out
}

/// Onsets, where they may explain something.
fn onsets(result: &RunResult, style: Style) -> String {
    let mut out = String::new();
    if result.verdict == Verdict::Passed {
        return out;
    }
    for onset in result.onsets.iter().take(MOST) {
        let attempt = onset.ordinal.map_or(String::new(), |n| format!(", attempt {}", thousands(n)));
        let (kind, until) = (style.warn(onset.kind.name()), findings::until(onset));
        line(&mut out, format_args!("  {:>7}  {kind}{until}{attempt}", seconds(onset.at_s)));
    }
    more(&mut out, result.onsets.len(), "onsets");
    out
}

fn failures(result: &RunResult, style: Style) -> String {
    let mut out = String::new();
    let mut kinds: Vec<&FailureKind> = result.failures.iter().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    for kind in kinds.iter().take(MOST) {
        let count = style.bad(&thousands(kind.count));
        let code = kind.code.map_or(String::new(), |code| format!(" {code}"));
        let from = format!("from {} on", seconds(kind.first_at_s));
        line(&mut out, format_args!("  {count} × {}{code} at {}, {from}", kind.cause, kind.stage));
        if let Some(errno) = kind.errno {
            line(&mut out, format_args!("      {errno}: {}", errno.text()));
        }
        let reply = kind.samples.iter().find_map(|sample| sample.reply.as_ref());
        if let Some(told) = reply.and_then(|reply| reply.status.as_ref().or(reply.says.as_ref())) {
            line(
                &mut out,
                format_args!("      first: {}", told.chars().take(WIDTH - 16).collect::<String>()),
            );
        }
    }
    more(&mut out, kinds.len(), "kinds of failures");
    out
}

fn more(out: &mut String, all: usize, what: &str) {
    if all > MOST {
        line(out, format_args!("  and {} more {what}", all - MOST));
    }
}

/// Verdict, cause, first remedy, exit code.
fn end(result: &RunResult, style: Style, exit: Option<u8>) -> String {
    let mut out = String::new();
    line(&mut out, format_args!(""));
    let mut all = "";
    if result.verdict == Verdict::Passed {
        held(&mut out, result, style);
    } else {
        verdict(&mut out, result, style);
        cause(&mut out, result, style);
        all = "    all figures: --verbose, --json, --html";
    }
    if let Some(code) = exit {
        line(&mut out, format_args!("exit code {code}{all}"));
    }
    out
}

/// Failures, each once: the share of attempts first, then what else was not as it was to be.
fn verdict(out: &mut String, result: &RunResult, style: Style) {
    let word = headline::verdict(result.verdict);
    let painted = match result.verdict {
        Verdict::Interrupted => style.warn(word),
        _ => style.bad(word),
    };
    let counts = result.counts;
    let is_share = |judged: &&Evaluation| judged.expression.starts_with("failed.ratio ");
    let broken: Vec<&Evaluation> = result.thresholds.iter().filter(|judged| !judged.passed).collect();
    let thresholds = broken.iter().map(|judged| &judged.says);
    let thresholds: Vec<&String> = thresholds.collect();
    let mut reasons: Vec<String> =
        result.reasons.iter().filter(|reason| !thresholds.contains(reason)).cloned().collect();
    let told = if counts.failed > 0 {
        let share = percent(counts.failed, counts.started);
        let wanted =
            broken.iter().copied().find(is_share).and_then(|judged| judged.expression.split_once(' '));
        let wanted = wanted.map_or(String::new(), |(_, wanted)| format!(" (wanted {wanted})"));
        format!("{share} of {} attempts failed{wanted}", thousands(counts.started))
    } else if !reasons.is_empty() {
        reasons.remove(0)
    } else {
        format!("{} connections ended well, and not all is as it was to be", thousands(counts.ok))
    };
    let mut words = String::new();
    wrapped(&mut words, &format!("{word} {told}"), 0);
    // The word is painted after the text was broken: a colour has no width.
    *out += &words.replacen(&format!("{word} "), &format!("{painted}  "), 1);
    let left: Vec<&&Evaluation> =
        broken.iter().filter(|judged| counts.failed == 0 || !is_share(judged)).collect();
    reasons.iter().take(MOST).for_each(|reason| wrapped(out, reason, 2));
    more(out, reasons.len(), "reasons");
    left.iter().take(MOST).for_each(|judged| line(out, format_args!("  {}", summary::judged(judged, style))));
    more(out, left.len(), "thresholds");
}

/// The thresholds that hold, the closest first.
fn held(out: &mut String, result: &RunResult, style: Style) {
    let mut held: Vec<&Evaluation> = result.thresholds.iter().collect();
    held.sort_by(|a, b| a.margin.unwrap_or(f64::MAX).total_cmp(&b.margin.unwrap_or(f64::MAX)));
    let default = if result.plan.thresholds.is_empty() { "  (default)" } else { "" };
    for judged in held.iter().take(MOST) {
        line(out, format_args!("  {}{default}", summary::judged(judged, style)));
    }
    more(out, held.len(), "thresholds hold");
}

/// The surest finding with its best remedy.
fn cause(out: &mut String, result: &RunResult, style: Style) {
    let Some(finding) = result.findings.first() else { return };
    line(
        out,
        format_args!("  {}, {}: {}", finding.certainty, finding.side, style.bold(&finding.id.to_string())),
    );
    let mut says = String::new();
    wrapped(&mut says, &finding.says, 4);
    for (n, text) in says.lines().take(SAYS_LINES).enumerate() {
        let cut = if n + 1 == SAYS_LINES && says.lines().count() > SAYS_LINES { " …" } else { "" };
        line(out, format_args!("{text}{cut}"));
    }
    if let Some(remedy) = finding.remedies.first() {
        let fits = remedy.chars().count() + 6 <= WIDTH + 2;
        // A command is not broken; what explains it may be left out.
        let told = if fits { remedy } else { remedy_command(remedy).unwrap_or(remedy) };
        line(out, format_args!("    {} {told}", style.good("▸")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    fn screen(result: &RunResult) -> String {
        render(result, Style::Plain, Some(3))
    }

    fn assert_it_fits(text: &str, lines: usize) {
        assert!(text.lines().count() <= lines, "{} lines:\n{text}", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_good_run_fits_fifteen_lines() {
        let text = render(&sample::good(), Style::Plain, Some(0));
        assert_it_fits(&text, 15);
        assert!(text.ends_with("exit code 0\n"), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_bad_run_ends_with_verdict_cause_remedy_and_exit_code() {
        let text = screen(&sample::exhausted());
        assert_it_fits(&text, 24);
        let place = |part: &str| text.rfind(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(text.contains("proved, generator: ports-exhausted-by-time-wait"), "{text}");
        let order =
            ["1,001 ×", "failed  49.4 %", "ports-exhausted-by-time-wait", "▸ sysctl -w", "exit code 3"];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{text}");
        for fact in ["49.4", "1,001", "ports-exhausted-by-time-wait", "8.326989s"] {
            assert_eq!(text.matches(fact).count(), if fact == "1,001" { 2 } else { 1 }, "{fact}: {text}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_headline_speaks_of_what_failed() {
        let slow = RunResult {
            verdict: Verdict::Failed,
            reasons: vec!["connect.p99 is 80 ms; wanted < 50ms".into()],
            ..sample::good()
        };
        let text = screen(&slow);
        assert!(
            text.contains("failed  connect.p99 is 80 ms; wanted < 50ms") && !text.contains("none failed"),
            "{text}"
        );
        let by_threshold =
            RunResult { thresholds: sample::exhausted().thresholds, reasons: Vec::new(), ..slow };
        let text = screen(&by_threshold);
        assert!(text.contains("FAILED  onset.ports_exhausted == never: 8.326989s"), "{text}");
    }

    #[test]
    fn it_fits_however_much_went_wrong() {
        let mut result = sample::exhausted();
        for n in 0..20 {
            result.reasons.push(format!("reason {n} {}", "long ".repeat(12)));
            result.failures.push(result.failures[0].clone());
            result.onsets.push(result.onsets[0].clone());
        }
        result.findings[0].says = "many words ".repeat(200);
        result.findings[0].remedies[0] = format!("sysctl -w a=1    # {}", "why ".repeat(50));
        result.plan.name = "a name that is as long as a name can be without being refused ".repeat(2);
        let text = screen(&result);
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.contains("exit code 3"), "{text}");
    }
}
