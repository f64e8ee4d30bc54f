//! Surroundings of a target, seen from this host: its name's answers, its addresses and the ways to them, the
//! listeners of this host, proxies. The same for a run and for one careful connection.

use crate::diagnose::{Facts, Name, Place, TargetFacts, is_localhost};
use crate::host::dns;
use crate::host::state::{Owners, listening, proxies, variable};
use crate::linux::addresses::{
    AssignedAddress, Neighbour, RouteKind, assigned, by_default_route, is_local, neighbours, route_refusal,
    route_to, source_for,
};
use crate::model::first_of_each_ip;
use std::net::{IpAddr, SocketAddr};

/// Addresses of which more than their sort is found out.
const LOOKED_AT: usize = 32;

/// The facts about a target at these destinations, and no others. `host` is what the user wrote: a name, or
/// an address. Best taken after connections were tried, when the kernel knows its neighbours.
pub(crate) fn look(host: Option<&str>, destinations: &[SocketAddr], owners: Owners) -> Facts {
    // What can't be seen is unknown, and proves nothing.
    let mut unseen = Vec::new();
    let listening = listening(owners, &mut unseen);
    let facts = Facts { destinations: destinations.to_vec(), listening, ..Facts::default() };
    let server =
        destinations.iter().filter_map(|to| facts.listener_for(*to)).find_map(|at| at.holder.as_ref());
    let process_state = server.and_then(|holder| process_state(holder.pid));
    Facts {
        target: TargetFacts { process_state, ..TargetFacts::default() },
        target_is_local: Some(are_local(destinations)),
        places: places(destinations),
        name: host.and_then(|host| name(host, destinations)),
        proxies: proxies(),
        no_proxy: variable("no_proxy").map(|(_, value)| value),
        ..facts
    }
}

/// State of a process as `/proc/PID/stat` has it; `T` and `t` are stopped.
fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// True if every destination is an address of this host. Not known is no.
pub(crate) fn are_local(destinations: &[SocketAddr]) -> bool {
    all_are(destinations, |ip| is_local(ip).unwrap_or(false))
}

/// True if this holds of every address, of which there is one. Each is asked about once, whatever its ports.
fn all_are(destinations: &[SocketAddr], mut holds: impl FnMut(IpAddr) -> bool) -> bool {
    !destinations.is_empty() && first_of_each_ip(destinations).all(|to| holds(to.ip()))
}

fn places(destinations: &[SocketAddr]) -> Vec<Place> {
    let own = assigned().unwrap_or_default();
    let neighbours = neighbours().unwrap_or_default();
    let addresses = first_of_each_ip(destinations).take(LOOKED_AT);
    addresses.map(|to| place(to, &own, &neighbours)).collect()
}

fn place(to: SocketAddr, own: &[AssignedAddress], neighbours: &[(IpAddr, Neighbour)]) -> Place {
    let address = to.ip();
    let route = route_to(address);
    let known = route.is_ok();
    let route = route.ok().flatten();
    let usable = |kind| matches!(kind, RouteKind::Local | RouteKind::Unicast);
    // On the way out, the gateway's link address is what counts.
    let next = route.as_ref().and_then(|route| route.gateway).unwrap_or(address);
    let in_network = own.iter().find(|own| own.network_contains(address) && !own.tentative && own.prefix > 0);
    Place {
        is_local: known.then(|| route.as_ref().is_some_and(|route| route.kind == RouteKind::Local)),
        has_route: known.then(|| route.as_ref().is_some_and(|route| usable(route.kind))),
        by_default_route: by_default_route(address).ok().flatten(),
        refusal: route_refusal(address),
        source: source_for(to).ok(),
        network: in_network.map(|own| own.interface.clone()),
        neighbour: neighbours.iter().find(|(ip, _)| *ip == next).map(|(_, state)| *state),
        route,
        ..Place::unknown(address)
    }
}

/// Knowledge of a name; nothing of a literal address.
fn name(host: &str, destinations: &[SocketAddr]) -> Option<Name> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let answers = first_of_each_ip(destinations).map(|to| to.ip()).collect();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let in_hosts_file = in_hosts_file(&hosts, host);
    Some(Name { name: host.to_owned(), answers, in_hosts_file, ..Name::default() })
}

/// Asks DNS for a name that the hosts file has, so that an old line there can be told. For a run in which
/// something failed: it may take two seconds.
pub(crate) fn ask_dns(name: &mut Name) {
    if !name.in_hosts_file.is_empty() && !is_localhost(&name.name) {
        name.by_dns = dns::ask(&name.name);
    }
}

/// The addresses that a hosts file has for a name (hosts(5)); names are the same in any case.
fn in_hosts_file(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name.trim_end_matches('.'))).then_some(address)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_about_once_however_many_ports_it_has() {
        let mut asked = 0;
        let mut local = |destinations: &[SocketAddr]| {
            all_are(destinations, |ip| {
                asked += 1;
                ip.is_loopback()
            })
        };
        let mut all: Vec<SocketAddr> = (1..=64_000).map(|port| ([127, 0, 0, 1], port).into()).collect();
        assert!(local(&all) && !local(&[]));
        all.push(([192, 0, 2, 1], 1).into());
        assert!(!local(&all));
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_hosts_file_is_read_as_the_resolver_reads_it() {
        let text = "127.0.0.1 localhost\n# 10.0.0.1 shop.example\n10.0.0.5\tdb Shop.Example # old\nbad shop.example\n";
        assert_eq!(in_hosts_file(text, "shop.example"), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        assert!(in_hosts_file(text, "shop").is_empty());
    }

    #[test]
    fn loopback_is_local_and_has_a_route_of_its_own() {
        let facts = look(Some("127.0.0.1"), &[([127, 0, 0, 9], 80).into()], Owners::Sought);
        assert_eq!(facts.name, None);
        let place = &facts.places[0];
        assert_eq!(
            (place.is_local, place.has_route, place.by_default_route),
            (Some(true), Some(true), Some(false))
        );
        assert!(!place.is_private_from_elsewhere());
    }
}
