//! Placeholders in the fields of `[target]`, which may use what steps take, and with steps columns of data.
//!
//! Texts of messages have theirs read by their own syntax; a path, a header and the like are texts of another kind,
//! and are looked through here for a placeholder that nobody knows, which would go out as it stands.

use super::data;
use super::diagnostics::{Mistake, Place};
use super::fields::{Settings, Tables};
use super::flags::Overrides;
use super::reader::Table;
use super::session::steps::{self, template_fault};
use super::syntax::Fault;
use crate::protocol::Template;
use toml::Spanned;
use toml::de::DeValue;

/// Fields of `[target]` that go out, and the flags for them.
const GO_OUT: [(&str, &str); 5] = [
    ("url", "target"),
    ("headers", "--header"),
    ("origin", "--origin"),
    ("subprotocols", "--subprotocol"),
    ("auth", "--auth"),
];

/// Names that the steps of a file, or of populations, bring, and with them its data; none where there are no steps, or
/// they are bad.
pub(super) fn names(settings: &Settings, populations: &[&Settings]) -> Vec<String> {
    let all = [settings].into_iter().chain(populations.iter().copied());
    let written: Vec<_> = all.filter_map(|settings| settings.steps.value()).collect();
    if written.is_empty() {
        return Vec::new();
    }
    let takes = written.iter().flat_map(|written| steps::flat(&written.steps)).flat_map(|step| &step.take);
    let data = settings.data.value().map_or(&[][..], Vec::as_slice);
    takes.map(|take| take.name.clone()).chain(data::names(data)).collect()
}

/// Reports placeholders of a `[target]` that nobody knows: of a file, or of one of its populations.
pub(super) fn check_file(tables: &Tables<'_>, settings: &Settings, populations: &[&Settings]) {
    // Names that could not be read would make others of what uses them.
    let is_bad = settings.data.is_bad()
        || settings.steps.is_bad()
        || populations.iter().any(|settings| settings.steps.is_bad());
    if is_bad {
        return;
    }
    let names = names(settings, populations);
    // A population may have its URL alone.
    if let Some(top) = tables.get("").value()
        && let Some(url) = top.value("target").filter(|target| target.get_ref().is_str())
    {
        check(top, url, &names);
    }
    let Some(target) = tables.get("target").value() else { return };
    for (field, _) in GO_OUT {
        if let Some(value) = target.value(field) {
            check(target, value, &names);
        }
    }
}

fn check(table: &Table<'_>, value: &Spanned<DeValue<'_>>, names: &[String]) {
    match value.get_ref() {
        DeValue::String(_) => table.reader().look_through(value, |text| fault(text, names)),
        DeValue::Array(elements) => elements.iter().for_each(|element| check(table, element, names)),
        DeValue::Table(entries) => entries.values().for_each(|entry| check(table, entry, names)),
        _ => {}
    }
}

/// Reports placeholders of flags that nobody knows.
pub(super) fn check_flags(flags: &Overrides, names: &[String], mistakes: &mut Vec<Mistake>) {
    for (_, flag) in GO_OUT {
        for given in flags.given(flag) {
            if let Some(fault) = fault(given, names) {
                mistakes.push(fault.at(Place::Flag { flag, given: given.to_owned() }));
            }
        }
    }
}

fn fault(text: &str, names: &[String]) -> Option<Fault> {
    let error = Template::naming(text, &|name| names.iter().any(|known| known == name)).err()?;
    Some(template_fault(text, &error, names.iter().map(String::as_str)))
}
