//! Connections that are there, and a server that says nothing: the kernel completes handshakes for a program
//! that does not, or can't, call accept().

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::linux::holders::Table;
use crate::model::{Cause, Evidence, Side, Stage};

/// The local server's descriptor table is full while connections wait for it.
pub(super) fn out_of_descriptors(facts: &Facts) -> Option<Claim> {
    let table = facts.server_table.as_ref().filter(|table| table.is_full())?;
    let listener =
        facts.destinations.iter().filter_map(|to| facts.listener_for(*to)).max_by_key(|at| at.waiting)?;
    let waiting = listener.waiting;
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
    let finding = Claim::new(FindingId::TargetOutOfDescriptors, Side::Target, says)
        .seen(Owner::Listener(listener.address), Span::Throughout)
        .resting_on(evidence)
        .remedy(format!(
            "prlimit --pid {} --nofile=1048576    # at once, up to its hard limit",
            table.holder.pid
        ))
        .remedy(
            "for good: LimitNOFILE= of its systemd unit, or worker_rlimit_nofile and the like of the server",
        );
    let seen = format!("{} of {limit} descriptors in use", table.open);
    Some(silent_failures(facts).fold(finding, Claim::explaining).without(super::rivals::SILENCES, seen))
}

/// A local server whose descriptor table is not the reason does not take its connections.
pub(super) fn not_accepted(facts: &Facts) -> Option<Claim> {
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
    let finding = Claim::new(FindingId::NotAccepted, Side::Target, says)
        .resting_on(evidence)
        .remedy("look at the program: ps -o stat,wchan -p PID (T: stopped), its log, its limits");
    let seen = format!("{unaccepted} had not accepted the connection when the time was over");
    Some(
        silent_failures(facts)
            .fold(finding, Claim::explaining)
            .seen(Owner::Listener(unaccepted), Span::Throughout)
            .without(super::rivals::SILENCES, seen),
    )
}

/// Failures by which a server shows that nobody takes its connections: silence, and then no room in its queue.
fn silent_failures(facts: &Facts) -> impl Iterator<Item = &FailureFact> {
    facts
        .failures
        .iter()
        .filter(|failed| failed.failure.cause == Cause::TimedOut && failed.failure.stage != Stage::Session)
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
    use crate::diagnose::{Certainty, FailureFact, Listening, diagnose};
    use crate::linux::holders::Holder;
    use crate::model::{Cause, Failure, Stage};
    use crate::protocol::Kind;

    fn facts(open: u64) -> Facts {
        let to = ([127, 0, 0, 1], 80).into();
        let holder = Holder { pid: 7, name: "server".into() };
        let silence = Failure::new(Stage::Handshake, Cause::TimedOut);
        Facts {
            destinations: vec![to],
            listening: vec![Listening { waiting: 3, ..Listening::at(to, 128) }],
            server_table: Some(Table { holder, open, limit: Some(64) }),
            spoken: Some(Kind::Ws),
            failures: vec![FailureFact::new(silence, 1)],
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (String, Certainty) {
        let finding = diagnose(facts).remove(0);
        (finding.id.to_string(), finding.certainty)
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
