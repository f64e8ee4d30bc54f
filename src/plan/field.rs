//! A field of a scenario: left out, wrong, or given, and then where.

use super::diagnostics::Place;

/// A field as it was found. A `Bad` one has been reported already, so nothing else need be said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Field<T> {
    /// Left out.
    #[default]
    Absent,
    /// Written, and wrong.
    Bad,
    /// Written.
    Given(Placed<T>),
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Field<T> {
    /// This field, or the other where this one was left out.
    pub(super) fn or(self, other: Field<T>) -> Field<T> {
        match self {
            Field::Absent => other,
            written => written,
        }
    }

    pub(super) fn given(&self) -> Option<&Placed<T>> {
        match self {
            Field::Given(placed) => Some(placed),
            _ => None,
        }
    }

    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(|placed| &placed.value)
    }

    pub(super) fn into_value(self) -> Option<T> {
        match self {
            Field::Given(placed) => Some(placed.value),
            _ => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }

    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Field::Bad)
    }

    /// True if it is given by a flag rather than by the file.
    pub(super) fn is_from_flag(&self) -> bool {
        matches!(self.given(), Some(Placed { place: Place::Flag { .. }, .. }))
    }
}
