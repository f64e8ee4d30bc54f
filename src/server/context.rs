//! Things that a worker lends a connection while it serves it, and what it is told in return.

use super::counters::Tally;
use super::mailbox::News;
use crate::protocol::{Application, Behaviour};

/// The longest read.
pub(super) const LONGEST_READ: usize = 16 * 1024;

/// Things that all connections of a worker share while one of them is served.
#[derive(Debug)]
pub(super) struct Context<'w> {
    pub(super) application: Application,
    pub(super) behaviour: &'w Behaviour,
    pub(super) tally: &'w Tally,
    pub(super) buffers: &'w mut Buffers,
    pub(super) actions: Actions,
}

/// Reused from one connection to the next; empty between them.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) received: Vec<u8>,
    pub(super) plain: Vec<u8>,
    pub(super) out: Vec<u8>,
    pub(super) wire: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Buffers {
        let [received, plain] = [(); 2].map(|()| Vec::with_capacity(LONGEST_READ));
        Buffers { received, plain, out: Vec::new(), wire: Vec::new() }
    }
}

/// Wishes of a connection to its worker when it has been served.
#[derive(Debug, Default)]
pub(super) struct Actions {
    /// The connection has become a WebSocket.
    pub(super) opened: bool,
    /// The connection is to be released after the behaviour's time.
    pub(super) held: bool,
    /// The connection is to be closed soon, whatever the peer does.
    pub(super) lingers: bool,
    /// Messages that all the others are to be sent.
    pub(super) news: Vec<News>,
}
