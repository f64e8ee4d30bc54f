//! The supply of source ports: how many there are, how often, and how long each stays taken.

use super::demand::{Close, Demand, PortPolicy};
use super::limits::{HostLimits, PortSpan};
use serde::{Deserialize, Serialize};

/// The source ports that a demand can draw on, and how long a closed connection keeps one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PortSupply {
    /// Usable ports of one pool. Exactly that many connections succeed (measured on Linux 6.18 with pools
    /// of 1,024, 1,023, 924 and 1 ports, even and odd, held and in TIME_WAIT).
    pub per_pool: u32,
    /// Of them, those that the kernel tries first: see [`PortSupply::of`]. `None`: it tries them all alike.
    pub tried_first: Option<u32>,
    /// Number of pools: source addresses × destinations, but only source addresses when the port is chosen
    /// by bind() before the destination is known.
    pub pools: u64,
    /// How long a closed connection keeps its port, in seconds.
    pub kept_after_close_s: f64,
    /// A port is taken only when nothing else is left to take: `true` where ports are taken one after the
    /// other by the program, `false` where the kernel picks among them at random.
    pub in_turn: bool,
}

impl PortSupply {
    /// The supply for this demand on this host.
    ///
    /// `__inet_hash_connect()` (net/ipv4/inet_hashtables.c) tries all ports of the parity of the range's
    /// first port before any other; once they are taken it walks through them all on each connect().
    /// Measured on 28,232 ports: 15–25 µs a connect up to 14,116 in use, 2,000 µs beyond. Which ports are
    /// reserved matters: with 2,500 of the 5,000 even ports reserved, the jump came at 2,500 of 7,500.
    /// bind() to port 0 (`inet_csk_find_open_port()`) tries the other parity first, with the same jump. With
    /// `IP_LOCAL_PORT_RANGE` the kernel goes in steps of one, and there is no jump (10,000 ports: flat).
    pub fn of(demand: &Demand, host: &HostLimits) -> PortSupply {
        let range = host.port_range;
        let usable = |parity: Option<u16>, span: PortSpan| usable(span, &host.reserved_ports, parity);
        let (per_pool, tried_first) = match demand.ports {
            PortPolicy::Kernel => (usable(None, range), Some(usable(Some(range.low % 2), range))),
            PortPolicy::NaiveBind => (usable(None, range), Some(usable(Some(1 - range.low % 2), range))),
            PortPolicy::Range { low, high } => (usable(None, narrowed(range, low, high)), None),
            // bind() to a chosen port asks neither the range nor the reserved ports.
            PortPolicy::Explicit { low, high } => (PortSpan { low, high }.len(), None),
        };
        let (sources, destinations) =
            (u64::from(demand.sources.max(1)), u64::from(demand.destinations.max(1)));
        let pools = match demand.ports {
            PortPolicy::NaiveBind => sources,
            _ => sources * destinations,
        };
        PortSupply {
            per_pool,
            // When one parity is empty the kernel walks through it from the first connect on.
            tried_first: tried_first.filter(|first| *first < per_pool),
            pools,
            kept_after_close_s: kept_after_close(demand, host),
            in_turn: matches!(demand.ports, PortPolicy::Explicit { .. }),
        }
    }

    /// Ports of all pools.
    pub fn capacity(&self) -> u64 {
        u64::from(self.per_pool).saturating_mul(self.pools)
    }

    /// Ports of all pools that are tried first; `None` where all are tried alike.
    pub fn first_pass(&self) -> Option<u64> {
        self.tried_first.map(|first| u64::from(first).saturating_mul(self.pools))
    }

    /// How many different ports a window of time has seen, when `taken` are taken at once and so cannot be
    /// picked twice, and `picked` were picked in the window, `taken` among them.
    ///
    /// The rest falls at random on the ports not taken, so `1 − e^(−rest/free)` of these were met. The kernel
    /// picks only among the ports it tries first, as long as they suffice. Measured with 1,024 ports and
    /// `tcp_tw_reuse=1`, TIME_WAIT after 110 s: 201, 324, 438 and 497 at 4, 8.5, 17 and 30 a second, against
    /// 194, 326, 444 and 498 by this formula over 61.02 s.
    pub(super) fn distinct(&self, taken: f64, picked: f64) -> f64 {
        let pools = self.pools as f64;
        let all = f64::from(self.per_pool) * pools;
        if self.in_turn {
            return picked.min(all);
        }
        let first = self.tried_first.map_or(all, |first| f64::from(first) * pools);
        let pool = if taken < first { first } else { all };
        let free = pool - taken;
        if picked <= taken || free <= 0.0 {
            return picked.min(all);
        }
        (taken - free * (-(picked - taken) / free).exp_m1()).min(all)
    }
}

/// How long a port stays taken after close(), in seconds. Measured for each policy with `tcp_tw_reuse` of 0,
/// 1 and 2 and timestamps on and off, Linux 6.18.
fn kept_after_close(demand: &Demand, host: &HostLimits) -> f64 {
    let time_wait = host.longest_time_wait();
    match (demand.close, demand.ports) {
        (Close::Rst | Close::Peer, _) => 0.0,
        // A socket that has its port already passes no `twp`: any newer timestamp will do.
        (Close::Fin, PortPolicy::Explicit { .. }) if host.timestamps => 0.0,
        // 1,024 ports, tcp_tw_reuse=1: 1,020 a second without a failure, 2 in 1,000 fail at 1,024.
        (Close::Fin, PortPolicy::Kernel | PortPolicy::Range { .. })
            if host.reuses_time_wait(demand.loopback) =>
        {
            host.tw_reuse_delay.as_secs_f64().min(time_wait)
        }
        // bind() never takes a port in TIME_WAIT, whatever tcp_tw_reuse says: EADDRINUSE at the 1,025th.
        (Close::Fin, _) => time_wait,
    }
}

/// The span that `IP_LOCAL_PORT_RANGE` leaves: an end outside of the namespace's range does not count
/// (`inet_sk_get_local_port_range()`).
fn narrowed(range: PortSpan, low: u16, high: u16) -> PortSpan {
    PortSpan {
        low: if range.contains(low) { low } else { range.low },
        high: if range.contains(high) { high } else { range.high },
    }
}

/// Ports of a span that are not reserved, all or those of one parity.
fn usable(span: PortSpan, reserved: &[PortSpan], parity: Option<u16>) -> u32 {
    let mut blocks: Vec<PortSpan> = reserved
        .iter()
        .map(|r| PortSpan { low: r.low.max(span.low), high: r.high.min(span.high) })
        .filter(|r| !r.is_empty())
        .collect();
    blocks.sort_by_key(|block| block.low);
    let mut count = count(u32::from(span.low), u32::from(span.high) + 1, parity);
    let mut next = u32::from(span.low);
    for block in blocks {
        let end = u32::from(block.high) + 1;
        count -= self::count(u32::from(block.low).max(next), end, parity);
        next = next.max(end);
    }
    count
}

/// Numbers from `low` up to, but without, `end`; all or those of one parity.
fn count(low: u32, end: u32, parity: Option<u16>) -> u32 {
    let below = |n: u32| match parity {
        None => n,
        Some(parity) if parity % 2 == 0 => n.div_ceil(2),
        Some(_) => n / 2,
    };
    if low < end { below(end) - below(low) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(reserved_ports: Vec<PortSpan>) -> HostLimits {
        let port_range = PortSpan { low: 32_768, high: 33_791 };
        HostLimits { port_range, reserved_ports, ..HostLimits::default() }
    }

    #[test]
    fn reserved_ports_are_counted_once_and_by_parity() {
        let span = |low, high| PortSpan { low, high };
        let reserved = vec![span(33_000, 33_099), span(33_050, 33_149), span(1, 100), span(40_000, 50_000)];
        let supply = PortSupply::of(&Demand::constant(1.0), &host(reserved));
        assert_eq!((supply.per_pool, supply.tried_first), (1024 - 150, Some(512 - 75)));
        let even = (32_768..33_268).step_by(2).map(|port| span(port, port)).collect();
        let supply = PortSupply::of(&Demand::constant(1.0), &host(even));
        assert_eq!((supply.per_pool, supply.tried_first), (774, Some(262)));
    }

    #[test]
    fn destinations_multiply_only_where_the_port_is_chosen_at_connect() {
        let demand = Demand { sources: 3, destinations: 4, ..Demand::constant(1.0) };
        let capacity = |ports| PortSupply::of(&Demand { ports, ..demand.clone() }, &host(vec![])).capacity();
        assert_eq!(capacity(PortPolicy::Kernel), 12 * 1024);
        assert_eq!(capacity(PortPolicy::NaiveBind), 3 * 1024);
        assert_eq!(capacity(PortPolicy::Explicit { low: 10_000, high: 10_099 }), 12 * 100);
        assert_eq!(capacity(PortPolicy::Range { low: 33_000, high: 33_099 }), 12 * 100);
        assert_eq!(capacity(PortPolicy::Range { low: 20_000, high: 40_000 }), 12 * 1024);
    }

    #[test]
    fn a_closed_connection_keeps_its_port_by_policy_and_close() {
        let kept = |ports, close, tw_reuse, timestamps| {
            let demand = Demand { ports, close, ..Demand::constant(1.0) };
            kept_after_close(&demand, &HostLimits { tw_reuse, timestamps, ..HostLimits::default() })
        };
        let explicit = PortPolicy::Explicit { low: 1024, high: 65_535 };
        assert_eq!(kept(PortPolicy::Kernel, Close::Fin, 0, true), 60.0);
        assert_eq!(kept(PortPolicy::Kernel, Close::Fin, 1, true), 1.0);
        assert_eq!(kept(PortPolicy::Kernel, Close::Fin, 1, false), 60.0);
        assert_eq!(kept(PortPolicy::NaiveBind, Close::Fin, 1, true), 60.0);
        assert_eq!(kept(explicit, Close::Fin, 0, true), 0.0);
        assert_eq!(kept(explicit, Close::Fin, 1, false), 60.0);
        assert_eq!(kept(PortPolicy::NaiveBind, Close::Rst, 0, false), 0.0);
        assert_eq!(kept(PortPolicy::Kernel, Close::Peer, 0, true), 0.0);
    }

    #[test]
    fn ports_met_again_are_counted_once() {
        let mut demand = Demand { loopback: true, ..Demand::constant(1.0) };
        let supply = PortSupply::of(&demand, &host(vec![]));
        for (rate, measured) in [(4.0, 201.0), (8.5, 324.0), (17.0, 438.0), (30.0, 497.0)] {
            let forecast = supply.distinct(rate, rate * 61.024);
            assert!((forecast - measured).abs() / measured < 0.05, "{rate}: {forecast}");
        }
        demand.ports = PortPolicy::Range { low: 32_768, high: 33_791 };
        let forecast = PortSupply::of(&demand, &host(vec![])).distinct(8.5, 8.5 * 61.024);
        assert!((forecast - 412.0).abs() < 20.0, "{forecast}");
    }
}
