//! One finding: a cause, whose it is, how sure that is, and what mends it.

use crate::model::{Evidence, Side};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How sure a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The evidence leaves no other cause.
    Proved,
    /// The evidence fits, and another cause would be a coincidence.
    Likely,
    /// The evidence does not rule it out.
    Possible,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Certainty::Proved => "proved",
            Certainty::Likely => "likely",
            Certainty::Possible => "possible",
        })
    }
}

/// A cause of what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// What it is, for programs: `ports-exhausted-by-time-wait`.
    pub id: String,
    /// Who has to change something.
    pub side: Side,
    /// How sure it is.
    pub certainty: Certainty,
    /// What it is, in a sentence or two.
    pub says: String,
    /// What it rests on.
    pub evidence: Evidence,
    /// What mends it, the best first; commands as they are typed.
    pub remedies: Vec<String>,
}

impl Finding {
    /// A finding without remedies yet.
    pub fn new(id: &str, side: Side, certainty: Certainty, says: impl Into<String>) -> Finding {
        let evidence = Evidence::default();
        Finding { id: id.to_owned(), side, certainty, says: says.into(), evidence, remedies: Vec::new() }
    }

    /// The same, resting on this.
    #[must_use]
    pub fn resting_on(mut self, evidence: Evidence) -> Finding {
        self.evidence = evidence;
        self
    }

    /// The same with one more remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedies.push(remedy.into());
        self
    }
}
