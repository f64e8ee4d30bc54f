//! Kinds of failure as the rules see them. The tally keeps failures apart by the step of a conversation and by the error
//! number; a cause does not: the server that resets connections does so in each of their steps. Here such kinds are one.

use super::{Facts, FailureFact};
use crate::model::{Acknowledged, Cause, Failure};
use std::borrow::Cow;

/// The kind without what a cause does not depend on.
fn kind(failure: Failure) -> Failure {
    // The number of an error that has no name of its own is all that is known of it.
    let errno = failure.errno.filter(|_| failure.cause == Cause::Other);
    Failure { errno, step: None, ..failure }
}

impl Facts {
    /// The same with one kind of failure where the tally has several that differ by step or error number only.
    pub(super) fn by_kind(&self) -> Cow<'_, Facts> {
        let is_plain = |at: usize, failed: &FailureFact| {
            let same = |other: &FailureFact| kind(other.failure) == kind(failed.failure);
            failed.failure.step.is_none() && !self.failures[..at].iter().any(same)
        };
        if self.failures.iter().enumerate().all(|(at, failed)| is_plain(at, failed)) {
            return Cow::Borrowed(self);
        }
        let mut joined: Vec<FailureFact> = Vec::new();
        for failed in &self.failures {
            match joined.iter_mut().find(|one| kind(one.failure) == kind(failed.failure)) {
                Some(one) => one.join(failed),
                None => joined.push(failed.without_step()),
            }
        }
        // A reply belongs to the kind that its own has become part of.
        let replies = self.replies.iter().map(|(failure, reply)| {
            let one = joined.iter().find(|one| kind(one.failure) == kind(*failure));
            (one.map_or(*failure, |one| one.failure), reply.clone())
        });
        let replies = replies.collect();
        Cow::Owned(Facts { failures: joined, replies, ..self.clone() })
    }
}

impl FailureFact {
    fn without_step(&self) -> FailureFact {
        let steps = self.failure.step.map(|step| (step, self.count));
        let failure = Failure { step: None, ..self.failure };
        FailureFact { failure, steps: steps.into_iter().collect(), ..self.clone() }
    }

    /// Adds the failures of a kind that differs by step or error number only.
    fn join(&mut self, other: &FailureFact) {
        if (other.first_at, other.first_ordinal) < (self.first_at, self.first_ordinal) {
            (self.first_at, self.first_ordinal, self.lease) =
                (other.first_at, other.first_ordinal, other.lease);
        }
        self.count += other.count;
        self.last_at = self.last_at.max(other.last_at);
        // None at all stands for too many to count.
        self.by_source = joined_counts(&self.by_source, &other.by_source);
        self.by_destination = joined_counts(&self.by_destination, &other.by_destination);
        self.acknowledged = Acknowledged {
            all: self.acknowledged.all + other.acknowledged.all,
            not_all: self.acknowledged.not_all + other.acknowledged.not_all,
            sent_again: self.acknowledged.sent_again + other.acknowledged.sent_again,
        };
        self.answers = added(&self.answers, &other.answers);
        self.at_timeout.extend(&other.at_timeout);
        self.icmp_code = self.icmp_code.or(other.icmp_code);
        self.icmp_offender = self.icmp_offender.or(other.icmp_offender);
        self.ages = match (self.ages, other.ages) {
            (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
            (one, another) => one.or(another),
        };
        self.median_age = self.median_age.max(other.median_age);
        self.steps.extend(other.failure.step.map(|step| (step, other.count)));
    }
}

fn joined_counts<K: Copy + Ord>(one: &[(K, u64)], other: &[(K, u64)]) -> Vec<(K, u64)> {
    if one.is_empty() || other.is_empty() { Vec::new() } else { added(one, other) }
}

/// The sums by key, in the order of the keys.
fn added<K: Copy + Ord>(one: &[(K, u64)], other: &[(K, u64)]) -> Vec<(K, u64)> {
    let mut sums: std::collections::BTreeMap<K, u64> = one.iter().copied().collect();
    for (key, count) in other {
        *sums.entry(*key).or_default() += count;
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{FindingId, diagnose};
    use crate::model::{Errno, Reply, Stage};
    use std::time::Duration;

    fn at_step(step: u16, count: u64, cause: Cause) -> FailureFact {
        let failure = Failure { step: Some(step), ..Failure::new(Stage::Session, cause) };
        let at = |seconds: u16| Duration::from_secs(seconds.into());
        FailureFact { first_at: at(step), last_at: at(step + 3), ..FailureFact::new(failure, count) }
    }

    fn facts(failures: Vec<FailureFact>) -> Facts {
        Facts { opened: 100, started: 100, held_max: 100, failures, ..Facts::default() }
    }

    #[test]
    fn failures_of_several_steps_are_one_kind_with_all_their_numbers() {
        let facts = facts(vec![
            FailureFact { answers: vec![(2, 20)], ..at_step(2, 20, Cause::Reset) },
            FailureFact { answers: vec![(2, 5), (3, 7)], ..at_step(1, 12, Cause::Reset) },
        ]);
        let joined = facts.by_kind();
        assert_eq!(joined.failures.len(), 1);
        let one = &joined.failures[0];
        assert_eq!((one.count, one.failure.step), (32, None));
        assert_eq!((one.first_at, one.last_at), (Duration::from_secs(1), Duration::from_secs(5)));
        assert_eq!(one.answers, [(2, 25), (3, 7)]);
        assert_eq!(one.steps, [(2, 20), (1, 12)]);
    }

    #[test]
    fn one_finding_explains_the_failures_of_all_steps() {
        let facts = facts(vec![at_step(1, 30, Cause::ClosedEarly), at_step(2, 30, Cause::ClosedEarly)]);
        let found = diagnose(&facts);
        assert_eq!((found[0].id, found[0].explains), (FindingId::ClosedByTheServer, 60));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn error_numbers_of_one_cause_are_one_kind_and_unknown_ones_are_not() {
        let of = |errno| FailureFact::new(Failure::from_errno(Stage::Connect, errno), 3);
        let facts = facts(vec![of(Errno::EPIPE), of(Errno::ECONNRESET), of(Errno(4000)), of(Errno(4001))]);
        let counts: Vec<u64> = facts.by_kind().failures.iter().map(|one| one.count).collect();
        assert_eq!(counts, [6, 3, 3]);
    }

    #[test]
    fn a_reply_stays_with_the_kind_that_its_step_is_part_of() {
        let later = at_step(2, 3, Cause::UnexpectedReply);
        let mut facts = facts(vec![at_step(1, 3, Cause::UnexpectedReply), later.clone()]);
        facts.replies = vec![(later.failure, Reply::saying("no such room"))];
        let joined = facts.by_kind();
        assert_eq!(
            joined.reply_to(&joined.failures[0]).and_then(|reply| reply.says.clone()),
            Some("no such room".into())
        );
    }
}
