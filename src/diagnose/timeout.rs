//! Attempts that timed out in connect(): lost on the way, or met a queue that was full.

use super::{Certainty, Facts, FailureFact, Finding};
use crate::attempt::{Cause, Side, Stage};
use crate::metrics::Evidence;

/// No answer to connect().
pub(super) fn timed_out(facts: &Facts) -> Option<(u64, Finding)> {
    let failed = facts.failed(Stage::Connect, Cause::TimedOut)?;
    let finding = if accept_queue_overflowed(facts) {
        accept_queue(facts)
    } else if conntrack_dropped(facts) {
        // Said by its own rule, with its numbers.
        return None;
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
    Some((failed.count, finding.resting_on(evidence)))
}

/// The counters are the target's only where the target is on this host.
fn accept_queue_overflowed(facts: &Facts) -> bool {
    facts.target_is_local == Some(true) && facts.counters.is_some_and(|c| c.listen_overflows > 0)
}

fn conntrack_dropped(facts: &Facts) -> bool {
    facts.conntrack.is_some_and(|(_, lost)| lost.drop > 0)
}

fn accept_queue(facts: &Facts) -> Finding {
    let overflows = facts.counters.map_or(0, |counters| counters.listen_overflows);
    let says = format!(
        "the listener's accept queue was full: {overflows} handshakes found no room (ListenOverflows). The server \
         accepts too slowly for its backlog, or not at all; this is no firewall"
    );
    Finding::new("accept-queue-full", Side::Target, Certainty::Proved, says)
        .remedy("ss -ltn    # Recv-Q above Send-Q: the queue is full")
        .remedy(format!(
            "accept faster, or a longer queue: listen(backlog) and net.core.somaxconn{}",
            facts.host.somaxconn.map_or(String::new(), |max| format!(" (now {max})"))
        ))
}

fn dropped(facts: &Facts, failed: &FailureFact) -> Finding {
    let to = failed.lease.map_or(String::new(), |lease| format!(" to {}", lease.destination));
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
mod tests {
    use super::*;
    use crate::attempt::Failure;
    use crate::diagnose::diagnose;
    use crate::kernel::proc_net::{Conntrack, ConntrackDrops, Counters};
    use std::time::Duration;

    fn facts() -> Facts {
        Facts {
            syn_retransmits: 4,
            failures: vec![FailureFact {
                failure: Failure::new(Stage::Connect, Cause::TimedOut),
                count: 4,
                first_at: Duration::from_secs(3),
                last_at: Duration::from_secs(3),
                first_ordinal: 0,
                lease: None,
            }],
            ..Facts::default()
        }
    }

    fn ids(facts: &Facts) -> Vec<(String, Certainty)> {
        diagnose(facts).into_iter().map(|finding| (finding.id, finding.certainty)).collect()
    }

    #[test]
    fn a_full_queue_is_proved_by_its_counter_on_this_host_only() {
        let mut facts = facts();
        facts.counters = Some(Counters { listen_overflows: 9, ..Counters::default() });
        facts.target_is_local = Some(true);
        assert_eq!(ids(&facts), [("accept-queue-full".into(), Certainty::Proved)]);
        facts.target_is_local = Some(false);
        assert_eq!(ids(&facts), [("dropped-on-the-way".into(), Certainty::Likely)]);
    }

    #[test]
    fn drops_of_connection_tracking_go_before_a_firewall() {
        let mut facts = facts();
        let lost = ConntrackDrops { drop: 7, ..ConntrackDrops::default() };
        facts.conntrack = Some((Conntrack { count: 100, max: 100, drops: Some(lost) }, lost));
        assert_eq!(ids(&facts), [("conntrack-full".into(), Certainty::Proved)]);
    }

    #[test]
    fn a_few_timeouts_among_successes_are_no_firewall() {
        let facts = Facts { opened: 1000, ..facts() };
        assert_eq!(ids(&facts), [("some-timed-out".into(), Certainty::Possible)]);
    }
}
