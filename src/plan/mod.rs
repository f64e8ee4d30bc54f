//! Plan: what the user wrote, made into a validated, immutable [`Plan`].
//!
//! ```text
//!                  fields (one row a field)
//! file ──► reader ──► Settings ─┐
//!                               ├──► resolve (load, session, serve) ──► Plan
//! flags ────────────► Settings ─┘
//! ```
//!
//! What fields there are, how each is written in file and flag, what it is for and its default: a row of the
//! table in [`fields`]. Values are parsed one by one, by the same rules for the file and for the flags; then flags are laid over
//! the file, and the whole is checked. Mistakes do not stop this: all are gathered, and shown together.
//! Nothing here reads a file, the environment or the clock, and nothing prints.

pub mod behaviour;
pub mod data;
mod definition;
mod diagnostics;
mod divide;
mod env;
mod field;
pub mod fields;
mod file;
mod flags;
mod load;
mod nearest;
mod placeholders;
mod population;
mod reader;
mod reference;
mod resolve;
mod schema;
pub mod secrets;
mod serve;
mod session;
mod stages;
mod syntax;
mod target_url;
mod text;
pub mod threshold;
mod thresholds;
pub mod units;
mod words;

#[cfg(test)]
mod tests;

pub use definition::{
    Arrivals, Close, Connection, Lifetime, Load, Plan, PortPolicy, RateStage, Scheme, Serve, Source, Spacing,
    Target, Until,
};
pub use diagnostics::{Colour, Mistake, Place, ScenarioErrors};
pub use divide::Indivisible;
pub use env::Environment;
pub use flags::Overrides;
pub use load::{DEFAULT_DURATION, DEFAULT_RATE};
pub use nearest::nearest;
pub use population::Population;
pub use reference::reference;
pub use schema::schema;
pub use secrets::Secrets;
pub use session::steps;
pub use session::{
    Expect, Framing, Header, Messages, Reconnect, Request, Session, Statuses, Tls, TlsVersion,
};
pub use target_url::{TargetUrl, TargetUrlError};

use crate::protocol::Template;
use std::cell::RefCell;
use std::path::Path;

/// The plan of the scenario file whose `text` was read from `path`, with flags laid over it.
///
/// The path names the file in messages, and its stem names the scenario where the file does not. `${NAME}`
/// in strings is looked up in the `environment`.
///
/// No other file is looked at: see [`load_file_with`].
///
/// # Errors
///
/// Every mistake of the file and of the flags. Mistakes of TOML syntax hide the file's other mistakes.
pub fn load_file(
    path: &Path,
    text: &str,
    environment: &Environment<'_>,
    overrides: &Overrides,
) -> Result<Plan, ScenarioErrors> {
    let files = &|_: &Path| Err("no other file is looked at here".to_owned());
    load_file_with(path, text, &Surroundings { environment, files }, overrides)
}

/// Things that a scenario may refer to, handed in by whoever reads it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Variables that `${NAME}` stands for.
    pub environment: &'a Environment<'a>,
    /// Files of data, whose first line is read.
    pub files: &'a data::Files<'a>,
}

/// The same as [`load_file`], where the scenario may name files of data.
///
/// # Errors
///
/// As [`load_file`].
pub fn load_file_with(
    path: &Path,
    text: &str,
    surroundings: &Surroundings<'_>,
    overrides: &Overrides,
) -> Result<Plan, ScenarioErrors> {
    let Surroundings { environment, files } = *surroundings;
    let taken = RefCell::new(Vec::new());
    let environment = &|name: &str| {
        let value = environment(name);
        if let Some(value) = &value {
            // In a text with placeholders it stands escaped.
            taken.borrow_mut().extend([value.clone(), Template::escaped(value).into_owned()]);
        }
        value
    };
    let mut mistakes = Vec::new();
    let flags = read_flags(overrides, &mut mistakes);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = stem.unwrap_or_else(|| "scenario".to_owned());
    let plan = match file::read(text, environment, files) {
        Ok((written, found)) => {
            mistakes.extend(found);
            let populations: Vec<_> = written.populations.iter().map(|one| &one.settings).collect();
            let names = placeholders::names(&written.settings, &populations);
            placeholders::check_flags(overrides, &names, &mut mistakes);
            resolve::resolve(written, flags, &name, mistakes)
        }
        Err(found) => {
            mistakes.extend(found);
            Err(mistakes)
        }
    };
    let taken = taken.into_inner();
    match plan {
        Ok(plan) => Ok(Plan { secrets: Secrets::from_environment(taken), ..plan }),
        Err(mistakes) => {
            // The file's own lines are shown as they stand there; what a variable holds is not.
            let secrets = secrets::in_order(taken);
            let mistakes = mistakes.into_iter().map(|mistake| mistake.hiding(&secrets)).collect();
            Err(ScenarioErrors::in_file(path, text, mistakes))
        }
    }
}

/// The plan of a run that is described by flags alone. The target names it where `--name` does not.
///
/// # Errors
///
/// Every mistake of the flags, each with the flag's name.
pub fn from_flags(overrides: &Overrides) -> Result<Plan, ScenarioErrors> {
    let mut mistakes = Vec::new();
    let flags = read_flags(overrides, &mut mistakes);
    placeholders::check_flags(overrides, &[], &mut mistakes);
    let name = overrides.target().map_or_else(|| "connstorm".to_owned(), target_url::without_secrets);
    resolve::resolve(file::Written::default(), flags, &name, mistakes).map_err(ScenarioErrors::in_flags)
}

fn read_flags(overrides: &Overrides, mistakes: &mut Vec<Mistake>) -> fields::Settings {
    mistakes.extend(overrides.unknown());
    let mut settings = fields::Settings::from_flags(overrides, mistakes);
    // `--rate 'poisson(1000/s)'` says both.
    if let Some(given) = overrides.given("--rate").last().filter(|given| syntax::at_random(given).is_some())
        && settings.spacing.is_absent()
    {
        let place = Place::Flag { flag: "--rate", given: (*given).to_owned() };
        settings.spacing = field::Field::Given(field::Placed { value: Spacing::Poisson, place });
    }
    settings
}
