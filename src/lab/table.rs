//! Findings of the diagnosis in each experiment, as a table: a row an experiment, and whether the row is as
//! it should be.

use super::distractor::Distractor;
use super::experiment::Experiment;
use crate::diagnose::{Certainty, FindingId};
use crate::result::RunResult;
use std::fmt::Write;

/// The result of an experiment, judged by what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The experiment.
    pub name: String,
    /// The finding that was intended.
    pub intended: Option<FindingId>,
    /// The first finding, and how sure it is.
    pub first: Option<(FindingId, Certainty)>,
    /// Findings that are said to be proved, but for the intended one.
    pub wrongly_proved: Vec<FindingId>,
    /// Other findings, not proved.
    pub beside: Vec<FindingId>,
    /// Failed attempts, and attempts.
    pub failed: (u64, u64),
    /// The cures that were tried: name, failed attempts, and whether the finding is gone.
    pub cured: Vec<(String, u64, bool)>,
}

impl Row {
    /// The row of a result.
    pub fn of(experiment: &Experiment, result: &RunResult) -> Row {
        let intended = experiment.intended;
        let others = result.findings.iter().filter(|finding| Some(finding.id) != intended);
        let (proved, beside): (Vec<_>, Vec<_>) =
            others.partition(|finding| finding.certainty == Certainty::Proved);
        let ids = |findings: Vec<&crate::diagnose::Finding>| findings.iter().map(|f| f.id).collect();
        Row {
            name: experiment.name.to_owned(),
            intended,
            first: result.findings.first().map(|finding| (finding.id, finding.certainty)),
            wrongly_proved: ids(proved),
            beside: ids(beside),
            failed: (result.counts.failed, result.counts.started),
            cured: Vec::new(),
        }
    }

    /// Adds what a cure came to.
    pub fn cure(&mut self, name: &str, after: &RunResult) {
        let gone = !after.findings.iter().any(|finding| Some(finding.id) == self.intended);
        self.cured.push((name.to_owned(), after.counts.failed, gone));
    }

    /// True if the diagnosis begins with what was intended, and proves nothing else.
    pub fn is_named(&self) -> bool {
        self.first.map(|(id, _)| id) == self.intended && self.wrongly_proved.is_empty()
    }

    /// The same beside a distractor. Of a generator that stopped, that it was late is the better first finding: what
    /// timed out meanwhile says nothing of the target.
    pub fn is_named_beside(&self, beside: Distractor) -> bool {
        let late = self.first.is_some_and(|(id, _)| id == FindingId::GeneratorLate);
        let told = beside == Distractor::GeneratorStops && late && self.wrongly_proved.is_empty();
        self.is_named() || told
    }

    /// The row in a cell.
    fn in_short(&self, beside: Distractor) -> String {
        if self.is_named_beside(beside) {
            return self.first.map_or("quiet".to_owned(), |(_, certainty)| certainty.to_string());
        }
        let first =
            self.first.map_or("nothing".to_owned(), |(id, certainty)| format!("**{id}** ({certainty})"));
        let proved: Vec<&str> = self.wrongly_proved.iter().map(|id| id.as_str()).collect();
        if proved.is_empty() { first } else { format!("{first}; proved: {}", proved.join(", ")) }
    }

    /// True if each cure that was tried let every attempt through, and the finding is gone.
    pub fn is_cured(&self) -> bool {
        self.cured.iter().all(|(_, failed, gone)| *failed == 0 && *gone)
    }
}

/// Experiments, each with the rows of the things that happened beside it.
pub fn beside_markdown(rows: &[(Distractor, Row)]) -> String {
    let mut out = String::from("| experiment |");
    let columns: Vec<Distractor> =
        Distractor::ALL.iter().copied().filter(|one| rows.iter().any(|(beside, _)| beside == one)).collect();
    for distractor in &columns {
        let _ = write!(out, " {distractor} |");
    }
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(columns.len()));
    let mut names: Vec<&str> = rows.iter().map(|(_, row)| row.name.as_str()).collect();
    names.dedup();
    for name in names {
        let _ = write!(out, "| `{name}` |");
        for distractor in &columns {
            let row = rows.iter().find(|(beside, row)| beside == distractor && row.name == name);
            let _ =
                write!(out, " {} |", row.map_or("not run".to_owned(), |(_, row)| row.in_short(*distractor)));
        }
        out.push('\n');
    }
    let named = rows.iter().filter(|(distractor, row)| row.is_named_beside(*distractor)).count();
    let _ = writeln!(out, "\n{named} of {} as intended, with nothing else proved.", rows.len());
    out
}

/// The rows as Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| experiment | failed | the diagnosis begins with | certainty | as intended | also said | cure: failed |\n\
         |---|---:|---|---|---|---|---|\n",
    );
    for row in rows {
        let (first, certainty) = match &row.first {
            Some((id, certainty)) => (format!("`{id}`"), certainty.to_string()),
            None => ("nothing".into(), "–".into()),
        };
        let named = match (&row.intended, row.is_named()) {
            (_, true) => "yes".to_owned(),
            (Some(intended), false) => format!("**no**: `{intended}`"),
            (None, false) => "**no**: nothing".to_owned(),
        };
        let beside: Vec<String> = (row.wrongly_proved.iter().map(|id| format!("**`{id}` proved**")))
            .chain(row.beside.iter().map(|id| format!("`{id}`")))
            .collect();
        let cured: Vec<String> = row
            .cured
            .iter()
            .map(|(name, failed, gone)| {
                format!("{name}: {failed}{}", if *gone { "" } else { ", **still there**" })
            })
            .collect();
        let (failed, started) = row.failed;
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "| `{}` | {failed} of {started} | {first} | {certainty} | {named} | {} | {} |",
            row.name,
            beside.join(", "),
            cured.join("; ")
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            name: "drop-rule".into(),
            intended: Some(FindingId::of("dropped-on-the-way")),
            first: Some((FindingId::of("dropped-on-the-way"), Certainty::Likely)),
            wrongly_proved: vec![],
            beside: vec![FindingId::of("proxy-in-the-way")],
            failed: (20, 20),
            cured: vec![("open-the-port".into(), 0, true)],
        }
    }

    #[test]
    fn a_row_is_as_intended_only_with_the_right_cause_first_and_no_other_proved() {
        assert!(row().is_named() && row().is_cured());
        assert!(!Row { first: None, ..row() }.is_named());
        assert!(
            !Row { first: Some((FindingId::of("nothing-listens"), Certainty::Proved)), ..row() }.is_named()
        );
        assert!(!Row { wrongly_proved: vec![FindingId::of("conntrack-full")], ..row() }.is_named());
        assert!(Row { intended: None, first: None, ..row() }.is_named());
        assert!(!Row { intended: None, ..row() }.is_named());
    }

    #[test]
    fn a_cure_lets_all_through_and_the_finding_is_gone() {
        assert!(!Row { cured: vec![("x".into(), 1, true)], ..row() }.is_cured());
        assert!(!Row { cured: vec![("x".into(), 0, false)], ..row() }.is_cured());
    }

    #[test]
    fn the_table_is_markdown() {
        let wrong = Row { first: None, cured: vec![("pray".into(), 20, false)], ..row() };
        let text = markdown(&[row(), wrong]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| `drop-rule` | 20 of 20 | `dropped-on-the-way` | likely | yes | `proxy-in-the-way` | open-the-port: 0 |"
        );
        assert!(lines[3].contains("| nothing | – | **no**: `dropped-on-the-way` |"), "{}", lines[3]);
        assert!(lines[3].contains("pray: 20, **still there**"), "{}", lines[3]);
    }
}
