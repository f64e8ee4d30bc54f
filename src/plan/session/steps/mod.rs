//! Steps of a conversation: what a client says and waits for, one after the other.
//!
//! `reader` reads them out of a file, with every mistake at its place; `check` holds them against each other and
//! against what is spoken. They are data: the engine compiles them once for all its connections.

mod check;
mod matches;
mod names_used;
mod reader;
mod redacted;
mod schema;
mod spread;
mod takes;

pub(in crate::plan) use check::check;
pub use names_used::names_used;
pub(in crate::plan) use reader::{Steps, Written};
pub(in crate::plan) use redacted::{redact, secret_texts, secret_texts_of_requests};
pub(in crate::plan) use schema::definitions;
pub(in crate::plan) use takes::template_fault;

use super::Statuses;
use crate::model::Lifetime;
use crate::protocol::Template;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Repetitions that may stand in each other.
pub const DEEPEST: usize = 4;
/// Reactions that a conversation may have.
pub const MOST_REACTIONS: usize = 64;
/// Names that a conversation may take values by.
pub const MOST_NAMES: usize = 255;

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    /// Name by which the step is a metric; `None`: the step is called by its kind and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Act of the step.
    pub act: Act,
    /// Longest wait for what it waits for; `None`: as long as handshakes and answers have by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Values that are taken of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub take: Vec<Take>,
}

/// Act of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// An HTTP request and its reply.
    Http(HttpStep),
    /// The opening of a WebSocket.
    Open(OpenStep),
    /// A message, and its answer where one is expected.
    Send(SendStep),
    /// The wait for a message.
    Wait(Match),
    /// A pause; until the end of the run where its length is that.
    Think(Lifetime),
    /// Steps several times.
    Repeat {
        /// Number of rounds; `None`: until the connection's lifetime or the run ends.
        times: Option<u64>,
        /// Steps of a round.
        steps: Vec<Step>,
    },
    /// An answer to every message of a kind, from here to the end of the connection.
    On {
        /// Messages that are reacted to.
        when: Match,
        /// Answer to them; `None`: they are counted.
        send: Option<Payload>,
    },
    /// The end of the connection, by us.
    Close {
        /// Code of our close frame; `None`: the scenario's.
        code: Option<u16>,
    },
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HttpStep {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Headers, beside those of the target; one of the same name takes its place.
    pub headers: Vec<StepHeader>,
    /// Body.
    pub body: Option<Payload>,
    /// Statuses that are as they should be.
    pub statuses: Statuses,
}

/// The opening of a WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OpenStep {
    /// Path and query; `None`: those of the target.
    pub path: Option<Template>,
    /// Headers, beside those of the target; one of the same name takes its place.
    pub headers: Vec<StepHeader>,
    /// Subprotocols offered; empty: those of the target.
    pub subprotocols: Vec<Template>,
    /// True if the connection of the requests before is upgraded, rather than another made.
    pub reuse: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SendStep {
    /// Payload.
    pub payload: Payload,
    /// Answer that is waited for; `None`: nothing is waited for.
    pub expect: Option<Match>,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Template,
}

/// Payload of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A text.
    Text(Template),
    /// A text that is sent as binary, its random bytes any bytes.
    Binary(Template),
    /// Bytes as hexadecimal digits, with placeholders between them; sent as binary.
    Hex(String),
    /// Bytes in base64; sent as binary.
    Base64(String),
    /// The content of a file, as it is; sent as binary.
    File(PathBuf),
}

/// A kind of messages: those of which all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Match {
    /// Text before the part that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Template>,
    /// All of them; none: every message.
    pub all: Vec<Condition>,
}

/// A condition on a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The same as was sent.
    Echo,
    /// This text.
    Equals(Template),
    /// A text that begins so.
    StartsWith(Template),
    /// A text that holds this.
    Contains(Template),
    /// A text in which this regular expression is found.
    Regex(String),
    /// A JSON document with a value at a pointer (RFC 6901).
    Json {
        /// Where.
        pointer: String,
        /// Value that is wanted; `None`: anything.
        equals: Option<Template>,
    },
    /// These bytes at the beginning, as hexadecimal digits.
    Hex(String),
}

/// A value that is taken of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Take {
    /// Name by which placeholders use it.
    pub name: String,
    /// Where it stands.
    pub from: TakeFrom,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TakeFrom {
    /// At a pointer of the JSON document.
    Json(String),
    /// In a header of the reply.
    Header(String),
    /// In a cookie that the reply sets.
    Cookie(String),
    /// In the first group of a regular expression; its whole match where it has none.
    Regex(String),
}

impl Act {
    /// Name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Act::Http(_) => "http",
            Act::Open(_) => "open",
            Act::Send(_) => "send",
            Act::Wait(_) => "wait",
            Act::Think(_) => "think",
            Act::Repeat { .. } => "repeat",
            Act::On { .. } => "on",
            Act::Close { .. } => "close",
        }
    }

    /// True if it waits for something of the peer, so that the time that it takes says something.
    pub fn is_timed(&self) -> bool {
        match self {
            Act::Http(_) | Act::Open(_) | Act::Wait(_) => true,
            Act::Send(send) => send.expect.is_some(),
            Act::On { .. } | Act::Think(_) | Act::Repeat { .. } | Act::Close { .. } => false,
        }
    }

    /// True if the number of times that it was done is counted.
    pub fn is_counted(&self) -> bool {
        !matches!(self, Act::Think(_) | Act::Repeat { .. } | Act::Close { .. })
    }
}

/// In a few words, for messages.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all.is_empty() {
            f.write_str("any message")?;
        }
        for (at, condition) in self.all.iter().enumerate() {
            if at > 0 {
                f.write_str(" and ")?;
            }
            match condition {
                Condition::Echo => f.write_str("the same message"),
                Condition::Equals(text) => write!(f, "'{text}'"),
                Condition::StartsWith(text) => write!(f, "a message that starts with '{text}'"),
                Condition::Contains(text) => write!(f, "a message that contains '{text}'"),
                Condition::Regex(text) => write!(f, "a message in which /{text}/ is found"),
                Condition::Json { pointer, equals: None } => {
                    write!(f, "a JSON document with a value at '{pointer}'")
                }
                Condition::Json { pointer, equals: Some(text) } => {
                    write!(f, "a JSON document with '{text}' at '{pointer}'")
                }
                Condition::Hex(digits) => write!(f, "a message that begins with the bytes {digits}"),
            }?;
        }
        match &self.after {
            Some(after) => write!(f, " after '{after}'"),
            None => Ok(()),
        }
    }
}

/// Every step, those inside of repetitions too, in the order of the file.
pub fn flat(steps: &[Step]) -> Vec<&Step> {
    let mut all = Vec::new();
    for step in steps {
        all.push(step);
        if let Act::Repeat { steps, .. } = &step.act {
            all.extend(flat(steps));
        }
    }
    all
}

/// Names of all steps, in the order of [`flat`]: their own, or kind and number, such as `wait_3`.
pub fn names(steps: &[Step]) -> Vec<String> {
    let numbered = flat(steps).into_iter().enumerate();
    numbered
        .map(|(at, step)| step.name.clone().unwrap_or_else(|| format!("{}_{}", step.act.name(), at + 1)))
        .collect()
}

/// Time that each step may take, each once, where a step that does not say may take `answer` for its answer.
pub fn time_of_each_once(steps: &[Step], answer: Duration) -> Duration {
    let time = |step: &&Step| match &step.act {
        Act::Think(length) => length.mean().unwrap_or_default(),
        act if act.is_timed() => step.within.unwrap_or(answer),
        _ => Duration::ZERO,
    };
    flat(steps).iter().map(time).fold(Duration::ZERO, Duration::saturating_add)
}

/// Time that steps take from the first to the last, where an answer takes `answer`; `None`: until the end of the run.
pub fn length(steps: &[Step], answer: Duration) -> Option<Duration> {
    steps.iter().try_fold(Duration::ZERO, |before, step| {
        let time = match &step.act {
            Act::Think(pause) => pause.mean()?,
            Act::Repeat { times, steps } => {
                let rounds = u32::try_from((*times)?).unwrap_or(u32::MAX);
                length(steps, answer)?.saturating_mul(rounds)
            }
            act if act.is_timed() => answer,
            _ => Duration::ZERO,
        };
        Some(before.saturating_add(time))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(act: Act) -> Step {
        Step { act, name: None, within: None, take: Vec::new() }
    }

    #[test]
    fn rounds_take_their_time_each() {
        let pause = || step(Act::Think(Lifetime::Fixed(Duration::from_secs(2))));
        let rounds = |times| [pause(), step(Act::Repeat { times, steps: vec![pause(), pause()] })];
        assert_eq!(length(&rounds(Some(3)), Duration::ZERO), Some(Duration::from_secs(14)));
        assert_eq!(length(&rounds(None), Duration::ZERO), None);
    }
}
