//! A number that peers answer with, such as an HTTP status, counted by its value.

use serde::{Deserialize, Serialize};

/// Codes that are told apart; others are counted as [`OTHER`].
const MOST_CODES: usize = 100;
/// Stands for all codes beyond those that are told apart.
const OTHER: u16 = 0;

/// Entry of a code in a list that is in the order of the codes and tells `most` of them apart, whatever a peer sends;
/// made by `new` where there is none yet.
pub(super) fn entry<T>(
    list: &mut Vec<T>,
    code: u16,
    most: usize,
    code_of: fn(&T) -> u16,
    new: fn(u16) -> T,
) -> &mut T {
    let (code, place) = match list.binary_search_by_key(&code, code_of) {
        Err(_) if list.len() >= most => (OTHER, list.binary_search_by_key(&OTHER, code_of)),
        place => (code, place),
    };
    let at = place.unwrap_or_else(|at| {
        list.insert(at, new(code));
        at
    });
    &mut list[at]
}

/// Counts by code, in the order of the codes; 0 stands for codes beyond the first 100. Written as a map;
/// [`status_list`] writes them as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "std::collections::BTreeMap<u16, u64>", into = "std::collections::BTreeMap<u16, u64>")]
#[schemars(with = "std::collections::BTreeMap<String, u64>")]
pub struct Codes(Vec<(u16, u64)>);

impl Codes {
    /// Counts so many of one code.
    pub fn add(&mut self, code: u16, count: u64) {
        let known = entry(&mut self.0, code, MOST_CODES, |known| known.0, |code| (code, 0));
        known.1 = known.1.saturating_add(count);
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Codes) {
        other.iter().for_each(|(code, count)| self.add(code, count));
    }

    /// Each code with its count.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().copied()
    }

    /// Count of one code.
    pub fn count(&self, code: u16) -> u64 {
        self.0.iter().find(|known| known.0 == code).map_or(0, |known| known.1)
    }

    /// True if nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<std::collections::BTreeMap<u16, u64>> for Codes {
    fn from(counts: std::collections::BTreeMap<u16, u64>) -> Codes {
        let mut codes = Codes::default();
        counts.into_iter().for_each(|(code, count)| codes.add(code, count));
        codes
    }
}

impl From<Codes> for std::collections::BTreeMap<u16, u64> {
    fn from(codes: Codes) -> Self {
        codes.0.into_iter().collect()
    }
}

/// HTTP statuses as results have them: a list of `{"status": 200, "count": 18}`.
pub mod status_list {
    use super::Codes;
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Replies of one status.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct StatusCount {
        /// The status; 0 for those beyond the first 100.
        status: u16,
        /// Replies with it.
        count: u64,
    }

    /// Writes the list.
    pub fn serialize<S: Serializer>(codes: &Codes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(codes.iter().map(|(status, count)| StatusCount { status, count }))
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Codes, D::Error> {
        let mut codes = Codes::default();
        Vec::<StatusCount>::deserialize(from)?.iter().for_each(|known| codes.add(known.status, known.count));
        Ok(codes)
    }

    /// The schema of the list.
    pub fn schema(schemas: &mut SchemaGenerator) -> Schema {
        Vec::<StatusCount>::json_schema(schemas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_answers_with_every_number_fills_no_memory_and_loses_no_count() {
        let mut codes = Codes::default();
        for round in 0..3 {
            (100..1000).for_each(|code| codes.add(code, 1));
            let all: u64 = codes.iter().map(|(_, count)| count).sum();
            assert_eq!(all, 900 * (round + 1));
        }
        assert!(codes.iter().count() <= MOST_CODES + 1);
        assert!(codes.iter().zip(codes.iter().skip(1)).all(|(a, b)| a.0 < b.0), "in their order");
    }

    #[test]
    fn counts_are_joined_and_survive_json() {
        let mut codes = Codes::default();
        codes.add(503, 2);
        codes.add(200, 1);
        let mut both = codes.clone();
        both.merge(&codes);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"{"200":2,"503":4}"#);
        assert_eq!(serde_json::from_str::<Codes>(&text).unwrap(), both);
    }
    #[test]
    fn a_list_of_statuses_is_the_same_counts() {
        #[derive(Serialize, Deserialize)]
        struct Told(#[serde(with = "status_list")] Codes);
        let mut codes = Codes::default();
        codes.add(503, 2);
        codes.add(200, 1);
        let text = serde_json::to_string(&Told(codes.clone())).unwrap();
        assert_eq!(text, r#"[{"status":200,"count":1},{"status":503,"count":2}]"#);
        assert_eq!(serde_json::from_str::<Told>(&text).unwrap().0, codes);
    }
}
