//! Findings of the doctor, for a person.

use crate::diagnose::Place;
use crate::diagnose::host::{Area, Check, Severity};
use crate::model::format::micros;
use crate::report::findings::{self, line, wrapped};
use crate::report::style::Style;
use crate::result::examination::{AttemptReport, Examination, FailureReport, TargetExamination};

/// Columns of a name before its value; longer ones push it on.
const NAME: usize = 36;

/// Findings about the target, for a person.
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
        let told = told(attempt);
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
    // What has to be done first goes first; what is in order is one line.
    for worth in [Severity::Warning, Severity::Note, Severity::Unseen] {
        for area in Area::ALL {
            let of_it = |check: &&Check| check.area == area && check.worth == worth;
            let checks: Vec<&Check> = examination.checks.iter().filter(of_it).collect();
            if checks.is_empty() {
                continue;
            }
            line(out, format_args!("{}", style.bold(area.heading())));
            checks.iter().for_each(|check| self::check(out, check, style));
            line(out, format_args!(""));
        }
    }
    let fine: Vec<&str> = examination
        .checks
        .iter()
        .filter(|check| check.worth == Severity::Ok)
        .map(|check| &*check.name)
        .collect();
    if !fine.is_empty() {
        wrapped(out, &format!("{}: {}", style.good("ok"), fine.join(", ")), 0);
        line(out, format_args!(""));
    }
    let of = |worth| examination.checks.iter().filter(|check| check.worth == worth).count();
    line(
        out,
        format_args!(
            "{} ok, {} notes, {} warnings, {} not seen",
            of(Severity::Ok),
            of(Severity::Note),
            of(Severity::Warning),
            of(Severity::Unseen)
        ),
    );
}

fn check(out: &mut String, check: &Check, style: Style) {
    let worth = format!("{:8}", check.worth);
    let worth = match check.worth {
        Severity::Ok => style.good(&worth),
        Severity::Note | Severity::Unseen => style.warn(&worth),
        Severity::Warning => style.bad(&worth),
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
    let warnings = examination.checks.iter().filter(|check| check.worth == Severity::Warning).count();
    if warnings > 0 && examination.target.is_some() {
        let told = format!("warnings about this host: {warnings}    # connstorm doctor");
        line(out, format_args!("  {}", style.warn(&told)));
    }
    for finding in &examination.findings {
        findings::render_one(out, finding, usize::MAX, style);
    }
}

/// Outcome of the attempt, in a line.
fn told(attempt: &AttemptReport) -> String {
    let after = micros(attempt.connect_us);
    let failure = attempt.failure.as_ref().map(FailureReport::failure);
    if let Some(failure) = failure.filter(|_| !attempt.connected) {
        let resent = match attempt.syn_retransmits {
            0 => String::new(),
            count => format!(", SYN sent {count} times more"),
        };
        return format!("{failure} after {after}{resent}");
    }
    let mut text = format!("connected in {after}");
    if attempt.accepted == Some(false) {
        text.push_str(", not accepted by the server");
    }
    if let Some(version) = &attempt.tls {
        text.push_str(&format!(", {version}"));
    }
    if let Some(greeting) = &attempt.greeting {
        text.push_str(&format!(", answered \"{greeting}\""));
    }
    if let Some(failure) = failure {
        text.push_str(&format!("; {failure}"));
    }
    text
}
