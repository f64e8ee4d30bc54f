//! Ports that ran out: what keeps them, with the numbers that prove it.
//!
//! For a tuple (source address, destination address, destination port) the kernel has `usable` ports: the
//! range less the reserved ones. When connect() says EADDRNOTAVAIL, they are taken by the tuple's own
//! sockets, live or in TIME_WAIT; or, where those are fewer, by buckets that somebody's bind() made, which
//! connect()'s search passes over (`inet_hash_connect`, net/ipv4/inet_hashtables.c: `tb->fastreuse >= 0`).

use super::claim::{Claim, Owner, Span};
use super::remedies::{bind_without_port, ports_ran_out};
use super::rivals::NO_PORT;
use super::{Blocked, Facts, FailureFact, FindingId, TupleFact};
use crate::linux::tcp_state::TcpState;
use crate::model::{Cause, Evidence, Side, Stage};
use std::time::Duration;

/// The tuple's own sockets have to fill this share of its ports for them to be the cause. Not all: some
/// may have ended between the failure and the count.
const FULL: f64 = 0.97;
/// Share of the tuple's sockets that has to be of one sort for that sort to be the cause.
const MOSTLY: f64 = 0.6;

/// Ports have run out.
pub(super) fn exhausted(facts: &Facts) -> Option<Claim> {
    if let Some(naive) = facts.failed(Stage::Bind, Cause::AddressInUse) {
        let finding = if facts.explicit_ports { port_taken(naive) } else { naive_bind(facts, naive) };
        return Some(finding.explaining(naive).seen(Owner::Attempts, Span::EachAttempt));
    }
    if let Some(leased) = facts.failed(Stage::Lease, Cause::NoFreePort) {
        let claim = all_leased(facts, leased);
        return Some(claim.explaining(leased).seen(Owner::Process, Span::EachAttempt));
    }
    let failed = facts.failed(Stage::Connect, Cause::AddressNotAvailable)?;
    if super::no_source::is_no_source(facts) {
        return None;
    }
    let finding = match (facts.tuple, facts.usable_ports) {
        (Some(tuple), Some(usable)) => exhausted_tuple(facts, failed, &tuple, usable),
        _ => Claim::new(
            FindingId::PortsExhausted,
            Side::Generator,
            "connect() found no free source port, and the sockets of this host could not be counted, so that \
             what keeps the ports is not known",
        ),
    };
    Some(finding.explaining(failed).resting_on(with_failure(Evidence::default(), failed)))
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
        () if !own_fill_it => Blocked::Foreign,
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
        Blocked::Live if mostly(tuple, TcpState::FinWait2) => Claim::new(
            FindingId::PortsExhaustedByFinWait2,
            Side::Target,
            format!(
                "from attempt {} on, {tuple_text} had no source port left: {} of its {usable} ports were in FIN_WAIT_2: \
                 this side has closed those connections, and the peer never closes its own side",
                failed.first_ordinal + 1,
                tuple.sockets.get(TcpState::FinWait2)
            ),
        )
        .remedy("on the server: close() each connection whose client has closed; its own side shows them in CLOSE_WAIT"),
        Blocked::Live if mostly(tuple, TcpState::CloseWait) => Claim::new(
            FindingId::PortsExhaustedByCloseWait,
            Side::Generator,
            format!(
                "from attempt {} on, {tuple_text} had no source port left: {} of its {usable} ports were in CLOSE_WAIT: \
                 the peer has closed those connections, and the program on this host never closes them",
                failed.first_ordinal + 1,
                tuple.sockets.get(TcpState::CloseWait)
            ),
        )
        .remedy("in the program that connects: close() each connection whose peer has closed"),
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
        Blocked::Foreign => return foreign(facts, failed, tuple, usable),
    };
    let finding =
        finding.resting_on(occupation(facts, tuple, usable)).seen(owner(failed, tuple), Span::Throughout);
    let counted = tuple.exact || held_them_all;
    let finding = finding.without_if(NO_PORT, counted.then_some(seen), "ss -tan, every socket of the tuple");
    with_reserved(facts, ports_ran_out(facts, cause, finding))
}

/// Whether most of the tuple's sockets are in one state.
fn mostly(tuple: &TupleFact, state: TcpState) -> bool {
    tuple.sockets.get(state) as f64 >= tuple.sockets.total() as f64 * MOSTLY
}

/// The tuple's own sockets are too few: somebody else's binds keep the rest.
fn foreign(facts: &Facts, failed: &FailureFact, tuple: &TupleFact, usable: u32) -> Claim {
    let used = tuple.sockets.total();
    let missing = u64::from(usable).saturating_sub(used);
    let foreign = facts.foreign.clone().unwrap_or_default();
    let explained = f64::from(foreign.ports) >= missing as f64 * FULL && missing > 0;
    let holders: Vec<String> = foreign
        .holders
        .iter()
        .map(|(holder, sockets)| format!("{} (pid {}, {sockets} sockets)", holder.name, holder.pid))
        .collect();
    let by = if holders.is_empty() { "other sockets".to_owned() } else { holders.join(", ") };
    let says = if explained {
        format!(
            "from attempt {} on, {} to {} had no source port left although its own sockets took only {used} of \
             {usable}: {} ports of the range were bound by {by}. connect() passes over every port that a \
             bind() without IP_BIND_ADDRESS_NO_PORT has taken, even one to another destination",
            failed.first_ordinal + 1,
            tuple.source,
            tuple.destination,
            foreign.ports
        )
    } else {
        format!(
            "connect() found no source port for {} to {} although its sockets, when counted, took only {used} of \
             {usable}; {} other ports of the range were held by {by}",
            tuple.source, tuple.destination, foreign.ports
        )
    };
    let evidence = occupation(facts, tuple, usable)
        .with("ports_held_by_others", foreign.ports)
        .with_known("held_by", (!holders.is_empty()).then(|| holders.join(", ")));
    Claim::new(FindingId::PortsExhaustedByPoisonedBuckets, Side::Generator, says)
        .resting_on(evidence)
        .seen(owner(failed, tuple), if explained { Span::Throughout } else { Span::Unknown })
        .without_if(
            NO_PORT,
            (explained && tuple.exact).then(|| format!("{} ports held by others, {missing} missing", foreign.ports)),
            "ss -tanp, every socket in the range",
        )
        .then(bind_without_port)
        .remedy("--ports explicit: ports that are bound explicitly are not searched for, and those of other tuples are no obstacle")
        .remedy("give that program a network namespace of its own; another source address does not help, a bucket is every address's")
}

fn naive_bind(facts: &Facts, failed: &FailureFact) -> Claim {
    let usable = facts.usable_ports.map_or("all".to_owned(), |usable| usable.to_string());
    let says = format!(
        "from attempt {} on, bind(address, 0) found no port: without IP_BIND_ADDRESS_NO_PORT a port is chosen \
         before the destination is known, so that the {usable} ports of a source address are shared by all \
         destinations, and running out is EADDRINUSE from bind(), not EADDRNOTAVAIL from connect()",
        failed.first_ordinal + 1
    );
    Claim::new(FindingId::PortsExhaustedByNaiveBind, Side::Generator, says)
        .resting_on(with_failure(Evidence::default().with_known("ports_usable", facts.usable_ports), failed))
        .without(&[FindingId::ExplicitPortTaken], "bind() asked for any port")
        .then(bind_without_port)
        .remedy("connstorm itself: --ports kernel; or more source addresses: --source 127.0.0.2-127.0.0.9")
}

fn port_taken(failed: &FailureFact) -> Claim {
    let port = failed.lease.and_then(|lease| lease.port);
    let says = format!(
        "a port that was to be bound explicitly{} is taken: by another program, or by a TIME_WAIT of a \
         connection that was made without SO_REUSEADDR on the same source address",
        port.map_or(String::new(), |port| format!(" ({port})"))
    );
    Claim::new(FindingId::ExplicitPortTaken, Side::Generator, says)
        .resting_on(with_failure(Evidence::default().with_known("port", port.map(u32::from)), failed))
        .remedy("use source addresses that no other program uses: --source 127.0.0.2-127.0.0.9")
        .remedy("choose other ports: --ports explicit:LO-HI; or wait 60 s for TIME_WAIT to end")
}

fn all_leased(facts: &Facts, failed: &FailureFact) -> Claim {
    let says = format!(
        "from attempt {} on, every explicit port of every tuple was leased to an open connection",
        failed.first_ordinal + 1
    );
    Claim::new(FindingId::ExplicitPortsAllLeased, Side::Generator, says)
        .resting_on(with_failure(Evidence::default().with_known("ports_usable", facts.usable_ports), failed))
        .remedy("add source addresses: --source 127.0.0.2-127.0.0.9")
        .remedy("--ports explicit uses 1024-65535, 64,512 ports a tuple")
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
        .remedy("more source addresses, so that each tuple stays below half: --source 127.0.0.2-127.0.0.9")
        .remedy("choose the ports yourself, at a flat cost: --ports explicit");
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

fn reserved(facts: &Facts) -> u32 {
    let range = facts.host.ports();
    range.reserved.count_in(&(range.low..=range.high))
}

/// Reserved ports are part of the cause, and the cause itself where more are kept back than are left.
fn with_reserved(facts: &Facts, mut finding: Claim) -> Claim {
    let (reserved, range) = (reserved(facts), facts.host.ports());
    if reserved == 0 || facts.explicit_ports {
        return finding;
    }
    if facts.usable_ports.is_some_and(|usable| reserved > usable) {
        finding.id = FindingId::PortsExhaustedByReservedPorts;
        // What mends it, and nothing else does as much.
        finding.remedies.clear();
    }
    finding.says += &format!(
        "; net.ipv4.ip_local_reserved_ports keeps {reserved} of the {} ports of the range from it",
        u32::from(range.high) - u32::from(range.low) + 1
    );
    finding.remedy("take ports off the list: sysctl -w net.ipv4.ip_local_reserved_ports=\"…\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, ForeignSockets, diagnose};
    use crate::linux::holders::Holder;
    use crate::linux::tcp_state::TcpState;
    use crate::linux::tuple_usage::StateCounts;
    use crate::model::{Errno, Failure, Lease};

    fn facts(time_wait: u64, established: u64) -> Facts {
        let destination = ([127, 0, 0, 1], 9000).into();
        let source = "127.0.0.2".parse().unwrap();
        let mut sockets = StateCounts::default();
        sockets.add(TcpState::TimeWait, time_wait);
        sockets.add(TcpState::Established, established);
        let mut facts = Facts {
            usable_ports: Some(1024),
            tuple: Some(TupleFact { source, destination, sockets, exact: true }),
            failures: vec![FailureFact {
                first_ordinal: 1024,
                lease: Some(Lease { source: Some(source), port: None, destination }),
                ..FailureFact::new(Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL), 76)
            }],
            ..Facts::default()
        };
        facts.host.ip_local_port_range = Some((40_000, 41_023));
        facts.host.tcp_tw_reuse = Some(0);
        facts
    }

    fn first(facts: &Facts) -> (String, Certainty) {
        let finding = diagnose(facts).remove(0);
        (finding.id.to_string(), finding.certainty)
    }

    #[test]
    fn time_wait_and_live_connections_are_told_apart() {
        assert_eq!(first(&facts(1024, 0)), ("ports-exhausted-by-time-wait".into(), Certainty::Proved));
        assert_eq!(first(&facts(0, 1024)), ("ports-exhausted-by-live-connections".into(), Certainty::Proved));
        assert_eq!(first(&facts(300, 720)).0, "ports-exhausted-by-live-connections");
    }

    #[test]
    fn an_estimate_proves_nothing() {
        let mut facts = facts(1024, 0);
        facts.tuple.as_mut().unwrap().exact = false;
        assert_eq!(first(&facts).1, Certainty::Likely);
    }

    #[test]
    fn reserved_ports_are_named_with_their_number() {
        let mut facts = facts(0, 924);
        facts.usable_ports = Some(924);
        facts.host.ip_local_reserved_ports = "40100-40199".parse().unwrap();
        let finding = diagnose(&facts).remove(0);
        assert_eq!(finding.certainty, Certainty::Proved);
        assert!(finding.says.contains("keeps 100 of the 1024 ports"), "{}", finding.says);
        assert!(finding.remedies.iter().any(|r| r.contains("ip_local_reserved_ports")));
    }

    #[test]
    fn reserved_ports_are_the_cause_where_they_are_more_than_are_left() {
        let mut facts = facts(0, 512);
        facts.usable_ports = Some(512);
        facts.host.ip_local_reserved_ports = "40000-40511".parse().unwrap();
        assert_eq!(first(&facts).0, "ports-exhausted-by-live-connections");
        facts.usable_ports = Some(511);
        facts.host.ip_local_reserved_ports = "40000-40512".parse().unwrap();
        let finding = diagnose(&facts).remove(0);
        assert_eq!(
            (finding.id.as_str(), finding.certainty),
            ("ports-exhausted-by-reserved-ports", Certainty::Proved)
        );
        assert!(finding.remedies[0].contains("ip_local_reserved_ports"), "{:?}", finding.remedies);
    }

    #[test]
    fn connections_that_were_counted_after_they_ended_were_live() {
        let mut facts = facts(1024, 0);
        facts.held_max = 1024;
        facts.tuples = 1;
        assert_eq!(first(&facts), ("ports-exhausted-by-live-connections".into(), Certainty::Proved));
    }

    #[test]
    fn poisoned_buckets_need_both_the_gap_and_who_fills_it() {
        let mut facts = facts(0, 524);
        let holder = Holder { pid: 7, name: "proxy".into() };
        facts.foreign = Some(ForeignSockets { ports: 500, holders: vec![(holder, 500)] });
        let finding = diagnose(&facts).remove(0);
        assert_eq!(
            (finding.id.as_str(), finding.certainty),
            ("ports-exhausted-by-poisoned-buckets", Certainty::Proved)
        );
        assert!(finding.says.contains("proxy (pid 7, 500 sockets)"), "{}", finding.says);
        facts.foreign = Some(ForeignSockets { ports: 300, holders: vec![] });
        assert_eq!(first(&facts).1, Certainty::Possible, "300 others don't explain 500 missing");
    }

    #[test]
    fn address_in_use_from_bind_is_a_naive_bind_or_a_port_that_is_taken() {
        let mut facts = facts(0, 0);
        facts.failures[0].failure = Failure::from_errno(Stage::Bind, Errno::EADDRINUSE);
        assert_eq!(first(&facts).0, "ports-exhausted-by-naive-bind");
        facts.explicit_ports = true;
        assert_eq!(first(&facts).0, "explicit-port-taken");
    }

    #[test]
    fn nothing_is_said_where_nothing_failed() {
        let mut facts = facts(1024, 0);
        facts.failures.clear();
        assert!(diagnose(&facts).is_empty());
    }
}
