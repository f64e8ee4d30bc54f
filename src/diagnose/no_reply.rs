//! Connections that are there, and a server that says nothing: the kernel completes handshakes for a program
//! that does not, or can't, call accept().

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::linux::holders::Table;
use crate::model::{Cause, Evidence, Side, Stage};

/// The local server's descriptor table is full while connections wait for it.
pub(super) fn out_of_descriptors(facts: &Facts) -> Option<Claim> {
    let table = facts.server_table().filter(|table| table.is_full())?;
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

/// The process of the local server was stopped when failures came: nothing that waited for it was served.
pub(super) fn stopped(facts: &Facts) -> Option<Claim> {
    if !facts.is_stopped() {
        return None;
    }
    let listener = facts.destinations.iter().find_map(|to| facts.listener_for(*to))?;
    let (who, pid) = (listener.described(), listener.holder.as_ref().map(|holder| holder.pid));
    let goes_on = facts.target.process_state.is_some_and(|state| !matches!(state, 'T' | 't'));
    let says = format!(
        "the server {who} {} (state T: SIGSTOP, SIGTSTP or a debugger): its kernel completes handshakes until the accept \
         queue is full, and nobody answers{}",
        if goes_on { "was stopped when connections timed out" } else { "is stopped" },
        if goes_on { ". It has gone on since" } else { "" }
    );
    let pid_text = pid.map_or("PID".to_owned(), |pid| pid.to_string());
    let kinds = facts.failures.iter().filter(|failed| failed.failure.cause == Cause::TimedOut);
    let claim = kinds.fold(Claim::new(FindingId::TargetStopped, Side::Target, says), Claim::explaining);
    let rivals: Vec<FindingId> =
        claim.kinds().flat_map(|kind| super::rivals::of(FindingId::TargetStopped, kind)).collect();
    // One that is stopped at the end only may have been stopped after the failures.
    let span = if facts.saw_it_go_on() { Span::Unknown } else { Span::Throughout };
    let claim = claim
        .seen(Owner::Listener(listener.address), span)
        .without(
            &rivals,
            format!("its process {pid_text} is in state T, and {} connections wait", listener.waiting),
        )
        .resting_on(
            Evidence::default()
                .with_known("pid", pid)
                .with_known("state", facts.target.process_state.map(|state| state.to_string()))
                .with("waiting_for_accept", listener.waiting),
        );
    let claim = if goes_on {
        claim.remedy(format!("look who stops it: a job control shell, a debugger, a freezer of its cgroup; journalctl _PID={pid_text}"))
    } else {
        claim.remedy(format!("kill -CONT {pid_text}    # or leave the debugger"))
    };
    let claim = claim.remedy(format!(
        "ps -o pid,stat,wchan,cmd -p {pid_text}    # T: stopped by a signal; t: by a debugger"
    ));
    (claim.claimed() > 0).then_some(claim)
}

/// A local server whose descriptor table is not the reason does not take its connections.
pub(super) fn not_accepted(facts: &Facts) -> Option<Claim> {
    let unaccepted = facts.unaccepted.filter(|_| !facts.is_out_of_descriptors() && !facts.is_stopped())?;
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
    /// True if the local server's descriptor table is full.
    fn is_out_of_descriptors(&self) -> bool {
        self.server_table().is_some_and(Table::is_full)
    }

    /// True if the process of the local server was seen to be stopped: when a failure came, or at the end.
    pub(super) fn is_stopped(&self) -> bool {
        let at_the_end = matches!(self.target.process_state, Some('T' | 't'));
        self.target_is_local == Some(true)
            && (at_the_end || self.stopped_at_failures().any(|stopped| stopped))
    }

    /// True if the process was looked at when failures came, and was not stopped then.
    fn saw_it_go_on(&self) -> bool {
        let mut looks = self.stopped_at_failures().peekable();
        looks.peek().is_some() && !looks.any(|stopped| stopped)
    }

    /// Looks at the server's process when time-outs came: true where it was stopped.
    fn stopped_at_failures(&self) -> impl Iterator<Item = bool> {
        self.moments
            .iter()
            .filter(|moment| moment.failure.cause == Cause::TimedOut && !moment.after_the_end)
            .filter_map(|moment| moment.listener.as_ref()?.stopped)
    }

    /// True if it is known why the server says nothing.
    pub(super) fn silence_is_explained(&self) -> bool {
        self.is_stopped() || self.unaccepted.is_some() || self.is_out_of_descriptors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, FailureFact, ListenerNow, Listening, Moment, diagnose};
    use crate::linux::holders::Holder;
    use crate::model::{Cause, Failure, Stage};
    use crate::protocol::Kind;
    use std::time::Duration;

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
    fn a_server_that_is_stopped_is_told_and_one_that_sleeps_is_not() {
        let mut facts = facts(9);
        facts.target_is_local = Some(true);
        facts.target.process_state = Some('T');
        assert_eq!(first(&facts), ("target-stopped".into(), Certainty::Proved));
        facts.target.process_state = Some('S');
        assert_eq!(first(&facts).0, "silent-after-connect");
    }

    #[test]
    fn a_server_that_was_stopped_for_a_while_is_told_and_one_that_was_stopped_afterwards_is_not_proved() {
        let look = |stopped| {
            let mut facts = facts(9);
            facts.target_is_local = Some(true);
            let to = facts.destinations[0];
            let lease = crate::model::Lease { source: None, port: None, destination: to };
            let mut moment = Moment::new(facts.failures[0].failure, lease, 0, Duration::from_secs(3));
            moment.listener = Some(ListenerNow { stopped: Some(stopped), ..listener_now(to) });
            facts.moments.push(moment);
            facts
        };
        let mut paused = look(true);
        paused.target.process_state = Some('S');
        assert_eq!(first(&paused), ("target-stopped".into(), Certainty::Proved));
        let mut afterwards = look(false);
        afterwards.target.process_state = Some('T');
        assert_eq!(first(&afterwards), ("target-stopped".into(), Certainty::Possible));
    }

    fn listener_now(address: std::net::SocketAddr) -> ListenerNow {
        ListenerNow { waiting: 3, ..ListenerNow::idle(address) }
    }

    #[test]
    fn a_connection_that_nobody_took_proves_it() {
        let facts = Facts { unaccepted: Some(([127, 0, 0, 1], 80).into()), ..facts(9) };
        assert_eq!(first(&facts), ("not-accepted".into(), Certainty::Proved));
    }
}
