//! The page of a comparison: what changed, with its interval, and the first run of each side in the same plots.

use super::data::Columns;
use super::{PLOTTER, PLOTTER_LICENCE, SCRIPT, STYLE};
use crate::report::compare_table::{changed, interval, runs_and_tolerance, shown, word};
use crate::report::output::{RenderError, library};
use crate::report::shown::{Shown, clean};
use crate::result::RunResult;
use crate::result::compare::{Change, Comparison, Row, Weight};
use crate::result::headline;
use minijinja::{Environment, Value, context};

const PAGE: &str = include_str!("compare.html");
/// Half of the width of a bar's field, in its own units.
const HALF: f64 = 100.0;

/// The page of a comparison; `sides` are the first runs of the base and of the new side.
///
/// # Errors
/// When a library refuses, which is a defect.
pub fn render(comparison: &Comparison, sides: [&RunResult; 2]) -> Result<String, RenderError> {
    let wrong =
        |error: &dyn std::fmt::Display| RenderError::Library { format: "HTML", says: error.to_string() };
    let [base, new] = sides.map(|side| Shown::of(side).map_err(|error| wrong(&error)));
    let (base, new) = (base?, new?);
    let data =
        serde_json::to_string(&Columns::beside(&base, &new)).map_err(|error| library("HTML", &error))?;
    let mut environment = Environment::new();
    environment.add_template("compare.html", PAGE).map_err(|error| library("HTML", &error))?;
    let template = environment.get_template("compare.html").map_err(|error| library("HTML", &error))?;
    let side = |name: &str, result: &RunResult| {
        let verdict = headline::verdict(result.verdict);
        context! { name, began => result.began.clone(), verdict, happened => headline::what_happened(result) }
    };
    let page = template.render(context! {
        style => STYLE,
        plotter => PLOTTER,
        licence => PLOTTER_LICENCE,
        script => SCRIPT,
        data => data.replace('<', "\\u003c"),
        name => new.plan.name.clone(),
        verdict => word(comparison.verdict),
        tone => tone(comparison.verdict),
        runs => runs_and_tolerance(comparison),
        notes => comparison.notes.iter().map(|note| clean(note)).collect::<Vec<_>>(),
        sides => vec![side("base", &base), side("new", &new)],
        rows => comparison.rows.iter().map(|one| row(one, comparison.tolerance)).collect::<Vec<_>>(),
        version => new.connstorm_version.clone(),
    });
    page.map_err(|error| library("HTML", &error))
}

fn row(row: &Row, tolerance: f64) -> Value {
    // Each field is as wide as its own interval asks for, and at least twice the tolerance.
    let reach = row.low.abs().max(row.high.abs()).max(tolerance * 2.0).max(1e-9);
    let at = |change: f64| (change / reach * HALF).clamp(-HALF, HALF);
    let width = (at(row.high) - at(row.low)).max(1.0);
    let verdict = if row.verdict == Change::NoChangeSeen { "" } else { word(row.verdict) };
    let decides = row.weight == Weight::Decides;
    context! {
        metric => clean(&row.metric),
        decides,
        base => shown(row, row.base),
        new => shown(row, row.new),
        change => changed(row, row.change),
        interval => interval(row),
        low => at(row.low),
        width,
        tolerance => at(tolerance),
        verdict,
        // What is only shown decides nothing, and has no colour.
        tone => if decides { tone(row.verdict) } else { "" },
    }
}

/// Class of the style: red is for what is worse, and for nothing else.
fn tone(change: Change) -> &'static str {
    match change {
        Change::Regressed => "bad",
        Change::Improved => "good",
        Change::NoChangeSeen => "same",
        Change::TooNoisy => "noisy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::compare::compare;
    use crate::result::sample;

    fn page(base: &RunResult, new: &RunResult) -> String {
        let comparison = compare(std::slice::from_ref(base), std::slice::from_ref(new), 0.1).unwrap();
        render(&comparison, [base, new]).unwrap()
    }

    #[test]
    fn it_tells_what_changed_and_draws_both_runs() {
        let base = sample::good();
        let mut new = base.clone();
        new.latency_us.insert("connect".into(), slower(&base));
        let page = page(&base, &new);
        for part in [
            "connect.p50",
            "class=\"interval\"",
            "\"label\":\"base\"",
            "\"label\":\"new\"",
            "The MIT License",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(page.contains("regressed"), "ten times slower");
    }

    fn slower(result: &RunResult) -> crate::result::LatencySummary {
        let of = crate::model::Latency::from_base64(&result.latency_us["connect"].histogram).unwrap();
        let mut slow = crate::model::Latency::default();
        for value in of.histogram().unwrap().iter_recorded() {
            for _ in 0..value.count_at_value() {
                slow.record(std::time::Duration::from_micros(value.value_iterated_to() * 10));
            }
        }
        crate::result::LatencySummary::of(&slow)
    }

    #[test]
    fn what_the_user_wrote_is_no_markup() {
        let mut result = sample::good();
        result.plan.name = "</script><script>alert(1)</script>".into();
        let page = page(&result, &result);
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("</script>").count(), 3, "data, plotter, script");
    }
}
