//! A claim: what a rule has to say before its certainty is computed. A rule counts the failures that its cause
//! explains, and says whose the numbers are, when they were seen, and what was seen of each rival. It can't say
//! how sure that is; [`super::certainty`] does.

use super::{FailureFact, FindingId, Rival};
use crate::model::{Evidence, Failure, Side, Stamp};
use std::net::{IpAddr, SocketAddr};

/// Whose the numbers are that a claim rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The failed attempts' own: error number, bytes of the reply, TCP_INFO.
    Attempts,
    /// A source address and a destination.
    Tuple(Option<IpAddr>, SocketAddr),
    /// A listener, or a process that listens.
    Listener(SocketAddr),
    /// Source addresses of the failed attempts.
    Sources,
    /// Destinations of the failed attempts, and the ways to them.
    Destinations,
    /// This process.
    Process,
    /// Everybody in this network namespace: another may have raised the number.
    Everybody,
}

/// When the cause was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// With each attempt: the attempt itself is the observation.
    EachAttempt,
    /// A state that was looked at during the failures, or that does not change during a run.
    Throughout,
    /// From one moment to another.
    Between(Stamp, Stamp),
    /// Not known.
    Unknown,
}

impl Span {
    /// True if it begins before the first of these failures and ends with or after the last.
    fn covers(self, (first, last): (Stamp, Stamp)) -> bool {
        match self {
            Span::EachAttempt | Span::Throughout => true,
            Span::Between(from, to) => from <= first && last <= to,
            Span::Unknown => false,
        }
    }
}

/// Failures of one kind that a claim is about.
#[derive(Debug, Clone, Copy)]
struct Share {
    failure: Failure,
    /// Failures that the cause explains, counted.
    explained: u64,
    /// Failures of all kinds that it claims.
    of: u64,
    /// When the first and the last happened.
    span: (Stamp, Stamp),
}

/// See the module.
#[derive(Debug, Clone)]
#[must_use]
pub(super) struct Claim {
    pub(super) id: FindingId,
    pub(super) side: Side,
    pub(super) says: String,
    pub(super) evidence: Evidence,
    pub(super) remedies: Vec<String>,
    pub(super) rivals: Vec<Rival>,
    owner: Owner,
    span: Span,
    shares: Vec<Share>,
}

impl Claim {
    /// A claim that explains nothing yet.
    pub(super) fn new(id: FindingId, side: Side, says: impl Into<String>) -> Claim {
        Claim {
            id,
            side,
            says: says.into(),
            evidence: Evidence::default(),
            remedies: Vec::new(),
            rivals: Vec::new(),
            owner: Owner::Everybody,
            span: Span::Unknown,
            shares: Vec::new(),
        }
    }

    /// The same, explaining all failures of a kind: each of them shows the cause.
    pub(super) fn explaining(self, failed: &FailureFact) -> Claim {
        self.explaining_some(failed, failed.count)
    }

    /// The same, explaining so many failures of a kind, counted.
    pub(super) fn explaining_some(mut self, failed: &FailureFact, explained: u64) -> Claim {
        self.shares.push(Share {
            failure: failed.failure,
            explained: explained.min(failed.count),
            of: failed.count,
            span: (failed.first_at, failed.last_at),
        });
        self
    }

    /// The same, resting on numbers of this owner, seen then.
    pub(super) fn seen(mut self, owner: Owner, span: Span) -> Claim {
        (self.owner, self.span) = (owner, span);
        self
    }

    /// The same, with rivals that something seen rules out.
    pub(super) fn without(mut self, rivals: &[FindingId], seen: impl Into<String>) -> Claim {
        let seen = seen.into();
        self.rivals.extend(rivals.iter().map(|rival| Rival::ruled_out(*rival, &seen)));
        self
    }

    /// The same, with rivals that nothing seen rules out, and what would.
    pub(super) fn unless(mut self, rivals: &[FindingId], would_tell: &str) -> Claim {
        self.rivals.extend(rivals.iter().map(|rival| Rival::open(*rival, would_tell)));
        self
    }

    /// Rivals ruled out by something seen where it was, and open where it was not.
    pub(super) fn without_if(
        self,
        rivals: &[FindingId],
        seen: Option<impl Into<String>>,
        would_tell: &str,
    ) -> Claim {
        match seen {
            Some(seen) => self.without(rivals, seen),
            None => self.unless(rivals, would_tell),
        }
    }

    /// The same, resting on this.
    pub(super) fn resting_on(mut self, evidence: Evidence) -> Claim {
        for (name, fact) in evidence.iter() {
            self.evidence = self.evidence.with(name, fact.clone());
        }
        self
    }

    /// The same with one more remedy.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Claim {
        self.remedies.push(remedy.into());
        self
    }

    /// The same after a change that several rules share.
    pub(super) fn then(self, change: fn(Claim) -> Claim) -> Claim {
        change(self)
    }

    /// Adds the failures of a claim of the same cause at another place.
    pub(super) fn join(&mut self, other: Claim, told: &str) {
        self.shares.extend(other.shares);
        // A rival is ruled out where it is in both.
        for rival in &mut self.rivals {
            let there = other.rivals.iter().find(|known| known.id == rival.id);
            if let Some(open) = there.filter(|there| !there.ruled_out) {
                *rival = open.clone();
            }
        }
        self.says += &format!("; {told}");
    }

    /// Failures that it explains, counted.
    pub(super) fn explained(&self) -> u64 {
        self.shares.iter().map(|share| share.explained).sum()
    }

    /// Failures that it is about.
    pub(super) fn claimed(&self) -> u64 {
        self.shares.iter().map(|share| share.of).sum()
    }

    /// Number of failures of a kind that the claim explains.
    pub(super) fn explained_of(&self, failure: Failure) -> u64 {
        self.shares.iter().filter(|share| share.failure == failure).map(|share| share.explained).sum()
    }

    /// The kinds of failure that it is about.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Failure> {
        self.shares.iter().map(|share| share.failure)
    }

    /// True if its numbers are those of the failed attempts' own tuple, listener, source or destination.
    pub(super) fn is_of_the_owner(&self) -> bool {
        self.owner != Owner::Everybody
    }

    /// True if its cause began before the first failure and ended with or after the last.
    pub(super) fn is_of_the_moment(&self) -> bool {
        self.span != Span::Unknown && self.shares.iter().all(|share| self.span.covers(share.span))
    }
}
