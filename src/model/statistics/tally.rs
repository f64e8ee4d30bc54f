//! Counts of one worker, or of a whole run: what was started, what became of it, and how long it took.
//!
//! Invariant (conservation): `started = ok + failed + cut short + in flight`, after any sequence of the three calls
//! [`Tally::start`], [`Tally::open`], [`Tally::add`], and after any merge. Each attempt enters once by
//! `start` and leaves once by `add`; a failed one never enters a latency of success.

use super::{
    Acknowledged, AtTimeout, Closes, Codes, Fanout, Latencies, Latency, LoadCourse, Reply, Shares,
    SlowSearch, Steps, Traffic,
};
use crate::model::{Failure, Lease, Outcome, Record, SkipReason, Stamp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Number of attempts of one kind of failure that keep their details.
pub const SAMPLES: usize = 3;

/// Number of moments of a connect() that became expensive that are kept.
const SLOW_SEARCHES: usize = 16;

/// Counts and latencies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    started: u64,
    opened: u64,
    ok: u64,
    failed: u64,
    cut_short: u64,
    skipped: [u64; SkipReason::ALL.len()],
    backoffs: u64,
    /// Time that closed-loop slots waited after failures.
    pub backoff: Duration,
    /// Payload received, in bytes.
    pub bytes_in: u64,
    /// Payload sent, in bytes.
    pub bytes_out: u64,
    /// Messages, requests and pings over connections.
    pub traffic: Traffic,
    /// Close frames that peers sent first.
    pub closes: Closes,
    /// Replies by status.
    pub statuses: Codes,
    /// Arrivals of messages that several receive.
    pub fanout: Fanout,
    /// Steps of conversations.
    pub steps: Steps,
    /// Latencies of attempts that succeeded in the measured step.
    pub latencies: Latencies,
    /// Moments from which workers' calls of connect() had to search half of a range, by time: the first few.
    slow_searches: Vec<SlowSearch>,
    /// Connections whose SYN had to be sent again, and attempts that timed out with one sent again.
    syn_retransmitted: u64,
    failures: Vec<FailureTally>,
    /// Time for which workers left sockets waiting beyond what is of no account, over all workers.
    pub late: Duration,
    /// Response times by the moment of the load at which they began, where that is asked for.
    pub course: LoadCourse,
}

/// The stamps of an attempt up to its established connection.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// When it was due.
    pub due: Stamp,
    /// When it was started.
    pub started: Stamp,
    /// When it was established.
    pub connected: Stamp,
}

/// All failures of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureTally {
    /// The kind.
    pub failure: Failure,
    /// Number of them.
    pub count: u64,
    /// When the first happened.
    pub first_at: Stamp,
    /// Ordinal of the first, from 0.
    pub first_ordinal: u64,
    /// When the last happened.
    pub last_at: Stamp,
    /// From start to failure.
    pub latency: Latency,
    /// By source address, where one was leased.
    pub by_source: Shares<IpAddr>,
    /// By destination.
    pub by_destination: Shares<SocketAddr>,
    /// Of timeouts: whether the peer's kernel had acknowledged what was sent, where that was asked.
    pub acknowledged: Acknowledged,
    /// Of connections that had answers before they failed: how many answers, and how many such connections.
    pub answers: Shares<u64>,
    /// The first few, by time, in detail.
    pub samples: Vec<Sample>,
}

/// One failed attempt in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Ordinal of the attempt, from 0.
    pub ordinal: u64,
    /// When it failed.
    pub at: Stamp,
    /// From where to where.
    pub lease: Lease,
    /// The peer's words, where it said something.
    pub reply: Option<Box<Reply>>,
    /// Of a timeout: what the kernel knew of the connection then.
    pub at_timeout: Option<AtTimeout>,
    /// Of a refusal by ICMP: who sent the message.
    pub icmp_from: Option<IpAddr>,
}

impl Tally {
    /// An attempt was started.
    pub fn start(&mut self) {
        self.started += 1;
    }

    /// Nothing counted, and the same things to be kept.
    pub fn fresh(&self) -> Tally {
        Tally { course: self.course.fresh(), ..Tally::default() }
    }

    /// A started attempt has its connection.
    pub fn open(&mut self, opening: Opening) {
        self.opened += 1;
        self.latencies.connect.record(opening.connected.saturating_sub(opening.started));
        self.latencies.connect_from_due.record(opening.connected.saturating_sub(opening.due));
    }

    /// A started attempt has ended.
    pub fn add(&mut self, record: &Record) {
        self.bytes_in += record.bytes_in;
        self.bytes_out += record.bytes_out;
        match record.outcome {
            Outcome::Ok => {
                self.ok += 1;
                if let Some(connected) = record.connected {
                    self.latencies.lifetime.record(record.ended.saturating_sub(connected));
                }
            }
            Outcome::Failed(failure) => {
                self.failed += 1;
                self.failure(failure, record);
            }
            Outcome::CutShort => self.cut_short += 1,
        }
    }

    /// The run is over: what is known of arrivals at several receivers becomes a latency.
    pub fn settle(&mut self) {
        self.latencies.fanout_spread = std::mem::take(&mut self.fanout).spread();
    }

    /// The peer's words to an attempt that has just failed, for its sample if it is kept.
    pub fn explain(&mut self, failure: Failure, ordinal: u64, reply: Box<Reply>) {
        let kind = self.failures.iter_mut().find(|kind| kind.failure == failure);
        if let Some(sample) = kind.and_then(|kind| kind.samples.last_mut())
            && sample.ordinal == ordinal
        {
            sample.reply = Some(reply);
        }
    }

    /// The kernel's knowledge of a connection whose time was over, as an attempt that has just failed.
    pub fn timed_out(&mut self, failure: Failure, ordinal: u64, at: AtTimeout) {
        let Some(kind) = self.failures.iter_mut().find(|kind| kind.failure == failure) else { return };
        kind.acknowledged.add(at);
        if let Some(sample) = kind.samples.last_mut().filter(|sample| sample.ordinal == ordinal) {
            sample.at_timeout = Some(at);
        }
    }

    /// Who sent the ICMP message by which an attempt has just failed, for its sample if it is kept.
    pub fn answered_by(&mut self, failure: Failure, ordinal: u64, who: IpAddr) {
        let kind = self.failures.iter_mut().find(|kind| kind.failure == failure);
        if let Some(sample) = kind.and_then(|kind| kind.samples.last_mut())
            && sample.ordinal == ordinal
        {
            sample.icmp_from = Some(who);
        }
    }

    /// An attempt that has just failed had so many answers before.
    pub fn failed_after(&mut self, failure: Failure, answers: u64) {
        if let Some(kind) = self.failures.iter_mut().find(|kind| kind.failure == failure) {
            kind.answers.add(answers, 1);
        }
    }

    /// Sockets were served that may have waited so long for their worker; `beyond` is what of it is too long.
    pub fn served(&mut self, sockets: u64, most: Duration, beyond: Duration) {
        if sockets > 0 {
            self.latencies.service_lateness.record_many(most, sockets);
        }
        self.late += beyond;
    }

    /// Arrivals were not started.
    pub fn skip(&mut self, reason: SkipReason, count: u64) {
        self.skipped[reason as usize] += count;
    }

    /// A closed-loop slot waits after a failure.
    pub fn back_off(&mut self, wait: Duration) {
        self.backoffs += 1;
        self.backoff += wait;
    }

    /// The connect() call has to search half of a range from now on.
    pub fn search_slowed(&mut self, slow: SlowSearch) {
        self.slow_searches.push(slow);
        self.slow_searches.sort_by_key(|slow| (slow.at, slow.ordinal));
        self.slow_searches.truncate(SLOW_SEARCHES);
    }

    /// An attempt had to send its SYN again.
    pub fn syn_retransmitted(&mut self) {
        self.syn_retransmitted += 1;
    }

    /// Attempts that had to send their SYN again.
    pub fn syn_retransmits(&self) -> u64 {
        self.syn_retransmitted
    }

    /// Moments from which workers' calls of connect() had to search half of a range, by time: the first few.
    pub fn slow_searches(&self) -> &[SlowSearch] {
        &self.slow_searches
    }

    /// Attempts started.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Attempts that got their connection.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Attempts that ended well.
    pub fn ok(&self) -> u64 {
        self.ok
    }

    /// Attempts that failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Attempts whose conversation the end of the run cut.
    pub fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// Attempts that have not ended. In a tally of one interval it is the change.
    pub fn in_flight(&self) -> i64 {
        let ended = self.ok + self.failed + self.cut_short;
        self.started.cast_signed() - ended.cast_signed()
    }

    /// Arrivals not started, for one reason.
    pub fn skipped_for(&self, reason: SkipReason) -> u64 {
        self.skipped[reason as usize]
    }

    /// Arrivals not started.
    pub fn skipped(&self) -> u64 {
        self.skipped.iter().sum()
    }

    /// Number of times that a closed-loop slot waited after a failure.
    pub fn backoffs(&self) -> u64 {
        self.backoffs
    }

    /// Failures by kind, in the order of their first appearance.
    pub fn failures(&self) -> &[FailureTally] {
        &self.failures
    }

    /// Adds all that another tally has counted. Commutative but for the order of failures, which is by
    /// time.
    pub fn merge(&mut self, other: &Tally) {
        self.started += other.started;
        self.opened += other.opened;
        self.ok += other.ok;
        self.failed += other.failed;
        self.cut_short += other.cut_short;
        for (sum, more) in self.skipped.iter_mut().zip(other.skipped) {
            *sum += more;
        }
        self.backoffs += other.backoffs;
        self.backoff += other.backoff;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.traffic.merge(&other.traffic);
        self.closes.merge(&other.closes);
        self.statuses.merge(&other.statuses);
        self.fanout.merge(&other.fanout);
        self.steps.merge(&other.steps);
        self.latencies.merge(&other.latencies);
        self.syn_retransmitted += other.syn_retransmitted;
        self.late += other.late;
        self.course.merge(&other.course);
        for slow in &other.slow_searches {
            self.search_slowed(*slow);
        }
        for theirs in &other.failures {
            match self.failures.iter_mut().find(|mine| mine.failure == theirs.failure) {
                Some(mine) => mine.merge(theirs),
                None => self.failures.push(theirs.clone()),
            }
        }
        self.failures.sort_by_key(|f| (f.first_at, f.first_ordinal, f.failure));
    }

    fn failure(&mut self, failure: Failure, record: &Record) {
        let index = match self.failures.iter().position(|kind| kind.failure == failure) {
            Some(index) => index,
            None => {
                self.failures.push(FailureTally {
                    failure,
                    count: 0,
                    first_at: record.ended,
                    first_ordinal: record.ticket.ordinal,
                    last_at: record.ended,
                    latency: Latency::default(),
                    by_source: Shares::default(),
                    by_destination: Shares::default(),
                    acknowledged: Acknowledged::default(),
                    answers: Shares::default(),
                    samples: Vec::new(),
                });
                self.failures.len() - 1
            }
        };
        let kind = &mut self.failures[index];
        kind.count += 1;
        kind.last_at = kind.last_at.max(record.ended);
        kind.latency.record(record.ended.saturating_sub(record.started));
        if let Some(source) = record.lease.source {
            kind.by_source.add(source, 1);
        }
        kind.by_destination.add(record.lease.destination, 1);
        if kind.samples.len() < SAMPLES {
            kind.samples.push(Sample {
                ordinal: record.ticket.ordinal,
                at: record.ended,
                lease: record.lease,
                reply: None,
                at_timeout: None,
                icmp_from: None,
            });
        }
    }
}

impl FailureTally {
    fn merge(&mut self, other: &FailureTally) {
        self.count += other.count;
        if (other.first_at, other.first_ordinal) < (self.first_at, self.first_ordinal) {
            (self.first_at, self.first_ordinal) = (other.first_at, other.first_ordinal);
        }
        self.last_at = self.last_at.max(other.last_at);
        self.latency.merge(&other.latency);
        self.by_source.merge(&other.by_source);
        self.by_destination.merge(&other.by_destination);
        self.acknowledged.merge(&other.acknowledged);
        self.answers.merge(&other.answers);
        self.samples.extend_from_slice(&other.samples);
        self.samples.sort_by_key(|sample| (sample.at, sample.ordinal));
        self.samples.truncate(SAMPLES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, Errno, Stage, Ticket};
    use proptest::prelude::*;

    fn record(ordinal: u64, at_ms: u64, outcome: Outcome) -> Record {
        let at = Duration::from_millis(at_ms);
        Record {
            ticket: Ticket { ordinal, due: at },
            lease: Lease { source: None, port: None, destination: ([127, 0, 0, 1], 80).into() },
            started: at,
            connected: (outcome == Outcome::Ok).then_some(at),
            ended: at,
            outcome,
            bytes_in: 1,
            bytes_out: 2,
        }
    }

    fn refused() -> Outcome {
        Outcome::Failed(Failure::from_errno(Stage::Connect, Errno::ECONNREFUSED))
    }

    #[test]
    fn kinds_are_kept_apart_and_the_first_is_remembered() {
        let mut tally = Tally::default();
        let no_port = Outcome::Failed(Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL));
        let not_local = Outcome::Failed(Failure::from_errno(Stage::Bind, Errno::EADDRNOTAVAIL));
        for (ordinal, outcome) in [(5, refused()), (6, no_port), (7, not_local), (8, refused())] {
            tally.start();
            tally.add(&record(ordinal, ordinal * 10, outcome));
        }
        let seen: Vec<_> = tally.failures().iter().map(|f| (f.count, f.first_ordinal)).collect();
        assert_eq!(seen, [(2, 5), (1, 6), (1, 7)]);
        assert_eq!(tally.failures()[0].last_at, Duration::from_millis(80));
        assert_eq!(tally.latencies.lifetime.count(), 0, "a failure enters no latency of success");
        assert_eq!(tally.in_flight(), 0);
    }

    #[test]
    fn samples_are_the_first_by_time_whatever_the_order_of_merging() {
        let part = |ordinals: &[u64]| {
            let mut tally = Tally::default();
            for &ordinal in ordinals {
                tally.start();
                tally.add(&record(ordinal, ordinal, refused()));
            }
            tally
        };
        let (a, b) = (part(&[3, 4, 9]), part(&[1, 5, 6]));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab, ba);
        let ordinals: Vec<u64> = ab.failures()[0].samples.iter().map(|s| s.ordinal).collect();
        assert_eq!(ordinals, [1, 3, 4]);
        assert_eq!(ab.failures()[0].first_ordinal, 1);
    }

    proptest! {
        /// started = ok + failed + cut short + in flight, for whatever happens, on however many workers.
        #[test]
        fn conservation_holds_through_any_events_and_merges(
            events in proptest::collection::vec((0usize..4, 0u8..6), 0..400),
        ) {
            let mut workers = vec![Tally::default(); 4];
            let mut under_way = [0u64; 4];
            for (step, (worker, what)) in events.into_iter().enumerate() {
                let (tally, open) = (&mut workers[worker], &mut under_way[worker]);
                match what {
                    0 | 1 => { tally.start(); *open += 1; }
                    2 if *open > 0 => { tally.add(&record(step as u64, 1, Outcome::Ok)); *open -= 1; }
                    3 if *open > 0 => { tally.add(&record(step as u64, 1, refused())); *open -= 1; }
                    4 if *open > 0 => { tally.add(&record(step as u64, 1, Outcome::CutShort)); *open -= 1; }
                    5 => tally.skip(SkipReason::MaxOpen, 1),
                    _ => {}
                }
            }
            let mut whole = Tally::default();
            for tally in &workers { whole.merge(tally); }
            prop_assert_eq!(whole.in_flight(), under_way.iter().sum::<u64>() as i64);
            prop_assert_eq!(whole.failures().iter().map(|f| f.count).sum::<u64>(), whole.failed());
            let ended = whole.ok() + whole.failed() + whole.cut_short();
            prop_assert_eq!(whole.started(), ended + under_way.iter().sum::<u64>());
            prop_assert_eq!(whole.started(), workers.iter().map(Tally::started).sum::<u64>());
            let kinds: Vec<Cause> = whole.failures().iter().map(|f| f.failure.cause).collect();
            prop_assert!(kinds.len() <= 1);
        }
    }
}
