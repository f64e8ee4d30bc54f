//! Connections that came about, but late: their SYN had to be sent again.

use super::{Certainty, Facts, Finding};
use crate::model::{Cause, Evidence, Side, Stage};

/// Fewer than this may be chance.
const FEWEST: u64 = 3;
/// Share of the connections that has to be late for it to be worth a finding.
const SHARE: f64 = 0.001;

/// SYNs were lost, and every attempt that lost one still got its connection.
pub(super) fn syn_lost(facts: &Facts) -> Option<(u64, Finding)> {
    let late = facts.syn_retransmits;
    let gave_up = facts.failed(Stage::Connect, Cause::TimedOut).is_some();
    if gave_up || late < FEWEST || (late as f64) < facts.opened as f64 * SHARE {
        return None;
    }
    let counters = facts.counters.unwrap_or_default();
    let evidence = Evidence::default()
        .with("attempts_with_a_syn_sent_again", late)
        .with("opened", facts.opened)
        .with("listen_overflows", counters.listen_overflows)
        .with_known("tcp_syn_retrans", facts.counters.map(|counters| counters.syn_retransmits));
    // Only on this host are the counters the target's.
    let queue_was_full = facts.target_is_local == Some(true) && counters.listen_overflows > 0;
    let finding = if queue_was_full {
        let says = format!(
            "{late} connections were late by a second or more: the listener's accept queue was full when they came \
             ({} times), and had room when their SYN was sent again",
            counters.listen_overflows
        );
        Finding::new("accept-queue-full", Side::Target, Certainty::Proved, says)
            .remedy("accept faster, or a longer queue: listen(backlog) and net.core.somaxconn")
    } else {
        let says = format!(
            "{late} of {} connections were late by a second or more, and none failed: their first SYN, or the answer \
             to it, was lost on the way, or dropped by a queue of the server",
            facts.opened
        );
        Finding::new("syn-lost-on-the-way", Side::Path, Certainty::Likely, says)
            .remedy("on the server: nstat -az TcpExtListenDrops TcpExtTCPReqQFullDrop IpExtInNoRoutes")
            .remedy("on the way: ip -s link (drops, errors); mtr --tcp --port PORT HOST")
    };
    Some((late, finding.resting_on(evidence)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::diagnose;
    use crate::linux::proc_net::Counters;

    fn first(facts: &Facts) -> Option<(String, Certainty)> {
        diagnose(facts).first().map(|finding| (finding.id.clone(), finding.certainty))
    }

    #[test]
    fn late_connections_are_the_ways_or_a_full_queues() {
        let mut facts = Facts { opened: 100, syn_retransmits: 3, ..Facts::default() };
        assert_eq!(first(&facts), Some(("syn-lost-on-the-way".into(), Certainty::Likely)));
        facts.counters = Some(Counters { listen_overflows: 3, ..Counters::default() });
        assert_eq!(first(&facts).unwrap().0, "syn-lost-on-the-way", "another listener's counter");
        facts.target_is_local = Some(true);
        assert_eq!(first(&facts), Some(("accept-queue-full".into(), Certainty::Proved)));
    }

    #[test]
    fn a_few_of_very_many_are_nothing() {
        let few = Facts { opened: 100, syn_retransmits: 2, ..Facts::default() };
        let share = Facts { opened: 10_000, syn_retransmits: 9, ..Facts::default() };
        assert_eq!((first(&few), first(&share)), (None, None));
    }
}
