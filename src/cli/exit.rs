//! The exit codes, all of them.

use crate::result::Verdict;
use std::process::ExitCode;

/// How the program ended, for scripts and CI jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked, and every threshold held.
    Passed = 0,
    /// It could not run: an address is taken, a file can't be written.
    CouldNotRun = 1,
    /// The command line or the scenario is wrong. The parser of the command line exits with it, too.
    Usage = 2,
    /// It ran, and a threshold failed; the doctor found a cause of trouble with its target.
    ThresholdsFailed = 3,
    /// It ran, and the result says nothing about the target: the generator was the limit.
    Invalid = 4,
    /// It compared, and noise hides whether anything changed.
    TooNoisy = 5,
    /// It was interrupted; the report of what ran is written. 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl Exit {
    /// What a run of this verdict exits with.
    pub(super) fn of(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Passed => Exit::Passed,
            Verdict::Failed => Exit::ThresholdsFailed,
            Verdict::Invalid => Exit::Invalid,
            Verdict::Interrupted => Exit::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
