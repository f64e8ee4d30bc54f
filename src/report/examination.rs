//! What the doctor found, as data and as text.

use super::findings::{self, line, wrapped};
use super::format::micros;
use super::style::Style;
use crate::attempt::{Cause, Errno, Failure, Side, Stage};
use crate::diagnose::host::{Area, Check, HostState, Worth};
use crate::diagnose::{Finding, Listening, Name, Place};
use crate::kernel::sysctl::HostSettings;
use crate::metrics::Reply;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Columns of a name before its value; longer ones push it on.
const NAME: usize = 36;

/// Everything that an examination found. Versioned as results of runs are; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examination {
    /// See [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program that made it.
    pub connstorm_version: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// The settings and limits of this host.
    pub host: HostSettings,
    /// What there is on it now.
    pub state: HostState,
    /// What each of them is worth.
    pub checks: Vec<Check>,
    /// What was found of the target, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetExamination>,
    /// Causes of trouble, the surest and weightiest first.
    pub findings: Vec<Finding>,
}

/// What was found of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetExamination {
    /// The target, as a URL.
    pub url: String,
    /// Its name and what it leads to; absent for a literal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its addresses, seen from this host.
    pub places: Vec<Place>,
    /// Sockets of this host that listen on the target's port, where the target is this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<Listening>,
    /// The connections that were tried, one to each address.
    pub attempts: Vec<AttemptReport>,
    /// Addresses that were not tried: those without a route where others have one, and those beyond eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untried: Vec<SocketAddr>,
}

/// One connection that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Where it went.
    pub destination: SocketAddr,
    /// Where it came from, as far as the kernel had chosen.
    pub source: Option<SocketAddr>,
    /// Whether it was established.
    pub connected: bool,
    /// Time until it was, or until it failed, in microseconds.
    pub connect_us: u64,
    /// SYNs sent again.
    pub syn_retransmits: u32,
    /// Type and code of an ICMP message that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
    /// Why it was not established, or what went wrong after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReport>,
    /// Whether the server took it by accept(), where that can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// Version of TLS, where its handshake was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// The first line that came, or the first bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// What the server said to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// A failure in the words of results of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// How far it had come.
    pub stage: Stage,
    /// What went wrong.
    pub cause: Cause,
    /// The error number.
    pub errno: Option<Errno>,
    /// The peer's own number: HTTP status, TLS alert, WebSocket close code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Who has to change something, as far as the attempt alone can tell.
    pub side: Side,
}

impl From<Failure> for FailureReport {
    fn from(failure: Failure) -> FailureReport {
        let Failure { stage, cause, errno, code } = failure;
        FailureReport { stage, cause, errno, code, side: failure.side() }
    }
}

impl FailureReport {
    /// The failure itself.
    pub fn failure(&self) -> Failure {
        let FailureReport { stage, cause, errno, code, .. } = *self;
        Failure { stage, cause, errno, code }
    }
}

impl AttemptReport {
    /// An attempt of which nothing is known yet.
    pub fn of(destination: SocketAddr) -> AttemptReport {
        AttemptReport {
            destination,
            source: None,
            connected: false,
            connect_us: 0,
            syn_retransmits: 0,
            icmp: None,
            failure: None,
            accepted: None,
            tls: None,
            greeting: None,
            reply: None,
        }
    }

    /// What came of it, in a line.
    fn told(&self) -> String {
        let after = micros(self.connect_us);
        let failure = self.failure.as_ref().map(FailureReport::failure);
        if let Some(failure) = failure.filter(|_| !self.connected) {
            let resent = match self.syn_retransmits {
                0 => String::new(),
                count => format!(", SYN sent {count} times more"),
            };
            return format!("{failure} after {after}{resent}");
        }
        let mut text = format!("connected in {after}");
        if self.accepted == Some(false) {
            text.push_str(", not accepted by the server");
        }
        if let Some(version) = &self.tls {
            text.push_str(&format!(", {version}"));
        }
        if let Some(greeting) = &self.greeting {
            text.push_str(&format!(", answered \"{greeting}\""));
        }
        if let Some(failure) = failure {
            text.push_str(&format!("; {failure}"));
        }
        text
    }
}

/// What was found of the target, for a person.
pub fn render_target(out: &mut String, target: &TargetExamination, style: Style) {
    line(out, format_args!("{}", style.bold(&target.url)));
    if let Some(name) = &target.name {
        let answers: Vec<String> = name.answers.iter().map(ToString::to_string).collect();
        match &name.error {
            Some(error) => line(out, format_args!("  name      {} does not resolve: {error}", name.name)),
            None => line(out, format_args!("  name      {} is {}", name.name, answers.join(", "))),
        }
        if !name.in_hosts_file.is_empty() {
            line(out, format_args!("            by the hosts file, and not by DNS"));
        }
    }
    for place in &target.places {
        line(out, format_args!("  address   {}: {}", place.address, way(place)));
    }
    for at in &target.listening {
        let queue = format!("{} wait for accept(), backlog {}", at.waiting, at.backlog);
        let queue = if at.is_full() { style.bad(&queue) } else { queue };
        line(out, format_args!("  listener  {}: {queue}", at.described()));
    }
    for attempt in &target.attempts {
        let told = attempt.told();
        let told = if attempt.connected { told } else { style.bad(&told) };
        line(out, format_args!("  attempt   {}: {told}", attempt.destination));
    }
    if !target.untried.is_empty() {
        let listed: Vec<String> = target.untried.iter().map(ToString::to_string).collect();
        line(out, format_args!("  not tried {}: no route, or many others", listed.join(", ")));
    }
}

/// Where an address is, and the way to it.
fn way(place: &Place) -> String {
    let mut text = place.sort.to_string();
    if place.is_local == Some(true) {
        text.push_str(", of this host");
    }
    match (place.has_route, &place.route) {
        (Some(false), _) => text.push_str(", no route"),
        (_, Some(route)) => {
            text.push_str(&route.gateway.map_or(String::new(), |gateway| format!(", via {gateway}")));
            text.push_str(&route.interface.as_ref().map_or(String::new(), |name| format!(", {name}")));
        }
        _ => {}
    }
    text.push_str(&place.source.map_or(String::new(), |source| format!(", from {source}")));
    text
}

/// The checks of a host for a person.
pub fn render_host(out: &mut String, examination: &Examination, style: Style) {
    for area in Area::ALL {
        let checks: Vec<&Check> = examination.checks.iter().filter(|check| check.area == area).collect();
        if checks.is_empty() {
            continue;
        }
        line(out, format_args!("{}", style.bold(area.heading())));
        checks.iter().for_each(|check| self::check(out, check, style));
        line(out, format_args!(""));
    }
    let of = |worth| examination.checks.iter().filter(|check| check.worth == worth).count();
    line(
        out,
        format_args!(
            "{} ok, {} notes, {} warnings, {} not seen",
            of(Worth::Ok),
            of(Worth::Note),
            of(Worth::Warning),
            of(Worth::Unseen)
        ),
    );
}

fn check(out: &mut String, check: &Check, style: Style) {
    let worth = format!("{:8}", check.worth);
    let worth = match check.worth {
        Worth::Ok => style.good(&worth),
        Worth::Note | Worth::Unseen => style.warn(&worth),
        Worth::Warning => style.bad(&worth),
    };
    line(out, format_args!("  {worth} {:NAME$} {}", check.name, check.value));
    wrapped(out, &check.why, 11);
    if let Some(change) = &check.change {
        line(out, format_args!("           {} {change}", style.good("▸")));
    }
}

/// The findings for a person, with all their remedies.
pub fn render_findings(out: &mut String, examination: &Examination, style: Style) {
    if examination.findings.is_empty() && examination.target.is_some() {
        line(out, format_args!("  {}", style.good("nothing wrong was found with the target")));
    }
    let warnings = examination.checks.iter().filter(|check| check.worth == Worth::Warning).count();
    if warnings > 0 && examination.target.is_some() {
        let told = format!("warnings about this host: {warnings}    # connstorm doctor");
        line(out, format_args!("  {}", style.warn(&told)));
    }
    for finding in &examination.findings {
        findings::render_one(out, finding, usize::MAX, style);
    }
}
