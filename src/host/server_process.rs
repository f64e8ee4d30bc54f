//! Watches the listeners of a local target while a run goes on: a listener that is gone while connections are
//! refused can't be seen afterwards, nor a server whose descriptors are used up. Its process is looked at only
//! when a failure asks for it (`host::moment`), or when connections wait that nobody accepts.

use crate::diagnose::TargetFacts;
use crate::linux::holders::Table;
use crate::linux::sock_diag::{SockDiag, Socket};
use crate::linux::{holders, listeners};
use crate::model::{Cause, WindowRow};
use std::net::SocketAddr;

/// Descriptors that one look may go through.
const BUDGET: u32 = 60_000;
/// Looks at the server's descriptors, at most: each may cost some 0.1 s of CPU.
const LOOKS: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct ServerWatch {
    destinations: Vec<SocketAddr>,
    diag: Option<SockDiag>,
    /// A destination was without a listener while connections to it were refused.
    pub(crate) seen_gone: bool,
    /// Drops of the destinations' own listeners when the watch began.
    drops_before: Option<u64>,
    /// More connections than the backlog allows waited at a listener of a destination.
    seen_full: bool,
    /// Connections that waited for accept() at the last look.
    waited: u32,
    looks: u32,
    /// The server's descriptors, once connections waited and nobody accepted them.
    pub(crate) table: Option<Table>,
}

impl ServerWatch {
    /// A watch over the listeners of these destinations, if they are this host's.
    pub(crate) fn new(destinations: &[SocketAddr], is_local: bool) -> ServerWatch {
        let diag = if is_local { SockDiag::open().ok() } else { None };
        let drops_before = if is_local { own_drops(destinations) } else { None };
        let destinations = destinations.to_vec();
        ServerWatch {
            destinations,
            diag,
            seen_gone: false,
            seen_full: false,
            drops_before,
            waited: 0,
            looks: 0,
            table: None,
        }
    }

    /// The target's own numbers, as they are now that the run is over.
    pub(crate) fn facts(&self) -> TargetFacts {
        let listeners = self.diag.is_some().then(|| SockDiag::open().ok()?.listeners().ok()).flatten();
        let listens =
            |listeners: Vec<Socket>| self.destinations.iter().all(|to| serving(&listeners, *to).is_some());
        let drops = self.drops_before.zip(own_drops(&self.destinations));
        TargetFacts {
            listener_drops: drops.map(|(before, now)| now.saturating_sub(before)),
            queue_seen_full: self.seen_full,
            listens_at_end: listeners.map(listens),
            ..TargetFacts::default()
        }
    }

    /// Looks, after a window.
    pub(crate) fn window(&mut self, window: &WindowRow) {
        let Some(listeners) = self.diag.as_mut().and_then(|diag| diag.listeners().ok()) else { return };
        let serving = |to: &SocketAddr| serving(&listeners, *to);
        let refused = window.failures.iter().any(|(failure, _)| failure.cause == Cause::Refused);
        self.seen_gone |= refused && self.destinations.iter().any(|to| serving(to).is_none());
        self.seen_full |=
            self.destinations.iter().filter_map(serving).any(|at| at.receive_queue > at.send_queue);
        let longest = self.destinations.iter().filter_map(serving).max_by_key(|at| at.receive_queue);
        if let Some(at) = longest {
            // A busy server takes some between two looks; one without descriptors takes none.
            let nobody_accepts = self.waited > 0 && at.receive_queue >= self.waited;
            self.waited = at.receive_queue;
            if nobody_accepts && self.looks < LOOKS && !self.table.as_ref().is_some_and(Table::is_full) {
                self.looks += 1;
                self.table = holders::table_of(at.inode, BUDGET).or(self.table.take());
            }
        }
    }
}

/// SYNs and ACKs that the listeners of these destinations have dropped since they were made; `None` where that
/// can't be seen of each.
pub(crate) fn own_drops(destinations: &[SocketAddr]) -> Option<u64> {
    let all = listeners::all().ok()?;
    let sockets: Vec<Socket> = all.iter().map(|at| at.socket).collect();
    let mut own: Vec<Socket> = destinations.iter().filter_map(|to| serving(&sockets, *to).copied()).collect();
    own.sort_by_key(|socket| socket.cookie);
    own.dedup_by_key(|socket| socket.cookie);
    let drops = |socket: &Socket| {
        let at = all.iter().find(|at| at.socket.cookie == socket.cookie)?;
        at.drops.map(u64::from)
    };
    if own.is_empty() { None } else { own.iter().map(drops).sum() }
}

/// Connections that wait for accept() at the listeners of these destinations; `None` where none is this host's, or none
/// can be seen.
pub(crate) fn waiting_for_accept(destinations: &[SocketAddr]) -> Option<u64> {
    let listeners = SockDiag::open().and_then(|mut diag| diag.listeners()).ok()?;
    let is_of_one = |at: &&Socket| destinations.iter().any(|to| serves(at.source, *to));
    let queues: Vec<u64> = listeners.iter().filter(is_of_one).map(|at| at.receive_queue.into()).collect();
    (!queues.is_empty()).then(|| queues.iter().sum())
}

/// True if connections to an address arrive at a listener with this one.
fn serves(own: SocketAddr, to: SocketAddr) -> bool {
    own.port() == to.port() && (own.ip() == to.ip() || own.ip().is_unspecified())
}

/// The listener of these at which connections to an address arrive; the fullest of several.
fn serving(listeners: &[Socket], to: SocketAddr) -> Option<&Socket> {
    listeners.iter().filter(|at| serves(at.source, to)).max_by_key(|at| at.receive_queue)
}

/// The descriptor table of the server that listens at an address of this host, where this user may see it.
pub(crate) fn server_table(to: SocketAddr) -> Option<Table> {
    let listeners = SockDiag::open().and_then(|mut diag| diag.listeners()).ok()?;
    holders::table_of(serving(&listeners, to)?.inode, BUDGET)
}
