//! One finding: a cause, whose it is, how sure that is, and what mends it.

use super::claim::Claim;
use super::finding_id::FindingId;
use crate::model::{Evidence, Side};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Certainty of a finding.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The evidence leaves no other cause.
    Proved,
    /// The evidence fits in quantity, moment and owner, and some other cause is not ruled out.
    Likely,
    /// The evidence fits in one of them.
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

/// Another cause of the same failures, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rival {
    /// The other cause.
    pub id: FindingId,
    /// Something seen rules it out.
    pub ruled_out: bool,
    /// The observation that rules it out; or the look that would tell.
    pub by: String,
}

impl Rival {
    /// A rival that something seen rules out.
    pub(super) fn ruled_out(id: FindingId, seen: &str) -> Rival {
        Rival { id, ruled_out: true, by: seen.to_owned() }
    }

    /// A rival that nothing seen rules out.
    pub(super) fn open(id: FindingId, would_tell: &str) -> Rival {
        Rival { id, ruled_out: false, by: would_tell.to_owned() }
    }
}

/// Proof that a finding went through [`super::certainty`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Judged;

/// A cause of what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Name of the finding, for programs: `ports-exhausted-by-time-wait`.
    pub id: FindingId,
    /// Who has to change something.
    pub side: Side,
    /// Certainty of the finding.
    pub certainty: Certainty,
    /// The finding in a sentence or two.
    pub says: String,
    /// Numbers on which the finding rests.
    pub evidence: Evidence,
    /// Remedies, the best first; commands as they are typed.
    pub remedies: Vec<String>,
    /// Failed attempts that it explains, counted.
    #[serde(default)]
    pub explains: u64,
    /// Other causes of such failures, and what was seen of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Rival>,
    #[serde(skip)]
    judged: Judged,
}

impl Finding {
    /// The finding of a claim whose certainty was computed.
    pub(super) fn judged(claim: Claim, certainty: Certainty, rivals: Vec<Rival>) -> Finding {
        let explains = claim.explained();
        let Claim { id, side, says, evidence, remedies, .. } = claim;
        Finding { id, side, certainty, says, evidence, remedies, explains, rivals, judged: Judged }
    }

    /// Order of findings: by attempts explained, then by certainty.
    pub fn rank(&self) -> (std::cmp::Reverse<u64>, Certainty) {
        (std::cmp::Reverse(self.explains), self.certainty)
    }
}
