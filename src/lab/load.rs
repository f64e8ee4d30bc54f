//! The load of an experiment: written as the arguments of `connstorm run`, so that it can be shown and
//! typed, and made into a plan by the same rules.

use crate::plan;
use crate::plan::{Colour, Overrides, Plan};

/// The plan of a target and flags, separated by blanks; of flags that are given twice, the last counts.
pub(super) fn plan(name: &str, load: &str) -> Result<Plan, String> {
    let mut overrides = Overrides { name: Some(name.to_owned()), ..Overrides::default() };
    let mut words = load.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            overrides.target = Some(word.to_owned());
            continue;
        }
        if word == "--insecure" {
            overrides.session.insecure = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} has no value in '{load}'"))?;
        let field = field(&mut overrides, word).ok_or_else(|| format!("{word} is no flag of a load"))?;
        // "none" takes a flag back.
        *field = (value != "none").then(|| value.to_owned());
    }
    plan::from_flags(&overrides).map_err(|mistakes| mistakes.render(Colour::Plain))
}

fn field<'a>(overrides: &'a mut Overrides, flag: &str) -> Option<&'a mut Option<String>> {
    Some(match flag {
        "--rate" => &mut overrides.rate,
        "--concurrency" => &mut overrides.concurrency,
        "--duration" => &mut overrides.duration,
        "--connections" => &mut overrides.connections,
        "--lifetime" => &mut overrides.lifetime,
        "--close" => &mut overrides.close,
        "--source" => &mut overrides.source,
        "--ports" => &mut overrides.ports,
        "--connect-timeout" => &mut overrides.connect_timeout,
        "--handshake-timeout" => &mut overrides.handshake_timeout,
        "--workers" => &mut overrides.workers,
        _ => return None,
    })
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
