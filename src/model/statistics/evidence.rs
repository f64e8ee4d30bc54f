//! Named numbers and words that prove a statement: what an onset or a finding rests on.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One fact. Units are in its name (`_s`, `_us`, `_bytes`, `_per_s`); a count has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Fact {
    /// A whole number.
    Count(u64),
    /// Any other number.
    Number(f64),
    /// Words.
    Text(String),
}

impl From<u64> for Fact {
    fn from(count: u64) -> Fact {
        Fact::Count(count)
    }
}

impl From<u32> for Fact {
    fn from(count: u32) -> Fact {
        Fact::Count(count.into())
    }
}

impl From<f64> for Fact {
    fn from(number: f64) -> Fact {
        Fact::Number(number)
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Fact {
        Fact::Text(text)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Fact {
        Fact::Text(text.to_owned())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Count(count) => write!(f, "{count}"),
            Fact::Number(number) => write!(f, "{number:.3}"),
            Fact::Text(text) => f.write_str(text),
        }
    }
}

/// Facts by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Evidence(BTreeMap<String, Fact>);

impl Evidence {
    /// The same with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Fact>) -> Evidence {
        self.0.insert(name.to_owned(), fact.into());
        self
    }

    /// The same with one more fact, if it is known.
    #[must_use]
    pub fn with_known(self, name: &str, fact: Option<impl Into<Fact>>) -> Evidence {
        match fact {
            Some(fact) => self.with(name, fact),
            None => self,
        }
    }

    /// A fact by its name.
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.0.get(name)
    }

    /// A fact by its name, as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name)? {
            Fact::Count(count) => Some(*count as f64),
            Fact::Number(number) => Some(*number),
            Fact::Text(_) => None,
        }
    }

    /// All facts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.0.iter().map(|(name, fact)| (name.as_str(), fact))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_json_with_their_kind() {
        let evidence = Evidence::default()
            .with("ports_in_use", 512u64)
            .with("growth_per_s", 99.5)
            .with("setting", "tcp_tw_reuse = 0")
            .with_known("unknown", None::<u64>);
        let json = serde_json::to_string(&evidence).unwrap();
        assert_eq!(json, r#"{"growth_per_s":99.5,"ports_in_use":512,"setting":"tcp_tw_reuse = 0"}"#);
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
        assert_eq!(evidence.number("ports_in_use"), Some(512.0));
        assert_eq!(evidence.number("setting"), None);
    }
}
