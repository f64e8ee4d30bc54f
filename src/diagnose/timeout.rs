//! Attempts that timed out in connect(): lost on the way, or met a queue that was full.

use super::{Certainty, Facts, FailureFact, Finding};
use crate::model::{Cause, Evidence, Side, Stage};

/// A source address that fails has to fail with this share of its attempts for it to be the cause.
const NEARLY_ALL: f64 = 0.9;

/// No answer to connect().
pub(super) fn timed_out(facts: &Facts) -> Option<(u64, Finding)> {
    let failed = facts.failed(Stage::Connect, Cause::TimedOut)?;
    let finding = if accept_queue_overflowed(facts) {
        if facts.server_table.as_ref().is_some_and(crate::linux::holders::Table::is_full) {
            // The queue is full because the server can't accept: said by its own rule.
            return None;
        }
        accept_queue(facts)
    } else if conntrack_dropped(facts)
        || facts.only_some_destinations(failed)
        || facts.is_out_of_reach(failed)
    {
        // Said by rules of their own, with their numbers.
        return None;
    } else if let Some(finding) = syn_queue(facts).or_else(|| some_sources(facts, failed)) {
        finding
    } else if facts.opened == 0 {
        dropped(facts, failed)
    } else {
        some(facts, failed)
    };
    let counters = facts.counters.unwrap_or_default();
    let evidence = Evidence::default()
        .with("timed_out", failed.count)
        .with("opened", facts.opened)
        .with("first_at_s", failed.first_at.as_secs_f64())
        .with("attempts_with_a_syn_sent_again", facts.syn_retransmits)
        .with("listen_overflows", counters.listen_overflows)
        .with("listen_drops", counters.listen_drops)
        .with_known("tcp_syn_retrans", facts.counters.map(|c| c.syn_retransmits));
    let evidence = finding.evidence.iter().fold(evidence, |all, (name, fact)| all.with(name, fact.clone()));
    Some((failed.count, finding.resting_on(evidence)))
}

/// RST to connections that were complete: a full accept queue with `tcp_abort_on_overflow`.
pub(super) fn aborted_on_overflow(facts: &Facts) -> Option<(u64, Finding)> {
    let reset: u64 = facts.failed_by(Cause::Reset);
    if reset == 0 || !resets_on_overflow(facts) || facts.failed(Stage::Connect, Cause::TimedOut).is_some() {
        return None;
    }
    let overflows = facts.counters.map_or(0, |counters| counters.listen_overflows);
    let evidence = Evidence::default().with("reset", reset).with("listen_overflows", overflows);
    let finding = accept_queue(facts).resting_on(evidence);
    Some((reset, finding.remedy("sysctl -w net.ipv4.tcp_abort_on_overflow=0    # wait rather than reset")))
}

/// Whether the kernel of the target resets what its accept queue has no room for, and did.
pub(super) fn resets_on_overflow(facts: &Facts) -> bool {
    facts.host.tcp_abort_on_overflow == Some(true) && accept_queue_overflowed(facts)
}

/// The counters are the target's only where the target is on this host.
pub(super) fn accept_queue_overflowed(facts: &Facts) -> bool {
    let counted = facts.counters.is_some_and(|c| c.listen_overflows > 0);
    facts.target_is_local == Some(true) && (counted || facts.full_listener().is_some())
}

fn conntrack_dropped(facts: &Facts) -> bool {
    facts.conntrack.is_some_and(|(_, lost)| lost.drop > 0)
}

fn accept_queue(facts: &Facts) -> Finding {
    let overflows = facts.counters.map_or(0, |counters| counters.listen_overflows);
    let full = facts.full_listener();
    let queue = full.map_or(String::new(), |at| {
        format!(": {} connections wait at {}, whose backlog is {}", at.waiting, at.described(), at.backlog)
    });
    let says = format!(
        "the listener's accept queue was full{queue}; {overflows} handshakes found no room (ListenOverflows). The \
         server accepts too slowly for its backlog, or not at all; this is no firewall"
    );
    Finding::new("accept-queue-full", Side::Target, Certainty::Proved, says)
        .resting_on(
            Evidence::default()
                .with_known("waiting", full.map(|at| at.waiting))
                .with_known("backlog", full.map(|at| at.backlog)),
        )
        .remedy("ss -ltn    # Recv-Q above Send-Q: the queue is full")
        .remedy(format!(
            "accept faster, or a longer queue: listen(backlog) and net.core.somaxconn{}",
            facts.host.somaxconn.map_or(String::new(), |max| format!(" (now {max})"))
        ))
}

/// Half-open connections had no room. With SYN cookies this does not happen.
fn syn_queue(facts: &Facts) -> Option<Finding> {
    let drops = facts.counters?.syn_queue_drops;
    if drops == 0 || facts.target_is_local != Some(true) {
        return None;
    }
    let says = format!(
        "{drops} SYNs found the queue of half-open connections full and were dropped (TCPReqQFullDrop), as SYN \
         cookies are off"
    );
    let finding = Finding::new("syn-queue-full", Side::Target, Certainty::Proved, says)
        .resting_on(Evidence::default().with("syn_queue_drops", drops))
        .remedy("sysctl -w net.ipv4.tcp_syncookies=1")
        .remedy("sysctl -w net.ipv4.tcp_max_syn_backlog=65536    # with a backlog of listen() as large");
    Some(finding)
}

/// Only some source addresses time out, and those with all of their attempts.
fn some_sources(facts: &Facts, failed: &FailureFact) -> Option<Finding> {
    let failing = failed.by_source.len() as u64;
    if failing == 0 || failing >= facts.sources || facts.opened == 0 {
        return None;
    }
    // Sources take turns, so that each has the same share of the attempts; some are still under way.
    let share = facts.started as f64 / facts.sources as f64;
    if failed.by_source.iter().any(|(_, count)| (*count as f64) < share * NEARLY_ALL) {
        return None;
    }
    let named: Vec<String> = failed.by_source.iter().take(5).map(|(source, _)| source.to_string()).collect();
    let dropped_back = facts.counters.map_or(0, |counters| counters.reverse_path_drops);
    let says = format!(
        "every attempt from {} timed out, and none from the other {} source addresses: something on the way drops \
         that source (a security group, a firewall's rule), or its answers do not find the way back (rp_filter, a \
         missing route)",
        named.join(", "),
        facts.sources - failing
    );
    let finding = Finding::new("some-sources-time-out", Side::Path, Certainty::Likely, says)
        .resting_on(
            Evidence::default()
                .with("sources_that_time_out", named.join(", "))
                .with("sources", facts.sources)
                .with("reverse_path_drops", dropped_back),
        )
        .remedy("allow that source address: security group, firewall of the server")
        .remedy(format!("on the server: ip route get {}    # the way back", failed.by_source[0].0))
        .remedy(
            "sysctl net.ipv4.conf.all.rp_filter    # 1 drops what comes by another way than answers would go",
        );
    Some(finding)
}

fn dropped(facts: &Facts, failed: &FailureFact) -> Finding {
    let destination = failed.lease.map(|lease| lease.destination);
    let to = destination.map_or(String::new(), |to| format!(" to {to}"));
    let own = destination.filter(|to| facts.is_local(to.ip())).and_then(|to| facts.listener_for(to));
    let quiet = facts.counters.is_some_and(|c| c.listen_drops == 0 && c.reverse_path_drops == 0);
    if let Some(listener) = own
        && quiet
        && facts.syn_retransmits > 0
    {
        let says = format!(
            "no attempt{to} got any answer, although {} listens there with room in its queue, and no counter of a \
             listener went up: a rule of this host's own firewall drops the packets",
            listener.described()
        );
        return Finding::new("dropped-on-the-way", Side::Path, Certainty::Proved, says)
            .resting_on(Evidence::default().with("listens_on", listener.described()))
            .remedy(
                "nft list ruleset    # or: iptables -L -n -v; the counter of the rule that drops goes up",
            );
    }
    let says = format!(
        "no attempt{to} got any answer, from the first one on and whatever the load: packets are dropped (a firewall, \
         a security group, a control panel's rule), or no host has that address"
    );
    let certainty = if facts.syn_retransmits > 0 { Certainty::Likely } else { Certainty::Possible };
    Finding::new("dropped-on-the-way", Side::Path, certainty, says)
        .remedy("open the port: firewall of the server, security group of the cloud, control panel")
        .remedy("check the address: ip route get ADDRESS; a private address (10/8, 172.16/12, 192.168/16) wants a route or a VPN")
}

fn some(facts: &Facts, failed: &FailureFact) -> Finding {
    let says = format!(
        "{} attempts got no answer while {} others connected: packets are lost on the way, or a queue of the server \
         (accept queue, SYN queue, connection tracking) was full at times",
        failed.count, facts.opened
    );
    Finding::new("some-timed-out", Side::Path, Certainty::Possible, says)
        .remedy("on the server: nstat -az TcpExtListenOverflows TcpExtListenDrops TcpExtTCPReqQFullDrop")
        .remedy("on the way: conntrack -S; a NAT gateway's counters of failed port allocations")
}

#[cfg(test)]
mod tests;
