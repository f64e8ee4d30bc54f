//! An experiment in words: what it is, what it is done with, and the list of all.

use super::experiment::{Experiment, Group};
use super::setting::{Setting, Tracking};
use crate::kernel::firewall::{Rule, Verdict};
use crate::report::Style;
use std::fmt::Write;

/// What is about to happen, before it does.
pub fn introduction(experiment: &Experiment, style: Style) -> String {
    let mut out =
        format!("{}  ({})\n  {}\n", style.bold(experiment.name), experiment.group, experiment.about);
    // Writing to a String can't fail.
    let _ = writeln!(out, "  stands for: {}", experiment.stands_for);
    let _ = writeln!(out, "  connstorm run {}", experiment.load);
    let _ = writeln!(out, "  in a namespace with {}\n", described(&experiment.setting));
    out
}

/// What tells a namespace from an empty one.
fn described(setting: &Setting) -> String {
    let mut parts: Vec<String> =
        setting.sysctls.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if setting.cable.is_some() {
        parts.push("a second host (10.77.0.2) on a cable".into());
    }
    parts.extend(setting.addresses.iter().map(|address| format!("{address} on lo")));
    parts.extend(setting.hosts.iter().map(|(address, name)| format!("{name} → {address} in /etc/hosts")));
    parts.extend(setting.environment.iter().map(|(name, value)| format!("{name}={value}")));
    parts.extend(setting.rules.iter().map(described_rule));
    parts.extend(setting.nofile.map(|most| format!("ulimit -n {most}")));
    if let Tracking::Full { .. } = setting.tracking {
        parts.push("connection tracking filled to nf_conntrack_max".into());
    }
    if parts.is_empty() { "nothing special".into() } else { parts.join(", ") }
}

fn described_rule(rule: &Rule) -> String {
    let what = match rule.verdict {
        Verdict::Drop => "drops",
        Verdict::DropEverySecondFirstSyn => "drops every second first SYN of",
        Verdict::RejectByIcmp => "rejects, by ICMP,",
        Verdict::RejectByReset => "rejects, by RST,",
    };
    let port = rule.port.map_or("what comes".to_owned(), |port| format!("what comes for port {port}"));
    let source = rule.source.map_or(String::new(), |source| format!(" from {source}"));
    format!("a rule that {what} {port}{source}")
}

/// All experiments with their cures, by group.
pub fn list(experiments: &[Experiment], style: Style) -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let of_group: Vec<&Experiment> = experiments.iter().filter(|e| e.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{}", style.bold(&group.to_string()));
        for experiment in of_group {
            let _ = writeln!(out, "  {:<26}{}", experiment.name, experiment.about);
            let cures: Vec<&str> = experiment.cures.iter().map(|cure| cure.name).collect();
            if !cures.is_empty() {
                let _ = writeln!(out, "  {:<26}cures: {}", "", cures.join(", "));
            }
        }
    }
    out
}
