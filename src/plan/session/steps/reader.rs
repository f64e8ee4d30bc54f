//! Steps out of a file, with every mistake at its place.
//!
//! Names are known in the order of the file: a placeholder for a value that only a later step takes is a mistake.

use super::spread::SPREAD;
use super::takes::template_fault;
use super::{Act, DEEPEST, HttpStep, OpenStep, Payload, SendStep, Step, StepHeader};
use crate::plan::diagnostics::{Mistake, Place, quote};
use crate::plan::env::plain;
use crate::plan::field::{Field, Placed};
use crate::plan::fields::Form;
use crate::plan::reader::{Reader, Table, wrong_type};
use crate::plan::session::syntax::{CLOSE_CODE, METHOD, STATUSES, header, is_token};
use crate::plan::syntax::{Fault, POSITIVE_DURATION, one_of};
use crate::plan::threshold::LONGEST_STEP_NAME;
use crate::plan::units::parse_count;
use crate::protocol::{Template, TemplateError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::cell::RefCell;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// Steps as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::plan) struct Written {
    /// The steps.
    pub(in crate::plan) steps: Vec<Step>,
    /// Where each of them, those of repetitions included, stands.
    pub(super) places: Vec<Place>,
}

/// The field `steps`.
pub(in crate::plan) struct Steps;

/// An example for messages and the reference.
const EXAMPLE: &str = "a list of steps, each a table, such as [{ send = \"ping {seq}\", expect = \"echo\" }, { think = \"1s\" }]";
/// Acts of a step, each a field of its own.
const ACTS: [&str; 8] = ["http", "open", "send", "wait", "think", "repeat", "on", "close"];
/// Fields beside what a step does, each with the steps that have it.
const BESIDE: [(&str, &[&str]); 10] = [
    ("name", &["http", "open", "send", "wait", "on", "close"]),
    ("expect", &["http", "send"]),
    ("within", &["http", "open", "send", "wait"]),
    ("take", &["http", "open", "send", "wait", "on"]),
    ("headers", &["http", "open"]),
    ("subprotocols", &["open"]),
    ("reuse", &["open"]),
    ("body", &["http"]),
    ("binary", &["http", "send", "on"]),
    ("steps", &["repeat"]),
];

impl Form for Steps {
    type Value = Written;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Written> {
        let Some(value) = table.value(field) else { return Field::Absent };
        let reader = StepReader::new(table.reader());
        match reader.list(value, 0) {
            Some(steps) if !reader.is_bad() => {
                let places = reader.places.into_inner();
                Field::Given(Placed { value: Written { steps, places }, place: Place::File(value.span()) })
            }
            _ => Field::Bad,
        }
    }

    fn read_flag(&self, _: &'static str, _: &[&str], _: &mut Vec<Mistake>) -> Field<Written> {
        Field::Absent
    }

    fn expected(&self) -> &'static str {
        EXAMPLE
    }

    fn schema(&self) -> serde_json::Value {
        super::schema::schema()
    }
}

/// Needs of reading steps, and the outcome.
pub(super) struct StepReader<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// Names that placeholders may use by now.
    pub(super) names: RefCell<Vec<String>>,
    /// Names of steps.
    steps: RefCell<Vec<String>>,
    places: RefCell<Vec<Place>>,
    mistakes_before: usize,
}

impl<'a> StepReader<'a> {
    fn new(reader: &'a Reader<'a>) -> StepReader<'a> {
        let names = RefCell::default();
        let mistakes_before = reader.mistakes();
        StepReader { reader, names, steps: RefCell::default(), places: RefCell::default(), mistakes_before }
    }

    /// Mistakes so far.
    pub(super) fn mistakes(&self) -> usize {
        self.reader.mistakes()
    }

    fn is_bad(&self) -> bool {
        self.mistakes() > self.mistakes_before
    }

    fn list(&self, value: &'a Spanned<DeValue<'a>>, depth: usize) -> Option<Vec<Step>> {
        let DeValue::Array(elements) = value.get_ref() else {
            self.reader.report(wrong_type(value.span(), value.get_ref(), EXAMPLE));
            return None;
        };
        if elements.is_empty() {
            self.report(value, "there are no steps", EXAMPLE);
            return None;
        }
        Some(elements.iter().filter_map(|element| self.step(element, depth)).collect())
    }

    fn step(&self, value: &'a Spanned<DeValue<'a>>, depth: usize) -> Option<Step> {
        let fields: Vec<&str> = ACTS.into_iter().chain(BESIDE.map(|(name, _)| name)).collect();
        let table = self.reader.as_table(value, "a step", &fields)?;
        let kind = self.kind(value, &table)?;
        let act_place = table.value(kind).map_or(table.place(), |act| Place::File(act.span()));
        self.places.borrow_mut().push(act_place);
        // What it takes is known to later steps; a reaction uses it in its own answer.
        let own_takes = self.takes(&table);
        if kind == "on" {
            self.know(&own_takes);
        }
        let act = self.act(kind, &table, depth);
        if kind != "on" {
            self.know(&own_takes);
        }
        let name = self.name(&table);
        let within = table.parse("within", &POSITIVE_DURATION).into_value();
        Some(Step { name, act: act?, within, take: own_takes })
    }

    /// Kind of the step; nothing may stand beside it that it has no use for.
    fn kind(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>) -> Option<&'static str> {
        let given: Vec<&'static str> = ACTS.into_iter().filter(|act| table.value(act).is_some()).collect();
        let kind = match given[..] {
            [one] => one,
            ["send", "on"] => "on",
            [] if table.misspells() => return None,
            [] => {
                self.report(value, "this step does nothing", &one_of(&ACTS));
                return None;
            }
            [first, second, ..] => {
                let at = table.value(second).unwrap_or(value);
                let says = format!("a step does one thing: `{first}` or `{second}`");
                self.report(at, &says, "a step of its own for each");
                return None;
            }
        };
        for (field, kinds) in BESIDE {
            if let Some(beside) = table.value(field).filter(|_| !kinds.contains(&kind)) {
                let says = format!("a step `{kind}` has no `{field}`");
                self.report(beside, &says, &format!("`{field}` in a step {}", one_of(kinds)));
            }
        }
        Some(kind)
    }

    fn act(&self, kind: &str, table: &Table<'a>, depth: usize) -> Option<Act> {
        let value = table.value(kind)?;
        Some(match kind {
            "http" => Act::Http(self.http(value, table)?),
            "open" => Act::Open(self.open(value, table)?),
            "send" => {
                let payload = self.payload(value, table)?;
                let expect = match table.value("expect") {
                    Some(expect) => Some(self.matching(expect, true)?),
                    None => None,
                };
                Act::Send(SendStep { payload, expect })
            }
            "wait" => Act::Wait(self.matching(value, false)?),
            "think" => Act::Think(table.parse("think", &SPREAD).into_value()?),
            "repeat" => self.repeat(value, table, depth)?,
            "on" => {
                let send = match table.value("send") {
                    Some(send) => Some(self.payload(send, table)?),
                    None => None,
                };
                Act::On { when: self.matching(value, false)?, send }
            }
            _ => Act::Close { code: self.close_code(value)? },
        })
    }

    fn repeat(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>, depth: usize) -> Option<Act> {
        let times =
            self.reader.words(value, "how often, such as 10, or \"until-end\"", |text| match text.trim() {
                "until-end" => Ok(None),
                number => match parse_count(number)? {
                    0 => Err(Fault::new("steps that are never done").expected("1 or more, or until-end")),
                    times => Ok(Some(times)),
                },
            });
        if depth + 1 > DEEPEST {
            self.report(value, "repetitions stand too deep in each other", "at most 4 of them");
            return None;
        }
        let Some(steps) = table.value("steps") else {
            self.report(value, "nothing is repeated", "`steps` beside it: the steps to repeat");
            return None;
        };
        let steps = self.list(steps, depth + 1)?;
        Some(Act::Repeat { times: times?, steps })
    }

    fn http(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>) -> Option<HttpStep> {
        let expected = "a method and a path, such as \"POST /login\"";
        let (method, path) = self.reader.words(value, expected, |text| {
            let trimmed = text.trim();
            let (method, path) = match trimmed.split_once(char::is_whitespace) {
                Some((method, path)) => (method, path.trim()),
                None => ("GET", trimmed),
            };
            let method = (METHOD.parse)(method).map_err(|fault| fault.in_part(text, method))?;
            let path = self.path(path).map_err(|fault| fault.in_part(text, path))?;
            Ok((method, path))
        })?;
        let body = match table.value("body") {
            Some(body) => Some(self.payload(body, table)?),
            None => None,
        };
        let statuses = table.parse("expect", &STATUSES);
        if statuses.is_bad() {
            return None;
        }
        let statuses = statuses.into_value().unwrap_or_default();
        Some(HttpStep { method, path, headers: self.headers(table)?, body, statuses })
    }

    fn open(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>) -> Option<OpenStep> {
        let path = match value.get_ref() {
            DeValue::Table(empty) if empty.is_empty() => None,
            DeValue::Boolean(true) => None,
            _ => {
                let expected = "`true` for the target's own path, or a path such as \"/chat?token={token}\"";
                Some(self.reader.words(value, expected, |text| self.path(text.trim()))?)
            }
        };
        let mut subprotocols = Vec::new();
        if let Some(list) = table.value("subprotocols") {
            let DeValue::Array(elements) = list.get_ref() else {
                self.report(list, "subprotocols are a list", "a list such as [\"chat.v2\"]");
                return None;
            };
            for element in elements.iter() {
                let name = self.template(element)?;
                if name.fixed().is_some() && !is_token(name.as_str().trim()) {
                    let says = format!("{} is not the name of a subprotocol", quote(name.as_str()));
                    self.report(element, &says, "letters, digits and `-`, `.`, `_`, such as chat.v2");
                }
                subprotocols.push(name);
            }
        }
        let reuse = table.boolean("reuse").into_value().unwrap_or(false);
        Some(OpenStep { path, headers: self.headers(table)?, subprotocols, reuse })
    }

    fn path(&self, text: &str) -> Result<Template, Fault> {
        if !text.starts_with('/') {
            return Err(Fault::new(format!("{} is not a path", quote(text)))
                .expected("a path that begins with `/`, such as /login")
                .help("requests go to the scenario's target"));
        }
        if let Some(bad) = text.find(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            let part = text[bad..].chars().next().map_or("", |c| &text[bad..bad + c.len_utf8()]);
            return Err(Fault::new("no blanks and nothing beyond ASCII can stand in a path")
                .expected("%20 and the like")
                .in_part(text, part));
        }
        self.naming(text)
    }

    fn headers(&self, table: &Table<'a>) -> Option<Vec<StepHeader>> {
        let Some(value) = table.value("headers") else { return Some(Vec::new()) };
        let DeValue::Table(entries) = value.get_ref() else {
            let expected = "a table, such as { Cookie = \"sid={sid}\" }";
            self.reader.report(wrong_type(value.span(), value.get_ref(), expected));
            return None;
        };
        let mut headers = Vec::new();
        for (name, span, value) in Table::in_file_order(entries) {
            let Some(template) = self.template(value) else { continue };
            match header(name, template.as_str()) {
                Ok(header) => headers.push(StepHeader { name: header.name, value: template }),
                Err(fault) => self.reader.report(fault.at(Place::File(span))),
            }
        }
        Some(headers)
    }

    /// Payload, and its kind.
    fn payload(&self, value: &'a Spanned<DeValue<'a>>, table: &Table<'a>) -> Option<Payload> {
        let is_binary = table.boolean("binary").into_value().unwrap_or(false);
        let DeValue::Table(_) = value.get_ref() else {
            let text = self.template(value)?;
            return Some(if is_binary { Payload::Binary(text) } else { Payload::Text(text) });
        };
        let form = self.reader.as_table(value, "what is sent", &["hex", "base64", "file"])?;
        let given: Vec<&str> =
            ["hex", "base64", "file"].into_iter().filter(|f| form.value(f).is_some()).collect();
        let [one] = given[..] else {
            if !form.misspells() {
                self.report(
                    value,
                    "what is sent is given in one way",
                    "a text, or one of `hex`, `base64` and `file`",
                );
            }
            return None;
        };
        let inner = form.value(one)?;
        match one {
            "hex" => self.reader.words(inner, "bytes as hexadecimal digits, such as \"c0 00\"", |text| {
                let knows = |name: &str| self.knows(name);
                Template::hex(text, &knows).map_err(|error| self.fault(text, &error))?;
                Ok(Payload::Hex(text.to_owned()))
            }),
            "base64" => self.reader.words(inner, "bytes in base64", |text| {
                let bytes = BASE64_STANDARD.decode(text.trim());
                bytes.map(|_| Payload::Base64(text.trim().to_owned())).map_err(|error| {
                    Fault::new(format!("{} is not base64: {error}", quote(text)))
                        .expected("A-Z, a-z, 0-9, + and /")
                })
            }),
            _ => self
                .reader
                .words(inner, "the path of a file", |text| Ok(Payload::File(PathBuf::from(&*plain(text))))),
        }
    }

    fn name(&self, table: &Table<'a>) -> Option<String> {
        let value = table.value("name")?;
        let name = self.reader.words(value, "a name, such as \"login\"", |text| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            match text.trim() {
                name if name.len() > LONGEST_STEP_NAME => {
                    Err(Fault::new(format!("{} is too long for a name", quote(name)))
                        .expected("at most 31 characters"))
                }
                name if !name.is_empty() && name.chars().all(fits) => Ok(name.to_owned()),
                name => Err(Fault::new(format!("{} is not the name of a step", quote(name)))
                    .expected("letters, digits, `_` and `-`: thresholds call it step.NAME.p99")),
            }
        })?;
        if self.steps.borrow().contains(&name) {
            self.report(
                value,
                &format!("another step is called {} already", quote(&name)),
                "a name of its own",
            );
        }
        self.steps.borrow_mut().push(name.clone());
        Some(name)
    }

    fn close_code(&self, value: &'a Spanned<DeValue<'a>>) -> Option<Option<u16>> {
        match value.get_ref() {
            DeValue::Boolean(true) => Some(None),
            DeValue::Table(entries) if entries.is_empty() => Some(None),
            _ => self.reader.words(value, CLOSE_CODE.expected, |text| (CLOSE_CODE.parse)(text)).map(Some),
        }
    }

    pub(super) fn template(&self, value: &'a Spanned<DeValue<'a>>) -> Option<Template> {
        self.reader.words(
            value,
            "a text, with {seq}, {conn} and what steps took where they are wanted",
            |text| self.naming(text),
        )
    }

    fn naming(&self, text: &str) -> Result<Template, Fault> {
        Template::naming(text, &|name| self.knows(name)).map_err(|error| self.fault(text, &error))
    }

    fn knows(&self, name: &str) -> bool {
        self.names.borrow().iter().any(|known| known == name) || self.reader.knows_column(name)
    }

    /// A template's error, with the name that was probably meant.
    pub(super) fn fault(&self, text: &str, error: &TemplateError) -> Fault {
        let (names, columns) = (self.names.borrow(), self.reader.columns());
        template_fault(text, error, names.iter().chain(&columns).map(String::as_str))
    }
}
