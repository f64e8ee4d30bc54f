//! Forms in which a field is written: one value, a list, a switch, and the few that are tables of their own.
//!
//! A [`Form`] reads a field from the file and from its flag by one [`Syntax`], lays the flag over the file, and
//! says how both are written, for help, schema and reference.

use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::reader::Table;
use super::super::syntax::Syntax;
use crate::protocol::{Behaviour, Kind};
use serde_json::{Value, json};
use std::time::Duration;

/// A value that can be shown as a scenario has it.
pub(in crate::plan) trait Written {
    /// Text that is read as the value.
    fn written(&self) -> String;
}

/// Implements [`Written`] for types whose `Display` is read again.
macro_rules! written_as_displayed {
    ($($type:ty),*) => {
        $(impl Written for $type {
            fn written(&self) -> String {
                self.to_string()
            }
        })*
    };
}

written_as_displayed!(u64, u32, u16, f64, Kind, Behaviour);

impl Written for Duration {
    fn written(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// Form of a field.
pub(in crate::plan) trait Form {
    /// Value that is read.
    type Value;

    /// The field of a file's table; a mistake is reported to the table's reader.
    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Self::Value>;

    /// The flag, given once or more.
    fn read_flag(
        &self,
        flag: &'static str,
        given: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Field<Self::Value>;

    /// The flag's value over that of the file.
    fn over(&self, flag: Field<Self::Value>, file: Field<Self::Value>) -> Field<Self::Value> {
        flag.or(file)
    }

    /// Values that the flag takes.
    fn takes(&self) -> Takes {
        Takes::Value
    }

    /// Form of the value in the file, for the reference.
    fn expected(&self) -> &'static str;

    /// JSON schema of what the file may hold.
    fn schema(&self) -> Value;
}

/// Values that a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One.
    Value,
    /// One each time that it is given.
    Values,
    /// None: it is on or off.
    Nothing,
}

/// One value.
pub(in crate::plan) struct One<T: 'static>(pub(in crate::plan) &'static Syntax<T>);

impl<T> Form for One<T> {
    type Value = T;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<T> {
        table.parse(field, self.0)
    }

    fn read_flag(&self, flag: &'static str, given: &[&str], mistakes: &mut Vec<Mistake>) -> Field<T> {
        given.last().map_or(Field::Absent, |text| one_flag(flag, text, self.0, mistakes))
    }

    fn expected(&self) -> &'static str {
        self.0.expected
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

/// A list of values in the file; a flag that may be given several times.
pub(in crate::plan) struct Each<T: 'static>(pub(in crate::plan) &'static Syntax<T>);

impl<T> Form for Each<T> {
    type Value = Vec<T>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<T>> {
        table.list(field, self.0)
    }

    fn read_flag(&self, flag: &'static str, given: &[&str], mistakes: &mut Vec<Mistake>) -> Field<Vec<T>> {
        each_flag(flag, given, self.0, mistakes)
    }

    fn takes(&self) -> Takes {
        Takes::Values
    }

    fn expected(&self) -> &'static str {
        self.0.expected
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": self.0.schema() })
    }
}

/// True or false.
pub(in crate::plan) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<bool> {
        table.boolean(field)
    }

    fn read_flag(&self, flag: &'static str, given: &[&str], _: &mut Vec<Mistake>) -> Field<bool> {
        let place = Place::Flag { flag, given: String::new() };
        if given.is_empty() { Field::Absent } else { Field::Given(Placed { value: true, place }) }
    }

    fn takes(&self) -> Takes {
        Takes::Nothing
    }

    fn expected(&self) -> &'static str {
        "true or false, without quotes"
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

/// The text of one flag, read.
pub(super) fn one_flag<T>(
    flag: &'static str,
    text: &str,
    syntax: &Syntax<T>,
    mistakes: &mut Vec<Mistake>,
) -> Field<T> {
    let place = Place::Flag { flag, given: text.to_owned() };
    match (syntax.parse)(text) {
        Ok(value) => Field::Given(Placed { value, place }),
        Err(fault) => {
            mistakes.push(fault.at(place));
            Field::Bad
        }
    }
}

/// Every text that a flag was given.
pub(super) fn each_flag<T>(
    flag: &'static str,
    given: &[&str],
    syntax: &Syntax<T>,
    mistakes: &mut Vec<Mistake>,
) -> Field<Vec<T>> {
    let Some(first) = given.first() else { return Field::Absent };
    let place = Place::Flag { flag, given: (*first).to_owned() };
    let read: Vec<Field<T>> = given.iter().map(|text| one_flag(flag, text, syntax, mistakes)).collect();
    if read.iter().any(Field::is_bad) {
        return Field::Bad;
    }
    Field::Given(Placed { value: read.into_iter().filter_map(Field::into_value).collect(), place })
}
