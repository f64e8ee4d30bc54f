//! Knowledge of detectors and diagnosis about a plan on this host before it runs.

use crate::diagnose::ClientFacts;
use crate::host::target::are_local;
use crate::linux::addresses::is_local;
use crate::linux::sysctl::HostSettings;
use crate::model::PortSupply;
use crate::observe::RunContext;
use crate::plan::{Arrivals, Plan};
use crate::protocol::Application;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The context of a plan against these destinations.
///
/// The supply has to be less what is bound or listened on: the connections of its tuples are seen in every window, and
/// that is not.
pub(crate) fn context(
    plan: &Plan,
    destinations: &[SocketAddr],
    host: &HostSettings,
    supply: PortSupply,
) -> RunContext {
    RunContext {
        usable_ports: Some(supply.usable()),
        reserved_ports: supply.reserved(),
        tuples: supply.tuples(),
        largest_share: supply.groups().iter().map(|group| group.share).fold(0.0, f64::max),
        open_for: plan.connection.lifetime.mean(),
        fin_timeout: Duration::from_secs(host.tcp_fin_timeout.unwrap_or(60)),
        supply,
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

/// Source addresses of the plan that are not this host's: the first few of each block.
pub(crate) fn foreign_sources(plan: &Plan) -> Vec<IpAddr> {
    const LOOKED_AT: u64 = 16;
    let blocks = plan.source.addresses.blocks();
    let addresses =
        blocks.iter().flat_map(|block| (0..block.len().min(LOOKED_AT)).filter_map(|n| block.nth(n)));
    addresses.filter(|address| !is_local(*address).unwrap_or(true)).collect()
}

/// Orders of the plan to the run, as far as a remedy may ask for the same.
pub(crate) fn client(plan: &Plan) -> ClientFacts {
    let (tls, request) = (&plan.session.tls, &plan.session.request);
    let has_header = |name: &str| request.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let flags = [
        ("--insecure", tls.insecure),
        ("--ca", tls.ca.is_some()),
        ("--cert", tls.cert.is_some()),
        ("--server-name", tls.server_name.is_some()),
        ("--alpn", !tls.alpn.is_empty()),
        ("--tls-version", tls.version.is_some()),
        ("--subprotocol", !request.subprotocols.is_empty()),
        ("--auth", has_header("authorization")),
        ("--origin", has_header("origin")),
    ];
    ClientFacts {
        close: Some(plan.connection.close),
        ports: Some(plan.source.ports),
        connect_timeout: Some(plan.connection.connect_timeout),
        flags: flags.into_iter().filter(|(_, has)| *has).map(|(flag, _)| flag).collect(),
    }
}

/// Messages or requests that each connection of the plan is to have, where their number is fixed.
pub(crate) fn planned_messages(plan: &Plan) -> Option<u64> {
    match plan.kind().application() {
        Application::Http => Some(u64::from(plan.session.request.requests)),
        Application::WebSocket | Application::Stream => plan.session.messages.count,
    }
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
