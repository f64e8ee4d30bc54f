//! Where an address is, seen from this host.

use crate::linux::addresses::{Neighbour, Route, RouteRefusal};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Scope of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// 127.0.0.0/8 or `::1`: of whatever host says it.
    Loopback,
    /// 10/8, 172.16/12, 192.168/16 (RFC 1918), fc00::/7 (RFC 4193).
    Private,
    /// 100.64/10: behind a provider's NAT (RFC 6598).
    Shared,
    /// 169.254/16, fe80::/10: of one link.
    LinkLocal,
    /// For documentation: 192.0.2/24, 198.51.100/24, 203.0.113/24, 2001:db8::/32. No host has it.
    Documentation,
    /// Any other.
    Public,
}

impl Scope {
    /// The sort of an address.
    pub fn of(address: IpAddr) -> Scope {
        match address {
            IpAddr::V4(v4) => Scope::of_v4(v4),
            IpAddr::V6(v6) => match v6.segments() {
                _ if v6.is_loopback() => Scope::Loopback,
                [0xfe80..=0xfebf, ..] => Scope::LinkLocal,
                [0xfc00..=0xfdff, ..] => Scope::Private,
                [0x2001, 0x0db8, ..] => Scope::Documentation,
                _ => v6.to_ipv4_mapped().map_or(Scope::Public, Scope::of_v4),
            },
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Scope {
        match v4.octets() {
            [127, ..] => Scope::Loopback,
            [100, 64..=127, ..] => Scope::Shared,
            _ if v4.is_private() => Scope::Private,
            _ if v4.is_link_local() => Scope::LinkLocal,
            _ if v4.is_documentation() => Scope::Documentation,
            _ => Scope::Public,
        }
    }

    /// True if it is reached within its own network only.
    pub fn is_private(self) -> bool {
        matches!(self, Scope::Private | Scope::Shared | Scope::LinkLocal)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Scope::Loopback => "loopback",
            Scope::Private => "private",
            Scope::Shared => "shared (behind a provider's NAT)",
            Scope::LinkLocal => "link-local",
            Scope::Documentation => "for documentation only",
            Scope::Public => "public",
        })
    }
}

/// Place of a destination's address, as far as known (`None`: not known).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// Scope of the address.
    pub sort: Scope,
    /// True if it is this host's own.
    pub is_local: Option<bool>,
    /// True if there is a route to it.
    pub has_route: Option<bool>,
    /// The route, where there is one.
    pub route: Option<Route>,
    /// True if it is reached by the default route only.
    pub by_default_route: Option<bool>,
    /// Refusal by the routing table, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RouteRefusal>,
    /// The source address that connect() chooses for it.
    pub source: Option<IpAddr>,
    /// The interface in whose network it lies.
    pub network: Option<String>,
    /// True if its link address is known, or that of the gateway to it; after a connection was tried.
    pub neighbour: Option<Neighbour>,
}

impl Place {
    /// An address of which nothing is known.
    pub fn unknown(address: IpAddr) -> Place {
        Place {
            address,
            sort: Scope::of(address),
            is_local: None,
            has_route: None,
            route: None,
            by_default_route: None,
            refusal: None,
            source: None,
            network: None,
            neighbour: None,
        }
    }

    /// A private address that lies in no network of this host, and to which no route of its own leads: the
    /// client is not in the server's local network.
    pub fn is_private_from_elsewhere(&self) -> bool {
        let no_own_route = self.has_route == Some(false) || self.by_default_route == Some(true);
        self.sort.is_private() && self.is_local == Some(false) && self.network.is_none() && no_own_route
    }

    /// True if it was asked for in its own network, and nobody answered.
    pub fn is_silent_neighbour(&self) -> bool {
        let direct = self.route.as_ref().is_some_and(|route| route.gateway.is_none());
        direct && self.neighbour == Some(Neighbour::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sorted_as_the_registries_have_them() {
        for (address, sort) in [
            ("127.8.0.1", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Public),
            ("fd12::1", Scope::Private),
            ("100.100.0.1", Scope::Shared),
            ("169.254.169.254", Scope::LinkLocal),
            ("fe80::1", Scope::LinkLocal),
            ("198.51.100.7", Scope::Documentation),
            ("2001:db8::1", Scope::Documentation),
            ("::ffff:10.0.0.1", Scope::Private),
            ("2606:4700::1", Scope::Public),
        ] {
            assert_eq!(Scope::of(address.parse().unwrap()), sort, "{address}");
        }
    }

    #[test]
    fn a_private_address_is_elsewhere_only_where_no_network_and_no_route_is_its_own() {
        let mut place = Place {
            is_local: Some(false),
            has_route: Some(true),
            by_default_route: Some(true),
            ..Place::unknown("10.9.8.7".parse().unwrap())
        };
        assert!(place.is_private_from_elsewhere());
        place.by_default_route = Some(false);
        assert!(!place.is_private_from_elsewhere(), "a VPN's route");
        place.has_route = Some(false);
        assert!(place.is_private_from_elsewhere());
        place.network = Some("eth0".into());
        assert!(!place.is_private_from_elsewhere());
        assert!(!Place::unknown("10.9.8.7".parse().unwrap()).is_private_from_elsewhere(), "nothing is known");
    }
}
