//! What detectors and diagnosis know of a plan on this host before it runs.

use crate::host::target::are_local;
use crate::linux::addresses::is_local;
use crate::linux::sysctl::HostSettings;
use crate::model::AddressSet;
use crate::observe::{RunContext, TIME_WAIT};
use crate::plan::{Arrivals, Close, Plan, PortPolicy};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The context of a plan against these destinations.
pub(crate) fn context(plan: &Plan, destinations: &[SocketAddr], host: &HostSettings) -> RunContext {
    let range = host.ports();
    let (low, high) = match plan.source.ports {
        PortPolicy::Kernel | PortPolicy::NaiveBind => (range.low, range.high),
        PortPolicy::Range { low, high } | PortPolicy::Explicit { low, high } => (low, high),
    };
    let reserved_ports = range.reserved.count_in(&(low..=high));
    let usable_ports = u32::from(high) - u32::from(low) + 1 - reserved_ports;
    RunContext {
        usable_ports: Some(usable_ports),
        reserved_ports,
        tuples: tuples(&plan.source.addresses, destinations),
        time_wait_blocks: time_wait_blocks(plan, destinations, host),
        time_wait_cap: host.tcp_max_tw_buckets,
        target_is_local: are_local(destinations),
        open_loop: matches!(plan.load.arrivals, Arrivals::Open(_)),
        ends_at: match &plan.load.arrivals {
            Arrivals::Open(stages) => Some(stages.iter().map(|stage| stage.over).sum()),
            Arrivals::Closed { duration, .. } => *duration,
        },
        cores: host.cores.unwrap_or(1),
    }
}

fn tuples(sources: &AddressSet, destinations: &[SocketAddr]) -> u64 {
    sources.len().max(1).saturating_mul(destinations.len() as u64)
}

/// After what time the port of a TIME_WAIT of ours can be taken again.
///
/// Explicit ports with timestamps: at once. The kernel's choice: after `tcp_tw_reuse_delay`, where
/// `tcp_tw_reuse` is 1, or 2 (loopback only) with an address of 127/8 or ::1 (`tcp_twsk_unique()`,
/// net/ipv4/tcp_ipv4.c); otherwise after the 60 s of TIME_WAIT.
fn time_wait_blocks(plan: &Plan, destinations: &[SocketAddr], host: &HostSettings) -> Duration {
    if plan.connection.close != Close::Fin {
        return Duration::ZERO;
    }
    let timestamps = host.tcp_timestamps.unwrap_or(1) != 0;
    let explicit = matches!(plan.source.ports, PortPolicy::Explicit { .. });
    let loopback = !destinations.is_empty() && destinations.iter().all(|d| d.ip().is_loopback());
    let reuse = match host.tcp_tw_reuse {
        Some(1) => true,
        Some(2) => loopback,
        _ => false,
    };
    match () {
        () if !timestamps => TIME_WAIT,
        () if explicit => Duration::ZERO,
        () if reuse => Duration::from_millis(host.tcp_tw_reuse_delay_ms.unwrap_or(1000)),
        () => TIME_WAIT,
    }
}

/// Source addresses of the plan that are not this host's: the first few of each block.
pub(crate) fn foreign_sources(plan: &Plan) -> Vec<IpAddr> {
    const LOOKED_AT: u64 = 16;
    let blocks = plan.source.addresses.blocks();
    let addresses =
        blocks.iter().flat_map(|block| (0..block.len().min(LOOKED_AT)).filter_map(|n| block.nth(n)));
    addresses.filter(|address| !is_local(*address).unwrap_or(true)).collect()
}

/// Source addresses of the plan, each once with its weight; none where the kernel chooses, or there are too many
/// to count failures by.
pub(crate) fn source_weights(plan: &Plan) -> Vec<(IpAddr, u64)> {
    const MOST: u64 = 1024;
    let addresses = &plan.source.addresses;
    if addresses.len() > MOST {
        return Vec::new();
    }
    let mut weights: Vec<(IpAddr, u64)> = Vec::new();
    let each = addresses
        .blocks()
        .iter()
        .flat_map(|block| (0..block.len()).filter_map(|n| Some((block.nth(n)?, u64::from(block.weight())))));
    for (address, more) in each {
        match weights.iter_mut().find(|(known, _)| *known == address) {
            Some((_, weight)) => *weight += more,
            None => weights.push((address, more)),
        }
    }
    weights
}
