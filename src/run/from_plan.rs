//! Questions to the planner: a plan as a demand, and a host's settings as its limits.

use crate::capacity::{self, Conntrack, Demand, Ends, Forecast, HostLimits, PortSpan, RateCourse};
use crate::host::held_ports;
use crate::linux::addresses::source_for;
use crate::linux::sysctl::HostSettings;
use crate::model::{HeldPorts, PortDemand, PortSupply, Rate, TupleGroup};
use crate::plan::{Arrivals, Plan};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Ways of a plan that the plan does not say: where its connections go, and what they meet there.
#[derive(Debug, Clone, PartialEq)]
pub struct Whereto {
    /// Number of (address, port) pairs that it connects to.
    pub destinations: u32,
    /// The tuples are loopback to `tcp_tw_reuse`.
    pub loopback: bool,
    /// The tuples, where they are not all alike or something is held of their ports.
    pub tuples: Vec<TupleGroup>,
    /// Ends of a connection that are on this host.
    pub ends: Ends,
}

impl Whereto {
    /// The tuples of a supply.
    pub fn of(supply: &PortSupply, ends: Ends) -> Whereto {
        let destinations = u32::try_from(supply.destinations().len()).unwrap_or(u32::MAX);
        let groups = supply.groups();
        let loopback = !groups.is_empty() && groups.iter().all(|group| group.loopback);
        let plain = groups.len() == 1 && groups.iter().all(|group| group.held.is_empty());
        Whereto { destinations, loopback, tuples: if plain { Vec::new() } else { groups }, ends }
    }

    /// The same if each of so many sockets held a port of every tuple.
    fn at_worst(supply: &PortSupply, ends: Ends, sockets: u64) -> Whereto {
        let held =
            |group| TupleGroup { held: HeldPorts { lasting: sockets, ..HeldPorts::default() }, ..group };
        let tuples = supply.groups().into_iter().map(held).collect();
        Whereto { tuples, ..Whereto::of(supply, ends) }
    }
}

/// The source ports of a plan in this network namespace, with nothing held. A look at the routes.
pub fn supply(plan: &Plan, destinations: &[SocketAddr], settings: &HostSettings) -> PortSupply {
    let by_route = plan.source.addresses.is_empty();
    let demand = PortDemand {
        policy: plan.source.ports,
        close: plan.connection.close,
        sources: plan.source.addresses.clone(),
        routed: if by_route { routed(destinations) } else { Vec::new() },
        destinations: destinations.to_vec(),
    };
    PortSupply::new(&demand, settings.port_settings())
}

/// The same, less the ports that are bound or listened on just now.
pub fn supply_now(plan: &Plan, destinations: &[SocketAddr], settings: &HostSettings) -> PortSupply {
    let supply = supply(plan, destinations, settings);
    let bound = held_ports::bound(&supply).unwrap_or_default();
    supply.holding(bound)
}

/// Demand of a plan on its ports of this host, and what becomes of it. `None` where that can't be told: a closed loop
/// whose connections are closed at once, or no destination.
///
/// The connections that hold ports of the supply are looked at, unless there are very many sockets and the ports would
/// do if each of them held one of every tuple.
pub fn forecast(
    plan: &Plan,
    host: &HostSettings,
    supply: &PortSupply,
    ends: Ends,
) -> Option<(Demand, Forecast)> {
    if supply.destinations().is_empty() {
        return None;
    }
    let limits = limits(host);
    let with = |whereto: Whereto| {
        let demand = demand(plan, whereto)?;
        let forecast = capacity::forecast(&demand, &limits);
        Some((demand, forecast))
    };
    let without = with(Whereto::of(supply, ends))?;
    if held_ports::very_many().is_some_and(|sockets| {
        with(Whereto::at_worst(supply, ends, sockets)).is_some_and(|(_, worst)| worst.ports_suffice())
    }) {
        return Some(without);
    }
    let seen = held_ports::connections(supply).unwrap_or_default();
    with(Whereto::of(&supply.clone().holding(seen.sockets), ends))
}

/// Ends of the connections to these destinations that are on this host.
pub(super) fn ends(destinations: &[SocketAddr], own_target: bool) -> Ends {
    match () {
        () if own_target => Ends::OneProgram,
        () if crate::host::target::are_local(destinations) => Ends::TwoPrograms,
        () => Ends::Client,
    }
}

/// The source address that the routes give to each destination. Its port does not matter to them.
fn routed(destinations: &[SocketAddr]) -> Vec<Option<IpAddr>> {
    let mut known = HashMap::new();
    let mut of =
        |to: &SocketAddr| *known.entry(SocketAddr::new(to.ip(), 1)).or_insert_with(|| source_for(*to).ok());
    destinations.iter().map(&mut of).collect()
}

/// The demand of a plan. `None` for a closed loop whose connections are closed at once: how fast it goes is
/// only found by running it.
///
/// A closed loop with a lifetime makes slots ÷ lifetime attempts a second (Little's law); one whose
/// connections stay to the end holds as many as it has slots.
pub fn demand(plan: &Plan, whereto: Whereto) -> Option<Demand> {
    // How long an answer takes is not known before the run; steps live at least as long as their pauses.
    let lifetime = plan.life_of_a_connection(Duration::ZERO);
    let (arrivals, held, slots) = match &plan.load.arrivals {
        Arrivals::Open(stages) => (RateCourse { pieces: stages.clone(), after: Rate::ZERO }, 0, None),
        Arrivals::Closed { slots, duration } => {
            let mean = lifetime.mean();
            let rate = mean.map_or(0.0, |mean| *slots as f64 / mean.as_secs_f64());
            if !rate.is_finite() {
                return None;
            }
            let held = if mean.is_none() { *slots } else { 0 };
            let arrivals = duration
                .map_or_else(|| RateCourse::endless(rate), |duration| RateCourse::constant(rate, duration));
            (arrivals, held, Some(*slots))
        }
    };
    let sources = plan.source.addresses.distinct().len();
    Some(Demand {
        arrivals,
        attempts: plan.load.connections,
        held,
        max_open: plan.load.max_open.or(slots),
        lifetime,
        close: plan.connection.close,
        ports: plan.source.ports,
        sources: u32::try_from(sources).unwrap_or(u32::MAX).max(1),
        destinations: whereto.destinations,
        loopback: whereto.loopback,
        tuples: whereto.tuples,
        ends: whereto.ends,
        queued_bytes: 0,
        accept_rate: None,
    })
}

/// The limits of a host, for a generator whose workers have their own descriptor tables. What the settings
/// do not say is taken to be as Linux has it by default; open files in use are not settings, and taken as
/// none. Connection tracking that has no entry at all tracks nothing, and is no limit.
pub fn limits(settings: &HostSettings) -> HostLimits {
    let usual = HostLimits::default();
    let range = settings.ports();
    let reserved = settings.ip_local_reserved_ports.ranges();
    HostLimits {
        port_range: PortSpan { low: range.low, high: range.high },
        reserved_ports: reserved.map(|r| PortSpan { low: *r.start(), high: *r.end() }).collect(),
        tw_reuse: settings.tcp_tw_reuse.map_or(usual.tw_reuse, |value| value.min(2) as u8),
        tw_reuse_delay: settings.tcp_tw_reuse_delay_ms.map_or(usual.tw_reuse_delay, Duration::from_millis),
        timestamps: settings.tcp_timestamps.map_or(usual.timestamps, |value| value != 0),
        max_tw_buckets: settings.tcp_max_tw_buckets.unwrap_or(usual.max_tw_buckets),
        ticks_per_second: settings.ticks_per_second,
        nofile: settings.nofile_soft.unwrap_or(u64::MAX),
        private_tables: true,
        file_max: settings.file_max.unwrap_or(usual.file_max),
        files_in_use: usual.files_in_use,
        somaxconn: settings.somaxconn.map_or(usual.somaxconn, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        backlog: usual.backlog,
        conntrack: settings.conntrack.as_ref().filter(|conntrack| conntrack.in_use != Some(0)).map(
            |conntrack| {
                let usual = Conntrack::default();
                Conntrack {
                    max: conntrack.max,
                    in_use: conntrack.in_use.unwrap_or(usual.in_use),
                    time_wait: conntrack.tcp_time_wait.map_or(usual.time_wait, Duration::from_secs),
                    close: conntrack.tcp_close.map_or(usual.close, Duration::from_secs),
                }
            },
        ),
        memory_available: settings.memory_available,
        tcp_mem: settings.tcp_mem.zip(settings.page_size).map(|(mem, page)| mem[2].saturating_mul(page)),
        costs: usual.costs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    const WHERETO: Whereto =
        Whereto { destinations: 1, loopback: true, tuples: Vec::new(), ends: Ends::TwoPrograms };

    fn plan(change: impl FnOnce(&mut Overrides)) -> Plan {
        let mut overrides = Overrides::to("tcp://127.0.0.1:9001");
        change(&mut overrides);
        from_flags(&overrides).unwrap()
    }

    #[test]
    fn an_open_loop_keeps_its_stages_and_sources() {
        let plan = plan(|o| {
            o.set("--rate", "100/s");
            o.set("--ramp", "5s");
            o.set("--duration", "10s");
            o.set("--source", "127.0.0.2-127.0.0.9");
        });
        let demand = demand(&plan, WHERETO).unwrap();
        assert_eq!((demand.arrivals.peak(), demand.arrivals.pieces.len(), demand.sources), (100.0, 2, 8));
    }

    #[test]
    fn sockets_are_looked_at_where_they_may_take_the_ports_of_the_plan() {
        let plan = plan(|o| {
            o.set("--rate", "100/s");
            o.set("--duration", "10s");
            o.set("--close", "rst");
        });
        let settings =
            HostSettings { ip_local_port_range: Some((32_768, 60_999)), ..HostSettings::default() };
        let supply = supply(&plan, &["127.0.0.1:9001".parse().unwrap()], &settings);
        let suffices = |sockets| {
            let whereto = Whereto::at_worst(&supply, Ends::TwoPrograms, sockets);
            capacity::forecast(&demand(&plan, whereto).unwrap(), &limits(&settings)).ports_suffice()
        };
        assert!(suffices(0) && suffices(14_116));
        assert!(!suffices(14_117), "from here on each search for a port walks through all of them");
        assert!(!suffices(60_000));
    }

    #[test]
    fn a_closed_loop_follows_littles_law_or_cannot_be_told() {
        let closed = |lifetime: &str| {
            plan(|o| {
                o.set("--concurrency", "200");
                o.set("--lifetime", lifetime);
                o.set("--duration", "10s");
            })
        };
        let lasting = demand(&closed("2s"), WHERETO).unwrap();
        assert_eq!((lasting.arrivals.peak(), lasting.max_open), (100.0, Some(200)));
        assert_eq!(demand(&closed("until-end"), WHERETO).unwrap().held, 200);
        assert_eq!(demand(&closed("0s"), WHERETO), None);
    }

    #[test]
    fn settings_that_are_missing_are_linuxs_own() {
        let bare = limits(&HostSettings::default());
        let usual = HostLimits { private_tables: true, nofile: u64::MAX, ..HostLimits::default() };
        assert_eq!(bare, usual);
        let settings = HostSettings {
            tcp_mem: Some([1, 2, 3]),
            page_size: Some(4096),
            ip_local_reserved_ports: "33000-33009,40000".parse().unwrap(),
            ..HostSettings::default()
        };
        let read = limits(&settings);
        assert_eq!(read.tcp_mem, Some(12_288));
        assert_eq!(read.reserved_ports.iter().map(|span| span.len()).sum::<u32>(), 11);
    }
}
