//! Connections that the server ended after a number of answers: the same number each time, whatever their age.

use super::certainty::NEARLY_ALL;
use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};
use std::time::Duration;

/// Fewer ends than this may agree by chance.
const FEWEST: u64 = 3;
/// Ages that differ by more than this, or by more than a tenth, are no time limit.
const ONE_AGE: Duration = Duration::from_millis(150);

/// An end by the server, in the midst of what was to be said.
fn is_an_end(failed: &&FailureFact) -> bool {
    matches!(failed.failure.stage, Stage::Handshake | Stage::Session)
        && matches!(failed.failure.cause, Cause::ClosedEarly | Cause::Reset)
        && !failed.answers.is_empty()
}

/// The number of answers after which nearly all of them ended, and how many did.
fn number(ends: &[&FailureFact]) -> Option<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for (answers, times) in ends.iter().flat_map(|failed| &failed.answers) {
        match counts.iter_mut().find(|(known, _)| known == answers) {
            Some((_, sum)) => *sum += times,
            None => counts.push((*answers, *times)),
        }
    }
    let all: u64 = ends.iter().map(|failed| failed.count).sum();
    let (answers, times) = counts.into_iter().max_by_key(|(_, times)| *times)?;
    (times >= FEWEST && times as f64 >= all as f64 * NEARLY_ALL).then_some((answers, times))
}

/// The server closes a connection after so many requests or messages.
pub(super) fn limit(facts: &Facts) -> Option<Claim> {
    let ends: Vec<&FailureFact> = facts.failures.iter().filter(is_an_end).collect();
    let (answers, times) = number(&ends)?;
    // After the last of them there is silence, and what ends a silence is no limit of their number.
    if facts.planned_messages.is_some_and(|planned| answers >= planned) {
        return None;
    }
    let first = ends.iter().map(|failed| failed.first_at).min()?;
    let last = ends.iter().map(|failed| failed.last_at).max()?;
    let said = ends.iter().filter_map(|failed| facts.reply_to(failed)).find_map(|reply| {
        let says = reply.says.as_deref()?;
        says.contains("Connection: close").then(|| says.to_owned())
    });
    let ages = ends.iter().filter_map(|failed| failed.ages).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let differ = ages.filter(|(low, high)| high.saturating_sub(*low) > ONE_AGE.max(*high / 10));
    let of_all_ages = differ.map(|(low, high)| {
        format!("they ended at ages from {:.1} s to {:.1} s", low.as_secs_f64(), high.as_secs_f64())
    });
    // All in one step of a conversation: what the server does not take may be that step.
    let one_step = {
        let mut steps: Vec<u16> =
            ends.iter().flat_map(|failed| &failed.steps).map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps.len() == 1 && said.is_none()
    };
    let no_time_limit = said.as_ref().map(|says| format!("the server said {says}")).or(of_all_ages);
    let many = if answers == 1 { "" } else { "s" };
    let what = if facts.spoken.is_some_and(|kind| kind.application() == crate::protocol::Application::Http) {
        "request"
    } else {
        "message"
    };
    let says = format!(
        "the server closes a connection after {answers} {what}{many}: {times} connections ended so, from {:.1} s to {:.1} s, each \
         after that many answers and before the next",
        first.as_secs_f64(),
        last.as_secs_f64()
    );
    let spread = last.saturating_sub(first);
    let claim =
        ends.iter().fold(Claim::new(FindingId::KeepAliveLimit, Side::Target, says), |claim, failed| {
            let here =
                failed.answers.iter().find(|(known, _)| *known == answers).map_or(0, |(_, times)| *times);
            claim.explaining_some(failed, here)
        });
    let evidence = Evidence::default()
        .with("answers", answers)
        .with("connections", times)
        .with_known("age_min_s", ages.map(|(low, _)| low.as_secs_f64()))
        .with_known("age_max_s", ages.map(|(_, high)| high.as_secs_f64()))
        .with_known("server_said", said);
    Some(
        claim
            .seen(Owner::Attempts, Span::EachAttempt)
            .without(
                &[
                    FindingId::AcceptQueueFull,
                    FindingId::ConnectionLimit,
                    FindingId::ClosedBeforeTheReply,
                    FindingId::ClosedInTheTlsHandshake,
                    FindingId::ResetInTheHandshake,
                ],
                format!("each was served {answers} times first"),
            )
            .without_if(
                &[FindingId::ServerReloaded, FindingId::ServerRestarted, FindingId::ServerGone],
                (spread > Duration::from_millis(700)).then_some("they ended at different moments"),
                "the server's log at that time",
            )
            .without_if(
                &[FindingId::IdleTimeout],
                no_time_limit,
                "the same with another time between requests: a time limit ends them after another number",
            )
            .without_if(
                &[FindingId::ClosedByTheServer],
                (!one_step).then_some("it is a number of answers, and not one step"),
                "the same conversation with that step left out: the server may not take what it sends",
            )
            .resting_on(evidence)
            .remedy("let the client open a new connection when the server closes one, and send the request again: pools of Go, Java, Node and requests do")
            .remedy("raise the limit: nginx keepalive_requests 10000; Apache MaxKeepAliveRequests 0; Envoy max_requests_per_connection; HAProxy tune.h2.fe.max-total-streams; gunicorn max_requests; puma max_keep_alive"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, diagnose};
    use crate::model::Failure;

    fn ended(answers: &[(u64, u64)], ages: (f64, f64)) -> Facts {
        let s = Duration::from_secs_f64;
        let count = answers.iter().map(|(_, times)| times).sum();
        let failed = FailureFact {
            first_at: s(1.0),
            last_at: s(5.0),
            answers: answers.to_vec(),
            ages: Some((s(ages.0), s(ages.1))),
            ..FailureFact::new(Failure::new(Stage::Session, Cause::ClosedEarly), count)
        };
        Facts {
            opened: count,
            started: count,
            failures: vec![failed],
            planned_messages: Some(100),
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (FindingId, Certainty) {
        let found = diagnose(facts).remove(0);
        (found.id, found.certainty)
    }

    #[test]
    fn one_number_at_all_ages_is_a_limit_of_requests() {
        assert_eq!(first(&ended(&[(5, 40)], (0.5, 3.0))), (FindingId::KeepAliveLimit, Certainty::Proved));
        assert_eq!(
            first(&ended(&[(5, 40)], (1.0, 1.1))).1,
            Certainty::Likely,
            "a time limit would do the same"
        );
        assert_ne!(first(&ended(&[(5, 20), (6, 20)], (0.5, 3.0))).0, FindingId::KeepAliveLimit);
        assert_ne!(first(&ended(&[(5, 2)], (0.5, 3.0))).0, FindingId::KeepAliveLimit, "two are no rule");
    }

    #[test]
    fn an_end_after_everything_was_said_is_no_limit_of_requests() {
        let mut facts = ended(&[(5, 40)], (1.0, 1.1));
        facts.planned_messages = Some(5);
        assert_eq!(first(&facts).0, FindingId::IdleTimeout);
    }

    #[test]
    fn ends_after_any_number_at_one_age_are_a_time_limit() {
        assert_eq!(first(&ended(&[(3, 20), (4, 20)], (1.0, 1.1))).0, FindingId::IdleTimeout);
    }
}
