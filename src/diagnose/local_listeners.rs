//! A refusal by this host itself: its own listeners tell why.

use super::{Certainty, Facts, Finding, Listening};
use crate::model::{Evidence, Side};
use std::net::SocketAddr;

/// Listeners named, at most.
const NAMED: usize = 5;

/// Why an address of this host refuses.
pub(super) fn local(facts: &Facts, destination: SocketAddr) -> Finding {
    let port = destination.port();
    if let Some(listener) = facts.listener_for(destination) {
        return rejected(destination, listener);
    }
    let of_port: Vec<&Listening> = facts.listening.iter().filter(|at| at.address.port() == port).collect();
    if !of_port.is_empty() {
        return another_address(destination, &of_port);
    }
    let here: Vec<&Listening> = facts
        .listening
        .iter()
        .filter(|at| at.serves(SocketAddr::new(destination.ip(), at.address.port())))
        .collect();
    let near: Vec<&Listening> = here.iter().copied().filter(|at| is_slip(at.address.port(), port)).collect();
    if near.is_empty() { nothing(destination, &here) } else { wrong_port(destination, &near) }
}

fn another_address(destination: SocketAddr, listeners: &[&Listening]) -> Finding {
    let port = destination.port();
    let mut addresses: Vec<String> = listeners.iter().map(|at| at.address.to_string()).collect();
    addresses.dedup();
    let program = listeners.iter().find_map(|at| at.holder.as_ref());
    let says = format!(
        "nothing listens on {destination}; on port {port} something listens on {} only{}. {}",
        addresses.join(", "),
        program.map_or(String::new(), |holder| format!(" ({}, pid {})", holder.name, holder.pid)),
        if listeners.iter().all(|at| at.address.ip().is_loopback()) {
            "A server that listens on 127.0.0.1 can be reached by 127.0.0.1 only"
        } else {
            "A server can be reached only by the addresses that it listens on"
        }
    );
    Finding::new("listens-on-another-address", Side::Target, Certainty::Proved, says)
        .resting_on(Evidence::default().with("listens_on", described(listeners)))
        .remedy(format!("let the server listen on 0.0.0.0:{port} (or [::]:{port})"))
        .remedy(format!("or connect to {}", listeners.first().map_or(destination, |at| at.address)))
}

/// What listens is known; that it is what was meant is not.
fn wrong_port(destination: SocketAddr, near: &[&Listening]) -> Finding {
    let other = near.first().map_or(destination, |at| SocketAddr::new(destination.ip(), at.address.port()));
    let says = format!(
        "nothing listens on port {} of this host at all; on a port much like it something does: {}. The port is \
         likely to be wrong",
        destination.port(),
        described(near)
    );
    Finding::new("wrong-port", Side::Target, Certainty::Likely, says)
        .resting_on(Evidence::default().with("listens_on", described(near)))
        .remedy(format!("connect to {other}, if that is the server"))
        .remedy("or start the server; then look where it listens: ss -ltnp")
}

fn nothing(destination: SocketAddr, others: &[&Listening]) -> Finding {
    let port = destination.port();
    let says = format!(
        "nothing listens on {destination}: this host answered with RST, and has no listener on port {port} at all. \
         The server is not running, or the port is wrong"
    );
    let elsewhere = (!others.is_empty()).then(|| described(others));
    let finding = Finding::new("nothing-listens", Side::Target, Certainty::Proved, says)
        .remedy("start the server; then look where it listens: ss -ltnp");
    let finding = match &elsewhere {
        Some(others) => finding.remedy(format!("wrong port? On this address something listens on {others}")),
        None => finding,
    };
    finding.resting_on(Evidence::default().with_known("other_listeners", elsewhere))
}

/// A listener is there, and yet the answer was RST.
fn rejected(destination: SocketAddr, listener: &Listening) -> Finding {
    let says = format!(
        "{} listens on that very address and port, and yet {destination} was refused by RST: a firewall's rule on \
         this host rejects with tcp reset, or the listener has begun only just now",
        described(&[listener])
    );
    Finding::new("refused-by-firewall", Side::Path, Certainty::Likely, says)
        .resting_on(Evidence::default().with("listens_on", described(&[listener])))
        .remedy("nft list ruleset    # or: iptables -S | grep -i reject")
}

/// Listeners with their programs, the first few.
pub(super) fn described(listeners: &[&Listening]) -> String {
    let mut named: Vec<String> = listeners.iter().take(NAMED).map(|at| at.described()).collect();
    if listeners.len() > NAMED {
        named.push(format!("and {} more", listeners.len() - NAMED));
    }
    named.join(", ")
}

/// Whether one port is a slip of the pen away from another: one digit other, missing or too many, or two
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
    use crate::linux::holders::Holder;
    use proptest::prelude::*;

    fn at(address: &str) -> Listening {
        let holder = Some(Holder { pid: 7, name: "nginx".into() });
        Listening { address: address.parse().unwrap(), waiting: 0, backlog: 128, holder }
    }

    fn found(listening: &[&str], destination: &str) -> Finding {
        let listening = listening.iter().map(|address| at(address)).collect();
        local(&Facts { listening, ..Facts::default() }, destination.parse().unwrap())
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
