//! Watches the listeners of a local target while a run goes on: a listener that is gone while connections are
//! refused can't be seen afterwards. Its process is looked at only when a failure asks for it
//! ([`super::moment`]).

use crate::linux::holders;
use crate::linux::holders::Table;
use crate::linux::sock_diag::{SockDiag, Socket};
use crate::model::{Cause, WindowRow};
use std::net::SocketAddr;

/// Descriptors that one look may go through.
const BUDGET: u32 = 60_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct ServerWatch {
    destinations: Vec<SocketAddr>,
    diag: Option<SockDiag>,
    /// A destination was without a listener while connections to it were refused.
    pub(crate) seen_gone: bool,
}

impl ServerWatch {
    /// A watch over the listeners of these destinations, if they are this host's.
    pub(crate) fn new(destinations: &[SocketAddr], is_local: bool) -> ServerWatch {
        let diag = if is_local { SockDiag::open().ok() } else { None };
        let destinations = destinations.to_vec();
        ServerWatch { destinations, diag, seen_gone: false }
    }

    /// Looks, after a window.
    pub(crate) fn window(&mut self, window: &WindowRow) {
        let Some(listeners) = self.diag.as_mut().and_then(|diag| diag.listeners().ok()) else { return };
        let serving = |to: &SocketAddr| serving(&listeners, *to);
        let refused = window.failures.iter().any(|(failure, _)| failure.cause == Cause::Refused);
        self.seen_gone |= refused && self.destinations.iter().any(|to| serving(to).is_none());
    }
}

/// The listener of these at which connections to an address arrive; the fullest of several.
fn serving(listeners: &[Socket], to: SocketAddr) -> Option<&Socket> {
    let serves =
        |own: SocketAddr| own.port() == to.port() && (own.ip() == to.ip() || own.ip().is_unspecified());
    listeners.iter().filter(|at| serves(at.source)).max_by_key(|at| at.receive_queue)
}

/// The descriptor table of the server that listens at an address of this host, where this user may see it.
pub(crate) fn server_table(to: SocketAddr) -> Option<Table> {
    let listeners = SockDiag::open().and_then(|mut diag| diag.listeners()).ok()?;
    holders::table_of(serving(&listeners, to)?.inode, BUDGET)
}
