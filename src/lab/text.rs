//! An experiment in words: what it is, what it is done with, and the list of all.

use super::experiment::{Experiment, Group};
use super::setting::{Setting, Tracking};
use super::wire::Wire;
use crate::linux::firewall::{Rule, Verdict};
use crate::report::Style;
use std::fmt::Write;

/// Columns that the list is broken to, and those of its names.
const WIDTH: usize = 100;
const INDENT: usize = 27;

/// Announcement of what is about to happen.
pub fn introduction(experiment: &Experiment, style: Style) -> String {
    let mut out =
        format!("{}  ({})\n  {}\n", style.bold(experiment.name), experiment.group, experiment.about);
    // Writing to a String can't fail.
    let _ = writeln!(out, "  stands for: {}", experiment.stands_for);
    let _ = writeln!(out, "  connstorm run {}", experiment.load);
    let _ = writeln!(out, "  in a namespace with {}\n", described(&experiment.setting));
    out
}

/// Difference of a namespace from an empty one.
fn described(setting: &Setting) -> String {
    let mut parts: Vec<String> =
        setting.sysctls.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if let Some(cable) = &setting.cable {
        parts.push(format!(
            "a second host (10.77.0.2) on a cable{}",
            cable.wire.map_or(String::new(), described_wire)
        ));
    }
    parts.extend(
        setting.masquerade.map(|(low, high)| format!("a rule that masquerades to the ports {low}-{high}")),
    );
    parts.extend(setting.holder.map(|holder| {
        format!(
            "another program with {} {} from {} to {}",
            holder.count, holder.way, holder.source, holder.destination
        )
    }));
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

fn described_wire(wire: Wire) -> String {
    let slow = (!wire.delay.is_zero()).then(|| format!(", {} ms long each way", wire.delay.as_millis()));
    let narrow = wire.longest.map(|longest| format!(", which loses packets above {longest} bytes"));
    slow.into_iter().chain(narrow).collect()
}

fn described_rule(rule: &Rule) -> String {
    let what = match rule.verdict {
        Verdict::Drop => "drops",
        Verdict::DropAllButSyn => "drops all but the SYNs of",
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
            let mut name = experiment.name;
            let cures: Vec<&str> = experiment.cures.iter().map(|cure| cure.name).collect();
            let cures = if cures.is_empty() { String::new() } else { format!("cures: {}", cures.join(", ")) };
            for text in [experiment.about, &cures] {
                for line in broken(text, WIDTH - INDENT - 2) {
                    let _ = writeln!(out, "  {name:<INDENT$}{line}");
                    name = "";
                }
            }
        }
    }
    out
}

/// Text in lines of so many characters at most, broken at spaces.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::all;

    #[test]
    fn the_list_names_all_in_lines_that_fit() {
        let list = list(&all(), Style::Plain);
        for experiment in all() {
            assert_eq!(list.matches(&format!("  {} ", experiment.name)).count(), 1, "{}", experiment.name);
        }
        assert!(list.lines().all(|line| line.chars().count() <= WIDTH), "{list}");
    }

    #[test]
    fn an_introduction_says_what_is_run_and_in_what() {
        let experiment = crate::lab::find("drop-rule").unwrap();
        let text = introduction(&experiment, Style::Plain);
        assert!(text.contains("connstorm run tcp://10.77.0.2:9000 --rate 20/s"), "{text}");
        assert!(text.contains("a rule that drops what comes for port 9000"), "{text}");
    }
}
