//! The target's own queues, where it is on this host: of complete connections (accept queue) and of half-open ones
//! (SYN queue). A listener's own drops are counted against the failures of the same time; the namespace's counters are
//! every listener's.

use super::claim::{Claim, Owner, Span};
use super::rivals::TIMEOUTS;
use super::{Facts, FailureFact, FindingId, Listening};
use crate::model::{Cause, Evidence, Side, Stage};
use std::time::Duration;

/// Causes of a time-out that lie in the target's own queues.
pub(super) const QUEUES: &[FindingId] = &[
    FindingId::AcceptQueueFull,
    FindingId::SynQueueFull,
    FindingId::TargetOutOfDescriptors,
    FindingId::TargetStopped,
];
/// Drops of the target's own listener while these attempts were under way.
fn own_drops(facts: &Facts, failed: &FailureFact) -> Option<u64> {
    let took = failed.ages.map_or(Duration::ZERO, |(_, longest)| longest);
    facts.target.drops_between(failed.first_at.saturating_sub(took), failed.last_at)
}

/// A queue of the target's own listener had no room when these attempts came.
pub(super) fn queue(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    let seen_full = facts.target.queue_seen_full || facts.full_listener().is_some();
    // A few drops are not what most of the attempts failed of.
    if !seen_full && own_drops(facts, failed).is_some_and(|drops| drops * 2 < failed.count) {
        return None;
    }
    if accept_queue_overflowed(facts) {
        return Some(accept_queue_for(facts, failed));
    }
    syn_queue(facts, failed)
}

fn accept_queue_for(facts: &Facts, failed: &FailureFact) -> Claim {
    let drops = own_drops(facts, failed);
    let claim =
        with_resets(facts, accept_queue(facts), drops.map(|drops| drops.saturating_sub(failed.count)));
    let full_at_the_end = facts.full_listener().is_some();
    match drops {
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
    let claim = Claim::new(FindingId::AcceptQueueFull, Side::Target, says)
        .seen(owner, Span::Throughout)
        .resting_on(
            Evidence::default()
                .with_known("waiting", full.map(|at| at.waiting))
                .with_known("backlog", full.map(|at| at.backlog))
                .with_known("dropped_by_its_own_listener", facts.target.listener_drops),
        )
        .remedy("accept faster: more workers, no slow work between accept() calls; ss -ltn shows Recv-Q above Send-Q while the queue is full");
    longer_queue(facts, claim)
}

/// Where servers take the length of their accept queue from.
const BACKLOG: &str = "a longer queue: listen(fd, 4096) in the server: nginx listen PORT backlog=4096; HAProxy backlog 4096; Envoy tcp_backlog_size; Node server.listen({ backlog: 4096 }); Java new ServerSocket(PORT, 4096); Python listen(4096), gunicorn backlog = 4096; Go takes net.core.somaxconn by itself";

/// A longer accept queue: the server's own length of it, and the bound of this host where that is what binds.
pub(super) fn longer_queue(facts: &Facts, claim: Claim) -> Claim {
    let listener = facts.destinations.iter().find_map(|to| facts.listener_for(*to));
    let bound = facts.host.somaxconn;
    let backlog = listener.map(|at| u64::from(at.backlog));
    let claim = claim.remedy(BACKLOG);
    // A backlog below the bound is the server's own wish.
    if backlog.zip(bound).is_some_and(|(backlog, bound)| backlog < bound) {
        return claim;
    }
    claim.remedy(format!(
        "sysctl -w net.core.somaxconn=4096    # {}then start the server again",
        bound.map_or(String::new(), |max| format!("now {max}; "))
    ))
}

/// Half-open connections had no room. With SYN cookies this does not happen.
fn syn_queue(facts: &Facts, failed: &FailureFact) -> Option<Claim> {
    if facts.target_is_local != Some(true) {
        return None;
    }
    let own = own_drops(facts, failed).filter(|drops| *drops > 0);
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

/// Causes of RSTs to connections that were complete, but for a full accept queue.
const RESETS: &[FindingId] = &[
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

/// RST to connections that were complete: a full accept queue with `tcp_abort_on_overflow`.
pub(super) fn aborted_on_overflow(facts: &Facts) -> Option<Claim> {
    // Beside time-outs of the same queue they are told with those.
    if !resets_on_overflow(facts) || facts.failed(Stage::Connect, Cause::TimedOut).is_some() {
        return None;
    }
    let claim = with_resets(facts, accept_queue(facts), facts.target.listener_drops);
    (claim.claimed() > 0).then_some(claim)
}

/// The claim with the resets of what the queue had no room for; `drops`: those of the listener that nothing else
/// explains.
fn with_resets(facts: &Facts, claim: Claim, drops: Option<u64>) -> Claim {
    if !resets_on_overflow(facts) {
        return claim;
    }
    let resets: Vec<&FailureFact> =
        facts.failures.iter().filter(|failed| failed.failure.cause == Cause::Reset).collect();
    let count: u64 = resets.iter().map(|failed| failed.count).sum();
    if count == 0 {
        return claim;
    }
    let counted = drops.filter(|drops| *drops >= count);
    resets
        .into_iter()
        .fold(claim, Claim::explaining)
        .without_if(
            RESETS,
            counted
                .map(|drops| format!("its own listener had no room {drops} times, and resets what has none")),
            "ss -ltm on the server: d, the drops of that listener",
        )
        .remedy("sysctl -w net.ipv4.tcp_abort_on_overflow=0    # wait rather than reset")
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

/// A listener with room, and nothing dropped by it.
pub(super) fn quiet(facts: &Facts, listener: &Listening) -> Option<String> {
    let drops = facts.target.listener_drops;
    (drops == Some(0) && !listener.is_full())
        .then(|| format!("{} has room in its queue and dropped nothing", listener.address))
}
