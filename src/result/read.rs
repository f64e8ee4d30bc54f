//! A saved result, read again.
//!
//! Invariant: what is read was made by the same version of the model. Fields that a newer program added are
//! passed over, because fields are only ever added; another `schema_version` is refused, because its fields
//! may mean something else.

use crate::result::balance;
use crate::result::model::{RunResult, SCHEMA_VERSION};
use serde::Deserialize;

/// Reason for which a text is no result that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The text is not JSON at all, or not to its end: the file was cut off.
    #[error("it is not JSON: {0}; give a file that `connstorm run --json FILE` wrote")]
    NotJson(serde_json::Error),
    /// The text is JSON of something else.
    #[error(
        "it is not the result of a run, because it has no schema_version; give a file that \
         `connstorm run --json FILE` wrote"
    )]
    NotAResult,
    /// The result is of another version of the model.
    #[error(
        "its schema_version is {found}, and this connstorm reads {SCHEMA_VERSION}; read it with the version that \
         wrote it ({written_by})"
    )]
    OtherVersion {
        /// The version that it has.
        found: u32,
        /// The program that wrote it, as far as it says so.
        written_by: String,
    },
    /// The text says that it is a result, and lacks something or has it in another form.
    #[error("it is not a whole result: {0}; it was changed by hand, or by another program")]
    NotWhole(serde_json::Error),
    /// The result holds a number that can't have been counted.
    #[error("it holds a number that no run counts: {0}; it was changed by hand, or by another program")]
    Impossible(String),
}

/// Fields that are looked at before all else.
#[derive(Deserialize)]
struct Header {
    schema_version: Option<u32>,
    connstorm_version: Option<String>,
}

impl RunResult {
    /// Reads what [`RunResult`] serialises to.
    ///
    /// # Errors
    /// When the text is no result, or one of another version.
    pub fn from_json(text: &str) -> Result<RunResult, ReadError> {
        let header: Header = serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => ReadError::NotAResult,
            _ => ReadError::NotJson(error),
        })?;
        match header.schema_version {
            None => return Err(ReadError::NotAResult),
            Some(SCHEMA_VERSION) => {}
            Some(found) => {
                let written_by =
                    header.connstorm_version.map_or("unknown".into(), |v| format!("connstorm {v}"));
                return Err(ReadError::OtherVersion { found, written_by });
            }
        }
        let result = serde_json::from_str(text).map_err(ReadError::NotWhole)?;
        // Every field that a newer program added is looked at, too.
        let value: serde_json::Value = serde_json::from_str(text).map_err(ReadError::NotWhole)?;
        match balance::impossible(&value) {
            Some(number) => Err(ReadError::Impossible(number)),
            None => Ok(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;
    use serde_json::{Value, json};

    fn changed(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(sample::exhausted()).unwrap();
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn a_result_survives_json() {
        for result in [sample::good(), sample::exhausted()] {
            let text = serde_json::to_string_pretty(&result).unwrap();
            assert_eq!(RunResult::from_json(&text).unwrap(), result);
        }
    }

    #[test]
    fn fields_of_a_newer_version_are_passed_over_and_those_it_does_not_have_are_known() {
        let text = changed(|value| {
            value["weather"] = json!({"rain": true});
            value["windows"][0]["more"] = json!(1);
            value["counts"]["lost_in_space"] = json!(0);
            value.as_object_mut().unwrap().remove("began_unix_us");
            value["windows"][0].as_object_mut().unwrap().remove("connect_p90_us");
        });
        let read = RunResult::from_json(&text).unwrap();
        assert_eq!((read.counts, read.began_unix_us), (sample::exhausted().counts, 0));
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        for (text, says) in [
            (changed(|v| v["schema_version"] = json!(2)), "schema_version is 2, and this connstorm reads 1"),
            (changed(|v| v["schema_version"] = Value::Null), "no schema_version"),
            (changed(|v| v["schema_version"] = json!("x")), "no schema_version"),
            (
                changed(|v| {
                    v.as_object_mut().unwrap().remove("counts");
                }),
                "missing field `counts`",
            ),
            ("[1, 2]".into(), "no schema_version"),
            ("{\"a\": 1}".into(), "no schema_version"),
            (String::new(), "not JSON"),
            (changed(|_| {})[..100].to_owned(), "not JSON"),
            (changed(|v| v["counts"]["ok"] = json!(u64::MAX)), "counts.ok is 18446744073709551615"),
        ] {
            let error = RunResult::from_json(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
