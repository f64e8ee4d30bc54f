//! No way to the address: no route, no host, a private address of another network.

use super::claim::{Claim, Owner, Span};
use super::rivals::TIMEOUTS;
use super::{Facts, FailureFact, FindingId, Place};
use crate::linux::addresses::RouteRefusal;
use crate::model::{Cause, Errno, Evidence, Side, Stage};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// ICMP destination unreachable, "administratively prohibited" of network, host, and communication (RFC 1812).
const PROHIBITED: [u8; 3] = [9, 10, 13];

/// Causes of "unreachable", all of them.
const OTHERS: &[FindingId] = &[
    FindingId::NoSuchHost,
    FindingId::GatewaySilent,
    FindingId::NoRoute,
    FindingId::RouteForbids,
    FindingId::PrivateAddressOutOfReach,
    FindingId::HostUnreachable,
    FindingId::RefusedByFirewall,
];

/// EHOSTUNREACH and ENETUNREACH, and time-outs where it is known that nobody can answer.
pub(super) fn unreachable(facts: &Facts) -> Option<Claim> {
    kinds(facts).next().and_then(|failed| of_kind(facts, failed))
}

/// The same for further kinds: ICMP messages of other codes are kinds of their own.
pub(super) fn unreachable_otherwise(facts: &Facts) -> Vec<Claim> {
    let others = kinds(facts).skip(1).filter(|failed| failed.failure.cause != Cause::TimedOut);
    others.filter_map(|failed| of_kind(facts, failed)).collect()
}

/// Those that a message tells go before those that were not answered.
fn kinds(facts: &Facts) -> impl Iterator<Item = &FailureFact> {
    [Cause::NetworkUnreachable, Cause::HostUnreachable, Cause::TimedOut].into_iter().flat_map(|cause| {
        let is_it = move |failed: &&FailureFact| {
            (failed.failure.stage, failed.failure.cause) == (Stage::Connect, cause)
        };
        facts.failures.iter().filter(is_it)
    })
}

fn of_kind(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let destination = destination_of(facts, failed)?;
    let unknown = Place::unknown(destination.ip());
    let place = facts.place(destination.ip()).unwrap_or(&unknown);
    let cause = failed.failure.cause;
    let finding = match () {
        // A connection that opened rules out that nobody can be reached.
        () if facts.opened > 0 && cause == Cause::TimedOut => return None,
        () if forbids(place) => return None,
        // A message that says so goes before what the address alone suggests.
        () if failed.icmp_code.is_some_and(|code| PROHIBITED.contains(&code)) => {
            prohibited(destination, failed.icmp_offender)
        }
        () if place.is_private_from_elsewhere() => private(destination, place),
        () if place.is_silent_neighbour() => no_host(destination),
        () if gateway_is_silent(place) => silent_gateway(destination, place),
        () if cause == Cause::TimedOut => return None,
        () if place.has_route == Some(false) => no_route(destination),
        () => by_router(destination, failed.icmp_offender),
    };
    let evidence = Evidence::default()
        .with("destination", destination.to_string())
        .with("failed", failed.count)
        .with("error", failed.failure.to_string())
        .with("address", place.sort.to_string())
        .with_known("icmp_code", failed.icmp_code.map(u32::from))
        .with_known("icmp_from", failed.icmp_offender.map(|by| by.to_string()))
        .with_known("interface", place.route.as_ref().and_then(|route| route.interface.clone()))
        .with_known("gateway", place.route.as_ref().and_then(|route| route.gateway).map(|ip| ip.to_string()));
    Some(with_silent_ones(facts, failed, finding.explaining(failed)).resting_on(evidence))
}

/// Routers limit how many ICMP errors they send (Linux: one a second to each host, `icmp_ratelimit`): attempts that
/// time out beside them, where none opened, have the same cause.
pub(super) fn with_silent_ones(facts: &Facts, failed: &FailureFact, claim: Claim) -> Claim {
    let silent = facts.failed(Stage::Connect, Cause::TimedOut).filter(|_| is_limited_icmp(facts));
    let Some(silent) = silent.filter(|silent| silent.failure != failed.failure) else { return claim };
    let mut claim = claim
        .explaining(silent)
        .without(
            &[FindingId::SomeTimedOut, FindingId::LongRoundTrip, FindingId::GeneratorLate],
            "an ICMP error answered others of the same destination",
        )
        .resting_on(Evidence::default().with("timed_out_beside_it", silent.count));
    claim.says += &format!(
        "; {} further attempts got no answer at all, as ICMP errors are sent at a limited rate (one a second by a Linux router)",
        silent.count
    );
    claim
}

/// True if ICMP errors answered some attempts, and nothing the others.
pub(super) fn is_limited_icmp(facts: &Facts) -> bool {
    let Some(silent) = facts.failed(Stage::Connect, Cause::TimedOut) else { return false };
    let mut by_icmp = facts.failures.iter().filter(|failed| {
        failed.failure.stage == Stage::Connect
            && matches!(
                failed.failure.cause,
                Cause::RefusedIcmp | Cause::HostUnreachable | Cause::NetworkUnreachable
            )
    });
    facts.opened == 0 && silent.by_destination.len() <= 1 && by_icmp.any(|kind| goes_on_beside(kind, silent))
}

/// True if ICMP errors came as long as attempts got no answer: one error at the beginning is not what the attempts of a
/// minute failed of. An attempt that timed out began its timeout earlier.
fn goes_on_beside(icmp: &FailureFact, silent: &FailureFact) -> bool {
    let Some((timeout, _)) = silent.ages else { return true };
    icmp.last_at + RARE >= silent.last_at.saturating_sub(timeout)
        && icmp.first_at <= silent.first_at.saturating_sub(timeout) + RARE
}

/// Time within which a router that limits its ICMP errors sends one.
const RARE: Duration = Duration::from_secs(3);

/// EACCES from bind(): a port below those that anybody may have.
fn port_not_permitted(facts: &Facts, failed: &FailureFact) -> Claim {
    let first = facts.host.ip_unprivileged_port_start.unwrap_or(1024);
    let port = failed.lease.and_then(|lease| lease.port);
    let why = match port {
        Some(port) if port >= first => "A policy (SELinux, seccomp, a cgroup's program) says no".to_owned(),
        _ => format!("Ports below {first} want CAP_NET_BIND_SERVICE"),
    };
    let says = format!(
        "this host does not let this user bind the port{}: bind() failed before a packet was sent. {why}",
        port.map_or(String::new(), |port| format!(" {port}"))
    );
    Claim::new(FindingId::ConnectNotPermitted, Side::Generator, says)
        .explaining(failed)
        .seen(Owner::Attempts, Span::EachAttempt)
        .resting_on(
            Evidence::default()
                .with("failed", failed.count)
                .with("error", failed.failure.to_string())
                .with_known("port", port.map(u32::from))
                .with("ip_unprivileged_port_start", u32::from(first)),
        )
        .remedy(format!("choose ports from {first} on: --ports explicit:{}-65535", first.max(1024)))
        .remedy("sysctl -w net.ipv4.ip_unprivileged_port_start=0    # for every program of this host")
}

/// EACCES or EPERM from bind() or connect().
pub(super) fn not_permitted(facts: &Facts) -> Option<Claim> {
    if let Some(failed) = facts.failed(Stage::Bind, Cause::Permission) {
        return Some(port_not_permitted(facts, failed));
    }
    let failed = facts.failed(Stage::Connect, Cause::Permission)?;
    let prohibited =
        place_of(facts, failed).is_some_and(|place| place.refusal == Some(RouteRefusal::Prohibit));
    let by = if prohibited {
        "A route of the kind prohibit of this host covers the address"
    } else {
        "A policy (SELinux, a cgroup's program) or a rule of the output chain of its firewall says no"
    };
    let says = format!(
        "this host itself does not permit the connection: connect() failed before a packet was sent. {by}"
    );
    let address = destination_of(facts, failed).map_or("ADDRESS".to_owned(), |to| to.ip().to_string());
    Some(
        Claim::new(FindingId::ConnectNotPermitted, Side::Generator, says)
            .explaining(failed)
            .seen(Owner::Attempts, Span::EachAttempt)
            // The error number says that it is this host; a route of the kind prohibit is one of the ways.
            .without(&[FindingId::RouteForbids], "EACCES and EPERM are this host's own answer")
            .resting_on(
                Evidence::default()
                    .with("failed", failed.count)
                    .with("error", failed.failure.to_string())
                    .with_known("route", prohibited.then_some("prohibit")),
            )
            .remedy(format!("ip route get {address}; ip rule; nft list ruleset")),
    )
}

/// A route of this host refuses the address: each kind by its own error number.
pub(super) fn route_forbids(facts: &Facts) -> Option<Claim> {
    let forbidden = |failed: &&FailureFact| {
        failed.failure.stage == Stage::Connect && place_of(facts, failed).is_some_and(forbids)
    };
    let failed = facts.failures.iter().find(forbidden)?;
    let (place, destination) = (place_of(facts, failed)?, destination_of(facts, failed)?);
    let (word, address) = (place.refusal?.word()?, destination.ip());
    let says = format!(
        "a route of the kind {word} of this host covers {address}: connect() fails before a packet is sent ({})",
        failed.failure
    );
    let errno = errno_of(place.refusal?);
    let of_route = |claim: Claim, failed: &FailureFact| {
        let fits = failed.failure.errno == Some(errno);
        claim.explaining_some(failed, if fits { failed.count } else { 0 })
    };
    let kinds = facts.failures.iter().filter(forbidden);
    let kinds = kinds.filter(|kind| destination_of(facts, kind) == Some(destination));
    Some(
        kinds
            .fold(Claim::new(FindingId::RouteForbids, Side::Generator, says), of_route)
            .seen(Owner::Destinations, Span::Throughout)
            .without(
                &[
                    FindingId::NoRoute,
                    FindingId::NoSuchHost,
                    FindingId::GatewaySilent,
                    FindingId::HostUnreachable,
                    FindingId::PrivateAddressOutOfReach,
                    FindingId::RefusedByFirewall,
                    FindingId::ConnectNotPermitted,
                ],
                format!("the routing table itself answers {word}"),
            )
            .resting_on(
                Evidence::default()
                    .with("destination", destination.to_string())
                    .with("failed", failed.count)
                    .with("error", failed.failure.to_string())
                    .with("route", word),
            )
            .remedy(format!(
                "ip route get {address}; ip route show type {word}    # the route, and what put it there"
            ))
            .remedy(format!("ip route del {word} NETWORK    # if it is not meant")),
    )
}

fn forbids(place: &Place) -> bool {
    matches!(place.refusal, Some(RouteRefusal::Blackhole | RouteRefusal::Unreachable))
}

fn errno_of(refusal: RouteRefusal) -> Errno {
    match refusal {
        RouteRefusal::Blackhole => Errno::EINVAL,
        RouteRefusal::Unreachable => Errno::EHOSTUNREACH,
        RouteRefusal::Prohibit => Errno::EACCES,
        RouteRefusal::NoRoute => Errno::ENETUNREACH,
    }
}

fn place_of<'f>(facts: &'f Facts, failed: &FailureFact) -> Option<&'f Place> {
    facts.place(destination_of(facts, failed)?.ip())
}

fn destination_of(facts: &Facts, failed: &FailureFact) -> Option<SocketAddr> {
    failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())
}

fn gateway_is_silent(place: &Place) -> bool {
    place.route.as_ref().is_some_and(|route| route.gateway.is_some())
        && place.neighbour == Some(crate::linux::addresses::Neighbour::Silent)
}

fn private(destination: SocketAddr, place: &Place) -> Claim {
    let no_route = place.has_route == Some(false);
    let way = if no_route {
        "no route leads to it"
    } else {
        "only the default route leads there, and the internet does not forward such addresses"
    };
    let says = format!(
        "{} is an internal address ({}), and this host is in no network that it belongs to: {way}. Client and server \
         are not in the same local network",
        destination.ip(),
        place.sort
    );
    Claim::new(FindingId::PrivateAddressOutOfReach, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(&[FindingId::RouteForbids], "no route of this host forbids it")
        .without_if(
            OTHERS,
            no_route.then_some("the routing table has no route, not even a default one"),
            "ip route get ADDRESS; traceroute -T",
        )
        .without_if(
            TIMEOUTS,
            no_route.then_some("there is no route"),
            "a connection from a host in that network",
        )
        .remedy("connect to the server's public address, or to a name that leads to it")
        .remedy("join its network: a VPN, a tunnel (ssh -L), or a route: ip route add NETWORK via GATEWAY")
}

fn no_host(destination: SocketAddr) -> Claim {
    let says = format!(
        "no host answers to {} in its own network: this host asked for its link address (ARP, or IPv6 neighbour \
         discovery) and got no answer. The server is off, or the address is wrong",
        destination.ip()
    );
    Claim::new(FindingId::NoSuchHost, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(OTHERS, "it is a neighbour, and asked for its link address it did not answer")
        .without(TIMEOUTS, "it is a neighbour, and asked for its link address it did not answer")
        .remedy(format!("ip neigh show {}    # FAILED or INCOMPLETE: nobody answered", destination.ip()))
        .remedy("start the server, or mend the address")
}

fn silent_gateway(destination: SocketAddr, place: &Place) -> Claim {
    let gateway =
        place.route.as_ref().and_then(|route| route.gateway).map_or(String::new(), |ip| ip.to_string());
    let says = format!("the gateway {gateway} on the way to {} does not answer (ARP)", destination.ip());
    Claim::new(FindingId::GatewaySilent, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(OTHERS, "the gateway, asked for its link address, did not answer")
        .without(TIMEOUTS, "the gateway, asked for its link address, did not answer")
        .remedy(format!("ip neigh show {gateway}; ip route get {}", destination.ip()))
}

fn no_route(destination: SocketAddr) -> Claim {
    let says = format!("this host has no route to {}: not even a default route fits", destination.ip());
    Claim::new(FindingId::NoRoute, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(OTHERS, "the routing table answers that there is none")
        .remedy(format!(
            "ip route get {}    # then: ip {}route add default via GATEWAY",
            destination.ip(),
            if destination.is_ipv6() { "-6 " } else { "" }
        ))
        .remedy(if destination.is_ipv6() {
            "use the server's IPv4 address, if this host has no IPv6"
        } else {
            "ip -brief addr show    # is the interface up, and has it its address?"
        })
}

/// Who sent an ICMP message, in words.
fn from(offender: Option<IpAddr>) -> String {
    offender.map_or(String::new(), |by| format!(" from {by}"))
}

fn prohibited(destination: SocketAddr, offender: Option<IpAddr>) -> Claim {
    let says = format!(
        "an ICMP message{} says that {destination} is administratively prohibited: a firewall's reject rule answered",
        from(offender)
    );
    Claim::new(FindingId::RefusedByFirewall, Side::Path, says)
        .seen(Owner::Attempts, Span::EachAttempt)
        .without(OTHERS, "the ICMP message itself says so")
        .remedy("nft list ruleset    # or: iptables -L -n -v, on the server and on the way")
}

fn by_router(destination: SocketAddr, offender: Option<IpAddr>) -> Claim {
    let who = offender.map_or("somebody on the way".to_owned(), |by| by.to_string());
    let says = format!(
        "{who} says by ICMP that {} can't be reached: behind a router no host answers to that address, or a firewall's \
         reject rule says so in its place",
        destination.ip()
    );
    Claim::new(FindingId::HostUnreachable, Side::Path, says).seen(Owner::Attempts, Span::EachAttempt).remedy(
        format!(
            "traceroute -T -p {} {}    # the last that answers says it",
            destination.port(),
            destination.ip()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Certainty;
    use crate::diagnose::diagnose;
    use crate::linux::addresses::{Neighbour, Route, RouteKind};
    use crate::model::{Errno, Failure, Lease};

    fn facts(errno: Errno, place: Place) -> Facts {
        let lease = Lease { source: None, port: None, destination: (place.address, 80).into() };
        let failure = Failure::from_errno(Stage::Connect, errno);
        let failed = FailureFact { lease: Some(lease), ..FailureFact::new(failure, 1) };
        Facts { failures: vec![failed], places: vec![place], syn_retransmits: 1, ..Facts::default() }
    }

    fn place(address: &str, gateway: Option<&str>, neighbour: Option<Neighbour>) -> Place {
        let gateway = gateway.map(|ip| ip.parse().unwrap());
        let route = Route { kind: RouteKind::Unicast, source: None, gateway, interface: Some("eth0".into()) };
        Place {
            is_local: Some(false),
            has_route: Some(true),
            by_default_route: Some(gateway.is_some()),
            network: gateway.is_none().then(|| "eth0".into()),
            route: Some(route),
            neighbour,
            ..Place::unknown(address.parse().unwrap())
        }
    }

    fn first(facts: &Facts) -> (String, Certainty) {
        let finding = diagnose(facts).remove(0);
        (finding.id.to_string(), finding.certainty)
    }

    #[test]
    fn a_host_that_is_not_there_is_proved_by_its_neighbours() {
        let silent = place("10.0.0.9", None, Some(Neighbour::Silent));
        assert_eq!(
            first(&facts(Errno::EHOSTUNREACH, silent.clone())),
            ("no-such-host".into(), Certainty::Proved)
        );
        assert_eq!(first(&facts(Errno::ETIMEDOUT, silent)), ("no-such-host".into(), Certainty::Proved));
        let known = place("10.0.0.9", None, Some(Neighbour::Known));
        assert_eq!(
            first(&facts(Errno::ETIMEDOUT, known.clone())),
            ("dropped-on-the-way".into(), Certainty::Likely)
        );
        assert_eq!(first(&facts(Errno::EHOSTUNREACH, known)), ("host-unreachable".into(), Certainty::Likely));
        let gateway = place("1.1.1.1", Some("10.0.0.1"), Some(Neighbour::Silent));
        assert_eq!(first(&facts(Errno::EHOSTUNREACH, gateway)), ("gateway-silent".into(), Certainty::Proved));
    }

    #[test]
    fn a_private_address_of_another_network_is_likely_and_proved_without_a_route() {
        let away = place("192.168.7.7", Some("10.0.0.1"), Some(Neighbour::Known));
        let likely = ("private-address-out-of-reach".to_owned(), Certainty::Likely);
        assert_eq!(first(&facts(Errno::ETIMEDOUT, away.clone())), likely);
        let without = Place { has_route: Some(false), route: None, ..away };
        assert_eq!(first(&facts(Errno::ENETUNREACH, without)).1, Certainty::Proved);
        let public = Place { has_route: Some(false), ..Place::unknown("1.1.1.1".parse().unwrap()) };
        assert_eq!(first(&facts(Errno::ENETUNREACH, public)), ("no-route".into(), Certainty::Proved));
    }

    #[test]
    fn a_prohibition_is_a_firewalls() {
        let mut facts = facts(Errno::EHOSTUNREACH, place("1.1.1.1", Some("10.0.0.1"), None));
        facts.failures[0].icmp_code = Some(13);
        assert_eq!(first(&facts), ("refused-by-firewall".into(), Certainty::Proved));
    }
}
