//! The target's name: that it leads nowhere, elsewhere, or to several addresses of which some fail.

use super::{Certainty, Facts, Finding, Name, Scope};
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::IpAddr;

/// The name has no address.
pub(super) fn unresolved(facts: &Facts) -> Option<(u64, Finding)> {
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
    let finding = Finding::new("name-does-not-resolve", Side::Path, Certainty::Proved, says)
        .resting_on(Evidence::default().with("failed", failed).with_known("resolver", error))
        .remedy(format!(
            "getent ahosts {host}    # what the system's resolver says; look for a slip in the name"
        ))
        .remedy("cat /etc/resolv.conf; resolvectl status    # is a name server there, and does it answer?");
    Some((failed.max(1), finding))
}

/// The name leads to another address than the user, or DNS, or good sense expects.
pub(super) fn elsewhere(facts: &Facts) -> Option<(u64, Finding)> {
    let name = facts.name.as_ref().filter(|name| !name.answers.is_empty())?;
    let failed = facts.failed_attempts();
    let (certainty, says, remedy) = unexpected(name).or_else(|| {
        // Without a failure there is nothing that these would explain.
        if failed == 0 { None } else { overridden(name, facts.opened).or_else(|| this_host(name)) }
    })?;
    let evidence = Evidence::default()
        .with("name", name.name.clone())
        .with("answers", listed(&name.answers))
        .with_known("hosts_file", (!name.in_hosts_file.is_empty()).then(|| listed(&name.in_hosts_file)))
        .with_known("dns", (!name.by_dns.is_empty()).then(|| listed(&name.by_dns)))
        .with_known("expected", (!name.expected.is_empty()).then(|| listed(&name.expected)));
    let finding =
        Finding::new("name-leads-elsewhere", Side::Path, certainty, says).resting_on(evidence).remedy(remedy);
    Some((failed, finding))
}

/// Several addresses, of which some fail.
pub(super) fn some_fail(facts: &Facts) -> Option<(u64, Finding)> {
    let failed = facts.failures.iter().find(|failed| facts.only_some_destinations(failed))?;
    let failing: Vec<String> = failed.by_destination.iter().map(|(to, _)| to.to_string()).collect();
    let fine: Vec<String> = facts
        .destinations
        .iter()
        .filter(|to| failed.by_destination.iter().all(|(failing, _)| failing != *to))
        .map(ToString::to_string)
        .collect();
    let whose = facts.name.as_ref().map_or("the target".to_owned(), |name| format!("'{}'", name.name));
    let listens = failed.by_destination.first().map(|(to, _)| to).filter(|to| facts.is_local(to.ip()));
    let local = listens.map_or(String::new(), |to| match facts.listener_for(*to) {
        Some(at) => format!(", although {} listens there", at.described()),
        None => format!(": no socket of this host listens on {to}"),
    });
    let says = format!(
        "{whose} has several addresses, and only some work: {} failed ({}){local}, and {} took connections. A client \
         that tries the wrong one first fails, or is slow",
        failing.join(", "),
        failed.failure,
        fine.join(", ")
    );
    let evidence = Evidence::default()
        .with("failing", failing.join(", "))
        .with("failed", failed.count)
        .with("error", failed.failure.to_string())
        .with("working", fine.join(", "));
    let side = if failed.failure.stage == Stage::Connect { failed.failure.side() } else { Side::Target };
    let finding = Finding::new("some-addresses-fail", side, Certainty::Proved, says)
        .resting_on(evidence)
        .remedy("let the server listen on all of its addresses ([::] and 0.0.0.0)")
        .remedy("or take the addresses that do not work out of DNS or the hosts file");
    Some((failed.count, finding))
}

type Told = (Certainty, String, String);

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
    Some((Certainty::Proved, says, remedy))
}

/// The hosts file has an answer of its own.
fn overridden(name: &Name, opened: u64) -> Option<Told> {
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
        return Some((Certainty::Likely, says, remedy));
    }
    // An entry by hand for another host, at which nothing answers as it should.
    let leads_away = opened == 0 && name.in_hosts_file.iter().all(|ip| Scope::of(*ip) != Scope::Loopback);
    let certainty = if leads_away { Certainty::Likely } else { Certainty::Possible };
    let says = format!(
        "'{}' leads to {} because the hosts file says so, and not DNS: an old line there leads to a server that has \
         moved",
        name.name,
        listed(&name.in_hosts_file)
    );
    Some((certainty, says, remedy))
}

/// A name of some server leads to the very host that asks.
fn this_host(name: &Name) -> Option<Told> {
    let loopback = name.answers.iter().all(|answer| Scope::of(*answer) == Scope::Loopback);
    if !loopback || is_localhost(&name.name) {
        return None;
    }
    let says =
        format!("'{}' leads to {}: to this host itself, and to no server", name.name, listed(&name.answers));
    Some((Certainty::Possible, says, format!("getent ahosts {}", name.name)))
}

/// Whether a name is this host's by definition (RFC 6761).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{FailureFact, diagnose};
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
        assert_eq!(certainty(&facts(hosts.clone()), id), Some(Certainty::Likely));
        let mut some = facts(hosts.clone());
        some.opened = 1;
        assert_eq!(certainty(&some, id), Some(Certainty::Possible), "there is a server");
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
        facts.opened = 1;
        let finding = diagnose(&facts).remove(0);
        assert_eq!((finding.id.as_str(), finding.certainty), ("some-addresses-fail", Certainty::Proved));
        assert!(finding.says.contains("[::1]:80 failed") && finding.says.contains("127.0.0.1:80 took"));
        facts.opened = 0;
        assert_eq!(certainty(&facts, "some-addresses-fail"), None);
    }
}
