//! Source address and destination of the n-th attempt.
//!
//! A pure function of a sequence number, so that any number of workers agree without talking. Over
//! each full cycle every (source, destination) pair is used exactly as often as its weight says:
//! a tuple runs out of ports only when all of them do.

use super::{AddressBlock, AddressSet};
use crate::model::as_connected;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// The pairs of source and destination of a run.
#[derive(Debug, Clone)]
pub struct Routes {
    destinations: Vec<SocketAddr>,
    v4: Cycle,
    v6: Cycle,
}

/// One (source, destination) pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// Number of the source address among those of its family; 0 also where the kernel chooses.
    source: u64,
    destination: u32,
}

/// No pair can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoutesError {
    /// There is no destination at all.
    #[error("the target has no address to connect to")]
    NoDestination,
    /// Sources were given, but none of the family of any destination.
    #[error(
        "no source address is of the family of the target ({destination}): give {family} source addresses, or none"
    )]
    FamilyMismatch {
        /// One of the destinations.
        destination: SocketAddr,
        /// "IPv4" or "IPv6".
        family: &'static str,
    },
}

impl Routes {
    /// Pairs each destination with the sources of its family. Destinations for whose family no source
    /// was given are left out, unless no source was given at all.
    ///
    /// # Errors
    /// When no pair is left.
    pub fn new(sources: &AddressSet, destinations: &[SocketAddr]) -> Result<Routes, RoutesError> {
        let distinct = sources.distinct();
        let (v4, v6) = (Cycle::new(&distinct.of_family(true)), Cycle::new(&distinct.of_family(false)));
        let usable = |d: &&SocketAddr| {
            sources.is_empty() || if d.is_ipv4() { v4.positions > 0 } else { v6.positions > 0 }
        };
        let mut seen = HashSet::new();
        let canonical = destinations.iter().map(|d| SocketAddr::new(d.ip().to_canonical(), d.port()));
        let kept: Vec<SocketAddr> = destinations
            .iter()
            .zip(canonical)
            .map(|(given, plain)| if plain.is_ipv4() { plain } else { *given })
            .filter(|d| usable(&d) && seen.insert(*d))
            .collect();
        if kept.is_empty() {
            return Err(match destinations.first() {
                None => RoutesError::NoDestination,
                Some(&destination) => RoutesError::FamilyMismatch {
                    destination,
                    family: if destination.is_ipv4() { "IPv4" } else { "IPv6" },
                },
            });
        }
        Ok(Routes { destinations: kept, v4, v6 })
    }

    /// The destinations in use.
    pub fn destinations(&self) -> &[SocketAddr] {
        &self.destinations
    }

    /// The number of different pairs.
    pub fn len(&self) -> u64 {
        self.destinations.iter().fold(0, |sum, d| sum.saturating_add(self.cycle(*d).addresses.max(1)))
    }

    /// Never: there is at least one pair.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The pair of the n-th attempt. Destinations alternate fastest.
    pub fn choose(&self, n: u64) -> Route {
        let count = self.destinations.len() as u64;
        let destination = n % count;
        let cycle = self.cycle(self.destinations[destination as usize]);
        Route { source: cycle.source_at(n / count), destination: destination as u32 }
    }

    /// All pairs, each once, beginning with `first`.
    pub fn all_from(&self, first: Route) -> impl Iterator<Item = Route> + '_ {
        let count = self.destinations.len() as u32;
        (0..count).flat_map(move |step| {
            let destination = (first.destination + step) % count;
            let addresses = self.cycle(self.destinations[destination as usize]).addresses.max(1);
            (0..addresses)
                .map(move |s| Route { source: (first.source % addresses + s) % addresses, destination })
        })
    }

    /// The source address of a pair; `None` where the kernel chooses.
    pub fn source(&self, route: Route) -> Option<IpAddr> {
        self.cycle(self.listed(route)).address(route.source)
    }

    /// The destination of a pair, as the kernel has it: see [`as_connected`].
    pub fn destination(&self, route: Route) -> SocketAddr {
        let listed = self.listed(route);
        if listed.ip().is_unspecified() { as_connected(self.source(route), listed) } else { listed }
    }

    fn listed(&self, route: Route) -> SocketAddr {
        self.destinations[route.destination as usize]
    }

    fn cycle(&self, destination: SocketAddr) -> &Cycle {
        if destination.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

/// The addresses of one family, each as many times in a cycle as its weight says.
#[derive(Debug, Clone)]
struct Cycle {
    blocks: Vec<Span>,
    addresses: u64,
    positions: u64,
}

/// A block with what is asked of it at every attempt.
#[derive(Debug, Clone, Copy)]
struct Span {
    block: AddressBlock,
    /// Number of its addresses.
    addresses: u64,
    /// Number of its steps in a cycle.
    positions: u64,
}

impl Cycle {
    fn new(set: &AddressSet) -> Cycle {
        let span = |block: &AddressBlock| Span {
            block: *block,
            addresses: block.len(),
            positions: block.len().saturating_mul(block.weight().into()),
        };
        let blocks: Vec<Span> = set.blocks().iter().map(span).collect();
        let positions = blocks.iter().fold(0u64, |sum, span| sum.saturating_add(span.positions));
        Cycle { addresses: set.len(), positions, blocks }
    }

    /// The number of the address whose turn it is at step `n`.
    fn source_at(&self, n: u64) -> u64 {
        let Some(mut position) = n.checked_rem(self.positions) else { return 0 };
        let mut before = 0;
        for span in &self.blocks {
            if position < span.positions {
                // Round after round of the block, rather than an address `weight` times in a row.
                return before + position % span.addresses;
            }
            position -= span.positions;
            before += span.addresses;
        }
        0
    }

    fn address(&self, mut number: u64) -> Option<IpAddr> {
        for span in &self.blocks {
            if number < span.addresses {
                return Some(span.block.at(number));
            }
            number -= span.addresses;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn routes(sources: &str, destinations: &[&str]) -> Routes {
        let sources = if sources.is_empty() { AddressSet::default() } else { sources.parse().unwrap() };
        let destinations: Vec<SocketAddr> = destinations.iter().map(|d| d.parse().unwrap()).collect();
        Routes::new(&sources, &destinations).unwrap()
    }

    /// FIELD.md §6: 343 of 3,000 failed elsewhere, with 3 × 1,024 ports free.
    #[test]
    fn three_sources_are_used_evenly_by_any_number_of_workers() {
        let routes = routes("127.0.0.2-127.0.0.4", &["127.0.0.1:80"]);
        for workers in 1..=7 {
            let mut used = HashMap::new();
            for worker in 0..workers {
                for ordinal in (worker..3072).step_by(workers as usize) {
                    *used.entry(routes.choose(ordinal)).or_insert(0) += 1;
                }
            }
            assert_eq!(used.values().copied().collect::<Vec<i32>>(), [1024, 1024, 1024], "{workers} workers");
        }
    }

    #[test]
    fn families_are_matched_and_weights_kept() {
        let routes = routes("127.0.0.2 * 3, 127.0.0.3, ::1", &["127.0.0.1:80", "[::1]:80"]);
        assert_eq!(routes.len(), 3);
        let mut used: HashMap<(Option<IpAddr>, SocketAddr), u32> = HashMap::new();
        for n in 0..80 {
            let route = routes.choose(n);
            *used.entry((routes.source(route), routes.destination(route))).or_default() += 1;
        }
        let count = |s: &str, d: &str| used[&(Some(s.parse().unwrap()), d.parse().unwrap())];
        assert_eq!(count("127.0.0.2", "127.0.0.1:80"), 30);
        assert_eq!(count("127.0.0.3", "127.0.0.1:80"), 10);
        assert_eq!(count("::1", "[::1]:80"), 40);
    }

    #[test]
    fn no_source_leaves_the_choice_to_the_kernel() {
        let routes = routes("", &["127.0.0.1:80", "[::1]:80"]);
        assert_eq!(routes.source(routes.choose(1)), None);
        assert_eq!(routes.len(), 2);
    }

    #[test]
    fn a_family_without_sources_is_an_error_with_the_remedy() {
        let sources: AddressSet = "::1".parse().unwrap();
        let error = Routes::new(&sources, &["127.0.0.1:80".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("IPv4 source addresses"), "{error}");
    }

    proptest! {
        #[test]
        fn every_pair_is_offered_once(
            sources in 1u32..40, weight in 1u32..4, destinations in 1u16..9, start in 0u64..1000,
        ) {
            let text = format!("10.0.0.1-10.0.0.{sources} * {weight}");
            let destinations: Vec<SocketAddr> = (1..=destinations).map(|p| ([127, 0, 0, 1], p).into()).collect();
            let routes = Routes::new(&text.parse().unwrap(), &destinations).unwrap();
            let mut all: Vec<Route> = routes.all_from(routes.choose(start)).collect();
            prop_assert_eq!(all[0], routes.choose(start));
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len() as u64, routes.len());
        }
    }
}
