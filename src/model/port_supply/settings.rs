//! The rules of one network namespace: the range, and what TIME_WAIT does to a port.

use super::Holder;
use crate::model::port_set::PortRange;
use crate::model::{Close, PortPolicy};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Time in TIME_WAIT before the timer's rounding (`TCP_TIMEWAIT_LEN` in `include/net/tcp.h`; a constant,
/// which `tcp_fin_timeout` does not change).
pub const TIME_WAIT: Duration = Duration::from_secs(60);

/// Values of `net.ipv4.tcp_tw_reuse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// 0: no port in TIME_WAIT is taken again.
    Off,
    /// 1: connect() takes a port in TIME_WAIT again once the delay has passed.
    On,
    /// 2, the default since Linux 4.19: only where [`is_loopback_tuple`] holds.
    Loopback,
}

impl TimeWaitReuse {
    /// The setting behind the kernel's number.
    pub fn from_number(number: u32) -> TimeWaitReuse {
        match number {
            0 => TimeWaitReuse::Off,
            1 => TimeWaitReuse::On,
            _ => TimeWaitReuse::Loopback,
        }
    }
}

/// True if `tcp_tw_reuse=2` counts a connection as loopback: `tcp_twsk_unique()` (net/ipv4/tcp_ipv4.c) asks
/// for a source **or** a destination in 127.0.0.0/8 or `::1`, v4-mapped ones too, whatever device the
/// packets go over (measured on Linux 6.18: 127.0.0.2 to 10.9.9.1 is loopback, 10.9.9.1 to itself is not).
/// A socket that is bound to the device `lo` counts as well; no socket of ours is.
pub fn is_loopback_tuple(source: IpAddr, destination: IpAddr) -> bool {
    is_loopback_end(source) || is_loopback_end(destination)
}

/// True if an end with this address makes a tuple loopback.
pub(super) fn is_loopback_end(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// State of a port after close().
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Free at once.
    Free,
    /// In TIME_WAIT, and taken again by connect() after `tcp_tw_reuse_delay`.
    Reused(Duration),
    /// Taken until TIME_WAIT is over.
    TimeWait,
}

impl Kept {
    /// Time until the port can be taken again, without the timer's rounding.
    pub fn nominal(self) -> Duration {
        match self {
            Kept::Free => Duration::ZERO,
            Kept::Reused(delay) => delay.min(TIME_WAIT),
            Kept::TimeWait => TIME_WAIT,
        }
    }
}

/// Settings of a network namespace that decide over source ports.
#[derive(Debug, Clone, PartialEq)]
pub struct PortSettings {
    /// `net.ipv4.ip_local_port_range`, with `ip_local_reserved_ports`.
    pub range: PortRange,
    /// `net.ipv4.tcp_tw_reuse`.
    pub reuse: TimeWaitReuse,
    /// `net.ipv4.tcp_tw_reuse_delay` (Linux 6.14; before it, one second).
    pub reuse_delay: Duration,
    /// `net.ipv4.tcp_timestamps` is not 0. Without them no TIME_WAIT is reused, in any way.
    pub timestamps: bool,
    /// Ticks of the kernel's timer a second (`CONFIG_HZ`). `None`: unknown, and TIME_WAIT is taken to last
    /// [`TIME_WAIT`] exactly.
    pub ticks_per_second: Option<u32>,
}

impl PortSettings {
    /// Ports from which a policy takes its own, reserved ones included.
    ///
    /// A range of the socket's own is bounded by the namespace's; a bound outside of that is ignored.
    /// bind() to a chosen port asks for no range at all.
    pub fn span(&self, policy: PortPolicy) -> RangeInclusive<u16> {
        let (low, high) = (self.range.low, self.range.high);
        match policy {
            PortPolicy::Kernel | PortPolicy::NaiveBind => low..=high,
            PortPolicy::Explicit { low, high } => low..=high,
            PortPolicy::Range { low: first, high: last } => {
                let inside = |port: &u16| (low..=high).contains(port);
                Some(first).filter(inside).unwrap_or(low)..=Some(last).filter(inside).unwrap_or(high)
            }
        }
    }

    /// Ports that one tuple can have by a policy: exactly that many connections succeed (measured on Linux
    /// 6.18 with pools of 1,024, 1,023, 924 and 1 ports, even and odd, held and in TIME_WAIT).
    ///
    /// Reserved ports are left out, also by explicit leases: they are somebody else's.
    pub fn usable(&self, policy: PortPolicy) -> u32 {
        let span = self.span(policy);
        count(&span) - self.reserved_in_use(policy)
    }

    /// Ports of [`PortSettings::span`] that are reserved. Reserved ports elsewhere cost nothing.
    pub fn reserved_in_use(&self, policy: PortPolicy) -> u32 {
        self.range.reserved.count_in(&self.span(policy))
    }

    /// Usable ports that the kernel tries before any other; `None`: it tries them all alike.
    ///
    /// `__inet_hash_connect()` (net/ipv4/inet_hashtables.c) tries all ports of the parity of the range's
    /// first port before any other; once they are taken it walks through them all on each connect().
    /// Measured on 28,232 ports: 15–25 µs a connect up to 14,116 in use, 2,000 µs beyond. Which ports are
    /// reserved matters: with 2,500 of the 5,000 even ports reserved, the jump came at 2,500 of 7,500.
    /// bind() to port 0 (`inet_csk_find_open_port()`) tries the other parity first, with the same jump. With
    /// `IP_LOCAL_PORT_RANGE` the kernel goes in steps of one, and there is no jump (10,000 ports: flat).
    pub fn tried_first(&self, policy: PortPolicy) -> Option<u32> {
        let first = self.range.usable_first();
        let first = match policy {
            PortPolicy::Kernel => first,
            PortPolicy::NaiveBind => self.range.usable() - first,
            PortPolicy::Range { .. } | PortPolicy::Explicit { .. } => return None,
        };
        // When one parity is empty the kernel walks through it from the first connect on.
        (first < self.range.usable()).then_some(first)
    }

    /// State of a port after close(). Measured for each policy with `tcp_tw_reuse` of 0, 1 and 2 and
    /// timestamps on and off, Linux 6.18.
    pub fn kept_after_close(&self, policy: PortPolicy, close: Close, loopback: bool) -> Kept {
        match (close, policy) {
            (Close::Rst | Close::Peer, _) => Kept::Free,
            // A socket that has its port already passes no `twp`: any newer timestamp will do.
            (Close::Fin, PortPolicy::Explicit { .. }) if self.timestamps => Kept::Free,
            // 1,024 ports, tcp_tw_reuse=1: 1,020 a second without a failure, 2 in 1,000 fail at 1,024.
            (Close::Fin, PortPolicy::Kernel | PortPolicy::Range { .. }) if self.reuses(loopback) => {
                Kept::Reused(self.reuse_delay)
            }
            // bind() never takes a port in TIME_WAIT, whatever tcp_tw_reuse says: EADDRINUSE at the 1,025th.
            (Close::Fin, _) => Kept::TimeWait,
        }
    }

    /// True if connect() may take a port that is in TIME_WAIT to the same destination, once the delay has
    /// passed (`tcp_twsk_unique()` in `net/ipv4/tcp_ipv4.c`).
    pub fn reuses(&self, loopback: bool) -> bool {
        let applies = match self.reuse {
            TimeWaitReuse::Off => false,
            TimeWaitReuse::On => true,
            TimeWaitReuse::Loopback => loopback,
        };
        applies && self.timestamps
    }

    /// Time until a socket gives its port back to connect() or bind() of this policy: `Some(None)` as long as its
    /// program wants, `None` where the port can be taken now. `ends_in` is the time that its timer has left, where
    /// the timer is that of TIME_WAIT.
    pub fn held_until(
        &self,
        policy: PortPolicy,
        by: Holder,
        ends_in: Option<Duration>,
        loopback: bool,
    ) -> Option<Option<Duration>> {
        // An open connection of another program may be closed at any time; nobody knows when.
        let Some(ends_in) = ends_in else { return Some(None) };
        let kept = self.kept_after_close(policy, Close::Fin, loopback).nominal();
        // `tcp_twsk_unique()` leaves FIN_WAIT_2 alone where connect() searches.
        let searched = !matches!(policy, PortPolicy::Explicit { .. });
        let until = match by {
            Holder::FinWait2 if searched => ends_in,
            _ => ends_in.min(kept.saturating_sub(TIME_WAIT.saturating_sub(ends_in))),
        };
        (!until.is_zero()).then_some(Some(until))
    }

    /// Longest time, in seconds, that a port so kept stays taken.
    pub fn longest(&self, kept: Kept) -> f64 {
        match kept {
            Kept::TimeWait => self.longest_time_wait(),
            other => other.nominal().as_secs_f64(),
        }
    }

    /// The longest that TIME_WAIT holds a port, in seconds.
    ///
    /// The kernel's timer wheel rounds an expiry up to the granularity of the level it falls into: level
    /// `n` begins at `63 · 8^(n−1)` ticks and has a granularity of `8^n` ticks (`kernel/time/timer.c`). For
    /// 60 s that is 512 ticks up to 537 Hz and 4,096 above: 5.12 s at 100 Hz, 2.05 s at 250 Hz, 4.10 s at
    /// 1,000 Hz. Measured at 250 Hz over 400 sockets: 60.02 to 62.07 s, mean 61.04; and through 1,024 ports
    /// 16.5 connections a second went on without a failure, while 17 (which 60 s would allow) failed.
    pub fn longest_time_wait(&self) -> f64 {
        TIME_WAIT.as_secs_f64() + self.rounding()
    }

    /// Time in TIME_WAIT on average, in seconds: expiries fall evenly within one granule.
    pub fn mean_time_wait(&self) -> f64 {
        TIME_WAIT.as_secs_f64() + self.rounding() / 2.0
    }

    fn rounding(&self) -> f64 {
        let Some(hz) = self.ticks_per_second.filter(|hz| *hz > 0) else { return 0.0 };
        let ticks = TIME_WAIT.as_secs() * u64::from(hz);
        let mut granule = 1_u64;
        while ticks >= 63 * granule && granule < 1 << 24 {
            granule *= 8;
        }
        granule as f64 / f64::from(hz)
    }
}

/// Ports of a span; none where it ends before it begins.
fn count(span: &RangeInclusive<u16>) -> u32 {
    if span.is_empty() { 0 } else { u32::from(*span.end()) - u32::from(*span.start()) + 1 }
}
