//! Outgoing sockets, counted by tuple as they are listed. Pure: whoever lists them hands them in.
//!
//! Invariant: a socket is counted once a look, in one tuple, as taking a port, as giving it back after some seconds,
//! or as giving it back at once.

use crate::linux::sock_diag::Socket;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::StateCounts;
use crate::model::{HeldSocket, Holder, PortPolicy, PortSettings, TIME_WAIT, is_loopback_tuple};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Seconds over which ports come back, each counted apart: TIME_WAIT with its rounding, and FIN_WAIT_2 by default.
pub(super) const SECONDS: usize = 66;
/// Inodes of live sockets that are kept of a tuple, to find its program by.
const INODES: usize = 8;
/// Tuples that are counted apart; the sockets of further ones are only numbered.
const MOST_TUPLES: usize = 10_000;
/// A connection that this side closed within this time is counted as closed of late.
const OF_LATE: Duration = Duration::from_secs(1);

/// A source address and a destination.
pub(super) type Way = (IpAddr, SocketAddr);

/// Sockets of one tuple.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TupleTally {
    pub(super) sockets: StateCounts,
    /// Ports that stay taken as long as a program wants.
    pub(super) lasting: u64,
    /// Ports that come back, by the second from now in which they do.
    pub(super) returning: [u32; SECONDS],
    /// Ports in TIME_WAIT that connect() takes again now.
    pub(super) reusable: u64,
    /// Sockets on ports outside of the range.
    pub(super) outside: u64,
    /// Sockets on ports of the range, and those of them of the parity that connect() tries last.
    pub(super) inside: u64,
    pub(super) tried_last: u64,
    /// Connections that this side closed first within the last second.
    pub(super) closed_of_late: u64,
    /// SYNs that sockets in SYN_SENT have sent again.
    pub(super) syn_sent_again: u64,
    /// Some live sockets.
    pub(super) inodes: Vec<u32>,
    /// User of the last live socket.
    pub(super) uid: Option<u32>,
}

impl Default for TupleTally {
    fn default() -> TupleTally {
        TupleTally {
            sockets: StateCounts::default(),
            lasting: 0,
            returning: [0; SECONDS],
            reusable: 0,
            outside: 0,
            inside: 0,
            tried_last: 0,
            closed_of_late: 0,
            syn_sent_again: 0,
            inodes: Vec::new(),
            uid: None,
        }
    }
}

impl TupleTally {
    /// Ports that can't be taken now.
    pub(super) fn used(&self) -> u64 {
        self.lasting + self.returning.iter().map(|ports| u64::from(*ports)).sum::<u64>()
    }

    /// Ports of these that come back within so many seconds, those of the last one in part.
    pub(super) fn returned_within(&self, seconds: f64) -> f64 {
        let parts = self.returning.iter().enumerate();
        parts.map(|(at, ports)| f64::from(*ports) * (seconds - at as f64).clamp(0.0, 1.0)).sum()
    }

    /// Adds the sockets of another look at the same tuple, which is so many seconds old: ports whose time is over meanwhile
    /// are not in use any more.
    fn add(&mut self, other: &TupleTally, age: f64) {
        other.sockets.iter().for_each(|(state, sockets)| self.sockets.add(state, sockets));
        self.lasting += other.lasting;
        let shift = age.max(0.0) as usize;
        let later = other.returning.iter().skip(shift);
        self.returning.iter_mut().zip(later).for_each(|(mine, theirs)| *mine += theirs);
        self.reusable += other.reusable;
        self.reusable += other.returning.iter().take(shift).map(|ports| u64::from(*ports)).sum::<u64>();
        self.outside += other.outside;
        self.inside += other.inside;
        self.tried_last += other.tried_last;
        self.closed_of_late += other.closed_of_late;
        self.syn_sent_again += other.syn_sent_again;
        self.inodes.extend(other.inodes.iter().take(INODES.saturating_sub(self.inodes.len())));
        self.uid = other.uid.or(self.uid);
    }

    fn count(&mut self, socket: &Socket, held: &HeldSocket, loopback: bool, rules: &PortSettings) {
        self.sockets.add(socket.state, 1);
        let port = socket.source.port();
        if socket.inode != 0 {
            if self.inodes.len() < INODES {
                self.inodes.push(socket.inode);
            }
            self.uid = Some(socket.uid);
        }
        if socket.state == TcpState::SynSent {
            self.syn_sent_again += u64::from(socket.retransmits);
        }
        let age =
            held.ends_in.filter(|_| held.by == Holder::TimeWait).map(|left| TIME_WAIT.saturating_sub(left));
        self.closed_of_late += u64::from(age.is_some_and(|age| age < OF_LATE));
        if !(rules.range.low..=rules.range.high).contains(&port) {
            self.outside += 1;
            return;
        }
        self.inside += 1;
        // connect() tries the parity of the range's first port before the other.
        self.tried_last += u64::from((port ^ rules.range.low) & 1);
        match rules.held_until(PortPolicy::Kernel, held.by, held.ends_in, loopback) {
            None => self.reusable += 1,
            Some(None) => self.lasting += 1,
            Some(Some(until)) => {
                let second = usize::try_from(until.as_secs()).unwrap_or(SECONDS).min(SECONDS - 1);
                self.returning[second] += 1;
            }
        }
    }
}

/// All tuples of one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Tallies {
    pub(super) by_way: HashMap<Way, TupleTally>,
    /// Sockets of tuples beyond those that are counted apart.
    pub(super) beyond: u64,
    /// Sockets in all.
    pub(super) sockets: u64,
}

impl Tallies {
    /// Counts an outgoing socket.
    pub(super) fn count(&mut self, socket: &Socket, held: &HeldSocket, rules: &PortSettings) {
        self.sockets += 1;
        let way = (socket.source.ip(), socket.destination);
        if self.by_way.len() >= MOST_TUPLES && !self.by_way.contains_key(&way) {
            self.beyond += 1;
            return;
        }
        let loopback = is_loopback_tuple(way.0, way.1.ip());
        self.by_way.entry(way).or_default().count(socket, held, loopback, rules);
    }

    /// The same with the sockets of another part, which is so many seconds old.
    pub(super) fn add(&mut self, other: &Tallies, age: f64) {
        for (way, tally) in &other.by_way {
            self.by_way.entry(*way).or_default().add(tally, age);
        }
        self.beyond += other.beyond;
        self.sockets += other.sockets;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::TimeWaitReuse;
    use crate::model::port_set::PortRange;

    pub(in crate::watch) fn rules(reuse: TimeWaitReuse) -> PortSettings {
        PortSettings {
            range: PortRange { low: 40_000, high: 41_023, reserved: Default::default() },
            reuse,
            reuse_delay: Duration::from_secs(1),
            timestamps: true,
            ticks_per_second: Some(250),
        }
    }

    pub(in crate::watch) fn socket(port: u16, state: TcpState, left_ms: u32) -> Socket {
        Socket {
            state,
            source: SocketAddr::from(([10, 0, 0, 2], port)),
            destination: SocketAddr::from(([10, 0, 0, 1], 80)),
            inode: if state == TcpState::Established { u32::from(port) } else { 0 },
            cookie: port.into(),
            uid: 0,
            receive_queue: 0,
            send_queue: 0,
            timer: if left_ms > 0 { 3 } else { 0 },
            retransmits: 0,
            expires_ms: left_ms,
        }
    }

    fn counted(sockets: &[Socket], reuse: TimeWaitReuse) -> TupleTally {
        let mut tallies = Tallies::default();
        for socket in sockets {
            tallies.count(socket, &crate::host::held_ports::held(socket), &rules(reuse));
        }
        assert_eq!(tallies.by_way.len(), 1);
        tallies.by_way.into_values().next().unwrap()
    }

    #[test]
    fn each_socket_takes_a_port_or_gives_it_back_in_its_second() {
        let sockets = [
            socket(40_000, TcpState::Established, 0),
            socket(40_002, TcpState::TimeWait, 59_500),
            socket(40_004, TcpState::TimeWait, 1_200),
            socket(40_005, TcpState::CloseWait, 0),
            socket(30_000, TcpState::Established, 0),
        ];
        let tally = counted(&sockets, TimeWaitReuse::Off);
        assert_eq!((tally.used(), tally.lasting, tally.outside, tally.reusable), (4, 2, 1, 0));
        assert_eq!((tally.returning[59], tally.returning[1]), (1, 1));
        assert_eq!((tally.inside, tally.tried_last, tally.closed_of_late), (4, 1, 1));
        assert!((tally.returned_within(1.5) - 0.5).abs() < 1e-9);
        assert_eq!(tally.inodes, [40_000, 30_000]);
    }

    #[test]
    fn what_may_be_reused_is_not_in_use() {
        let sockets =
            [socket(40_002, TcpState::TimeWait, 59_500), socket(40_004, TcpState::TimeWait, 58_000)];
        let tally = counted(&sockets, TimeWaitReuse::On);
        assert_eq!((tally.used(), tally.reusable, tally.returning[0]), (1, 1, 1));
        assert_eq!(counted(&sockets, TimeWaitReuse::Loopback).used(), 2, "10.0.0.1 is no loopback");
    }
}
