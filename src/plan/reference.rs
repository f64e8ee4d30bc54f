//! The reference page of a scenario's fields, in Markdown, made from the table of fields.

use super::fields::{Row, TABLES, TableDoc, rows};
use std::fmt::Write;

const HEAD: &str = "# The fields of a scenario

A scenario is a TOML file. Every field has a flag of `connstorm run` where the table names one; a flag overrides the
file. `${NAME}` in a string is replaced by the environment's variable of that name. `connstorm schema
scenario` is the same table for editors.

This page is made by `connstorm schema scenario --markdown`.
";

/// Reference page of every field, in the order of the table.
pub fn reference() -> String {
    let rows = rows();
    let mut page = HEAD.to_owned();
    section(&mut page, "The scenario itself", "Fields at the top of the file", &rows, "");
    for TableDoc { name, doc } in TABLES {
        section(&mut page, &format!("`[{name}]`"), doc, &rows, name);
    }
    page
}

fn section(page: &mut String, title: &str, doc: &str, rows: &[Row], table: &str) {
    // Writing to a string can't fail.
    let _ = write!(page, "\n## {title}\n\n{doc}.\n\n| field | flag | what it does | left out | targets |\n");
    page.push_str("|---|---|---|---|---|\n");
    for row in rows.iter().filter(|row| row.table == table) {
        let name = row.name.map_or(String::new(), |name| format!("`{name}`"));
        let short = row.short.map_or(String::new(), |short| format!("`-{short}`, "));
        let flag = row.flag.map_or(String::new(), |flag| format!("{short}`{flag}`"));
        let left_out = row.default.text().unwrap_or("–");
        let expected =
            if row.name.is_some() { format!(". In the file: {}", row.expected) } else { String::new() };
        let cells = [
            name,
            flag,
            escaped(&format!("{}{expected}", row.doc)),
            escaped(left_out),
            row.schemes.names.to_owned(),
        ];
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
}

/// A cell ends at a bar, and braces and brackets mean nothing to Markdown where they stand alone.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
