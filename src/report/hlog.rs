//! A log of HdrHistogram (`.hlog`), which its public tools read and plot.
//!
//! Lines without a tag are connect, a window each; lines with a tag are the other latencies, over the whole
//! run. Values are microseconds.

use crate::linux::clock::wall_clock;
use crate::model::Latency;
use crate::report::output::{RenderError, library};
use crate::report::shown::Shown;
use crate::result::RunResult;
use crate::result::windows::{Span, spans};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::time::Duration;

/// The largest values are written in milliseconds.
const MAX_DIVISOR: f64 = 1000.0;

struct Line<'a> {
    latency: Latency,
    from_s: f64,
    length_s: f64,
    tag: Option<Tag<'a>>,
}

/// The log.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let began = wall_clock(result.began_unix_us);
    let comments = [
        "[Histogram log format version 1.3]".to_owned(),
        format!("[connstorm {}: {}]", result.connstorm_version, result.plan.name),
        "[Values are microseconds; without a tag: connect]".to_owned(),
    ];
    let mut builder = IntervalLogWriterBuilder::new();
    comments.iter().for_each(|comment| {
        builder.add_comment(comment);
    });
    builder.with_start_time(began).with_base_time(began).with_max_value_divisor(MAX_DIVISOR);
    let mut log =
        builder.begin_log_with(&mut text, &mut serializer).map_err(|error| library("the .hlog", &error))?;
    for line in lines(result)? {
        let (from, length) = (seconds(line.from_s), seconds(line.length_s));
        // An interval in which nothing was measured is no line.
        let Some(histogram) = line.latency.histogram() else { continue };
        log.write_histogram(histogram, from, length, line.tag)
            .map_err(|error| library("the .hlog", &error))?;
    }
    drop(log);
    String::from_utf8(text).map_err(|error| library("the .hlog", &error))
}

fn lines(result: &RunResult) -> Result<Vec<Line<'_>>, RenderError> {
    let mut lines = Vec::new();
    match connect_by_window(result)? {
        Some(windows) => lines.extend(windows),
        // Some window kept its percentiles alone: then the whole run is one interval.
        None => lines.extend(whole(result, "connect", None)?),
    }
    for name in result.latency_us.keys().filter(|name| *name != "connect") {
        // A line without a tag is connect: a name that can't be a tag has no line.
        if let Some(tag) = Tag::new(name) {
            lines.extend(whole(result, name, Some(tag))?);
        }
    }
    Ok(lines)
}

/// A line a window; `None` if not every window that connected anything has its histogram.
fn connect_by_window(result: &RunResult) -> Result<Option<Vec<Line<'_>>>, RenderError> {
    let mut lines = Vec::new();
    for Span { from_s, window } in spans(&result.windows, usize::MAX) {
        let latency = match &window.connect_histogram {
            Some(text) => Latency::from_base64(text)
                .ok_or_else(|| RenderError::Histogram(format!("the window at {} s", window.at_s)))?,
            None if window.opened == 0 => continue,
            None => return Ok(None),
        };
        let length_s = window.at_s - from_s;
        lines.push(Line { latency, from_s, length_s, tag: None });
    }
    Ok(Some(lines))
}

fn whole<'a>(result: &RunResult, name: &str, tag: Option<Tag<'a>>) -> Result<Option<Line<'a>>, RenderError> {
    let Some(summary) = result.latency_us.get(name).filter(|summary| summary.count > 0) else {
        return Ok(None);
    };
    let latency = Latency::from_base64(&summary.histogram);
    let latency = latency.ok_or_else(|| RenderError::Histogram(name.to_owned()))?;
    Ok(Some(Line { latency, from_s: 0.0, length_s: result.elapsed_s, tag }))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::report::output::{Format, Hlog};
    use crate::result::sample;
    use base64::Engine as _;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    /// Tag and histogram of every line, read with the public reader.
    fn read(log: &str) -> Vec<(Option<String>, Histogram<u64>)> {
        let entries = IntervalLogIterator::new(log.as_bytes()).map(|entry| entry.unwrap());
        let lines = entries.filter_map(|entry| match entry {
            LogEntry::Interval(line) => Some(line),
            _ => None,
        });
        let histogram = |text: &str| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
        };
        lines
            .map(|line| (line.tag().map(|tag| tag.as_str().to_owned()), histogram(line.encoded_histogram())))
            .collect()
    }

    #[test]
    fn the_windows_add_up_to_the_run() {
        let result = sample::good();
        let lines = read(&Hlog.render(&result).unwrap());
        let mut connect = Histogram::<u64>::new(2).unwrap();
        for (_, histogram) in lines.iter().filter(|(tag, _)| tag.is_none()) {
            connect.add(histogram).unwrap();
        }
        assert_eq!(connect.len(), result.latency_us["connect"].count);
        assert_eq!(connect.value_at_quantile(0.99), result.latency_us["connect"].p99);
        let lateness = lines.iter().find(|(tag, _)| tag.as_deref() == Some("lateness")).unwrap();
        assert_eq!(lateness.1.len(), result.latency_us["lateness"].count);
    }

    #[test]
    fn a_run_whose_windows_have_no_histograms_is_one_interval() {
        let mut result = sample::good();
        result.windows[2].connect_histogram = None;
        let lines = read(&Hlog.render(&result).unwrap());
        assert_eq!(lines.iter().filter(|(tag, _)| tag.is_none()).count(), 1);
        assert_eq!(lines[0].1.len(), result.latency_us["connect"].count);
    }

    #[test]
    fn a_damaged_histogram_is_named() {
        let mut result = sample::good();
        result.latency_us.get_mut("lateness").unwrap().histogram.truncate(30);
        assert!(Hlog.render(&result).unwrap_err().to_string().contains("histogram of lateness"));
    }
}
