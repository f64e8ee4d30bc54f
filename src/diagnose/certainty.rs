//! Certainty of a finding, computed in one place from what its rule counted. No rule can say "proved": a
//! [`Finding`] is made here and nowhere else.
//!
//! | certainty | when |
//! |---|---|
//! | proved | explains at least 90 % of the failures that it is about, by numbers of the failing owner, seen from before the first failure to the last; every rival of the catalogue is ruled out by something seen |
//! | likely | fits in quantity, moment and owner; some rival is not ruled out |
//! | possible | fits in one of them |

use super::claim::Claim;
use super::finding::{Certainty, Finding, Rival};
use super::rivals;

/// Share that a cause has to have of what it is the cause of: of the failures that it claims, of the ports in use, of an
/// address's attempts.
pub(super) const NEARLY_ALL: f64 = 0.9;

/// The finding of a claim. `None` where nothing fits.
pub(super) fn judge(claim: Claim) -> Option<Finding> {
    let rivals = all_rivals(&claim);
    let certainty = certainty(&claim, &rivals)?;
    Some(Finding::judged(claim, certainty, rivals))
}

/// Rivals of which the claim says something, and those of the catalogue that it does not name: they are open.
fn all_rivals(claim: &Claim) -> Vec<Rival> {
    let mut all: Vec<Rival> = Vec::new();
    for rival in &claim.rivals {
        if all.iter().all(|known| known.id != rival.id) {
            all.push(rival.clone());
        }
    }
    for kind in claim.kinds() {
        for id in rivals::of(claim.id, kind) {
            if all.iter().all(|known| known.id != id) {
                all.push(Rival::open(id, "nothing was looked at that would tell"));
            }
        }
    }
    all
}

fn certainty(claim: &Claim, rivals: &[Rival]) -> Option<Certainty> {
    let (explained, claimed) = (claim.explained(), claim.claimed());
    // One that explains no failure has no quantity that does not fit.
    let quantity = claimed == 0 || explained as f64 >= claimed as f64 * NEARLY_ALL;
    let (moment, owner) = (claim.is_of_the_moment(), claim.is_of_the_owner());
    match (quantity, moment, owner) {
        (true, true, true) if rivals.iter().all(|rival| rival.ruled_out) => Some(Certainty::Proved),
        (true, true, true) => Some(Certainty::Likely),
        (false, false, false) => None,
        _ => Some(Certainty::Possible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::claim::{Owner, Span};
    use crate::diagnose::{FailureFact, FindingId};
    use crate::model::{Errno, Failure, Side, Stage};
    use std::net::SocketAddr;
    use std::time::Duration;

    fn refused(count: u64) -> FailureFact {
        FailureFact {
            first_at: Duration::from_secs(2),
            last_at: Duration::from_secs(4),
            ..FailureFact::new(Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED), count)
        }
    }

    fn claim(explained: u64, span: Span, owner: Owner) -> Claim {
        Claim::new(FindingId::NothingListens, Side::Target, "it is so")
            .explaining_some(&refused(10), explained)
            .seen(owner, span)
    }

    fn listener() -> Owner {
        Owner::Listener(SocketAddr::from(([127, 0, 0, 1], 80)))
    }

    fn ruled_out(claim: Claim) -> Claim {
        let rivals: Vec<FindingId> = rivals::of(claim.id, refused(1).failure).collect();
        assert!(!rivals.is_empty());
        claim.without(&rivals, "seen")
    }

    fn of(claim: Claim) -> Option<Certainty> {
        judge(claim).map(|finding| finding.certainty)
    }

    #[test]
    fn each_of_the_four_is_needed_for_proof() {
        let whole = || claim(9, Span::Throughout, listener());
        assert_eq!(of(ruled_out(whole())), Some(Certainty::Proved));
        assert_eq!(of(whole()), Some(Certainty::Likely), "no rival was looked at");
        assert_eq!(
            of(ruled_out(claim(8, Span::Throughout, listener()))),
            Some(Certainty::Possible),
            "8 of 10"
        );
        assert_eq!(of(ruled_out(claim(9, Span::Throughout, Owner::Everybody))), Some(Certainty::Possible));
        assert_eq!(of(ruled_out(claim(9, Span::Unknown, listener()))), Some(Certainty::Possible));
        assert_eq!(of(claim(8, Span::Unknown, Owner::Everybody)), None, "nothing fits");
    }

    #[test]
    fn a_cause_begins_before_the_first_failure_and_ends_with_the_last() {
        let s = Duration::from_secs;
        for (from, to, certainty) in [
            (2, 4, Certainty::Proved),
            (1, 9, Certainty::Proved),
            (3, 9, Certainty::Possible),
            (1, 3, Certainty::Possible),
        ] {
            let claim = ruled_out(claim(10, Span::Between(s(from), s(to)), listener()));
            assert_eq!(of(claim), Some(certainty), "{from} to {to}");
        }
    }

    #[test]
    fn one_rival_that_was_not_seen_is_told_with_what_would_tell() {
        let rivals: Vec<FindingId> = rivals::of(FindingId::NothingListens, refused(1).failure).collect();
        let claim = claim(10, Span::Throughout, listener())
            .without(&rivals[1..], "seen")
            .unless(&rivals[..1], "nft list ruleset");
        let finding = judge(claim).unwrap();
        assert_eq!(finding.certainty, Certainty::Likely);
        let open: Vec<&Rival> = finding.rivals.iter().filter(|rival| !rival.ruled_out).collect();
        assert_eq!((open.len(), open[0].id, open[0].by.as_str()), (1, rivals[0], "nft list ruleset"));
    }
}
