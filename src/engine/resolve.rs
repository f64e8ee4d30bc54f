//! The target's name, made into destinations.

use crate::plan::Target;
use std::net::{SocketAddr, ToSocketAddrs};

/// Addresses of the target's name, resolved once, when the run began.
#[derive(Debug, Clone)]
pub enum Destinations {
    /// Every address of the name, with every port of the target.
    Known(Vec<SocketAddr>),
    /// The name service gave no address; why, in its own words. Every attempt fails by it.
    Unresolved(String),
}

impl Destinations {
    /// Asks the system's resolver for every address of the target. May take as long as the resolver does.
    pub fn resolve(target: &Target) -> Destinations {
        let mut addresses = match (target.host.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => addresses.collect::<Vec<_>>(),
            Err(error) => return Destinations::Unresolved(error.to_string()),
        };
        if addresses.is_empty() {
            return Destinations::Unresolved(format!("'{}' has no address", target.host));
        }
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        // The zone of a link-local address is kept: without it connect() fails by EINVAL.
        let with_ports = |address: SocketAddr| {
            target.ports.iter().map(move |&port| {
                let mut address = address;
                address.set_port(port);
                address
            })
        };
        Destinations::Known(addresses.into_iter().flat_map(with_ports).collect())
    }

    /// Destinations of all populations, each once.
    pub fn all(each: &[Destinations]) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for address in each.iter().flat_map(Destinations::addresses) {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all
    }

    /// Reason for which the name could not be resolved, if it could not.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Destinations::Known(_) => None,
            Destinations::Unresolved(why) => Some(why.clone()),
        }
    }

    /// The destinations; none where the name could not be resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Destinations::Known(addresses) => addresses,
            Destinations::Unresolved(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Scheme;

    fn target(host: &str, ports: &[u16]) -> Target {
        Target { scheme: Scheme::Tcp, host: host.into(), ports: ports.into() }
    }

    #[test]
    fn every_address_meets_every_port() {
        let found = Destinations::resolve(&target("::1", &[80, 81]));
        let expected: Vec<SocketAddr> = vec!["[::1]:80".parse().unwrap(), "[::1]:81".parse().unwrap()];
        assert_eq!(found.addresses(), expected);
        let local = Destinations::resolve(&target("localhost", &[7]));
        assert!(local.addresses().contains(&"127.0.0.1:7".parse().unwrap()), "{local:?}");
    }

    #[test]
    fn the_zone_of_a_link_local_address_is_kept() {
        let found = Destinations::resolve(&target("fe80::1%lo", &[80]));
        let [SocketAddr::V6(address)] = found.addresses() else { panic!("{found:?}") };
        assert_eq!((address.scope_id(), address.port()), (1, 80));
    }

    #[test]
    fn a_name_that_does_not_resolve_says_why() {
        let Destinations::Unresolved(why) = Destinations::resolve(&target("no such host", &[80])) else {
            panic!("resolved")
        };
        assert!(!why.is_empty());
    }
}
