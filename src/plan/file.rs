//! A scenario file, read field by field.

use super::data::Files;
use super::diagnostics::{Mistake, Place};
use super::env::Environment;
use super::field::Field;
use super::fields::{Settings, Tables};
use super::placeholders;
use super::population::{self, WrittenPopulation};
use super::reader::Reader;
use toml::Spanned;
use toml::de::DeTable;

/// Content of a file.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) settings: Settings,
    /// The table `[target]`, if there is one.
    pub(super) target_table: Field<()>,
    /// The table `[serve]`, if there is one.
    pub(super) serve_table: Field<()>,
    /// Populations, if there are any.
    pub(super) populations: Vec<WrittenPopulation>,
}

/// Content of the text of a file, or its mistakes of syntax. Mistakes in single values are in the list, and
/// the values are then marked as bad.
pub(super) fn read(
    text: &str,
    environment: &Environment<'_>,
    files: &Files<'_>,
) -> Result<(Written, Vec<Mistake>), Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_mistakes(text, &errors));
    }
    let reader = Reader::new(text, environment, files);
    let written = scenario(&reader, &document);
    Ok((written, reader.into_mistakes()))
}

/// The parser goes on after a mistake, and then often finds more in the same line: only the first of a line
/// is the user's.
fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut lines = Vec::new();
    let mut mistakes = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let (says, expected) = match error.message().split_once(", expected ") {
            Some((says, expected)) => (says, Some(expected)),
            None => (error.message(), None),
        };
        let mistake = Mistake::new(Place::File(span), format!("this is not TOML: {says}"));
        mistakes.push(match expected {
            Some(expected) => mistake.expected(expected),
            None => mistake,
        });
    }
    mistakes
}

fn scenario<'a>(reader: &'a Reader<'a>, document: &'a Spanned<DeTable<'a>>) -> Written {
    let tables = Tables::of(reader, document, &Settings::names());
    let mut settings = Settings::from_file(&tables);
    let populations = match tables.get("").value() {
        Some(top) => population::read(reader, top),
        None => Vec::new(),
    };
    let each: Vec<&Settings> = populations.iter().map(|(written, _)| &written.settings).collect();
    placeholders::check_file(&tables, &settings, &each);
    for (written, tables) in &populations {
        placeholders::check_file(tables, &settings, &[&written.settings]);
    }
    let populations = populations.into_iter().map(|(written, _)| written).collect();
    // The table alone asks for it.
    settings.reconnect = population::switched_on(tables.presence("reconnect"));
    let (target_table, serve_table) = (tables.presence("target"), tables.presence("serve"));
    Written { settings, target_table, serve_table, populations }
}
