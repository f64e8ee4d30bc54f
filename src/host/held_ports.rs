//! A look at what holds the ports of a supply just now: connections of its tuples by state, with the age of
//! TIME_WAIT, and ports that are bound or listened on.

use crate::linux::proc_net::{ProcNet, SocketTotals};
use crate::linux::sock_diag::{Filter, SockDiag, Socket};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::model::{HeldSocket, Holder, PortPolicy, PortSupply};
use std::io;
use std::time::Duration;

/// Sockets looked at, at most: half a second of CPU.
const MOST: u64 = 500_000;
/// Sockets of a namespace that are looked at whether that can matter or not: some 15 ms of CPU (0.2 to 0.4 µs each
/// to walk past, measured on Linux 6.18 beside 475,000).
const FEW: u64 = 50_000;
/// Part of a tuple's ports that may be bound and not looked for, beside more sockets than [`FEW`].
const SLIGHT: f64 = 0.01;

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
    let bound = bound(supply)?;
    let mut seen = connections(supply)?;
    seen.sockets.extend(bound);
    Ok(seen)
}

/// Looks at the connections alone.
///
/// # Errors
/// As [`look`].
pub fn connections(supply: &PortSupply) -> io::Result<HeldLook> {
    let mut seen = HeldLook::default();
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
/// For those that are only bound the kernel walks past every socket of the namespace. Where there are very many, that
/// is spared if the totals say that less than a hundredth of the ports can be bound.
///
/// # Errors
/// As [`look`].
pub fn bound(supply: &PortSupply) -> io::Result<Vec<HeldSocket>> {
    let mut states = StateSet::LISTEN;
    if can_matter(totals(), u64::from(supply.usable())) {
        states = states.with(TcpState::BoundInactive);
    }
    let filter = Filter { source_ports: vec![supply.span()], limit: MOST, ..Filter::states(states) };
    let mut found = Vec::new();
    SockDiag::open()?.dump(&filter, |socket| found.push(held(socket)))?;
    Ok(found)
}

/// Sockets of this network namespace, where they are so many that a look at each is worth a thought; `None` where they
/// are few, or not counted.
pub fn very_many() -> Option<u64> {
    Some(population(totals()?)).filter(|sockets| *sockets > FEW)
}

fn totals() -> Option<SocketTotals> {
    ProcNet::open().ok()?.sockets().ok()
}

fn population(totals: SocketTotals) -> u64 {
    totals.time_wait.saturating_add(totals.tcp_in_use)
}

/// True unless so few sockets are only bound that it makes no difference. A socket is counted as allocated from
/// socket() on, and as in use from connect() or listen() on (`sock_prot_inuse_add`, net/ipv4/inet_hashtables.c).
fn can_matter(totals: Option<SocketTotals>, usable: u64) -> bool {
    let Some(totals) = totals else { return true };
    let neither = totals.allocated.saturating_sub(totals.tcp_in_use);
    neither > 0 && (population(totals) <= FEW || neither as f64 > usable as f64 * SLIGHT)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(time_wait: u64, tcp_in_use: u64, allocated: u64) -> Option<SocketTotals> {
        Some(SocketTotals { time_wait, tcp_in_use, allocated, ..SocketTotals::default() })
    }

    #[test]
    fn bound_sockets_are_looked_for_unless_there_can_be_none_or_too_few_among_very_many() {
        let ports = 28_232;
        assert!(can_matter(None, ports), "not counted is not none");
        assert!(!can_matter(totals(400_000, 16, 16), ports), "every socket is in use");
        assert!(can_matter(totals(100, 16, 17), ports), "few are looked at in any case");
        assert!(!can_matter(totals(400_000, 16, 17), ports), "one of 28,232 among very many");
        assert!(!can_matter(totals(400_000, 16, 16 + 282), ports));
        assert!(can_matter(totals(400_000, 16, 16 + 283), ports), "more than one in a hundred");
        assert!(can_matter(totals(400_000, 16, 17), 50), "one in fifty");
    }
}
