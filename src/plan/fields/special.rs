//! Forms of the fields that are neither one value nor a plain list.

use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::reader::{Reader, Table, wrong_type};
use super::super::session::Header;
use super::super::session::syntax::{HEADER, TEXT, header};
use super::super::stages::{self, WrittenClosed};
use super::super::syntax::{ADDRESSES, COUNT, Fault, POSITIVE_DURATION, RATE, SPACING, Syntax, at_random};
use super::super::target_url::PORTS;
use super::super::threshold::Threshold;
use super::super::thresholds::{COMPARISON, EntryFault, THRESHOLD, entry};
use super::form::{Form, Takes, each_flag, one_flag};
use crate::model::{AddressSet, Spacing};
use crate::plan::definition::RateStage;
use serde_json::{Value, json};
use std::net::SocketAddr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Source addresses: a list in the file, separated by commas in the flag.
pub(in crate::plan) struct Addresses;

const SOURCE: Syntax<AddressSet> = Syntax {
    expected: "addresses, ranges or CIDR blocks, separated by commas",
    bare_number: false,
    pattern: "",
    parse: |text| {
        let block = |item: &str| (ADDRESSES.parse)(item).map_err(|fault: Fault| fault.in_part(text, item));
        Ok(AddressSet::new(text.split(',').map(block).collect::<Result<_, _>>()?))
    },
};

impl Form for Addresses {
    type Value = AddressSet;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<AddressSet> {
        match table.list(field, &ADDRESSES) {
            Field::Given(Placed { value, place }) => {
                Field::Given(Placed { value: AddressSet::new(value), place })
            }
            Field::Bad => Field::Bad,
            Field::Absent => Field::Absent,
        }
    }

    fn read_flag(
        &self,
        flag: &'static str,
        given: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Field<AddressSet> {
        given.last().map_or(Field::Absent, |text| one_flag(flag, text, &SOURCE, mistakes))
    }

    fn expected(&self) -> &'static str {
        "a list of addresses, ranges and CIDR blocks, such as [\"127.0.0.2-127.0.0.9\"]"
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": ADDRESSES.schema() })
    }
}

/// Ports of the target: a number, a range in quotes, or a list of such.
pub(in crate::plan) struct PortList;

impl Form for PortList {
    type Value = Vec<u16>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<u16>> {
        match table.value(field) {
            Some(value) if value.get_ref().is_array() => port_list(table, field),
            _ => table.parse(field, &PORTS),
        }
    }

    fn read_flag(&self, flag: &'static str, given: &[&str], mistakes: &mut Vec<Mistake>) -> Field<Vec<u16>> {
        given.last().map_or(Field::Absent, |text| one_flag(flag, text, &PORTS, mistakes))
    }

    fn expected(&self) -> &'static str {
        PORTS.expected
    }

    fn schema(&self) -> Value {
        let one = PORTS.schema();
        json!({ "oneOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

/// Ports as a list, each element a number or a range in quotes.
fn port_list(table: &Table<'_>, field: &str) -> Field<Vec<u16>> {
    let Field::Given(Placed { value: ranges, place }) = table.list(field, &PORTS) else {
        return Field::Bad;
    };
    let ports: Vec<u16> = ranges.concat();
    let mistake = |says: String| {
        let mistake = Mistake::new(place.clone(), says).expected("one port or more, each once");
        table.reader().report(mistake);
        Field::Bad
    };
    if ports.is_empty() {
        return mistake("the list of ports is empty".to_owned());
    }
    let mut sorted = ports.clone();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return mistake(format!("port {} is given twice", pair[0]));
    }
    Field::Given(Placed { value: ports, place })
}

/// Addresses to listen on: one or more.
pub(in crate::plan) struct Listen;

const LISTEN: Syntax<SocketAddr> = Syntax {
    expected: "a string with an address and a port, such as \"127.0.0.1:9001\"",
    bare_number: false,
    pattern: "",
    parse: |text| {
        text.trim().parse().map_err(|_| {
            Fault::new(format!("{} is not an address with a port", super::super::diagnostics::quote(text)))
                .expected("a literal address and a port, such as 127.0.0.1:9001 or [::1]:0")
        })
    },
};

impl Form for Listen {
    type Value = Vec<SocketAddr>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<SocketAddr>> {
        let listen = table.list(field, &LISTEN);
        if let Some(Placed { place, .. }) = listen.given().filter(|placed| placed.value.is_empty()) {
            let mistake = Mistake::new(place.clone(), "the target listens nowhere");
            table.reader().report(mistake.expected("one address or more, such as [\"127.0.0.1:0\"]"));
            return Field::Bad;
        }
        listen
    }

    fn read_flag(
        &self,
        flag: &'static str,
        given: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Field<Vec<SocketAddr>> {
        each_flag(flag, given, &LISTEN, mistakes)
    }

    fn takes(&self) -> Takes {
        Takes::Values
    }

    fn expected(&self) -> &'static str {
        "a list of addresses with ports, such as [\"127.0.0.1:9001\"]"
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "minItems": 1, "items": LISTEN.schema() })
    }
}

/// Headers: a table in the file, `Name: value` in the flag. A header of a flag takes the place of the file's of
/// the same name.
pub(in crate::plan) struct Headers;

impl Form for Headers {
    type Value = Vec<Header>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<Header>> {
        table.value(field).map_or(Field::Absent, |value| headers(table.reader(), value))
    }

    fn read_flag(
        &self,
        flag: &'static str,
        given: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Field<Vec<Header>> {
        each_flag(flag, given, &HEADER, mistakes)
    }

    fn over(&self, flag: Field<Vec<Header>>, file: Field<Vec<Header>>) -> Field<Vec<Header>> {
        merged(flag, file, |one, other| one.name.eq_ignore_ascii_case(&other.name))
    }

    fn takes(&self) -> Takes {
        Takes::Values
    }

    fn expected(&self) -> &'static str {
        "a table, such as { X-Token = \"abc\" }"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": TEXT.schema() })
    }
}

fn headers<'a>(reader: &'a Reader<'a>, value: &'a Spanned<DeValue<'a>>) -> Field<Vec<Header>> {
    let DeValue::Table(entries) = value.get_ref() else {
        reader.report(wrong_type(value.span(), value.get_ref(), Headers.expected()));
        return Field::Bad;
    };
    let mut found = Vec::new();
    for (name, span, value) in Table::in_file_order(entries) {
        let Some(text) = reader.parse(value, &TEXT).into_value() else { continue };
        match header(name, &text) {
            Ok(header) => found.push(header),
            Err(fault) => reader.report(fault.at(Place::File(span))),
        }
    }
    Field::Given(Placed { value: found, place: Place::File(value.span()) })
}

/// Thresholds and conditions: a table in the file whose keys are metrics, an expression in the flag. One of a
/// flag takes the place of all that the file has for the same metric.
pub(in crate::plan) struct Comparisons {
    /// A table with one of them, for messages.
    pub(in crate::plan) example: &'static str,
}

impl Form for Comparisons {
    type Value = Vec<Placed<Threshold>>;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Vec<Placed<Threshold>>> {
        let Some(value) = table.value(field) else { return Field::Absent };
        let DeValue::Table(entries) = value.get_ref() else {
            let expected = format!("a table such as {}", self.example);
            table.reader().report(wrong_type(value.span(), value.get_ref(), &expected));
            return Field::Bad;
        };
        let mut found = Vec::new();
        gather(table.reader(), "", entries, &mut found);
        Field::Given(Placed { value: found, place: Place::File(value.span()) })
    }

    fn read_flag(
        &self,
        flag: &'static str,
        given: &[&str],
        mistakes: &mut Vec<Mistake>,
    ) -> Field<Vec<Placed<Threshold>>> {
        let thresholds = each_flag(flag, given, &THRESHOLD, mistakes);
        let Field::Given(Placed { value: thresholds, place }) = thresholds else {
            return if thresholds.is_bad() { Field::Bad } else { Field::Absent };
        };
        let at = |given: &&str| Place::Flag { flag, given: (*given).to_owned() };
        let placed = thresholds.into_iter().zip(given.iter().map(at));
        Field::Given(Placed { value: placed.map(|(value, place)| Placed { value, place }).collect(), place })
    }

    fn over(
        &self,
        flag: Field<Vec<Placed<Threshold>>>,
        file: Field<Vec<Placed<Threshold>>>,
    ) -> Field<Vec<Placed<Threshold>>> {
        merged(flag, file, |one, other| one.value.named() == other.value.named())
    }

    fn takes(&self) -> Takes {
        Takes::Values
    }

    fn expected(&self) -> &'static str {
        self.example
    }

    fn schema(&self) -> Value {
        json!({ "$ref": "#/$defs/comparisons" })
    }
}

/// A metric's name has dots in it, and without quotes TOML takes `connect.p99` for a table `connect`: both
/// ways mean the same here.
fn gather<'a>(
    reader: &'a Reader<'a>,
    prefix: &str,
    entries: &'a DeTable<'a>,
    found: &mut Vec<Placed<Threshold>>,
) {
    for (key, key_span, value) in Table::in_file_order(entries) {
        let metric = format!("{prefix}{key}");
        if let DeValue::Table(inner) = value.get_ref() {
            gather(reader, &format!("{metric}."), inner, found);
            continue;
        }
        let Some(comparison) = reader.parse(value, &COMPARISON).into_value() else { continue };
        match entry(&metric, &comparison) {
            Ok(value) => found.push(Placed { value, place: Place::File(key_span) }),
            Err(EntryFault::Metric(fault)) => reader.report(fault.at(Place::File(key_span))),
            Err(EntryFault::Comparison(fault)) => reader.report(fault.at(Place::File(value.span()))),
        }
    }
}

/// The file's elements that no element of the flag replaces, then those of the flag.
fn merged<T>(flag: Field<Vec<T>>, file: Field<Vec<T>>, replaces: impl Fn(&T, &T) -> bool) -> Field<Vec<T>> {
    match (flag, file) {
        (Field::Given(flags), Field::Given(mut written)) => {
            written.value.retain(|old| !flags.value.iter().any(|new| replaces(new, old)));
            written.value.extend(flags.value);
            Field::Given(Placed { value: written.value, place: flags.place })
        }
        (flag, file) => flag.or(file),
    }
}

/// Spacing of arrivals: by its own name, or by a rate that is written `poisson(RATE)`.
pub(in crate::plan) struct SpacingOf;

impl Form for SpacingOf {
    type Value = Spacing;

    fn read_file(&self, table: &Table<'_>, field: &str) -> Field<Spacing> {
        table.parse(field, &SPACING).or(table.value("open").map_or(Field::Absent, in_stages))
    }

    fn read_flag(&self, flag: &'static str, given: &[&str], mistakes: &mut Vec<Mistake>) -> Field<Spacing> {
        given.last().map_or(Field::Absent, |text| one_flag(flag, text, &SPACING, mistakes))
    }

    fn expected(&self) -> &'static str {
        SPACING.expected
    }

    fn schema(&self) -> Value {
        SPACING.schema()
    }
}

/// Spacing that a stage of `open` asks for by its rate.
fn in_stages(open: &Spanned<DeValue<'_>>) -> Field<Spacing> {
    let DeValue::Array(stages) = open.get_ref() else { return Field::Absent };
    let rates = stages
        .iter()
        .filter_map(|stage| stage.get_ref().as_table())
        .flat_map(|stage| ["ramp_to", "at"].into_iter().filter_map(|field| stage.get(field)));
    let mut at_random = rates.filter(|rate| rate.get_ref().as_str().and_then(at_random).is_some());
    at_random.next().map_or(Field::Absent, |rate| {
        Field::Given(Placed { value: Spacing::Poisson, place: Place::File(rate.span()) })
    })
}

/// Stages of an open loop. No flag has them.
pub(in crate::plan) struct Stages;

impl Form for Stages {
    type Value = Vec<RateStage>;

    fn read_file(&self, table: &Table<'_>, _: &str) -> Field<Vec<RateStage>> {
        stages::stages(table)
    }

    fn read_flag(&self, _: &'static str, _: &[&str], _: &mut Vec<Mistake>) -> Field<Vec<RateStage>> {
        Field::Absent
    }

    fn expected(&self) -> &'static str {
        stages::EXAMPLE
    }

    fn schema(&self) -> Value {
        let (rate, time) = (RATE.schema(), POSITIVE_DURATION.schema());
        json!({ "type": "array", "minItems": 1, "items": { "oneOf": [
            { "type": "object", "additionalProperties": false, "required": ["ramp_to", "over"],
              "properties": { "ramp_to": rate, "over": time } },
            { "type": "object", "additionalProperties": false, "required": ["hold"],
              "properties": { "hold": time, "at": rate } },
        ] } })
    }
}

/// Slots of a closed loop. No flag has the whole.
pub(in crate::plan) struct Closed;

impl Form for Closed {
    type Value = WrittenClosed;

    fn read_file(&self, table: &Table<'_>, _: &str) -> Field<WrittenClosed> {
        stages::closed(table)
    }

    fn read_flag(&self, _: &'static str, _: &[&str], _: &mut Vec<Mistake>) -> Field<WrittenClosed> {
        Field::Absent
    }

    fn expected(&self) -> &'static str {
        "a table with `slots` and, where nothing else ends the load, `duration`"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": false, "required": ["slots"],
            "properties": { "slots": COUNT.schema(), "duration": POSITIVE_DURATION.schema() } })
    }
}
