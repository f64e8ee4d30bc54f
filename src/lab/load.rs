//! The load of an experiment: written as the arguments of `connstorm run`, so that it can be shown and
//! typed, and made into a plan by the same rules.

use crate::plan;
use crate::plan::fields::{Takes, rows};
use crate::plan::{Colour, Overrides, Plan};

/// The plan of a target and flags, separated by blanks; of flags that are given twice, the last counts.
pub(super) fn plan(name: &str, load: &str) -> Result<Plan, String> {
    let mut overrides = Overrides::default().with("--name", name);
    let rows = rows();
    let mut words = load.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            overrides = overrides.with_target(word);
            continue;
        }
        let row = rows.iter().find(|row| row.flag == Some(word));
        let row = row.ok_or_else(|| format!("{word} is no flag of a load"))?;
        if row.takes == Takes::Nothing {
            overrides.set(word, "");
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} has no value in '{load}'"))?;
        // "none" takes a flag back.
        if value == "none" {
            overrides.remove(word);
        } else {
            overrides.set(word, value);
        }
    }
    plan::from_flags(&overrides).map_err(|mistakes| mistakes.render(Colour::Plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Close;

    #[test]
    fn flags_mean_what_they_mean_to_run() {
        let plan =
            plan("x", "tcp://127.0.0.1:9000 --close fin --workers 1 --close rst --workers none").unwrap();
        assert_eq!((plan.name.as_str(), plan.connection.close, plan.workers), ("x", Close::Rst, None));
    }

    #[test]
    fn mistakes_are_told() {
        assert!(plan("x", "tcp://127.0.0.1:9000 --rate fast").unwrap_err().contains("--rate"));
        assert!(plan("x", "tcp://127.0.0.1:9000 --rat 1/s").unwrap_err().contains("--rat "));
        assert!(plan("x", "tcp://127.0.0.1:9000 --rate").unwrap_err().contains("no value"));
    }
}
