//! The metric that was probably meant by a name that is none.
//!
//! A name is a family and a member, and both are looked at apart: who wrote `handshak.p95` means `handshake.p95`, and
//! not `handshake.p99` or `bind_call.p95`, however few letters those are away.

use super::metric::Metric;
use super::stat::Stat;
use crate::model::LatencyKind;
use crate::plan::nearest;

/// Names that other load generators have, and what they are here.
const ELSEWHERE: [(&str, &str); 19] = [
    ("error", "failed"),
    ("errors", "failed"),
    ("error_rate", "failed.ratio"),
    ("failure", "failed"),
    ("failures", "failed"),
    ("http_req_failed", "failed.ratio"),
    ("success", "ok"),
    ("successes", "ok"),
    ("latency", "connect"),
    ("connecting", "connect"),
    ("http_req_connecting", "connect"),
    ("http_req_tls_handshaking", "tls"),
    ("http_req_duration", "round_trip"),
    ("response_time", "round_trip"),
    ("rtt", "round_trip"),
    ("rps", "rate.achieved"),
    ("throughput", "rate.achieved"),
    ("open", "held"),
    ("timeouts", "failed.timed_out"),
];

/// The metric that was probably meant; `None` where nothing is near.
pub(super) fn meant_by(name: &str) -> Option<Metric> {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    let (family, member) = name.split_once('.').map_or((&*name, None), |(family, rest)| (family, Some(rest)));
    let family = ELSEWHERE.iter().find(|(theirs, _)| *theirs == family).map_or(family, |(_, ours)| ours);
    let written = member.map_or_else(|| family.to_owned(), |member| format!("{family}.{member}"));
    Metric::named(&written)
        .or_else(|| held(family, member))
        .or_else(|| latency(family, member))
        .or_else(|| other(&written))
}

/// The one name that the result uses for another thing: the number of connections held has no percentiles.
fn held(family: &str, member: Option<&str>) -> Option<Metric> {
    let stat = Stat::meant_by(member.filter(|_| family == "held")?)?;
    match stat {
        Stat::Max => Metric::named("held.max"),
        stat => Some(Metric::Latency { of: LatencyKind::Lifetime, stat }),
    }
}

/// A latency, where the family is one but for a slip. Without a member, the percentile that most people look at.
fn latency(family: &str, member: Option<&str>) -> Option<Metric> {
    let others = Metric::all().filter(|metric| !matches!(metric, Metric::Latency { .. }));
    let others: Vec<String> = others.map(|metric| metric.to_string()).collect();
    let heads = others.iter().map(|name| name.split('.').next().unwrap_or(name));
    let near = nearest(family, LatencyKind::ALL.iter().map(|kind| kind.name()).chain(heads))?;
    let of = LatencyKind::named(near)?;
    let stat = Stat::meant_by(member.unwrap_or("p99"))?;
    Some(Metric::Latency { of, stat })
}

/// A metric that is no latency.
fn other(name: &str) -> Option<Metric> {
    let names = Metric::all().filter(|metric| !matches!(metric, Metric::Latency { .. }));
    let names: Vec<String> = names.map(|metric| metric.to_string()).collect();
    // Who wrote a family and a member does not mean a family alone: not `failed` for `failed.dns`.
    let same_depth = |known: &&str| known.contains('.') || !name.contains('.');
    Metric::named(nearest(name, names.iter().map(String::as_str).filter(same_depth))?)
}

/// Advice for a name that is no metric, in words.
pub fn advice(name: &str) -> String {
    if let Some(metric) = meant_by(name) {
        return format!("did you mean '{metric}'?");
    }
    let family = name.split('.').next().unwrap_or_default();
    if LatencyKind::named(family).is_some() {
        return format!("{family} has min, mean, max and every percentile, such as p50, p95 or p99.9");
    }
    let is_family = |metric: Metric| metric.to_string().starts_with(&format!("{family}."));
    if !family.is_empty() && Metric::all().any(is_family) {
        return format!("'connstorm metrics {family}' lists those of {family}");
    }
    "there are latencies (connect.p99), counts (ok, failed.refused, skipped.late, held.max), ratios \
     (failed.ratio), onsets (onset.ports_exhausted) and rate.achieved; 'connstorm metrics' lists them all"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str) -> Option<String> {
        meant_by(name).map(|metric| metric.to_string())
    }

    #[test]
    fn slips_are_seen_through() {
        for (written, metric) in [
            ("conect.p99", "connect.p99"),
            ("Connect.P99", "connect.p99"),
            ("conect.p95", "connect.p95"),
            ("handshak.p99.9", "handshake.p99_9"),
            ("round-trip.p95", "round_trip.p95"),
            ("roundtrip.max", "round_trip.max"),
            ("failed.refuse", "failed.refused"),
            ("onset.port_exhausted", "onset.ports_exhausted"),
            ("rate", "rate.achieved"),
            ("skiped.late", "skipped.late"),
            ("byts_in", "bytes_in"),
            ("messages.recieved", "messages.received"),
            ("ok.ration", "ok.ratio"),
        ] {
            assert_eq!(meant(written).as_deref(), Some(metric), "{written}");
        }
    }

    /// `conect.p95` was answered with 'connect.p50' or 'connect_call.p99': what was asked for is kept.
    #[test]
    fn a_slip_in_the_family_keeps_the_percentile_and_a_slip_in_the_percentile_the_family() {
        for (written, metric) in [
            ("conect_call.p75", "connect_call.p75"),
            ("pong.p(95)", "pong.p95"),
            ("tls.avg", "tls.mean"),
            ("tls.median", "tls.p50"),
            ("tls.p100", "tls.max"),
            ("lateness.99", "lateness.p99"),
            ("connect", "connect.p99"),
        ] {
            assert_eq!(meant(written).as_deref(), Some(metric), "{written}");
        }
    }

    #[test]
    fn names_of_other_programs_are_known() {
        for (written, metric) in [
            ("held.p99", "lifetime.p99"),
            ("held.maximum", "held.max"),
            ("http_req_duration.p95", "round_trip.p95"),
            ("errors.ratio", "failed.ratio"),
            ("errors", "failed"),
            ("rps", "rate.achieved"),
            ("latency.p50", "connect.p50"),
        ] {
            assert_eq!(meant(written).as_deref(), Some(metric), "{written}");
        }
        let is_metric = |name: &str| Metric::named(name).is_some() || LatencyKind::named(name).is_some();
        for (theirs, ours) in ELSEWHERE {
            assert!(!is_metric(theirs), "{theirs}");
            assert!(is_metric(ours) || ours == "held", "{ours}");
        }
    }

    #[test]
    fn the_far_is_not_named_and_where_to_look_is_said() {
        for (written, says) in [
            ("failed.dns_is_down", "'connstorm metrics failed' lists those of failed"),
            ("connect.stddev", "connect has min, mean, max and every percentile"),
            ("temperature.of.the.room", "'connstorm metrics' lists them all"),
            ("", "there are latencies"),
        ] {
            assert_eq!(meant(written), None, "{written}");
            assert!(advice(written).contains(says), "{}", advice(written));
        }
        assert_eq!(meant(&"x".repeat(10_000)), None);
    }
}
