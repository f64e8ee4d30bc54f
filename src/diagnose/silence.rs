//! Connections that are there, and a server that says nothing: the kernel completes handshakes for a program
//! that does not, or can't, call accept().

use super::{Certainty, Facts, Finding, Heard};
use crate::attempt::Side;
use crate::metrics::Evidence;

/// The local server's descriptor table is full while connections wait for it.
pub(super) fn out_of_descriptors(facts: &Facts) -> Option<(u64, Finding)> {
    let table = facts.server_table.as_ref().filter(|table| table.is_full())?;
    let waiting: u32 =
        facts.destinations.iter().filter_map(|to| facts.listener_for(*to)).map(|at| at.waiting).max()?;
    let limit = table.limit?;
    let says = format!(
        "the server {} (pid {}) has all {limit} descriptors in use that it may have (EMFILE in accept()): the kernel \
         completes further handshakes, and nobody takes them. Connections open and then stay silent, until the accept \
         queue is full and they time out",
        table.holder.name, table.holder.pid
    );
    let evidence = Evidence::default()
        .with("descriptors", table.open)
        .with("limit", limit)
        .with("pid", table.holder.pid)
        .with("waiting_for_accept", waiting);
    let finding = Finding::new("target-out-of-descriptors", Side::Target, Certainty::Proved, says)
        .resting_on(evidence)
        .remedy(format!(
            "prlimit --pid {} --nofile=1048576    # at once, up to its hard limit",
            table.holder.pid
        ))
        .remedy(
            "for good: LimitNOFILE= of its systemd unit, or worker_rlimit_nofile and the like of the server",
        );
    Some((facts.failed_attempts().max(u64::from(waiting)), finding))
}

/// Nothing came back.
pub(super) fn silent(facts: &Facts) -> Option<(u64, Finding)> {
    if facts.server_table.as_ref().is_some_and(crate::kernel::holders::Table::is_full) {
        return None;
    }
    let reply = facts.exchanges.iter().find(|exchange| matches!(exchange.heard, Heard::Silence { .. }));
    let count = reply.map_or(0, |reply| reply.count);
    let destination = reply.map(|reply| reply.destination).or(facts.destinations.first().copied());
    if let Some(unaccepted) = facts.unaccepted {
        return Some((count.max(1), not_accepted(facts, unaccepted)));
    }
    if count == 0 {
        return None;
    }
    let to = destination.map_or("the target".to_owned(), |to| to.to_string());
    let tls = matches!(reply.map(|reply| &reply.heard), Some(Heard::Silence { in_place_of_tls: true }));
    let says = format!(
        "{to} takes connections and then says nothing{}: the server is stuck or stopped, is out of descriptors or \
         threads, or waits for the client to speak another protocol",
        if tls { ", not even to a TLS handshake" } else { "" }
    );
    let finding = Finding::new("silent-after-connect", Side::Target, Certainty::Likely, says)
        .resting_on(Evidence::default().with("silent", count).with("opened", facts.opened))
        .remedy(
            "on the server: ss -ltn (Recv-Q above 0: it does not accept), and its limits: /proc/PID/limits",
        )
        .remedy("speak what the server expects");
    Some((count, finding))
}

fn not_accepted(facts: &Facts, unaccepted: std::net::SocketAddr) -> Finding {
    let listener = facts.listener_for(unaccepted);
    let who = listener.map_or(unaccepted.to_string(), super::Listening::described);
    let says = format!(
        "{who} does not call accept(): the kernel completed the handshake, and the connection waits in the accept queue. \
         The program is stuck, stopped (SIGSTOP, a debugger), or out of threads or descriptors"
    );
    Finding::new("not-accepted", Side::Target, Certainty::Proved, says)
        .resting_on(
            Evidence::default()
                .with_known("waiting_for_accept", listener.map(|at| at.waiting))
                .with_known("backlog", listener.map(|at| at.backlog)),
        )
        .remedy("look at the program: ps -o stat,wchan -p PID (T: stopped), its log, its limits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Exchange, Listening, diagnose};
    use crate::kernel::holders::{Holder, Table};
    use crate::protocol::Kind;

    fn facts(open: u64) -> Facts {
        let to = ([127, 0, 0, 1], 80).into();
        let holder = Holder { pid: 7, name: "server".into() };
        let heard = Heard::Silence { in_place_of_tls: false };
        Facts {
            destinations: vec![to],
            listening: vec![Listening { address: to, waiting: 3, backlog: 128, holder: None }],
            server_table: Some(Table { holder, open, limit: Some(64) }),
            exchanges: vec![Exchange::new(to, Kind::Ws, heard)],
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (String, Certainty) {
        let finding = diagnose(facts).remove(0);
        (finding.id, finding.certainty)
    }

    #[test]
    fn a_full_table_is_the_cause_and_one_with_room_is_not() {
        assert_eq!(first(&facts(64)), ("target-out-of-descriptors".into(), Certainty::Proved));
        assert_eq!(first(&facts(63)), ("silent-after-connect".into(), Certainty::Likely));
    }

    #[test]
    fn a_connection_that_nobody_took_proves_it() {
        let facts = Facts { unaccepted: Some(([127, 0, 0, 1], 80).into()), ..facts(9) };
        assert_eq!(first(&facts), ("not-accepted".into(), Certainty::Proved));
    }
}
