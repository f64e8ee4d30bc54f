//! Proxy software in the way. Connstorm itself connects directly, whatever the variables say.

use super::claim::{Claim, Owner, Span};
use super::rivals::REFUSALS;
use super::{Facts, FailureFact, FindingId, Proxy, ProxyListener, exempted};
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::SocketAddr;

/// The proxy itself was the destination, as for programs that obey the variables.
fn refuses(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed(Stage::Connect, Cause::Refused).filter(|_| facts.opened == 0)?;
    let destination = failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())?;
    let proxy = facts.proxy_at(destination)?;
    let (name, shown) = (&proxy.name, proxy.shown());
    let says = format!(
        "{destination} is the proxy that {name} names ({shown}), and it is the proxy that refuses: nothing listens \
         there. Programs that obey the variable fail so for every target, whether that works or not; proxy software \
         that was ended leaves its settings behind"
    );
    let sure = proxy.listener(&facts.listening) == ProxyListener::None;
    let evidence = Evidence::default().with("proxy", format!("{name}={shown}")).with("refused", failed.count);
    let finding = Claim::new(FindingId::ProxyInTheWay, Side::Path, says)
        .resting_on(evidence)
        .explaining(failed)
        .seen(Owner::Destinations, Span::Throughout)
        .without_if(
            REFUSALS,
            sure.then(|| format!("{destination} is the proxy's own address, and no socket listens there")),
            "ss -ltn on the proxy's host",
        )
        .remedy(format!("unset {name}    # then connect to the target itself"))
        .remedy("or start the proxy again");
    Some(finding)
}

/// Proxy variables that hold for a target that can't be reached directly.
pub(super) fn in_the_way(facts: &Facts) -> Option<Claim> {
    if let Some(finding) = refuses(facts) {
        return Some(finding);
    }
    let causes = [
        Cause::Refused,
        Cause::RefusedIcmp,
        Cause::TimedOut,
        Cause::HostUnreachable,
        Cause::NetworkUnreachable,
    ];
    let kinds: Vec<&FailureFact> =
        causes.iter().filter_map(|cause| facts.failed(Stage::Connect, *cause)).collect();
    let failed: u64 = kinds.iter().map(|fact| fact.count).sum();
    let hold: Vec<&Proxy> = facts.proxies.iter().filter(|_| !facts.is_exempted()).collect();
    let proxy = *hold.first()?;
    if failed == 0
        || facts.target_is_local == Some(true) && proxy.listener(&facts.listening) != ProxyListener::None
    {
        return None;
    }
    let named: Vec<String> = hold.iter().map(|proxy| format!("{}={}", proxy.name, proxy.shown())).collect();
    let dead = hold.iter().any(|proxy| proxy.listener(&facts.listening) == ProxyListener::None);
    let says = if dead {
        format!(
            "a proxy is set ({}) and nothing listens there: programs that obey it are refused before they come to the \
             target. Connstorm went to the target directly, and failed there as well",
            named.join(", ")
        )
    } else {
        format!(
            "a proxy is set ({}): in this network direct connections may be refused or dropped, and only the proxy gets \
             out. Connstorm went to the target directly; programs that obey the variable do not",
            named.join(", ")
        )
    };
    let finding = Claim::new(FindingId::ProxyInTheWay, Side::Path, says)
        .resting_on(Evidence::default().with("proxies", named.join(", ")).with("failed", failed))
        .remedy(format!("unset {}", hold.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(" ")))
        .remedy(format!("or leave the target out: export no_proxy={}", facts.host_as_named()));
    // Connstorm itself did not go by the proxy: nothing that failed is explained by it.
    Some(
        kinds
            .into_iter()
            .fold(finding, |claim, kind| claim.explaining_some(kind, 0))
            .seen(Owner::Process, Span::Unknown),
    )
}

impl Facts {
    /// The target's host as programs are told of it.
    fn host_as_named(&self) -> String {
        let address = || self.destinations.first().map_or("HOST".to_owned(), |to| to.ip().to_string());
        self.name.as_ref().map_or_else(address, |name| name.name.clone())
    }

    /// The proxy whose address this is.
    pub(super) fn proxy_at(&self, destination: SocketAddr) -> Option<&Proxy> {
        self.proxies.iter().find(|proxy| proxy.address() == Some(destination))
    }

    /// True if `no_proxy` leaves the target out.
    fn is_exempted(&self) -> bool {
        let Some(no_proxy) = &self.no_proxy else { return false };
        let by_name = self.name.as_ref().is_some_and(|name| exempted(no_proxy, &name.name));
        by_name || self.destinations.iter().any(|to| exempted(no_proxy, &to.ip().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, FailureFact, Listening, diagnose};
    use crate::model::{Errno, Failure};

    #[test]
    fn a_proxy_is_no_more_than_possible_and_only_where_something_failed() {
        let failure = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        let mut facts = Facts {
            destinations: vec![([203, 0, 113, 7], 80).into()],
            proxies: vec![Proxy::new("http_proxy", "http://proxy.example:3128")],
            failures: vec![FailureFact::new(failure, 1)],
            ..Facts::default()
        };
        let of = |facts: &Facts| diagnose(facts).into_iter().find(|finding| finding.id == "proxy-in-the-way");
        assert_eq!(of(&facts).unwrap().certainty, Certainty::Possible);
        facts.no_proxy = Some("203.0.113.7".into());
        assert_eq!(of(&facts), None);
        facts.no_proxy = None;
        facts.failures.clear();
        assert_eq!(of(&facts), None);
    }

    #[test]
    fn a_proxy_that_refuses_is_not_the_server() {
        let failure = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        let at = |port| ([127, 0, 0, 1], port).into();
        let mut facts = Facts {
            destinations: vec![at(3128)],
            target_is_local: Some(true),
            listening: vec![Listening::at(at(9000), 128)],
            proxies: vec![Proxy::new("http_proxy", "http://127.0.0.1:3128")],
            failures: vec![FailureFact::new(failure, 5)],
            ..Facts::default()
        };
        let ids = |facts: &Facts| -> Vec<(String, Certainty)> {
            diagnose(facts).into_iter().map(|finding| (finding.id.to_string(), finding.certainty)).collect()
        };
        assert_eq!(ids(&facts), [("proxy-in-the-way".into(), Certainty::Proved)]);
        facts.listening.clear();
        assert_eq!(
            ids(&facts),
            [("proxy-in-the-way".into(), Certainty::Likely)],
            "nothing seen proves nothing"
        );
        facts.proxies = vec![Proxy::new("http_proxy", "http://127.0.0.1:3129")];
        assert_eq!(ids(&facts)[0].0, "nothing-listens");
    }
}
