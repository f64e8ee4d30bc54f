//! Looks at a failing tuple when its first failure comes: its ports and who holds them, its listener,
//! connection tracking, its source address.
//!
//! What passes quickest is looked at first. Nothing is asked for twice, and nothing here judges.

mod listener;
mod ports;

use crate::diagnose::{ConntrackNow, Moment, SourceAddress};
use crate::linux::addresses::{assigned, is_local, source_for};
use crate::linux::listeners::{self, Listener};
use crate::linux::proc_net::{Conntrack, Counters, ProcNet};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::sysctl::{HostSettings, ipv6_is_disabled};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tracked;
use crate::model::{Cause, Failure, PortPolicy, Stage, Stamp, as_connected};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

/// State before the run, with which its looks will be compared.
pub(crate) struct MomentLook {
    /// Who chooses the run's source ports.
    policy: PortPolicy,
    host: HostSettings,
    counters: Option<Counters>,
    conntrack: Option<Conntrack>,
    listeners: Vec<Listener>,
}

/// Circumstances of a look.
pub(crate) struct Circumstances<'a> {
    /// Time since the start of the run.
    pub(crate) now: &'a dyn Fn() -> Stamp,
    /// True if there is time left for what takes long.
    pub(crate) keep_on: &'a dyn Fn() -> bool,
}

impl MomentLook {
    /// Takes note of counters as they are before the run.
    pub(crate) fn new(policy: PortPolicy, host: HostSettings) -> MomentLook {
        let mut files = ProcNet::open().ok();
        MomentLook {
            policy,
            host,
            counters: files.as_mut().and_then(|files| files.counters().ok()),
            conntrack: files.and_then(|mut files| files.conntrack().ok().flatten()),
            listeners: listeners::all().unwrap_or_default(),
        }
    }

    /// Fills in what can be seen now.
    pub(crate) fn look(&self, mut moment: Moment, circumstances: &Circumstances<'_>) -> Moment {
        let unseen = &mut Vec::new();
        let destination = as_connected(moment.lease.source, moment.lease.destination);
        let source = moment.lease.source.or_else(|| source_for(destination).ok());
        moment.source = source.map(|source| source.to_canonical());
        // Without its scope: the kernel's lists have none.
        moment.destination = SocketAddr::new(destination.ip(), destination.port());
        if is_for_want_of_a_port(moment.failure) {
            moment.ports = noted(self.ports(&moment, circumstances), "sockets (sock_diag)", unseen);
            moment.looked_at = (circumstances.now)();
        }
        if is_local(moment.destination.ip()).unwrap_or(false) && !is_for_want_of_a_port(moment.failure) {
            moment.listener = noted(self.listener(&moment), "listeners (sock_diag)", unseen).flatten();
        }
        moment.conntrack = self.conntrack(&moment, unseen);
        if moment.failure.cause == Cause::AddressNotAvailable {
            // Where no address will do, one that is not usable yet may be why.
            moment.source = moment.source.or_else(|| unusable(moment.destination.is_ipv6()));
            moment.address = moment.source.and_then(|source| noted(address(source), "addresses", unseen));
        }
        if moment.destination.is_ipv6() {
            let interface = if moment.destination.ip().is_loopback() { "lo" } else { "all" };
            moment.ipv6_disabled = ipv6_is_disabled(interface);
        }
        let counters = ProcNet::open().and_then(|mut files| files.counters());
        let counters = noted(counters, "counters (/proc/net)", unseen);
        moment.counters = counters.zip(self.counters).map(|(now, before)| now.since(&before));
        if moment.ports.is_none() {
            moment.looked_at = (circumstances.now)();
        }
        moment.unseen = std::mem::take(unseen);
        moment
    }

    fn conntrack(&self, moment: &Moment, unseen: &mut Vec<String>) -> Option<ConntrackNow> {
        let now = ProcNet::open().and_then(|mut files| files.conntrack());
        let now = noted(now, "connection tracking", unseen).flatten()?;
        let lost_before = self.conntrack.and_then(|before| before.drops).unwrap_or_default();
        Some(ConntrackNow {
            count: now.count,
            max: now.max,
            before: self.conntrack.map(|before| before.count),
            lost: now.drops.map(|drops| drops.since(&lost_before)),
            tracks_us: tracks_us(moment),
        })
    }
}

/// True if a connection of the failing tuple has an entry in connection tracking. One that is established tells; of one
/// whose SYN may have been dropped only an entry does.
fn tracks_us(moment: &Moment) -> Option<bool> {
    let source = moment.source?;
    if let Some(established) = own_socket(source, moment.destination, TcpState::Established) {
        return tracked::has_entry(established, moment.destination).ok();
    }
    let begun = own_socket(source, moment.destination, TcpState::SynSent)?;
    tracked::has_entry(begun, moment.destination).ok().filter(|has| *has)
}

/// A socket from this address to that destination, in this state.
fn own_socket(source: IpAddr, destination: SocketAddr, state: TcpState) -> Option<SocketAddr> {
    let filter = Filter { destinations: vec![destination], ..Filter::states(StateSet::NONE.with(state)) };
    let mut own = None;
    let asked = SockDiag::open().and_then(|mut diag| {
        diag.dump_while(&filter, |socket| {
            if socket.source.ip() == source {
                own = Some(socket.source);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
    });
    asked.ok()?;
    own
}

fn address(source: IpAddr) -> io::Result<SourceAddress> {
    let assigned = assigned()?.into_iter().find(|own| own.address == source);
    Ok(SourceAddress {
        is_local: assigned.is_some() || is_local(source)?,
        tentative: assigned.as_ref().is_some_and(|own| own.tentative && !own.duplicate),
        duplicate: assigned.as_ref().is_some_and(|own| own.duplicate),
        interface: assigned.map(|own| own.interface),
    })
}

/// An address of this family that is assigned, and tentative or duplicate.
fn unusable(is_ipv6: bool) -> Option<IpAddr> {
    let of_family = assigned().ok()?.into_iter().filter(|own| own.address.is_ipv6() == is_ipv6);
    of_family.into_iter().find(|own| own.tentative).map(|own| own.address)
}

fn is_for_want_of_a_port(failure: Failure) -> bool {
    matches!(
        (failure.stage, failure.cause),
        (Stage::Connect, Cause::AddressNotAvailable)
            | (Stage::Bind, Cause::AddressInUse)
            | (Stage::Lease, Cause::NoFreePort)
    )
}

fn noted<T>(answer: io::Result<T>, what: &str, unseen: &mut Vec<String>) -> Option<T> {
    answer.map_err(|error| unseen.push(format!("{what}: {error}"))).ok()
}
