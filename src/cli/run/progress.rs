//! Live view of a run: on a terminal three lines that are drawn anew (a bar of time, what came about, how
//! fast), in a pipe a plain line every ten seconds.

use super::args::ProgressWhen;
use crate::cli::output::say;
use crate::engine::Progress;
use crate::model::format::{micros, seconds, thousands};
use crate::model::{LatencyKind, Stamp, WindowLatency, WindowRow};
use crate::run::Watched;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The lines.
pub(super) struct Line {
    bar: ProgressBar,
    end: Option<Stamp>,
    attempts: Option<u64>,
    /// Onsets that were told.
    told: usize,
    /// When the next plain line is due, where they are wanted.
    plain: Option<Stamp>,
    /// Messages sent at the end of the last window, and when that was.
    sent: (u64, Stamp),
    /// Messages a second in the last window.
    message_rate: f64,
}

impl Line {
    /// Lines for a run that ends at `end` or after so many attempts.
    pub(super) fn new(when: ProgressWhen, end: Option<Stamp>, attempts: Option<u64>) -> Line {
        let terminal = io::stderr().is_terminal();
        let lives = terminal && when == ProgressWhen::Auto;
        let plain = when == ProgressWhen::Plain || (!terminal && when == ProgressWhen::Auto);
        let bar = if lives {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
        } else {
            ProgressBar::hidden()
        };
        if let Some(end) = end {
            bar.set_length(u64::try_from(end.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        // The templates are constants that a test draws.
        let template = if end.is_some() {
            "{spinner} {elapsed} {bar:40} {prefix}\n{msg}"
        } else {
            "{spinner} {elapsed} {prefix}\n{msg}"
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let plain = plain.then_some(PLAIN_EVERY);
        Line { bar, end, attempts, told: 0, plain, sent: (0, Stamp::ZERO), message_rate: 0.0 }
    }

    /// Shows the state of the run.
    pub(super) fn show(&mut self, watched: &Watched<'_>) {
        for onset in watched.onsets.iter().skip(self.told) {
            // Above the lines, where it stays: what began when, as it comes.
            self.bar.println(format!("{:>8}  {}", seconds(onset.at.as_secs_f64()), onset.kind));
        }
        self.told = watched.onsets.len();
        if let Some(window) = watched.window {
            self.count_messages(watched);
            let rate = window.started as f64 / window.length.as_secs_f64().max(1e-3);
            let first = message(watched, rate.round() as u64, window.open, ports(watched));
            let second = self.speed(window.connect_us, window.opened) + &spoken(window);
            if self.plain.is_some_and(|due| watched.elapsed >= due) {
                self.plain = Some(watched.elapsed + PLAIN_EVERY);
                let now = seconds(watched.elapsed.as_secs_f64());
                say(&format!("{now}  {first}  {second}  {}", self.left(watched)));
            }
            self.bar.set_prefix(self.left(watched));
            self.bar.set_message(format!("  {first}\n  {second}"));
        }
        self.bar.set_position(u64::try_from(watched.elapsed.as_millis()).unwrap_or(u64::MAX));
        self.bar.tick();
    }

    fn count_messages(&mut self, progress: &Progress<'_>) {
        let sent = progress.tally.traffic.sent;
        let over = progress.elapsed.saturating_sub(self.sent.1).as_secs_f64();
        self.message_rate = sent.saturating_sub(self.sent.0) as f64 / over.max(1e-3);
        self.sent = (sent, progress.elapsed);
    }

    /// Time to connect in the last window, and messages a second where there are any.
    fn speed(&self, connect_us: [u64; 4], opened: u64) -> String {
        let mut text = match opened {
            0 => "nothing connected".to_owned(),
            _ => format!("connect p50 {}, p99 {}", micros(connect_us[0]), micros(connect_us[2])),
        };
        if self.sent.0 > 0 {
            text += &format!("  {} messages/s", thousands(self.message_rate.round() as u64));
        }
        text
    }

    /// Takes the lines away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn left(&self, progress: &Progress<'_>) -> String {
        let by_time = self.end.map(|end| end.saturating_sub(progress.elapsed));
        let by_count = self.attempts.map(|attempts| attempts.saturating_sub(progress.tally.started()));
        match (by_time, by_count) {
            (_, Some(attempts)) => format!("{} attempts left", thousands(attempts)),
            (Some(Duration::ZERO), None) => "ending".into(),
            (Some(left), None) => format!("{} left", seconds(left.as_secs_f64())),
            (None, None) => String::new(),
        }
    }
}

/// The slowest answers of the last window: to messages, or to handshakes where none was waited for.
fn spoken(window: &WindowRow) -> String {
    let of = |wanted: LatencyKind| window.speech.latencies.iter().find(|(kind, _)| *kind == wanted);
    let told = |name: &str, latency: &WindowLatency| {
        format!("  {name} p50 {}, p99 {}", micros(latency.p50), micros(latency.p99))
    };
    match (of(LatencyKind::RoundTrip), of(LatencyKind::Handshake)) {
        (Some((_, latency)), _) => told("round trip", latency),
        (None, Some((_, latency))) => told("handshake", latency),
        (None, None) => String::new(),
    }
}

/// Ports in use of those that a tuple can have, where any are.
fn ports(watched: &Watched<'_>) -> String {
    let seen = watched.seen.and_then(|seen| Some((seen.ports_in_use?, seen.ports_usable?)));
    let Some((used, usable)) = seen.filter(|(used, _)| *used > 0) else { return String::new() };
    format!("{} of {} ports", thousands(used), thousands(usable))
}

fn message(progress: &Progress<'_>, rate: u64, open: u64, more: String) -> String {
    let tally = progress.tally;
    let mut text = format!("{}/s  {} open  {} ok", thousands(rate), thousands(open), thousands(tally.ok()));
    for kind in tally.failures() {
        text += &format!("  {} × {}/{}", thousands(kind.count), kind.failure.stage, kind.failure.cause);
    }
    if tally.skipped() > 0 {
        text += &format!("  {} skipped", thousands(tally.skipped()));
    }
    if more.is_empty() { text } else { text + "  " + &more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Errno, Failure, Lease, Outcome, Record, RunStart, Stage, Tally, Ticket};

    #[test]
    fn failures_are_shown_by_kind() {
        let mut tally = Tally::default();
        tally.start();
        tally.add(&Record {
            ticket: Ticket { ordinal: 0, due: Stamp::ZERO },
            lease: Lease { source: None, port: None, destination: ([127, 0, 0, 1], 80).into() },
            started: Stamp::ZERO,
            connected: None,
            ended: Stamp::ZERO,
            outcome: Outcome::Failed(Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL)),
            bytes_in: 0,
            bytes_out: 0,
        });
        let start = RunStart::default();
        let progress = Progress {
            start: &start,
            elapsed: Duration::from_secs(2),
            tally: &tally,
            held_max: 0,
            worker_cpu: Duration::ZERO,
            window: None,
        };
        let line = Line::new(ProgressWhen::Never, Some(Duration::from_secs(10)), None);
        let text = message(&progress, 5000, 12, line.left(&progress));
        assert_eq!(text, "5,000/s  12 open  0 ok  1 × connect/address_not_available  8.00 s left");
    }

    #[test]
    fn the_live_view_has_three_lines_with_a_bar_of_time() {
        let terminal = indicatif::InMemoryTerm::new(10, 100);
        let line = Line::new(ProgressWhen::Never, Some(Duration::from_secs(10)), None);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        line.bar.set_draw_target(target);
        line.bar.set_position(5000);
        line.bar.set_prefix("5.00 s left");
        line.bar.set_message(format!("  5,000/s\n  {}", line.speed([100, 150, 200, 300], 5)));
        line.bar.tick();
        let shown = terminal.contents();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[0].contains("████████") && lines[0].ends_with("5.00 s left"), "{shown}");
        assert!(lines[2].contains("connect p50 100 µs, p99 200 µs"), "{shown}");
    }

    #[test]
    fn in_a_pipe_a_plain_line_is_due_every_ten_seconds_and_none_where_it_is_not_wanted() {
        let due = |when| Line::new(when, None, None).plain;
        assert_eq!(due(ProgressWhen::Plain), Some(PLAIN_EVERY));
        assert_eq!(due(ProgressWhen::Never), None);
    }
}
