//! Scenarios from text to plan, and their mistakes as they are shown.

mod data;
mod fields;
mod flags;
mod mistakes;
mod plans;
mod populations;
mod properties;
mod sessions;
mod steps;

use super::{Overrides, Plan, ScenarioErrors, load_file};
use std::path::Path;

/// The environment of the tests.
fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("127.0.0.1".to_owned()),
        "PORT" => Some("9001".to_owned()),
        "SLOW" => Some("fünf".to_owned()),
        _ => None,
    }
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Plan, ScenarioErrors> {
    load_file(Path::new("storm.toml"), text, &environment, overrides)
}

fn load(text: &str) -> Result<Plan, ScenarioErrors> {
    load_with(text, &Overrides::default())
}
