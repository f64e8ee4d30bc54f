//! Sessions that the server ended, and what their shape in time says: all at one moment, all at one age, at one
//! number held, or before refusals.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId};
use crate::model::{Cause, Evidence, Failure, Side, Stage, Stamp};
use std::net::SocketAddr;
use std::time::Duration;

/// Fewer ends than this have no shape.
const FEWEST: u64 = 3;
/// Ends within this time of each other are at one moment.
const ONE_MOMENT: Duration = Duration::from_millis(700);
/// Age before which a connection that ends was never let in.
const AT_ONCE: Duration = Duration::from_millis(400);
/// Ages that differ by less than this, or by less than a tenth, are one age.
const ONE_AGE: Duration = Duration::from_millis(150);

/// Causes by the shape of the ends. Failures that they explain are not told again one by one.
pub(super) fn all(facts: &Facts) -> Vec<Claim> {
    let by_shape = gone(facts)
        .or_else(|| restarted(facts))
        .or_else(|| super::keep_alive::limit(facts))
        .or_else(|| reloaded(facts))
        .or_else(|| idle(facts));
    by_shape.into_iter().chain(limited(facts)).collect()
}

/// Loss of an open session.
pub(super) fn is_lost(failed: &FailureFact) -> bool {
    failed.failure.stage == Stage::Session
        && matches!(failed.failure.cause, Cause::Reset | Cause::ClosedEarly)
}

/// Sessions lost, as one.
struct Lost<'f> {
    kinds: Vec<&'f FailureFact>,
    count: u64,
    first: Stamp,
    last: Stamp,
}

impl<'f> Lost<'f> {
    fn of(facts: &'f Facts) -> Option<Lost<'f>> {
        let kinds: Vec<&FailureFact> = facts.failures.iter().filter(|failed| is_lost(failed)).collect();
        Some(Lost {
            count: kinds.iter().map(|kind| kind.count).sum(),
            first: kinds.iter().map(|kind| kind.first_at).min()?,
            last: kinds.iter().map(|kind| kind.last_at).max()?,
            kinds,
        })
    }

    fn evidence(&self) -> Evidence {
        Evidence::default()
            .with("sessions_lost", self.count)
            .with("lost_from_s", self.first.as_secs_f64())
            .with("lost_to_s", self.last.as_secs_f64())
    }
}

fn refused_after<'f>(facts: &'f Facts, lost: Option<&Lost<'_>>) -> Option<&'f FailureFact> {
    let refused = facts.failed(Stage::Connect, Cause::Refused)?;
    lost.is_none_or(|lost| refused.last_at >= lost.first).then_some(refused)
}

fn destination(facts: &Facts, failed: &FailureFact) -> Option<SocketAddr> {
    failed.lease.map(|lease| lease.destination).or(facts.destinations.first().copied())
}

/// The server ended, and did not come back.
fn gone(facts: &Facts) -> Option<Claim> {
    let lost = Lost::of(facts);
    let refused = refused_after(facts, lost.as_ref())?;
    if !facts.is_gone_for_good() || facts.plateau.is_some() {
        return None;
    }
    let to = destination(facts, refused)?;
    let count = lost.as_ref().map_or(0, |lost| lost.count);
    let from = lost.as_ref().map_or(refused.first_at, |lost| lost.first.min(refused.first_at));
    let seen = facts.target.listens_at_end == Some(false);
    let says = format!(
        "the server at {to} ended at {:.1} s and did not come back: {count} sessions were lost, and {} attempts refused to \
         the end of the run{}",
        from.as_secs_f64(),
        refused.count,
        if seen { "; no socket listens there at the end" } else { "" }
    );
    let claim = lost
        .iter()
        .flat_map(|lost| lost.kinds.iter().copied())
        .fold(Claim::new(FindingId::ServerGone, Side::Target, says).explaining(refused), Claim::explaining);
    let evidence = lost.as_ref().map_or_else(Evidence::default, Lost::evidence);
    let none = seen.then(|| format!("no socket of this host listens on {to} at the end"));
    Some(
        claim
            .seen(Owner::Listener(to), Span::Between(from, refused.last_at))
            .without_if(
                &[
                    FindingId::ListenerAway,
                    FindingId::ServerRestarted,
                    FindingId::ConnectionLimit,
                    FindingId::RefusedByFirewall,
                    FindingId::TranslatedToDeadHost,
                    FindingId::ListenerIsV6Only,
                    FindingId::ListenerIsBoundToDevice,
                    FindingId::ListensOnAnotherAddress,
                    FindingId::RefusedForOneSource,
                    FindingId::SomeAddressesFail,
                ],
                none,
                "on the server: ss -ltn, and its process",
            )
            .without(
                &[FindingId::IdleTimeout, FindingId::KeepAliveLimit, FindingId::ServerReloaded, FindingId::AcceptQueueFull],
                "new connections were refused from then on",
            )
            .resting_on(
                evidence
                    .with("refused", refused.count)
                    .with("refused_from_s", refused.first_at.as_secs_f64())
                    .with("refused_to_s", refused.last_at.as_secs_f64()),
            )
            .remedy("journalctl -k | grep -i 'killed process'    # out of memory? Then the server's own log, and its exit code")
            .remedy("let a supervisor start it again: Restart=always of its systemd unit"),
    )
}

/// Sessions were lost, then connections refused, then taken again.
fn restarted(facts: &Facts) -> Option<Claim> {
    let lost = Lost::of(facts)?;
    let refused = refused_after(facts, Some(&lost))?;
    if facts.plateau.is_some() {
        return None;
    }
    let back = facts.refusals.is_some_and(|refusals| refusals.opened_after > 0);
    let seconds = |at: Stamp| at.as_secs_f64();
    let says = format!(
        "the server went away in mid-run: {} sessions were lost from {:.1} s to {:.1} s, then {} attempts were \
         refused from {:.1} s to {:.1} s{}",
        lost.count,
        seconds(lost.first),
        seconds(lost.last),
        refused.count,
        seconds(refused.first_at),
        seconds(refused.last_at),
        if back { ", then taken again: a restart" } else { "" }
    );
    let claim = Claim::new(FindingId::ServerRestarted, Side::Target, says);
    let claim = lost.kinds.iter().copied().fold(claim, Claim::explaining);
    Some(
        claim
            .seen(Owner::Destinations, Span::EachAttempt)
            .unless(&[FindingId::ServerGone, FindingId::ConnectionLimit], "the server's log at that time")
            .resting_on(
                lost.evidence()
                    .with("refused", refused.count)
                    .with("refused_from_s", seconds(refused.first_at))
                    .with("refused_to_s", seconds(refused.last_at)),
            )
            .remedy("look into the server's log at that time")
            .remedy(
                "let clients wait before they come back, each another time: [reconnect] backoff and jitter",
            ),
    )
}

/// All sessions ended at one moment, and new ones were taken all the while.
fn reloaded(facts: &Facts) -> Option<Claim> {
    let lost = Lost::of(facts)?;
    let took = lost.last.saturating_sub(lost.first);
    if lost.count < FEWEST
        || took > ONE_MOMENT
        || facts.failed(Stage::Connect, Cause::Refused).is_some()
        || lost.count * 2 < facts.held_max
        || facts.opened <= lost.count
        || ages(&lost).is_some_and(is_one_age)
    {
        return None;
    }
    let says = format!(
        "{} sessions ended within {:.1} s of each other, at {:.1} s, and connections were taken before and after: the server, \
         or a proxy before it, was reloaded",
        lost.count,
        took.as_secs_f64(),
        lost.first.as_secs_f64()
    );
    let claim = Claim::new(FindingId::ServerReloaded, Side::Target, says);
    Some(
        lost.kinds
            .iter()
            .copied()
            .fold(claim, Claim::explaining)
            .seen(Owner::Destinations, Span::EachAttempt)
            .without(&[FindingId::IdleTimeout], "the sessions were of different ages")
            .without(&[FindingId::ServerGone, FindingId::ServerRestarted], "not one attempt was refused")
            .unless(&[FindingId::ConnectionLimit, FindingId::KeepAliveLimit], "the log of the server at that time")
            .resting_on(lost.evidence())
            .remedy("look into the log of the server and of the proxy at that time: reload, new configuration, deployment")
            .remedy("let old workers live until their connections end (nginx: worker_shutdown_timeout), and clients reconnect after a random wait"),
    )
}

fn ages(lost: &Lost<'_>) -> Option<(Duration, Duration)> {
    let known = lost.kinds.iter().filter_map(|kind| kind.ages);
    known.reduce(|(low, high), (l, h)| (low.min(l), high.max(h)))
}

fn is_one_age((low, high): (Duration, Duration)) -> bool {
    high.saturating_sub(low) <= ONE_AGE.max(high / 10)
}

/// All sessions ended at one age, at different moments.
fn idle(facts: &Facts) -> Option<Claim> {
    let lost = Lost::of(facts)?;
    let (low, high) = ages(&lost)?;
    // What a late machine saw late is older than it was when it ended.
    let median = lost.kinds.iter().filter_map(|kind| kind.median_age).max();
    let high = median.filter(|_| facts.generator_late && !is_one_age((low, high))).unwrap_or(high);
    let spread_in_time = lost.last.saturating_sub(lost.first);
    if low < AT_ONCE
        || lost.count < FEWEST
        || !is_one_age((low, high))
        || spread_in_time <= 2 * (high - low).max(ONE_AGE)
    {
        return None;
    }
    let says = format!(
        "the server ended {} sessions at one age, {:.1} s to {:.1} s after they began, at moments from {:.1} s to {:.1} s: a \
         time limit for connections that are silent (or for all), of the server or of a proxy before it",
        lost.count,
        low.as_secs_f64(),
        high.as_secs_f64(),
        lost.first.as_secs_f64(),
        lost.last.as_secs_f64()
    );
    let claim = Claim::new(FindingId::IdleTimeout, Side::Target, says);
    Some(
        lost.kinds
            .iter()
            .copied()
            .fold(claim, Claim::explaining)
            .seen(Owner::Attempts, Span::EachAttempt)
            .without(&[FindingId::ServerReloaded, FindingId::ServerRestarted, FindingId::ServerGone], "they ended at different moments")
            .without_if(
                &[FindingId::KeepAliveLimit],
                lost.kinds.iter().all(|kind| kind.answers.is_empty()).then_some("nothing was answered on them"),
                "the same with another interval between messages",
            )
            .unless(&[FindingId::ConnectionLimit], "the same at another rate: a server that ends its oldest connections holds as many")
            .resting_on(
                lost.evidence().with("age_min_s", low.as_secs_f64()).with("age_max_s", high.as_secs_f64()),
            )
            .remedy(format!(
                "let the client send something more often than every {:.0} s: a ping (WebSocket), TCP keep-alive does not count",
                low.as_secs_f64().max(1.0)
            ))
            .remedy("raise the limit: nginx proxy_read_timeout, keepalive_timeout; HAProxy timeout client, timeout server, timeout tunnel; Envoy idle_timeout"),
    )
}

/// The number held stood still while others failed.
fn limited(facts: &Facts) -> Option<Claim> {
    let plateau = facts.plateau?;
    // What had an answer was let in; what was over before the number stood has another cause.
    let turned_away = |failed: &&FailureFact| {
        is_turned_away(&failed.failure)
            && ended_at_once(failed)
            && failed.answers.is_empty()
            && failed.last_at >= plateau.from
    };
    let ways: Vec<&FailureFact> = facts.failures.iter().filter(turned_away).collect();
    let count: u64 = ways.iter().map(|failed| failed.count).sum();
    if count == 0 || facts.listener_seen_gone {
        return None;
    }
    let each = match facts.sources {
        sources @ 2.. if plateau.held % sources == 0 => {
            format!(", {} for each of {sources} source addresses", plateau.held / sources)
        }
        _ => String::new(),
    };
    let how: Vec<String> = ways.iter().map(|failed| failed.failure.to_string()).collect();
    let says = format!(
        "it holds {} connections at once{each}, and turns away the next: {count} failed ({}) while that number stood, from \
         {:.1} s to {:.1} s. A limit of connections of the server, of a proxy, or of a firewall before it",
        plateau.held,
        how.join("; "),
        plateau.from.as_secs_f64(),
        plateau.to.as_secs_f64()
    );
    let claim = Claim::new(FindingId::ConnectionLimit, Side::Target, says);
    let held = format!("{} connections stayed open while others were turned away", plateau.held);
    Some(
        ways.into_iter()
            .fold(claim, Claim::explaining)
            .seen(Owner::Destinations, Span::EachAttempt)
            .without(
                &[
                    FindingId::NothingListens,
                    FindingId::ListensOnAnotherAddress,
                    FindingId::ListenerIsV6Only,
                    FindingId::ListenerIsBoundToDevice,
                    FindingId::ListenerAway,
                    FindingId::ServerGone,
                    FindingId::ServerRestarted,
                    FindingId::ServerReloaded,
                    FindingId::TranslatedToDeadHost,
                ],
                held,
            )
            .unless(
                &[FindingId::RefusedByFirewall, FindingId::AcceptQueueFull],
                "the server's log; nft list ruleset (ct count, connlimit) on its host",
            )
            .resting_on(
                Evidence::default()
                    .with("held", plateau.held)
                    .with("turned_away", count)
                    .with("windows", plateau.windows)
                    .with("from_s", plateau.from.as_secs_f64())
                    .with("to_s", plateau.to.as_secs_f64()),
            )
            .remedy("raise the server's limit: nginx worker_connections, limit_conn; HAProxy maxconn; Apache MaxRequestWorkers; its descriptors (LimitNOFILE=)")
            .remedy("or hold fewer: a pool in the client of that size at most"),
    )
}

/// A session that is turned away ends as soon as it has begun; one that was let in lives on.
fn ended_at_once(failed: &FailureFact) -> bool {
    failed.failure.stage != Stage::Session || failed.ages.is_some_and(|(_, high)| high < AT_ONCE)
}

/// A failure by which a server, or what is before it, turns a connection away.
pub fn is_turned_away(failure: &Failure) -> bool {
    let stage = failure.stage;
    match failure.cause {
        Cause::Refused | Cause::RefusedIcmp => stage == Stage::Connect,
        Cause::Reset | Cause::ClosedEarly => matches!(stage, Stage::Tls | Stage::Handshake | Stage::Session),
        Cause::HttpStatus => matches!(failure.code, Some(429 | 503)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, Plateau, Refusals, diagnose};
    use crate::model::Errno;

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn lost(count: u64, from: f64, to: f64) -> FailureFact {
        FailureFact {
            first_at: s(from),
            last_at: s(to),
            ..FailureFact::new(Failure::new(Stage::Session, Cause::ClosedEarly), count)
        }
    }

    fn refused(count: u64, from: f64, to: f64) -> FailureFact {
        FailureFact {
            first_at: s(from),
            last_at: s(to),
            ..FailureFact::new(Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED), count)
        }
    }

    fn facts(failures: Vec<FailureFact>) -> Facts {
        Facts {
            destinations: vec![([127, 0, 0, 1], 80).into()],
            opened: 200,
            started: 250,
            held_max: 60,
            failures,
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (FindingId, Certainty) {
        let found = diagnose(facts).remove(0);
        (found.id, found.certainty)
    }

    #[test]
    fn a_crash_without_return_is_no_restart() {
        let mut crash = facts(vec![lost(60, 2.0, 2.1), refused(90, 2.1, 5.0)]);
        crash.refusals =
            Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 60, opened_after: 0 });
        crash.target_is_local = Some(true);
        crash.listener_seen_gone = true;
        crash.target.listens_at_end = Some(false);
        assert_eq!(first(&crash), (FindingId::ServerGone, Certainty::Proved));
        assert!(diagnose(&crash).iter().all(|found| found.id != FindingId::ListenerAway));
        crash.target.listens_at_end = None;
        crash.listener_seen_gone = false;
        assert_eq!(first(&crash), (FindingId::ServerGone, Certainty::Likely), "its end was not seen");
        crash.refusals =
            Some(Refusals { intervals: 1, windows_closed: 2, opened_before: 60, opened_after: 9 });
        let ids: Vec<FindingId> = diagnose(&crash).iter().map(|found| found.id).collect();
        assert!(
            ids.contains(&FindingId::ServerRestarted) && !ids.contains(&FindingId::ServerGone),
            "{ids:?}"
        );
    }

    #[test]
    fn ends_at_one_moment_are_a_reload_and_ends_at_one_age_a_time_limit() {
        let reload = facts(vec![lost(50, 3.0, 3.2)]);
        assert_eq!(first(&reload).0, FindingId::ServerReloaded);
        let mut idle = facts(vec![lost(50, 3.0, 9.0)]);
        idle.failures[0].ages = Some((s(3.0), s(3.1)));
        assert_eq!(first(&idle).0, FindingId::IdleTimeout);
        idle.plateau = Some(Plateau { held: 18, windows: 5, from: s(3.0), to: s(9.0) });
        assert!(
            diagnose(&idle).iter().all(|found| found.id != FindingId::ConnectionLimit),
            "they were let in"
        );
        idle.plateau = None;
        idle.failures[0].ages = Some((s(0.2), s(6.0)));
        assert_eq!(first(&idle).0, FindingId::ClosedByTheServer);
    }

    #[test]
    fn a_number_that_stands_while_others_are_refused_is_a_limit() {
        let mut limit = facts(vec![refused(100, 1.0, 5.0)]);
        limit.refusals =
            Some(Refusals { intervals: 1, windows_closed: 4, opened_before: 20, opened_after: 0 });
        limit.plateau = Some(Plateau { held: 20, windows: 4, from: s(1.0), to: s(5.0) });
        let found = diagnose(&limit).remove(0);
        assert_eq!(found.id, FindingId::ConnectionLimit);
        assert!(found.says.contains("holds 20 connections at once"), "{}", found.says);
        assert_ne!(found.certainty, Certainty::Proved, "a firewall may do the same");
        limit.failures = vec![FailureFact { ages: Some((s(0.0), s(0.01))), ..lost(100, 1.0, 5.0) }];
        assert_eq!(first(&limit).0, FindingId::ConnectionLimit, "taken, and closed at once");
    }
}
