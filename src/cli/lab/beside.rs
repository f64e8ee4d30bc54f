//! `connstorm lab --distractors`: each experiment beside each thing that is not its cause.

use crate::cli::exit::Exit;
use crate::cli::output::{Output, say};
use crate::lab::table::{self, Row};
use crate::lab::{self, Distractor, Experiment, Way};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Experiments at the same time: each is in namespaces of its own, and little of it is work.
const AT_ONCE: usize = 2;

/// A distractor by its name.
pub(super) fn named(name: &str) -> Result<Distractor, String> {
    let all = || Distractor::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
    Distractor::of(name).ok_or_else(|| format!("it is one of {}", all()))
}

/// Distractors of one table.
#[derive(Debug, Clone)]
pub(super) struct Several(pub(super) Vec<Distractor>);

/// Distractors by their names, with commas; or all.
pub(super) fn several(names: &str) -> Result<Several, String> {
    if names == "all" {
        return Ok(Several(Distractor::ALL.to_vec()));
    }
    names.split(',').map(named).collect::<Result<_, _>>().map(Several)
}

/// A way of holding connections by its name.
pub(super) fn way(name: &str) -> Result<Way, String> {
    let found = Way::ALL.into_iter().find(|way| way.name() == name);
    found.ok_or_else(|| format!("it is one of {}", Way::ALL.map(Way::name).join(", ")))
}

/// Runs them, tells each that is not as intended at once, and prints the table.
pub(super) fn table(experiments: &[Experiment], distractors: &[Distractor]) -> anyhow::Result<Exit> {
    let pairs: Vec<(&Experiment, Distractor)> = experiments
        .iter()
        .flat_map(|experiment| distractors.iter().map(move |distractor| (experiment, *distractor)))
        .collect();
    let (next, missing) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let rows = Mutex::new(vec![None; pairs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, (experiment, distractor))) = taken(&next, &pairs) {
                    let row = one(experiment, distractor);
                    if row.is_none() {
                        missing.fetch_add(1, Relaxed);
                    }
                    if let Ok(mut rows) = rows.lock() {
                        rows[at] = row;
                    }
                }
            });
        }
    });
    let rows: Vec<(Distractor, Row)> = rows
        .into_inner()
        .unwrap_or_default()
        .into_iter()
        .zip(&pairs)
        .filter_map(|(row, (_, distractor))| Some((*distractor, row?)))
        .collect();
    Output::Stdout.write(&table::beside_markdown(&rows))?;
    let as_meant = rows.iter().all(|(distractor, row)| row.is_named_beside(*distractor));
    Ok(match (as_meant, missing.into_inner()) {
        (false, _) => Exit::ThresholdsFailed,
        (true, 0) => Exit::Passed,
        (true, _) => Exit::CouldNotRun,
    })
}

fn taken<T: Copy>(next: &AtomicUsize, of: &[T]) -> Option<(usize, T)> {
    let at = next.fetch_add(1, Relaxed);
    Some((at, *of.get(at)?))
}

fn one(experiment: &Experiment, distractor: Distractor) -> Option<Row> {
    let mut beside = experiment.clone();
    beside.setting.beside = Some(distractor);
    match lab::reproduce(&beside, None) {
        Ok(result) => {
            let row = Row::of(&beside, &result);
            if !row.is_named_beside(distractor) {
                let first =
                    row.first.map_or("nothing".to_owned(), |(id, certainty)| format!("{id} ({certainty})"));
                say(&format!("{} beside {distractor} begins with {first}", experiment.name));
            }
            Some(row)
        }
        Err(error) => {
            say(&format!("connstorm: {error}"));
            None
        }
    }
}
