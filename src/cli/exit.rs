//! The exit codes, all of them.

use super::input::InputError;
use crate::engine::{RunError, ScriptError};
use crate::find::FindError;
use crate::result::Verdict;
use crate::run::StartRunError;
use std::process::ExitCode;

/// Exit code of the program, for scripts and CI jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The work was done, and every threshold held.
    Passed = 0,
    /// The program could not run: an address is taken, a file can't be written.
    CouldNotRun = 1,
    /// The command line or the scenario is wrong. The parser of the command line exits with it, too.
    Usage = 2,
    /// A threshold failed; the doctor found a cause of trouble with its target.
    ThresholdsFailed = 3,
    /// The result says nothing about the target: the generator was the limit.
    Invalid = 4,
    /// Noise hides whether anything changed.
    TooNoisy = 5,
    /// The run was interrupted; the report of what ran is written. 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl Exit {
    /// Code of an error: the command line names a file that is not there or is another, or something else went wrong.
    pub(super) fn of_error(error: &anyhow::Error) -> Exit {
        let names_wrong_file = error.chain().any(|cause| cause.is::<InputError>() || is_of_named_file(cause));
        if names_wrong_file { Exit::Usage } else { Exit::CouldNotRun }
    }

    /// Exit code of a run with this verdict.
    pub(super) fn of(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Passed => Exit::Passed,
            Verdict::Failed => Exit::ThresholdsFailed,
            Verdict::Invalid => Exit::Invalid,
            Verdict::Interrupted => Exit::Interrupted,
        }
    }
}

/// True if an error is that of a file that the scenario names, from a run, a search or the doctor.
fn is_of_named_file(error: &(dyn std::error::Error + 'static)) -> bool {
    let start = match error.downcast_ref() {
        Some(FindError::Run(start)) => Some(start),
        _ => error.downcast_ref(),
    };
    let script = match start {
        Some(StartRunError::Run(RunError::Script(script))) => Some(script),
        _ => error.downcast_ref(),
    };
    matches!(script, Some(ScriptError::Pem { .. } | ScriptError::Payload { .. } | ScriptError::Data(_)))
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
