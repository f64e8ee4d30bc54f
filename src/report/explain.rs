//! One run told as a story: what an application would have seen, what began when, what it means. And two
//! runs side by side.

use crate::diagnose::{Certainty, Finding};
use crate::model::format::{micros, seconds, thousands};
use crate::model::{Cause, Stage};
use crate::plan::Scheme;
use crate::report::findings::{self, line, wrapped};
use crate::report::shown::Shown;
use crate::report::style::Style;
use crate::result::{FailureKind, OnsetReport, RunResult};

/// The story of a run, several lines with a line end each.
pub fn render(result: &RunResult, style: Style) -> String {
    let result = &*match Shown::of(result) {
        Ok(result) => result,
        Err(error) => return format!("the result can't be shown: {error}\n"),
    };
    let mut out = String::new();
    seen(&mut out, result, style);
    onsets(&mut out, result, style);
    meaning(&mut out, result, style);
    out
}

/// Words that an application prints for a failure: the call, and the words of the C library; of a WebSocket, those
/// of a browser.
pub fn as_seen(kind: &FailureKind, scheme: Option<Scheme>) -> String {
    if matches!(scheme, Some(Scheme::Ws | Scheme::Wss))
        && let Some(words) = browsers(kind)
    {
        return words;
    }
    let call = match (kind.stage, kind.cause) {
        (Stage::Bind, Cause::ProcessFileLimit | Cause::SystemFileLimit | Cause::OutOfMemory) => "socket",
        (Stage::Lease, Cause::NameResolution) => "getaddrinfo",
        (Stage::Bind, _) => "bind",
        (Stage::Connect, _) => "connect",
        (Stage::Tls, _) => "TLS handshake",
        (Stage::Handshake, _) => "handshake",
        (Stage::Lease, _) => "lease",
        (Stage::Session, _) => "read",
        (Stage::Close, _) => "close",
    };
    let words = match (kind.errno, kind.cause) {
        (Some(errno), _) => errno.text().to_owned(),
        (None, Cause::TimedOut) => "Connection timed out".to_owned(),
        (None, cause) => match kind.code {
            Some(code) => format!("{} {code}", cause.name().replace('_', " ")),
            None => cause.name().replace('_', " "),
        },
    };
    format!("{call}: {words}")
}

fn scheme(result: &RunResult) -> Option<Scheme> {
    result.plan.target.as_ref().map(|target| target.scheme)
}

/// Chrome's words for a WebSocket that does not come about (net/websockets, net/base/net_error_list.h).
fn browsers(kind: &FailureKind) -> Option<String> {
    let handshake = "Error during WebSocket handshake";
    Some(match (kind.cause, kind.code) {
        (Cause::HttpStatus, Some(status)) => format!("{handshake}: Unexpected response code: {status}"),
        (Cause::NotHttp | Cause::TlsOnPlainText, _) => format!("{handshake}: net::ERR_INVALID_HTTP_RESPONSE"),
        (Cause::PlainTextOnTls | Cause::NotTls, _) => {
            "Error in connection establishment: net::ERR_SSL_PROTOCOL_ERROR".to_owned()
        }
        _ => return None,
    })
}

fn seen(out: &mut String, result: &RunResult, style: Style) {
    let counts = result.counts;
    line(out, format_args!("{}", style.bold("What an application sees")));
    for kind in &result.failures {
        line(out, format_args!("  {}", style.bad(&as_seen(kind, scheme(result)))));
        line(
            out,
            format_args!(
                "      {} of {} attempts, the first at {} (attempt {}), each after {}",
                thousands(kind.count),
                thousands(counts.started),
                seconds(kind.first_at_s),
                thousands(kind.first_ordinal),
                micros(kind.latency_us.p50)
            ),
        );
    }
    if result.failures.is_empty() {
        let all = thousands(counts.ok);
        line(out, format_args!("  no error: {all} connections, {} open at most", thousands(counts.held_max)));
    }
    if counts.syn_retransmits > 0
        && let Some(connect) = result.latency_us.get("connect")
    {
        line(
            out,
            format_args!(
                "      {} connections had to send their SYN again; connect took {} (median), {} (99 %)",
                thousands(counts.syn_retransmits),
                micros(connect.p50),
                micros(connect.p99)
            ),
        );
    }
}

fn onsets(out: &mut String, result: &RunResult, style: Style) {
    if result.onsets.is_empty() {
        return;
    }
    line(out, format_args!("{}", style.bold("What began when")));
    for told in &result.onsets {
        out.push_str(&onset(told, style));
    }
}

/// An onset, in a line or two.
pub fn onset(onset: &OnsetReport, style: Style) -> String {
    let attempt = onset.ordinal.map_or(String::new(), |n| format!(", attempt {}", thousands(n)));
    let mut out = String::new();
    let (kind, until) = (style.warn(onset.kind.name()), findings::until(onset));
    line(&mut out, format_args!("  {:>7}  {kind}{until}{attempt}", seconds(onset.at_s)));
    let numbers = findings::numbers(onset);
    if !numbers.is_empty() {
        line(&mut out, format_args!("           {numbers}"));
    }
    out
}

fn meaning(out: &mut String, result: &RunResult, style: Style) {
    line(out, format_args!("{}", style.bold("What it means")));
    if result.findings.is_empty() {
        line(out, format_args!("  nothing is found"));
    }
    for finding in &result.findings {
        one(out, finding, style);
    }
}

fn one(out: &mut String, finding: &Finding, style: Style) {
    let head = format!("{}, {}:", finding.certainty, finding.side);
    let head = if finding.certainty == Certainty::Proved { style.bad(&head) } else { style.warn(&head) };
    line(out, format_args!("  {head} {}", finding.id));
    wrapped(out, &finding.says, 4);
    let facts: Vec<String> = finding.evidence.iter().map(|(name, fact)| format!("{name}={fact}")).collect();
    if !facts.is_empty() {
        wrapped(out, &format!("evidence: {}", facts.join(", ")), 4);
    }
    for remedy in &finding.remedies {
        line(out, format_args!("    {} {remedy}", style.good("▸")));
    }
}

/// Two runs of the same load, before something was changed and after it.
pub fn side_by_side(before: &RunResult, after: &RunResult, style: Style) -> String {
    let mut out = String::new();
    let first = |result: &RunResult| {
        let named = |f: &Finding| format!("{}, {}", f.id, f.certainty);
        result.findings.first().map_or("none".to_owned(), named)
    };
    let error = |result: &RunResult| {
        let worst = result.failures.iter().max_by_key(|kind| kind.count);
        worst.map_or("none".to_owned(), |kind| as_seen(kind, scheme(result)))
    };
    let connect = |result: &RunResult| {
        let known = result.latency_us.get("connect").filter(|connect| connect.count > 0);
        known.map_or("–".to_owned(), |connect| micros(connect.p99))
    };
    let rows = [
        ("attempts", thousands(before.counts.started), thousands(after.counts.started)),
        ("failed", thousands(before.counts.failed), thousands(after.counts.failed)),
        ("ended well", thousands(before.counts.ok), thousands(after.counts.ok)),
        ("open at most", thousands(before.counts.held_max), thousands(after.counts.held_max)),
        ("connect, 99 %", connect(before), connect(after)),
        ("error", error(before), error(after)),
        ("first finding", first(before), first(after)),
    ];
    let width = rows.iter().map(|(_, before, _)| before.chars().count()).max().unwrap_or(0).max(6);
    line(
        &mut out,
        format_args!(
            "  {:<14}  {}  {}",
            "",
            style.bad(&format!("{:<width$}", "before")),
            style.good("after")
        ),
    );
    for (what, before, after) in rows {
        line(&mut out, format_args!("  {what:<14}  {before:<width$}  {after}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Errno, Failure};
    use crate::result::LatencySummary;

    fn kind(failure: Failure) -> FailureKind {
        FailureKind {
            step: None,
            stage: failure.stage,
            cause: failure.cause,
            errno: failure.errno,
            code: failure.code,
            side: failure.side(),
            count: 1,
            first_at_s: 0.0,
            first_ordinal: 1,
            last_at_s: 0.0,
            latency_us: LatencySummary::default(),
            samples: Vec::new(),
        }
    }

    #[test]
    fn an_application_sees_its_call_and_the_words_of_the_c_library() {
        let seen = |stage, errno| as_seen(&kind(Failure::from_errno(stage, errno)), None);
        assert_eq!(seen(Stage::Connect, Errno::EADDRNOTAVAIL), "connect: Cannot assign requested address");
        assert_eq!(seen(Stage::Bind, Errno::EADDRINUSE), "bind: Address already in use");
        assert_eq!(seen(Stage::Bind, Errno::EMFILE), "socket: Too many open files");
        let timed_out = kind(Failure::new(Stage::Connect, Cause::TimedOut));
        assert_eq!(as_seen(&timed_out, None), "connect: Connection timed out");
        let no_port = kind(Failure::new(Stage::Lease, Cause::NoFreePort));
        assert_eq!(as_seen(&no_port, None), "lease: no free port");
    }

    #[test]
    fn of_a_websocket_the_words_are_a_browsers() {
        let mut refused = kind(Failure::new(Stage::Handshake, Cause::HttpStatus));
        refused.code = Some(404);
        assert_eq!(
            as_seen(&refused, Some(Scheme::Ws)),
            "Error during WebSocket handshake: Unexpected response code: 404"
        );
        assert_eq!(as_seen(&refused, Some(Scheme::Http)), "handshake: http status 404");
        let other = kind(Failure::new(Stage::Handshake, Cause::NotHttp));
        assert!(as_seen(&other, Some(Scheme::Wss)).ends_with("net::ERR_INVALID_HTTP_RESPONSE"));
    }
}
