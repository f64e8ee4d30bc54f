//! The flags of the command line that say what the scenario's fields say.

use super::diagnostics::{Mistake, Place};
use super::fields::Settings;
use super::nearest::nearest;

/// Flags that change a scenario: the text of each as it was given, not looked into yet.
///
/// The same rules hold for a flag as for the field of the file, and a mistake names the flag. Which flags there
/// are, says the table of fields; any other is a mistake.
///
/// ```
/// use connstorm::plan::{Overrides, from_flags};
/// let plan = from_flags(&Overrides::to("tcp://127.0.0.1:9001").with("--rate", "5000/s")).unwrap();
/// assert_eq!(plan.target.unwrap().ports, [9001]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(Vec<(String, String)>);

/// Name of the target among the flags.
const TARGET: &str = "target";

impl Overrides {
    /// A target's URL and nothing else.
    #[must_use]
    pub fn to(url: &str) -> Overrides {
        Overrides::default().with_target(url)
    }

    /// With one more flag, such as `--rate` and `5000/s`. The last counts, where a flag takes one value and is
    /// given twice.
    #[must_use]
    pub fn with(mut self, flag: &str, value: &str) -> Overrides {
        self.set(flag, value);
        self
    }

    /// With one more flag that takes no value, such as `--insecure`.
    #[must_use]
    pub fn with_switch(self, flag: &str) -> Overrides {
        self.with(flag, "")
    }

    /// Adds a flag with its value; an empty one where it takes none.
    pub fn set(&mut self, flag: &str, value: &str) {
        self.0.push((flag.to_owned(), value.to_owned()));
    }

    /// With the target's URL.
    #[must_use]
    pub fn with_target(self, url: &str) -> Overrides {
        self.with(TARGET, url)
    }

    /// Takes a flag back, however often it was given.
    pub fn remove(&mut self, flag: &str) {
        self.0.retain(|(given, _)| given != flag);
    }

    /// True if a flag was given.
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|(given, _)| given == flag)
    }

    /// The target's URL.
    pub(super) fn target(&self) -> Option<&str> {
        self.given(TARGET).last().copied()
    }

    /// The values of a flag, as often as it was given.
    pub(super) fn given(&self, flag: &str) -> Vec<&str> {
        self.0.iter().filter(|(given, _)| given == flag).map(|(_, text)| text.as_str()).collect()
    }

    /// A mistake for each flag that no field has.
    pub(super) fn unknown(&self) -> Vec<Mistake> {
        let known: Vec<&str> = Settings::names().iter().filter_map(|row| row.flag).collect();
        let unknown = self.0.iter().filter(|(flag, _)| flag != TARGET && !known.contains(&flag.as_str()));
        unknown
            .map(|(flag, _)| {
                let mistake = Mistake::new(Place::Whole, format!("{flag} is not a flag of a scenario"));
                match nearest(flag, known.iter().copied()) {
                    Some(near) => mistake.help(format!("did you mean `{near}`?")),
                    None => mistake,
                }
            })
            .collect()
    }
}
