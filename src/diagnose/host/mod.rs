//! Checks of a host: each setting and limit that decides how many connections it can open, what its value is
//! worth, why, and the command that changes it. Pure.
//!
//! A value is `warning` only where it makes connections fail, or hides why they fail; `note` where it
//! bounds what a load can do, or where a common belief about it is wrong.

mod addresses;
mod advice;
mod limits;
mod now;
mod ports;
mod queues;
mod state;

pub use advice::{SysctlLine, parse_sysctl_file};
pub use state::HostState;

use crate::linux::sysctl::HostSettings;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Worth of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing to be said against it.
    Ok,
    /// The value could not be read.
    Unseen,
    /// The setting bounds something, or is often misunderstood.
    Note,
    /// The value makes connections fail, or hides why they do.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Ok => "ok",
            Severity::Unseen => "unseen",
            Severity::Note => "note",
            Severity::Warning => "warning",
        })
    }
}

/// Subject of a check; the headings of the text, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Descriptors, memory, connection tracking.
    Limits,
    /// Source ports and TIME_WAIT.
    Ports,
    /// Queues of listeners and of the network.
    Queues,
    /// Addresses and proxy variables.
    Surroundings,
    /// Sockets that there are.
    Now,
    /// Lines of the files of sysctl.
    Advice,
}

impl Area {
    /// All, in the order of the text.
    pub const ALL: [Area; 6] =
        [Area::Limits, Area::Ports, Area::Queues, Area::Surroundings, Area::Now, Area::Advice];

    /// Heading of the area.
    pub fn heading(self) -> &'static str {
        match self {
            Area::Limits => "limits",
            Area::Ports => "source ports and TIME_WAIT",
            Area::Queues => "queues",
            Area::Surroundings => "addresses and proxies",
            Area::Now => "sockets now",
            Area::Advice => "sysctl files",
        }
    }
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Subject of the check.
    pub area: Area,
    /// Name of what was looked at, the kernel's where it has one: `net.ipv4.tcp_tw_reuse`.
    pub name: String,
    /// Value that was seen.
    pub value: String,
    /// Worth of the value.
    pub worth: Severity,
    /// Reason.
    pub why: String,
    /// The command that changes it, where there is a reason to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

impl Check {
    fn new(area: Area, name: &str, value: impl ToString, worth: Severity, why: impl Into<String>) -> Check {
        let (name, value, why) = (name.to_owned(), value.to_string(), why.into());
        Check { area, name, value, worth, why, change: None }
    }

    /// A value that could not be read.
    fn unseen(area: Area, name: &str, why: impl Into<String>) -> Check {
        Check::new(area, name, "not known", Severity::Unseen, why)
    }

    fn change(mut self, command: impl Into<String>) -> Check {
        self.change = Some(command.into());
        self
    }
}

/// Every check of a host, in the order of [`Area`].
pub fn checks(settings: &HostSettings, state: &HostState) -> Vec<Check> {
    let mut checks = limits::checks(settings, state);
    checks.extend(ports::checks(settings));
    checks.extend(queues::checks(settings));
    checks.extend(addresses::checks(state));
    checks.extend(now::checks(settings, state));
    checks.extend(advice::checks(settings, &state.sysctl_lines));
    checks
}

#[cfg(test)]
mod tests;
