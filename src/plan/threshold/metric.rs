//! Metrics that a threshold can be put on, and the names by which people write them.
//!
//! Invariant: a metric's `Display` is the name that [`Metric::named`] reads, and no two share a name.

use super::stat::Stat;
use super::step::{self, StepFigure, StepName};
use super::value::Unit;
use crate::model::{Cause, LatencyKind, OnsetKind, SkipReason};
use std::fmt;

/// Something a run measures that a threshold can be put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `connect.p99`: a latency, in microseconds.
    Latency {
        /// From what to what.
        of: LatencyKind,
        /// Number of its distribution.
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
    /// `onset.ports_exhausted`: the moment at which a trouble began, in seconds since the start of the run.
    Onset(OnsetKind),
    /// `step.say.p99`, `step.login.failed`: a figure of a step of a conversation.
    Step {
        /// Which.
        name: StepName,
        /// Its figure.
        figure: StepFigure,
    },
    /// `rate.achieved`: attempts that ended well, per second of the run.
    RateAchieved,
    /// `ports.used`: what was seen of the host's sockets from outside.
    Observed(Observed),
}

macro_rules! words {
    ($(#[$meta:meta])* $type:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[doc = $doc])+ $variant,)* }

        impl $type {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// Name in thresholds.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// Meaning, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($type::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

words! {
    /// Counter over the whole run.
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

words! {
    /// Observation of a host's sockets from outside, at its worst.
    Observed {
        /// Of the ports that a tuple can have, those in use; of the fullest tuple.
        PortsUsed = "ports.used",
        /// TIME_WAIT sockets of one tuple.
        TimeWait = "time_wait.max",
        /// Connections that a program keeps for 10 s or longer after its peer has closed.
        CloseWait = "close_wait.max",
        /// Of the descriptors that a program may have, those open.
        Descriptors = "descriptors.used",
        /// Handshakes that listeners have dropped meanwhile.
        ListenerDrops = "listener.drops",
        /// Of the entries of connection tracking, those in use.
        Conntrack = "conntrack.used",
    }
}

impl Metric {
    /// Every metric, families together; of the percentiles of a latency the usual ones.
    pub fn all() -> impl Iterator<Item = Metric> {
        let latencies = LatencyKind::ALL
            .iter()
            .flat_map(|&of| Stat::USUAL.into_iter().map(move |stat| Metric::Latency { of, stat }));
        let failures =
            Cause::ALL.iter().flat_map(|&cause| [Metric::Failed(cause), Metric::FailedRatio(cause)]);
        latencies
            .chain(Counter::ALL.iter().copied().map(Metric::Count))
            .chain(Share::ALL.iter().copied().map(Metric::Ratio))
            .chain(failures)
            .chain(SkipReason::ALL.into_iter().map(Metric::Skipped))
            .chain(OnsetKind::ALL.iter().copied().map(Metric::Onset))
            .chain([Metric::RateAchieved])
            .chain(Observed::ALL.iter().copied().map(Metric::Observed))
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Metric> {
        let latency = || {
            let (of, stat) = name.split_once('.')?;
            Some(Metric::Latency { of: LatencyKind::named(of)?, stat: Stat::named(stat)? })
        };
        let step = || step::named(name).map(|(name, figure)| Metric::Step { name, figure });
        latency().or_else(step).or_else(|| Metric::all().find(|metric| metric.to_string() == name))
    }

    /// True if `connstorm watch` measures it, which makes no attempts of its own.
    pub fn is_of_a_watch(self) -> bool {
        match self {
            Metric::Observed(_) => true,
            Metric::Onset(kind) => kind != OnsetKind::GeneratorSaturated,
            _ => false,
        }
    }

    /// Unit of the metric.
    pub fn unit(self) -> Unit {
        match self {
            Metric::Latency { .. } => Unit::Microseconds,
            Metric::Count(Counter::BytesIn | Counter::BytesOut) => Unit::Bytes,
            Metric::Count(_) | Metric::Failed(_) | Metric::Skipped(_) => Unit::Count,
            Metric::Ratio(_) | Metric::FailedRatio(_) => Unit::Ratio,
            Metric::Onset(_) => Unit::Seconds,
            Metric::Step { figure, .. } => figure.unit(),
            Metric::RateAchieved => Unit::PerSecond,
            Metric::Observed(Observed::PortsUsed | Observed::Descriptors | Observed::Conntrack) => {
                Unit::Ratio
            }
            Metric::Observed(Observed::TimeWait | Observed::CloseWait | Observed::ListenerDrops) => {
                Unit::Count
            }
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Latency { of, stat } => write!(f, "{}.{stat}", of.name()),
            Metric::Count(counter) => f.write_str(counter.name()),
            Metric::Ratio(share) => f.write_str(share.name()),
            Metric::Failed(cause) => write!(f, "failed.{cause}"),
            Metric::FailedRatio(cause) => write!(f, "failed.{cause}.ratio"),
            Metric::Skipped(reason) => write!(f, "skipped.{}", reason.name()),
            Metric::Onset(kind) => write!(f, "onset.{kind}"),
            Metric::Step { name, figure } => write!(f, "step.{}.{figure}", name.as_str()),
            Metric::RateAchieved => f.write_str("rate.achieved"),
            Metric::Observed(observed) => f.write_str(observed.name()),
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
            "connect.p95",
            "round_trip.p99.99",
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
}
