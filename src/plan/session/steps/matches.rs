//! Form of a kind of messages in a step: a text, or a table of conditions.

use super::reader::StepReader;
use super::{Condition, Match};
use crate::plan::diagnostics::{Mistake, Place, quote};
use crate::plan::env::plain;
use crate::plan::reader::{Table, wrong_type};
use crate::plan::syntax::Fault;
use crate::protocol::Template;
use crate::protocol::json_scan::Pointer;
use toml::Spanned;
use toml::de::DeValue;

/// Fields of the table.
pub(super) const CONDITIONS: [&str; 9] =
    ["any", "echo", "equals", "starts_with", "contains", "regex", "json", "hex", "after"];

pub(super) const EXPECTED: &str = "a text, or a table such as { starts_with = \"42\" }, { json = \"/id\", equals = \"{seq}\" } or \
                        { regex = \"^[0-9]+$\" }";

impl<'a> StepReader<'a> {
    /// A match; `None` where it is wrong, which has been reported. `answers` says whether there is a message of ours
    /// that it could be the echo of.
    pub(super) fn matching(&self, value: &'a Spanned<DeValue<'a>>, answers: bool) -> Option<Match> {
        match value.get_ref() {
            DeValue::String(_) => {
                let text = self.repeatable(value)?;
                let word = text.as_str();
                let condition = match word {
                    "echo" if answers => Some(Condition::Echo),
                    "any" if answers => None,
                    _ => Some(Condition::Equals(text)),
                };
                Some(Match { after: None, all: condition.into_iter().collect() })
            }
            DeValue::Table(_) => self.conditions(value, answers),
            other => {
                self.reader.report(wrong_type(value.span(), other, EXPECTED));
                None
            }
        }
    }

    fn conditions(&self, value: &'a Spanned<DeValue<'a>>, answers: bool) -> Option<Match> {
        let table = self.reader.as_table(value, "what a message is like", &CONDITIONS)?;
        let before = self.mistakes();
        let after = table.value("after").and_then(|value| self.repeatable(value));
        let mut all = Vec::new();
        all.extend(table.value("json").and_then(|value| self.json(value, &table)));
        if !all.iter().any(|condition| matches!(condition, Condition::Json { .. }))
            && table.value("json").is_none()
        {
            all.extend(table.value("equals").and_then(|value| self.repeatable(value)).map(Condition::Equals));
        }
        all.extend(table.value("starts_with").and_then(|v| self.repeatable(v)).map(Condition::StartsWith));
        all.extend(table.value("contains").and_then(|v| self.repeatable(v)).map(Condition::Contains));
        all.extend(table.value("regex").and_then(|value| self.regex(value)).map(Condition::Regex));
        all.extend(table.value("hex").and_then(|value| self.hex(value)).map(Condition::Hex));
        if self.switch(&table, "echo") {
            all.push(Condition::Echo);
            if !answers {
                self.report(
                    value,
                    "nothing is sent here that could come back",
                    "`equals`, `contains` or the like",
                );
            }
        }
        let is_any = self.switch(&table, "any");
        if self.mistakes() > before || table.misspells() {
            return None;
        }
        if is_any != all.is_empty() {
            let says = if is_any { "`any` leaves nothing to be asked for" } else { "this asks for nothing" };
            self.report(value, says, "one of the conditions, or `any = true` alone");
            return None;
        }
        Some(Match { after, all })
    }

    fn json(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>) -> Option<Condition> {
        let pointer = self.pointer(value)?;
        let equals = match table.value("equals") {
            Some(value) => Some(self.repeatable(value)?),
            None => None,
        };
        Some(Condition::Json { pointer, equals })
    }

    fn pointer(&self, value: &'a Spanned<DeValue<'a>>) -> Option<String> {
        self.reader.words(value, "a JSON pointer, such as \"/result/0/type\"", |text| {
            Pointer::parse(text).map(|_| text.to_owned()).ok_or_else(|| not_a_pointer(text))
        })
    }

    /// A regular expression: as it stands, for braces have a meaning in one.
    pub(super) fn regex(&self, value: &'a Spanned<DeValue<'a>>) -> Option<String> {
        self.reader.words(value, "a regular expression, such as \"^[0-9]+$\"", |text| {
            let text = &*plain(text);
            regex::bytes::Regex::new(text).map(|_| text.to_owned()).map_err(|error| not_a_regex(text, &error))
        })
    }

    fn hex(&self, value: &'a Spanned<DeValue<'a>>) -> Option<String> {
        self.reader.words(value, "bytes as hexadecimal digits, such as \"20 02\"", |text| {
            Template::hex(text, &|_| false).map(|_| text.to_owned()).map_err(|error| self.fault(text, &error))
        })
    }

    /// A template that is the same each time: nothing in it is random, or the time.
    fn repeatable(&self, value: &'a Spanned<DeValue<'a>>) -> Option<Template> {
        let template = self.template(value)?;
        if template.is_repeatable() {
            return Some(template);
        }
        let says = "what is random, or the time, can't be expected again";
        self.report(value, says, "{seq}, {conn} or what was taken; `echo` for the message itself");
        None
    }

    fn switch(&self, table: &Table<'a>, field: &str) -> bool {
        table.boolean(field).into_value().unwrap_or(false)
    }

    pub(super) fn report(&self, value: &Spanned<DeValue<'_>>, says: &str, expected: &str) {
        self.reader.report(Mistake::new(Place::File(value.span()), says).expected(expected));
    }
}

pub(super) fn not_a_pointer(text: &str) -> Fault {
    Fault::new(format!("{} is not a JSON pointer", quote(text)))
        .expected("a path that begins with `/`, such as /result/0/type (RFC 6901)")
}

pub(super) fn not_a_regex(text: &str, error: &regex::Error) -> Fault {
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Fault::new(format!("{} is not a regular expression: {why}", quote(text)))
        .expected("an expression as the crate regex has it, such as ^[0-9]+$")
}
