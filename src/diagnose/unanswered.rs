//! Time-outs after a connection was established: what the peer's kernel acknowledged tells the way from the
//! server. Bytes that it did not acknowledge are the way's, and never the server's fault.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};

/// True if a failure is a wait for an answer that was over.
pub(super) fn is_unanswered(failed: &FailureFact) -> bool {
    failed.failure.cause == Cause::TimedOut
        && matches!(failed.failure.stage, Stage::Tls | Stage::Handshake | Stage::Session)
}

/// True if what was sent did not reach the peer's kernel, in most of these.
pub(super) fn is_of_the_way(failed: &FailureFact) -> bool {
    is_unanswered(failed) && failed.acknowledged.not_all > failed.acknowledged.all
}

/// Causes for which what was sent did not arrive.
pub(super) fn all(facts: &Facts) -> Vec<Claim> {
    facts.failures.iter().filter(|failed| is_of_the_way(failed)).map(|failed| claim(facts, failed)).collect()
}

fn claim(facts: &Facts, failed: &FailureFact) -> Claim {
    let counts = failed.acknowledged;
    let again = counts.sent_again * 2 >= counts.not_all;
    let (id, says) = if again {
        let says = format!(
            "{} connections were established, and then what this host sent was not acknowledged by the peer's kernel, though \
             it was sent again ({} of them): small packets pass and larger ones are lost on the way. So looks a path whose \
             MTU is smaller than the interface's while ICMP \"fragmentation needed\" is filtered",
            counts.not_all, counts.sent_again
        );
        (FindingId::MtuHole, says)
    } else {
        let says = format!(
            "{} connections were established, and when the time was over the peer's kernel had not acknowledged all that this \
             host had sent, of which nothing had been sent again: it was still on its way. The link is slow, or the round \
             trip long",
            counts.not_all
        );
        (FindingId::SlowLink, says)
    };
    let round_trip = failed.at_timeout.iter().filter_map(|at| at.round_trip_us).max();
    let unacknowledged = format!("{} of {} had unacknowledged bytes", counts.not_all, failed.count);
    let claim = Claim::new(id, Side::Path, says)
        .explaining_some(failed, counts.not_all)
        .seen(Owner::Attempts, Span::EachAttempt)
        .without(
            &[
                FindingId::NoAnswerInTheSession,
                FindingId::TargetOutOfDescriptors,
                FindingId::TargetStopped,
                FindingId::NotAccepted,
                FindingId::SilentAfterConnect,
            ],
            unacknowledged,
        )
        .unless(
            &[FindingId::MtuHole, FindingId::SlowLink, FindingId::ServerGone, FindingId::GeneratorLate],
            "tracepath HOST; ping -M do -s 1472 HOST; ss -tin: unacked, retrans, rtt",
        )
        .resting_on(
            Evidence::default()
                .with("failed", failed.count)
                .with("not_acknowledged", counts.not_all)
                .with("acknowledged", counts.all)
                .with("sent_again", counts.sent_again)
                .with_known("round_trip_us", round_trip)
                .with("opened", facts.opened),
        );
    let host = failed.lease.map_or("HOST".to_owned(), |lease| lease.destination.ip().to_string());
    if again {
        claim
            .remedy(format!("tracepath {host}    # the MTU of the way; then: ping -M do -s 1472 {host}"))
            .remedy("let ICMP \"fragmentation needed\" (type 3, code 4; ICMPv6 type 2) pass every firewall on the way")
            .remedy("sysctl -w net.ipv4.tcp_mtu_probing=1    # TCP finds the size by itself")
            .remedy("on the router: nft add rule … tcp flags syn tcp option maxseg size set rt mtu")
    } else {
        claim
            .remedy("a longer timeout in the client, or less data at once")
            .remedy("ss -tin    # on this host: rtt, cwnd, delivery_rate of such a connection; ip -s link")
    }
}

/// This machine was late: time-outs may be its own, and are no proof against the target.
pub(super) fn generator_late(facts: &Facts) -> Option<Claim> {
    if !facts.generator_late {
        return None;
    }
    // A handshake of TCP is the kernels' own, and does not wait for this program.
    let timed_out = facts.failures.iter().filter(|failed| is_unanswered(failed));
    let says = "this machine was late: attempts started more than 100 ms after they were due, so that time-outs may be its own. \
                They say nothing of the target";
    let claim =
        timed_out.fold(Claim::new(FindingId::GeneratorLate, Side::Generator, says), Claim::explaining);
    (claim.claimed() > 0).then(|| {
        claim
            .seen(Owner::Process, Span::Throughout)
            .remedy("a smaller load, or more machines: connstorm merge joins their results")
            .remedy("let nothing else run on this machine, and give it a core for each worker")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, diagnose};
    use crate::model::{Acknowledged, Failure};

    fn facts(all: u64, not_all: u64, sent_again: u64) -> Facts {
        let failure = Failure::new(Stage::Session, Cause::TimedOut);
        let acknowledged = Acknowledged { all, not_all, sent_again };
        let failed = FailureFact { acknowledged, ..FailureFact::new(failure, 20) };
        Facts { opened: 20, started: 20, failures: vec![failed], ..Facts::default() }
    }

    fn first(facts: &Facts) -> (FindingId, Side, Certainty) {
        let found = diagnose(facts).remove(0);
        (found.id, found.side, found.certainty)
    }

    #[test]
    fn bytes_that_were_not_acknowledged_are_never_the_servers_fault() {
        assert_eq!(first(&facts(0, 20, 20)), (FindingId::MtuHole, Side::Path, Certainty::Likely));
        assert_eq!(first(&facts(0, 20, 0)), (FindingId::SlowLink, Side::Path, Certainty::Likely));
        assert_eq!(first(&facts(20, 0, 0)).0, FindingId::NoAnswerInTheSession);
        assert!(diagnose(&facts(0, 20, 20)).iter().all(|found| found.side != Side::Target));
    }

    #[test]
    fn a_machine_that_was_late_says_nothing_of_the_target() {
        let mut late = facts(20, 0, 0);
        late.generator_late = true;
        assert_eq!(first(&late).0, FindingId::GeneratorLate);
        assert!(diagnose(&late).iter().all(|found| found.side != Side::Target));
    }
}
