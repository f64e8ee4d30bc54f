//! What the doctor found, as data and as text.

use super::findings::{self, line, wrapped};
use super::style::Style;
use crate::diagnose::Finding;
use crate::diagnose::host::{Area, Check, HostState, Worth};
use crate::kernel::sysctl::HostSettings;
use serde::{Deserialize, Serialize};

/// Columns of a name before its value; longer ones push it on.
const NAME: usize = 36;

/// Everything that an examination found. Versioned as results of runs are; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examination {
    /// See [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program that made it.
    pub connstorm_version: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// The settings and limits of this host.
    pub host: HostSettings,
    /// What there is on it now.
    pub state: HostState,
    /// What each of them is worth.
    pub checks: Vec<Check>,
    /// Causes of trouble, the surest and weightiest first.
    pub findings: Vec<Finding>,
}

/// The checks of a host for a person.
pub fn render_host(out: &mut String, examination: &Examination, style: Style) {
    for area in Area::ALL {
        let checks: Vec<&Check> = examination.checks.iter().filter(|check| check.area == area).collect();
        if checks.is_empty() {
            continue;
        }
        line(out, format_args!("{}", style.bold(area.heading())));
        checks.iter().for_each(|check| self::check(out, check, style));
        line(out, format_args!(""));
    }
    let of = |worth| examination.checks.iter().filter(|check| check.worth == worth).count();
    line(
        out,
        format_args!(
            "{} ok, {} notes, {} warnings, {} not seen",
            of(Worth::Ok),
            of(Worth::Note),
            of(Worth::Warning),
            of(Worth::Unseen)
        ),
    );
}

fn check(out: &mut String, check: &Check, style: Style) {
    let worth = format!("{:8}", check.worth);
    let worth = match check.worth {
        Worth::Ok => style.good(&worth),
        Worth::Note | Worth::Unseen => style.warn(&worth),
        Worth::Warning => style.bad(&worth),
    };
    line(out, format_args!("  {worth} {:NAME$} {}", check.name, check.value));
    wrapped(out, &check.why, 11);
    if let Some(change) = &check.change {
        line(out, format_args!("           {} {change}", style.good("▸")));
    }
}

/// The findings for a person, with all their remedies.
pub fn render_findings(out: &mut String, examination: &Examination, style: Style) {
    for finding in &examination.findings {
        findings::render_one(out, finding, usize::MAX, style);
    }
}
