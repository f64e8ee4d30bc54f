//! Values that are taken of answers, and the names that placeholders may use.

use super::matches::{not_a_pointer, not_a_regex};
use super::reader::StepReader;
use super::{MOST_NAMES, Take, TakeFrom};
use crate::plan::diagnostics::{Mistake, Place, quote};
use crate::plan::env::plain;
use crate::plan::nearest::nearest;
use crate::plan::reader::{Table, wrong_type};
use crate::plan::session::syntax::is_token;
use crate::plan::syntax::Fault;
use crate::protocol::TemplateError;
use crate::protocol::json_scan::Pointer;
use toml::de::DeValue;

impl<'a> StepReader<'a> {
    pub(super) fn takes(&self, table: &Table<'a>) -> Vec<Take> {
        let Some(value) = table.value("take") else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            let expected = "a table, such as { token = \"json:/token\", sid = \"cookie:sid\" }";
            self.reader.report(wrong_type(value.span(), value.get_ref(), expected));
            return Vec::new();
        };
        let is_reply = table.value("http").is_some() || table.value("open").is_some();
        let mut takes = Vec::new();
        for (name, span, value) in Table::in_file_order(entries) {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name || BUILT_IN.contains(&name) {
                let says = format!("{} can't be the name of a value", quote(name));
                let expected = "letters, digits and `_`, and none of the placeholders there are";
                self.reader.report(Mistake::new(Place::File(span), says).expected(expected));
                continue;
            }
            let from = self.reader.words(value, TAKE, |text| take_from(text, is_reply));
            takes.extend(from.map(|from| Take { name: name.to_owned(), from }));
        }
        takes
    }

    pub(super) fn know(&self, takes: &[Take]) {
        let mut names = self.names.borrow_mut();
        for take in takes {
            if !names.contains(&take.name) {
                names.push(take.name.clone());
            }
        }
        if names.len() > MOST_NAMES {
            names.truncate(MOST_NAMES);
            self.reader
                .report(Mistake::new(Place::Whole, format!("steps take more than {MOST_NAMES} values")));
        }
    }
}

/// Placeholders that are always there.
pub(in crate::plan) const BUILT_IN: [&str; 6] = ["seq", "conn", "now_us", "random", "uuid", "lbrace"];

/// The fault of a template, with the name that was probably meant.
pub(in crate::plan) fn template_fault<'n>(
    text: &str,
    error: &TemplateError,
    names: impl Iterator<Item = &'n str>,
) -> Fault {
    let part = text.get(error.part.clone()).unwrap_or_default();
    let fault = Fault::new(error.says.clone()).in_part(text, part);
    let Some(unknown) = &error.unknown else { return fault };
    let names: Vec<&str> = BUILT_IN.into_iter().filter(|name| *name != "lbrace").chain(names).collect();
    let quoted: Vec<String> = names
        .iter()
        .map(|name| if *name == "random" { "`{random:20}`".to_owned() } else { format!("`{{{name}}}`") })
        .collect();
    let fault = fault.expected(quoted.join(", "));
    match nearest(unknown, names) {
        Some(near) => fault.help(format!("did you mean `{{{near}}}`?")),
        None => fault
            .help(format!("for the text itself write `{{lbrace}}{unknown}}}`, or a blank after the brace")),
    }
}

const TAKE: &str = "\"json:/POINTER\", \"header:NAME\", \"cookie:NAME\" or \"regex:EXPRESSION\"";

fn take_from(text: &str, is_reply: bool) -> Result<TakeFrom, Fault> {
    let Some((kind, rest)) = text.split_once(':') else {
        return Err(Fault::new(format!("{} says not where the value stands", quote(text))).expected(TAKE));
    };
    let of_replies = |kind: &str| {
        Fault::new(format!("a message has no {kind}s")).expected("json:/POINTER or regex:EXPRESSION")
    };
    match kind.trim() {
        "json" => match Pointer::parse(rest.trim()) {
            Some(_) => Ok(TakeFrom::Json(rest.trim().to_owned())),
            None => Err(not_a_pointer(rest).in_part(text, rest)),
        },
        "regex" => match regex::bytes::Regex::new(&plain(rest)) {
            Ok(_) => Ok(TakeFrom::Regex(plain(rest).into_owned())),
            Err(error) => Err(not_a_regex(rest, &error).in_part(text, rest)),
        },
        kind @ ("header" | "cookie") if !is_reply => Err(of_replies(kind).in_part(text, kind)),
        kind @ ("header" | "cookie") if is_token(rest.trim()) => {
            let name = rest.trim().to_owned();
            Ok(if kind == "header" { TakeFrom::Header(name) } else { TakeFrom::Cookie(name) })
        }
        kind @ ("header" | "cookie") => {
            Err(Fault::new(format!("{} is not the name of a {kind}", quote(rest)))
                .expected(TAKE)
                .in_part(text, rest))
        }
        other => {
            let fault = Fault::new(format!("{} is no place that values are taken from", quote(other)))
                .expected(TAKE)
                .in_part(text, kind);
            Err(match nearest(other, ["json", "header", "cookie", "regex"]) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault,
            })
        }
    }
}
