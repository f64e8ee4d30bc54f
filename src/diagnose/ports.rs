//! Ports that ran out: what keeps them, with the numbers that prove it.
//!
//! For a tuple (source address, destination address, destination port) the kernel has `usable` ports: the
//! range less the reserved ones. When connect() says EADDRNOTAVAIL, they are taken by the tuple's own
//! sockets, live or in TIME_WAIT; or, where those are fewer, by buckets that somebody's bind() made, which
//! connect()'s search passes over (`inet_hash_connect`, net/ipv4/inet_hashtables.c: `tb->fastreuse >= 0`).

use super::certainty::NEARLY_ALL;
use super::claim::{Claim, Owner, Span};
use super::port_shares::PortShares;
use super::remedies::{bind_without_port, more_sources, ports_ran_out};
use super::rivals::NO_PORT;
use super::{Blocked, Facts, FailureFact, FindingId, TupleFact, port_windows};
use crate::linux::tcp_state::TcpState;
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The tuple's own sockets have to fill this share of its ports for them to be the cause. Not all: some
/// may have ended between the failure and the count.
const FULL: f64 = 0.97;
/// Share of the tuple's sockets that has to be of one sort for that sort to be the cause.
const MOSTLY: f64 = 0.6;

/// Ports have run out: a claim for each call that found none, and for each cause that was seen to keep them.
pub(super) fn exhausted(facts: &Facts) -> Vec<Claim> {
    let mut claims = Vec::new();
    if let Some(naive) = facts.failed(Stage::Bind, Cause::AddressInUse) {
        let finding = if facts.explicit_ports { port_taken(facts, naive) } else { naive_bind(facts, naive) };
        claims.push(finding.explaining(naive).seen(Owner::Attempts, Span::EachAttempt));
    }
    if let Some(leased) = facts.failed(Stage::Lease, Cause::NoFreePort) {
        let claim = all_leased(facts, leased);
        claims.push(claim.explaining(leased).seen(Owner::Process, Span::EachAttempt));
    }
    claims.extend(by_connect(facts));
    claims
}

/// connect() found no port.
fn by_connect(facts: &Facts) -> Vec<Claim> {
    let Some(failed) = facts.failed(Stage::Connect, Cause::AddressNotAvailable) else { return Vec::new() };
    if super::no_source::is_no_source(facts) {
        return Vec::new();
    }
    if let Some(shares) = PortShares::of(facts, failed) {
        let first = at_the_moment(facts, failed, &shares);
        let (of_first, later) = port_windows::divided(facts, failed, first.id);
        let claim = first.explaining_some(&of_first, of_first.count);
        let claim = claim.resting_on(with_failure(Evidence::default(), failed));
        return std::iter::once(claim).chain(later.map(|later| later.claim(facts, &shares))).collect();
    }
    let finding = match (facts.tuple, facts.usable_ports) {
        (Some(tuple), Some(usable)) => exhausted_tuple(facts, failed, &tuple, usable),
        _ => Claim::new(
            FindingId::PortsExhausted,
            Side::Generator,
            "connect() found no free source port, and the sockets of this host could not be counted, so that \
             what keeps the ports is not known",
        )
        .remedy("ss -tan | awk '{print $1}' | sort | uniq -c    # sockets by state, while attempts fail"),
    };
    vec![finding.explaining(failed).resting_on(with_failure(Evidence::default(), failed))]
}

/// Cause that kept the ports when the first attempt failed.
fn at_the_moment(facts: &Facts, failed: &FailureFact, shares: &PortShares<'_>) -> Claim {
    let (ports, moment) = (shares.ports, shares.moment);
    let source = shares.source.map_or("this host".to_owned(), |source| source.to_string());
    let begin = format!(
        "from attempt {} on, {source} to {} had no source port left",
        failed.first_ordinal + 1,
        moment.destination
    );
    // The sockets may be closed when they are counted; this run's own books are not.
    let held_them_all = facts.held_max as f64 >= f64::from(ports.usable) * facts.tuples.max(1) as f64 * FULL;
    let (id, says, counted) = match shares.cause() {
        _ if held_them_all => (
            FindingId::PortsExhaustedByLiveConnections,
            format!(
                "{begin}: {} connections were open on its {} ports",
                facts.held_max / facts.tuples.max(1),
                ports.usable
            ),
            true,
        ),
        Some((cause, nearly_all)) => {
            (cause.id, format!("{begin}: {}", shares.told()), nearly_all && shares.is_exact())
        }
        None => {
            let late = if moment.after_the_end {
                "the run had closed its connections when"
            } else {
                "it was over when"
            };
            (
                FindingId::PortsExhausted,
                format!("{begin}; {late} the sockets were counted: {}", shares.told()),
                false,
            )
        }
    };
    let side = match id {
        FindingId::PortsExhaustedByFinWait2 => Side::Target,
        FindingId::PortsExhaustedByLastAck => Side::Path,
        _ => Side::Generator,
    };
    let holders = shares.holders();
    let evidence = Evidence::default()
        .with("tuple", format!("{source} to {}", moment.destination))
        .with("ports_in_use", ports.taken())
        .with("time_wait", ports.in_state(TcpState::TimeWait))
        .with("live", ports.taken() - ports.in_state(TcpState::TimeWait))
        .with("held_max", facts.held_max)
        .with("ports_usable", ports.usable)
        .with("ports_free", ports.free)
        .with("port_range", format!("{} {}", ports.low, ports.high))
        .with("ports_reserved", ports.reserved)
        .with("ports_held_by_others", ports.listening + ports.bound.unwrap_or(0) + ports.elsewhere)
        .with_known("held_by", (!holders.is_empty()).then(|| holders.join(", ")))
        .with_known("tcp_tw_reuse", facts.host.tcp_tw_reuse);
    let span = if id == FindingId::PortsExhausted { Span::Unknown } else { Span::Throughout };
    let claim = Claim::new(id, side, says)
        .resting_on(evidence)
        .seen(Owner::Tuple(shares.source, moment.destination), span)
        .without_if(
            NO_PORT,
            counted.then(|| format!("every port of the tuple was counted: {}", shares.told())),
            "ss -tanp, every socket in the range, while attempts fail",
        );
    with_reserved(facts, ports.reserved, ports.usable, mended(facts, claim))
}

/// The same with what mends it.
pub(super) fn mended(facts: &Facts, claim: Claim) -> Claim {
    match claim.id {
        FindingId::PortsExhaustedByFinWait2 => claim.remedy(
            "on the server: close() each connection whose client has closed; its own side shows them in CLOSE_WAIT",
        ),
        FindingId::PortsExhaustedByCloseWait => {
            claim.remedy("in the program that connects: close() each connection whose peer has closed")
        }
        FindingId::PortsExhaustedByLastAck => {
            claim.remedy("ss -tno state last-ack    # FINs that are sent again: look for what drops them or the answers")
        }
        FindingId::PortsExhaustedByPoisonedBuckets => claim
            .then(bind_without_port)
            .remedy("connstorm itself: --ports explicit    # such ports are not searched for, and those of other tuples are no obstacle")
            .remedy("give that program a network namespace of its own; another source address does not help, a bucket is every address's"),
        FindingId::PortsExhaustedByOtherSockets => claim
            .remedy("move those sockets out of net.ipv4.ip_local_port_range, or the range away from them: ss -tlnp shows which listen")
            .remedy("give that program a network namespace of its own"),
        FindingId::PortsExhaustedByTimeWait => ports_ran_out(facts, Blocked::TimeWait, claim),
        _ => ports_ran_out(facts, Blocked::Live, claim),
    }
}

fn exhausted_tuple(facts: &Facts, failed: &FailureFact, tuple: &TupleFact, usable: u32) -> Claim {
    let used = tuple.sockets.total();
    let tuple_text = format!("{} to {}", tuple.source, tuple.destination);
    let own_fill_it = used as f64 >= f64::from(usable) * FULL;
    // In a short run the sockets may be closed by the time they are counted; our own books are not.
    let held_them_all = facts.held_max as f64 >= f64::from(usable) * facts.tuples.max(1) as f64 * FULL;
    let seen = if held_them_all {
        format!("{} connections were held at once on {usable} ports", facts.held_max)
    } else {
        format!("{used} of its {usable} ports in use, {} of them in TIME_WAIT", tuple.time_wait())
    };
    let cause = match () {
        // They have ended since, and it is their TIME_WAIT that is counted.
        () if held_them_all => Blocked::Live,
        () if !own_fill_it => return not_seen(facts, failed, tuple, usable),
        () if tuple.time_wait() as f64 >= used as f64 * MOSTLY => Blocked::TimeWait,
        () => Blocked::Live,
    };
    let finding = match cause {
        Blocked::TimeWait => Claim::new(
            FindingId::PortsExhaustedByTimeWait,
            Side::Generator,
            format!(
                "from attempt {} on, {tuple_text} had no source port left: {} of its {usable} ports were in \
                 TIME_WAIT, which connections keep for 60 s after this side closed them first",
                failed.first_ordinal + 1,
                tuple.time_wait()
            ),
        ),
        Blocked::Live => Claim::new(
            FindingId::PortsExhaustedByLiveConnections,
            Side::Generator,
            format!(
                "from attempt {} on, {tuple_text} had no source port left: {} connections were open on its \
                 {usable} ports",
                failed.first_ordinal + 1,
                tuple.live().max(facts.held_max / facts.tuples.max(1))
            ),
        ),
    };
    let finding =
        finding.resting_on(occupation(facts, tuple, usable)).seen(owner(failed, tuple), Span::Throughout);
    let counted = tuple.exact || held_them_all;
    let finding = finding.without_if(NO_PORT, counted.then_some(seen), "ss -tan, every socket of the tuple");
    with_reserved(facts, reserved(facts), usable, ports_ran_out(facts, cause, finding))
}

/// The tuple's own sockets are too few, and nobody looked at the others in time.
fn not_seen(facts: &Facts, failed: &FailureFact, tuple: &TupleFact, usable: u32) -> Claim {
    let says = format!(
        "connect() found no source port for {} to {} although its sockets, when counted, took only {} of {usable}",
        tuple.source,
        tuple.destination,
        tuple.sockets.total()
    );
    Claim::new(FindingId::PortsExhausted, Side::Generator, says)
        .resting_on(occupation(facts, tuple, usable))
        .seen(owner(failed, tuple), Span::Unknown)
        .unless(NO_PORT, "ss -tanp, every socket in the range")
        .then(bind_without_port)
}

fn naive_bind(facts: &Facts, failed: &FailureFact) -> Claim {
    let usable = facts.usable_ports.map_or("all".to_owned(), |usable| usable.to_string());
    let look = PortShares::of(facts, failed).filter(PortShares::is_exact);
    let held = look.as_ref().map_or(String::new(), |look| format!(". Of these, {}", look.told()));
    let says = format!(
        "from attempt {} on, bind(address, 0) found no port: without IP_BIND_ADDRESS_NO_PORT a port is chosen \
         before the destination is known, so that the {usable} ports of a source address are shared by all \
         destinations, and running out is EADDRINUSE from bind(), not EADDRNOTAVAIL from connect(){held}",
        failed.first_ordinal + 1
    );
    let holders = look.as_ref().map_or_else(Vec::new, PortShares::holders);
    let evidence = Evidence::default()
        .with_known("ports_usable", facts.usable_ports)
        .with_known("held_by", (!holders.is_empty()).then(|| holders.join(", ")));
    let claim = Claim::new(FindingId::PortsExhaustedByNaiveBind, Side::Generator, says)
        .resting_on(with_failure(evidence, failed))
        .without(&[FindingId::ExplicitPortTaken], "bind() asked for any port");
    let own = look.as_ref().map_or(0, |look| look.ports.own.total());
    // The ports of one destination are as few with the option as without it.
    let of_one_tuple = facts.destinations.len() == 1
        && look.as_ref().is_some_and(|look| own as f64 >= f64::from(look.ports.usable) * NEARLY_ALL);
    let claim = if of_one_tuple {
        let time_wait = look.as_ref().map_or(0, |look| look.ports.own.get(TcpState::TimeWait));
        let cause = if time_wait * 2 > own { Blocked::TimeWait } else { Blocked::Live };
        ports_ran_out(facts, cause, claim)
    } else {
        claim
    };
    let claim = claim.then(bind_without_port).remedy("connstorm itself: --ports kernel");
    if of_one_tuple { claim } else { more_sources(facts, claim) }
}

fn port_taken(facts: &Facts, failed: &FailureFact) -> Claim {
    let lease = failed.lease;
    let port = lease.and_then(|lease| lease.port);
    let listener = lease.and_then(|lease| {
        let source = lease.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let bound = SocketAddr::new(source, lease.port?);
        facts.listening.iter().find(|at| at.serves(bound))
    });
    let by = listener.map_or(
        "by another program, or by a TIME_WAIT of a connection that was made without SO_REUSEADDR on the same source \
         address"
            .to_owned(),
        |at| format!("{} listens on it", at.described()),
    );
    let says = format!(
        "a port that was to be bound explicitly{} is taken: {by}",
        port.map_or(String::new(), |port| format!(" ({port})"))
    );
    let port_text = port.map_or("PORT".to_owned(), |port| port.to_string());
    let claim = Claim::new(FindingId::ExplicitPortTaken, Side::Generator, says)
        .resting_on(with_failure(Evidence::default().with_known("port", port.map(u32::from)), failed))
        .without(&[FindingId::PortsExhaustedByNaiveBind], "bind() asked for that very port")
        .remedy(format!("ss -tanp 'sport = :{port_text}'    # who has it; TIME_WAIT ends after 60 s"))
        .remedy("choose ports that nobody has: --ports explicit:20000-29999");
    more_sources(facts, claim)
}

fn all_leased(facts: &Facts, failed: &FailureFact) -> Claim {
    let says = format!(
        "from attempt {} on, every explicit port of every tuple was leased to an open connection",
        failed.first_ordinal + 1
    );
    let claim = Claim::new(FindingId::ExplicitPortsAllLeased, Side::Generator, says)
        .resting_on(with_failure(Evidence::default().with_known("ports_usable", facts.usable_ports), failed));
    let claim =
        more_sources(facts, claim).remedy("fewer connections at once: --max-open, or a shorter --lifetime");
    // With all of them there are no more.
    if facts.usable_ports.is_some_and(|usable| usable >= 64_000) {
        return claim;
    }
    claim.remedy("a wider range: --ports explicit:1024-65535    # 64,512 ports a tuple")
}

/// connect() became expensive: half of the range is taken.
pub(super) fn search_slow(facts: &Facts) -> Option<Claim> {
    let slow = facts.slow_search?;
    let (tuple, usable) = (facts.tuple?, facts.usable_ports?);
    let us = |call: Duration| call.as_secs_f64() * 1e6;
    let instead = slow.before.map(|before| format!(" instead of {:.0} µs", us(before))).unwrap_or_default();
    let says = format!(
        "from attempt {} on, a connect() call cost {:.0} µs{instead}: with half of the \
         ports of a tuple taken, the kernel searches through all of that half first. It is the first sign of \
         ports running out",
        slow.ordinal + 1,
        us(slow.after)
    );
    let evidence = occupation(facts, &tuple, usable)
        .with_known("connect_call_before_us", slow.before.map(us))
        .with("connect_call_after_us", us(slow.after))
        .with("attempt", slow.ordinal + 1);
    let finding = Claim::new(FindingId::PortSearchSlow, Side::Generator, says)
        .resting_on(evidence)
        .remedy("in the program: fewer connections at once to one destination (a pool), so that each tuple stays below half");
    let finding =
        more_sources(facts, finding).remedy("choose the ports yourself, at a flat cost: --ports explicit");
    Some(finding.seen(Owner::Process, Span::Unknown))
}

/// The failing tuple's, where the sockets counted are those of the failed attempt's source and destination.
fn owner(failed: &FailureFact, tuple: &TupleFact) -> Owner {
    let is_its_own = failed.lease.is_none_or(|lease| {
        lease.destination == tuple.destination && lease.source.is_none_or(|source| source == tuple.source)
    });
    if is_its_own { Owner::Tuple(Some(tuple.source), tuple.destination) } else { Owner::Everybody }
}

fn occupation(facts: &Facts, tuple: &TupleFact, usable: u32) -> Evidence {
    let range = facts.host.ports();
    Evidence::default()
        .with("tuple", format!("{} to {}", tuple.source, tuple.destination))
        .with("ports_in_use", tuple.sockets.total())
        .with("time_wait", tuple.time_wait())
        .with("live", tuple.live())
        .with("held_max", facts.held_max)
        .with("ports_usable", usable)
        .with("ip_local_port_range", format!("{} {}", range.low, range.high))
        .with("ports_reserved", reserved(facts))
        .with_known("tcp_tw_reuse", facts.host.tcp_tw_reuse)
}

fn with_failure(evidence: Evidence, failed: &FailureFact) -> Evidence {
    evidence
        .with("error", failed.failure.to_string())
        .with("failed", failed.count)
        .with("first_attempt", failed.first_ordinal + 1)
        .with("first_at_s", failed.first_at.as_secs_f64())
}

/// Reserved ports inside the range that this run's sockets use; none where that is another than the host's.
fn reserved(facts: &Facts) -> u32 {
    let range = facts.host.ports();
    let reserved = range.reserved.count_in(&(range.low..=range.high));
    let all = u32::from(range.high) - u32::from(range.low) + 1;
    if facts.usable_ports.is_none_or(|usable| usable + reserved == all) { reserved } else { 0 }
}

/// Reserved ports are part of the cause, and the cause itself where more are kept back than are left.
fn with_reserved(facts: &Facts, reserved: u32, usable: u32, mut finding: Claim) -> Claim {
    if reserved == 0 || facts.explicit_ports {
        return finding;
    }
    if reserved > usable && finding.id != FindingId::PortsExhausted {
        finding.id = FindingId::PortsExhaustedByReservedPorts;
        finding.side = Side::Generator;
        // What mends it, and nothing else does as much.
        finding.remedies.clear();
    }
    finding.says += &format!(
        "; net.ipv4.ip_local_reserved_ports keeps {reserved} of the {} ports of the range from it",
        usable + reserved
    );
    finding.remedy("take ports off the list: sysctl net.ipv4.ip_local_reserved_ports    # then write it back with sysctl -w, without those that nothing needs")
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
