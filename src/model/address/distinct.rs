//! Destinations that differ in their IP address: what the kernel is asked about an address is asked once, however many ports
//! there are.

use std::collections::HashSet;
use std::net::SocketAddr;

/// The first of these for each IP address, in their order.
pub fn first_of_each_ip(destinations: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> + '_ {
    let mut seen = HashSet::new();
    destinations.iter().copied().filter(move |to| seen.insert(to.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_make_no_other_address() {
        let all: Vec<SocketAddr> = (1..=64_000)
            .flat_map(|port| {
                [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))]
            })
            .collect();
        let first: Vec<String> = first_of_each_ip(&all).map(|to| to.to_string()).collect();
        assert_eq!(first, ["127.0.0.1:1", "[::1]:1"]);
    }
}
