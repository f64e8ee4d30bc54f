//! The tables of a scenario file.

use super::super::field::{Field, Placed};
use super::super::reader::{Reader, Table};
use super::Row;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

/// A table of a scenario file, as schema and reference describe it.
#[derive(Debug, Clone, Copy)]
pub struct TableDoc {
    /// Name.
    pub name: &'static str,
    /// Subject of the table.
    pub doc: &'static str,
}

const fn table(name: &'static str, doc: &'static str) -> TableDoc {
    TableDoc { name, doc }
}

/// Every table with fields of its own, in the order of the reference.
pub const TABLES: &[TableDoc] = &[
    table("target", "Where to connect. The url may be left out where [serve] brings the target"),
    table("source", "Where to connect from"),
    table("load", "How many attempts, and when"),
    table("connection", "How a connection lives and ends"),
    table("tls", "How TLS is spoken"),
    table("http", "What is requested over HTTP"),
    table("messages", "What is said over a connection, and what is expected back"),
    table("reconnect", "Connect again when a connection is lost or can't be had; an empty table is enough"),
    table("serve", "A target that the run starts for itself; an empty table is enough"),
];

/// A file's tables while its fields are read: the top first, then those of [`TABLES`] that are there.
pub(in crate::plan) struct Tables<'a> {
    read: Vec<(&'static str, Field<Table<'a>>)>,
}

impl<'a> Tables<'a> {
    /// Looks for every table; what is no table, or has an unknown field, is reported.
    pub(in crate::plan) fn of(
        reader: &'a Reader<'a>,
        document: &'a Spanned<DeTable<'a>>,
        rows: &[Row],
    ) -> Tables<'a> {
        let mut names = fields_of("", rows);
        names.extend(TABLES.iter().map(|table| table.name));
        let top = reader.table(document.get_ref(), document.span(), "a scenario", &names);
        Tables::below(reader, top, rows, |_| true)
    }

    /// The same of a population, which has what says how its clients connect and what they do.
    pub(in crate::plan) fn of_population(
        reader: &'a Reader<'a>,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        rows: &[Row],
    ) -> Tables<'a> {
        let mut names = vec!["name", "share", "steps", "workers"];
        names.extend(TABLES.iter().map(|table| table.name).filter(|name| *name != "serve"));
        let top = reader.table(entries, span, "a population", &names);
        // `target = "URL"` is no table.
        let has_url = top.value("target").is_some_and(|target| target.get_ref().is_str());
        Tables::below(reader, top, rows, |name| name != "serve" && !(has_url && name == "target"))
    }

    /// The tables below `top` that are wanted.
    fn below(
        reader: &'a Reader<'a>,
        top: Table<'a>,
        rows: &[Row],
        is_wanted: impl Fn(&str) -> bool,
    ) -> Tables<'a> {
        let mut read = Vec::new();
        for TableDoc { name, .. } in TABLES.iter().filter(|table| is_wanted(table.name)) {
            let found = match top.value(name) {
                Some(value) => match reader.as_table(value, &format!("[{name}]"), &fields_of(name, rows)) {
                    Some(table) => Field::Given(Placed { place: table.place(), value: table }),
                    None => Field::Bad,
                },
                None if top.has_misspelt(name) => Field::Bad,
                None => Field::Absent,
            };
            read.push((*name, found));
        }
        read.push(("", Field::Given(Placed { place: top.place(), value: top })));
        Tables { read }
    }

    /// The table of this name.
    pub(in crate::plan) fn get(&self, name: &str) -> &Field<Table<'a>> {
        const ABSENT: &Field<Table<'_>> = &Field::Absent;
        self.read.iter().find(|(known, _)| *known == name).map_or(ABSENT, |(_, table)| table)
    }

    /// Where a table stands, or that it is bad or absent.
    pub(in crate::plan) fn presence(&self, name: &str) -> Field<()> {
        match self.get(name) {
            Field::Given(placed) => Field::Given(Placed { value: (), place: placed.place.clone() }),
            Field::Bad => Field::Bad,
            Field::Absent => Field::Absent,
        }
    }
}

/// Fields of a table.
fn fields_of(table: &str, rows: &[Row]) -> Vec<&'static str> {
    rows.iter().filter(|row| row.table == table).filter_map(|row| row.name).collect()
}
