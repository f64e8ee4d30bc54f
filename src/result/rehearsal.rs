//! Words that the first clients of a scenario would say, step by step: the outcome of a check, in which nothing is opened.

use serde::{Deserialize, Serialize};

/// A scenario that was looked through and would run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Name of the scenario.
    pub name: String,
    /// Load, lifetime, close and ports, in a line.
    pub plan: String,
    /// Thresholds that the result would be judged by.
    pub thresholds: Vec<String>,
    /// Populations; one without a name where the scenario has none of its own.
    pub populations: Vec<RehearsedPopulation>,
}

/// Clients that do the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RehearsedPopulation {
    /// Name; `None`: the scenario is its own only population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Load and connections, in a line, where that is not the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Where they connect to; `None`: to the scenario's own target.
    pub target: Option<String>,
    /// The first clients.
    pub clients: Vec<RehearsedClient>,
}

/// A client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RehearsedClient {
    /// Its number, from 1.
    pub number: u64,
    /// Steps, in the order of the scenario; those of a repetition once.
    pub steps: Vec<RehearsedStep>,
}

/// A step of a client.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RehearsedStep {
    /// Name of the step.
    pub name: String,
    /// Number of repetitions that it stands in.
    #[serde(skip_serializing_if = "is_zero")]
    pub depth: usize,
    /// Number of the connection that it speaks over, from 1, where it begins one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// Text that goes out; binary messages as hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sends: Option<String>,
    /// Length of all that goes out, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// True if it goes out as binary.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// Its other effects, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does: Option<String>,
    /// Answer that it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Longest wait, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_s: Option<f64>,
    /// Names of the values that it takes of the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(depth: &usize) -> bool {
    *depth == 0
}
