//! Response times by the moment at which what they answer began, over the time of a load: their course shows whether the
//! target kept up. Percentiles of a whole run do not: a queue that is worked off after the load looks like slow answers.
//!
//! Kept only where it is asked for ([`LoadCourse::over`]).

use super::Latency;
use crate::model::Stamp;
use std::time::Duration;

/// Equal parts of the time of a load.
pub const LOAD_SLICES: usize = 16;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadCourse(Option<Box<Kept>>);

/// Response times of one slice each.
pub type SlicedLatency = [Latency; LOAD_SLICES];

#[derive(Debug, Clone, Default, PartialEq)]
struct Kept {
    length: Duration,
    openings: SlicedLatency,
    answers: SlicedLatency,
    open_by_end: u64,
}

impl LoadCourse {
    /// The course of a load that lasts so long from the start of the run.
    pub fn over(length: Duration) -> LoadCourse {
        LoadCourse((!length.is_zero()).then(|| Box::new(Kept { length, ..Kept::default() })))
    }

    /// Nothing yet, of the same load.
    pub fn fresh(&self) -> LoadCourse {
        self.0.as_ref().map_or_else(LoadCourse::default, |kept| LoadCourse::over(kept.length))
    }

    /// An attempt that was started at `began` has its connection, and its handshakes are done.
    pub fn opened(&mut self, began: Stamp, now: Stamp) {
        let Some(kept) = &mut self.0 else { return };
        kept.open_by_end += u64::from(now <= kept.length);
        if let Some(slice) = kept.slice(began) {
            kept.openings[slice].record(now.saturating_sub(began));
        }
    }

    /// A message or request that was sent at `began` has its answer.
    pub fn answered(&mut self, began: Stamp, now: Stamp) {
        let Some(kept) = &mut self.0 else { return };
        if let Some(slice) = kept.slice(began) {
            kept.answers[slice].record(now.saturating_sub(began));
        }
    }

    /// From the start of an attempt until its handshakes were done, by the moment of the start; `None`: not kept.
    pub fn openings(&self) -> Option<&SlicedLatency> {
        self.0.as_ref().map(|kept| &kept.openings)
    }

    /// From a message or request to its answer, by the moment of its sending; `None`: not kept.
    pub fn answers(&self) -> Option<&SlicedLatency> {
        self.0.as_ref().map(|kept| &kept.answers)
    }

    /// Connections whose handshakes were done when the load ended; `None`: not kept.
    pub fn open_by_end(&self) -> Option<u64> {
        self.0.as_ref().map(|kept| kept.open_by_end)
    }

    /// Adds all that another has recorded of the same load.
    pub fn merge(&mut self, other: &LoadCourse) {
        let Some(theirs) = &other.0 else { return };
        let mine = self.0.get_or_insert_with(|| Box::new(Kept { length: theirs.length, ..Kept::default() }));
        mine.open_by_end += theirs.open_by_end;
        for (mine, theirs) in [(&mut mine.openings, &theirs.openings), (&mut mine.answers, &theirs.answers)] {
            for (sum, more) in mine.iter_mut().zip(theirs) {
                sum.merge(more);
            }
        }
    }
}

impl Kept {
    /// The slice of the load in which a moment lies; `None`: after it.
    fn slice(&self, at: Stamp) -> Option<usize> {
        let slice = at.as_nanos() * LOAD_SLICES as u128 / self.length.as_nanos().max(1);
        usize::try_from(slice).ok().filter(|slice| *slice < LOAD_SLICES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_begins_in_the_load_is_kept_by_its_beginning_however_late_it_ends() {
        let mut course = LoadCourse::over(MS * 1600);
        course.answered(Stamp::ZERO, MS * 5000);
        course.answered(MS * 1599, MS * 1600);
        course.answered(MS * 1600, MS * 1601);
        let counts = |course: &LoadCourse| course.answers().unwrap().each_ref().map(Latency::count);
        assert_eq!(counts(&course).iter().sum::<u64>(), 2, "what begins after the load is none of it");
        assert_eq!((counts(&course)[0], counts(&course)[15]), (1, 1));
        course.opened(MS * 100, MS * 1600);
        course.opened(MS * 100, MS * 1601);
        let mut both = course.fresh();
        both.merge(&course);
        both.merge(&course);
        assert_eq!((both.open_by_end(), both.openings().unwrap()[1].count()), (Some(2), 4));
    }

    #[test]
    fn nothing_is_kept_where_nobody_asked() {
        let mut course = LoadCourse::default();
        course.opened(Stamp::ZERO, MS);
        course.answered(Stamp::ZERO, MS);
        assert_eq!((&course, course.openings()), (&LoadCourse::default(), None));
        assert_eq!(LoadCourse::over(Duration::ZERO), LoadCourse::default());
    }
}
