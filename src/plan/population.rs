//! Populations: clients of several kinds in one run, each a scenario of its own laid over the common fields.
//!
//! ```text
//! population's fields ─► over the scenario's own ─► under the flags ─► resolve ─► Plan of the population
//! ```
//!
//! So whatever holds for a scenario holds for a population, and a mistake in one has its place. A population has a share of
//! the scenario's load, or a load of its own.

use super::definition::{Arrivals, Load, Plan, RateStage, Until};
use super::diagnostics::{Mistake, Place, quote};
use super::field::{Field, Placed};
use super::fields::{Form, Settings, Tables};
use super::reader::{Reader, Table, wrong_type};
use super::session::steps;
use super::syntax::{COUNT, Fault, Syntax};
use super::target_url::TARGET_URL;
use super::threshold::LONGEST_STEP_NAME;
use super::units::Rate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Populations that a scenario may have.
const MOST_POPULATIONS: usize = 64;

/// Clients of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Population {
    /// Name.
    pub name: String,
    /// Share of the scenario's load, beside those of the others; `None`: its load is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u64>,
    /// Plan of it alone.
    pub plan: Plan,
}

impl Plan {
    /// Plan of each population; of a scenario without populations the plan itself.
    pub fn each(&self) -> Vec<&Plan> {
        match &self.populations[..] {
            [] => vec![self],
            populations => populations.iter().map(|population| &population.plan).collect(),
        }
    }

    /// Names of the steps of all populations, by their numbers in tallies.
    pub fn step_names(&self) -> Vec<String> {
        self.each().into_iter().flat_map(|plan| steps::names(&plan.session.steps)).collect()
    }
}

/// A population as a file has it.
#[derive(Debug)]
pub(super) struct WrittenPopulation {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) share: Field<u64>,
    pub(super) settings: Settings,
    /// The table `[population.target]`, if there is one.
    pub(super) target_table: Field<()>,
}

impl WrittenPopulation {
    /// True if it has a load of its own.
    pub(super) fn has_load(&self) -> bool {
        let s = &self.settings;
        s.open.given().is_some() || s.closed.given().is_some() || s.connections.given().is_some()
    }
}

/// The field `population`, as help and schema describe it: [`read`] reads it.
pub(super) struct Populations;

const EXAMPLE: &str = "tables [[population]], each with `name`, `share` or a load, and what its clients do";

impl Form for Populations {
    type Value = ();

    fn read_file(&self, _: &Table<'_>, _: &str) -> Field<()> {
        Field::Absent
    }

    fn read_flag(&self, _: &'static str, _: &[&str], _: &mut Vec<Mistake>) -> Field<()> {
        Field::Absent
    }

    fn expected(&self) -> &'static str {
        EXAMPLE
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/population" } })
    }
}

const NAME: Syntax<String> = Syntax {
    expected: "a name, such as \"talkers\"",
    bare_number: false,
    pattern: "[A-Za-z0-9_-]{1,31}",
    parse: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        match text.trim() {
            name if !name.is_empty() && name.len() <= LONGEST_STEP_NAME && name.chars().all(fits) => {
                Ok(name.to_owned())
            }
            name => Err(Fault::new(format!("{} is not the name of a population", quote(name))).expected(
                "at most 31 letters, digits, `_` and `-`: thresholds call it population.NAME.connect.p99",
            )),
        }
    },
};

/// The populations of a file. What is wrong is reported, and the population left out; then there are others.
pub(super) fn read<'a>(reader: &'a Reader<'a>, top: &Table<'a>) -> Vec<(WrittenPopulation, Tables<'a>)> {
    let Some(value) = top.value("population") else { return Vec::new() };
    let DeValue::Array(elements) = value.get_ref() else {
        reader.report(wrong_type(value.span(), value.get_ref(), EXAMPLE));
        return Vec::new();
    };
    if elements.len() > MOST_POPULATIONS {
        let says = format!("there are {} populations", elements.len());
        reader.report(Mistake::new(Place::File(value.span()), says).expected("64 at most"));
        return Vec::new();
    }
    let mut all: Vec<(WrittenPopulation, Tables<'a>)> = Vec::new();
    for element in elements.iter() {
        let Some(one) = one(reader, element) else { continue };
        if all.iter().any(|(known, _)| known.name == one.0.name) {
            let says = format!("another population is called {} already", quote(&one.0.name));
            reader.report(Mistake::new(one.0.place.clone(), says).expected("a name of its own"));
        }
        all.push(one);
    }
    all
}

fn one<'a>(
    reader: &'a Reader<'a>,
    element: &'a Spanned<DeValue<'a>>,
) -> Option<(WrittenPopulation, Tables<'a>)> {
    let DeValue::Table(entries) = element.get_ref() else {
        reader.report(wrong_type(element.span(), element.get_ref(), EXAMPLE));
        return None;
    };
    let tables = Tables::of_population(reader, entries, element.span(), &Settings::names());
    let top = tables.get("").value()?;
    let name = top.required("name", &NAME);
    let share = top.parse("share", &COUNT);
    let mut settings = Settings::from_file(&tables);
    // What they are called is the population's, not the report's.
    settings.name = Field::Absent;
    settings.reconnect = switched_on(tables.presence("reconnect"));
    if let Some(url) = top.value("target").filter(|value| value.get_ref().is_str()) {
        settings.url = reader.parse(url, &TARGET_URL);
    }
    let target_table = tables.presence("target");
    let Placed { value: name, place } = match name {
        Field::Given(placed) => placed,
        _ => return None,
    };
    let written = WrittenPopulation { name, place, share, settings, target_table };
    if let (true, Some(share)) = (written.has_load(), written.share.given()) {
        let mistake =
            Mistake::new(share.place.clone(), "this population has a share of the load, and one of its own");
        reader.report(mistake.expected("`share` or [population.load]"));
    }
    Some((written, tables))
}

/// A table that alone asks for something.
pub(super) fn switched_on(table: Field<()>) -> Field<bool> {
    match table {
        Field::Given(placed) => Field::Given(Placed { value: true, place: placed.place }),
        Field::Bad => Field::Bad,
        Field::Absent => Field::Absent,
    }
}

/// A part of a load: `share` of `total` after `before`. Whole numbers are divided so that all parts have the sum.
pub(super) fn part_of(load: &Load, (before, share, total): (u64, u64, u64)) -> Load {
    let up_to = |number: u64, shares: u64| {
        let product = u128::from(number) * u128::from(shares) / u128::from(total.max(1));
        u64::try_from(product).unwrap_or(u64::MAX)
    };
    let divided = |number: u64| up_to(number, before + share) - up_to(number, before);
    let mut part = load.clone();
    part.connections = load.connections.map(divided);
    part.max_open = load.max_open.map(divided);
    match &mut part.arrivals {
        Arrivals::Open(stages) => {
            let factor = share as f64 / total.max(1) as f64;
            for stage in stages {
                (stage.from, stage.to) = (stage.from.scaled(factor), stage.to.scaled(factor));
            }
        }
        Arrivals::Closed { slots, .. } => *slots = divided(*slots),
    }
    part
}

/// Loads that go on beside each other, as one: what reports tell of the whole, and what a run's length is.
pub(super) fn together<'l>(loads: impl Iterator<Item = &'l Load> + Clone) -> Load {
    let sum = |of: fn(&Load) -> Option<u64>| {
        loads.clone().map(of).try_fold(0_u64, |sum, number| Some(sum.saturating_add(number?)))
    };
    let until = loads.clone().map(|load| load.until).find(|until| *until == Until::Time);
    Load {
        arrivals: arrivals(loads.clone()),
        max_open: sum(|load| load.max_open),
        connections: sum(|load| load.connections),
        until: until.unwrap_or(Until::Number),
    }
}

/// All rates added up; of closed loops alone their slots.
fn arrivals<'l>(loads: impl Iterator<Item = &'l Load>) -> Arrivals {
    let (mut stages, mut slots, mut longest) = (Vec::new(), 0_u64, Some(Duration::ZERO));
    for load in loads {
        match &load.arrivals {
            Arrivals::Open(open) => stages.push(&open[..]),
            Arrivals::Closed { slots: more, duration } => {
                slots = slots.saturating_add(*more);
                longest = longest.zip(*duration).map(|(one, other)| one.max(other));
            }
        }
    }
    if stages.is_empty() {
        Arrivals::Closed { slots, duration: longest }
    } else {
        Arrivals::Open(added_up(&stages))
    }
}

/// Stages of several open loops as those of one: it changes where one of them does.
fn added_up(loads: &[&[RateStage]]) -> Vec<RateStage> {
    let mut ends: Vec<Duration> = Vec::new();
    for stages in loads {
        let mut end = Duration::ZERO;
        for stage in *stages {
            end = end.saturating_add(stage.over);
            ends.push(end);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    let mut began = Duration::ZERO;
    let mut sum = Vec::with_capacity(ends.len());
    for end in ends {
        let rates = loads.iter().map(|stages| rates_between(stages, began, end));
        let (from, to) = rates.fold((0.0, 0.0), |(from, to), (a, b)| (from + a, to + b));
        let rate = |rate: f64| Rate::per_second(rate).unwrap_or(Rate::ZERO);
        sum.push(RateStage { from: rate(from), to: rate(to), over: end - began });
        began = end;
    }
    sum
}

/// Rates of an open loop at the beginning and the end of a span in which it does not change its course.
fn rates_between(stages: &[RateStage], began: Duration, end: Duration) -> (f64, f64) {
    let mut start = Duration::ZERO;
    for stage in stages {
        let stop = start.saturating_add(stage.over);
        if began >= start && end <= stop {
            let (from, to) = (stage.from.as_per_second(), stage.to.as_per_second());
            let at = |moment: Duration| from + (to - from) * (moment - start).div_duration_f64(stage.over);
            return (at(began), at(end));
        }
        start = stop;
    }
    (0.0, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    #[test]
    fn parts_of_a_load_add_up_to_it() {
        let load = |flags: &[(&str, &str)]| {
            let flags =
                flags.iter().fold(Overrides::to("tcp://h:1"), |all, (flag, text)| all.with(flag, text));
            from_flags(&flags).unwrap().load
        };
        let closed = load(&[("--concurrency", "10"), ("--connections", "1001"), ("--max-open", "7")]);
        let parts: Vec<Load> = [(0, 1, 3), (1, 1, 3), (2, 1, 3)].map(|part| part_of(&closed, part)).into();
        assert_eq!(parts.iter().filter_map(|part| part.connections).sum::<u64>(), 1001);
        assert_eq!(parts.iter().filter_map(|part| part.max_open).sum::<u64>(), 7);
        let slots = |load: &Load| match load.arrivals {
            Arrivals::Closed { slots, .. } => slots,
            Arrivals::Open(_) => 0,
        };
        assert_eq!(parts.iter().map(slots).collect::<Vec<_>>(), [3, 3, 4]);
        let open = part_of(&load(&[("--rate", "100/s")]), (20, 80, 100));
        let Arrivals::Open(stages) = open.arrivals else { panic!() };
        assert!((stages[0].to.as_per_second() - 80.0).abs() < 1e-9);
    }

    #[test]
    fn loads_beside_each_other_are_added_up() {
        let stage = |from: f64, to: f64, over: u64| {
            let rate = |rate| Rate::per_second(rate).unwrap();
            RateStage { from: rate(from), to: rate(to), over: Duration::from_secs(over) }
        };
        let sum = added_up(&[&[stage(0.0, 100.0, 10)], &[stage(50.0, 50.0, 4), stage(50.0, 0.0, 16)]]);
        assert_eq!(sum.iter().map(|stage| stage.over.as_secs()).collect::<Vec<_>>(), [4, 6, 10]);
        let rates: Vec<(f64, f64)> =
            sum.iter().map(|stage| (stage.from.as_per_second(), stage.to.as_per_second())).collect();
        assert_eq!(rates, [(50.0, 90.0), (90.0, 131.25), (31.25, 0.0)]);
    }
}
