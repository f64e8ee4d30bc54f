//! OpenMetrics text, as Prometheus reads it: of a run that has ended, or of one under way.
//!
//! Latencies are histograms with fixed bounds, so that dashboards can add them up, and exact quantiles
//! beside them. Counters are named after the fields of `counts`, whatever there is of them.

use crate::model::Latency;
use crate::report::output::{RenderError, library};
use crate::report::shown::Shown;
use crate::result::headline;
use crate::result::{LatencySummary, RunResult, WindowSummary};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Content type of the text, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the histograms' buckets, in microseconds.
const BOUNDS_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Fields of `counts` that go up and down.
const GAUGES: [&str; 2] = ["in_flight", "held_max"];

pub(super) type Labels = Vec<(String, String)>;

/// The text of a run that has ended.
pub(super) fn render(result: &Shown<'_, RunResult>) -> Result<String, RenderError> {
    text(result, headline::verdict(result.verdict))
}

/// The text of a run that goes on, of which nobody knows yet what it is worth.
///
/// # Errors
/// When a histogram can't be read.
pub fn render_running(result: &RunResult) -> Result<String, RenderError> {
    let result = Shown::of(result).map_err(|error| library("OpenMetrics", &error))?;
    text(&result, "running")
}

fn text(result: &RunResult, verdict: &str) -> Result<String, RenderError> {
    written("connstorm", Figures::of(result, verdict)?)
}

/// Figures as text, each name with a prefix.
pub(super) fn written(prefix: &str, figures: Figures) -> Result<String, RenderError> {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(figures));
    let mut out = String::new();
    encoding::text::encode(&mut out, &registry).map_err(|error| library("OpenMetrics", &error))?;
    Ok(out)
}

/// One family of metrics, with the values of its members.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) values: Values,
}

#[derive(Debug)]
pub(super) enum Values {
    Counters(Vec<(Labels, u64)>),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Buckets)>),
    Info(Labels),
}

#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) sum_s: f64,
    pub(super) count: u64,
    /// Upper bounds in seconds, the last one infinite, and how many lie in each bucket.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// Families of metrics, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Family>);

impl Figures {
    /// The figures of a run, with what is to be said of its worth.
    pub(super) fn of(result: &RunResult, verdict: &str) -> Result<Figures, RenderError> {
        let mut figures = Figures(Vec::new());
        figures.run(result, verdict);
        figures.counts(result);
        figures.latencies(result)?;
        figures.populations(result);
        figures.judgement(result);
        if let Some(window) = result.windows.last() {
            figures.window(result, window);
        }
        Ok(figures)
    }

    /// The families, in their order.
    pub(super) fn families(&self) -> &[Family] {
        &self.0
    }

    pub(super) fn add(&mut self, name: &str, help: &'static str, values: Values) -> &mut Family {
        self.0.push(Family { name: name.to_owned(), help, unit: None, values });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn run(&mut self, result: &RunResult, verdict: &str) {
        let labels = labels(&[
            ("name", &result.plan.name),
            ("verdict", verdict),
            ("version", &result.connstorm_version),
        ]);
        self.add("run", "The run", Values::Info(labels));
        self.gauge("elapsed", "Time since the start", result.elapsed_s).unit = Some(Unit::Seconds);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &'static str, value: f64) -> &mut Family {
        self.add(name, help, Values::Gauges(vec![(Labels::new(), value)]))
    }

    fn counts(&mut self, result: &RunResult) {
        // What serialises is an object with numbers; whoever adds one finds it here.
        let counts = serde_json::to_value(result.counts).unwrap_or_default();
        for (name, value) in counts.as_object().into_iter().flatten() {
            let Some(value) = value.as_u64() else { continue };
            if GAUGES.contains(&name.as_str()) {
                self.gauge(name, "A number of connections", value as f64);
            } else {
                let values = Values::Counters(vec![(Labels::new(), value)]);
                self.add(name, "Counted since the start", values);
            }
        }
        let mut messages = result.messages.named();
        messages.sort_unstable();
        let said = messages.into_iter().map(|(what, count)| (labels(&[("what", what)]), count));
        self.add("messages", "Counted above TCP, since the start", Values::Counters(said.collect()));
        let by_code = |code: u16, count: u64| (labels(&[("code", &code.to_string())]), count);
        if !result.statuses.is_empty() {
            let statuses = result.statuses.iter().map(|(code, count)| by_code(code, count));
            self.add("http_statuses", "Final replies, by HTTP status", Values::Counters(statuses.collect()));
        }
        if !result.closes.is_empty() {
            let closes = result.closes.iter().map(|close| by_code(close.code, close.count));
            let help = "WebSockets that the peer closed first, by close code";
            self.add("websocket_closes", help, Values::Counters(closes.collect()));
        }
        let skipped = result.skipped.iter().map(|(why, count)| (labels(&[("reason", why)]), *count));
        self.add("skipped_by_reason", "Arrivals not started, by reason", Values::Counters(skipped.collect()));
        let failures = result.failures.iter().map(|kind| {
            let errno = kind.errno.map_or(String::new(), |errno| errno.to_string());
            let what = [("stage", kind.stage.name()), ("cause", kind.cause.name())];
            let code = kind.code.map_or(String::new(), |code| code.to_string());
            let who = [("errno", errno.as_str()), ("side", kind.side.name())];
            let mut all = [what, who].concat();
            if !code.is_empty() {
                all.push(("code", code.as_str()));
            }
            (labels(&all), kind.count)
        });
        self.add("failures", "Failed attempts, by kind", Values::Counters(failures.collect()));
        let steps = result.steps.iter().flat_map(|step| {
            [("done", step.done), ("failed", step.failed)]
                .map(|(what, count)| (labels(&[("step", step.name.as_str()), ("what", what)]), count))
        });
        if !result.steps.is_empty() {
            self.add("steps", "Steps of conversations, by outcome", Values::Counters(steps.collect()));
        }
    }

    fn latencies(&mut self, result: &RunResult) -> Result<(), RenderError> {
        let (mut histograms, mut quantiles) = (Vec::new(), Vec::new());
        for (name, summary) in result.latency_us.iter().filter(|(_, summary)| summary.count > 0) {
            histograms.push((labels(&[("step", name)]), buckets(name, summary)?));
            let of =
                [("0.5", summary.p50), ("0.9", summary.p90), ("0.99", summary.p99), ("0.999", summary.p99_9)];
            quantiles.extend(
                of.map(|(quantile, us)| (labels(&[("step", name), ("quantile", quantile)]), us as f64 / 1e6)),
            );
        }
        let help = "Latency of a step, of attempts that succeeded in it";
        self.add("latency", help, Values::Histograms(histograms)).unit = Some(Unit::Seconds);
        let help = "Quantiles of the latency over the whole run";
        self.add("latency_quantile", help, Values::Gauges(quantiles)).unit = Some(Unit::Seconds);
        Ok(())
    }

    fn populations(&mut self, result: &RunResult) {
        let all = &result.populations;
        if all.is_empty() {
            return;
        }
        let counts = all.iter().flat_map(|population| {
            let counts = &population.counts;
            let named = [
                ("planned", counts.planned),
                ("started", counts.started),
                ("ok", counts.ok),
                ("failed", counts.failed),
                ("cut_short", counts.cut_short),
                ("skipped", counts.skipped),
            ];
            named.map(|(what, count)| (labels(&[("population", &population.name), ("what", what)]), count))
        });
        self.add("population_attempts", "Attempts of each population", Values::Counters(counts.collect()));
        let open = all.iter().filter_map(|population| {
            let window = population.windows.last()?;
            Some((labels(&[("population", &population.name)]), window.open as f64))
        });
        let help = "Connections of each population open at the end of the last window";
        self.add("population_open_connections", help, Values::Gauges(open.collect()));
        let quantiles = all.iter().flat_map(|population| {
            let measured = population.latency_us.iter().filter(|(_, latency)| latency.count > 0);
            measured.flat_map(|(name, latency)| {
                let of = [("0.5", latency.p50), ("0.99", latency.p99), ("1", latency.max)];
                of.map(|(quantile, us)| {
                    let labels =
                        [("population", population.name.as_str()), ("step", name), ("quantile", quantile)];
                    (self::labels(&labels), us as f64 / 1e6)
                })
            })
        });
        let help = "Quantiles of the latencies of each population over the whole run";
        self.add("population_latency_quantile", help, Values::Gauges(quantiles.collect())).unit =
            Some(Unit::Seconds);
    }

    fn judgement(&mut self, result: &RunResult) {
        let onsets = result.onsets.iter().map(|onset| {
            let source = onset.source.map_or(String::new(), |source| source.to_string());
            let destination = onset.destination.map_or(String::new(), |to| to.to_string());
            let labels =
                labels(&[("kind", onset.kind.name()), ("source", &source), ("destination", &destination)]);
            (labels, onset.at_s)
        });
        self.add("onset", "When a trouble began, since the start", Values::Gauges(onsets.collect())).unit =
            Some(Unit::Seconds);
        let thresholds = result
            .thresholds
            .iter()
            .map(|judged| (labels(&[("threshold", &judged.expression)]), f64::from(u8::from(judged.passed))));
        self.add("threshold_passed", "1 where a threshold holds", Values::Gauges(thresholds.collect()));
    }

    fn window(&mut self, result: &RunResult, window: &WindowSummary) {
        self.gauge("open_connections", "Connections open at the end of the last window", window.open as f64);
        let lateness = window.lateness_p99_us as f64 / 1e6;
        self.gauge("window_lateness_p99", "99th percentile of the last window's lateness", lateness).unit =
            Some(Unit::Seconds);
        if let Some(us) = window.message_lateness_p99_us {
            let help = "99th percentile of the last window's lateness of messages";
            self.gauge("window_message_lateness_p99", help, us as f64 / 1e6).unit = Some(Unit::Seconds);
        }
        if !window.latency_us.is_empty() {
            let quantiles = window.latency_us.iter().flat_map(|(name, latency)| {
                let of = [("0.5", latency.p50), ("0.99", latency.p99), ("1", latency.max)];
                of.map(|(quantile, us)| (labels(&[("step", name), ("quantile", quantile)]), us as f64 / 1e6))
            });
            let help = "Quantiles of latencies above TCP in the last window";
            self.add("window_latency_quantile", help, Values::Gauges(quantiles.collect())).unit =
                Some(Unit::Seconds);
        }
        if result.windows.len() > 1 {
            let cpu = result.resources.cpu_s;
            self.gauge("cpu", "CPU time of the process", cpu).unit = Some(Unit::Seconds);
        }
        let Some(kernel) = &window.kernel else { return };
        if let Some(used) = kernel.ports_in_use {
            self.gauge("ports_in_use", "Ports in use on the fullest tuple", used as f64);
        }
        if let Some(time_wait) = kernel.time_wait {
            self.gauge("time_wait", "TIME_WAIT on the fullest tuple", time_wait as f64);
        }
        if let Some(usable) = kernel.ports_usable {
            self.gauge("ports_usable", "Ports that a tuple can have", usable as f64);
        }
        if let Some(total) = kernel.time_wait_total {
            self.gauge("time_wait_sockets", "TIME_WAIT of the whole namespace", total as f64);
        }
    }
}

fn buckets(name: &str, summary: &LatencySummary) -> Result<Buckets, RenderError> {
    let latency = Latency::from_base64(&summary.histogram);
    let latency = latency.ok_or_else(|| RenderError::Histogram(name.to_owned()))?;
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = BOUNDS_US
        .iter()
        .map(|&bound| {
            let up_to = latency.count_up_to(bound);
            let inside = up_to - below;
            below = up_to;
            (bound as f64 / 1e6, inside)
        })
        .collect();
    buckets.push((f64::INFINITY, latency.count() - below));
    Ok(Buckets { sum_s: summary.mean * summary.count as f64 / 1e6, count: summary.count, buckets })
}

pub(super) fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let kind = match family.values {
                Values::Counters(_) => MetricType::Counter,
                Values::Gauges(_) => MetricType::Gauge,
                Values::Histograms(_) => MetricType::Histogram,
                Values::Info(_) => MetricType::Info,
            };
            let encoder = encoder.encode_descriptor(&family.name, family.help, family.unit.as_ref(), kind)?;
            family.values.encode(encoder)?;
        }
        Ok(())
    }
}

impl Values {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            // Without labels, no braces: not every parser takes empty ones.
            Values::Counters(members) => members.iter().try_for_each(|(labels, value)| match &labels[..] {
                [] => encoder.encode_counter::<NoLabelSet, u64, u64>(value, None),
                _ => encoder.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(value, None),
            }),
            Values::Gauges(members) => members.iter().try_for_each(|(labels, value)| match &labels[..] {
                [] => encoder.encode_gauge(value),
                _ => encoder.encode_family(labels)?.encode_gauge(value),
            }),
            Values::Histograms(members) => members.iter().try_for_each(|(labels, of)| {
                let mut member = encoder.encode_family(labels)?;
                member.encode_histogram::<NoLabelSet>(of.sum_s, of.count, &of.buckets, None)
            }),
            Values::Info(labels) => encoder.encode_info(labels),
        }
    }
}
