//! A look at what holds the ports of a supply just now: connections of its tuples by state, with the age of
//! TIME_WAIT, and ports that are bound or listened on.

use crate::linux::sock_diag::{Filter, SockDiag, Socket};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::model::{HeldSocket, Holder, PortPolicy, PortSupply};
use std::io;
use std::time::Duration;

/// Sockets looked at, at most: half a second of CPU.
const MOST: u64 = 500_000;

/// Sockets seen on a supply's ports.
#[derive(Debug, Clone, Default)]
pub struct HeldLook {
    /// Sockets that hold them.
    pub sockets: Vec<HeldSocket>,
    /// There were more than could be looked at.
    pub truncated: bool,
}

/// Looks at the sockets of this network namespace.
///
/// # Errors
/// When the kernel refuses to list its sockets (seccomp, gVisor).
pub fn look(supply: &PortSupply) -> io::Result<HeldLook> {
    let mut seen = HeldLook { sockets: bound(supply)?, truncated: false };
    // bind() that chooses meets connections to whatever destination.
    let destinations =
        if supply.policy() == PortPolicy::NaiveBind { Vec::new() } else { supply.destinations() };
    let filter = Filter {
        source_ports: vec![supply.span()],
        destinations,
        limit: MOST,
        ..Filter::states(StateSet::CONNECTIONS)
    };
    let stats = SockDiag::open()?.dump(&filter, |socket| seen.sockets.push(held(socket)))?;
    seen.truncated = stats.truncated;
    Ok(seen)
}

/// Looks at the sockets alone that are bound to a port of the supply, or listen on one.
///
/// # Errors
/// As [`look`].
pub fn bound(supply: &PortSupply) -> io::Result<Vec<HeldSocket>> {
    let states = StateSet::LISTEN.with(TcpState::BoundInactive);
    let filter = Filter { source_ports: vec![supply.span()], limit: MOST, ..Filter::states(states) };
    let mut found = Vec::new();
    SockDiag::open()?.dump(&filter, |socket| found.push(held(socket)))?;
    Ok(found)
}

/// Port that one socket holds, with its state.
pub(crate) fn held(socket: &Socket) -> HeldSocket {
    let by = match socket.state {
        TcpState::TimeWait => Holder::TimeWait,
        TcpState::FinWait2 => Holder::FinWait2,
        TcpState::CloseWait => Holder::CloseWait,
        TcpState::LastAck | TcpState::FinWait1 | TcpState::Closing => Holder::Closing,
        TcpState::Listen => Holder::Listening,
        TcpState::Close | TcpState::BoundInactive => Holder::Bound,
        TcpState::Established | TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv => Holder::Live,
    };
    let connected = !matches!(by, Holder::Listening | Holder::Bound);
    let ends = socket.ends_by_timer() && matches!(by, Holder::TimeWait | Holder::FinWait2);
    HeldSocket {
        local: socket.source,
        peer: connected.then_some(socket.destination),
        by,
        ends_in: ends.then(|| Duration::from_millis(socket.expires_ms.into())),
    }
}
