//! Lengths of pauses: a duration, a distribution, or until the end of the run.

use crate::model::Lifetime;
use crate::plan::syntax::Syntax;
use crate::plan::words::LIFETIME;

/// As a lifetime is written.
pub(super) const SPREAD: Syntax<Lifetime> = Syntax {
    expected: "a duration with its unit, such as \"2s\", or \"exponential(5s)\", \"uniform(1s,5s)\" or \"until-end\"",
    ..LIFETIME
};
