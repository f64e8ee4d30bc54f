//! Attempts that timed out in connect(): lost on the way, or met a queue that was full.

use super::claim::{Claim, Owner, Span};
use super::rivals::TIMEOUTS;
use super::{Facts, FailureFact, FindingId, Listening};
use crate::linux::holders::Table;
use crate::model::{Cause, Evidence, Side, Stage};
use std::net::SocketAddr;

/// Causes of a time-out that lie in the target's own queues.
const QUEUES: &[FindingId] = &[
    FindingId::AcceptQueueFull,
    FindingId::SynQueueFull,
    FindingId::TargetOutOfDescriptors,
    FindingId::TargetStopped,
];
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
    if told || facts.failing_destinations(failed).is_some() {
        // Said by rules of their own, with their numbers.
        return None;
    }
    let claim = if let Some(claim) = queue(facts, failed) {
        if facts.server_table().is_some_and(Table::is_full) {
            // The queue is full because the server can't accept: said by its own rule.
            return None;
        }
        claim
    } else if facts.conntrack_is_full() || super::tracking::is_own_snat(facts, failed) {
        // Said by rules of their own.
        return None;
    } else if let Some(claim) = md5_demanded(facts, failed).or_else(|| some_sources(facts, failed)) {
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

/// RST to connections that were complete: a full accept queue with `tcp_abort_on_overflow`.
pub(super) fn aborted_on_overflow(facts: &Facts) -> Option<Claim> {
    if !resets_on_overflow(facts) || facts.failed(Stage::Connect, Cause::TimedOut).is_some() {
        return None;
    }
    let reset = facts.failures.iter().filter(|failed| failed.failure.cause == Cause::Reset);
    let claim = reset.fold(accept_queue(facts), Claim::explaining);
    if claim.claimed() == 0 {
        return None;
    }
    let counted = facts.target.listener_drops.filter(|drops| *drops >= claim.claimed());
    let resets: &[FindingId] = &[
        FindingId::ConnectionLimit,
        FindingId::ClosedBeforeTheReply,
        FindingId::ClosedInTheTlsHandshake,
        FindingId::ResetInTheHandshake,
        FindingId::ClosedByTheServer,
        FindingId::ResetByTheServer,
        FindingId::IdleTimeout,
        FindingId::KeepAliveLimit,
        FindingId::ServerReloaded,
        FindingId::ServerRestarted,
        FindingId::ServerGone,
    ];
    Some(
        claim
            .without_if(
                resets,
                counted.map(|drops| {
                    format!("its own listener had no room {drops} times, and resets what has none")
                }),
                "ss -ltm on the server: d, the drops of that listener",
            )
            .remedy("sysctl -w net.ipv4.tcp_abort_on_overflow=0    # wait rather than reset"),
    )
}

/// True if the kernel of the target resets what its accept queue has no room for, and did.
pub(super) fn resets_on_overflow(facts: &Facts) -> bool {
    facts.host.tcp_abort_on_overflow == Some(true) && accept_queue_overflowed(facts)
}

/// True if the target's own accept queue, on this host, was full. The namespace's counters are every listener's.
pub(super) fn accept_queue_overflowed(facts: &Facts) -> bool {
    let seen_full = facts.target.queue_seen_full || facts.full_listener().is_some();
    let dropped = facts.target.listener_drops.is_some_and(|drops| drops > 0);
    let overflowed = facts.counters.is_none_or(|counters| counters.listen_overflows > 0);
    // Without SYN cookies a listener drops for lack of room in either queue, and the counter is every listener's.
    let cookies = facts.host.tcp_syncookies != Some(0);
    facts.target_is_local == Some(true) && (seen_full || dropped && overflowed && cookies)
}

/// A queue of the target's own listener had no room.
fn queue(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    if accept_queue_overflowed(facts) {
        return Some(accept_queue_for(facts, failed));
    }
    syn_queue(facts, failed)
}

fn accept_queue_for(facts: &Facts, failed: &FailureFact) -> Claim {
    let claim = accept_queue(facts);
    let full_at_the_end = facts.full_listener().is_some();
    match facts.target.listener_drops {
        // Each attempt that timed out had its SYN, or its ACK, dropped once at least.
        Some(drops) => claim.explaining_some(failed, drops).without_if(
            TIMEOUTS,
            (drops >= failed.count)
                .then(|| format!("its own listener dropped {drops} packets, for {} time-outs", failed.count)),
            "ss -ltm: d, the drops of that listener",
        ),
        None => claim.explaining(failed).without_if(
            TIMEOUTS,
            (full_at_the_end && facts.opened == 0).then_some("its queue was full, and let nobody in"),
            "ss -ltm: d, the drops of that listener",
        ),
    }
}

fn accept_queue(facts: &Facts) -> Claim {
    let full = facts.full_listener();
    let to = facts.destinations.first().copied();
    let queue = full.map_or(String::new(), |at| {
        format!(": {} connections wait at {}, whose backlog is {}", at.waiting, at.described(), at.backlog)
    });
    let dropped = facts
        .target
        .listener_drops
        .map_or(String::new(), |drops| format!("; that listener dropped {drops} SYNs or ACKs meanwhile"));
    let says = format!(
        "the listener's accept queue was full{queue}{dropped}. The server accepts too slowly for its backlog, or not at \
         all; a firewall is not the cause"
    );
    let owner = to.map_or(Owner::Everybody, Owner::Listener);
    Claim::new(FindingId::AcceptQueueFull, Side::Target, says)
        .seen(owner, Span::Throughout)
        .resting_on(
            Evidence::default()
                .with_known("waiting", full.map(|at| at.waiting))
                .with_known("backlog", full.map(|at| at.backlog))
                .with_known("dropped_by_its_own_listener", facts.target.listener_drops),
        )
        .remedy("accept faster: more workers, no slow work between accept() calls; ss -ltn shows Recv-Q above Send-Q while the queue is full")
        .remedy(format!(
            "a longer queue: listen(backlog) in the server and sysctl -w net.core.somaxconn=4096{}",
            facts.host.somaxconn.map_or(String::new(), |max| format!("    # now {max}"))
        ))
}

/// Half-open connections had no room. With SYN cookies this does not happen.
fn syn_queue(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    if facts.target_is_local != Some(true) {
        return None;
    }
    let own = facts.target.listener_drops.filter(|drops| *drops > 0);
    let cookies_off = facts.host.tcp_syncookies == Some(0);
    let counted = facts.counters.map_or(0, |counters| counters.syn_queue_drops);
    if !(cookies_off && own.is_some() || counted > 0) {
        return None;
    }
    let drops = own.unwrap_or(counted);
    let half_open = facts.target.half_open_max;
    let says = format!(
        "the listener's queue of half-open connections was full: {drops} SYNs were dropped, as SYN cookies are off{}",
        half_open.map_or(String::new(), |n| format!(" ({n} connections were half open at once)"))
    );
    let no_overflow = facts.counters.is_some_and(|counters| counters.listen_overflows == 0);
    let owner = match (own, failed.lease) {
        (Some(_), Some(lease)) => Owner::Listener(lease.destination),
        _ => Owner::Everybody,
    };
    let enough = (own.is_some_and(|drops| drops >= failed.count) && no_overflow && cookies_off).then(|| {
        format!("its own listener dropped {drops} SYNs, no accept queue overflowed, and tcp_syncookies is 0")
    });
    Some(
        Claim::new(FindingId::SynQueueFull, Side::Target, says)
            .explaining_some(failed, drops)
            .seen(owner, Span::Throughout)
            .without_if(TIMEOUTS, enough, "ss -ltm: d, the drops of that listener; ss -tn state syn-recv")
            .resting_on(
                Evidence::default()
                    .with_known("dropped_by_its_own_listener", own)
                    .with("syn_queue_drops_of_all_listeners", counted)
                    .with_known("half_open_max", half_open)
                    .with_known("tcp_syncookies", facts.host.tcp_syncookies),
            )
            .remedy("sysctl -w net.ipv4.tcp_syncookies=1")
            .remedy("sysctl -w net.ipv4.tcp_max_syn_backlog=65536    # with a backlog of listen() as large"),
    )
}

/// The listener takes only segments that are signed.
fn md5_demanded(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let unsigned = facts.counters?.md5_not_found;
    let destination = failed.lease?.destination;
    if unsigned == 0 || !facts.is_local(destination.ip()) {
        return None;
    }
    let listener = facts.listener_for(destination)?;
    let says = format!(
        "{} demands TCP-MD5 signatures (RFC 2385, as BGP has them): {unsigned} segments without one were dropped \
         (TCPMD5NotFound)",
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
            .resting_on(Evidence::default().with("tcp_md5_not_found", unsigned))
            .remedy("connect to a port without TCP_MD5SIG; a load generator can't sign for a peer of BGP")
            .remedy("take the key of this address off the listener, if it is not meant"),
    )
}

/// A listener with room, and nothing dropped by it.
fn quiet(facts: &Facts, listener: &Listening) -> Option<String> {
    let drops = facts.target.listener_drops;
    (drops == Some(0) && !listener.is_full())
        .then(|| format!("{} has room in its queue and dropped nothing", listener.address))
}

/// Only some source addresses time out, and those with all of their attempts.
fn some_sources(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let sources = facts.failing_sources(failed)?;
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
    Some(
        Claim::new(FindingId::SomeSourcesTimeOut, Side::Path, says)
            .explaining_some(failed, sources.count)
            .seen(Owner::Sources, Span::EachAttempt)
            .without_if(FOR_ALL, significant.clone(), "more attempts from each source address")
            .without_if(&[FindingId::SomeTimedOut], significant, "more attempts from each source address")
            .unless(&[FindingId::TranslatedToDeadHost], "nft list ruleset; ip rule, on every host of the way")
            .resting_on(
                Evidence::default()
                    .with("sources_that_time_out", named.join(", "))
                    .with("sources", sources.of as u64)
                    .with_known("reverse_path_drops", dropped_back),
            )
            .remedy("allow that source address: security group, firewall of the server")
            .remedy(format!("on the server: ip route get {first}    # the way back"))
            .remedy(
                "sysctl net.ipv4.conf.all.rp_filter    # 1 drops what comes by another way than answers would go",
            ),
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
    // An answer to each SYN that was sent; many more RSTs than that are for others.
    let fits = resets * 10 >= failed.count * 9 && resets <= failed.count * 2 + 3;
    if facts.is_local(destination.ip()) || !fits || resets == 0 {
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
            .explaining_some(failed, resets)
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
    format!(
        "check the address: ip route get {address}; a private address (10/8, 172.16/12, 192.168/16) wants a route or a VPN"
    )
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
    let no_md5 = counters.filter(|c| c.md5_not_found == 0).map(|_| "TCPMD5NotFound stood still");
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
        .without_if(&[FindingId::TcpMd5Demanded], no_md5, "nstat -az TcpExtTCPMD5NotFound")
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
