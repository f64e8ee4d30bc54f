//! The number of connections held at which others fail: a limit shows as a level of the number open while
//! attempts go on and are turned away.

use crate::diagnose::{Plateau, is_turned_away};
use crate::model::WindowRow;

/// Windows in a row that make a level.
const FEWEST: u32 = 2;

/// The level, where there is one: in every window with connections turned away after the first, the number open
/// is the same, and is the most that was ever open.
pub(super) fn plateau(windows: &[WindowRow]) -> Option<Plateau> {
    let turned_away = |window: &WindowRow| window.failures.iter().any(|(failure, _)| is_turned_away(failure));
    let most = windows.iter().map(|window| window.open).max().filter(|most| *most > 0)?;
    let with: Vec<&WindowRow> = windows.iter().filter(|window| turned_away(window)).collect();
    // In the first of them the level is reached; in the last, the run closes what it holds.
    let level: Vec<&&WindowRow> = with.iter().filter(|window| is_level(window.open, most)).collect();
    let (first, last) = (level.first()?, level.last()?);
    let count = u32::try_from(level.len()).unwrap_or(u32::MAX);
    let below = with
        .iter()
        .filter(|window| window.at > first.at && window.at < last.at && !is_level(window.open, most));
    (count >= FEWEST && below.count() == 0 && with.len() <= level.len() + 2).then_some(Plateau {
        held: most,
        windows: count,
        from: first.at,
        to: last.at,
    })
}

/// The most, less what has just ended and whose place is not taken again yet.
fn is_level(open: u64, most: u64) -> bool {
    open + most.div_ceil(50) >= most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Errno, Failure, Stage};
    use std::time::Duration;

    fn window(second: u64, open: u64, refused: u64) -> WindowRow {
        let failure = Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED);
        WindowRow {
            at: Duration::from_secs(second),
            open,
            failures: if refused > 0 { vec![(failure, refused)] } else { vec![] },
            planned: 1,
            started: 1,
            opened: 1,
            ok: 0,
            failed: refused,
            cut_short: 0,
            skipped: 0,
            connect_us: [0; 4],
            connect_histogram: None,
            connect_call_p99_us: 0,
            lateness_p99_us: 0,
            message_lateness_p99_us: None,
            speech: crate::model::Speech::default(),
            length: Duration::from_secs(1),
            cpu: Duration::ZERO,
        }
    }

    fn held(windows: &[(u64, u64)]) -> Option<u64> {
        let rows: Vec<WindowRow> =
            (1..).zip(windows).map(|(at, (open, refused))| window(at, *open, *refused)).collect();
        plateau(&rows).map(|plateau| plateau.held)
    }

    #[test]
    fn a_level_with_refusals_is_a_limit() {
        assert_eq!(held(&[(10, 0), (20, 3), (20, 10), (20, 10)]), Some(20));
        assert_eq!(held(&[(10, 0), (20, 3), (20, 10), (20, 10), (0, 2)]), Some(20), "the run's own end");
    }

    #[test]
    fn a_server_that_is_away_holds_nothing_and_refusals_while_more_open_are_no_level() {
        assert_eq!(held(&[(20, 0), (0, 10), (0, 10), (20, 1)]), None, "it was gone");
        assert_eq!(held(&[(10, 5), (20, 5), (30, 5), (40, 5)]), None, "it grows");
        assert_eq!(held(&[(5, 0), (5, 0)]), None, "nobody was turned away");
    }
}
