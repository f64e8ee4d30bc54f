//! Answers of servers, added up over results: close codes and HTTP statuses.

use super::Named;
use crate::model::{Closes, Codes};

/// Sums over all results.
pub(super) fn added_up(parts: &[Named]) -> (Closes, Codes) {
    let mut sums = (Closes::default(), Codes::default());
    for Named { result, .. } in parts {
        sums.0.merge(&result.closes);
        sums.1.merge(&result.statuses);
    }
    sums
}
