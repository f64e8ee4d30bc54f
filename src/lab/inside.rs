//! One run of an experiment, inside its namespace.

use super::environment::{self, EnvironmentError};
use super::experiment::Experiment;
use crate::engine::Control;
use crate::result::RunResult;
use crate::run::execute;
use serde::{Deserialize, Serialize};

/// Answer of the confined process to the one that started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The experiment ran.
    Ran(Box<RunResult>),
    /// This host lacks what the experiment needs: what, and how to get it.
    Missing(String),
    /// The experiment could not run for another reason.
    Broken(String),
}

/// Makes the setting, runs the load, and diagnoses, in the namespace that this process is in.
pub fn inside(experiment: &Experiment) -> Answer {
    let plan = match experiment.plan() {
        Ok(plan) => plan,
        Err(mistakes) => return Answer::Broken(mistakes),
    };
    let environment = match environment::set(&experiment.setting) {
        Ok(environment) => environment,
        Err(missing @ EnvironmentError::Missing { .. }) => return Answer::Missing(missing.to_string()),
        Err(other) => return Answer::Broken(other.to_string()),
    };
    let completed = execute(&plan, &Control::default(), |_| ());
    drop(environment);
    let completed = match completed {
        Ok(completed) => completed,
        Err(error) => return Answer::Broken(error.to_string()),
    };
    match completed.run.conservation() {
        Ok(()) => Answer::Ran(Box::new(completed.into_result(&plan))),
        Err(imbalance) => {
            Answer::Broken(format!("the counts do not add up, a defect of connstorm: {imbalance}"))
        }
    }
}
