//! Counts of a target: one tally a worker, summed when someone asks.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of a target since it started, over all its workers.
///
/// `accepted = open + closed_by_us + closed_by_peer + reset + failed + closed_at_stop`. While the target
/// runs, the numbers are not of one instant and may disagree by the connections then in motion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Worker threads that have started.
    pub workers: u64,
    /// Workers that do not accept because their descriptor table is full.
    pub full_workers: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections held now.
    pub open: u64,
    /// Connections ended, in whatever way.
    pub closed: u64,
    /// Of them, those that we closed, or reset, as the behaviour asks.
    pub closed_by_us: u64,
    /// Of them, those that the peer closed first: with FIN, or a WebSocket with a close frame.
    pub closed_by_peer: u64,
    /// Of them, those that the peer ended with RST.
    pub reset: u64,
    /// Of them, those that ended by another error, such as ETIMEDOUT.
    pub failed: u64,
    /// Of them, those still open when the target was stopped.
    pub closed_at_stop: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the kernel to be sent.
    pub bytes_out: u64,
    /// Failures of accept(), of registering what it returned, and of starting one more worker.
    pub accept_errors: u64,
    /// TLS handshakes completed.
    pub tls_handshakes: u64,
    /// TLS handshakes that ended in an alert, of ours or of the peer's.
    pub tls_handshakes_failed: u64,
    /// WebSocket handshakes answered with 101.
    pub handshakes: u64,
    /// WebSocket and TLS handshakes answered with anything else, whether the behaviour asks for it or the
    /// request was none.
    pub rejected: u64,
    /// WebSocket messages, or HTTP requests, received whole.
    pub messages_in: u64,
    /// WebSocket messages, or HTTP replies, sent.
    pub messages_out: u64,
    /// Pushed or broadcast messages that were not sent because their receiver, or a worker, was behind.
    pub messages_dropped: u64,
    /// WebSocket pings received, all of which are answered.
    pub pings: u64,
    /// Connections that we closed because all together held too much of what was not complete.
    pub closed_for_memory: u64,
    /// Connections that we closed because their peers took too long to send, or to read, what had begun.
    pub closed_as_slow: u64,
    /// Connections whose peer broke the protocol, in TLS, HTTP or WebSocket.
    pub violations: u64,
}

/// End of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// We closed it.
    ByUs,
    /// The peer sent FIN.
    ByPeer,
    /// The peer sent RST.
    Reset,
    /// Another error.
    Failed,
    /// The target was stopped.
    AtStop,
}

/// The counters of one worker, which alone writes them. Aligned so that no two workers' counters share
/// a cache line, or the pair of lines that x86 fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    working: AtomicU64,
    full: AtomicU64,
    accepted: AtomicU64,
    endings: [AtomicU64; 5],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    accept_errors: AtomicU64,
    tls_handshakes: AtomicU64,
    tls_handshakes_failed: AtomicU64,
    handshakes: AtomicU64,
    rejected: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    messages_dropped: AtomicU64,
    pings: AtomicU64,
    violations: AtomicU64,
    closed_for_memory: AtomicU64,
    closed_as_slow: AtomicU64,
}

/// Adds without a locked instruction: there is one writer.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

impl Tally {
    pub(super) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(super) fn ended(&self, how: Ending, connections: u64) {
        add(&self.endings[how as usize], connections);
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.bytes_in, bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        add(&self.bytes_out, bytes as u64);
    }

    pub(super) fn accept_failed(&self) {
        add(&self.accept_errors, 1);
    }

    pub(super) fn tls_handshake(&self) {
        add(&self.tls_handshakes, 1);
    }

    pub(super) fn tls_handshake_failed(&self) {
        add(&self.tls_handshakes_failed, 1);
    }

    pub(super) fn handshake(&self) {
        add(&self.handshakes, 1);
    }

    pub(super) fn rejected(&self) {
        add(&self.rejected, 1);
    }

    pub(super) fn message_in(&self) {
        add(&self.messages_in, 1);
    }

    pub(super) fn message_out(&self) {
        add(&self.messages_out, 1);
    }

    pub(super) fn message_dropped(&self) {
        add(&self.messages_dropped, 1);
    }

    pub(super) fn ping(&self) {
        add(&self.pings, 1);
    }

    pub(super) fn violated(&self) {
        add(&self.violations, 1);
    }

    pub(super) fn closed_for_memory(&self) {
        add(&self.closed_for_memory, 1);
    }

    pub(super) fn closed_as_slow(&self) {
        add(&self.closed_as_slow, 1);
    }

    pub(super) fn set_working(&self) {
        self.working.store(1, Relaxed);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(u64::from(full), Relaxed);
    }

    /// Adds this worker's counters to a sum.
    pub(super) fn add_to(&self, sum: &mut Counters) {
        // The endings before the acceptances, so that what is open is rather over- than understated.
        let [by_us, by_peer, reset, failed, at_stop] =
            self.endings.each_ref().map(|count| count.load(Relaxed));
        let closed = by_us + by_peer + reset + failed + at_stop;
        let accepted = self.accepted.load(Relaxed);
        sum.workers += self.working.load(Relaxed);
        sum.full_workers += self.full.load(Relaxed);
        sum.accepted += accepted;
        sum.open += accepted.saturating_sub(closed);
        sum.closed += closed;
        sum.closed_by_us += by_us;
        sum.closed_by_peer += by_peer;
        sum.reset += reset;
        sum.failed += failed;
        sum.closed_at_stop += at_stop;
        sum.bytes_in += self.bytes_in.load(Relaxed);
        sum.bytes_out += self.bytes_out.load(Relaxed);
        sum.accept_errors += self.accept_errors.load(Relaxed);
        self.add_talk_to(sum);
    }

    fn add_talk_to(&self, sum: &mut Counters) {
        sum.tls_handshakes += self.tls_handshakes.load(Relaxed);
        sum.tls_handshakes_failed += self.tls_handshakes_failed.load(Relaxed);
        sum.handshakes += self.handshakes.load(Relaxed);
        sum.rejected += self.rejected.load(Relaxed);
        sum.messages_in += self.messages_in.load(Relaxed);
        sum.messages_out += self.messages_out.load(Relaxed);
        sum.messages_dropped += self.messages_dropped.load(Relaxed);
        sum.pings += self.pings.load(Relaxed);
        sum.violations += self.violations.load(Relaxed);
        sum.closed_for_memory += self.closed_for_memory.load(Relaxed);
        sum.closed_as_slow += self.closed_as_slow.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_connection_is_open_or_has_ended_one_way() {
        let (one, other) = (Tally::default(), Tally::default());
        for _ in 0..10 {
            one.accepted();
            other.accepted();
        }
        let ways = [Ending::ByUs, Ending::ByPeer, Ending::Reset, Ending::Failed, Ending::AtStop];
        for (n, how) in (1..).zip(ways) {
            one.ended(how, n % 3);
        }
        one.set_working();
        other.set_working();
        other.set_full(true);
        let mut sum = Counters::default();
        one.add_to(&mut sum);
        other.add_to(&mut sum);
        assert_eq!((sum.workers, sum.full_workers, sum.accepted, sum.open, sum.closed), (2, 1, 20, 14, 6));
        let ends = sum.closed_by_us + sum.closed_by_peer + sum.reset + sum.failed + sum.closed_at_stop;
        assert_eq!(ends, sum.closed);
    }
}
