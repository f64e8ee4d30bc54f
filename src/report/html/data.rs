//! Data of the plots: columns of numbers, as short as they can be written.

use crate::model::{Latency, OnsetKind, WindowLatency};
use crate::report::steps::title as title_of;
use crate::result::RunResult;
use crate::result::windows::{Span, spans, without_stub};
use serde::Serialize;
use std::collections::BTreeSet;

/// Points in time, at most: more than a screen has pixels to tell apart in a plot.
const POINTS: usize = 600;

/// Digits of a number in a plot.
const DIGITS: i32 = 4;

/// The columns. Absent numbers are gaps.
#[derive(Debug, Default, Serialize)]
pub(super) struct Columns {
    /// Ends of the spans, in seconds since the start.
    t: Vec<f64>,
    plots: Vec<Plot>,
    marks: Vec<Mark>,
    curve: Curve,
}

/// One plot over time.
#[derive(Debug, Serialize)]
struct Plot {
    title: String,
    unit: &'static str,
    /// True if its series are drawn one on top of the other.
    stacked: bool,
    series: Vec<Series>,
}

#[derive(Debug, Serialize)]
struct Series {
    label: String,
    /// A unit that differs from the plot's: the series has an axis of its own, on the right.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    /// Drawn in a colour that is not that of failures, though it is stacked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    calm: bool,
    values: Vec<Option<f64>>,
}

/// An onset: a line through all plots.
#[derive(Debug, Serialize)]
struct Mark {
    at: f64,
    kind: &'static str,
    tone: &'static str,
}

/// Percentile curves: the share of attempts against the milliseconds that it did not exceed.
#[derive(Debug, Default, Serialize)]
struct Curve {
    title: &'static str,
    /// Shares, from 0 to 1.
    q: Vec<f64>,
    series: Vec<Series>,
}

impl Columns {
    pub(super) fn of(result: &RunResult) -> Columns {
        let spans = spans(&without_stub(&result.windows), POINTS);
        Columns {
            t: spans.iter().map(|span| short(span.window.at_s)).collect(),
            plots: plots(&spans),
            marks: result
                .onsets
                .iter()
                .map(|onset| Mark {
                    at: short(onset.at_s),
                    kind: onset.kind.name(),
                    tone: tone(onset.kind, result.counts.failed > 0),
                })
                .collect(),
            curve: Curve::of(result),
        }
    }
}

impl Columns {
    /// Two runs in the same plots, window by window.
    pub(super) fn beside(base: &RunResult, new: &RunResult) -> Columns {
        let sides = [("base", base), ("new", new)]
            .map(|(name, result)| (name, spans(&without_stub(&result.windows), POINTS)));
        let longest = sides.iter().map(|(_, spans)| spans).max_by_key(|spans| spans.len());
        let t: Vec<f64> = longest.into_iter().flatten().map(|span| short(span.window.at_s)).collect();
        let plot = |title: &str, unit, value: &dyn Fn(&Span) -> Option<f64>| Plot {
            title: title.to_owned(),
            unit,
            stacked: false,
            series: sides
                .iter()
                .map(|(name, spans)| Series {
                    label: (*name).to_owned(),
                    unit: None,
                    calm: false,
                    values: (0..t.len()).map(|n| value(spans.get(n)?).map(short)).collect(),
                })
                .collect(),
        };
        let ms = |us: u64| us as f64 / 1e3;
        let mut plots = vec![
            plot("Connected", "/s", &|s| Some(s.per_second(s.window.opened))),
            plot("Connections open", "connections", &|s| Some(s.window.open as f64)),
            plot("Failures", "/s", &|s| Some(s.per_second(s.window.failed))),
            plot("Time to connect, p50", "ms", &|s| {
                (s.window.opened > 0).then(|| ms(s.window.connect_p50_us))
            }),
            plot("Time to connect, p99", "ms", &|s| {
                (s.window.opened > 0).then(|| ms(s.window.connect_p99_us))
            }),
        ];
        let spoken: BTreeSet<&String> = sides
            .iter()
            .flat_map(|(_, spans)| spans)
            .flat_map(|span| span.window.latency_us.keys())
            .collect();
        plots.extend(spoken.into_iter().map(|name| {
            let title = format!("Time of {}, p99", title_of(name));
            plot(&title, "ms", &|s| s.window.latency_us.get(name).map(|latency| ms(latency.p99)))
        }));
        plots.retain(|plot| plot.series.iter().any(|series| !series.values.iter().all(is_empty)));
        let curve = Curve::drawn(
            "Percentiles of the time to connect",
            [("base", base), ("new", new)].map(|(label, result)| (label, result, "connect")),
        );
        Columns { t, plots, marks: Vec::new(), curve }
    }
}

/// True if a plot has nothing to show there.
fn is_empty(value: &Option<f64>) -> bool {
    value.is_none_or(|value| value == 0.0)
}

/// Colour of an onset: what makes attempts fail is red where some did, what leads to it is not yet, and what belongs
/// to every run is neither.
fn tone(kind: OnsetKind, some_failed: bool) -> &'static str {
    match kind {
        OnsetKind::TimeWaitBuilding | OnsetKind::TimeWaitSteady | OnsetKind::PortsRecovered => "calm",
        OnsetKind::PortSearchSlow
        | OnsetKind::PortsLow
        | OnsetKind::TimeWaitCapped
        | OnsetKind::ConntrackNearFull
        | OnsetKind::CloseWaitLeak => "warn",
        OnsetKind::GeneratorSaturated => "harm",
        _ if !some_failed => "warn",
        _ => "harm",
    }
}

fn plots(spans: &[Span]) -> Vec<Plot> {
    let series = |label: &str, value: &dyn Fn(&Span) -> Option<f64>| Series {
        label: label.to_owned(),
        unit: None,
        calm: false,
        values: spans.iter().map(|span| value(span).map(short)).collect(),
    };
    let ms = |us: u64| us as f64 / 1e3;
    let connected = |span: &Span, us: u64| (span.window.opened > 0).then(|| ms(us));
    let kernel = |span: &Span, of: &dyn Fn(&crate::result::KernelWindow) -> Option<u64>| {
        span.window.kernel.as_ref().and_then(of).map(|count| count as f64)
    };
    let plot = |title: &str, unit, series| Plot { title: title.to_owned(), unit, stacked: false, series };
    let kinds: BTreeSet<&String> = spans.iter().flat_map(|span| span.window.failures.keys()).collect();
    let failures = kinds.iter().map(|kind| {
        let count = |span: &Span| span.window.failures.get(*kind).copied().unwrap_or(0);
        series(kind, &|span| Some(span.per_second(count(span))))
    });
    let mut plots = vec![
        plot(
            "Rate: planned and achieved",
            "/s",
            vec![
                series("planned", &|s| Some(s.per_second(s.window.planned))),
                series("connected", &|s| Some(s.per_second(s.window.opened))),
            ],
        ),
        plot("Connections open", "connections", vec![series("open", &|s| Some(s.window.open as f64))]),
        Plot {
            title: "Failures by kind, stacked".into(),
            unit: "/s",
            stacked: true,
            series: failures.collect(),
        },
        plot(
            "Time to connect",
            "ms",
            vec![
                series("p50", &|s| connected(s, s.window.connect_p50_us)),
                series("p90", &|s| connected(s, s.window.connect_p90_us)),
                series("p99", &|s| connected(s, s.window.connect_p99_us)),
                series("max", &|s| connected(s, s.window.connect_max_us)),
            ],
        ),
        plot(
            "Source ports of the fullest tuple",
            "ports",
            vec![
                series("in use", &|s| kernel(s, &|k| k.ports_in_use)),
                series("of them TIME_WAIT", &|s| kernel(s, &|k| k.time_wait)),
                series("limit", &|s| kernel(s, &|k| k.ports_usable)),
            ],
        ),
        plot(
            "TIME_WAIT of this host",
            "sockets",
            vec![series("sockets", &|s| kernel(s, &|k| k.time_wait_total))],
        ),
        plot(
            "Retransmits of this host",
            "/s",
            vec![
                series("SYN", &|s| kernel(s, &|k| k.syn_retransmits).map(|n| n / s.length_s())),
                series("all segments", &|s| kernel(s, &|k| k.retransmits).map(|n| n / s.length_s())),
            ],
        ),
        plot(
            "The generator itself",
            "% of a core",
            vec![
                series("CPU of the workers", &|s| Some(s.window.cpu_s / s.length_s() * 100.0)),
                Series {
                    unit: Some("ms"),
                    ..series("lateness p99", &|s| Some(ms(s.window.lateness_p99_us)))
                },
            ],
        ),
    ];
    plots.splice(4..4, speech(spans));
    // A plot of nothing tells less than none.
    plots.retain(|plot| plot.series.iter().any(|series| !series.values.iter().all(is_empty)));
    plots
}

/// Plots of everything above TCP: one of messages, two of steps, one of statuses, one of close codes, one a
/// latency.
fn speech(spans: &[Span]) -> Vec<Plot> {
    fn keys<K: Ord>(spans: &[Span], of: impl Fn(&Span) -> Vec<K>) -> BTreeSet<K> {
        spans.iter().flat_map(of).collect()
    }
    let series = |label: String, value: &dyn Fn(&Span) -> Option<f64>| Series {
        label,
        unit: None,
        calm: false,
        values: spans.iter().map(|span| value(span).map(short)).collect(),
    };
    let plot = |title: String, unit, stacked, series| Plot { title, unit, stacked, series };
    let mut plots = Vec::new();
    for name in keys(spans, |span| span.window.latency_us.keys().cloned().collect()) {
        let of = |figure: fn(&WindowLatency) -> u64| {
            let name = &name;
            move |span: &Span| span.window.latency_us.get(name).map(|latency| figure(latency) as f64 / 1e3)
        };
        let figures = vec![
            series("p50".into(), &of(|latency| latency.p50)),
            series("p90".into(), &of(|latency| latency.p90)),
            series("p99".into(), &of(|latency| latency.p99)),
            series("max".into(), &of(|latency| latency.max)),
        ];
        plots.push(plot(format!("Time of {}", title_of(&name)), "ms", false, figures));
    }
    let messages = keys(spans, |span| span.window.messages.keys().cloned().collect());
    let count = |span: &Span, name: &String| span.window.messages.get(name).copied().unwrap_or(0);
    let said = messages
        .iter()
        .map(|name| series(name.replace('_', " "), &|span| Some(span.per_second(count(span, name)))));
    plots.push(plot("Messages and handshakes".into(), "/s", false, said.collect()));
    let steps = keys(spans, |span| span.window.steps.keys().cloned().collect());
    let step = |span: &Span, name: &String| span.window.steps.get(name).copied().unwrap_or_default();
    let done =
        steps.iter().map(|name| series(name.clone(), &|span| Some(span.per_second(step(span, name).done))));
    plots.push(plot("Steps done".into(), "/s", false, done.collect()));
    let failed =
        steps.iter().map(|name| series(name.clone(), &|span| Some(span.per_second(step(span, name).failed))));
    plots.push(plot("Failures by step, stacked".into(), "/s", true, failed.collect()));
    let statuses = keys(spans, |span| span.window.statuses.iter().map(|(code, _)| code).collect());
    let answered = statuses.into_iter().map(|code| Series {
        calm: (100..400).contains(&code),
        ..series(code.to_string(), &|span| Some(span.per_second(span.window.statuses.count(code))))
    });
    plots.push(plot("HTTP statuses, stacked".into(), "/s", true, answered.collect()));
    let closes = keys(spans, |span| span.window.closes.iter().map(|(code, _)| code).collect());
    let closed = closes.into_iter().map(|code| Series {
        calm: matches!(code, 1000 | 1001 | 1005),
        ..series(code.to_string(), &|span| Some(span.per_second(span.window.closes.count(code))))
    });
    plots.push(plot("Close codes of the server, stacked".into(), "/s", true, closed.collect()));
    plots
}

impl Curve {
    /// From the median's side to the last attempt, in steps that look even where the axis is that of a
    /// percentile plot: 1 − q goes down by a twelfth of a decade.
    fn of(result: &RunResult) -> Curve {
        let drawn =
            [("connect", result, "connect"), ("with lateness, from due time", result, "connect_from_due")];
        Curve::drawn("Percentiles: with and without lateness", drawn)
    }

    /// The curves of some latencies, each with its label and the result that has it.
    fn drawn(title: &'static str, of: [(&'static str, &RunResult, &str); 2]) -> Curve {
        let read = of.iter().filter_map(|(label, result, name)| {
            let summary = result.latency_us.get(*name).filter(|summary| summary.count > 0)?;
            Some((*label, Latency::from_base64(&summary.histogram)?))
        });
        let read: Vec<(&str, Latency)> = read.collect();
        let most = read.iter().map(|(_, latency)| latency.count()).max().unwrap_or(0);
        let steps = (0..).map(|n| 10f64.powf(-f64::from(n) / 12.0));
        let tails: Vec<f64> = steps.take_while(|tail| tail * most as f64 >= 1.0).collect();
        let series = |(label, latency): &(&str, Latency)| Series {
            label: (*label).to_owned(),
            unit: None,
            calm: false,
            values: tails.iter().map(|tail| Some(latency.quantile_us(1.0 - tail) as f64 / 1e3)).collect(),
        };
        Curve {
            title,
            series: read.iter().map(series).collect(),
            // Seven digits: enough for one in a million.
            q: tails.iter().map(|tail| ((1.0 - tail) * 1e7).round() / 1e7).collect(),
        }
    }
}

/// A number to as many digits as a plot shows; whole numbers stay whole.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() || (value.fract() == 0.0 && value.abs() < 1e15) {
        return value;
    }
    let magnitude = value.abs().log10().floor() as i32;
    let scale = 10f64.powi((DIGITS - 1 - magnitude).max(0));
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn numbers_are_as_long_as_a_plot_needs() {
        assert_eq!([0.123_456, 12.345_6, 1234.56, 98_765.4].map(short), [0.1235, 12.35, 1235.0, 98_765.0]);
        assert_eq!([28_232.0, 0.0].map(short), [28_232.0, 0.0]);
    }

    #[test]
    fn the_curve_ends_at_the_rarest_attempt() {
        let result = sample::good();
        let curve = Curve::of(&result);
        assert_eq!((curve.q[0], curve.series.len()), (0.0, 2));
        let last = *curve.q.last().unwrap();
        assert!((0.999..1.0).contains(&last), "{last}");
        let values: Vec<f64> = curve.series[0].values.iter().flatten().copied().collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn every_plot_has_a_value_a_span() {
        let columns = Columns::of(&sample::exhausted());
        let titles: Vec<&str> = columns.plots.iter().map(|plot| plot.title.as_str()).collect();
        // Each attempt was closed at once, and nothing was sent again: plots of nothing are left out.
        let all = Columns::of(&sample::good());
        assert!(all.plots.iter().any(|plot| plot.title == "Connections open"));
        assert!(
            !titles.contains(&"Connections open") && titles.contains(&"Failures by kind, stacked"),
            "{titles:?}"
        );
        assert!(
            all.plots.iter().chain(&columns.plots).all(|plot| !plot.unit.is_empty()),
            "each axis has a unit"
        );
        for plot in &columns.plots {
            assert!(
                plot.series.iter().all(|series| series.values.len() == columns.t.len()),
                "{}",
                plot.title
            );
        }
        assert_eq!(columns.marks.len(), sample::exhausted().onsets.len());
    }
}
