//! Parts of a run that are judged alone: destinations that fail with all of their attempts while others take
//! connections, sources that do, and the rest. What else failed is counted without them, so that no cause claims the
//! failures of another.

use super::claim::Claim;
use super::spread::Concentration;
use super::{Facts, FailureFact, ListenerNow, Moment, TargetFacts, names, no_source, refused, timeout};
use crate::linux::proc_net::Counters;
use crate::model::{Acknowledged, Cause, Lease, Stage};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// One part.
pub(super) struct Part<'f> {
    pub(super) facts: Cow<'f, Facts>,
    /// The claim that sets it apart.
    pub(super) told: Option<Claim>,
    pub(super) whose: Whose,
}

/// See [`Part`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Destinations that fail with all of their attempts: the claim says which, and further ones why.
    Destinations,
    /// Source addresses that do: the claim says all that is known.
    Sources,
    /// Everything else, or the whole run.
    Rest,
}

/// The parts; the rest goes last.
pub(super) fn of(facts: &Facts) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = Cow::Borrowed(facts);
    for group in failing_destinations(facts) {
        let those = rest.only(&group);
        parts.push(Part {
            told: Some(names::some_fail(facts, &those, &group)),
            facts: Cow::Owned(those),
            whose: Whose::Destinations,
        });
        rest = Cow::Owned(rest.without(&group));
    }
    for cause in [Cause::Refused, Cause::TimedOut] {
        let Some((told, those)) = failing_sources(&rest, cause) else { continue };
        let (one, others) = rest.by_sources(cause, &those);
        parts.push(Part { facts: Cow::Owned(one), told: Some(told), whose: Whose::Sources });
        rest = Cow::Owned(others);
    }
    parts.push(Part { facts: rest, told: None, whose: Whose::Rest });
    parts
}

/// Destinations that fail with all of their attempts, one group for each kind that most of their failures are of.
fn failing_destinations(facts: &Facts) -> Vec<Concentration<SocketAddr>> {
    let counted: Vec<&FailureFact> =
        facts.failures.iter().filter(|failed| is_of_one(facts, failed)).collect();
    let Some(all) = facts.failing_destinations(&counted) else { return Vec::new() };
    let at = |failed: &FailureFact, to: SocketAddr| {
        failed.by_destination.iter().find(|(known, _)| *known == to).map_or(0, |(_, count)| *count)
    };
    let mut groups: Vec<(usize, Concentration<SocketAddr>)> = Vec::new();
    for (to, count) in &all.failing {
        let main = (0..counted.len()).max_by_key(|kind| (at(counted[*kind], *to), std::cmp::Reverse(*kind)));
        let Some(main) = main else { continue };
        match groups.iter_mut().find(|(kind, _)| *kind == main) {
            Some((_, group)) => {
                group.failing.push((*to, *count));
                group.count += count;
            }
            None => {
                let failing = vec![(*to, *count)];
                groups.push((main, Concentration { failing, count: *count, ..all.clone() }));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// True if a destination can be the cause of such a failure. What this machine lacks is lacking whatever the
/// destination, but for a source address of its family.
fn is_of_one(facts: &Facts, failed: &FailureFact) -> bool {
    match (failed.failure.stage, failed.failure.cause) {
        (Stage::Lease | Stage::Bind, _) | (_, Cause::ProcessFileLimit | Cause::SystemFileLimit) => false,
        (_, Cause::AddressNotAvailable) => failed
            .by_destination
            .iter()
            .any(|(to, _)| no_source::is_no_source(&Facts { opened: 0, ..facts.at(*to) })),
        _ => true,
    }
}

/// Sources that fail with all of their attempts, and what is said of them.
fn failing_sources(facts: &Facts, cause: Cause) -> Option<(Claim, Concentration<IpAddr>)> {
    let failed = facts.failed(Stage::Connect, cause)?;
    let sources = facts.failing_sources(failed).filter(|sources| sources.is_significant)?;
    // A listener demands signatures of single addresses.
    let signed = facts.counters.is_some_and(|counters| counters.unsigned() > 0);
    if signed && cause == Cause::TimedOut {
        return None;
    }
    let claim = match cause {
        Cause::Refused => refused::for_some_sources(facts, failed, &sources),
        _ => timeout::for_some_sources(facts, failed, &sources),
    };
    Some((claim, sources))
}

impl Facts {
    /// The facts of one destination alone, of a part whose destinations fail with all of their attempts.
    pub(super) fn at(&self, to: SocketAddr) -> Facts {
        let alone = self.only(&Concentration::of_one(to));
        let count = alone.started;
        Facts { syn_retransmits: count.min(self.syn_retransmits), opened: self.opened, ..alone }
    }

    /// The facts of some destinations alone.
    fn only(&self, group: &Concentration<SocketAddr>) -> Facts {
        let failures: Vec<FailureFact> =
            self.failures.iter().filter_map(|failed| failed.of_destinations(|to| group.has(to))).collect();
        Facts {
            destinations: self.destinations.iter().copied().filter(|to| group.has(*to)).collect(),
            started: failures.iter().map(|failed| failed.count).sum(),
            opened: group.taken(),
            held_max: group.taken(),
            // Those that time out have sent theirs again.
            syn_retransmits: self.syn_retransmits.min(group.count),
            target_is_local: Some(group.failing.iter().all(|(to, _)| self.is_local(to.ip()))),
            plateau: None,
            refusals: None,
            slow_search: None,
            connect_min: None,
            ..self.split(failures, |to| group.has(to))
        }
    }

    /// The facts without some destinations.
    fn without(&self, group: &Concentration<SocketAddr>) -> Facts {
        let failures: Vec<FailureFact> =
            self.failures.iter().filter_map(|failed| failed.of_destinations(|to| !group.has(to))).collect();
        let destinations: Vec<SocketAddr> =
            self.destinations.iter().copied().filter(|to| !group.has(*to)).collect();
        let timed_out = |failures: &[FailureFact]| -> u64 {
            let kinds = failures.iter().filter(|failed| {
                (failed.failure.stage, failed.failure.cause) == (Stage::Connect, Cause::TimedOut)
            });
            kinds.map(|failed| failed.count).sum()
        };
        // Those of the others have sent their SYN again.
        let sent_again = timed_out(&self.failures).saturating_sub(timed_out(&failures));
        Facts {
            started: self.started.saturating_sub(group.count),
            syn_retransmits: self.syn_retransmits.saturating_sub(sent_again),
            target_is_local: Some(destinations.iter().all(|to| self.is_local(to.ip()))),
            destinations,
            ..self.split(failures, |to| !group.has(to))
        }
    }

    /// Facts of a part: numbers that belong to all destinations together are not known of one.
    fn split(&self, failures: Vec<FailureFact>, has: impl Fn(SocketAddr) -> bool) -> Facts {
        let refused = |failures: &[FailureFact]| -> u64 {
            let refused = |failed: &&FailureFact| failed.failure.cause == Cause::Refused;
            failures.iter().filter(refused).map(|failed| failed.count).sum()
        };
        let elsewhere = refused(&self.failures).saturating_sub(refused(&failures));
        let here = self.moments.iter().filter(|moment| has(moment.lease.destination));
        let moments: Vec<Moment> = here.cloned().collect();
        Facts {
            failures,
            counters: self.counters.map(|counters| Counters {
                // Those that refused elsewhere are not of this part.
                resets_sent: counters.resets_sent.saturating_sub(elsewhere),
                ..counters
            }),
            other_destinations: self
                .other_destinations
                .iter()
                .chain(self.destinations.iter().filter(|to| !has(**to)))
                .copied()
                .collect(),
            server_table: None,
            unaccepted: self.unaccepted.filter(|to| has(*to)),
            target: target_of(&moments),
            moments,
            ..self.clone()
        }
    }

    /// The failures of some sources by one cause, and everything else.
    fn by_sources(&self, cause: Cause, sources: &Concentration<IpAddr>) -> (Facts, Facts) {
        let is_it =
            |failed: &FailureFact| (failed.failure.stage, failed.failure.cause) == (Stage::Connect, cause);
        let (one, mut others) = (self.clone(), self.clone());
        let failures = self.failures.iter().filter(|failed| is_it(failed));
        let theirs = failures.filter_map(|failed| failed.of_sources(|from| sources.has(from))).collect();
        others.failures = self
            .failures
            .iter()
            .filter_map(|failed| {
                if is_it(failed) {
                    failed.of_sources(|from| !sources.has(from))
                } else {
                    Some(failed.clone())
                }
            })
            .collect();
        others.started = others.started.saturating_sub(sources.count);
        if cause == Cause::TimedOut {
            // Each of theirs has sent its SYN again.
            others.syn_retransmits = others.syn_retransmits.saturating_sub(sources.count);
        }
        others.source_weights.retain(|(from, _)| !sources.has(*from));
        others.sources = others.sources.saturating_sub(sources.failing.len() as u64);
        (Facts { failures: theirs, ..one }, others)
    }
}

impl FailureFact {
    /// The part of these failures that belongs to some destinations; all where they are not counted by destination.
    fn of_destinations(&self, has: impl Fn(SocketAddr) -> bool) -> Option<FailureFact> {
        let by_destination = kept(&self.by_destination, &has);
        let lease = match self.lease {
            Some(lease) if !has(lease.destination) => {
                by_destination.first().map(|(to, _)| Lease { port: None, destination: *to, ..lease })
            }
            lease => lease,
        };
        let part = self.part(&self.by_destination, &by_destination)?;
        let by_source = if part.count == self.count { part.by_source } else { Vec::new() };
        Some(FailureFact { by_destination, by_source, lease, ..part })
    }

    /// The part of these failures that belongs to some source addresses; all where they are not counted by source.
    pub(super) fn of_sources(&self, has: impl Fn(IpAddr) -> bool) -> Option<FailureFact> {
        let by_source = kept(&self.by_source, &has);
        let lease = match self.lease {
            Some(lease) if lease.source.is_some_and(|from| !has(from)) => {
                by_source.first().map(|(from, _)| Lease { port: None, source: Some(*from), ..lease })
            }
            lease => lease,
        };
        let part = self.part(&self.by_source, &by_source)?;
        let by_destination = if part.count == self.count { part.by_destination } else { Vec::new() };
        Some(FailureFact { by_source, by_destination, lease, ..part })
    }

    /// A part by its counts. What was counted of all failures together is not known of some.
    fn part<K>(&self, all: &[(K, u64)], kept: &[(K, u64)]) -> Option<FailureFact> {
        let count: u64 = kept.iter().map(|(_, count)| count).sum();
        if all.is_empty() || count >= self.count {
            return Some(self.clone());
        }
        (count > 0).then(|| FailureFact {
            count,
            acknowledged: Acknowledged::default(),
            answers: Vec::new(),
            at_timeout: Vec::new(),
            ..self.clone()
        })
    }
}

/// State of the listeners there, by the looks at the moment of failures.
fn target_of(moments: &[Moment]) -> TargetFacts {
    let listeners =
        moments.iter().filter(|moment| !moment.after_the_end).filter_map(|at| at.listener.as_ref());
    TargetFacts {
        queue_seen_full: listeners.clone().any(ListenerNow::is_full),
        half_open_max: listeners.filter_map(|at| at.half_open).max().map(u64::from),
        ..TargetFacts::default()
    }
}

fn kept<K: Copy>(counts: &[(K, u64)], has: impl Fn(K) -> bool) -> Vec<(K, u64)> {
    counts.iter().copied().filter(|(key, _)| has(*key)).collect()
}
