//! Addresses of this host, and the ways to others.
//!
//! "Local" has two meanings that differ where it matters. The routing table knows whole networks to be
//! local (127.0.0.0/8; `ip route add local 10.0.0.0/24 dev lo`), and bind() takes them in IPv4. In IPv6
//! bind() wants the address itself to be assigned and past duplicate address detection. [`can_bind`]
//! asks bind() itself; [`is_local`] asks the routing table, and is right too where `ip_nonlocal_bind`
//! makes bind() take anything.

use super::netlink::{NLM_F_DUMP, Netlink, attributes, u32_at};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
/// `RTM_F_FIB_MATCH` of `linux/rtnetlink.h`.
const RTM_F_FIB_MATCH: u32 = 0x2000;
/// `sizeof(struct ndmsg)`.
const NEIGHBOUR_BYTES: usize = 12;
/// `sizeof(struct ifaddrmsg)` and `sizeof(struct rtmsg)`.
const ADDRESS_BYTES: usize = 8;
const ROUTE_BYTES: usize = 12;

/// An address assigned to an interface.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AssignedAddress {
    /// The address.
    pub address: IpAddr,
    /// Number of its first bits that are those of its network.
    pub prefix: u8,
    /// The name of the interface.
    pub interface: String,
    /// Not usable yet, or found to be another host's (`IFA_F_TENTATIVE`, `IFA_F_DADFAILED`): bind()
    /// answers EADDRNOTAVAIL.
    pub tentative: bool,
    /// Found to be another host's (`IFA_F_DADFAILED`): it stays unusable.
    #[serde(default)]
    pub duplicate: bool,
}

impl AssignedAddress {
    /// True if an address lies in the same network.
    pub fn network_contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// True if a host of a local network has answered when its link address was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neighbour {
    /// The neighbour's address is known.
    Known,
    /// The neighbour was asked and has not answered, or not yet (`NUD_FAILED`, `NUD_INCOMPLETE`).
    Silent,
}

/// Treatment of a packet by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// Hand it to this host itself.
    Local,
    /// Send it.
    Unicast,
    /// Drop it, or refuse it: broadcast, blackhole, prohibit and the like.
    Other(u8),
}

/// The route to an address.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Route {
    /// Treatment of packets.
    pub kind: RouteKind,
    /// The source address that connect() would choose.
    pub source: Option<IpAddr>,
    /// The next hop, where the destination is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The name of the interface, where there is one.
    pub interface: Option<String>,
}

/// Refusal of an address by the routing table (`fib_props`, net/ipv4/fib_semantics.c): each kind of route has its
/// own error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteRefusal {
    /// A route of the kind `blackhole`: EINVAL.
    Blackhole,
    /// A route of the kind `unreachable`: EHOSTUNREACH.
    Unreachable,
    /// A route of the kind `prohibit`: EACCES.
    Prohibit,
    /// No route at all, or one of the kind `throw` and none behind it: ENETUNREACH.
    NoRoute,
}

impl RouteRefusal {
    fn of(errno: Option<i32>) -> Option<RouteRefusal> {
        match errno? {
            libc::EINVAL => Some(RouteRefusal::Blackhole),
            libc::EHOSTUNREACH => Some(RouteRefusal::Unreachable),
            libc::EACCES => Some(RouteRefusal::Prohibit),
            libc::ENETUNREACH => Some(RouteRefusal::NoRoute),
            _ => None,
        }
    }

    /// The word of `ip route` for it; `None` where there is no route.
    pub fn word(self) -> Option<&'static str> {
        match self {
            RouteRefusal::Blackhole => Some("blackhole"),
            RouteRefusal::Unreachable => Some("unreachable"),
            RouteRefusal::Prohibit => Some("prohibit"),
            RouteRefusal::NoRoute => None,
        }
    }
}

/// Refusal of an address by the routing table; `None` where there is none, or it can't be asked.
pub fn route_refusal(destination: IpAddr) -> Option<RouteRefusal> {
    let request = route_request(destination, 0).ok()?;
    let answer = Netlink::open(None).ok()?.ask(RTM_GETROUTE, 0, &request, |_, _| ControlFlow::Continue(()));
    RouteRefusal::of(answer.err()?.raw_os_error())
}

/// The addresses assigned to the interfaces of the calling thread's namespace. Whole local networks,
/// such as 127.0.0.0/8, appear only as the address that was assigned.
///
/// # Errors
/// What opening a netlink socket or the dump returns.
pub fn assigned() -> io::Result<Vec<AssignedAddress>> {
    let mut found = Vec::new();
    let mut body = [0u8; ADDRESS_BYTES];
    body[0] = libc::AF_UNSPEC as u8;
    Netlink::open(None)?.ask(RTM_GETADDR, NLM_F_DUMP, &body, |kind, body| {
        if kind == RTM_NEWADDR {
            found.extend(parse_address(body));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found
        .into_iter()
        .map(|(index, address)| AssignedAddress { interface: interface_name(index), ..address })
        .collect())
}

/// True if the routing table has an address for this host's own.
///
/// # Errors
/// What the lookup returns, but for "no route", which means no.
pub fn is_local(address: IpAddr) -> io::Result<bool> {
    Ok(route_to(address)?.is_some_and(|route| route.kind == RouteKind::Local))
}

/// True if bind() takes an address: tries it with a UDP socket, which sends nothing.
///
/// # Errors
/// All that bind() returns but EADDRNOTAVAIL, which means no.
pub fn can_bind(address: IpAddr) -> io::Result<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(false),
        Err(error) => Err(error),
    }
}

/// The source address that connect() would choose for a destination: connects a UDP socket, which
/// sends nothing.
///
/// # Errors
/// ENETUNREACH and others, as connect() would return them.
pub fn source_for(destination: SocketAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr =
        if destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((unspecified, 0))?;
    // A port of 0 would be refused; the choice does not depend on it.
    socket.connect((destination.ip(), destination.port().max(1)))?;
    Ok(socket.local_addr()?.ip())
}

/// The route to an address, `None` where there is none.
///
/// # Errors
/// What the lookup returns, but for ENETUNREACH, EHOSTUNREACH, EACCES and EINVAL, which are how the
/// kernel says that there is no route, or one that forbids, or a blackhole.
pub fn route_to(destination: IpAddr) -> io::Result<Option<Route>> {
    let mut found = None;
    let answer = Netlink::open(None)?.ask(RTM_GETROUTE, 0, &route_request(destination, 0)?, |kind, body| {
        if kind == RTM_NEWROUTE {
            found = parse_route(body);
        }
        ControlFlow::Continue(())
    });
    unless_no_route(
        answer.map(|_| found.map(|(index, route)| Route { interface: index.map(interface_name), ..route })),
    )
}

/// `struct rtmsg` and the destination.
fn route_request(destination: IpAddr, flags: u32) -> io::Result<Vec<u8>> {
    let (family, octets) = match destination {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut body = vec![0u8; ROUTE_BYTES];
    body[0] = family as u8;
    body[1] = u8::try_from(octets.len() * 8).unwrap_or_default();
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    super::netlink::push_attribute(&mut body, libc::RTA_DST, &octets)?;
    Ok(body)
}

/// "No route", "forbidden" and "blackhole" are answers, and no errors.
fn unless_no_route<T>(answer: io::Result<Option<T>>) -> io::Result<Option<T>> {
    answer.or_else(|error| match error.raw_os_error() {
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) => Ok(None),
        _ => Err(error),
    })
}

/// True if an address is reached by the default route, where there is no better one. `None` where there is no
/// route at all, or the kernel does not tell which one matched (Linux before 4.13).
///
/// # Errors
/// As [`route_to`].
pub fn by_default_route(destination: IpAddr) -> io::Result<Option<bool>> {
    // The route that matched is asked for, and not the one made of it: its prefix is then its own.
    let mut prefix = None;
    let answer = Netlink::open(None)?.ask(
        RTM_GETROUTE,
        0,
        &route_request(destination, RTM_F_FIB_MATCH)?,
        |kind, body| {
            if kind == RTM_NEWROUTE {
                prefix = body.get(1).copied();
            }
            ControlFlow::Continue(())
        },
    );
    unless_no_route(answer.map(|_| prefix.map(|prefix| prefix == 0)))
}

/// True if the hosts of the local networks answer, as far as they were asked (ARP, IPv6 neighbour discovery).
///
/// # Errors
/// What opening a netlink socket or the dump returns.
pub fn neighbours() -> io::Result<Vec<(IpAddr, Neighbour)>> {
    let mut found = Vec::new();
    let mut body = [0u8; NEIGHBOUR_BYTES];
    body[0] = libc::AF_UNSPEC as u8;
    Netlink::open(None)?.ask(RTM_GETNEIGH, NLM_F_DUMP, &body, |kind, body| {
        if kind == RTM_NEWNEIGH {
            found.extend(parse_neighbour(body));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// `struct ndmsg` and its attributes.
fn parse_neighbour(body: &[u8]) -> Option<(IpAddr, Neighbour)> {
    let header = body.get(..NEIGHBOUR_BYTES)?;
    let state = super::netlink::u16_at(header, 8)?;
    let (_, value) = attributes(&body[NEIGHBOUR_BYTES..]).find(|(kind, _)| *kind == libc::NDA_DST)?;
    let neighbour = match () {
        () if state & (libc::NUD_FAILED | libc::NUD_INCOMPLETE) != 0 => Neighbour::Silent,
        () if state & libc::NUD_NOARP != 0 => return None,
        () => Neighbour::Known,
    };
    Some((address(value)?, neighbour))
}

/// `struct ifaddrmsg` and its attributes: the index of the interface and the address.
fn parse_address(body: &[u8]) -> Option<(u32, AssignedAddress)> {
    let header = body.get(..ADDRESS_BYTES)?;
    let mut flags = u32::from(header[2]);
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(&body[ADDRESS_BYTES..]) {
        match kind {
            libc::IFA_LOCAL => local = address(value),
            libc::IFA_ADDRESS => peer = address(value),
            libc::IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
    }
    let tentative =
        flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) != 0 && flags & libc::IFA_F_OPTIMISTIC == 0;
    // On point-to-point links IFA_ADDRESS is the other end's.
    let address = local.or(peer)?;
    Some((
        u32_at(header, 4)?,
        AssignedAddress {
            address,
            prefix: header[1],
            interface: String::new(),
            tentative,
            duplicate: flags & libc::IFA_F_DADFAILED != 0,
        },
    ))
}

/// `struct rtmsg` and its attributes: the index of the outgoing interface and the route.
fn parse_route(body: &[u8]) -> Option<(Option<u32>, Route)> {
    let header = body.get(..ROUTE_BYTES)?;
    let kind = match header[7] {
        libc::RTN_LOCAL => RouteKind::Local,
        libc::RTN_UNICAST => RouteKind::Unicast,
        other => RouteKind::Other(other),
    };
    let mut route = Route { kind, source: None, gateway: None, interface: None };
    let mut index = None;
    for (kind, value) in attributes(&body[ROUTE_BYTES..]) {
        match kind {
            libc::RTA_PREFSRC => route.source = address(value),
            libc::RTA_GATEWAY => route.gateway = address(value),
            libc::RTA_OIF => index = u32_at(value, 0),
            _ => {}
        }
    }
    Some((index, route))
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(<[u8; 4]>::try_from(value).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(value).ok()?.into()),
        _ => None,
    }
}

/// The name, or `#7` for one that has gone in between.
pub(crate) fn interface_name(index: u32) -> String {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .ok()
        .and_then(|socket| rustix::net::netdevice::index_to_name(socket, index).ok())
        .unwrap_or_else(|| format!("#{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_fresh_namespace_has_the_loopback_and_nothing_else() {
        netns::for_test(|| {
            let assigned = assigned().unwrap();
            let v4 = assigned.iter().find(|a| a.address == ip("127.0.0.1")).unwrap();
            assert_eq!((v4.prefix, v4.interface.as_str(), v4.tentative), (8, "lo", false));
            assert!(v4.network_contains(ip("127.9.9.9")));
            assert!(!v4.network_contains(ip("128.0.0.1")) && !v4.network_contains(ip("::1")));
            assert!(assigned.iter().all(|a| a.interface == "lo"), "{assigned:?}");
            assert!(is_local(ip("127.200.3.4")).unwrap() && can_bind(ip("127.200.3.4")).unwrap());
            assert!(is_local(ip("::1")).unwrap() && can_bind(ip("::1")).unwrap());
            for elsewhere in [ip("192.0.2.1"), ip("2001:db8::1")] {
                assert!(!is_local(elsewhere).unwrap(), "{elsewhere}");
                assert!(!can_bind(elsewhere).unwrap(), "{elsewhere}");
                assert_eq!(route_to(elsewhere).unwrap(), None);
            }
            assert_eq!(source_for("127.0.0.9:80".parse().unwrap()).unwrap(), ip("127.0.0.1"));
            assert!(source_for("192.0.2.1:80".parse().unwrap()).is_err());
            let route = route_to(ip("127.0.0.9")).unwrap().unwrap();
            assert_eq!((route.kind, route.interface.as_deref()), (RouteKind::Local, Some("lo")));
            assert_eq!(route.source, Some(ip("127.0.0.1")));
        });
    }

    #[test]
    fn nonlocal_bind_deceives_bind_and_not_the_routing_table() {
        netns::for_test(|| {
            netns::set_sysctl("net.ipv4.ip_nonlocal_bind", "1").unwrap();
            assert!(can_bind(ip("192.0.2.1")).unwrap());
            assert!(!is_local(ip("192.0.2.1")).unwrap());
        });
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (parse_address(&bytes), parse_route(&bytes));
        }
    }
}
