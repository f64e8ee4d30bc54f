//! How many sockets each (source address, destination) pair holds, by state.
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
    /// How many are in which state.
    pub sockets: StateCounts,
}

/// Sockets by source address, destination and state.
#[derive(Debug, Clone, Default)]
pub struct TupleUsage {
    rows: Vec<TupleCount>,
    places: HashMap<(IpAddr, SocketAddr), usize>,
    /// The row of the last socket: neighbours in a dump often share it, and comparing is cheaper than hashing.
    last: usize,
}

impl TupleUsage {
    /// Counts a socket.
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
            }
        }
        self.rows[self.last].sockets.add(socket.state, 1);
    }

    /// The numbers of one pair; zeros where there is none.
    pub fn get(&self, source: IpAddr, destination: SocketAddr) -> StateCounts {
        self.places.get(&(source, destination)).map_or_else(StateCounts::default, |&at| self.rows[at].sockets)
    }

    /// Every pair that has a socket, sorted.
    pub fn into_rows(mut self) -> Vec<TupleCount> {
        self.rows.sort_unstable_by_key(|row| (row.destination, row.source));
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
