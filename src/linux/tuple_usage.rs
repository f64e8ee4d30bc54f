//! Number of sockets of each (source address, destination) pair, by state.
//!
//! The ports of a pair are what runs out: every socket counted here occupies one of them.

use super::sock_diag::Socket;
use super::tcp_state::{StateSet, TcpState};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Sockets by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts([u64; TcpState::COUNT]);

impl StateCounts {
    /// The sockets in one state.
    pub fn get(&self, state: TcpState) -> u64 {
        self.0[state.index()]
    }

    /// The sockets in any of these states.
    pub fn sum(&self, states: StateSet) -> u64 {
        TcpState::ALL.into_iter().filter(|&state| states.contains(state)).map(|state| self.get(state)).sum()
    }

    /// All sockets.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts further sockets.
    pub fn add(&mut self, state: TcpState, sockets: u64) {
        self.0[state.index()] += sockets;
    }

    /// The sockets in these states, and none in any other.
    #[must_use]
    pub fn only(&self, states: StateSet) -> StateCounts {
        let mut counts = *self;
        for state in TcpState::ALL.into_iter().filter(|&state| !states.contains(state)) {
            counts.0[state.index()] = 0;
        }
        counts
    }

    /// The numbers that a part of the sockets stands for, when `seen` of `of` equal parts were looked at.
    #[must_use]
    pub fn extrapolated(&self, seen: u32, of: u32) -> StateCounts {
        let (seen, of) = (u128::from(seen.max(1)), u128::from(of));
        StateCounts(self.0.map(|count| {
            let scaled = (u128::from(count) * of + seen / 2) / seen;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        }))
    }

    /// The states that occur, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (TcpState, u64)> + '_ {
        TcpState::ALL.into_iter().map(|state| (state, self.get(state))).filter(|&(_, count)| count > 0)
    }
}

/// As a map of the states that occur: `{"established": 500, "time_wait": 200}`.
impl Serialize for StateCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for StateCounts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut counts = StateCounts::default();
        for (state, count) in HashMap::<TcpState, u64>::deserialize(deserializer)? {
            counts.0[state.index()] = count;
        }
        Ok(counts)
    }
}

/// The sockets of one source address and one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleCount {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: SocketAddr,
    /// Number of sockets in each state.
    pub sockets: StateCounts,
}

/// The most pairs whose ports are remembered: 8 KiB each, 32 MiB in all.
const REMEMBERED_PAIRS: usize = 4096;

/// Sockets by source address, destination and state, each source port of a pair counted once.
///
/// A dump is no snapshot, and nothing keeps it from showing a port twice: its socket before and after
/// it went into TIME_WAIT. (On Linux 6.18 it did not happen once among 16 million sockets dumped while
/// 30,000 connections a second came and went.) To remember the ports costs 0.04 µs a socket; it is done for
/// the first 4,096 pairs, and those of further pairs are counted as they are shown.
///
/// It is meant for dumps that name their destinations. Without that, the accepted ends of connections
/// would be pairs of their own, one for each client port.
#[derive(Debug, Default)]
pub struct TupleUsage {
    rows: Vec<TupleCount>,
    ports: Vec<Ports>,
    places: HashMap<(IpAddr, SocketAddr), usize>,
    /// The row of the last socket: neighbours in a dump often share it, and comparing is cheaper than hashing.
    last: usize,
    duplicates: u64,
}

impl TupleUsage {
    /// Counts a socket, unless its port was counted before.
    pub fn add(&mut self, socket: &Socket) {
        let (source, destination) = (socket.source.ip(), socket.destination);
        let is_last = self
            .rows
            .get(self.last)
            .is_some_and(|row| row.source == source && row.destination == destination);
        if !is_last {
            self.last = *self.places.entry((source, destination)).or_insert(self.rows.len());
            if self.last == self.rows.len() {
                self.rows.push(TupleCount { source, destination, sockets: StateCounts::default() });
                if self.ports.len() < REMEMBERED_PAIRS {
                    self.ports.push(Ports::default());
                }
            }
        }
        let is_new = self.ports.get_mut(self.last).is_none_or(|ports| ports.insert(socket.source.port()));
        if is_new {
            self.rows[self.last].sockets.add(socket.state, 1);
        } else {
            self.duplicates += 1;
        }
    }

    /// The numbers of one pair; zeros where there is none.
    pub fn get(&self, source: IpAddr, destination: SocketAddr) -> StateCounts {
        self.places.get(&(source, destination)).map_or_else(StateCounts::default, |&at| self.rows[at].sockets)
    }

    /// Number of sockets that were shown again and not counted.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Every pair that has a socket, sorted.
    pub fn into_rows(mut self) -> Vec<TupleCount> {
        self.rows.sort_unstable_by_key(|row| (row.destination, row.source));
        self.rows
    }
}

/// A bit for each port.
#[derive(Debug)]
struct Ports(Box<[u64; 1024]>);

impl Default for Ports {
    fn default() -> Ports {
        Ports(Box::new([0; 1024]))
    }
}

impl Ports {
    /// True if it was not in there.
    fn insert(&mut self, port: u16) -> bool {
        let bit = 1 << (port % 64);
        let word = &mut self.0[usize::from(port / 64)];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(source: &str, state: TcpState) -> Socket {
        Socket {
            state,
            source: source.parse().unwrap(),
            destination: "10.0.0.1:80".parse().unwrap(),
            inode: 0,
            cookie: 0,
            uid: 0,
            receive_queue: 0,
            send_queue: 0,
            timer: 0,
            retransmits: 0,
            expires_ms: 0,
        }
    }

    #[test]
    fn a_port_is_counted_once_and_only_of_its_own_pair() {
        let mut usage = TupleUsage::default();
        usage.add(&socket("127.0.0.2:20000", TcpState::Established));
        usage.add(&socket("127.0.0.3:20000", TcpState::Established));
        usage.add(&socket("127.0.0.2:20000", TcpState::TimeWait));
        usage.add(&socket("127.0.0.2:20001", TcpState::TimeWait));
        assert_eq!(usage.duplicates(), 1);
        let rows = usage.into_rows();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[0].sockets.iter().collect::<Vec<_>>(),
            [(TcpState::Established, 1), (TcpState::TimeWait, 1)]
        );
    }

    #[test]
    fn beyond_the_pairs_remembered_nothing_is_lost() {
        let mut usage = TupleUsage::default();
        for n in 0..5000u32 {
            let source = std::net::Ipv4Addr::from_bits(0x7f00_0000 + n);
            usage.add(&socket(&format!("{source}:20000"), TcpState::Established));
        }
        assert_eq!(usage.into_rows().len(), 5000);
    }

    #[test]
    fn counts_are_written_by_the_names_of_states() {
        let mut counts = StateCounts::default();
        counts.add(TcpState::Established, 500);
        counts.add(TcpState::TimeWait, 200);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(json, r#"{"established":500,"time_wait":200}"#);
        assert_eq!(serde_json::from_str::<StateCounts>(&json).unwrap(), counts);
        assert_eq!(counts.total(), 700);
        assert_eq!(counts.sum(StateSet::PASSING), 200);
    }

    #[test]
    fn a_part_stands_for_the_whole() {
        let mut counts = StateCounts::default();
        counts.add(TcpState::TimeWait, 10);
        assert_eq!(counts.extrapolated(1, 8).get(TcpState::TimeWait), 80);
        assert_eq!(counts.extrapolated(3, 8).get(TcpState::TimeWait), 27);
        counts.add(TcpState::TimeWait, u64::MAX - 10);
        assert_eq!(counts.extrapolated(1, 8).get(TcpState::TimeWait), u64::MAX);
    }
}
