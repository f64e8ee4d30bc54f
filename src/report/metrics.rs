//! The list of metrics: for a terminal, and as the reference page.

use crate::plan::threshold::{Entry, Family, Unit};
use crate::report::findings::{line, wrapped};
use crate::report::style::Style;
use std::fmt::Write;

/// The metrics for a terminal: each with its unit, its meaning, and what it needs.
pub fn render(families: &[Family], style: Style) -> String {
    let mut out = String::new();
    for Family { title, says, entries } in families {
        let gap = if out.is_empty() { "" } else { "\n" };
        line(&mut out, format_args!("{gap}{}", style.bold(title)));
        wrapped(&mut out, &says.replace('`', ""), 2);
        for entry in entries {
            line(&mut out, format_args!("  {:<38} {}", entry.name, unit(entry.unit)));
            wrapped(&mut out, &entry.meaning.replace('`', ""), 6);
            if !entry.needs.is_empty() {
                wrapped(&mut out, &format!("needs {}", entry.needs.replace('`', "")), 6);
            }
        }
    }
    out
}

const HEAD: &str = "# Metrics

What `[thresholds]`, `[abort_when]`, `--threshold` and `--abort-when` can name. A threshold is a metric, a comparator (`<`, \
`<=`, `>`, `>=`, `==`, `!=`)
and a value. One on what the scenario can't measure is refused before the run, with the reason; one on what was not
measured fails.

`connstorm metrics` prints this list, `connstorm metrics failed` a part of it. This page is generated from it.

| unit | compared with |
|---|---|
";

/// The reference page, in Markdown.
pub fn page(families: &[Family]) -> String {
    let mut page = HEAD.to_owned();
    for kind in Unit::ALL {
        let _ = writeln!(page, "| {} | {}: `{}` |", unit(kind), kind.expected(), kind.example());
    }
    for Family { title, says, entries } in families {
        let _ = write!(
            page,
            "\n## {title}\n\n{says}\n\n| metric | unit | meaning | needs | in the result |\n|---|---|---|---|---|\n"
        );
        for Entry { name, unit: of, meaning, from, needs } in entries {
            let _ = writeln!(page, "| `{name}` | {} | {meaning} | {needs} | {from} |", unit(*of));
        }
    }
    page
}

/// A unit in a word.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Microseconds => "duration",
        Unit::Seconds => "moment",
        Unit::Ratio => "share",
        Unit::Count => "number",
        Unit::Bytes => "bytes",
        Unit::PerSecond => "rate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::threshold::catalogue;

    #[test]
    fn the_list_fits_a_terminal_and_shows_no_marks_of_markdown() {
        let text = render(&catalogue(), Style::Plain);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains('`'), "{line}");
        }
        for name in ["connect.p99 ", "failed.refused ", "onset.ports_exhausted ", "rate.achieved "] {
            assert!(text.contains(&format!("\n  {name}")), "{name}");
        }
    }

    #[test]
    fn every_row_of_the_page_has_the_cells_of_its_head() {
        for row in page(&catalogue()).lines().filter(|line| line.starts_with('|')) {
            let bars = row.matches('|').count();
            assert!(bars == 3 || bars == 6, "{row}");
        }
    }
}
