//! The target that a run starts for itself, from the fields of `[serve]`.

use super::definition::Serve;
use super::diagnostics::Mistake;
use super::field::{Field, Placed};
use super::fields::Settings;

/// The target; absent where there is no such table.
pub(super) fn resolve(
    table: &Field<()>,
    settings: &mut Settings,
    mistakes: &mut Vec<Mistake>,
) -> Field<Serve> {
    let place = match table {
        Field::Absent => return Field::Absent,
        Field::Bad => return Field::Bad,
        Field::Given(placed) => placed.place.clone(),
    };
    let s = settings;
    let bad = [s.serve_kind.is_bad(), s.serve_behaviour.is_bad(), s.serve_listen.is_bad()];
    if bad.contains(&true) || s.serve_backlog.is_bad() || s.serve_workers.is_bad() {
        return Field::Bad;
    }
    let usual = Serve::default();
    let kind = s.serve_kind.value().copied().unwrap_or(usual.kind);
    if let Some(Placed { value, place }) = s.serve_behaviour.given()
        && !value.suits(kind)
    {
        let mistake = Mistake::new(place.clone(), format!("a {kind} target can't do '{value}'"));
        mistakes.push(mistake.expected(super::behaviour::expected(kind)));
        return Field::Bad;
    }
    let value = Serve {
        kind,
        listen: std::mem::take(&mut s.serve_listen).into_value().unwrap_or(usual.listen),
        behaviour: std::mem::take(&mut s.serve_behaviour).into_value().unwrap_or(usual.behaviour),
        backlog: s.serve_backlog.value().copied().unwrap_or(usual.backlog),
        workers: s.serve_workers.value().copied(),
    };
    Field::Given(Placed { value, place })
}
