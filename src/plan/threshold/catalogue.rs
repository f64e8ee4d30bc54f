//! Every metric with its unit, its meaning, where its value comes from, and what it needs: the one list that help,
//! the command `metrics` and the reference page are made from.

use super::metric::{Counter, Metric, Observed, Share};
use super::needs::Needs;
use super::stat::{Percentile, Stat};
use super::value::Unit;
use crate::model::{Cause, LatencyKind, OnsetKind, SkipReason};

/// Metrics that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Heading.
    pub title: &'static str,
    /// Sentences that hold for all of them.
    pub says: &'static str,
    /// Metrics of the group.
    pub entries: Vec<Entry>,
}

/// A metric, as lists and the reference describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name to write in a threshold. Of a latency: with the percentile that most people look at.
    pub name: String,
    /// Unit of the metric.
    pub unit: Unit,
    /// Meaning, in a sentence.
    pub meaning: &'static str,
    /// Where the result (`--json`) has it.
    pub from: String,
    /// Need of a scenario for the metric to be measured; empty where every scenario measures it.
    pub needs: &'static str,
}

impl Entry {
    fn of(metric: Metric, meaning: &'static str, from: String) -> Entry {
        Entry {
            name: metric.to_string(),
            unit: metric.unit(),
            meaning,
            from,
            needs: Needs::of(metric).words(),
        }
    }

    /// True if it is one of a family such as `connect`, `failed` or `onset`, or is named so.
    pub fn is_of(&self, family: &str) -> bool {
        self.name == family || self.name.strip_prefix(family).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Every metric that a threshold can name, in the order of the reference.
pub fn catalogue() -> Vec<Family> {
    vec![
        Family {
            title: "Latencies",
            says: "Of attempts that came so far; a failed attempt never enters one. Each has `min`, `mean`, `max` and \
                   every percentile: `p50`, `p95`, `p99.9` (also written `p99_9`), to four decimals. A percentile that \
                   fewer values stand behind than it needs is the largest value: `p99.9` of 100 values.",
            entries: LatencyKind::ALL.iter().map(|&of| latency(of)).collect(),
        },
        Family {
            title: "Counts",
            says: "Over the whole run.",
            entries: Counter::ALL
                .iter()
                .map(|&counter| Entry::of(Metric::Count(counter), counter.meaning(), from_counter(counter)))
                .collect(),
        },
        Family {
            title: "Shares",
            says: "From 0% to 100%. Of nothing there is no share: a threshold on it then fails.",
            entries: Share::ALL
                .iter()
                .map(|&share| Entry::of(Metric::Ratio(share), share.meaning(), from_share(share).to_owned()))
                .chain([Entry::of(
                    Metric::RateAchieved,
                    "Attempts that ended well, per second of the run.",
                    "`counts.ok` ÷ `elapsed_s`".to_owned(),
                )])
                .collect(),
        },
        Family {
            title: "Failures by cause",
            says: "At whatever stage of the attempt. Each has a share too: `failed.refused.ratio`, of the started attempts.",
            entries: Cause::ALL.iter().map(|&cause| failure(cause)).collect(),
        },
        Family {
            title: "Skipped arrivals by reason",
            says: "Arrivals that were due and not started.",
            entries: SkipReason::ALL.iter().map(|&reason| skip(reason)).collect(),
        },
        Family {
            title: "Onsets",
            says: "The moment at which a trouble began, since the start of the run. `never` (short for `== never`) asks \
                   that it does not happen; `> 30s` that it does not happen earlier.",
            entries: OnsetKind::ALL.iter().map(|&kind| onset(kind)).collect(),
        },
        Family {
            title: "Of a watch",
            says: "What `connstorm watch` sees of programs from outside, each at its worst.",
            entries: Observed::ALL.iter().map(|&observed| seen(observed)).collect(),
        },
    ]
}

fn latency(of: LatencyKind) -> Entry {
    let metric = Metric::Latency { of, stat: Stat::Percentile(Percentile::P99) };
    Entry::of(metric, of.meaning(), format!("`latency_us.{}`", of.name()))
}

fn failure(cause: Cause) -> Entry {
    Entry::of(Metric::Failed(cause), cause.meaning(), format!("`failures`, `cause` = `{cause}`"))
}

fn skip(reason: SkipReason) -> Entry {
    Entry::of(Metric::Skipped(reason), reason.meaning(), format!("`skipped.{}`", reason.name()))
}

fn onset(kind: OnsetKind) -> Entry {
    Entry::of(Metric::Onset(kind), kind.meaning(), format!("`onsets`, `kind` = `{kind}`"))
}

fn seen(observed: Observed) -> Entry {
    let from = match observed {
        Observed::PortsUsed => "`fullest`, `ports_used` ÷ `ports_usable`",
        Observed::TimeWait => "`fullest`, `sockets`, `time_wait`",
        Observed::CloseWait => "`half_closed`, `for_long`",
        Observed::Descriptors => "`tables`, `open` ÷ `limit`",
        Observed::ListenerDrops => "`listeners`, `dropped`",
        Observed::Conntrack => "`conntrack`, `count` ÷ `max`",
    };
    Entry::of(Metric::Observed(observed), observed.meaning(), from.to_owned())
}

fn from_counter(counter: Counter) -> String {
    match counter {
        Counter::HeldMax => "`counts.held_max`".to_owned(),
        Counter::Reconnects => "`messages.reconnects`".to_owned(),
        counter if counter.name().starts_with("messages.") => format!("`{}`", counter.name()),
        counter => format!("`counts.{}`", counter.name()),
    }
}

fn from_share(share: Share) -> &'static str {
    match share {
        Share::Ok => "`counts.ok` ÷ `counts.started`",
        Share::Failed => "`counts.failed` ÷ `counts.started`",
        Share::Skipped => "`counts.skipped` ÷ `counts.planned`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_is_in_the_list_once() {
        let entries: Vec<Entry> = catalogue().into_iter().flat_map(|family| family.entries).collect();
        let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(listed.len(), entries.len(), "one is listed twice");
        let is_shown_by_another = |metric: &Metric| match metric {
            Metric::Latency { stat, .. } => *stat != Stat::Percentile(Percentile::P99),
            Metric::FailedRatio(_) => true,
            _ => false,
        };
        let all: Vec<String> = Metric::all()
            .filter(|metric| !is_shown_by_another(metric))
            .map(|metric| metric.to_string())
            .collect();
        assert_eq!(listed, all.iter().map(String::as_str).collect());
        for entry in &entries {
            let metric = Metric::named(&entry.name).unwrap();
            assert_eq!(metric.unit(), entry.unit);
            assert!(entry.meaning.ends_with('.') && !entry.meaning.contains("  "), "{}", entry.meaning);
        }
    }

    #[test]
    fn a_family_is_told_by_its_first_word() {
        let named = |family: &str| {
            let entries = catalogue().into_iter().flat_map(|family| family.entries);
            entries.filter(|entry| entry.is_of(family)).count()
        };
        assert_eq!(
            (named("connect"), named("onset"), named("skipped")),
            (1, OnsetKind::ALL.len(), 2 + SkipReason::ALL.len())
        );
        assert_eq!(named("conn"), 0);
    }
}
