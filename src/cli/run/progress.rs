//! The line that lives while a run does: rate, open, failures by kind, time left.

use crate::engine::Progress;
use crate::model::Stamp;
use crate::model::format::{seconds, thousands};
use crate::run::Watched;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// The line. Hidden where standard error is no terminal.
pub(super) struct Line {
    bar: ProgressBar,
    end: Option<Stamp>,
    attempts: Option<u64>,
    /// Onsets that were told.
    told: usize,
}

impl Line {
    /// A line for a run that ends at `end` or after so many attempts.
    pub(super) fn new(wanted: bool, end: Option<Stamp>, attempts: Option<u64>) -> Line {
        let bar = if wanted && io::stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
        } else {
            ProgressBar::hidden()
        };
        // The template is a constant that a test draws.
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Line { bar, end, attempts, told: 0 }
    }

    /// Shows the state of the run.
    pub(super) fn show(&mut self, watched: &Watched<'_>) {
        for onset in watched.onsets.iter().skip(self.told) {
            // Above the line, where it stays: the story of the run as it comes.
            self.bar.println(format!("{:>8}  {}", seconds(onset.at.as_secs_f64()), onset.kind));
        }
        self.told = watched.onsets.len();
        if let Some(window) = watched.window {
            let left = [ports(watched), self.left(watched)].concat();
            self.bar.set_message(message(watched, window.started, window.open, left));
        }
        self.bar.tick();
    }

    /// Takes the line away.
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

/// Ports in use of those that a tuple can have, where any are.
fn ports(watched: &Watched<'_>) -> String {
    let seen = watched.seen.and_then(|seen| Some((seen.ports_in_use?, seen.ports_usable?)));
    let Some((used, usable)) = seen.filter(|(used, _)| *used > 0) else { return String::new() };
    format!("{} of {} ports  ", thousands(used), thousands(usable))
}

fn message(progress: &Progress<'_>, rate: u64, open: u64, left: String) -> String {
    let tally = progress.tally;
    let mut text = format!("{}/s  {} open  {} ok", thousands(rate), thousands(open), thousands(tally.ok()));
    for kind in tally.failures() {
        text += &format!("  {} × {}/{}", thousands(kind.count), kind.failure.stage, kind.failure.cause);
    }
    if tally.skipped() > 0 {
        text += &format!("  {} skipped", thousands(tally.skipped()));
    }
    text + "  " + &left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Errno, Failure, Lease, Outcome, Record, Stage, Tally, Ticket};

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
        let progress = Progress { elapsed: Duration::from_secs(2), tally: &tally, window: None };
        let line = Line::new(false, Some(Duration::from_secs(10)), None);
        let text = message(&progress, 5000, 12, line.left(&progress));
        assert_eq!(text, "5,000/s  12 open  0 ok  1 × connect/address_not_available  8.00 s left");
    }
}
