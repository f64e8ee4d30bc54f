//! Reads typed fields out of a parsed TOML document and gathers every mistake on the way.

use super::data::Files;
use super::diagnostics::{Mistake, Place, quote};
use super::env::{Environment, expand};
use super::field::{Field, Placed};
use super::nearest::nearest;
use super::syntax::{Fault, Syntax, one_of};
use super::text::Text;
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Needs of reading besides the document: its text, the environment, and where mistakes go.
pub(super) struct Reader<'a> {
    source: &'a str,
    environment: &'a Environment<'a>,
    files: &'a Files<'a>,
    mistakes: RefCell<Vec<Mistake>>,
    data: RefCell<KnownData>,
}

/// Columns of data that placeholders may use.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KnownData {
    /// These.
    Columns(Vec<String>),
    /// Data that was bad, which has been reported: whatever they are called.
    Bad,
}

/// A table of the document whose known fields are read one by one.
pub(super) struct Table<'a> {
    reader: &'a Reader<'a>,
    entries: &'a DeTable<'a>,
    span: Range<usize>,
    /// Known fields that unknown ones were probably meant to be.
    misspelt: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str, environment: &'a Environment<'a>, files: &'a Files<'a>) -> Reader<'a> {
        let data = RefCell::new(KnownData::Columns(Vec::new()));
        Reader { source, environment, files, mistakes: RefCell::default(), data }
    }

    /// The beginning of a file that the scenario names.
    pub(super) fn beginning_of(&self, file: &Path) -> Result<Vec<u8>, String> {
        (self.files)(file)
    }

    /// Takes the names of columns, such as `users.name`; `None`: data was bad, and has been reported.
    pub(super) fn know_data(&self, columns: Option<Vec<String>>) {
        *self.data.borrow_mut() = columns.map_or(KnownData::Bad, KnownData::Columns);
    }

    /// True if a placeholder of this name stands for a column of data.
    pub(super) fn knows_column(&self, name: &str) -> bool {
        match &*self.data.borrow() {
            KnownData::Columns(known) => known.iter().any(|column| column == name),
            KnownData::Bad => name.contains('.'),
        }
    }

    /// Names of the columns of data, such as `users.name`.
    pub(super) fn columns(&self) -> Vec<String> {
        match &*self.data.borrow() {
            KnownData::Columns(known) => known.clone(),
            KnownData::Bad => Vec::new(),
        }
    }

    pub(super) fn report(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    /// A table with these `fields`; any other is reported. `what` names the table, as in "`[load]`".
    pub(super) fn table(
        &'a self,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        what: &str,
        fields: &[&str],
    ) -> Table<'a> {
        let mut misspelt = Vec::new();
        for key in entries.keys().filter(|key| !fields.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let mistake =
                Mistake::new(Place::File(key.span()), format!("{what} has no field {}", quote(name)))
                    .expected(one_of(fields));
            self.report(match nearest(name, fields.iter().copied()) {
                Some(near) => {
                    misspelt.push(near.to_owned());
                    mistake.help(format!("did you mean `{near}`?"))
                }
                None => mistake,
            });
        }
        Table { reader: self, entries, span, misspelt }
    }

    /// The value as a table, or a mistake.
    pub(super) fn as_table(
        &'a self,
        value: &'a Spanned<DeValue<'a>>,
        what: &str,
        fields: &[&str],
    ) -> Option<Table<'a>> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(self.table(entries, value.span(), what, fields)),
            other => {
                let expected = format!("a table with {}", one_of(fields));
                self.report(wrong_type(value.span(), other, &expected));
                None
            }
        }
    }

    /// A value of this syntax.
    pub(super) fn parse<T>(&self, value: &Spanned<DeValue<'_>>, syntax: &Syntax<T>) -> Field<T> {
        let Some(text) = self.text(value, syntax) else { return Field::Bad };
        match (syntax.parse)(text.as_str()) {
            Ok(value) => Field::Given(Placed { value, place: Place::File(text.token()) }),
            Err(fault) => {
                let span = fault.part().map_or(text.token(), |part| text.origin_of(part));
                self.report(fault.at(Place::File(span)));
                Field::Bad
            }
        }
    }

    /// A text, or a number without quotes, that `read` makes something of; `None` where it is wrong, which has been
    /// reported.
    pub(super) fn words<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let syntax = Syntax { expected, bare_number: true, pattern: "", parse: |_| Ok(()) };
        let text = self.text(value, &syntax)?;
        let fault = match read(text.as_str()) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        let span = fault.part().map_or(text.token(), |part| text.origin_of(part));
        self.report(fault.at(Place::File(span)));
        None
    }

    /// Looks a text through for a fault; what is no text, or has another mistake, is not looked through.
    pub(super) fn look_through(
        &self,
        value: &Spanned<DeValue<'_>>,
        fault: impl FnOnce(&str) -> Option<Fault>,
    ) {
        let DeValue::String(string) = value.get_ref() else { return };
        let text = Text::of_string(self.source, value.span(), string);
        let Ok(text) = expand(&text, self.environment) else { return };
        if let Some(fault) = fault(text.as_str()) {
            let span = fault.part().map_or(text.token(), |part| text.origin_of(part));
            self.report(fault.at(Place::File(span)));
        }
    }

    /// Number of mistakes so far.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// The text of a scalar, its variables replaced.
    fn text<T>(&self, value: &Spanned<DeValue<'_>>, syntax: &Syntax<T>) -> Option<Text> {
        let span = value.span();
        match value.get_ref() {
            DeValue::String(string) => {
                let text = Text::of_string(self.source, span, string);
                expand(&text, self.environment)
                    .map_err(|mistakes| self.mistakes.borrow_mut().extend(mistakes))
                    .ok()
            }
            DeValue::Integer(number) if syntax.bare_number => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix());
                let digits = decimal.map_or_else(|_| number.to_string(), |number| number.to_string());
                Some(Text::of_literal(span, &digits))
            }
            DeValue::Float(number) if syntax.bare_number => Some(Text::of_literal(span, number.as_str())),
            other => {
                self.report(wrong_type(span, other, syntax.expected));
                None
            }
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> Place {
        Place::File(self.span.clone())
    }

    /// True if the field is probably there under a wrong name, which has been reported.
    pub(super) fn has_misspelt(&self, field: &str) -> bool {
        self.misspelt.iter().any(|name| name == field)
    }

    /// True if a field is there under a wrong name, which has been reported.
    pub(super) fn misspells(&self) -> bool {
        !self.misspelt.is_empty()
    }

    pub(super) fn value(&self, field: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.get(field)
    }

    /// Keys and values, in the order of the file.
    pub(super) fn in_file_order(
        entries: &'a DeTable<'a>,
    ) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let mut all: Vec<_> =
            entries.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        all.sort_by_key(|(_, span, _)| span.start);
        all
    }

    pub(super) fn parse<T>(&self, field: &str, syntax: &Syntax<T>) -> Field<T> {
        self.value(field).map_or(Field::Absent, |value| self.reader.parse(value, syntax))
    }

    /// A field that is true or false.
    pub(super) fn boolean(&self, field: &str) -> Field<bool> {
        let Some(value) = self.value(field) else { return Field::Absent };
        match value.get_ref() {
            DeValue::Boolean(given) => {
                Field::Given(Placed { value: *given, place: Place::File(value.span()) })
            }
            other => {
                self.reader.report(wrong_type(value.span(), other, "true or false, without quotes"));
                Field::Bad
            }
        }
    }

    /// A field without which the table means nothing.
    pub(super) fn required<T>(&self, field: &str, syntax: &Syntax<T>) -> Field<T> {
        let found = self.parse(field, syntax);
        if found.is_absent() && self.has_misspelt(field) {
            return Field::Bad;
        }
        if found.is_absent() {
            self.reader.report(
                Mistake::new(self.place(), format!("the field `{field}` is missing"))
                    .expected(format!("`{field}`: {}", syntax.expected)),
            );
            return Field::Bad;
        }
        found
    }

    /// Each element of a list, or `Bad` where one of them or the list itself is wrong.
    pub(super) fn list<T>(&self, field: &str, syntax: &Syntax<T>) -> Field<Vec<T>> {
        let Some(value) = self.value(field) else { return Field::Absent };
        let DeValue::Array(elements) = value.get_ref() else {
            let expected = format!("a list in brackets, each {}", syntax.expected);
            self.reader.report(wrong_type(value.span(), value.get_ref(), &expected));
            return Field::Bad;
        };
        let read: Vec<Field<T>> = elements.iter().map(|e| self.reader.parse(e, syntax)).collect();
        if read.iter().any(Field::is_bad) {
            return Field::Bad;
        }
        let value_place = Place::File(value.span());
        let values = read.into_iter().filter_map(Field::into_value).collect();
        Field::Given(Placed { value: values, place: value_place })
    }
}

/// The mistake of a value of the wrong type.
pub(super) fn wrong_type(span: Range<usize>, value: &DeValue<'_>, expected: &str) -> Mistake {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number without quotes",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Mistake::new(Place::File(span), format!("{found} does not fit here")).expected(expected)
}
