//! Spread of failures: they belong to some source addresses or destinations, or fell on them by chance. Each is counted
//! against its own share of the attempts before "some of them" is said.

use super::certainty::NEARLY_ALL;
use super::{Facts, FailureFact};
use std::net::{IpAddr, SocketAddr};

/// One in a thousand: so seldom chance does it.
const NORMAL_QUANTILE: f64 = 3.09;

/// Addresses that failed with nearly all of their attempts, while others did not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Concentration<T> {
    /// Those that fail, with the number of their failures.
    pub(super) failing: Vec<(T, u64)>,
    /// Failures that fell on them.
    pub(super) count: u64,
    /// Attempts of each of them that did not fail, by its share of all.
    pub(super) opened: Vec<(T, u64)>,
    /// All addresses.
    pub(super) of: usize,
    /// Loss by chance would do so less than once in a thousand runs.
    pub(super) is_significant: bool,
}

impl<T: Copy + PartialEq> Concentration<T> {
    /// One address, of which nothing is counted.
    pub(super) fn of_one(address: T) -> Concentration<T> {
        Concentration {
            failing: vec![(address, 0)],
            count: 0,
            opened: Vec::new(),
            of: 1,
            is_significant: false,
        }
    }

    /// Attempts that did not fail although their address is one of those that fail.
    pub(super) fn taken(&self) -> u64 {
        self.opened.iter().filter(|(address, _)| self.has(*address)).map(|(_, opened)| opened).sum()
    }

    /// True if an address is one of those that fail.
    pub(super) fn has(&self, address: T) -> bool {
        self.failing.iter().any(|(failing, _)| *failing == address)
    }
}

/// The addresses with attempts in proportion to their weights.
fn concentration<T: Copy + PartialEq>(
    failed: &[(T, u64)],
    weights: &[(T, u64)],
    started: u64,
) -> Option<Concentration<T>> {
    let whole: u64 = weights.iter().map(|(_, weight)| weight).sum();
    if weights.len() < 2 || failed.is_empty() || whole == 0 || started == 0 {
        return None;
    }
    let all: u64 = failed.iter().map(|(_, count)| count).sum();
    let attempts = |weight: u64| started as f64 * weight as f64 / whole as f64;
    let count_of = |who: T| failed.iter().find(|(failed, _)| *failed == who).map_or(0, |(_, count)| *count);
    let rows: Vec<(T, u64, f64)> =
        weights.iter().map(|(who, weight)| (*who, count_of(*who), attempts(*weight))).collect();
    // The last of its attempts may still be under way: one may be missing.
    let fails = |count: u64, of: f64| count > 0 && count as f64 + 1.0 > of.floor() * NEARLY_ALL && of >= 0.9;
    let failing: Vec<(T, u64)> = rows
        .iter()
        .filter(|(_, count, of)| fails(*count, *of))
        .map(|(who, count, _)| (*who, *count))
        .collect();
    let count = failing.iter().map(|(_, count)| count).sum();
    let opened = rows
        .iter()
        .filter(|(_, count, of)| fails(*count, *of))
        // The last may be under way, and shares are seldom whole numbers.
        .map(|(who, count, of)| (*who, (of.floor() as u64).saturating_sub(count + 1)))
        .collect();
    (!failing.is_empty() && failing.len() < weights.len()).then(|| Concentration {
        count,
        opened,
        of: weights.len(),
        is_significant: is_significant(&rows, all, started),
        failing,
    })
}

/// G-test of independence: twice the logarithm of how much likelier the counts are with a rate of failure for
/// each address than with one for all, against the chi-squared distribution (Wilson and Hilferty's
/// approximation).
fn is_significant<T>(rows: &[(T, u64, f64)], failed: u64, started: u64) -> bool {
    let rate = failed as f64 / started as f64;
    let term = |seen: f64, expected: f64| {
        if seen > 0.0 && expected > 0.0 { seen * (seen / expected).ln() } else { 0.0 }
    };
    let g: f64 = rows
        .iter()
        .map(|(_, count, of)| {
            let (count, passed) = (*count as f64, (of - *count as f64).max(0.0));
            2.0 * (term(count, of * rate) + term(passed, of * (1.0 - rate)))
        })
        .sum();
    let degrees = (rows.len() - 1) as f64;
    let width = 2.0 / (9.0 * degrees);
    g > degrees * (1.0 - width + NORMAL_QUANTILE * width.sqrt()).powi(3)
}

impl Facts {
    /// The destinations that failures of these kinds belong to, where others took connections.
    pub(super) fn failing_destinations(&self, kinds: &[&FailureFact]) -> Option<Concentration<SocketAddr>> {
        if self.opened == 0 {
            return None;
        }
        let mut failed: Vec<(SocketAddr, u64)> = Vec::new();
        for (to, count) in kinds.iter().flat_map(|kind| &kind.by_destination) {
            match failed.iter_mut().find(|(known, _)| known == to) {
                Some((_, sum)) => *sum += count,
                None => failed.push((*to, *count)),
            }
        }
        let mut weights: Vec<(SocketAddr, u64)> = Vec::new();
        for to in &self.destinations {
            match weights.iter_mut().find(|(known, _)| known == to) {
                Some((_, weight)) => *weight += 1,
                None => weights.push((*to, 1)),
            }
        }
        concentration(&failed, &weights, self.started)
    }

    /// The source addresses that failures of a kind belong to, where others got connections.
    pub(super) fn failing_sources(&self, failed: &FailureFact) -> Option<Concentration<IpAddr>> {
        if self.opened == 0 {
            return None;
        }
        if !self.source_weights.is_empty() {
            return concentration(&failed.by_source, &self.source_weights, self.started);
        }
        // The weights are not known, and the number is: equal ones.
        let others = self.sources.saturating_sub(failed.by_source.len() as u64);
        let nobody = |n: u64| (IpAddr::from(std::net::Ipv6Addr::from(u128::from(n))), 1);
        let weights: Vec<(IpAddr, u64)> = failed
            .by_source
            .iter()
            .map(|(source, _)| (*source, 1))
            .chain((0..others.min(4096)).map(nobody))
            .collect();
        concentration(&failed.by_source, &weights, self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(failed: &[(u32, u64)], weights: &[u64], started: u64) -> Option<(Vec<u32>, bool)> {
        let weights: Vec<(u32, u64)> = (0..).zip(weights.iter().copied()).collect();
        let found = concentration(failed, &weights, started)?;
        Some((found.failing.iter().map(|(who, _)| *who).collect(), found.is_significant))
    }

    #[test]
    fn a_loss_at_random_over_many_ports_is_of_none_of_them() {
        // 4 % of 240 attempts over 16 ports: 1 to 3 of 15 each on six of them.
        let by_chance = [(0, 1), (3, 3), (7, 2), (8, 1), (11, 1), (15, 2)];
        assert_eq!(of(&by_chance, &[1; 16], 240), None);
    }

    #[test]
    fn an_address_that_fails_with_all_of_its_attempts_is_named() {
        assert_eq!(of(&[(3, 15)], &[1; 16], 240), Some((vec![3], true)));
        assert_eq!(of(&[(0, 50)], &[1, 1], 100), Some((vec![0], true)));
    }

    #[test]
    fn weights_are_shares_of_the_attempts() {
        assert_eq!(of(&[(0, 25)], &[1, 3], 100), Some((vec![0], true)), "a quarter is all that it had");
        assert_eq!(of(&[(0, 25)], &[1, 1], 100), None, "half of what it had");
    }

    #[test]
    fn one_attempt_each_is_no_significance() {
        assert_eq!(of(&[(0, 1)], &[1, 1], 2), Some((vec![0], false)));
    }

    #[test]
    fn all_that_fail_are_not_some() {
        assert_eq!(of(&[(0, 5), (1, 5)], &[1, 1], 10), None);
    }
}
