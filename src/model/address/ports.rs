//! The ports that explicit leases come from: which there are, and which is next.
//!
//! Invariant: a port is leased at most once at a time per (source, destination) pair, and comes up
//! again only after every other free port of the pair had its turn.

use std::rc::Rc;

/// The ports that may be leased by one worker, in the order of leasing.
///
/// Of all ports that can be leased, in rising order, part `part` of `parts` gets every `parts`-th: workers never
/// need to agree on a port, and each works over the whole range.
pub fn partition(ports: &[u16], part: u32, parts: u32) -> Rc<[u16]> {
    ports.iter().copied().skip(part as usize).step_by(parts.max(1) as usize).collect()
}

/// The leases of one (source, destination) pair.
#[derive(Debug, Clone)]
pub struct PortRing {
    ports: Rc<[u16]>,
    /// One bit a port, set while it is leased.
    leased: Box<[u64]>,
    free: u32,
    next: u32,
}

impl PortRing {
    /// A ring in which every port is free; leasing starts at the first.
    pub fn new(ports: Rc<[u16]>) -> PortRing {
        let count = u32::try_from(ports.len()).unwrap_or(0);
        PortRing { leased: vec![0; ports.len().div_ceil(64)].into(), free: count, next: 0, ports }
    }

    /// The number of free ports.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Leases the next free port, in the order of the range and round it; `None` when all are leased.
    ///
    /// Costs one look at 64 ports at a time, so it stays flat however full the ring is.
    pub fn lease(&mut self) -> Option<u16> {
        if self.free == 0 {
            return None;
        }
        let index = self.free_at_or_after(self.next).or_else(|| self.free_at_or_after(0))?;
        self.leased[index as usize / 64] |= 1 << (index % 64);
        self.free -= 1;
        self.next = if index as usize + 1 == self.ports.len() { 0 } else { index + 1 };
        Some(self.ports[index as usize])
    }

    /// Gives a port back. A port that was not leased changes nothing.
    pub fn release(&mut self, port: u16) {
        let Ok(index) = self.ports.binary_search(&port) else { return };
        let (word, bit) = (index / 64, 1u64 << (index % 64));
        if self.leased[word] & bit != 0 {
            self.leased[word] &= !bit;
            self.free += 1;
        }
    }

    fn free_at_or_after(&self, start: u32) -> Option<u32> {
        let count = self.ports.len() as u32;
        let mut word = start / 64;
        // Ports before `start` in its own word are passed over.
        let mut free = !*self.leased.get(word as usize)? & (u64::MAX << (start % 64));
        loop {
            if free != 0 {
                let index = word * 64 + free.trailing_zeros();
                return (index < count).then_some(index);
            }
            word += 1;
            free = !*self.leased.get(word as usize)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn leases_go_round_the_ports() {
        let mut ring = PortRing::new([100, 101, 103].into());
        assert_eq!([ring.lease(), ring.lease()], [Some(100), Some(101)]);
        ring.release(100);
        assert_eq!(ring.lease(), Some(103), "100 is free again, but it is not its turn");
        assert_eq!(ring.lease(), Some(100));
        assert_eq!(ring.lease(), None);
        ring.release(102);
        assert_eq!(ring.lease(), None, "an excluded port can't be given back");
    }

    #[test]
    fn parts_share_the_range_without_overlap() {
        let leasable: Vec<u16> = (1024..=65535).filter(|p| p % 10 != 0).collect();
        let parts: Vec<Rc<[u16]>> = (0..3).map(|k| partition(&leasable, k, 3)).collect();
        let mut all: Vec<u16> = parts.iter().flat_map(|p| p.iter().copied()).collect();
        all.sort_unstable();
        assert_eq!(all, leasable);
    }

    #[test]
    fn an_empty_range_has_no_lease() {
        assert_eq!(PortRing::new(partition(&[], 0, 1)).lease(), None);
    }

    proptest! {
        #[test]
        fn no_port_is_ever_leased_twice(
            size in 1u16..300,
            steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..600),
        ) {
            let mut ring = PortRing::new((2000..2000 + size).collect());
            let mut held = BTreeSet::new();
            for (lease, pick) in steps {
                if lease {
                    match ring.lease() {
                        Some(port) => prop_assert!(held.insert(port), "{port} leased twice"),
                        None => prop_assert_eq!(held.len(), usize::from(size)),
                    }
                } else if let Some(&port) = held.iter().nth(usize::from(pick) % held.len().max(1)) {
                    held.remove(&port);
                    ring.release(port);
                }
                prop_assert_eq!(ring.free() as usize, usize::from(size) - held.len());
            }
        }
    }
}
