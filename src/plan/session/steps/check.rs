//! Steps held against what is spoken, against each other, and against the fields that say the same otherwise.

use super::{Act, Condition, MOST_REACTIONS, Match, Step, Written};
use crate::model::Lifetime;
use crate::plan::diagnostics::{Mistake, Place};
use crate::plan::field::Placed;
use crate::plan::fields::Settings;
use crate::plan::session::Framing;
use crate::protocol::{Application, Kind};

/// Reports everything that keeps the steps from being done over `kind`.
pub(in crate::plan) fn check(
    settings: &Settings,
    written: &Placed<Written>,
    kind: Kind,
    mistakes: &mut Vec<Mistake>,
) {
    fields_of_messages(settings, mistakes);
    let steps = &written.value;
    let framing = settings.framing.value().copied().unwrap_or_default();
    let mut check = Check {
        framing,
        kind,
        at: 0,
        line: Line::None,
        opens: opens(&steps.steps),
        reactions: 0,
        steps,
        mistakes,
    };
    if kind.application() != Application::WebSocket {
        check.line = Line::Open;
    } else if !check.opens {
        // The first thing that is no request opens it.
        check.line = Line::OpensItself;
    }
    check.list(&steps.steps);
}

/// Fields that say what is said, beside steps that say it.
fn fields_of_messages(settings: &Settings, mistakes: &mut Vec<Mistake>) {
    for (row, place) in settings.given() {
        let is_of_messages = matches!(row.table, "messages" | "http");
        let name = row.name.unwrap_or_default();
        if is_of_messages && !matches!(name, "timeout" | "close_code" | "expect_close" | "framing") {
            let says = format!("`steps` say everything that is said; `{}.{name}` has no use", row.table);
            mistakes.push(Mistake::new(place, says).expected("one of the two"));
        }
    }
}

fn opens(steps: &[Step]) -> bool {
    super::flat(steps).iter().any(|step| matches!(step.act, Act::Open(_)))
}

/// Line to speak over, at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing: requests may be made.
    None,
    /// A connection that has made a request.
    Requested,
    /// Messages may be sent.
    Open,
    /// Nothing as yet; the first message opens a WebSocket.
    OpensItself,
}

struct Check<'c> {
    kind: Kind,
    framing: Framing,
    /// Number of the step, as in [`super::flat`].
    at: usize,
    line: Line,
    opens: bool,
    reactions: usize,
    steps: &'c Written,
    mistakes: &'c mut Vec<Mistake>,
}

impl Check<'_> {
    fn list(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let at = self.at;
        self.at += 1;
        let application = self.kind.application();
        match &step.act {
            Act::Http(_) if application == Application::Stream => {
                self.misfit(at, "requests", "http, https, ws or wss")
            }
            Act::Http(_) => {
                if application == Application::WebSocket && self.line != Line::OpensItself {
                    self.line = Line::Requested;
                }
            }
            Act::Open(_) if application != Application::WebSocket => {
                self.misfit(at, "WebSocket to open", "ws or wss");
            }
            Act::Open(open) => {
                if open.reuse && self.line != Line::Requested {
                    self.report(
                        at,
                        "there is no connection of a request to upgrade",
                        "a step `http` right before it",
                    );
                }
                self.line = Line::Open;
            }
            Act::Send(_) | Act::Wait(_) | Act::On { .. } => self.message(at, step),
            Act::Close { .. } => {
                if application == Application::WebSocket && self.opens {
                    self.line = Line::None;
                }
            }
            Act::Think(_) => {}
            Act::Repeat { times, steps } => {
                if times.is_none() && !steps.iter().any(waits) {
                    let says = "these steps are repeated without a pause and without an answer";
                    self.report(at, says, "a `think`, or a step that waits for an answer, among them");
                }
                self.list(steps);
            }
        }
    }

    fn message(&mut self, at: usize, step: &Step) {
        if self.kind.application() == Application::Http {
            return self.misfit(at, "messages", "ws, tcp or tls");
        }
        if self.framing == Framing::None && kinds(step).any(|kind| kind.all.iter().any(is_of_whole)) {
            self.report(
                at,
                "without framing no message has an end that this could be told of",
                "a text, or `framing`",
            );
        }
        if let Act::On { .. } = step.act {
            if self.framing == Framing::None {
                self.report(
                    at,
                    "without framing there are no messages to react to",
                    "`framing` by line or length",
                );
            }
            self.reactions += 1;
            if self.reactions > MOST_REACTIONS {
                self.report(at, "there are too many reactions", "at most 64");
            }
        }
        match self.line {
            Line::Open => {}
            Line::OpensItself => self.line = Line::Open,
            Line::None | Line::Requested => {
                self.report(at, "no WebSocket is open here", "a step `open` before it");
                self.line = Line::Open;
            }
        }
    }

    fn misfit(&mut self, at: usize, what: &str, wanted: &str) {
        let says = format!("a {} connection has no {what}", self.kind);
        self.report(at, &says, &format!("a target of {wanted}"));
    }

    fn report(&mut self, at: usize, says: &str, expected: &str) {
        let place = self.steps.places.get(at).cloned().unwrap_or(Place::Whole);
        self.mistakes.push(Mistake::new(place, says).expected(expected));
    }
}

/// Kinds of messages that a step waits for.
fn kinds(step: &Step) -> impl Iterator<Item = &Match> {
    match &step.act {
        Act::Wait(kind) => Some(kind),
        Act::Send(send) => send.expect.as_ref(),
        _ => None,
    }
    .into_iter()
}

/// True of a condition on a message as a whole.
fn is_of_whole(condition: &Condition) -> bool {
    matches!(condition, Condition::Json { .. })
}

/// True if a step takes time of itself.
fn waits(step: &Step) -> bool {
    match &step.act {
        Act::Http(_) | Act::Open(_) | Act::Wait(_) => true,
        Act::Send(send) => send.expect.is_some(),
        Act::Think(length) => *length != Lifetime::Fixed(std::time::Duration::ZERO),
        Act::Repeat { steps, .. } => steps.iter().any(waits),
        Act::On { .. } | Act::Close { .. } => false,
    }
}
