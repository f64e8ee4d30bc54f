//! The tables `[data.NAME]` of a file, with every mistake at its place.

use super::{DataFormat, DataTable, TakeRows, columns};
use crate::plan::diagnostics::{Mistake, Place, quote};
use crate::plan::env::plain;
use crate::plan::field::{Field, Placed};
use crate::plan::fields::Form;
use crate::plan::reader::{Reader, Table, wrong_type};
use crate::plan::syntax::{Fault, Syntax, choose};
use serde_json::{Value, json};
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// The field `data`.
pub(in crate::plan) struct DataTables;

const EXAMPLE: &str = "a table a file, such as [data.users] with file = \"users.csv\"";

const DATA_FILE: Syntax<PathBuf> = Syntax {
    expected: "the path of a file with rows, such as \"users.csv\"",
    bare_number: false,
    pattern: "",
    parse: |text| match PathBuf::from(&*plain(text)) {
        path if DataFormat::of(&path).is_some() => Ok(path),
        _ => Err(Fault::new(format!("the form of {} can't be told", quote(text))).expected(
            "a file that ends in .csv (with a first line of names), or in .jsonl (a JSON object a line)",
        )),
    },
};

const TAKE_ROWS: Syntax<TakeRows> = Syntax {
    expected: "`in-order`, `random` or `once`",
    bare_number: false,
    pattern: "in-order|random|once",
    parse: |text| {
        let choices =
            [("in-order", TakeRows::InOrder), ("random", TakeRows::Random), ("once", TakeRows::Once)];
        choose(text, "an order of rows", &choices)
    },
};

impl Form for DataTables {
    type Value = Vec<DataTable>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<DataTable>> {
        let Some(value) = table.value(field) else { return Field::Absent };
        let reader = table.reader();
        let DeValue::Table(entries) = value.get_ref() else {
            reader.report(wrong_type(value.span(), value.get_ref(), EXAMPLE));
            reader.know_data(None);
            return Field::Bad;
        };
        let mut tables = Vec::new();
        let mut is_bad = false;
        for (name, span, value) in Table::in_file_order(entries) {
            if !is_name(name) {
                let says = format!("{} can't be the name of data", quote(name));
                let expected = "letters, digits and `_`: placeholders call it {NAME.column}";
                reader.report(Mistake::new(Place::File(span), says).expected(expected));
                is_bad = true;
                continue;
            }
            match one(reader, name, value) {
                Some(table) => tables.push(table),
                None => is_bad = true,
            }
        }
        if is_bad {
            reader.know_data(None);
            return Field::Bad;
        }
        reader.know_data(Some(super::names(&tables).collect()));
        Field::Given(Placed { value: tables, place: Place::File(value.span()) })
    }

    fn read_flag(&self, _: &'static str, _: &[&str], _: &mut Vec<Mistake>) -> Field<Vec<DataTable>> {
        Field::Absent
    }

    fn expected(&self) -> &'static str {
        EXAMPLE
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": {
            "type": "object", "additionalProperties": false, "required": ["file"],
            "properties": {
                "file": { "description": "CSV with a first line of names (.csv), or a JSON object a line (.jsonl).",
                    "type": "string" },
                "take": { "description": "Order in which clients take rows.", "enum": ["in-order", "random", "once"] },
            },
        } })
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn one<'a>(reader: &'a Reader<'a>, name: &str, value: &'a Spanned<DeValue<'a>>) -> Option<DataTable> {
    let table = reader.as_table(value, &format!("[data.{name}]"), &["file", "take"])?;
    let file = table.required("file", &DATA_FILE);
    let take = table.parse("take", &TAKE_ROWS);
    let place = file.given().map(|placed| placed.place.clone());
    let is_bad = take.is_bad() || table.misspells();
    let (file, place) = (file.into_value()?, place?);
    let format = DataFormat::of(&file)?;
    let read = reader.beginning_of(&file).map_err(|why| format!("{} can't be read: {why}", quoted(&file)));
    let columns = read.and_then(|beginning| {
        columns::columns(format, &beginning).map_err(|why| format!("{} is of no use: {why}", quoted(&file)))
    });
    match columns {
        Ok(columns) if !is_bad => Some(DataTable {
            name: name.to_owned(),
            file,
            format,
            take: take.into_value().unwrap_or_default(),
            columns,
        }),
        Ok(_) => None,
        Err(says) => {
            let expected = "a file that is there, with the names of its columns in the first line";
            reader.report(Mistake::new(place, says).expected(expected));
            None
        }
    }
}

fn quoted(file: &std::path::Path) -> String {
    quote(&file.display().to_string())
}
