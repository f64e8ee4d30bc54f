//! A source address that is not this host's.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::IpAddr;

/// EADDRNOTAVAIL from bind(): the address is not local, or an IPv6 address is not ready (tentative).
pub(super) fn not_local(facts: &Facts) -> Option<Claim> {
    let all = facts.failed(Stage::Bind, Cause::AddressNotAvailable)?;
    let told = super::no_source::no_source(facts);
    // One that is there and not ready is told by its own rule; others may be missing beside it.
    let not_ready: Vec<IpAddr> = facts
        .moments_of(Stage::Bind, Cause::AddressNotAvailable)
        .filter(|moment| moment.address.as_ref().is_some_and(|address| address.is_local))
        .filter_map(|moment| moment.source)
        .collect();
    let missing: Vec<IpAddr> =
        facts.foreign_sources.iter().copied().filter(|source| !not_ready.contains(source)).collect();
    let is_missing = |source: IpAddr| missing.contains(&source);
    let failed = match told {
        Some(_) if missing.is_empty() || all.by_source.is_empty() => return None,
        Some(told) => {
            let theirs = all.of_sources(is_missing)?;
            if told.explained() + theirs.count > all.count {
                return None;
            }
            theirs
        }
        None => all.clone(),
    };
    let failed = &failed;
    let known: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let address = known
        .first()
        .cloned()
        .or_else(|| failed.lease?.source.map(|source| source.to_string()))
        .unwrap_or_else(|| "the source address".to_owned());
    let others = if known.len() > 1 { format!(" (and so {})", known[1..].join(", ")) } else { String::new() };
    let says = format!(
        "{address}{others} is not an address of this host: bind() refused it with \"Cannot assign requested address\" \
         before any connection from it was tried. Ports are not the cause"
    );
    let evidence = Evidence::default()
        .with("failed", failed.count)
        .with("error", failed.failure.to_string())
        .with_known("not_local", (!known.is_empty()).then(|| known.join(", ")));
    let prefix = if address.contains(':') { 128 } else { 32 };
    // To another host only an address of the interface that leads there finds its answers.
    let to = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied());
    let place = to.filter(|to| !facts.is_local(to.ip())).and_then(|to| facts.place(to.ip()));
    let device = place.and_then(|place| place.route.as_ref()?.interface.clone()).unwrap_or("lo".to_owned());
    let finding = Claim::new(FindingId::SourceAddressNotLocal, Side::Generator, says)
        .explaining(failed)
        .seen(Owner::Sources, Span::Throughout)
        .without_if(
            &[FindingId::SourceAddressNotReady, FindingId::AddressDuplicate, FindingId::Ipv6Off],
            (!known.is_empty()).then(|| format!("{} is in no list of this host's addresses", known.join(", "))),
            "ip addr show",
        )
        .resting_on(evidence)
        // An address that is there already can't be added.
        .remedy(if known.is_empty() {
            format!("ip addr show to {address}    # is it there, and ready?")
        } else {
            format!("ip addr add {address}/{prefix} dev {device}")
        })
        .remedy(format!("ip route add local {address}/{prefix} dev lo    # for a whole block: its CIDR (IPv6 also wants sysctl net.ipv6.ip_nonlocal_bind=1)"))
        .remedy("ip -brief addr show    # use an address that this host has");
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, FailureFact, diagnose};
    use crate::model::{Errno, Failure, Lease};

    #[test]
    fn proved_only_where_the_address_was_looked_up() {
        let source = Some("192.0.2.1".parse().unwrap());
        let mut facts = Facts {
            failures: vec![FailureFact {
                first_ordinal: 0,
                lease: Some(Lease { source, port: None, destination: ([127, 0, 0, 1], 1).into() }),
                ..FailureFact::new(Failure::from_errno(Stage::Bind, Errno::EADDRNOTAVAIL), 3)
            }],
            ..Facts::default()
        };
        assert_eq!(diagnose(&facts)[0].certainty, Certainty::Likely);
        facts.foreign_sources = source.into_iter().collect();
        let finding = &diagnose(&facts)[0];
        assert_eq!((finding.id.as_str(), finding.certainty), ("source-address-not-local", Certainty::Proved));
        assert!(finding.remedies[0].contains("ip addr add 192.0.2.1/32"));
    }
}
