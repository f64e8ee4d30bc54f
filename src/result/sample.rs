//! Saved results that tests render: real runs, written by the first version that wrote results. Later
//! versions must go on reading them as they are.

use crate::result::model::RunResult;

fn read(text: &str) -> RunResult {
    RunResult::from_json(text).expect("a result that was saved once is read for ever")
}

/// 13,000 connections over loopback, none failed.
pub(crate) fn good() -> RunResult {
    read(include_str!("../../tests/data/good.json"))
}

/// 150 connections a second through 1,024 ports without `tcp_tw_reuse`: out of ports after 8 s.
pub(crate) fn exhausted() -> RunResult {
    read(include_str!("../../tests/data/exhausted.json"))
}
