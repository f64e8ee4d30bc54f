//! The states of a TCP socket, and sets of them.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident = $number:literal, $name:literal;)*) => {
        /// A state of a TCP socket, with the number that the kernel gives it (include/net/tcp_states.h).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum TcpState { $($(#[$doc])* $state = $number,)* }

        impl TcpState {
            /// Every state, in the order of their numbers.
            pub const ALL: [TcpState; TcpState::COUNT] = [$(TcpState::$state),*];

            /// The state behind a number of the kernel's.
            pub fn from_number(number: u8) -> Option<TcpState> {
                match number { $($number => Some(TcpState::$state),)* _ => None }
            }

            /// The name, as in JSON and in reports.
            pub fn name(self) -> &'static str {
                match self { $(TcpState::$state => $name,)* }
            }
        }
    };
}

states! {
    /// Both ends may send.
    Established = 1, "established";
    /// A SYN was sent.
    SynSent = 2, "syn_sent";
    /// A SYN was answered.
    SynRecv = 3, "syn_recv";
    /// Closed by this side, not acknowledged yet.
    FinWait1 = 4, "fin_wait1";
    /// Closed by this side, and the peer has not closed.
    FinWait2 = 5, "fin_wait2";
    /// Closed by both, by this side first; the tuple is kept for 60 s.
    TimeWait = 6, "time_wait";
    /// Not connected.
    Close = 7, "close";
    /// Closed by the peer, and not by this side.
    CloseWait = 8, "close_wait";
    /// Closed by the peer and then by this side, not acknowledged yet.
    LastAck = 9, "last_ack";
    /// A listener.
    Listen = 10, "listen";
    /// Closed by both at once.
    Closing = 11, "closing";
    /// A half-open connection of a listener.
    NewSynRecv = 12, "new_syn_recv";
    /// Bound to a port, neither connected nor listening. Can be asked for since Linux 6.8, and is then
    /// told as [`TcpState::Close`].
    BoundInactive = 13, "bound_inactive";
}

impl TcpState {
    /// Number of states.
    pub const COUNT: usize = 13;

    /// The position in [`TcpState::ALL`].
    pub fn index(self) -> usize {
        usize::from(self as u8) - 1
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of states: bit `n` is the state of number `n`, as in `idiag_states`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateSet(u32);

impl StateSet {
    /// No state.
    pub const NONE: StateSet = StateSet(0);
    /// Every state, listeners and sockets that are only bound among them.
    pub const ALL: StateSet = StateSet(0x3ffe);
    /// TIME_WAIT and nothing else.
    pub const TIME_WAIT: StateSet = StateSet::NONE.with(TcpState::TimeWait);
    /// Listeners and nothing else.
    pub const LISTEN: StateSet = StateSet::NONE.with(TcpState::Listen);
    /// The states that occupy a 4-tuple: all but listeners, and sockets that are not connected.
    pub const CONNECTIONS: StateSet =
        StateSet::ALL.without(TcpState::Listen).without(TcpState::Close).without(TcpState::BoundInactive);
    /// Connections on their way up or down: all but the established ones.
    pub const PASSING: StateSet = StateSet::CONNECTIONS.without(TcpState::Established);

    /// This set and a state.
    #[must_use]
    pub const fn with(self, state: TcpState) -> StateSet {
        StateSet(self.0 | 1 << state as u8)
    }

    /// This set less a state.
    #[must_use]
    pub const fn without(self, state: TcpState) -> StateSet {
        StateSet(self.0 & !(1 << state as u8))
    }

    /// True if a state is in it.
    pub const fn contains(self, state: TcpState) -> bool {
        self.0 & 1 << state as u8 != 0
    }

    /// The kernel's bit mask.
    pub(super) const fn mask(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_positions_agree() {
        for (at, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(state.index(), at);
            assert_eq!(TcpState::from_number(state as u8), Some(state));
            assert!(StateSet::ALL.contains(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        assert_eq!(TcpState::from_number(0), None);
        assert_eq!(TcpState::from_number(14), None);
        assert!(!StateSet::PASSING.contains(TcpState::Established));
        assert!(!StateSet::CONNECTIONS.contains(TcpState::Listen));
        assert!(!StateSet::ALL.without(TcpState::Close).contains(TcpState::Close));
    }
}
