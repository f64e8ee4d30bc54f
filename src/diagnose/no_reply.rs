//! Connections that are there, and a server that says nothing: the kernel completes handshakes for a program
//! that does not, or can't, call accept().

use super::{Certainty, Facts, Finding};
use crate::linux::holders::Table;
use crate::model::{Evidence, Side};

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

/// A local server whose descriptor table is not the reason does not take its connections.
pub(super) fn not_accepted(facts: &Facts) -> Option<(u64, Finding)> {
    let unaccepted = facts.unaccepted.filter(|_| !facts.is_out_of_descriptors())?;
    let listener = facts.listener_for(unaccepted);
    let who = listener.map_or(unaccepted.to_string(), super::Listening::described);
    let says = format!(
        "{who} does not call accept(): the kernel completed the handshake, and the connection waits in the accept queue. \
         The program is stuck, stopped (SIGSTOP, a debugger), or out of threads or descriptors"
    );
    let evidence = Evidence::default()
        .with_known("waiting_for_accept", listener.map(|at| at.waiting))
        .with_known("backlog", listener.map(|at| at.backlog));
    let finding = Finding::new("not-accepted", Side::Target, Certainty::Proved, says)
        .resting_on(evidence)
        .remedy("look at the program: ps -o stat,wchan -p PID (T: stopped), its log, its limits");
    Some((facts.failed_attempts().max(1), finding))
}

impl Facts {
    /// Whether the local server's descriptor table is full.
    fn is_out_of_descriptors(&self) -> bool {
        self.server_table.as_ref().is_some_and(Table::is_full)
    }

    /// Whether it is known why the server says nothing.
    pub(super) fn silence_is_explained(&self) -> bool {
        self.unaccepted.is_some() || self.is_out_of_descriptors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{FailureFact, Listening, diagnose};
    use crate::linux::holders::Holder;
    use crate::model::{Cause, Failure, Stage};
    use crate::protocol::Kind;

    fn facts(open: u64) -> Facts {
        let to = ([127, 0, 0, 1], 80).into();
        let holder = Holder { pid: 7, name: "server".into() };
        let silence = Failure::new(Stage::Handshake, Cause::TimedOut);
        Facts {
            destinations: vec![to],
            listening: vec![Listening { address: to, waiting: 3, backlog: 128, holder: None }],
            server_table: Some(Table { holder, open, limit: Some(64) }),
            spoken: Some(Kind::Ws),
            failures: vec![FailureFact::new(silence, 1)],
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
