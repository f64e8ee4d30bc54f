//! A worker's pool of leases: for each attempt a source, a destination and, in explicit mode, a port.

use super::{PortRing, Route, Routes};
use crate::model::{Lease, Part};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// The leases of one worker. Nothing in it is shared with another.
#[derive(Debug)]
pub struct Pool {
    routes: Arc<Routes>,
    part: Part,
    explicit: Option<Explicit>,
}

/// Ports that we choose ourselves.
#[derive(Debug)]
struct Explicit {
    ports: Rc<[u16]>,
    /// Made when a pair is first used: a /16 of sources costs nothing until then.
    rings: HashMap<Route, PortRing, BuildHasherDefault<RouteHasher>>,
    leased: u64,
    capacity: u64,
}

/// Mixes the two numbers of a route. They are our own, so that nobody can choose them to collide, and a tenth of
/// what the standard hasher costs is enough.
#[derive(Debug, Default)]
struct RouteHasher(u64);

impl Hasher for RouteHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // Multiplied by 2^64 ÷ golden ratio, the upper bits depend on all (Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table takes the lowest bits for the place, and the highest to tell neighbours apart.
        self.0 ^ self.0 >> 32
    }
}

/// A lease in the size that an open connection can afford; [`Pool::describe`] spells it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseKey {
    route: Route,
    /// 0: the kernel's choice.
    port: u16,
}

impl Pool {
    /// A pool whose ports the kernel chooses, for one worker.
    pub fn kernel_chooses(routes: Arc<Routes>, part: Part) -> Pool {
        Pool { routes, part, explicit: None }
    }

    /// A pool that leases these ports itself. See [`super::partition`].
    pub fn explicit(routes: Arc<Routes>, part: Part, ports: Rc<[u16]>) -> Pool {
        let capacity = routes.len().saturating_mul(ports.len() as u64);
        let explicit = Some(Explicit { ports, rings: HashMap::default(), leased: 0, capacity });
        Pool { explicit, ..Pool::kernel_chooses(routes, part) }
    }

    /// A lease for an attempt; `None` when every port of every pair is leased.
    ///
    /// Where the kernel chooses ports, pairs follow from the ordinal within the slice alone, so that all workers
    /// of the slice together use them evenly. Where we choose, a worker owns its part of the ports of *every* pair;
    /// it goes round the pairs itself, and round a full one to the next.
    pub fn lease(&mut self, ordinal: u64) -> Option<LeaseKey> {
        let Some(explicit) = &mut self.explicit else {
            return Some(LeaseKey { route: self.routes.choose(self.part.local(ordinal)), port: 0 });
        };
        if explicit.leased >= explicit.capacity {
            return None;
        }
        // Workers start at different pairs, so that they don't all open the same one at once.
        let (worker, workers) = (u64::from(self.part.worker()), u64::from(self.part.workers()));
        let first = self.routes.choose(self.part.local(ordinal) / workers + worker);
        self.routes.all_from(first).find_map(|route| {
            let ports = &explicit.ports;
            let ring = explicit.rings.entry(route).or_insert_with(|| PortRing::new(ports.clone()));
            let port = ring.lease()?;
            explicit.leased += 1;
            Some(LeaseKey { route, port })
        })
    }

    /// Gives a lease back, when the socket that used it is closed.
    pub fn release(&mut self, lease: LeaseKey) {
        let Some(explicit) = &mut self.explicit else { return };
        if let Some(ring) = explicit.rings.get_mut(&lease.route) {
            let before = ring.free();
            ring.release(lease.port);
            explicit.leased -= u64::from(ring.free() - before);
        }
    }

    /// The pair that the ordinal would have used, for an attempt that got no lease.
    pub fn refused(&self, ordinal: u64) -> Lease {
        self.describe(LeaseKey { route: self.routes.choose(self.part.local(ordinal)), port: 0 })
    }

    /// Destination of a lease.
    pub fn destination(&self, lease: LeaseKey) -> SocketAddr {
        self.routes.destination(lease.route)
    }

    /// The lease with its addresses.
    pub fn describe(&self, lease: LeaseKey) -> Lease {
        Lease {
            source: self.routes.source(lease.route),
            port: (lease.port != 0).then_some(lease.port),
            destination: self.routes.destination(lease.route),
        }
    }

    /// Ports leased at the moment; 0 where the kernel chooses.
    pub fn leased(&self) -> u64 {
        self.explicit.as_ref().map_or(0, |e| e.leased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Slice, partition};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn routes(sources: &str, destinations: u16) -> Arc<Routes> {
        let destinations: Vec<_> = (1..=destinations).map(|p| ([127, 0, 0, 1], p).into()).collect();
        Arc::new(Routes::new(&sources.parse().unwrap(), &destinations).unwrap())
    }

    proptest! {
        /// Whatever the numbers of workers, sources and destinations: every tuple is leased once before
        /// any attempt is refused.
        #[test]
        fn the_whole_capacity_is_reached_and_no_tuple_twice(
            sources in 1u32..6, destinations in 1u16..5, workers in 1u32..6, ports in 1u16..40,
        ) {
            let routes = routes(&format!("127.0.0.1-127.0.0.{sources}"), destinations);
            let mut seen = HashSet::new();
            for worker in 0..workers {
                let all: Vec<u16> = (2000..2000 + ports).collect();
                let mine = partition(&all, worker, workers);
                let capacity = u64::from(sources) * u64::from(destinations) * mine.len() as u64;
                let mut pool = Pool::explicit(routes.clone(), Part::new(Slice::WHOLE, worker, workers), mine);
                for n in 0..capacity {
                    let lease = pool.lease(u64::from(worker) + n * u64::from(workers));
                    let lease = pool.describe(lease.expect("capacity is left"));
                    prop_assert!(seen.insert((lease.source, lease.port, lease.destination)));
                }
                prop_assert_eq!(pool.lease(0), None);
                prop_assert_eq!(pool.leased(), capacity);
            }
            prop_assert_eq!(seen.len(), sources as usize * usize::from(destinations) * usize::from(ports));
        }
    }

    proptest! {
        /// Of global ordinals, part 0 of 2 would see only every other source: each slice goes round all of them,
        /// with whatever number of workers.
        #[test]
        fn every_slice_uses_every_source_evenly(
            sources in 1u32..9, counts in proptest::collection::vec(1u32..4, 1..6), workers in 1u32..5,
            rounds in 1u64..4,
        ) {
            let routes = routes(&format!("127.0.0.1-127.0.0.{sources}"), 1);
            let of: u32 = counts.iter().sum();
            let mut first = 0;
            for count in counts {
                let slice = Slice::new(first, count, of).unwrap();
                first += count;
                let attempts = u64::from(sources) * rounds;
                let mut used: HashMap<_, u64> = HashMap::new();
                for worker in 0..workers {
                    let part = Part::new(slice, worker, workers);
                    let mut pool = Pool::kernel_chooses(routes.clone(), part);
                    for local in (u64::from(worker)..attempts).step_by(workers as usize) {
                        let lease = pool.lease(slice.global(local)).unwrap();
                        *used.entry(pool.describe(lease).source).or_default() += 1;
                    }
                }
                prop_assert_eq!(used.len(), sources as usize);
                prop_assert!(used.values().all(|uses| *uses == rounds), "{:?}", used);
            }
        }
    }

    #[test]
    fn what_is_given_back_can_be_leased_again() {
        let mut pool = Pool::explicit(routes("127.0.0.1", 1), Part::new(Slice::WHOLE, 0, 1), [7].into());
        let lease = pool.lease(0).unwrap();
        assert_eq!(pool.lease(1), None);
        pool.release(lease);
        pool.release(lease);
        assert_eq!(pool.leased(), 0);
        assert_eq!(pool.lease(2), Some(lease));
    }
}
