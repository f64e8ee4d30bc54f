//! Words that a scenario would say, for a person at a terminal.

use crate::model::format::{seconds, thousands};
use crate::report::shown::{clean, clean_lines};
use crate::report::style::Style;
use crate::result::rehearsal::{Rehearsal, RehearsedPopulation, RehearsedStep};

/// Width of the column of names.
const NAMES: usize = 14;

/// The text, with line ends.
pub fn render(rehearsal: &Rehearsal, style: Style) -> String {
    let mut out = format!("{}\n", style.bold(&clean(&rehearsal.name)));
    out += &format!("plan: {}\n", clean(&rehearsal.plan));
    if !rehearsal.thresholds.is_empty() {
        out += &format!("thresholds: {}\n", clean(&rehearsal.thresholds.join(", ")));
    }
    rehearsal.populations.iter().for_each(|population| of_population(&mut out, population, style));
    out
}

fn of_population(out: &mut String, population: &RehearsedPopulation, style: Style) {
    if let Some(name) = &population.name {
        *out += &format!("\n{}", style.bold(&format!("population {}", clean(name))));
        *out += &population.plan.as_ref().map_or(String::new(), |plan| format!(": {}", clean(plan)));
        out.push('\n');
    }
    let target = population.target.as_deref().unwrap_or("the scenario's own, which the run starts");
    *out += &format!("target: {}\n", clean(target));
    for client in &population.clients {
        *out += &format!("\n{}\n", style.bold(&format!("client {}", thousands(client.number))));
        client.steps.iter().for_each(|step| of_step(out, step));
    }
}

fn of_step(out: &mut String, step: &RehearsedStep) {
    if let Some(connection) = step.connection.filter(|connection| *connection > 1) {
        *out += &format!("  over connection {connection}\n");
    }
    let indent = " ".repeat(2 + 2 * step.depth);
    let under = " ".repeat(indent.len() + NAMES + 1);
    let mut lines = Vec::new();
    lines.extend(step.does.clone());
    if let Some(text) = &step.sends {
        let text = clean_lines(&text.replace("\r\n", "\n"));
        let text = text.trim_end_matches('\n');
        lines.extend(text.split('\n').map(str::to_owned));
    }
    lines.extend(waits(step));
    let name = clean(&step.name);
    let pad = " ".repeat(NAMES.saturating_sub(name.chars().count()));
    for (at, line) in lines.iter().enumerate() {
        let before = if at == 0 { format!("{indent}{name}{pad} ") } else { under.clone() };
        out.push_str(format!("{before}{line}").trim_end());
        out.push('\n');
    }
}

/// Answer that is waited for, and what is taken of it, in a line.
fn waits(step: &RehearsedStep) -> Option<String> {
    let waited = step.waits_for.as_ref()?;
    let is_reaction = step.within_s.is_none();
    let time = step.within_s.map_or(String::new(), |time| format!(", {} at most", seconds(time)));
    let takes = match &step.takes[..] {
        [] => String::new(),
        names => format!("; takes {}", names.join(", ")),
    };
    let verb = if is_reaction { "to each" } else { "waits for" };
    Some(format!("{verb} {}{time}{}", clean(waited), clean(&takes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::rehearsal::RehearsedClient;

    #[test]
    fn steps_stand_under_each_other_and_what_a_file_holds_does_no_harm() {
        let step = |name: &str, depth| RehearsedStep { name: name.into(), depth, ..RehearsedStep::default() };
        let steps = vec![
            RehearsedStep {
                connection: Some(1),
                sends: Some("GET /a HTTP/1.1\r\nHost: h\r\n\r\n".into()),
                waits_for: Some("a reply".into()),
                within_s: Some(5.0),
                takes: vec!["token".into()],
                ..step("login", 0)
            },
            RehearsedStep { connection: Some(2), sends: Some("\u{1b}[2J".into()), ..step("say", 1) },
            RehearsedStep { does: Some("pauses 2.00 s".into()), ..step("think_3", 1) },
        ];
        let population = RehearsedPopulation {
            name: None,
            plan: None,
            target: Some("ws://h:1/".into()),
            clients: vec![RehearsedClient { number: 1, steps }],
        };
        let rehearsal = Rehearsal {
            name: "chat".into(),
            plan: "100/s".into(),
            thresholds: vec!["ok >= 1".into()],
            populations: vec![population],
        };
        insta::assert_snapshot!(render(&rehearsal, Style::Plain), @r"
        chat
        plan: 100/s
        thresholds: ok >= 1
        target: ws://h:1/

        client 1
          login          GET /a HTTP/1.1
                         Host: h
                         waits for a reply, 5.00 s at most; takes token
          over connection 2
            say            \x1b[2J
            think_3        pauses 2.00 s
        ");
    }
}
