//! Prometheus remote write 1.0 (prometheus.io/docs/specs/prw/remote_write_spec): series under the names that a scrape
//! of OpenMetrics gives them.

use super::PREFIX;
use crate::report::openmetrics::{Buckets, Figures, Labels, Values};
use prost::Message;
use std::collections::BTreeSet;

/// The value that ends a series, so that it is not drawn on for five minutes (`StaleNaN`, model/value/value.go).
const STALE: u64 = 0x7ff0_0000_0000_0002;

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

/// Series that were written and have not ended.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeSet<Vec<Label>>);

impl Written {
    /// The body with these values. Series that have no value any more end with it.
    pub(super) fn body(
        &mut self,
        series: Vec<(Vec<Label>, f64)>,
        at_ms: u64,
    ) -> Result<Vec<u8>, snap::Error> {
        let timestamp = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let of = |labels, value| TimeSeries { labels, samples: vec![Sample { value, timestamp }] };
        let now: BTreeSet<Vec<Label>> = series.iter().map(|(labels, _)| labels.clone()).collect();
        let gone = self.0.difference(&now).cloned().map(|labels| of(labels, f64::from_bits(STALE)));
        let timeseries = series.into_iter().map(|(labels, value)| of(labels, value)).chain(gone).collect();
        self.0 = now;
        snap::raw::Encoder::new().compress_vec(&WriteRequest { timeseries }.encode_to_vec())
    }
}

/// Every series of the figures with its value; labels are in order, as the protocol demands.
pub(super) fn series(figures: &Figures, common: &Labels) -> Vec<(Vec<Label>, f64)> {
    let mut all = Vec::new();
    for family in figures.families() {
        let unit = family.unit.as_ref().map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let name = |suffix: &str| format!("{PREFIX}_{}{unit}{suffix}", family.name);
        let mut add = |name: String, labels: &Labels, value| all.push((sorted(name, labels, common), value));
        match &family.values {
            Values::Counters(members) => {
                members.iter().for_each(|(labels, value)| add(name("_total"), labels, *value as f64));
            }
            Values::Gauges(members) => {
                members.iter().for_each(|(labels, value)| add(name(""), labels, *value));
            }
            Values::Info(labels) => add(name("_info"), labels, 1.0),
            Values::Histograms(members) => {
                for (labels, of) in members {
                    add(name("_sum"), labels, of.sum_s);
                    add(name("_count"), labels, of.count as f64);
                    for (bound, below) in cumulative(of) {
                        let with_bound = [&labels[..], &[("le".to_owned(), bound)]].concat();
                        add(name("_bucket"), &with_bound, below as f64);
                    }
                }
            }
        }
    }
    all
}

/// The histogram's buckets as Prometheus has them: up to each bound, all that lies below.
fn cumulative(of: &Buckets) -> impl Iterator<Item = (String, u64)> + '_ {
    of.buckets.iter().scan(0, |below, (bound, inside)| {
        *below += inside;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        Some((bound, *below))
    })
}

fn sorted(name: String, labels: &Labels, common: &Labels) -> Vec<Label> {
    let label = |(name, value): &(String, String)| Label { name: name.clone(), value: value.clone() };
    // Where both have a name, a series' own value stands.
    let own = |name: &str| labels.iter().any(|(known, _)| known == name);
    let common = common.iter().filter(|(name, _)| !own(name)).map(label);
    // An empty value is the same as none.
    let own = labels.iter().filter(|(_, value)| !value.is_empty()).map(label);
    let mut all: Vec<Label> = std::iter::once(Label { name: "__name__".to_owned(), value: name })
        .chain(common)
        .chain(own)
        .collect();
    all.sort();
    all
}
