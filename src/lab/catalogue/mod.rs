//! All experiments, a file a group.
//!
//! An experiment that can't be told from another by its result is none: each has its own cause, and its
//! test holds the diagnosis to it.

mod cannot_assign;
mod ended;
mod limits;
mod refused;
mod timeout;
mod wrong_protocol;

use super::experiment::Experiment;
use crate::plan::nearest;

/// All experiments, in the order of the list of causes.
pub fn all() -> Vec<Experiment> {
    [
        refused::experiments(),
        timeout::experiments(),
        cannot_assign::experiments(),
        wrong_protocol::experiments(),
        limits::experiments(),
        ended::experiments(),
    ]
    .concat()
}

/// The experiment of a name.
///
/// # Errors
/// A sentence that names the nearest.
pub fn find(name: &str) -> Result<Experiment, String> {
    let all = all();
    if let Some(found) = all.iter().find(|experiment| experiment.name == name) {
        return Ok(found.clone());
    }
    let hint = match nearest(name, all.iter().map(|experiment| experiment.name)) {
        Some(near) => format!("did you mean '{near}'? "),
        None => String::new(),
    };
    Err(format!("there is no experiment '{name}'; {hint}`connstorm lab list` names all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_experiment_has_a_name_of_its_own_a_line_and_a_load_that_is_a_plan() {
        let all = all();
        let names: HashSet<&str> = all.iter().map(|experiment| experiment.name).collect();
        assert_eq!(names.len(), all.len());
        for experiment in &all {
            let name = experiment.name;
            assert!(!experiment.stands_for.is_empty() && !experiment.about.is_empty(), "{name}");
            experiment.plan().unwrap();
            for cure in &experiment.cures {
                let cured = experiment.cured(cure);
                cured.plan().unwrap();
                let what = |e: &Experiment| format!("{} {:?}", e.load, e.setting);
                assert_ne!(what(&cured), what(experiment), "{name}: '{}' changes nothing", cure.name);
            }
            assert!(experiment.intended.is_none() || !experiment.cures.is_empty(), "{name} has no cure");
        }
    }

    #[test]
    fn an_unknown_name_leads_to_the_nearest() {
        assert_eq!(find("nothing-listens").unwrap().name, "nothing-listens");
        assert!(find("nothing-listen").unwrap_err().contains("did you mean 'nothing-listens'?"));
        assert!(find("xyzzy").unwrap_err().contains("lab list"));
    }
}
