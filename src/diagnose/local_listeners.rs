//! A refusal by this host itself: its own listeners tell why.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId, Listening};
use crate::model::{Evidence, Side};
use std::net::SocketAddr;

/// Listeners named, at most.
const NAMED: usize = 5;

/// Cause for which an address of this host refuses.
pub(super) fn local(facts: &Facts, failed: &FailureFact, destination: SocketAddr) -> Claim {
    let port = destination.port();
    if let Some(listener) = facts.listener_for(destination) {
        return rejected(facts, failed, destination, listener);
    }
    let of_port: Vec<&Listening> = facts.listening.iter().filter(|at| at.address.port() == port).collect();
    let sent = resets_sent(facts, failed);
    let passes = facts.filters_nothing().is_some() && facts.has_no_translation().is_some();
    if sent == Resets::ByAnother && !passes {
        let rejects = facts.rules.is_some_and(|rules| rules.rejects > 0 && rules.translates_nothing());
        return if rejects {
            rejected_by_rule(destination)
        } else {
            translated(facts, destination, &of_port)
        };
    }
    let here: Vec<&Listening> = facts
        .listening
        .iter()
        .filter(|at| at.serves(SocketAddr::new(destination.ip(), at.address.port())))
        .collect();
    // A port that is meant as well is no slip.
    let is_meant = |at: &Listening| facts.other_destinations.iter().any(|to| at.serves(*to));
    let near: Vec<&Listening> =
        here.iter().copied().filter(|at| is_slip(at.address.port(), port) && !is_meant(at)).collect();
    let claim = if !of_port.is_empty() {
        let listed = described(&of_port);
        let claim = match of_port.iter().find(|at| at.is_v6_only() && at.address.ip().is_unspecified()) {
            Some(only) if destination.is_ipv4() => v6_only(destination, only),
            _ => another_address(destination, &of_port),
        };
        claim.without(
            &[FindingId::NothingListens, FindingId::ListensOnAnotherAddress, FindingId::ListenerIsV6Only],
            format!("on port {port} listens {listed}"),
        )
    } else if near.is_empty() {
        nothing(destination, &here)
    } else {
        wrong_port(destination, &near)
    };
    let none = format!("no socket of this host listens on {destination}");
    claim
        .seen(Owner::Listener(destination), Span::Throughout)
        .without(
            &[
                FindingId::ListensOnAnotherAddress,
                FindingId::ListenerIsV6Only,
                FindingId::ListenerIsBoundToDevice,
                FindingId::SomeAddressesFail,
            ],
            none,
        )
        .without(
            &[
                FindingId::ListenerAway,
                FindingId::ServerGone,
                FindingId::RefusedForOneSource,
                FindingId::ConnectionLimit,
            ],
            "not one connection was taken",
        )
        .without_if(
            &[FindingId::TranslatedToDeadHost, FindingId::RefusedByFirewall],
            match (sent, passes) {
                (Resets::ByThisHost, _) => {
                    Some(format!("this host's kernel itself sent a RST for each of {}", failed.count))
                }
                (Resets::Unknown, true) => {
                    Some("no rule of this host's packet filter rejects or translates".to_owned())
                }
                _ => None,
            },
            "nft list ruleset: chains of the types nat and filter",
        )
}

/// A rule of this host refuses, and nothing listens behind it.
fn rejected_by_rule(destination: SocketAddr) -> Claim {
    let says = format!(
        "{destination} is an address of this host, whose kernel sent no RST of its own: a rule of its packet filter rejects \
         with tcp reset, and nothing listens on that port"
    );
    Claim::new(FindingId::RefusedByFirewall, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(
            super::rivals::REFUSALS,
            "the RSTs were not the kernel's own, a rule that rejects is there, and none that translates",
        )
        .remedy("nft list ruleset    # or: iptables -S | grep -i reject; its output chain as well")
        .remedy("then start the server: nothing listens on that port either")
}

/// Whose the RSTs are that refused: the kernel counts each that it sends (`OutRsts`); one of a firewall's rule
/// (`nf_send_reset`) or of another host is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resets {
    /// As many as were refused.
    ByThisHost,
    /// Fewer than were refused: others sent them.
    ByAnother,
    /// Not counted, or many more: the counter is everybody's in this namespace.
    Unknown,
}

fn resets_sent(facts: &Facts, failed: &FailureFact) -> Resets {
    match facts.counters.map(|counters| counters.resets_sent) {
        Some(sent) if sent < failed.count.div_ceil(2) => Resets::ByAnother,
        Some(sent) if sent >= failed.count && sent <= failed.count + failed.count.div_ceil(10) => {
            Resets::ByThisHost
        }
        _ => Resets::Unknown,
    }
}

/// The kernel of this host sent no RST, and the connections were refused by one.
fn translated(facts: &Facts, destination: SocketAddr, of_port: &[&Listening]) -> Claim {
    let listens = if of_port.is_empty() { "nothing".to_owned() } else { described(of_port) };
    let says = format!(
        "{destination} is an address of this host, and yet it was not this host's kernel that refused: it sent {} RSTs. \
         A rule leads the connections to another host (DNAT, the published port of a container) in which nothing \
         listens, or a firewall's rule rejects with tcp reset. On that port of this host itself listens {listens}",
        facts.counters.map_or(0, |counters| counters.resets_sent)
    );
    Claim::new(FindingId::TranslatedToDeadHost, Side::Path, says)
        .seen(Owner::Destinations, Span::Throughout)
        .without(
            &[
                FindingId::NothingListens,
                FindingId::ListensOnAnotherAddress,
                FindingId::ListenerIsV6Only,
                FindingId::ListenerIsBoundToDevice,
            ],
            "this host's kernel sent no RST",
        )
        .without(
            &[FindingId::ListenerAway, FindingId::ServerGone, FindingId::RefusedForOneSource, FindingId::ConnectionLimit],
            "not one connection was taken",
        )
        .without_if(
            &[FindingId::RefusedByFirewall],
            facts.rules.is_some_and(|rules| rules.rejects == 0 && rules.unread == 0 && rules.redirects > 0)
                .then_some("a rule of this host redirects connections, and none rejects"),
            "nft list ruleset: a chain of the type nat, or a rule with reject",
        )
        .remedy("nft list ruleset | grep -n dnat    # or: iptables -t nat -S; where does the rule lead?")
        .remedy("docker ps; docker port CONTAINER    # does the program in the container listen on that port, on 0.0.0.0?")
}

/// The server listens at [::], and takes no IPv4.
fn v6_only(destination: SocketAddr, listener: &Listening) -> Claim {
    let says = format!(
        "{} listens on that port for IPv6 only (IPV6_V6ONLY is set), and {destination} is IPv4",
        listener.described()
    );
    Claim::new(FindingId::ListenerIsV6Only, Side::Target, says)
        .resting_on(Evidence::default().with("listens_on", listener.described()).with("ipv6_only", "yes"))
        .remedy("let the server clear IPV6_V6ONLY before bind(), or listen on 0.0.0.0 as well (nginx: listen [::]:PORT ipv6only=off)")
        .remedy(format!("or connect to [::1]:{}", destination.port()))
}

fn another_address(destination: SocketAddr, listeners: &[&Listening]) -> Claim {
    let port = destination.port();
    let mut addresses: Vec<String> = listeners.iter().map(|at| at.address.to_string()).collect();
    addresses.dedup();
    let program = listeners.iter().find_map(|at| at.holder.as_ref());
    let says = format!(
        "nothing listens on {destination}; on port {port} something listens on {} only{}. {}",
        addresses.join(", "),
        program.map_or(String::new(), |holder| format!(" ({}, pid {})", holder.name, holder.pid)),
        if listeners.iter().all(|at| at.address.ip().is_loopback()) {
            "A server that listens on a loopback address (127.0.0.1, ::1) can be reached by that address only"
        } else {
            "A server can be reached only by the addresses that it listens on"
        }
    );
    Claim::new(FindingId::ListensOnAnotherAddress, Side::Target, says)
        .resting_on(Evidence::default().with("listens_on", described(listeners)))
        .remedy(format!("let the server listen on 0.0.0.0:{port} (or [::]:{port})"))
        .remedy(format!("or connect to {}", listeners.first().map_or(destination, |at| at.address)))
}

/// The listener is known; that it is the one that was meant is not.
fn wrong_port(destination: SocketAddr, near: &[&Listening]) -> Claim {
    let other = near.first().map_or(destination, |at| SocketAddr::new(destination.ip(), at.address.port()));
    let says = format!(
        "nothing listens on port {} of this host at all; on a port much like it something does: {}. The port is \
         likely to be wrong",
        destination.port(),
        described(near)
    );
    Claim::new(FindingId::WrongPort, Side::Target, says)
        .resting_on(Evidence::default().with("listens_on", described(near)))
        .remedy(format!("connect to {other}, if that is the server"))
        .remedy("or start the server; then look where it listens: ss -ltnp")
}

fn nothing(destination: SocketAddr, others: &[&Listening]) -> Claim {
    let port = destination.port();
    let says = format!(
        "nothing listens on {destination}: this host answered with RST, and has no listener on port {port} at all. \
         The server is not running, or the port is wrong"
    );
    let elsewhere = (!others.is_empty()).then(|| described(others));
    let finding = Claim::new(FindingId::NothingListens, Side::Target, says)
        .remedy("start the server; then look where it listens: ss -ltnp");
    let finding = match &elsewhere {
        Some(others) => finding.remedy(format!("wrong port? On this address something listens on {others}")),
        None => finding,
    };
    finding.resting_on(Evidence::default().with_known("other_listeners", elsewhere))
}

/// A listener is there, and yet the answer was RST.
fn rejected(facts: &Facts, failed: &FailureFact, destination: SocketAddr, listener: &Listening) -> Claim {
    let sent = resets_sent(facts, failed);
    if let Some(device) = listener.device {
        let says = format!(
            "{} listens on that very address and port, and takes what comes by the interface {device} only \
             (SO_BINDTODEVICE): connections to {destination} by another way are refused",
            listener.described()
        );
        return Claim::new(FindingId::ListenerIsBoundToDevice, Side::Target, says)
            .seen(Owner::Listener(listener.address), Span::Throughout)
            .without(
                &[FindingId::NothingListens, FindingId::ListensOnAnotherAddress, FindingId::ListenerIsV6Only],
                "a listener is at that address",
            )
            .without(&[FindingId::ListenerAway, FindingId::ServerGone, FindingId::ConnectionLimit, FindingId::RefusedForOneSource, FindingId::SomeAddressesFail], "not one connection was taken, and the listener is there")
            .without_if(
                &[FindingId::RefusedByFirewall, FindingId::TranslatedToDeadHost],
                (sent == Resets::ByThisHost).then_some("this host's kernel itself sent the RSTs"),
                "nft list ruleset",
            )
            .resting_on(Evidence::default().with("listens_on", described(&[listener])).with("interface_index", device))
            .remedy("let the server listen without SO_BINDTODEVICE, or connect by that interface: ip link; ss -ltnp");
    }
    if facts.filters_nothing().is_some() && facts.has_no_translation().is_some() {
        return begun_late(destination, listener);
    }
    let says = format!(
        "{} listens on that very address and port, and yet {destination} was refused by RST: a firewall's rule \
         rejects with tcp reset{}, or the listener has begun only just now",
        described(&[listener]),
        if sent == Resets::ByAnother { " (this host's kernel sent none)" } else { "" }
    );
    Claim::new(FindingId::RefusedByFirewall, Side::Path, says)
        .seen(Owner::Listener(listener.address), Span::Throughout)
        .without(
            &[
                FindingId::ListensOnAnotherAddress,
                FindingId::ListenerIsV6Only,
                FindingId::ListenerIsBoundToDevice,
            ],
            format!("{} listens there, for every interface", listener.address),
        )
        .without_if(
            &[FindingId::NothingListens, FindingId::ListenerAway, FindingId::ServerGone],
            (sent == Resets::ByAnother).then_some("this host's kernel sent no RST"),
            "ss -ltn, again: has it begun only just now?",
        )
        .without_if(
            &[FindingId::TranslatedToDeadHost],
            facts.has_no_translation(),
            "nft list ruleset: a chain of the type nat",
        )
        .without(
            &[FindingId::ConnectionLimit, FindingId::RefusedForOneSource, FindingId::SomeAddressesFail],
            "not one connection was taken",
        )
        .resting_on(Evidence::default().with("listens_on", described(&[listener])))
        .remedy("nft list ruleset    # or: iptables -S | grep -i reject; its output chain as well")
}

/// The server listens now, and no rule can have refused.
fn begun_late(destination: SocketAddr, listener: &Listening) -> Claim {
    let says = format!(
        "{} listens on that very address and port now, and no rule of this host refuses: it was not there yet when \
         {destination} refused",
        listener.described()
    );
    Claim::new(FindingId::ListenerAway, Side::Target, says)
        .seen(Owner::Listener(listener.address), Span::Unknown)
        .resting_on(Evidence::default().with("listens_on", described(&[listener])))
        .remedy("try again; let what depends on the server wait until it listens (systemd: After= and a readiness notification)")
}

/// Listeners with their programs, the first few.
pub(super) fn described(listeners: &[&Listening]) -> String {
    let mut named: Vec<String> = listeners.iter().take(NAMED).map(|at| at.described()).collect();
    if listeners.len() > NAMED {
        named.push(format!("and {} more", listeners.len() - NAMED));
    }
    named.join(", ")
}

/// True if one port is a slip of the pen away from another: one digit other, missing or too many, or two
/// neighbours changed places. Shorter numbers than three digits are all like each other.
fn is_slip(one: u16, other: u16) -> bool {
    let (a, b) = (one.to_string().into_bytes(), other.to_string().into_bytes());
    if a == b || a.len().min(b.len()) < 2 || a.len().max(b.len()) < 3 {
        return false;
    }
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    let begins = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let ends = |from: usize| short[from..] == long[from + (long.len() - short.len())..];
    match long.len() - short.len() {
        0 if short[begins + 1..] == long[begins + 1..] => true,
        0 => {
            begins + 1 < short.len()
                && short[begins] == long[begins + 1]
                && short[begins + 1] == long[begins]
                && short[begins + 2..] == long[begins + 2..]
        }
        1 => ends(begins),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::certainty::judge;
    use crate::diagnose::{Certainty, Finding};
    use crate::linux::holders::Holder;
    use crate::linux::proc_net::Counters;
    use crate::model::{Errno, Failure, Stage};
    use proptest::prelude::*;

    fn at(address: &str) -> Listening {
        let holder = Some(Holder { pid: 7, name: "nginx".into() });
        Listening { holder, ..Listening::at(address.parse().unwrap(), 128) }
    }

    fn found(listening: &[&str], destination: &str) -> Finding {
        let listening = listening.iter().map(|address| at(address)).collect();
        let refused = FailureFact::new(Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED), 5);
        let counters = Some(Counters { resets_sent: 5, ..Counters::default() });
        let facts = Facts { listening, counters, ..Facts::default() };
        judge(local(&facts, &refused, destination.parse().unwrap()).explaining(&refused)).unwrap()
    }

    #[test]
    fn a_port_much_like_it_is_the_wrong_port_and_any_other_is_not() {
        let near = found(&["127.0.0.1:9001", "127.0.0.1:22"], "127.0.0.1:9000");
        assert_eq!((near.id.as_str(), near.certainty), ("wrong-port", Certainty::Likely));
        assert!(
            near.says.contains("127.0.0.1:9001 (nginx, pid 7)") && !near.says.contains(":22"),
            "{}",
            near.says
        );
        assert_eq!(near.remedies[0], "connect to 127.0.0.1:9001, if that is the server");
        let far = found(&["127.0.0.1:5432"], "127.0.0.1:9000");
        assert_eq!((far.id.as_str(), far.certainty), ("nothing-listens", Certainty::Proved));
        assert!(far.remedies[1].contains("127.0.0.1:5432"));
        // A port that can't be reached at that address is not the one that was meant.
        assert_eq!(found(&["127.0.0.2:9001"], "127.0.0.1:9000").id, "nothing-listens");
    }

    #[test]
    fn another_address_and_a_rejecting_rule_are_told_apart() {
        assert_eq!(found(&["127.0.0.1:80", "10.0.0.1:81"], "10.0.0.1:80").id, "listens-on-another-address");
        let rejected = found(&["0.0.0.0:80"], "10.0.0.1:80");
        assert_eq!((rejected.id.as_str(), rejected.certainty), ("refused-by-firewall", Certainty::Likely));
    }

    #[test]
    fn slips_of_the_pen() {
        for (one, other) in [(9000, 9001), (8080, 8008), (808, 8080), (443, 4443), (8443, 443), (3000, 3100)]
        {
            assert!(is_slip(one, other) && is_slip(other, one), "{one} {other}");
        }
        for (one, other) in
            [(9000, 9000), (9000, 5432), (22, 80), (80, 8080), (7, 70), (8080, 9090), (80, 443)]
        {
            assert!(!is_slip(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn no_ports_make_it_panic(one: u16, other: u16) {
            prop_assert_eq!(is_slip(one, other), is_slip(other, one));
        }
    }
}
