//! Says which attempt is next, and when. Pure: time comes in as an argument.
//!
//! A pacer belongs to one worker and issues the ordinals of its part, in order.
//! Conservation: `planned = issued + missed + given up`, at every moment at which nothing more is due.

use crate::model::{Part, Schedule, Stamp, Ticket};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Next step of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start this attempt.
    Start {
        /// The ticket, with the moment at which it was due.
        ticket: Ticket,
        /// Failures in a row that its slot of the closed loop has behind it; 0 in open loop.
        failures: u32,
    },
    /// Nothing before this moment.
    At(Stamp),
    /// Nothing until a slot of the closed loop becomes free.
    WhenFree,
    /// Nothing more at all.
    Never,
}

/// Reason for which an attempt becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// A planned time: open loop.
    Planned,
    /// A free slot: closed loop.
    Slots,
}

/// An attempt that has ended: when its slot of the closed loop, or its client that reconnects, goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The attempt ended well, or was not started: its slot is free.
    Well {
        /// From when on.
        at: Stamp,
    },
    /// The attempt failed, and its client tries again.
    Failed {
        /// From when on.
        again_at: Stamp,
        /// Failures in a row that the client has behind it.
        failures: u32,
    },
    /// The attempt failed once more than its client puts up with: its slot is not used any more.
    GaveUp,
}

/// The arrivals of one worker.
#[derive(Debug)]
pub enum Pacer {
    /// At planned times.
    Open(OpenPacer),
    /// Whenever a slot is free.
    Closed(ClosedPacer),
}

impl Pacer {
    /// Next step at `now`. A ticket that was given is issued: it is started or skipped by the caller.
    pub fn next(&mut self, now: Stamp) -> Next {
        match self {
            Pacer::Open(open) => open.next(now),
            Pacer::Closed(closed) => closed.next(now),
        }
    }

    /// Arrivals that were due before `now`, issued or not.
    pub fn planned(&self, now: Stamp) -> u64 {
        match self {
            Pacer::Open(open) => open.given_up.unwrap_or_else(|| open.planned(now)),
            Pacer::Closed(closed) => closed.issued,
        }
    }

    /// A ticket for a client that goes on over another connection: an attempt beyond those that were planned, which
    /// counts as planned from now on.
    pub fn extra(&mut self, now: Stamp) -> Ticket {
        let ordinal = match self {
            Pacer::Open(open) => {
                let ordinal = open.part.ordinal(open.part.share(open.schedule.total()) + open.extra);
                open.extra += 1;
                open.given_up = open.given_up.map(|planned| planned + 1);
                ordinal
            }
            Pacer::Closed(closed) => {
                let ordinal = closed.part.ordinal(closed.issued);
                closed.issued += 1;
                closed.limit = closed.limit.saturating_add(1);
                ordinal
            }
        };
        Ticket { ordinal, due: now }
    }

    /// An attempt has ended, or was not started.
    pub fn finished(&mut self, finished: Finished) {
        match (self, finished) {
            (Pacer::Closed(closed), Finished::Well { at }) => closed.free.push(Reverse((at, 0))),
            (Pacer::Closed(closed), Finished::Failed { again_at, failures }) => {
                closed.free.push(Reverse((again_at, failures)));
            }
            (Pacer::Closed(closed), Finished::GaveUp) => closed.give_slot_up(),
            (Pacer::Open(open), Finished::Failed { again_at, failures })
                if open.reconnects == Reconnects::Go =>
            {
                open.owed.push(Reverse((again_at, failures)));
            }
            (Pacer::Open(_), _) => {}
        }
    }

    /// The time of the run is over: what failed is not tried again. Arrivals that are late may still be issued.
    pub fn end_reconnects(&mut self) {
        if let Pacer::Open(open) = self {
            open.owed.clear();
            open.reconnects = Reconnects::Over;
        }
    }

    /// Passes over the arrivals that were due before `now` and were not issued; returns how many. Of a worker that
    /// began long after its plan did: they are not made up for in a burst.
    pub fn miss(&mut self, now: Stamp) -> u64 {
        match self {
            Pacer::Open(open) => open.miss(now),
            // Slots owe nothing to a moment.
            Pacer::Closed(_) => 0,
        }
    }

    /// Issues nothing from now on; returns the arrivals due before `now` that were never issued. What falls due
    /// later is not planned any more.
    pub fn give_up(&mut self, now: Stamp) -> u64 {
        match self {
            Pacer::Open(open) => {
                let planned = *open.given_up.get_or_insert(open.planned(now));
                open.owed.clear();
                open.reconnects = Reconnects::Over;
                planned - open.issued - open.extra
            }
            Pacer::Closed(closed) => {
                closed.limit = closed.issued;
                0
            }
        }
    }

    /// True if nothing more will be issued.
    pub fn is_done(&self) -> bool {
        match self {
            Pacer::Open(open) => {
                let all_issued = open.issued >= open.part.share(open.schedule.total());
                open.given_up.is_some() || (all_issued && open.owed.is_empty())
            }
            Pacer::Closed(closed) => closed.issued >= closed.limit,
        }
    }
}

/// True if attempts that failed are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reconnects {
    Go,
    /// The time of the run is over.
    Over,
}

/// Open loop: arrivals of a schedule.
#[derive(Debug)]
pub struct OpenPacer {
    schedule: Arc<Schedule>,
    part: Part,
    /// Arrivals of the schedule that were issued, or missed.
    issued: u64,
    /// Number planned when nothing more was to be issued: the plan ends there.
    given_up: Option<u64>,
    /// Due time of the next arrival, once it was computed.
    upcoming: Option<Stamp>,
    /// Attempts beyond the schedule: when each is due, and the failures in a row behind it.
    owed: BinaryHeap<Reverse<(Stamp, u32)>>,
    reconnects: Reconnects,
    /// Number of those that were issued; each counts as planned from then on.
    extra: u64,
}

impl OpenPacer {
    /// The part of a schedule that one worker does.
    pub fn new(schedule: Arc<Schedule>, part: Part) -> OpenPacer {
        OpenPacer {
            schedule,
            part,
            issued: 0,
            given_up: None,
            upcoming: None,
            owed: BinaryHeap::new(),
            reconnects: Reconnects::Go,
            extra: 0,
        }
    }

    fn miss(&mut self, now: Stamp) -> u64 {
        if self.given_up.is_some() {
            return 0;
        }
        let due = self.part.share(self.schedule.due_before(now)).max(self.issued);
        self.upcoming = None;
        due - std::mem::replace(&mut self.issued, due)
    }

    fn next(&mut self, now: Stamp) -> Next {
        if self.given_up.is_some() {
            return Next::Never;
        }
        if let Some(&Reverse((due, failures))) = self.owed.peek()
            && due <= now
        {
            self.owed.pop();
            // Beyond the schedule's ordinals, and as theirs of the part.
            let ordinal = self.part.ordinal(self.part.share(self.schedule.total()) + self.extra);
            self.extra += 1;
            return Next::Start { ticket: Ticket { ordinal, due }, failures };
        }
        match (self.scheduled(now), self.owed.peek()) {
            (Next::At(at), Some(&Reverse((due, _)))) => Next::At(at.min(due)),
            (Next::Never, Some(&Reverse((due, _)))) => Next::At(due),
            (next, _) => next,
        }
    }

    fn scheduled(&mut self, now: Stamp) -> Next {
        let arrival = self.part.arrival(self.issued);
        let Some(due) = self.upcoming.or_else(|| self.schedule.due(arrival)) else { return Next::Never };
        if due > now {
            self.upcoming = Some(due);
            return Next::At(due);
        }
        self.upcoming = None;
        self.issued += 1;
        Next::Start { ticket: Ticket { ordinal: self.part.ordinal_of(arrival), due }, failures: 0 }
    }

    fn planned(&self, now: Stamp) -> u64 {
        // Rounding may date the last issued arrival a nanosecond after `now`.
        self.part.share(self.schedule.due_before(now)).max(self.issued) + self.extra
    }
}

/// Closed loop: a number of slots.
#[derive(Debug)]
pub struct ClosedPacer {
    part: Part,
    limit: u64,
    issued: u64,
    /// Slots that are used at all.
    slots: u64,
    /// When each free slot may start its next attempt, and its failures in a row.
    free: BinaryHeap<Reverse<(Stamp, u32)>>,
}

impl ClosedPacer {
    /// `slots` of the whole plan's slots are divided like ordinals, and so are `attempts`, if limited.
    pub fn new(slots: u64, attempts: Option<u64>, part: Part) -> ClosedPacer {
        let free = (0..part.share(slots)).map(|_| Reverse((Stamp::ZERO, 0))).collect();
        let slots = part.share(slots);
        // Without a slot nothing can ever start: the part is done.
        let limit = if slots == 0 { 0 } else { attempts.map_or(u64::MAX, |attempts| part.share(attempts)) };
        ClosedPacer { part, limit, issued: 0, slots, free }
    }

    fn give_slot_up(&mut self) {
        self.slots = self.slots.saturating_sub(1);
        if self.slots == 0 {
            self.limit = self.issued;
        }
    }

    fn next(&mut self, now: Stamp) -> Next {
        if self.issued >= self.limit {
            return Next::Never;
        }
        match self.free.peek() {
            None => Next::WhenFree,
            Some(&Reverse((ready, _))) if ready > now => Next::At(ready),
            Some(&Reverse((_, failures))) => {
                self.free.pop();
                let ordinal = self.part.ordinal(self.issued);
                self.issued += 1;
                Next::Start { ticket: Ticket { ordinal, due: now }, failures }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Rate, RateStage, Slice};
    use proptest::prelude::*;
    use std::time::Duration;

    fn part(worker: u32, workers: u32) -> Part {
        Part::new(Slice::WHOLE, worker, workers)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn open(ordinal: u64, due: u64) -> Next {
        Next::Start { ticket: Ticket { ordinal, due: ms(due) }, failures: 0 }
    }

    fn constant(rate: f64, length: Duration, limit: Option<u64>) -> Arc<Schedule> {
        let rate = Rate::per_second(rate).unwrap();
        Arc::new(Schedule::new(&[RateStage { from: rate, to: rate, over: length }], limit))
    }

    #[test]
    fn workers_share_the_ordinals_without_gap_or_overlap() {
        let schedule = constant(1000.0, ms(100), None);
        let mut ordinals = Vec::new();
        for index in 0..3 {
            let mut pacer = Pacer::Open(OpenPacer::new(schedule.clone(), part(index, 3)));
            while let Next::Start { ticket, .. } = pacer.next(ms(1000)) {
                ordinals.push(ticket.ordinal);
            }
            assert!(pacer.is_done());
        }
        ordinals.sort_unstable();
        assert_eq!(ordinals, (0..100).collect::<Vec<u64>>());
    }

    #[test]
    fn a_late_worker_gets_the_time_at_which_the_attempt_was_due() {
        let mut pacer = Pacer::Open(OpenPacer::new(constant(10.0, ms(1000), None), part(0, 1)));
        assert_eq!(pacer.next(ms(0)), open(0, 0));
        assert_eq!(pacer.next(ms(50)), Next::At(ms(100)));
        assert_eq!(pacer.next(ms(777)), open(1, 100));
        assert_eq!(pacer.give_up(ms(778)), 6, "due at 200, 300 … 700 and never started");
        assert_eq!(pacer.next(ms(900)), Next::Never);
    }

    #[test]
    fn who_begins_late_misses_what_was_due_and_makes_no_burst() {
        let mut pacer = Pacer::Open(OpenPacer::new(constant(10.0, ms(1000), None), part(0, 1)));
        assert_eq!(pacer.miss(ms(450)), 5, "due at 0, 100 … 400");
        assert_eq!(pacer.miss(ms(450)), 0);
        assert_eq!(pacer.next(ms(450)), Next::At(ms(500)));
        assert_eq!(pacer.next(ms(500)), open(5, 500));
        assert_eq!((pacer.planned(ms(550)), pacer.give_up(ms(800))), (6, 2));
        assert_eq!(pacer.miss(ms(2000)), 0, "what was given up is not missed again");
    }

    #[test]
    fn a_part_without_a_slot_is_done() {
        let mut pacer = Pacer::Closed(ClosedPacer::new(2, None, part(2, 3)));
        assert!(pacer.is_done());
        assert_eq!(pacer.next(ms(5)), Next::Never);
    }

    #[test]
    fn a_closed_loop_waits_for_its_slots() {
        let mut pacer = Pacer::Closed(ClosedPacer::new(2, Some(3), part(0, 1)));
        assert_eq!(pacer.next(ms(5)), open(0, 5));
        assert_eq!(pacer.next(ms(5)), open(1, 5));
        assert_eq!(pacer.next(ms(6)), Next::WhenFree);
        pacer.finished(Finished::Failed { again_at: ms(20), failures: 3 });
        assert_eq!(pacer.next(ms(7)), Next::At(ms(20)), "a slot that backs off is not used before");
        let again = Next::Start { ticket: Ticket { ordinal: 2, due: ms(21) }, failures: 3 };
        assert_eq!(pacer.next(ms(21)), again);
        assert_eq!(pacer.next(ms(22)), Next::Never);
    }

    #[test]
    fn what_is_owed_comes_beyond_the_schedule_and_counts_as_planned() {
        let rate = |r| crate::plan::units::Rate::per_second(r).unwrap();
        let stage = crate::plan::RateStage { from: rate(10.0), to: rate(10.0), over: Duration::from_secs(1) };
        let schedule = Arc::new(Schedule::new(&[stage], None));
        let mut pacer = Pacer::Open(OpenPacer::new(schedule, part(0, 2)));
        let mut started = Vec::new();
        let mut start = |pacer: &mut Pacer, now| {
            while let Next::Start { ticket, failures } = pacer.next(now) {
                started.push((ticket.ordinal, failures));
            }
        };
        start(&mut pacer, Duration::from_secs(1));
        assert!(pacer.is_done());
        pacer.finished(Finished::Failed { again_at: Duration::from_secs(3), failures: 2 });
        pacer.finished(Finished::Failed { again_at: Duration::from_secs(2), failures: 1 });
        assert!(!pacer.is_done());
        assert_eq!(pacer.next(Duration::from_secs(1)), Next::At(Duration::from_secs(2)));
        start(&mut pacer, Duration::from_secs(2));
        assert_eq!(pacer.planned(Duration::from_secs(2)), 6);
        // What is still owed when it is given up was never planned.
        assert_eq!(pacer.give_up(Duration::from_secs(2)), 0);
        assert_eq!((pacer.is_done(), pacer.next(Duration::from_secs(9))), (true, Next::Never));
        assert_eq!(started, [(0, 0), (2, 0), (4, 0), (6, 0), (8, 0), (10, 1)]);
    }

    proptest! {
        /// planned = issued + given up, for any rate, any number of workers and any moment of stopping,
        /// however irregularly the worker comes round.
        #[test]
        fn planned_is_issued_or_given_up(
            rate in 1u32..2000, workers in 1u32..5, limit in proptest::option::of(0u64..300),
            visits in proptest::collection::vec(1u64..200, 1..20),
        ) {
            let schedule = constant(rate.into(), ms(1000), limit);
            for index in 0..workers {
                let mut pacer = Pacer::Open(OpenPacer::new(schedule.clone(), part(index, workers)));
                let (mut now, mut issued) = (0, 0);
                for step in &visits {
                    now += step;
                    // A slow worker: it manages only a few attempts a visit.
                    for _ in 0..7 {
                        if let Next::Start { ticket, .. } = pacer.next(ms(now)) {
                            prop_assert!(ticket.due <= ms(now));
                            issued += 1;
                        }
                    }
                }
                let planned = pacer.planned(ms(now));
                prop_assert_eq!(planned, issued + pacer.give_up(ms(now)));
                prop_assert_eq!(planned, pacer.planned(ms(now + 500)), "the plan ends with the run");
                prop_assert_eq!(pacer.give_up(ms(now + 500)) + issued, planned, "giving up twice changes nothing");
            }
        }
    }
}
