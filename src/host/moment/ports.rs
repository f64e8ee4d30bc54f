//! The ports of the range that a failing attempt used: what holds each, and who.

use super::{Circumstances, MomentLook};
use crate::diagnose::{Moment, PortHolder, PortOwner, PortScope, TuplePorts};
use crate::linux::holders::{self, Holders};
use crate::linux::sock_diag::{Filter, SockDiag, Socket};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tuple_usage::StateCounts;
use crate::linux::usage::user;
use crate::model::{Stage, Stamp, TIME_WAIT};
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

/// Descriptors that the search for holders may look at: some 0.5 s of CPU.
const HOLDERS_BUDGET: u32 = 300_000;
/// Rounding of the kernel's timers, and the time between the first attempts and the clock's start.
const ROUNDING: Duration = Duration::from_millis(2500);

/// Use of a port of the range; the earlier goes before the later where several do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// A socket that takes the port from the failed attempt.
    Taken,
    Listening,
    Bound,
    Elsewhere,
}

impl MomentLook {
    /// Counts them.
    pub(super) fn ports(&self, moment: &Moment, now: &Circumstances<'_>) -> io::Result<TuplePorts> {
        let scope = if moment.failure.stage == Stage::Bind { PortScope::Source } else { PortScope::Tuple };
        let mut held: HashMap<u16, (Use, Socket)> = HashMap::new();
        let rules = self.host.port_settings();
        let range = rules.span(self.policy);
        let filter = Filter { source_ports: vec![range.clone()], ..Filter::states(StateSet::ALL) };
        let dumped = SockDiag::open()?.dump(&filter, |socket| {
            let port = socket.source.port();
            if rules.range.reserved.contains(port) {
                return;
            }
            let Some(what) = use_of(socket, moment, scope) else { return };
            let entry = held.entry(port).or_insert((what, *socket));
            if what < entry.0 {
                *entry = (what, *socket);
            }
        })?;
        let inodes: HashSet<u32> =
            held.values().map(|(_, socket)| socket.inode).filter(|inode| *inode != 0).collect();
        let looked_at = (now.now)();
        let holders = holders::find_while(&inodes, HOLDERS_BUDGET, now.keep_on);
        let mut ports = TuplePorts {
            scope,
            low: *range.start(),
            high: *range.end(),
            reserved: rules.reserved_in_use(self.policy),
            usable: rules.usable(self.policy),
            bound: Some(0),
            inconsistent: dumped.inconsistent,
            ..TuplePorts::default()
        };
        ports.free = ports.usable.saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX));
        let fin_timeout = Duration::from_secs(self.host.tcp_fin_timeout.unwrap_or(60));
        let mut shares: HashMap<PortOwner, u32> = HashMap::new();
        for (what, socket) in held.values() {
            let owner = owner(socket, &holders);
            let is_own = owner == PortOwner::Process(holders::this_process());
            match what {
                Use::Listening => ports.listening += 1,
                Use::Bound => ports.bound = ports.bound.map(|bound| bound + 1),
                // The run's own connections choose their ports at connect(), so that tuples share them.
                Use::Elsewhere if is_own && scope == PortScope::Tuple => {
                    ports.own_elsewhere += 1;
                    continue;
                }
                Use::Elsewhere => ports.elsewhere += 1,
                Use::Taken => {
                    let counts = share_of(&mut ports, socket, &owner, looked_at, fin_timeout);
                    counts.add(socket.state, 1);
                    if is_own || owner == PortOwner::Kernel {
                        continue;
                    }
                }
            }
            *shares.entry(owner).or_default() += 1;
        }
        ports.free += ports.own_elsewhere;
        if !self.shows_bound_sockets() {
            ports.bound = None;
        }
        ports.holders = shares.into_iter().map(|(owner, ports)| PortHolder { owner, ports }).collect();
        ports.holders.sort_by(|a, b| (b.ports, &a.owner).cmp(&(a.ports, &b.owner)));
        Ok(ports)
    }

    /// Linux before 6.8 does not list sockets that are only bound.
    fn shows_bound_sockets(&self) -> bool {
        let mut numbers =
            self.host.kernel_release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(6), Some(8))
    }
}

/// Use of a port by a socket, as the attempt sees it; `None`: nothing that stands in its way.
fn use_of(socket: &Socket, moment: &Moment, scope: PortScope) -> Option<Use> {
    let (address, any) = (socket.source.ip(), socket.source.ip().is_unspecified());
    let same_source = moment.source.is_some_and(|source| source == address);
    let listens = socket.state == TcpState::Listen;
    // A socket that is only bound is told as closed.
    let bound = matches!(socket.state, TcpState::Close | TcpState::BoundInactive);
    match scope {
        PortScope::Tuple if listens => Some(Use::Listening),
        PortScope::Tuple if bound => Some(Use::Bound),
        PortScope::Tuple if same_source && socket.destination == moment.destination => Some(Use::Taken),
        PortScope::Tuple => Some(Use::Elsewhere),
        // bind() minds sockets of the same address, or of all.
        PortScope::Source if !(same_source || any || moment.source.is_none_or(|ip| ip.is_unspecified())) => {
            None
        }
        PortScope::Source if listens => Some(Use::Listening),
        PortScope::Source if bound => Some(Use::Bound),
        PortScope::Source => Some(Use::Taken),
    }
}

fn owner(socket: &Socket, holders: &Holders) -> PortOwner {
    match holders.by_inode.get(&socket.inode) {
        _ if socket.inode == 0 => PortOwner::Kernel,
        Some(holder) => PortOwner::Process(holder.clone()),
        None if socket.uid != user() => PortOwner::OtherUser(socket.uid),
        // All processes were seen, and none has it any more: closed between the count and the search. Others
        // are not known to be as busy as this run.
        None if holders.hidden == 0 && !holders.truncated => PortOwner::Process(holders::this_process()),
        None => PortOwner::Unknown,
    }
}

/// The share of a port that is taken from the attempt.
fn share_of<'a>(
    ports: &'a mut TuplePorts,
    socket: &Socket,
    owner: &PortOwner,
    now: Stamp,
    fin_timeout: Duration,
) -> &'a mut StateCounts {
    // The timer of a connection that has ended shows for how long.
    let lasts = match socket.state {
        TcpState::TimeWait => Some(TIME_WAIT),
        TcpState::FinWait2 if socket.inode == 0 && socket.ends_by_timer() => Some(fin_timeout),
        _ => None,
    };
    let left = Duration::from_millis(socket.expires_ms.into());
    match owner {
        _ if lasts.is_some_and(|lasts| lasts.saturating_sub(left) > now + ROUNDING) => &mut ports.earlier,
        PortOwner::Kernel if lasts.is_some() || socket.uid == user() => &mut ports.own,
        PortOwner::Process(holder) if *holder == holders::this_process() => &mut ports.own,
        PortOwner::Process(_) | PortOwner::OtherUser(_) | PortOwner::Kernel => &mut ports.others,
        PortOwner::Unknown => &mut ports.unattributed,
    }
}
