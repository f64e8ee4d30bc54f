//! Latencies in HDR histograms of a fixed shape, so that any two can be added exactly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use std::time::Duration;

/// Largest recorded value: 120 s, in microseconds. Longer ones count as this.
const HIGHEST_US: u64 = 120_000_000;
/// Significant decimal digits: values are off by at most 1 %.
const DIGITS: u8 = 2;

/// A histogram of durations from 1 µs to 120 s, within 1 %, in 22 KB; in nothing as long as it is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency(Option<Box<Histogram<u64>>>);

/// The shape of every histogram is the same constant, checked by a test.
fn empty() -> Box<Histogram<u64>> {
    Box::new(Histogram::new_with_bounds(1, HIGHEST_US, DIGITS).expect("constant bounds are valid"))
}

impl Latency {
    /// Adds one duration, in whole microseconds rounded down; less than 1 µs counts as 0.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(HIGHEST_US);
        self.0.get_or_insert_with(empty).saturating_record(us.min(HIGHEST_US));
    }

    /// Adds one duration so many times.
    pub fn record_many(&mut self, duration: Duration, times: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(HIGHEST_US);
        self.0.get_or_insert_with(empty).saturating_record_n(us.min(HIGHEST_US), times);
    }

    /// Adds all that another has recorded. Exact: both have the same buckets.
    pub fn merge(&mut self, other: &Latency) {
        let Some(theirs) = &other.0 else { return };
        // Same shape, so that addition can't fail.
        let added = self.0.get_or_insert_with(empty).add(&**theirs);
        debug_assert!(added.is_ok());
    }

    /// Number of recorded durations.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// Smallest and largest recorded value in microseconds, to the precision of the histogram.
    pub fn min_max_us(&self) -> (u64, u64) {
        self.0.as_ref().map_or((0, 0), |histogram| (histogram.min(), histogram.max()))
    }

    /// The mean in microseconds; 0 when nothing was recorded.
    pub fn mean_us(&self) -> f64 {
        self.0.as_ref().map_or(0.0, |histogram| histogram.mean())
    }

    /// The value in microseconds that the share `q` (0 to 1) of all durations does not exceed; 0 when
    /// nothing was recorded.
    pub fn quantile_us(&self, q: f64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.value_at_quantile(q))
    }

    /// Number of the recorded durations that are at most so many microseconds long, to the precision of the
    /// histogram.
    pub fn count_up_to(&self, us: u64) -> u64 {
        let up_to = |histogram: &Histogram<u64>| histogram.count_between(0, us.min(HIGHEST_US));
        self.0.as_ref().filter(|histogram| !histogram.is_empty()).map_or(0, |histogram| up_to(histogram))
    }

    /// The histogram itself, where something was recorded; its values are microseconds.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_deref()
    }

    /// The histogram in the compressed HdrHistogram V2 format, base64 (it begins with `HISTF`).
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        let nothing;
        let histogram = match &self.0 {
            Some(histogram) => histogram,
            None => {
                nothing = empty();
                &nothing
            }
        };
        // Writing into a Vec can't fail, and every count fits V2's 64 bits.
        let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
        debug_assert!(written.is_ok());
        BASE64.encode(bytes)
    }

    /// Reads what [`Latency::to_base64`] wrote.
    pub fn from_base64(text: &str) -> Option<Latency> {
        let read = super::saved_histogram::read(text)?;
        if read.is_empty() {
            return Some(Latency::default());
        }
        let mut histogram = empty();
        histogram.add(&read).ok()?;
        Some(Latency(Some(histogram)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Latency {
        let mut latency = Latency::default();
        for &us in values {
            latency.record(Duration::from_micros(us));
        }
        latency
    }

    #[test]
    fn nothing_recorded_is_zero_everywhere() {
        let empty = Latency::default();
        assert_eq!((empty.count(), empty.quantile_us(0.99), empty.min_max_us()), (0, 0, (0, 0)));
    }

    #[test]
    fn a_value_past_the_end_is_kept_as_the_end() {
        let latency = of(&[u64::MAX / 2]);
        assert_eq!(latency.count(), 1);
        assert!(latency.quantile_us(1.0).abs_diff(HIGHEST_US) <= HIGHEST_US / 100);
    }

    proptest! {
        #[test]
        fn merging_is_the_same_as_recording_together(
            a in proptest::collection::vec(0u64..200_000_000, 0..200),
            b in proptest::collection::vec(0u64..200_000_000, 0..200),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn the_text_form_keeps_everything(values in proptest::collection::vec(0u64..200_000_000, 0..200)) {
            let latency = of(&values);
            let text = latency.to_base64();
            prop_assert!(text.starts_with("HISTF"));
            prop_assert_eq!(Latency::from_base64(&text), Some(latency));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Latency::from_base64(&text);
        }
    }
}
