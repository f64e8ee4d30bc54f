//! What a threshold can be put on, and the names by which people write it.
//!
//! Invariant: a metric's `Display` is the name that [`Metric::named`] reads, and no two share a name.

use super::value::Unit;
use crate::model::{Cause, Latencies, SkipReason};
use crate::plan::nearest;
use std::fmt;

/// Names of the latencies, as in the result.
pub const LATENCIES: [&str; Latencies::NAMES.len()] = Latencies::NAMES;

/// Kinds of onsets: moments at which a trouble began, as in the result.
pub const ONSETS: [&str; 13] = [
    "port_search_slow",
    "ports_low",
    "ports_exhausted",
    "ports_recovered",
    "time_wait_building",
    "time_wait_steady",
    "time_wait_capped",
    "accept_queue_full",
    "syn_retransmits",
    "conntrack_near_full",
    "fd_limit",
    "refusals",
    "generator_saturated",
];

/// Something a run measures that a threshold can be put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `connect.p99`: a latency, in microseconds.
    Latency {
        /// One of [`LATENCIES`].
        name: &'static str,
        /// Which number of its distribution.
        stat: Stat,
    },
    /// `ok`: a number of things.
    Count(Counter),
    /// `failed.ratio`: a share, from 0 to 1.
    Ratio(Share),
    /// `failed.refused`: attempts that failed from this cause, at whatever stage.
    Failed(Cause),
    /// `failed.refused.ratio`: the same as a share of the started attempts, from 0 to 1.
    FailedRatio(Cause),
    /// `skipped.late`: arrivals that were skipped for this reason.
    Skipped(SkipReason),
    /// `onset.ports_exhausted`: one of [`ONSETS`], in seconds since the start of the run.
    Onset(&'static str),
    /// `rate.achieved`: attempts that ended well, per second of the run.
    RateAchieved,
}

macro_rules! words {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$doc])* $variant,)* }

        impl $type {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// How it is written.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }
        }
    };
}

words! {
    /// A number of a latency's distribution.
    Stat {
        /// The smallest.
        Min = "min",
        /// The median.
        P50 = "p50",
        /// What 90 % do not exceed.
        P90 = "p90",
        /// What 99 % do not exceed.
        P99 = "p99",
        /// What 99.9 % do not exceed.
        P99_9 = "p99_9",
        /// The largest.
        Max = "max",
        /// The arithmetic mean.
        Mean = "mean",
    }
}

words! {
    /// What is counted over the whole run.
    Counter {
        /// Arrivals that were due.
        Planned = "planned",
        /// Attempts that were started.
        Started = "started",
        /// Attempts that ended well.
        Ok = "ok",
        /// Attempts that failed.
        Failed = "failed",
        /// Attempts whose conversation the end of the run cut.
        CutShort = "cut_short",
        /// Arrivals that were not started.
        Skipped = "skipped",
        /// Attempts that had not ended when the run did.
        InFlight = "in_flight",
        /// Waits of closed-loop slots after a failure.
        Backoffs = "backoffs",
        /// The most connections open at once.
        HeldMax = "held.max",
        /// Payload received, in bytes.
        BytesIn = "bytes_in",
        /// Payload sent, in bytes.
        BytesOut = "bytes_out",
        /// Sessions whose handshakes above TCP were done.
        Sessions = "messages.sessions",
        /// Messages sent.
        Sent = "messages.sent",
        /// Messages received.
        Received = "messages.received",
        /// Messages answered as expected.
        Matched = "messages.matched",
        /// Messages answered otherwise than expected.
        Mismatches = "messages.mismatches",
        /// Messages not answered when their connection ended.
        Unanswered = "messages.unanswered",
        /// Messages due and not sent, as the generator was late.
        UnsentLate = "messages.unsent_late",
        /// Requests due and not made, as the connection waited for a reply.
        UnsentWaiting = "messages.unsent_waiting",
        /// Messages of conversations that the end of the run cut.
        UnsentCut = "messages.unsent_cut",
        /// Messages of conversations whose connection was lost.
        UnsentLost = "messages.unsent_lost",
        /// Messages received that answered nothing.
        Pushes = "messages.pushes",
        /// Pings sent.
        Pings = "messages.pings",
        /// Pings of the peer.
        PeerPings = "messages.peer_pings",
        /// Answers to our pings.
        Pongs = "messages.pongs",
        /// Attempts made because a connection was lost or could not be had.
        Reconnects = "reconnects",
    }
}

words! {
    /// A part of a whole, from 0 to 1. Of an empty whole there is no share: it is not measured.
    Share {
        /// Of the started attempts, those that ended well.
        Ok = "ok.ratio",
        /// Of the started attempts, those that failed.
        Failed = "failed.ratio",
        /// Of the planned arrivals, those that were skipped.
        Skipped = "skipped.ratio",
    }
}

impl Metric {
    /// Every metric there is, families together.
    pub fn all() -> impl Iterator<Item = Metric> {
        let latencies = LATENCIES
            .into_iter()
            .flat_map(|name| Stat::ALL.iter().map(move |&stat| Metric::Latency { name, stat }));
        let failures =
            Cause::ALL.iter().flat_map(|&cause| [Metric::Failed(cause), Metric::FailedRatio(cause)]);
        latencies
            .chain(Counter::ALL.iter().copied().map(Metric::Count))
            .chain(Share::ALL.iter().copied().map(Metric::Ratio))
            .chain(failures)
            .chain(SkipReason::ALL.into_iter().map(Metric::Skipped))
            .chain(ONSETS.into_iter().map(Metric::Onset))
            .chain([Metric::RateAchieved])
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Metric> {
        Metric::all().find(|metric| metric.to_string() == name)
    }

    /// The metric that was probably meant by a name that is none; `None` where nothing is near.
    pub fn nearest(name: &str) -> Option<Metric> {
        // The one name that the result uses for another thing.
        if let Some(stat) = name.strip_prefix("held.")
            && let Some(latency) = Metric::named(&format!("lifetime.{stat}"))
        {
            return Some(latency);
        }
        let names: Vec<String> = Metric::all().map(|metric| metric.to_string()).collect();
        // Who wrote a family and a member does not mean a family alone: not `failed` for `failed.dns`.
        let same_depth = |known: &&str| known.contains('.') || !name.contains('.');
        Metric::named(nearest(name, names.iter().map(String::as_str).filter(same_depth))?)
    }

    /// What it is measured in.
    pub fn unit(self) -> Unit {
        match self {
            Metric::Latency { .. } => Unit::Microseconds,
            Metric::Count(Counter::BytesIn | Counter::BytesOut) => Unit::Bytes,
            Metric::Count(_) | Metric::Failed(_) | Metric::Skipped(_) => Unit::Count,
            Metric::Ratio(_) | Metric::FailedRatio(_) => Unit::Ratio,
            Metric::Onset(_) => Unit::Seconds,
            Metric::RateAchieved => Unit::PerSecond,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Latency { name, stat } => write!(f, "{name}.{}", stat.name()),
            Metric::Count(counter) => f.write_str(counter.name()),
            Metric::Ratio(share) => f.write_str(share.name()),
            Metric::Failed(cause) => write!(f, "failed.{cause}"),
            Metric::FailedRatio(cause) => write!(f, "failed.{cause}.ratio"),
            Metric::Skipped(reason) => write!(f, "skipped.{}", reason.name()),
            Metric::Onset(kind) => write!(f, "onset.{kind}"),
            Metric::RateAchieved => f.write_str("rate.achieved"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_metric_is_found_by_its_name_and_no_name_is_given_twice() {
        let names: HashSet<String> = Metric::all().map(|metric| metric.to_string()).collect();
        assert_eq!(names.len(), Metric::all().count());
        for metric in Metric::all() {
            assert_eq!(Metric::named(&metric.to_string()), Some(metric));
        }
    }

    #[test]
    fn the_names_of_the_design_are_there() {
        for name in [
            "connect.p99",
            "lateness.p99_9",
            "lifetime.mean",
            "held.max",
            "in_flight",
            "ok.ratio",
            "failed.address_not_available.ratio",
            "skipped.late",
            "onset.ports_exhausted",
            "rate.achieved",
            "bytes_in",
        ] {
            assert!(Metric::named(name).is_some(), "{name}");
        }
        assert_eq!(Metric::named("held.max"), Some(Metric::Count(Counter::HeldMax)));
    }

    #[test]
    fn slips_are_seen_through_and_the_far_is_not_named() {
        let nearest = |name| Metric::nearest(name).map(|metric| metric.to_string());
        assert_eq!(nearest("conect.p99").as_deref(), Some("connect.p99"));
        assert_eq!(nearest("Connect.P99").as_deref(), Some("connect.p99"));
        assert_eq!(nearest("failed.refuse").as_deref(), Some("failed.refused"));
        assert_eq!(nearest("onset.port_exhausted").as_deref(), Some("onset.ports_exhausted"));
        assert_eq!(nearest("held.p99").as_deref(), Some("lifetime.p99"));
        assert_eq!(nearest("rate").as_deref(), Some("rate.achieved"));
        assert_eq!(nearest("failed.dns_is_down"), None);
        assert_eq!(nearest("temperature.of.the.room"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"x".repeat(10_000)), None);
    }
}
