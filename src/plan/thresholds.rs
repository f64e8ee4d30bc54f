//! Thresholds and conditions as fields of a scenario: an expression in a flag, a metric and a comparison in the
//! file. [`super::threshold`] has their grammar.

use super::syntax::{Fault, Syntax};
use super::threshold::{Part, Threshold};

/// An entry of the file that is no threshold, by the half that is wrong.
#[derive(Debug)]
pub(super) enum EntryFault {
    Metric(Fault),
    Comparison(Fault),
}

/// The threshold of an entry of the file.
pub(super) fn entry(metric: &str, comparison: &str) -> Result<Threshold, EntryFault> {
    Threshold::from_entry(metric, comparison).map_err(|error| {
        let fault = Fault::new(error.to_string());
        match error.part() {
            Part::Metric => EntryFault::Metric(fault),
            Part::Comparison => EntryFault::Comparison(fault),
        }
    })
}

/// The right-hand side in the file.
pub(super) const COMPARISON: Syntax<String> = Syntax {
    expected: "a comparison in quotes, such as \"< 50ms\", \"== 0\" or \"never\"",
    bare_number: false,
    pattern: "",
    parse: |text| Ok(text.to_owned()),
};

/// A threshold in one piece, as `--threshold` takes it.
pub(super) const THRESHOLD: Syntax<Threshold> = Syntax {
    expected: "a metric and a comparison, such as 'connect.p99 < 50ms'",
    bare_number: false,
    pattern: "",
    parse: |text| {
        text.parse::<Threshold>().map_err(|error| {
            let part = text.get(error.span()).unwrap_or_default();
            Fault::new(error.to_string()).in_part(text, part)
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::diagnostics::Place;

    #[test]
    fn a_threshold_is_taken_apart() {
        for (text, written) in [
            ("connect.p99 < 50ms", "connect.p99 < 50ms"),
            ("  failed.ratio<0.1% ", "failed.ratio < 0.1%"),
            ("onset.ports_exhausted never", "onset.ports_exhausted == never"),
            ("held.max>= 100000", "held.max >= 100000"),
        ] {
            assert_eq!((THRESHOLD.parse)(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn halves_that_are_missing_are_named() {
        for (text, says) in
            [("< 50ms", "names no metric"), ("connect.p99", "nothing"), ("ü > 5", "not a metric")]
        {
            let mistake = (THRESHOLD.parse)(text).expect_err(text).at(Place::Whole);
            assert!(mistake.summary().contains(says), "{}", mistake.summary());
        }
    }

    #[test]
    fn a_wrong_part_of_an_expression_has_its_place() {
        let part =
            |text: &str| (THRESHOLD.parse)(text).expect_err(text).part().map(|part| text[part].to_owned());
        assert_eq!(part(" conect.p99 < 5ms").as_deref(), Some("conect.p99"));
        assert_eq!(part("connect.p99 < 5").as_deref(), Some("5"));
        assert_eq!(part("connect.p99"), None, "nothing is there that could be marked");
    }
}
