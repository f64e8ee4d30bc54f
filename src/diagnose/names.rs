//! The target's name: that it leads nowhere, elsewhere, or to several addresses of which some fail.

use super::claim::{Claim, Owner, Span};
use super::spread::Concentration;
use super::{Facts, FailureFact, FindingId, Name, Scope};
use crate::model::{Cause, Evidence, Failure, Side, Stage};
use std::net::{IpAddr, SocketAddr};

/// The name has no address.
pub(super) fn unresolved(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed_by(Cause::NameResolution);
    let error = facts.name.as_ref().and_then(|name| name.error.clone());
    if failed == 0 && error.is_none() {
        return None;
    }
    let name = facts.name.as_ref().map_or("the target's name".to_owned(), |name| format!("'{}'", name.name));
    let says = format!(
        "{name} could not be resolved{}: no connection was tried at all",
        error.as_ref().map_or(String::new(), |error| format!(" ({error})"))
    );
    let host = facts.name.as_ref().map_or("NAME", |name| name.name.as_str());
    let finding = Claim::new(FindingId::NameDoesNotResolve, Side::Path, says)
        .resting_on(Evidence::default().with("failed", failed).with_known("resolver", error))
        .remedy(format!(
            "getent ahosts {host}    # what the system's resolver says; look for a slip in the name"
        ))
        .remedy("cat /etc/resolv.conf; resolvectl status    # is a name server there, and does it answer?");
    let kinds = facts.failures.iter().filter(|kind| kind.failure.cause == Cause::NameResolution);
    Some(kinds.fold(finding, Claim::explaining).seen(Owner::Attempts, Span::EachAttempt))
}

/// The name leads to another address than the user, or DNS, or good sense expects.
pub(super) fn elsewhere(facts: &Facts) -> Option<Claim> {
    let name = facts.name.as_ref().filter(|name| !name.answers.is_empty())?;
    let failed = facts.failed_attempts();
    let (fit, says, remedy) = unexpected(name).or_else(|| {
        // Without a failure there is nothing that these would explain.
        if failed == 0 { None } else { overridden(name).or_else(|| this_host(name)) }
    })?;
    let evidence = Evidence::default()
        .with("name", name.name.clone())
        .with("answers", listed(&name.answers))
        .with_known("hosts_file", (!name.in_hosts_file.is_empty()).then(|| listed(&name.in_hosts_file)))
        .with_known("dns", (!name.by_dns.is_empty()).then(|| listed(&name.by_dns)))
        .with_known("expected", (!name.expected.is_empty()).then(|| listed(&name.expected)));
    let finding =
        Claim::new(FindingId::NameLeadsElsewhere, Side::Path, says).resting_on(evidence).remedy(remedy);
    let kinds = facts.failures.iter().filter(|kind| kind.failure.stage <= Stage::Handshake);
    Some(match fit {
        Fit::Asked => kinds
            .fold(finding, |claim, kind| explained(claim.explaining(kind), kind))
            .seen(Owner::Destinations, Span::Throughout),
        Fit::Contradicted => {
            kinds.fold(finding, Claim::explaining).seen(Owner::Destinations, Span::Throughout)
        }
        // Nothing says that the address is wrong: no failure is explained by it.
        Fit::Suspect => kinds
            .fold(finding, |claim, kind| claim.explaining_some(kind, 0))
            .seen(Owner::Destinations, Span::Unknown),
    })
}

/// Several addresses, of which some fail with all of their attempts, and others do not. `those`: the facts of the ones
/// that fail, alone.
pub(super) fn some_fail(facts: &Facts, those: &Facts, group: &Concentration<SocketAddr>) -> Claim {
    let failing: Vec<String> = group.failing.iter().map(|(to, _)| to.to_string()).collect();
    let mut fine: Vec<SocketAddr> =
        facts.destinations.iter().copied().filter(|to| !fails(facts, group, *to)).collect();
    fine.dedup();
    let fine = fine.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let whose = facts.name.as_ref().map_or("the target".to_owned(), |name| format!("'{}'", name.name));
    let kinds: Vec<String> = those.failures.iter().map(|failed| failed.failure.to_string()).collect();
    let main = those.failures.iter().max_by_key(|failed| failed.count).map(|failed| failed.failure);
    let local = group.failing.first().map(|(to, _)| *to).filter(|to| facts.is_local(to.ip()));
    let listener = local.and_then(|to| facts.listener_for(to));
    let refused = main.is_some_and(|kind| (kind.stage, kind.cause) == (Stage::Connect, Cause::Refused));
    // What is not refused has another cause than a listener that is missing.
    let nobody = refused && listener.is_none() && !facts.listening.is_empty();
    let told = match (local, listener) {
        (Some(_), Some(at)) => format!(", although {} listens there", at.described()),
        (Some(to), None) if nobody => format!(": no socket of this host listens on {to}"),
        _ => String::new(),
    };
    let says = format!(
        "{whose} has several addresses, and only some work: {} failed ({}){told}, and {fine} took connections. A client \
         that tries the wrong one first fails, or is slow",
        failing.join(", "),
        kinds.join("; ")
    );
    let evidence = Evidence::default()
        .with("failing", failing.join(", "))
        .with("failed", facts.failed_attempts())
        .with("failed_at_these", group.count)
        .with("error", kinds.join("; "))
        .with("working", fine);
    let side = main.filter(|kind| kind.stage == Stage::Connect).map_or(Side::Target, Failure::side);
    let nobody = nobody && local.is_some();
    let seen = match (nobody, group.is_significant) {
        (true, _) => Some("no socket listens at the failing address".to_owned()),
        (_, true) => Some(format!("{} of {} failures fell on it", group.count, facts.failed_attempts())),
        _ => None,
    };
    let claim = Claim::new(FindingId::SomeAddressesFail, side, says)
        .seen(Owner::Destinations, Span::EachAttempt)
        .resting_on(evidence);
    let claim = those.failures.iter().fold(claim, Claim::explaining);
    let claim = if nobody {
        let rivals: Vec<FindingId> =
            claim.kinds().flat_map(|kind| super::rivals::of(FindingId::SomeAddressesFail, kind)).collect();
        claim.without_if(&rivals, seen, "more attempts to each address")
    } else {
        // That it is this address is counted; why it fails is not seen.
        claim.without_if(BY_CHANCE, seen, "more attempts to each address")
    };
    claim
        .remedy("let the server listen on all of its addresses ([::] and 0.0.0.0)")
        .remedy("or take the addresses that do not work out of DNS or the hosts file")
}

/// True if an address fails, be it with this group or with another kind of failure.
fn fails(facts: &Facts, group: &Concentration<SocketAddr>, to: SocketAddr) -> bool {
    let all: Vec<&FailureFact> = facts.failures.iter().collect();
    group.has(to) || facts.failing_destinations(&all).is_some_and(|failing| failing.has(to))
}

/// Causes that hit every address alike.
const BY_CHANCE: &[FindingId] = &[
    FindingId::SomeTimedOut,
    FindingId::ListenerAway,
    FindingId::ServerGone,
    FindingId::ConnectionLimit,
    FindingId::RefusedForOneSource,
    FindingId::SomeSourcesTimeOut,
    FindingId::GeneratorLate,
];

/// Signs against the address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The user says that it should be another.
    Asked,
    /// DNS says another.
    Contradicted,
    /// The address looks odd.
    Suspect,
}

/// The address is not the one that was meant: whatever goes wrong there is not the meant server's.
fn explained(claim: Claim, kind: &FailureFact) -> Claim {
    let rivals: Vec<FindingId> = super::rivals::of(FindingId::NameLeadsElsewhere, kind.failure).collect();
    claim.without(&rivals, "the address is not the one that the user expects")
}

type Told = (Fit, String, String);

/// Not what the user said that it should be.
fn unexpected(name: &Name) -> Option<Told> {
    if name.expected.is_empty() || name.answers.iter().any(|answer| name.expected.contains(answer)) {
        return None;
    }
    let says = format!(
        "'{}' leads to {}, and not to {} as expected{}",
        name.name,
        listed(&name.answers),
        listed(&name.expected),
        if name.in_hosts_file.is_empty() { "" } else { "; the answer is the hosts file's, and not DNS's" }
    );
    let remedy = if name.in_hosts_file.is_empty() {
        format!("mend the DNS record of {} (or connect to a CDN's or proxy's address knowingly)", name.name)
    } else {
        format!("grep -n '{}' /etc/hosts    # mend or delete that line", name.name)
    };
    Some((Fit::Asked, says, remedy))
}

/// The hosts file has an answer of its own.
fn overridden(name: &Name) -> Option<Told> {
    if name.in_hosts_file.is_empty() || is_localhost(&name.name) {
        return None;
    }
    let remedy = format!("grep -n '{}' /etc/hosts    # mend or delete that line", name.name);
    if name.by_dns.iter().any(|answer| name.in_hosts_file.contains(answer)) {
        return None;
    }
    if !name.by_dns.is_empty() {
        let says = format!(
            "the hosts file leads '{}' to {}, and DNS to {}: connections go to the hosts file's address",
            name.name,
            listed(&name.in_hosts_file),
            listed(&name.by_dns)
        );
        return Some((Fit::Contradicted, says, remedy));
    }
    // A line in the hosts file alone says nothing: containers have one for every name.
    None
}

/// A name of some server leads to the very host that asks.
fn this_host(name: &Name) -> Option<Told> {
    let loopback = name.answers.iter().all(|answer| Scope::of(*answer) == Scope::Loopback);
    if !loopback || is_localhost(&name.name) {
        return None;
    }
    let says =
        format!("'{}' leads to {}: to this host itself, and to no server", name.name, listed(&name.answers));
    Some((Fit::Suspect, says, format!("getent ahosts {}", name.name)))
}

/// True if a name is this host's by definition (RFC 6761).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, FailureFact, diagnose};
    use crate::model::{Errno, Failure};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn facts(name: Name) -> Facts {
        let failure = Failure::from_errno(Stage::Connect, Errno::ETIMEDOUT);
        Facts { name: Some(name), failures: vec![FailureFact::new(failure, 1)], ..Facts::default() }
    }

    fn named(answers: &[&str]) -> Name {
        Name {
            name: "shop.example".into(),
            answers: answers.iter().map(|text| ip(text)).collect(),
            ..Name::default()
        }
    }

    fn certainty(facts: &Facts, id: &str) -> Option<Certainty> {
        diagnose(facts).into_iter().find(|finding| finding.id == id).map(|finding| finding.certainty)
    }

    #[test]
    fn a_name_without_an_address_is_proved() {
        let name = Name { error: Some("Name or service not known".into()), ..named(&[]) };
        let facts = Facts { name: Some(name), ..Facts::default() };
        assert_eq!(certainty(&facts, "name-does-not-resolve"), Some(Certainty::Proved));
    }

    #[test]
    fn elsewhere_is_proved_by_what_is_expected_only() {
        let id = "name-leads-elsewhere";
        let expecting = |address: &str| Name { expected: vec![ip(address)], ..named(&["10.0.0.5"]) };
        assert_eq!(certainty(&facts(expecting("10.0.0.6")), id), Some(Certainty::Proved));
        assert_eq!(certainty(&facts(expecting("10.0.0.5")), id), None);
        let mut hosts = named(&["10.0.0.5"]);
        hosts.in_hosts_file = vec![ip("10.0.0.5")];
        assert_eq!(
            certainty(&facts(hosts.clone()), id),
            None,
            "a line of the hosts file says nothing by itself"
        );
        hosts.by_dns = vec![ip("203.0.113.5")];
        assert_eq!(certainty(&facts(hosts.clone()), id), Some(Certainty::Likely));
        hosts.by_dns = vec![ip("10.0.0.5")];
        assert_eq!(certainty(&facts(hosts.clone()), id), None, "DNS says the same");
        let mut fine = facts(hosts);
        fine.failures.clear();
        assert_eq!(certainty(&fine, id), None, "nothing failed");
        assert_eq!(certainty(&facts(named(&["127.0.1.1"])), id), Some(Certainty::Possible));
        assert_eq!(certainty(&facts(named(&["10.0.0.5"])), id), None);
    }

    #[test]
    fn addresses_that_fail_are_named_beside_those_that_do_not() {
        let mut facts = facts(named(&["::1", "127.0.0.1"]));
        facts.destinations = vec!["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()];
        facts.failures[0].failure = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        facts.failures[0].by_destination = vec![(facts.destinations[0], 1)];
        (facts.opened, facts.started, facts.target_is_local) = (1, 2, Some(true));
        facts.listening = vec![crate::diagnose::Listening::at("127.0.0.1:80".parse().unwrap(), 128)];
        let finding = diagnose(&facts).remove(0);
        assert_eq!((finding.id.as_str(), finding.certainty), ("some-addresses-fail", Certainty::Proved));
        assert!(finding.says.contains("[::1]:80 failed") && finding.says.contains("127.0.0.1:80 took"));
        let mut unseen = facts.clone();
        unseen.target_is_local = Some(false);
        assert_eq!(certainty(&unseen, "some-addresses-fail"), Some(Certainty::Likely), "one attempt each");
        facts.opened = 0;
        assert_eq!(certainty(&facts, "some-addresses-fail"), None);
    }
}
