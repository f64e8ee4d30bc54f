//! The tuple of the run that is nearest to having no port left.

use super::{ObservedWindow, RunContext};
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::TupleCount;
use crate::model::{Evidence, Kept, Stamp};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A tuple of the run, and how many of its ports nobody can take just now.
#[derive(Debug, Clone, Copy)]
pub(super) struct BusyTuple {
    pub(super) source: IpAddr,
    pub(super) destination: SocketAddr,
    /// Sockets in TIME_WAIT.
    pub(super) time_wait: u64,
    /// Established connections.
    pub(super) established: u64,
    /// Sockets in other states.
    pub(super) others: u64,
    /// Sockets in FIN_WAIT_2 among the others: the peer has not closed.
    fin_wait_2: u64,
    /// Ports that can't be taken: all sockets but TIME_WAIT that `tcp_tw_reuse` gives away.
    pub(super) blocked: u64,
    /// Ports that the tuple can have at all: the usable ones less those bound or listened on.
    pub(super) usable: u64,
}

impl BusyTuple {
    /// All sockets of the tuple.
    pub(super) fn sockets(&self) -> u64 {
        self.time_wait + self.established + self.others
    }

    /// Time that a port stays taken after close(), as what is seen of the tuple says: where the peer does not
    /// close, our side waits in FIN_WAIT_2, which `tcp_tw_reuse` does not shorten.
    pub(super) fn blocks(&self, context: &RunContext) -> Duration {
        if self.fin_wait_2 * 2 > self.blocked {
            return context.fin_timeout;
        }
        context.supply.kept(self.source, self.destination.ip()).nominal()
    }

    /// Sockets by what keeps the port.
    pub(super) fn evidence(&self, context: &RunContext) -> Evidence {
        let bound = u64::from(context.supply.usable()).saturating_sub(self.usable);
        let reusable = self.sockets().saturating_sub(self.blocked);
        Evidence::default()
            .with("ports_in_use", self.sockets())
            .with("time_wait", self.time_wait)
            .with("established", self.established)
            .with("other_states", self.others)
            .with_known("fin_wait_2", (self.fin_wait_2 > 0).then_some(self.fin_wait_2))
            .with_known("time_wait_reusable", (reusable > 0).then_some(reusable))
            .with_known("ports_bound_or_listened_on", (bound > 0).then_some(bound))
            .with_known("ports_usable", context.usable_ports)
            .with("ports_reserved", context.reserved_ports)
            .with_known("ceiling_per_s", context.ceiling_per_s(self.source, self.destination.ip()))
    }
}

/// Connections closed by the run of late, from which follows how much of TIME_WAIT is too young to be reused.
#[derive(Debug, Default)]
pub(super) struct RecentCloses {
    /// Windows, each with its end and the connections that ended in it; the newest last.
    windows: VecDeque<(Stamp, u64)>,
    before: Stamp,
}

impl RecentCloses {
    /// Takes in a window.
    pub(super) fn look(&mut self, view: &ObservedWindow<'_>) {
        let closed = view.window.ok + view.window.failed;
        self.windows.push_back((view.window.at, closed));
        while self.windows.len() > 64 {
            self.before = self.windows.pop_front().map_or(self.before, |(at, _)| at);
        }
    }

    /// Connections closed within the last `span`, those of a window that only reaches into it in part.
    fn within(&self, span: Duration) -> u64 {
        let now = self.windows.back().map_or(Stamp::ZERO, |(at, _)| *at);
        let from = now.saturating_sub(span);
        let starts = std::iter::once(self.before).chain(self.windows.iter().map(|(at, _)| *at));
        let parts = self.windows.iter().zip(starts).map(|((end, closed), start)| {
            let length = end.saturating_sub(start).as_secs_f64();
            let inside = end.saturating_sub(from.max(start)).as_secs_f64();
            if length > 0.0 { *closed as f64 * (inside / length).min(1.0) } else { *closed as f64 }
        });
        parts.sum::<f64>().ceil() as u64
    }
}

/// The tuple of the run with the fewest ports left; those of other programs to other places are not looked at.
pub(super) fn busiest(
    view: &ObservedWindow<'_>,
    context: &RunContext,
    closes: &RecentCloses,
) -> Option<BusyTuple> {
    let tuples = view.sample.tuples();
    let ours = tuples.iter().filter(|tuple| context.is_ours(tuple.source, tuple.destination));
    ours.map(|tuple| busy(tuple, view, context, closes)).max_by_key(|tuple| tuple.blocked)
}

/// The tuple of one source and destination, if it has any socket.
pub(super) fn of(
    source: Option<IpAddr>,
    destination: SocketAddr,
    view: &ObservedWindow<'_>,
    context: &RunContext,
    closes: &RecentCloses,
) -> Option<BusyTuple> {
    let tuples = view.sample.tuples();
    let here = |tuple: &&TupleCount| {
        tuple.destination == destination && source.is_none_or(|source| source == tuple.source)
    };
    tuples.iter().find(here).map(|tuple| busy(tuple, view, context, closes))
}

fn busy(
    tuple: &TupleCount,
    view: &ObservedWindow<'_>,
    context: &RunContext,
    closes: &RecentCloses,
) -> BusyTuple {
    let states = &tuple.sockets;
    let time_wait = states.get(TcpState::TimeWait);
    let seen = states.get(TcpState::Established);
    // An older look at the established ones counts connections that a newer one has in TIME_WAIT.
    let established = if view.sample.is_one_look() { seen } else { seen.min(view.window.open) };
    let others = states.total() - time_wait - seen;
    let waiting = match context.supply.kept(tuple.source, tuple.destination.ip()) {
        Kept::Reused(delay) => {
            let young = closes.within(delay) as f64 * context.largest_share;
            time_wait.min(young.ceil() as u64)
        }
        Kept::Free | Kept::TimeWait => time_wait,
    };
    BusyTuple {
        source: tuple.source,
        destination: tuple.destination,
        time_wait,
        established,
        others,
        fin_wait_2: states.get(TcpState::FinWait2),
        blocked: waiting + established + others,
        usable: context.supply.takeable(),
    }
}
