//! Attempts that timed out in connect(): lost on the way, or met a queue that was full.

use super::claim::{Claim, Owner, Span};
use super::queues::{QUEUES, queue, quiet};
use super::spread::Concentration;
use super::{Facts, FailureFact, FindingId, Listening};
use crate::linux::holders::Table;
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::{IpAddr, SocketAddr};

/// Causes that let nobody through.
const FOR_ALL: &[FindingId] = &[
    FindingId::DroppedOnTheWay,
    FindingId::PrivateAddressOutOfReach,
    FindingId::NoSuchHost,
    FindingId::GatewaySilent,
    FindingId::TcpMd5Demanded,
    FindingId::TranslatedToDeadHost,
];
/// Causes that let some through.
const FOR_SOME: &[FindingId] =
    &[FindingId::SomeTimedOut, FindingId::SomeSourcesTimeOut, FindingId::SomeAddressesFail];

/// No answer to connect().
pub(super) fn timed_out(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed(Stage::Connect, Cause::TimedOut)?;
    let told =
        facts.is_stopped() || facts.is_out_of_reach(failed) || super::unreachable::is_limited_icmp(facts);
    if told {
        // Said by rules of their own, with their numbers.
        return None;
    }
    let claim = if let Some(claim) = queue(facts, failed) {
        if facts.server_table().is_some_and(Table::is_full) {
            // The queue is full because the server can't accept: said by its own rule.
            return None;
        }
        claim
    } else if facts.conntrack_explains(failed) || super::tracking::is_own_snat(facts, failed) {
        // Said by rules of their own.
        return None;
    } else if let Some(claim) = unsigned(facts, failed).or_else(|| some_sources(facts, failed)) {
        claim
    } else if facts.opened == 0 {
        led_away(facts, failed)
            .or_else(|| late_answers(facts, failed))
            .unwrap_or_else(|| dropped(facts, failed))
    } else {
        some(facts, failed)
    };
    let evidence = Evidence::default()
        .with("timed_out", failed.count)
        .with("opened", facts.opened)
        .with("first_at_s", failed.first_at.as_secs_f64())
        .with("attempts_with_a_syn_sent_again", facts.syn_retransmits)
        .with_known("dropped_by_its_own_listener", facts.target.listener_drops)
        .with_known("listen_overflows_of_all_listeners", facts.counters.map(|c| c.listen_overflows))
        .with_known("tcp_syn_retrans_of_all_connections", facts.counters.map(|c| c.syn_retransmits));
    let claim = if claim.claimed() == 0 { claim.explaining(failed) } else { claim };
    Some(claim.resting_on(evidence))
}

/// The listener takes only segments that are signed.
fn unsigned(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let counters = facts.counters?;
    let unsigned = counters.unsigned();
    let destination = failed.lease?.destination;
    if unsigned == 0 || !facts.is_local(destination.ip()) {
        return None;
    }
    let listener = facts.listener_for(destination)?;
    let (what, counter, option) = if counters.ao_required > counters.md5_not_found {
        ("TCP-AO signatures (RFC 5925)", "TCPAORequired", "TCP_AO_ADD_KEY")
    } else {
        ("TCP-MD5 signatures (RFC 2385)", "TCPMD5NotFound", "TCP_MD5SIG")
    };
    let says = format!(
        "{} demands {what}, as BGP has them: {unsigned} segments without one were dropped ({counter})",
        listener.described()
    );
    Some(
        Claim::new(FindingId::TcpMd5Demanded, Side::Target, says)
            .explaining_some(failed, unsigned)
            .seen(Owner::Listener(listener.address), Span::Throughout)
            .without_if(
                &[FindingId::DroppedOnTheWay],
                facts.filters_nothing(),
                "a connection from a peer that signs; the counter is every listener's",
            )
            .without_if(QUEUES, quiet(facts, listener), "ss -ltm")
            .resting_on(
                Evidence::default()
                    .with("tcp_md5_not_found", counters.md5_not_found)
                    .with("tcp_ao_required", counters.ao_required),
            )
            .remedy(format!("connect to a port whose listener has no key ({option}); a load generator can't sign for a peer of BGP"))
            .remedy("take the key of this address off the listener, if it is not meant"),
    )
}

/// Only some source addresses time out, and those with all of their attempts.
fn some_sources(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let sources = facts.failing_sources(failed)?;
    Some(for_some_sources(facts, failed, &sources))
}

/// Sources whose attempts all time out, while those of others do not.
pub(super) fn for_some_sources(
    facts: &Facts,
    failed: &FailureFact,
    sources: &Concentration<IpAddr>,
) -> Claim {
    let named: Vec<String> = sources.failing.iter().take(5).map(|(source, _)| source.to_string()).collect();
    let dropped_back = facts.counters.map(|counters| counters.reverse_path_drops);
    let first = sources.failing.first().map_or_else(String::new, |(source, _)| source.to_string());
    let says = format!(
        "every attempt from {} timed out, and none from the other {} source addresses: something on the way drops \
         that source (a security group, a firewall's rule), or its answers do not find the way back (rp_filter, a \
         missing route)",
        named.join(", "),
        sources.of - sources.failing.len()
    );
    let significant =
        sources.is_significant.then(|| format!("{} connections from the other sources opened", facts.opened));
    Claim::new(FindingId::SomeSourcesTimeOut, Side::Path, says)
        .explaining(&failed.of_sources(|from| sources.has(from)).unwrap_or_else(|| failed.clone()))
        .seen(Owner::Sources, Span::EachAttempt)
        .without_if(FOR_ALL, significant.clone(), "more attempts from each source address")
        .without_if(&[FindingId::SomeTimedOut], significant, "more attempts from each source address")
        .unless(&[FindingId::TranslatedToDeadHost], "nft list ruleset; ip rule, on every host of the way")
        .resting_on(
            Evidence::default()
                .with("sources_that_time_out", named.join(", "))
                .with("sources", sources.of as u64)
                .with("timed_out", sources.count)
                .with("opened", facts.opened)
                .with_known("reverse_path_drops", dropped_back),
        )
        .remedy("allow that source address: security group, firewall of the server")
        .remedy(format!("on the server: ip route get {first}    # the way back"))
        .remedy(
            "sysctl net.ipv4.conf.all.rp_filter    # 1 drops what comes by another way than answers would go",
        )
}

/// A rule of this host leads connections to an address of its own, at which nothing listens, to another that is silent.
fn led_away(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let to = failed.lease?.destination;
    let redirects = facts.rules?.redirects;
    if redirects == 0 || !facts.is_local(to.ip()) || facts.listener_for(to).is_some() {
        return None;
    }
    let says = format!(
        "{to} is an address of this host, on which nothing listens, and yet no attempt was refused: {redirects} rules of this \
         host lead connections to other addresses (DNAT, the published port of a container), and from there no answer came"
    );
    Some(
        Claim::new(FindingId::TranslatedToDeadHost, Side::Path, says)
            .seen(Owner::Destinations, Span::Throughout)
            .without(FOR_SOME, "not one connection was taken")
            .without(
                &[FindingId::NoSuchHost, FindingId::GatewaySilent, FindingId::PrivateAddressOutOfReach],
                "the address is this host's own",
            )
            .unless(
                &[FindingId::DroppedOnTheWay],
                "nft list ruleset: which of the rules fits, and what is at the address that it leads to",
            )
            .resting_on(Evidence::default().with("rules_that_redirect", redirects))
            .remedy("nft list ruleset | grep -n dnat    # or: iptables -t nat -S; where does the rule lead, and is that host there?")
            .remedy("docker ps; docker port CONTAINER    # a rule may outlive its container"),
    )
}

/// Answers came, after connect() had been given up: this host answered each by RST.
fn late_answers(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let resets = facts.counters?.resets_sent;
    let destination = failed.lease?.destination;
    if facts.is_local(destination.ip()) || !fits_late_answers(facts, failed, resets) {
        return None;
    }
    let says = format!(
        "connect() to {destination} was given up {} times, and this host then sent {resets} RSTs, as a kernel does with \
         an answer that comes after the socket is closed: the round trip is longer than the timeout, and nothing need be \
         lost",
        failed.count
    );
    Some(
        Claim::new(FindingId::LongRoundTrip, Side::Path, says)
            // The answers to the last of them were still under way at the end.
            .explaining(failed)
            .seen(Owner::Destinations, Span::Throughout)
            .without(&[FindingId::NoSuchHost, FindingId::GatewaySilent], "something answers")
            .unless(
                &[FindingId::DroppedOnTheWay, FindingId::SomeTimedOut],
                "one connection with a longer timeout: connstorm doctor HOST:PORT --timeout 15s",
            )
            .resting_on(Evidence::default().with("resets_sent_by_this_host", resets))
            .remedy("a longer timeout in the client: several round trips, and the 1 s after which a lost SYN is sent again")
            .remedy(format!("ping {}    # the round trip itself", destination.ip()))
            .remedy("--connect-timeout 10s"),
    )
}

/// True if as many RSTs were sent as answers are due: one for each SYN of an attempt. Answers to the last attempts
/// come when the run is over; and none is due before the first attempt was given up, so that those of others show.
fn fits_late_answers(facts: &Facts, failed: &FailureFact, resets: u64) -> bool {
    let first = facts.moments_of(Stage::Connect, Cause::TimedOut).next();
    let by_then = first.and_then(|moment| moment.counters).map(|counters| counters.resets_sent);
    let Some(by_then) = by_then else {
        // Nobody looked then: as many as there were attempts, or twice.
        return resets * 10 >= failed.count * 9 && resets <= failed.count * 2 + 3;
    };
    resets > 0
        && by_then * 10 <= resets
        && resets * 2 >= failed.count
        && resets <= failed.count * syns(failed) + 3
}

/// SYNs of an attempt within its timeout: sent again after 1, 2, 3, 4 and 5 s (`tcp_syn_linear_timeouts`).
fn syns(failed: &FailureFact) -> u64 {
    failed.ages.map_or(2, |(_, timeout)| 1 + timeout.as_secs().clamp(1, 5))
}

fn dropped(facts: &Facts, failed: &FailureFact) -> Claim {
    let destination = failed.lease.map(|lease| lease.destination);
    let to = destination.map_or(String::new(), |to| format!(" to {to}"));
    let own = destination.filter(|to| facts.is_local(to.ip())).and_then(|to| facts.listener_for(to));
    if let Some(listener) = own.filter(|_| facts.syn_retransmits > 0) {
        return dropped_here(facts, listener, &to);
    }
    let says = format!(
        "no attempt{to} got any answer, from the first one on and whatever the load: packets are dropped (a firewall, \
         a security group, a control panel's rule), or no host has that address"
    );
    let span = if facts.syn_retransmits > 0 { Span::EachAttempt } else { Span::Unknown };
    Claim::new(FindingId::DroppedOnTheWay, Side::Path, says)
        .seen(Owner::Destinations, span)
        .without(FOR_SOME, "not one connection was taken")
        .unless(QUEUES, "on the server: ss -ltm, nstat -az TcpExtListenDrops")
        .unless(&[FindingId::LongRoundTrip], "a longer timeout")
        .remedy("open the port: firewall of the server, security group of the cloud, control panel")
        .remedy(route_remedy(destination))
}

fn route_remedy(destination: Option<SocketAddr>) -> String {
    let address = destination.map_or("ADDRESS".to_owned(), |to| to.ip().to_string());
    let is_private = destination.is_some_and(|to| super::Scope::of(to.ip()).is_private());
    let wants = if is_private { "; a private address wants a route of its own, or a VPN" } else { "" };
    format!("check the address: ip route get {address}{wants}")
}

/// The target is on this host, and its listener has room.
fn dropped_here(facts: &Facts, listener: &Listening, to: &str) -> Claim {
    let says = format!(
        "no attempt{to} got any answer, although {} listens there with room in its queue: the packets are dropped \
         before they come to it, as by {}{}",
        listener.described(),
        if facts.filters_nothing().is_some() {
            "a program of tc, XDP or a cgroup (no rule of nftables or iptables drops anything here)"
        } else {
            "a rule of this host's own firewall (input or output chain)"
        },
        if facts.translates_nothing().is_some() { "" } else { ", or led to another host (DNAT)" }
    );
    let counters = facts.counters;
    let no_md5 = counters
        .filter(|counters| counters.unsigned() == 0)
        .map(|_| "TCPMD5NotFound and TCPAORequired stood still");
    Claim::new(FindingId::DroppedOnTheWay, Side::Path, says)
        .seen(Owner::Listener(listener.address), Span::EachAttempt)
        .without(FOR_SOME, "not one connection was taken")
        .without(
            &[
                FindingId::NoSuchHost,
                FindingId::GatewaySilent,
                FindingId::PrivateAddressOutOfReach,
                FindingId::LongRoundTrip,
            ],
            "the address is this host's own",
        )
        .without_if(QUEUES, quiet(facts, listener), "ss -ltm: d, the drops of that listener")
        .without_if(
            &[FindingId::TcpMd5Demanded],
            no_md5,
            "nstat -az TcpExtTCPMD5NotFound TcpExtTCPAORequired",
        )
        .without_if(
            &[FindingId::ConntrackFull, FindingId::SnatPortsExhausted],
            facts.tracking_lost_nothing(),
            "conntrack -S",
        )
        .without_if(
            &[FindingId::GeneratorLate],
            (!facts.generator_late).then_some("attempts started in time"),
            "a smaller load",
        )
        .without_if(
            &[FindingId::TranslatedToDeadHost],
            facts.translates_nothing(),
            "nft list ruleset: a chain of the type nat",
        )
        .resting_on(Evidence::default().with("listens_on", listener.described()))
        .remedy("nft list ruleset    # or: iptables -L -n -v; the counter of the rule that drops goes up")
}

fn some(facts: &Facts, failed: &FailureFact) -> Claim {
    let says = format!(
        "{} attempts got no answer while {} others connected: packets are lost on the way, or a queue or a table there \
         was full at times (accept queue, SYN queue, connection tracking, address translation)",
        failed.count, facts.opened
    );
    Claim::new(FindingId::SomeTimedOut, Side::Path, says)
        .seen(Owner::Destinations, Span::EachAttempt)
        .without(FOR_ALL, format!("{} connections opened", facts.opened))
        .unless(QUEUES, "on the server: nstat -az TcpExtListenOverflows TcpExtListenDrops TcpExtTCPReqQFullDrop")
        .unless(
            &[FindingId::ConntrackFull, FindingId::SnatPortsExhausted],
            "conntrack -S on each host of the way; a NAT gateway's counters of failed port allocations",
        )
        .remedy("on the server: nstat -az TcpExtListenOverflows TcpExtListenDrops TcpExtTCPReqQFullDrop")
        .remedy("on the way: ip -s link (drops, errors); conntrack -S; a NAT gateway's counters of failed port allocations")
}

#[cfg(test)]
mod tests;
