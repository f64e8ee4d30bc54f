//! Failures that no other finding explains: told as such, with what was seen.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::model::Evidence;

/// A claim for each kind of failure of which the others explain less than nine in ten.
pub(super) fn all(facts: &Facts, claims: &[Claim]) -> Vec<Claim> {
    facts.failures.iter().filter_map(|failed| unexplained(facts, failed, claims)).collect()
}

/// A URL as a shell takes it.
fn quoted(url: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]@,%+".contains(c);
    let bracketed = url.contains('[');
    if url.chars().all(is_plain) && !bracketed {
        url.to_owned()
    } else {
        format!("'{}'", url.replace('\'', "'\\''"))
    }
}

fn unexplained(facts: &Facts, failed: &FailureFact, claims: &[Claim]) -> Option<Claim> {
    let explained: u64 = claims.iter().map(|claim| claim.explained_of(failed.failure)).max().unwrap_or(0);
    let left = failed.count.saturating_sub(explained);
    if left == 0 || explained * 10 >= failed.count * 9 {
        return None;
    }
    let to = failed.lease.map_or(String::new(), |lease| format!(" to {}", lease.destination));
    let says = format!(
        "{left} of {} failures of the kind {}{to} are not explained by anything seen: they came from {:.1} s to {:.1} s, from \
         attempt {} on, beside {} connections that opened",
        failed.count,
        failed.failure,
        failed.first_at.as_secs_f64(),
        failed.last_at.as_secs_f64(),
        failed.first_ordinal + 1,
        facts.opened
    );
    let said = facts.reply_to(failed).and_then(|reply| reply.says.clone());
    Some(
        Claim::new(FindingId::NotExplained, failed.failure.side(), says)
            .explaining_some(failed, left)
            .seen(Owner::Everybody, Span::Unknown)
            .resting_on(
                Evidence::default()
                    .with("error", failed.failure.to_string())
                    .with("failed", failed.count)
                    .with("not_explained", left)
                    .with("opened", facts.opened)
                    .with_known("says", said),
            )
            .remedy(format!(
                "connstorm doctor {}    # one careful connection, with everything that the kernel tells of it",
                facts.url.as_deref().map_or("TARGET".to_owned(), quoted)
            ))
            .remedy("look into the server's log at that time; strace -f -e trace=network of your own program"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, diagnose};
    use crate::model::{Errno, Failure, Stage};

    #[test]
    fn a_failure_that_no_rule_knows_is_told_and_never_proved() {
        let failure = Failure::from_errno(Stage::Connect, Errno(4000));
        let facts = Facts { failures: vec![FailureFact::new(failure, 7)], ..Facts::default() };
        let found = diagnose(&facts);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id, found[0].explains), (FindingId::NotExplained, 7));
        assert_eq!(found[0].certainty, Certainty::Possible);
        assert!(
            found[0].says.starts_with("7 of 7 failures of the kind other at connect"),
            "{}",
            found[0].says
        );
    }
}
