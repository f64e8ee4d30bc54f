//! Ports of the failing tuple at the moment of its first failure, each counted under one cause.
//!
//! A look proves something only where the kernel's list was consistent, the run was still on, and hardly a port was
//! free: otherwise what is counted is not what the attempt met.

use super::certainty::NEARLY_ALL;
use super::{Facts, FailureFact, FindingId, Moment, PortOwner, TuplePorts};
use crate::linux::tcp_state::TcpState;
use std::net::IpAddr;

/// Share of the usable ports that has to be taken. Not all: some may have ended between the failure and the count.
const FULL: f64 = 0.97;

/// One cause and the ports that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) id: FindingId,
    pub(super) ports: u64,
    /// In the plural: "open connections".
    pub(super) what: String,
}

/// One look at the ports of the failing tuple.
#[derive(Debug)]
pub(super) struct PortShares<'a> {
    pub(super) source: Option<IpAddr>,
    pub(super) moment: &'a Moment,
    pub(super) ports: &'a TuplePorts,
    /// The most ports first.
    pub(super) shares: Vec<Share>,
}

impl<'a> PortShares<'a> {
    /// The look at the tuple of the first failure of this kind; never one at another tuple.
    pub(super) fn of(facts: &'a Facts, failed: &FailureFact) -> Option<PortShares<'a>> {
        let way = |moment: &&Moment| {
            failed.lease.is_none_or(|lease| {
                (lease.source, lease.destination) == (moment.lease.source, moment.lease.destination)
            })
        };
        let moment = facts.moments_of(failed.failure.stage, failed.failure.cause).find(way)?;
        let ports = moment.ports.as_ref()?;
        Some(PortShares { source: moment.source, moment, ports, shares: shares(ports) })
    }

    /// True if what was counted is what the attempt met.
    pub(super) fn is_exact(&self) -> bool {
        !self.ports.inconsistent && !self.moment.after_the_end && self.is_full()
    }

    /// True if hardly a port was free.
    fn is_full(&self) -> bool {
        let taken = self.ports.usable.saturating_sub(self.ports.free);
        f64::from(taken) >= f64::from(self.ports.usable) * FULL
    }

    /// The cause, and whether it holds nearly all of what it has to explain. The tuple's own sockets have to take
    /// nearly all ports; where they don't, the cause is what keeps the others from them.
    pub(super) fn cause(&self) -> Option<(&Share, bool)> {
        if self.moment.after_the_end || !self.is_full() {
            return None;
        }
        let usable = u64::from(self.ports.usable);
        let taken = self.ports.taken();
        // A few listeners beside them are not what keeps the others away.
        let own_fill_it = taken as f64 >= usable as f64 * NEARLY_ALL;
        let out_of = if own_fill_it { usable } else { usable.saturating_sub(taken) };
        let in_the_way = |share: &&Share| own_fill_it || keeps_others_away(share.id);
        let cause = self.shares.iter().find(in_the_way)?;
        Some((cause, cause.ports as f64 >= out_of as f64 * NEARLY_ALL))
    }

    /// All shares in words: "300 of 512 are open connections, 212 are in TIME_WAIT".
    pub(super) fn told(&self) -> String {
        let mut told = Vec::new();
        for share in &self.shares {
            let of = if told.is_empty() { format!(" of {}", self.ports.usable) } else { String::new() };
            told.push(format!("{}{of} are {}", share.ports, share.what));
        }
        if self.ports.free > 0 {
            told.push(format!("{} were free when looked at", self.ports.free));
        }
        told.join(", ")
    }

    /// Who holds what is not this run's.
    pub(super) fn holders(&self) -> Vec<String> {
        holders(self.ports)
    }
}

/// True if it is a hindrance beside the tuple's own sockets.
fn keeps_others_away(id: FindingId) -> bool {
    matches!(id, FindingId::PortsExhaustedByOtherSockets | FindingId::PortsExhaustedByPoisonedBuckets)
}

fn holders(ports: &TuplePorts) -> Vec<String> {
    let named = |held: &super::PortHolder| match &held.owner {
        PortOwner::Process(holder) => {
            Some(format!("{} (pid {}, {} sockets)", holder.name, holder.pid, held.ports))
        }
        PortOwner::OtherUser(uid) => Some(format!("processes of the user {uid} ({} sockets)", held.ports)),
        PortOwner::Kernel | PortOwner::Unknown => None,
    };
    ports.holders.iter().filter_map(named).collect()
}

fn shares(ports: &TuplePorts) -> Vec<Share> {
    use FindingId as Id;
    let names = holders(ports);
    let by = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
    let ended = [TcpState::TimeWait, TcpState::FinWait2, TcpState::CloseWait, TcpState::LastAck];
    let open = |counts: &crate::linux::tuple_usage::StateCounts| {
        counts.total() - ended.iter().map(|state| counts.get(*state)).sum::<u64>()
    };
    let earlier = ports.earlier.get(TcpState::TimeWait);
    let left = if earlier > 0 { format!(" ({earlier} left from before this run)") } else { String::new() };
    let last = ports.in_state(TcpState::LastAck);
    let all = [
        (
            Id::PortsExhaustedByLiveConnections,
            open(&ports.own) + open(&ports.unattributed) + open(&ports.earlier),
            "open connections".to_owned(),
        ),
        (
            Id::PortsExhaustedByTimeWait,
            ports.in_state(TcpState::TimeWait),
            format!("in TIME_WAIT{left}, which connections keep for 60 s after this side closed them first"),
        ),
        (
            Id::PortsExhaustedByFinWait2,
            ports.in_state(TcpState::FinWait2),
            "in FIN_WAIT_2: this side has closed those connections, and the peer never closes its own side".to_owned(),
        ),
        (
            Id::PortsExhaustedByCloseWait,
            ports.in_state(TcpState::CloseWait),
            "in CLOSE_WAIT: the peer has closed those connections, and the program on this host never closes them"
                .to_owned(),
        ),
        (
            Id::PortsExhaustedByLastAck,
            last,
            "in LAST_ACK: both sides have closed, and the peer does not acknowledge this side's FIN".to_owned(),
        ),
        (
            Id::PortsExhaustedByOtherSockets,
            u64::from(ports.listening) + u64::from(ports.bound.unwrap_or(0)) + open(&ports.others),
            format!(
                "other sockets{by} ({} listening, {} only bound, {} connected to the same destination)",
                ports.listening,
                ports.bound.map_or("unknown".to_owned(), |bound| bound.to_string()),
                open(&ports.others)
            ),
        ),
        (
            Id::PortsExhaustedByPoisonedBuckets,
            u64::from(ports.elsewhere),
            format!(
                "bound by other sockets{by}: connect() passes over every port that a bind() without \
                 IP_BIND_ADDRESS_NO_PORT has taken, even one to another destination"
            ),
        ),
    ];
    let mut shares: Vec<Share> = all
        .into_iter()
        .filter(|(_, ports, _)| *ports > 0)
        .map(|(id, ports, what)| Share { id, ports, what })
        .collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.ports));
    shares
}
