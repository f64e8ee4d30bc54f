//! The listener at which a failed connection would have arrived, with its own numbers.

use super::MomentLook;
use crate::diagnose::{ListenerNow, Moment};
use crate::linux::addresses::interface_name;
use crate::linux::holders;
use crate::linux::listeners::{self, Listener};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::tcp_state::{StateSet, TcpState};
use std::io;
use std::net::SocketAddr;

/// Descriptors that the search for its process may look at: some 0.1 s of CPU.
const BUDGET: u32 = 60_000;

impl MomentLook {
    /// The listener, if there is one.
    pub(super) fn listener(&self, moment: &Moment) -> io::Result<Option<ListenerNow>> {
        let Some(mut listener) = self.listener_at(moment.destination)? else { return Ok(None) };
        if let Some(inode) = listener.1 {
            let table = holders::table_of(inode, BUDGET);
            listener.0.stopped = table.as_ref().and_then(|table| holders::is_stopped(table.holder.pid));
            listener.0.table = table;
        }
        Ok(Some(listener.0))
    }

    /// The listener with its queues and drops, without a walk over descriptors; and its inode.
    pub(crate) fn listener_at(&self, to: SocketAddr) -> io::Result<Option<(ListenerNow, Option<u32>)>> {
        let all = listeners::all()?;
        let Some(at) = serving(&all, to) else { return Ok(None) };
        // Several may share the address (SO_REUSEPORT).
        let drops = |of: &[Listener]| {
            let same = of.iter().filter(|other| other.socket.source == at.socket.source);
            same.map(|listener| listener.drops).sum::<Option<u32>>()
        };
        let listener = ListenerNow {
            address: at.socket.source,
            waiting: at.socket.receive_queue,
            backlog: at.socket.send_queue,
            drops: drops(&all),
            drops_before: serving(&self.listeners, to)
                .filter(|before| before.socket.cookie == at.socket.cookie)
                .and_then(|_| drops(&self.listeners)),
            half_open: half_open(to).ok(),
            max_half_open: self.host.tcp_max_syn_backlog,
            syncookies: self.host.tcp_syncookies,
            v6_only: at.v6_only,
            device: at.interface.map(interface_name),
            table: None,
            stopped: None,
        };
        Ok(Some((listener, Some(at.socket.inode).filter(|inode| *inode != 0))))
    }
}

/// The listener at which connections to an address arrive: one at that very address before one at all; of
/// several, the fullest.
fn serving(listeners: &[Listener], to: SocketAddr) -> Option<&Listener> {
    let serves = |listener: &&Listener| {
        let own = listener.socket.source;
        let family = own.is_ipv6() == to.is_ipv6() || (own.is_ipv6() && listener.v6_only == Some(false));
        own.port() == to.port() && (own.ip() == to.ip() || (own.ip().is_unspecified() && family))
    };
    listeners
        .iter()
        .filter(serves)
        .max_by_key(|listener| (listener.socket.source.ip() == to.ip(), listener.socket.receive_queue))
}

/// Half-open connections of a local address.
fn half_open(to: SocketAddr) -> io::Result<u32> {
    let states = StateSet::NONE.with(TcpState::SynRecv).with(TcpState::NewSynRecv);
    let filter = Filter { source_ports: vec![to.port()..=to.port()], ..Filter::states(states) };
    let mut count = 0u32;
    SockDiag::open()?.dump(&filter, |socket| count += u32::from(socket.source == to))?;
    Ok(count)
}
