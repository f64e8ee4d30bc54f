//! Populations: each a plan of its own, made of its fields over the common ones.

use super::{Common, one};
use crate::model::AddressSet;
use crate::plan::data::DataTable;
use crate::plan::definition::Plan;
use crate::plan::diagnostics::{Mistake, Place};
use crate::plan::field::Field;
use crate::plan::fields::Settings;
use crate::plan::population::{Population, WrittenPopulation, part_of, together};
use crate::plan::session::{Request, Session};

/// A population whose plan has, for now, the whole of its load.
pub(super) struct Resolved {
    population: Population,
    place: Place,
    settings: Settings,
    target_table: Field<()>,
}

/// The populations of a file, and every mistake that no other tells.
pub(super) fn resolve(
    common: &Common,
    flags: &Settings,
    written: Vec<WrittenPopulation>,
) -> (Vec<Resolved>, Vec<Mistake>) {
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut all = Vec::new();
    for population in written {
        mistakes.extend(flags_of_load(flags, &population));
        match resolved(common, flags, population) {
            Ok(population) => all.push(population),
            // Those of common fields are found with each population again.
            Err(found) => {
                let new: Vec<Mistake> =
                    found.into_iter().filter(|mistake| !mistakes.contains(mistake)).collect();
                mistakes.extend(new);
            }
        }
    }
    (all, mistakes)
}

/// The mistake of a flag that says how the load is, where a population has its own.
fn flags_of_load(flags: &Settings, population: &WrittenPopulation) -> Option<Mistake> {
    if !population.has_load() {
        return None;
    }
    let rates = [flags.rate.given().map(|flag| &flag.place)];
    let counts = [&flags.concurrency, &flags.connections].map(|flag| flag.given().map(|flag| &flag.place));
    let place = rates.into_iter().chain(counts).flatten().next()?;
    let says = format!("the population '{}' has a load of its own", population.name);
    Some(Mistake::new(place.clone(), says).expected("no flag for the load, or `share` in the population"))
}

fn resolved(common: &Common, flags: &Settings, written: WrittenPopulation) -> Result<Resolved, Vec<Mistake>> {
    let has_load = written.has_load();
    let WrittenPopulation { name, place, share, settings, target_table } = written;
    let mut shared = common.settings.clone();
    if has_load {
        // Its own load takes the place of all that the scenario says of one.
        shared.open = Field::Absent;
        shared.closed = Field::Absent;
        shared.connections = Field::Absent;
        shared.max_open = Field::Absent;
    }
    // These are of the whole.
    (shared.name, shared.thresholds, shared.abort_when) = (Field::Absent, Field::Absent, Field::Absent);
    let mut flags = flags.clone();
    (flags.name, flags.thresholds, flags.abort_when) = (Field::Absent, Field::Absent, Field::Absent);
    if !settings.url.is_absent() {
        // Ports beside the scenario's URL are none of another one's.
        shared.target_ports = Field::Absent;
    }
    let mut settings = settings.over(shared);
    if settings.steps.is_absent() {
        // It is there for others.
        settings.data = Field::Absent;
    }
    let target_table = target_table.or(common.target_table.clone());
    let own = Common {
        settings: settings.clone(),
        target_table: target_table.clone(),
        serve_table: common.serve_table.clone(),
    };
    let mut plan = one(own, flags, &name, Vec::new())?;
    plan.data.clear();
    if plan.session.messages.senders.is_some() {
        let says = format!("`senders` and listeners are populations of their own; '{name}' has both");
        return Err(vec![
            Mistake::new(place, says).expected("a population that sends, and one that listens"),
        ]);
    }
    let share = (!has_load).then(|| share.into_value().unwrap_or(1));
    Ok(Resolved { population: Population { name, share, plan }, place, settings, target_table })
}

/// The fields of the whole: what the first population has, with the name, the load and the thresholds of all.
pub(super) fn whole(common: Common, populations: &[Resolved]) -> Common {
    let Some(first) = populations.first() else { return common };
    let (mut settings, of_all) = (first.settings.clone(), common.settings);
    (settings.name, settings.thresholds, settings.abort_when) =
        (of_all.name, of_all.thresholds, of_all.abort_when);
    (settings.open, settings.closed) = (of_all.open, of_all.closed);
    (settings.connections, settings.max_open) = (of_all.connections, of_all.max_open);
    if !populations.iter().any(|one| one.settings.steps.given().is_some()) {
        // Nobody uses it, which is then told.
        settings.data = of_all.data;
    }
    Common { settings, target_table: first.target_table.clone(), serve_table: common.serve_table }
}

/// The whole with its populations, each with its part of the load.
pub(super) fn shared_out(
    whole: Plan,
    populations: Vec<Resolved>,
    data: Vec<DataTable>,
) -> Result<Plan, Vec<Mistake>> {
    if populations.is_empty() {
        return Ok(whole);
    }
    let total = populations.iter().filter_map(|one| one.population.share).sum();
    let workers = whole.workers;
    let number = u32::try_from(populations.len()).unwrap_or(u32::MAX);
    let (mut before, mut mistakes) = (0, Vec::new());
    let mut plan = Plan { populations: Vec::new(), data, ..whole };
    for Resolved { mut population, place, .. } in populations {
        if let Some(share) = population.share {
            population.plan.load = part_of(&population.plan.load, (before, share, total));
            before += share;
            if has_nothing(&population.plan) {
                let says = format!("nothing of the load is left for the population '{}'", population.name);
                mistakes.push(Mistake::new(place, says).expected("a larger share, or a larger load"));
            }
        }
        if let (Some(all), true) = (workers, population.plan.workers == workers) {
            population.plan.workers = std::num::NonZeroU32::new((all.get() / number).max(1));
        }
        plan.populations.push(population);
    }
    // What the clients of one population do is not what all do.
    plan.session = Session {
        request: Request { path: plan.session.request.path, ..Request::default() },
        ..Session::default()
    };
    plan.source.addresses = sources(&plan);
    if plan.populations.iter().any(|population| population.share.is_none()) {
        plan.load = together(plan.each().into_iter().map(|plan| &plan.load));
    }
    if mistakes.is_empty() { Ok(plan) } else { Err(mistakes) }
}

fn has_nothing(plan: &Plan) -> bool {
    let no_slots = matches!(plan.load.arrivals, super::Arrivals::Closed { slots: 0, .. });
    no_slots || plan.load.connections == Some(0) || plan.load.max_open == Some(0)
}

/// Source addresses of all populations; none where the kernel chooses that of any.
fn sources(plan: &Plan) -> AddressSet {
    let mut blocks = Vec::new();
    for of_one in plan.each() {
        if of_one.source.addresses.is_empty() {
            return AddressSet::default();
        }
        for block in of_one.source.addresses.blocks() {
            if !blocks.contains(block) {
                blocks.push(*block);
            }
        }
    }
    AddressSet::new(blocks)
}
