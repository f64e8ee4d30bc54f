//! Things that workers tell and keep beside their counts, as whoever starts the run asks for them.

use super::first_failures::FirstFailure;
use super::tracing::TraceRequest;
use crate::model::LoadCourse;
use std::sync::mpsc::Sender;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Reporting {
    /// Whom workers tell the first failures of each kind; `None`: nobody.
    pub first_failures: Option<Sender<FirstFailure>>,
    /// Connections that are traced, and whom; `None`: none.
    pub trace: Option<TraceRequest>,
    /// Response times by the moment of the load, as they are to be kept.
    pub course: LoadCourse,
    /// A worker that panics: what is then left of the others is tested by it.
    #[cfg(test)]
    pub(super) panics: Option<Panics>,
}

impl Reporting {
    /// First failures told there, and this course kept.
    pub fn new(first_failures: Option<Sender<FirstFailure>>, course: LoadCourse) -> Reporting {
        Reporting {
            first_failures,
            trace: None,
            course,
            #[cfg(test)]
            panics: None,
        }
    }
}

/// Where a worker panics: before it hands this window over.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Panics {
    pub(super) worker: u32,
    pub(super) window: u64,
}
