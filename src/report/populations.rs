//! Populations, a line or a row each.

use crate::model::format::{micros, thousands};
use crate::report::style::Style;
use crate::result::{PopulationResult, RunResult};

/// A line a population, with a line end each; nothing where there are none. Of more than `most` the last line says so.
pub(super) fn lines(result: &RunResult, most: usize, style: Style) -> String {
    let all = &result.populations;
    let width = all.iter().map(|population| population.name.chars().count()).max().unwrap_or(0);
    let mut out: String = all.iter().take(most).map(|population| line(population, width, style)).collect();
    if all.len() > most {
        out += &format!("  … and {} populations more\n", thousands((all.len() - most) as u64));
    }
    out
}

fn line(population: &PopulationResult, width: usize, style: Style) -> String {
    let counts = &population.counts;
    let some = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", thousands(count)));
    let failed = some(counts.failed, "failed").map(|text| style.bad(&text));
    let times = [("connect", "connect"), ("round_trip", "round trip")].map(|(name, title)| {
        let latency = population.latency_us.get(name).filter(|latency| latency.count > 0)?;
        Some(format!("{title} p99 {}", micros(latency.p99)))
    });
    let figures = [
        Some(format!("{} ok", thousands(counts.ok))),
        failed,
        some(counts.cut_short, "cut short"),
        some(counts.skipped, "skipped"),
        some(counts.held_max, "held at most"),
    ];
    let figures: Vec<String> = figures.into_iter().chain(times).flatten().collect();
    format!("  {:<width$}  {}\n", population.name, figures.join("   "))
}

/// Titles of [`cells`].
pub(super) const TITLES: [&str; 9] = [
    "population",
    "planned",
    "ok",
    "failed",
    "cut short",
    "skipped",
    "open at most",
    "connect p99",
    "round trip p99",
];

/// Name and figures of each population, as a table has them.
pub(super) fn cells(result: &RunResult) -> Vec<[String; 9]> {
    let row = |population: &PopulationResult| {
        let counts = &population.counts;
        let time = |name: &str| {
            let latency = population.latency_us.get(name).filter(|latency| latency.count > 0);
            latency.map_or(String::new(), |latency| micros(latency.p99))
        };
        let [planned, ok, failed, cut, skipped, held] =
            [counts.planned, counts.ok, counts.failed, counts.cut_short, counts.skipped, counts.held_max]
                .map(thousands);
        [
            population.name.clone(),
            planned,
            ok,
            failed,
            cut,
            skipped,
            held,
            time("connect"),
            time("round_trip"),
        ]
    };
    result.populations.iter().map(row).collect()
}
