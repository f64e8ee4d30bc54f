//! EADDRNOTAVAIL from connect() that is not about ports: IPv6 is off, the source address is not ready, or there is
//! none of that family.

use super::claim::{Claim, Owner, Span};
use super::rivals::NO_PORT;
use super::{Facts, FailureFact, FindingId};
use crate::linux::addresses::RouteRefusal;
use crate::model::{Cause, Evidence, Side, Stage};

/// See the module.
pub(super) fn no_source(facts: &Facts) -> Option<Claim> {
    if let Some(failed) = facts.failed(Stage::Bind, Cause::AddressNotAvailable) {
        return ipv6_source(facts, failed).or_else(|| not_ready(facts, failed));
    }
    let failed = facts.failed(Stage::Connect, Cause::AddressNotAvailable)?;
    ipv6_off(facts, failed).or_else(|| not_ready(facts, failed)).or_else(|| none_of_the_family(facts, failed))
}

/// True if ports can't be what was missing: such a cause was seen.
pub(super) fn is_no_source(facts: &Facts) -> bool {
    no_source(facts).is_some()
}

fn ipv6_off(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let to = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    if !to.is_ipv6() || facts.opened > 0 {
        return None;
    }
    let by_setting =
        facts.moments_of(Stage::Connect, Cause::AddressNotAvailable).find_map(|moment| moment.ipv6_disabled);
    let no_route = facts.place(to.ip()).is_some_and(|place| place.refusal == Some(RouteRefusal::NoRoute));
    // ::1 is every host's own, unless IPv6 is off.
    let loopback_away = to.ip().is_loopback() && no_route;
    if by_setting != Some(true) && !loopback_away {
        return None;
    }
    let says = format!(
        "IPv6 is switched off on this host (or in this container): connect() to {to} failed from the first attempt, for lack of \
         a source address. Ports are not the cause"
    );
    let seen = if loopback_away {
        "this host has no route to ::1, its own address".to_owned()
    } else {
        "disable_ipv6 is 1".to_owned()
    };
    Some(
        Claim::new(FindingId::Ipv6Off, Side::Generator, says)
            .explaining(failed)
            .seen(Owner::Tuple(None, to), Span::Throughout)
            .without(NO_PORT, seen)
            .resting_on(
                Evidence::default()
                    .with("destination", to.to_string())
                    .with("failed", failed.count)
                    .with("first_attempt", failed.first_ordinal + 1)
                    .with("error", failed.failure.to_string()),
            )
            .remedy(format!("use the IPv4 address: 127.0.0.1:{} where it is this host; a name with an A record elsewhere", to.port()))
            .remedy("sysctl net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.lo.disable_ipv6    # 1 is off")
            .remedy("sysctl -w net.ipv6.conf.all.disable_ipv6=0    # in a container: docker run --sysctl net.ipv6.conf.all.disable_ipv6=0"),
    )
}

/// An IPv6 source address on a host without IPv6: it was taken off when IPv6 was switched off.
fn ipv6_source(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let off = facts.moments_of(Stage::Bind, Cause::AddressNotAvailable).find(|moment| {
        moment.ipv6_disabled == Some(true) && moment.source.is_some_and(|from| from.is_ipv6())
    })?;
    let source = off.source?;
    let failed = &failed.of_sources(|from| from.is_ipv6()).unwrap_or_else(|| failed.clone());
    let says = format!(
        "IPv6 is switched off on this host (or in this container), and {source} is an IPv6 address: bind() refused it before any \
         connection was tried. Ports are not the cause, and the address can't be added"
    );
    Some(
        Claim::new(FindingId::Ipv6Off, Side::Generator, says)
            .explaining(failed)
            .seen(Owner::Sources, Span::Throughout)
            .without(
                &[FindingId::SourceAddressNotLocal, FindingId::SourceAddressNotReady, FindingId::AddressDuplicate],
                "disable_ipv6 is 1",
            )
            .resting_on(Evidence::default().with("source", source.to_string()).with("failed", failed.count))
            .remedy("sysctl -w net.ipv6.conf.all.disable_ipv6=0    # in a container: docker run --sysctl net.ipv6.conf.all.disable_ipv6=0")
            .remedy("use IPv4 addresses of this host and of the server"),
    )
}

fn not_ready(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let moment = facts.moments_of(failed.failure.stage, failed.failure.cause).find(|moment| {
        moment.address.as_ref().is_some_and(|address| address.tentative || address.duplicate)
    })?;
    let (address, source) = (moment.address.as_ref()?, moment.source?);
    // Other sources may fail for another reason.
    let failed = &failed.of_sources(|from| from == source).unwrap_or_else(|| failed.clone());
    let (id, state, remedy) = if address.duplicate {
        (
            FindingId::AddressDuplicate,
            "another host on the link has the same address (dadfailed)",
            "ip addr show dev INTERFACE; give one of the two hosts another address",
        )
    } else {
        (
            FindingId::SourceAddressNotReady,
            "duplicate address detection is still under way (tentative)",
            "wait a second or two; or sysctl -w net.ipv6.conf.INTERFACE.accept_dad=0",
        )
    };
    let says = format!("the source address {source} is not usable: {state}. Ports are not the cause");
    let interface = address.interface.clone().unwrap_or_else(|| "INTERFACE".to_owned());
    Some(
        Claim::new(id, Side::Generator, says)
            .explaining(failed)
            .seen(Owner::Tuple(moment.source, moment.destination), Span::Throughout)
            .without(NO_PORT, format!("the flags of {source} on {interface}"))
            .without(&[FindingId::SourceAddressNotLocal], format!("{source} is on {interface}"))
            .resting_on(Evidence::default().with("source", source.to_string()).with("failed", failed.count))
            .remedy(remedy.replace("INTERFACE", &interface)),
    )
}

/// The kernel, asked which address it would connect from, says that it has none.
fn none_of_the_family(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let lease = failed.lease.filter(|lease| lease.source.is_none())?;
    let to = lease.destination;
    let looked =
        facts.moments_of(Stage::Connect, Cause::AddressNotAvailable).find(|moment| moment.lease == lease);
    let place = facts.place(to.ip());
    let seen = looked.is_some_and(|moment| moment.source.is_none())
        || place.is_some_and(|place| place.has_route == Some(true) && place.source.is_none());
    if facts.opened > 0 || !seen {
        return None;
    }
    let family = if to.is_ipv6() { "IPv6" } else { "IPv4" };
    let interface = place.and_then(|place| place.route.as_ref()?.interface.clone());
    let by = interface.as_ref().map_or(String::new(), |name| format!(" by way of {name}"));
    let says = format!(
        "this host has a route to {}{by}, and no {family} address to connect from: connect() failed from the first attempt. \
         Ports are not the cause",
        to.ip()
    );
    let device = interface.as_deref().unwrap_or("INTERFACE");
    Some(
        Claim::new(FindingId::NoSourceAddress, Side::Generator, says)
            .explaining(failed)
            .seen(Owner::Tuple(None, to), Span::Throughout)
            .without(NO_PORT, "the kernel, asked for the source address of that destination, has none")
            .resting_on(
                Evidence::default()
                    .with("destination", to.to_string())
                    .with("failed", failed.count)
                    .with("first_attempt", failed.first_ordinal + 1)
                    .with_known("interface", interface.clone()),
            )
            .remedy(format!(
                "ip addr show dev {device}    # an address of {family}, neither tentative nor deprecated?"
            ))
            .remedy(format!(
                "ip addr add ADDRESS/PREFIX dev {device}; or let DHCP or router advertisements give one"
            ))
            .remedy(if to.is_ipv6() {
                "use the server's IPv4 address, or a name that has one"
            } else {
                "use an address of a network that this host is in"
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, Moment, Place, SourceAddress, diagnose};
    use crate::model::{Errno, Failure, Lease};

    #[test]
    fn ipv6_that_is_off_is_no_want_of_ports() {
        let destination: std::net::SocketAddr = "[::1]:9000".parse().unwrap();
        let lease = Some(Lease { source: None, port: None, destination });
        let failure = Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL);
        let mut facts = Facts {
            destinations: vec![destination],
            failures: vec![FailureFact { lease, ..FailureFact::new(failure, 20) }],
            places: vec![Place { refusal: Some(RouteRefusal::NoRoute), ..Place::unknown(destination.ip()) }],
            ..Facts::default()
        };
        let ids = |facts: &Facts| -> Vec<(FindingId, Certainty)> {
            diagnose(facts).into_iter().map(|found| (found.id, found.certainty)).collect()
        };
        assert_eq!(ids(&facts), [(FindingId::Ipv6Off, Certainty::Proved)]);
        facts.places[0].refusal = None;
        assert_eq!(ids(&facts)[0].0, FindingId::PortsExhausted);
    }

    #[test]
    fn a_host_without_an_address_of_the_family_wants_no_port() {
        let destination: std::net::SocketAddr = "[2001:db8::1]:9000".parse().unwrap();
        let lease = Lease { source: None, port: None, destination };
        let failure = Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL);
        let mut facts = Facts {
            destinations: vec![destination],
            failures: vec![FailureFact { lease: Some(lease), ..FailureFact::new(failure, 20) }],
            moments: vec![Moment::new(failure, lease, 0, std::time::Duration::ZERO)],
            ..Facts::default()
        };
        let found = diagnose(&facts).remove(0);
        assert_eq!((found.id, found.certainty), (FindingId::NoSourceAddress, Certainty::Proved));
        // The kernel has an address for it: then it is the ports.
        facts.moments[0].source = Some("2001:db8::2".parse().unwrap());
        assert_ne!(diagnose(&facts)[0].id, FindingId::NoSourceAddress);
    }

    #[test]
    fn a_duplicate_address_is_not_one_that_is_missing() {
        let source: std::net::IpAddr = "fd00::5".parse().unwrap();
        let lease =
            Lease { source: Some(source), port: None, destination: "[fd00::1]:9000".parse().unwrap() };
        let failure = Failure::from_errno(Stage::Bind, Errno::EADDRNOTAVAIL);
        let mut moment = Moment::new(failure, lease, 0, std::time::Duration::ZERO);
        moment.address = Some(SourceAddress {
            is_local: true,
            interface: Some("eth0".into()),
            tentative: false,
            duplicate: true,
        });
        let facts = Facts {
            failures: vec![FailureFact { lease: Some(lease), ..FailureFact::new(failure, 20) }],
            foreign_sources: vec![source],
            moments: vec![moment],
            ..Facts::default()
        };
        let found = diagnose(&facts);
        assert_eq!((found[0].id, found[0].certainty), (FindingId::AddressDuplicate, Certainty::Proved));
        assert!(
            found.iter().flat_map(|finding| &finding.remedies).all(|remedy| !remedy.contains("ip addr add"))
        );
    }
}
