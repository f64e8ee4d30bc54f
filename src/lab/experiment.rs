//! One experiment, as data.

use super::load;
use super::setting::Setting;
use crate::diagnose::FindingId;
use crate::plan::Plan;
use std::fmt;

/// A failure, and everything that is needed to have it.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Name on the command line.
    pub name: &'static str,
    /// Where it belongs.
    pub group: Group,
    /// Course of the experiment, in a sentence.
    pub about: &'static str,
    /// The line of the list of causes that it stands for.
    pub stands_for: &'static str,
    /// The namespace, and what is in it.
    pub setting: Setting,
    /// Load: the target and the flags of `connstorm run`.
    pub load: String,
    /// The id of the finding that the diagnosis should begin with; `None` where nothing should fail.
    pub intended: Option<FindingId>,
    /// Cures, the first best.
    pub cures: Vec<Cure>,
}

/// Cure of a failure.
#[derive(Debug, Clone)]
pub struct Cure {
    /// Name on the command line.
    pub name: &'static str,
    /// Command or change.
    pub remedy: &'static str,
    /// The change itself.
    change: fn(&mut Experiment),
}

/// The groups of the list of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `connect: Connection refused`.
    Refused,
    /// `connect: Connection timed out`, and servers that never answer.
    Timeout,
    /// `connect: Cannot assign requested address`.
    CannotAssign,
    /// Both ends talk, but not the same language.
    WrongProtocol,
    /// A limit of the host was met.
    Limits,
    /// The connection stood, and the server ended it.
    Ended,
}

impl Group {
    /// All of them, in the order of the list.
    pub const ALL: [Group; 6] = [
        Group::Refused,
        Group::Timeout,
        Group::CannotAssign,
        Group::WrongProtocol,
        Group::Limits,
        Group::Ended,
    ];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Refused => "connection refused",
            Group::Timeout => "connection timeout",
            Group::CannotAssign => "cannot assign requested address",
            Group::WrongProtocol => "wrong protocol",
            Group::Limits => "limits",
            Group::Ended => "connection ended",
        })
    }
}

impl Experiment {
    /// An experiment in an empty namespace, with a load but no target yet.
    pub(super) fn new(group: Group, name: &'static str, about: &'static str, load: &str) -> Experiment {
        Experiment {
            name,
            group,
            about,
            stands_for: "",
            setting: Setting::default(),
            load: load.to_owned(),
            intended: None,
            cures: Vec::new(),
        }
    }

    /// Line of the field guide for which the experiment stands.
    pub(super) fn stands_for(mut self, line: &'static str) -> Experiment {
        self.stands_for = line;
        self
    }

    /// Finding with which the diagnosis should begin.
    pub(super) fn intends(mut self, finding: FindingId) -> Experiment {
        self.intended = Some(finding);
        self
    }

    /// Setting of the namespace.
    pub(super) fn setting(mut self, fill: impl FnOnce(Setting) -> Setting) -> Experiment {
        self.setting = fill(self.setting);
        self
    }

    /// One more cure.
    pub(super) fn cure(
        mut self,
        name: &'static str,
        remedy: &'static str,
        change: fn(&mut Experiment),
    ) -> Experiment {
        self.cures.push(Cure { name, remedy, change });
        self
    }

    /// More flags, which go before those that say the same.
    pub(super) fn flags(&mut self, more: &str) {
        self.load = format!("{} {more}", self.load);
    }

    /// Another target.
    pub(super) fn retarget(&mut self, url: &str) {
        let flags = self.load.split_once(' ').map_or("", |(_, flags)| flags);
        self.load = format!("{url} {flags}");
    }

    /// The same after a cure.
    #[must_use]
    pub fn cured(&self, cure: &Cure) -> Experiment {
        let mut cured = self.clone();
        (cure.change)(&mut cured);
        cured
    }

    /// The plan of its load.
    ///
    /// # Errors
    /// The mistakes in it, rendered. No experiment of the catalogue has any.
    pub fn plan(&self) -> Result<Plan, String> {
        load::plan(self.name, &self.load)
    }
}
