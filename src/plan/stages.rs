//! The load of a scenario file: the stages of an open loop, or the slots of a closed one.

use super::definition::RateStage;
use super::diagnostics::{Mistake, Place};
use super::field::{Field, Placed};
use super::reader::{Table, wrong_type};
use super::syntax::{COUNT, POSITIVE_DURATION, RATE};
use super::units::{Count, Rate};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Form of the stages of an open loop.
pub(super) const EXAMPLE: &str =
    "a list of stages, such as [{ ramp_to = \"5000/s\", over = \"10s\" }, { hold = \"30s\" }]";

/// A closed loop as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrittenClosed {
    pub(super) slots: Count,
    pub(super) duration: Option<Duration>,
}

/// The rate at which the stage before ended.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// There is no stage before.
    Nothing,
    /// The stage was wrong, and that has been said.
    Unknown,
    Rate(Rate),
}

/// Arrivals of a piece: the area under its straight line.
pub(super) fn arrivals(stage: &RateStage) -> f64 {
    (stage.from.as_per_second() + stage.to.as_per_second()) / 2.0 * stage.over.as_secs_f64()
}

/// The stages of `open`. Each goes from the rate at which the one before ended, the first from zero.
pub(super) fn stages(load: &Table<'_>) -> Field<Vec<RateStage>> {
    let Some(list) = load.value("open") else { return Field::Absent };
    let DeValue::Array(written) = list.get_ref() else {
        load.reader().report(wrong_type(list.span(), list.get_ref(), EXAMPLE));
        return Field::Bad;
    };
    let place = Place::File(list.span());
    let mut read = Vec::new();
    let mut before = Before::Nothing;
    for value in written {
        let (stage, after) = stage(load, value, before);
        read.extend(stage);
        before = after;
    }
    if read.len() < written.len() {
        return Field::Bad;
    }
    if read.iter().map(arrivals).sum::<f64>() <= 0.0 {
        let mistake = Mistake::new(place, "this load makes no connection").expected(EXAMPLE);
        load.reader().report(mistake);
        return Field::Bad;
    }
    Field::Given(Placed { value: read, place })
}

fn stage<'a>(
    load: &Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
    before: Before,
) -> (Option<RateStage>, Before) {
    let fields = ["ramp_to", "over", "hold", "at"];
    let Some(table) = load.reader().as_table(value, "a stage of `open`", &fields) else {
        return (None, Before::Unknown);
    };
    match (table.value("ramp_to"), table.value("hold")) {
        (Some(_), None) => ramp(&table, before),
        (None, Some(_)) => hold(&table, before),
        (Some(ramp), Some(hold)) => {
            let mistake = Mistake::new(Place::File(hold.span()), "a stage ramps or holds, not both");
            load.reader().report(
                mistake
                    .expected("a stage of its own")
                    .also(&Place::File(ramp.span()), "the ramp is here")
                    .help("write { ramp_to = \"5000/s\", over = \"10s\" }, { hold = \"30s\" }"),
            );
            (None, Before::Unknown)
        }
        (None, None) if table.has_misspelt("ramp_to") || table.has_misspelt("hold") => {
            (None, Before::Unknown)
        }
        (None, None) => {
            let mistake = Mistake::new(table.place(), "this stage neither ramps nor holds");
            load.reader()
                .report(mistake.expected("{ ramp_to = \"5000/s\", over = \"10s\" } or { hold = \"30s\" }"));
            (None, Before::Unknown)
        }
    }
}

fn ramp(table: &Table<'_>, before: Before) -> (Option<RateStage>, Before) {
    refuse(table, "at", "`at` belongs to a stage that holds; a ramp begins where the stage before ended");
    let to = table.required("ramp_to", &RATE).into_value();
    let over = table.required("over", &POSITIVE_DURATION).into_value();
    let from = match before {
        Before::Nothing => Some(Rate::ZERO),
        Before::Unknown => None,
        Before::Rate(rate) => Some(rate),
    };
    let stage = match (from, to, over, table.value("at")) {
        (Some(from), Some(to), Some(over), None) => Some(RateStage { from, to, over }),
        _ => None,
    };
    (stage, to.map_or(Before::Unknown, Before::Rate))
}

fn hold(table: &Table<'_>, before: Before) -> (Option<RateStage>, Before) {
    refuse(table, "over", "`over` belongs to a ramp; `hold` itself says how long");
    let over = table.required("hold", &POSITIVE_DURATION).into_value();
    let after = match (table.parse("at", &RATE), before) {
        (Field::Given(rate), _) => Before::Rate(rate.value),
        (Field::Bad, _) => Before::Unknown,
        (Field::Absent, Before::Nothing) => {
            let hold = table.value("hold").map_or_else(|| table.place(), |value| Place::File(value.span()));
            table.reader().report(
                Mistake::new(hold, "there is no rate to hold yet")
                    .expected("a stage with `ramp_to` before this one, or `at` beside `hold`")
                    .help("write { hold = \"30s\", at = \"5000/s\" } to begin at a rate"),
            );
            Before::Unknown
        }
        (Field::Absent, before) => before,
    };
    let stage = match (after, over, table.value("over")) {
        (Before::Rate(rate), Some(over), None) => Some(RateStage { from: rate, to: rate, over }),
        _ => None,
    };
    (stage, after)
}

/// Reports a field that this kind of stage does not have.
fn refuse(table: &Table<'_>, field: &str, says: &str) {
    if let Some(value) = table.value(field) {
        table.reader().report(Mistake::new(Place::File(value.span()), says));
    }
}

/// The closed loop, `closed = { slots = 200, duration = "30s" }`.
pub(super) fn closed(load: &Table<'_>) -> Field<WrittenClosed> {
    let Some(value) = load.value("closed") else { return Field::Absent };
    let Some(table) = load.reader().as_table(value, "`closed`", &["slots", "duration"]) else {
        return Field::Bad;
    };
    let slots = table.required("slots", &COUNT).into_value();
    let duration: Field<Duration> = table.parse("duration", &POSITIVE_DURATION);
    match slots {
        Some(slots) if !duration.is_bad() => {
            let value = WrittenClosed { slots, duration: duration.into_value() };
            Field::Given(Placed { value, place: table.place() })
        }
        _ => Field::Bad,
    }
}
