//! Needs of a metric: what a scenario has to have for it to be measured.
//!
//! A threshold on what is never measured can't pass, or passes whatever happens; so it is refused before the run. Only
//! what belongs to protocols above TCP, and to reconnecting, depends on the scenario.

use super::Threshold;
use super::metric::{Counter, Metric};
use super::step;
use crate::model::{LatencyKind, OnsetKind};
use crate::plan::Plan;
use crate::plan::steps::{self, Act};
use crate::protocol::Application;
use std::borrow::Cow;

/// Part of a scenario without which a metric is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Tls,
    Handshake,
    WebSocket,
    Session,
    Sends,
    Requests,
    Answers,
    TimedAnswers,
    TimedMessages,
    Expect,
    Waits,
    Unasked,
    Pings,
    FanOut,
    Reconnect,
    Watch,
}

/// Reason for which a metric can't be measured, and what a scenario would need for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmeasured {
    /// Reason, in a clause: `a tcp connection has no TLS handshake`.
    pub why: String,
    /// Need: `a target of tls, https or wss`.
    pub needed: Cow<'static, str>,
}

impl Metric {
    /// Reason for which a run of this plan can't measure it; `None` where it can.
    pub fn unmeasured_by(self, plan: &Plan) -> Option<Unmeasured> {
        if let Metric::Step { name, figure } = self {
            let (why, needed) = step::lacking(plan, name, figure)?;
            return Some(Unmeasured { why, needed: needed.into() });
        }
        let needs = Needs::of(self);
        let why = needs.lacking(plan)?;
        Some(Unmeasured { why, needed: needs.words().into() })
    }
}

/// Reason for which a run of a plan can't measure a threshold's metric: none of its populations does, or not the one
/// that is named.
pub(super) fn of_threshold(threshold: &Threshold, plan: &Plan) -> Option<Unmeasured> {
    let metric = threshold.metric();
    let Some(name) = threshold.population() else {
        let each = plan.each().into_iter().map(|plan| metric.unmeasured_by(plan));
        return each.reduce(|one, other| one.and(other)).flatten();
    };
    if let Metric::Onset(_) | Metric::Observed(_) = metric {
        let why = "it is of the whole run, not of a population".to_owned();
        return Some(Unmeasured { why, needed: "the same without the population".into() });
    }
    match plan.populations.iter().find(|population| population.name == name) {
        Some(population) => metric.unmeasured_by(&population.plan),
        None if plan.populations.is_empty() => Some(Unmeasured {
            why: "it has no populations".to_owned(),
            needed: "[[population]], one of them of this name".into(),
        }),
        None => {
            let names: Vec<String> = plan
                .populations
                .iter()
                .map(|population| format!("`population.{}`", population.name))
                .collect();
            Some(Unmeasured {
                why: format!("it has no population '{name}'"),
                needed: names.join(", ").into(),
            })
        }
    }
}

impl Needs {
    /// Needs of a metric.
    pub(super) fn of(metric: Metric) -> Needs {
        match metric {
            Metric::Latency { of, .. } => match of {
                LatencyKind::Tls => Needs::Tls,
                LatencyKind::Handshake => Needs::Handshake,
                LatencyKind::RoundTrip => Needs::Answers,
                LatencyKind::RoundTripFromDue => Needs::TimedAnswers,
                LatencyKind::MessageLateness => Needs::TimedMessages,
                LatencyKind::Pong => Needs::Pings,
                LatencyKind::PushGap | LatencyKind::OneWay => Needs::WebSocket,
                LatencyKind::FanoutSpread => Needs::FanOut,
                _ => Needs::Nothing,
            },
            Metric::Count(counter) => match counter {
                Counter::Sessions | Counter::Received => Needs::Session,
                Counter::Sent | Counter::UnsentLate | Counter::UnsentCut | Counter::UnsentLost => {
                    Needs::Sends
                }
                Counter::UnsentWaiting => Needs::Requests,
                Counter::Matched | Counter::Mismatches => Needs::Expect,
                Counter::Unanswered => Needs::Waits,
                Counter::Pushes => Needs::Unasked,
                Counter::Pings | Counter::Pongs => Needs::Pings,
                Counter::PeerPings => Needs::WebSocket,
                Counter::Reconnects => Needs::Reconnect,
                _ => Needs::Nothing,
            },
            Metric::Observed(_) | Metric::Onset(OnsetKind::CloseWaitLeak) => Needs::Watch,
            _ => Needs::Nothing,
        }
    }

    /// The same in words; empty for nothing.
    pub(super) fn words(self) -> &'static str {
        match self {
            Needs::Nothing => "",
            Needs::Tls => "a target of tls, https or wss",
            Needs::Handshake => "a target of http, https, ws or wss",
            Needs::WebSocket => "a target of ws or wss",
            Needs::Session => "a target above TCP, or `send` in [messages]",
            Needs::Sends => "`send` in [messages], or a target of http or https",
            Needs::Requests => "a target of http or https",
            Needs::TimedAnswers => "`every` in [messages], and `expect` or a target of http or https",
            Needs::TimedMessages => "`every` or `think` in [messages]",
            Needs::Answers => "`expect` in [messages], or a target of http or https",
            Needs::Expect => "`expect` in [messages]",
            Needs::Waits => "`expect` in [messages], and a target of ws, wss, tcp or tls",
            Needs::Unasked => "a target of ws or wss, or `send` in [messages] and a target of tcp or tls",
            Needs::Pings => "`ping_every` in [messages], and a target of ws or wss",
            Needs::FanOut => "`send` and `senders` in [messages], and a target of ws or wss",
            Needs::Reconnect => "[reconnect], or --reconnect",
            Needs::Watch => "`connstorm watch`",
        }
    }

    /// Lack of a plan, in a clause; `None` where nothing is lacking.
    fn lacking(self, plan: &Plan) -> Option<String> {
        let kind = plan.kind();
        let messages = &plan.session.messages;
        let application = kind.application();
        let is_http = application == Application::Http;
        let is_websocket = application == Application::WebSocket;
        let is_stream = application == Application::Stream;
        let steps = steps::flat(&plan.session.steps);
        let speaks = |act: &Act| matches!(act, Act::Send(_) | Act::Http(_) | Act::On { send: Some(_), .. });
        let is_answered = |act: &Act| act.is_timed() && !matches!(act, Act::Open(_));
        let sends = messages.send.is_some() || is_http || steps.iter().any(|step| speaks(&step.act));
        let expects = messages.expect.is_some() || steps.iter().any(|step| is_answered(&step.act));
        let other_kind = |has_no: &str| Some(format!("a {kind} connection has no {has_no}"));
        let unsaid = |says: &str| Some(says.to_owned());
        match self {
            Needs::Nothing => None,
            Needs::Tls if kind.is_encrypted() => None,
            Needs::Tls => other_kind("TLS handshake"),
            Needs::Handshake if !is_stream => None,
            Needs::Handshake => other_kind("handshake above TCP and TLS"),
            Needs::WebSocket if is_websocket => None,
            Needs::WebSocket => other_kind("messages that come unasked, and no pings"),
            Needs::Session if sends || kind.is_encrypted() || !is_stream => None,
            Needs::Sends if sends => None,
            Needs::Session | Needs::Sends => unsaid("the scenario sends nothing"),
            Needs::Requests if is_http => None,
            Needs::Requests => other_kind("requests"),
            Needs::TimedMessages if messages.every.is_some() || !messages.think.is_zero() => None,
            Needs::TimedAnswers if messages.every.is_some() && (is_http || expects) => None,
            Needs::TimedMessages => unsaid("no message has a time of its own"),
            Needs::TimedAnswers if messages.every.is_none() => unsaid("no message has a time of its own"),
            Needs::Answers if is_http || expects => None,
            Needs::Expect if expects => None,
            Needs::Waits if expects && !is_http => None,
            Needs::Waits if is_http => unsaid("a request without a reply is a failed attempt"),
            Needs::Answers | Needs::TimedAnswers | Needs::Expect | Needs::Waits => {
                unsaid("the scenario says no answer that it expects")
            }
            Needs::Unasked if is_http => other_kind("messages that come unasked"),
            Needs::Unasked if is_websocket || sends => None,
            Needs::Unasked => unsaid("what comes over a connection that sends nothing is not looked at"),
            Needs::Pings if !is_websocket => other_kind("pings"),
            Needs::Pings if messages.ping_every.is_some() => None,
            Needs::Pings => unsaid("the scenario sends no pings"),
            Needs::FanOut if !is_websocket => other_kind("messages that several receive"),
            Needs::FanOut if messages.senders.is_some() => None,
            Needs::FanOut => unsaid("no message of the scenario goes to several connections"),
            Needs::Reconnect if plan.session.reconnect.is_some() => None,
            Needs::Reconnect => unsaid("the scenario does not connect again"),
            Needs::Watch => unsaid("a run does not look at other programs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    fn plan(url: &str, flags: &[(&'static str, &str)]) -> Plan {
        let mut overrides = Overrides::to(url);
        for (flag, value) in flags {
            overrides.set(flag, value);
        }
        from_flags(&overrides).unwrap()
    }

    fn why(name: &str, plan: &Plan) -> Option<String> {
        Metric::named(name).unwrap().unmeasured_by(plan).map(|unmeasured| unmeasured.why)
    }

    #[test]
    fn what_belongs_to_tcp_is_measured_by_every_scenario() {
        let plan = plan("tcp://127.0.0.1:1", &[]);
        for name in [
            "connect.p95",
            "lateness.max",
            "ok",
            "failed.ratio",
            "failed.tls_alert",
            "onset.refusals",
            "bytes_in",
        ] {
            assert_eq!(why(name, &plan), None, "{name}");
        }
    }

    /// Each metric above TCP with a scenario that measures it, and one that lacks one thing for it.
    #[test]
    fn what_is_lacking_is_said_and_what_is_there_is_not_refused() {
        let (ws, echo) = ("ws://127.0.0.1:1", [("--send", "x"), ("--expect", "echo")]);
        let (plain, tls) = ("tcp://127.0.0.1:1", "tls://127.0.0.1:1");
        let http = "http://127.0.0.1:1";
        let sends = [("--send", "x"), ("--every", "1s")];
        let fan_out = [sends[0], sends[1], ("--senders", "1"), ("--lifetime", "2s")];
        for (name, good, lacking, says) in [
            ("tls.p99", plan(tls, &[]), plan(plain, &[]), "no TLS handshake"),
            ("handshake.p99", plan(http, &[]), plan(tls, &[]), "no handshake above"),
            ("round_trip.p99", plan(http, &[]), plan(ws, &sends), "no answer that it expects"),
            ("round_trip.p99", plan(plain, &echo), plan(plain, &[]), "no answer that it expects"),
            (
                "round_trip_from_due.p99",
                plan(plain, &[sends[0], sends[1], echo[1]]),
                plan(plain, &echo),
                "no message has a time",
            ),
            (
                "round_trip_from_due.p99",
                plan(http, &[sends[1], ("--requests", "2")]),
                plan(plain, &sends),
                "no answer that",
            ),
            ("message_lateness.p99", plan(plain, &sends), plan(plain, &echo), "no message has a time"),
            ("messages.unsent_waiting", plan(http, &[]), plan(plain, &sends), "no requests"),
            ("messages.unsent_late", plan(plain, &sends), plan(plain, &[]), "sends nothing"),
            ("pong.max", plan(ws, &[("--ping-every", "1s")]), plan(ws, &[]), "sends no pings"),
            ("messages.pongs", plan(ws, &[("--ping-every", "1s")]), plan(http, &[]), "has no pings"),
            ("push_gap.p99", plan(ws, &[]), plan(plain, &echo), "come unasked"),
            ("fanout_spread.p99", plan(ws, &fan_out), plan(ws, &sends), "several connections"),
            ("messages.sessions", plan(tls, &[]), plan(plain, &[]), "sends nothing"),
            ("messages.sent", plan(plain, &sends), plan(ws, &[]), "sends nothing"),
            ("messages.matched", plan(ws, &echo), plan(http, &[]), "no answer that it expects"),
            (
                "messages.unanswered",
                plan(ws, &echo),
                plan(http, &[("--expect", "any")]),
                "is a failed attempt",
            ),
            ("messages.pushes", plan(ws, &[]), plan(http, &[]), "come unasked"),
            ("reconnects", plan(ws, &[("--reconnect", "")]), plan(ws, &[]), "does not connect again"),
        ] {
            assert_eq!(why(name, &good), None, "{name}");
            let why = why(name, &lacking).unwrap_or_else(|| panic!("{name} is let through"));
            assert!(why.contains(says), "{name}: {why}");
        }
    }
}
