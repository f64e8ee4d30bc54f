//! A wire between two interfaces, on which packets take their time, or are lost for their length.

use crate::linux::clock::Clock;
use crate::linux::packet::{PacketSocket, is_arp, packet_length};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// From one look at the interfaces to the next.
const STEP: Duration = Duration::from_micros(300);
/// Frames under way in one direction, at most.
const MOST: usize = 10_000;

/// Fate of packets on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// Time from one end to the other.
    pub delay: Duration,
    /// Longest packet that gets through, from the client to the server; `None`: each.
    pub longest: Option<usize>,
}

/// One direction.
struct Way {
    wire: Wire,
    /// Frames, each with the time at which it arrives.
    under_way: VecDeque<(Duration, Vec<u8>)>,
}

impl Way {
    fn new(wire: Wire) -> Way {
        Way { wire, under_way: VecDeque::new() }
    }

    fn take(&mut self, frame: &[u8], now: Duration) {
        let fits = self.wire.longest.is_none_or(|longest| packet_length(frame) <= longest);
        if is_arp(frame) {
            // The next hop is near, however far the server is.
            self.under_way.push_front((now, frame.to_vec()));
        } else if fits && self.under_way.len() < MOST {
            self.under_way.push_back((now + self.wire.delay, frame.to_vec()));
        }
    }

    fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (at, _) = self.under_way.front()?;
        if *at > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, frame)| frame)
    }
}

/// Carries frames from each to the other on a thread, until the flag says so.
pub(super) fn start(
    wire: Wire,
    mut client: PacketSocket,
    mut server: PacketSocket,
) -> (JoinHandle<()>, Arc<AtomicBool>) {
    let end = Arc::<AtomicBool>::default();
    let (over, clock) = (end.clone(), Clock::start());
    let thread = std::thread::spawn(move || {
        let (mut there, mut back) = (Way::new(wire), Way::new(Wire { longest: None, ..wire }));
        while !over.load(Relaxed) {
            let now = clock.now();
            // An interface that is down for a moment, or has no room, loses frames as any does.
            let _ = carry(&mut client, &server, &mut there, now);
            let _ = carry(&mut server, &client, &mut back, now);
            std::thread::sleep(STEP);
        }
    });
    (thread, end)
}

fn carry(from: &mut PacketSocket, to: &PacketSocket, way: &mut Way, now: Duration) -> io::Result<()> {
    while let Some(frame) = from.receive()? {
        way.take(frame, now);
    }
    while let Some(frame) = way.arrived(now) {
        let _ = to.send(&frame);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_their_order_and_after_their_time() {
        let s = Duration::from_secs;
        let mut way = Way::new(Wire { delay: s(2), longest: Some(1300) });
        way.take(&[1; 100], s(1));
        way.take(&[2; 100], s(2));
        way.take(&[3; 1400], s(2));
        assert_eq!(way.arrived(s(2)), None);
        assert_eq!(way.arrived(s(3)), Some(vec![1; 100]));
        assert_eq!(way.arrived(s(3)), None);
        assert_eq!(way.arrived(s(9)), Some(vec![2; 100]));
        assert_eq!(way.arrived(s(9)), None, "too long a packet is lost");
    }
}
