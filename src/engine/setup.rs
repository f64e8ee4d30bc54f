//! Settlement of what is needed before any thread starts: routes, ports, the number of workers.

use super::connections::ConnectionConfig;
use super::error::RunError;
use super::open_count::OpenCount;
use super::pacer::{ClosedPacer, OpenPacer, Pacer, Pacing};
use super::reporting::Reporting;
use super::resolve::Destinations;
use super::session::{Common, Script};
use super::workers;
use crate::linux::addresses::{is_local, source_for};
use crate::linux::fd_table;
use crate::linux::sock_diag::SockDiag;
use crate::linux::socket::{PortChoice, has_port_range_option};
use crate::linux::sysctl::HostSettings;
use crate::model::{
    AddressBlock, AddressSet, MemoryBudget, Part, Pool, PortDemand, PortSupply, Routes, Schedule, Slice,
    Spacing, first_of_each_ip, partition,
};
use crate::plan::{Arrivals, Plan, PortPolicy, Until};
use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The settled setup of a run; workers are made from it.
#[derive(Debug)]
pub(super) struct Setup {
    /// The whole plan.
    pub plan: Plan,
    /// Part of the plan that this process does.
    pub slice: Slice,
    /// Number of workers.
    pub workers: u32,
    /// Pairs of source and destination; `None` when the target's name could not be resolved.
    pub routes: Option<Arc<Routes>>,
    /// Choice of source ports.
    pub choice: PortChoice,
    /// First port of those from which the kernel chooses.
    first_port: u16,
    /// True if the source of an attempt can be its own destination.
    may_meet_itself: bool,
    /// Ports to lease on each tuple; `None` where the kernel chooses.
    leasable: Option<Vec<u16>>,
    /// Script of what is said above TCP; `None`: nothing.
    pub script: Option<Arc<Script>>,
    /// When attempts become due.
    arrivals: Due,
    /// When the run ends by time.
    pub end: Option<Duration>,
    /// Time after the end in which attempts that were due before it are still started.
    pub grace: Duration,
    /// When nothing of the run goes on any more, however late a worker is: its end by time, the grace, and the longest
    /// wait that the plan allows; `None`: where it has no end by time.
    pub stop_by: Option<Duration>,
    /// Connections open at once over all workers of the population.
    pub open: Arc<OpenCount>,
    /// Memory that sessions hold for their peers, over all workers.
    pub memory: Arc<MemoryBudget>,
    /// Place of the population among all.
    pub population: Population,
    /// Workers of populations before this one, and of all.
    pub among_workers: (u32, u32),
    /// Notes that are told and kept beside counts.
    pub reporting: Reporting,
}

/// A population of several, from 0; of a plan without populations the only one.
#[derive(Debug, Clone)]
pub(super) struct Population {
    pub number: u32,
    pub of: u32,
    /// Number of its first step, and the rows that its clients take.
    pub common: Common,
}

/// Time past its plan that a run of a number of attempts has to start those that are late: no time was asked for.
const GRACE_OF_A_NUMBER: Duration = Duration::from_secs(10);

/// The same for a run of a duration: a worker that got no CPU at the last moment skips nothing for that.
const GRACE_OF_A_TIME: Duration = Duration::from_secs(1);

/// When attempts become due: the arrivals of the plan, made ready.
#[derive(Debug)]
enum Due {
    /// Open loop.
    Planned(Arc<Schedule>),
    /// Closed loop: the number of slots.
    Slots(u64),
}

impl Setup {
    /// Settles what this host does of a plan.
    ///
    /// # Errors
    /// Whatever keeps the run from beginning.
    pub(super) fn new(
        plan: &Plan,
        slice: Slice,
        destinations: &Destinations,
        population: Population,
    ) -> Result<Setup, RunError> {
        let host = HostSettings::read();
        let choice = port_choice(plan.source.ports, &host)?;
        let demand = PortDemand {
            policy: plan.source.ports,
            close: plan.connection.close,
            sources: plan.source.addresses.clone(),
            destinations: destinations.addresses().to_vec(),
            routed: Vec::new(),
        };
        let supply = PortSupply::new(&demand, host.port_settings());
        let leasable = match plan.source.ports {
            PortPolicy::Explicit { low, high } => {
                let ports = supply.leasable(&listened_on()?);
                Some(Some(ports).filter(|ports| !ports.is_empty()).ok_or(RunError::NoPorts { low, high })?)
            }
            _ => None,
        };
        let routes = match destinations {
            Destinations::Known(addresses) => {
                let sources = sources(plan, addresses, choice == PortChoice::Leased)?;
                Some(Arc::new(Routes::new(&sources, addresses)?))
            }
            Destinations::Unresolved(_) => None,
        };
        let script = Script::of(plan, &population.common)?.map(Arc::new);
        let (arrivals, end, grace) = match &plan.load.arrivals {
            Arrivals::Open(stages) => {
                let schedule = Schedule::new(stages, plan.load.connections);
                let schedule = match plan.spacing {
                    Spacing::Even => schedule,
                    Spacing::Poisson => {
                        schedule.at_random(plan.seed.wrapping_add(u64::from(population.number)))
                    }
                };
                let end = schedule.end();
                let grace = match plan.load.until {
                    Until::Number => GRACE_OF_A_NUMBER,
                    Until::Time => GRACE_OF_A_TIME,
                };
                (Due::Planned(Arc::new(schedule)), Some(end), grace)
            }
            Arrivals::Closed { slots, duration } => {
                (Due::Slots(workers::slots_used(plan, *slots)), *duration, Duration::ZERO)
            }
        };
        let waits = plan.connection.connect_timeout.max(
            script
                .as_ref()
                .map_or(Duration::ZERO, |script| script.longest_end() + plan.connection.connect_timeout),
        );
        let stop_by = end.map(|end| end.saturating_add(grace.max(GRACE_OF_A_TIME)).saturating_add(waits));
        // Raising the soft limit to the hard one takes no privilege; where it fails, it stays as it is.
        let table_limit = fd_table::raise_soft_limit().ok().or(fd_table::limits().0);
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
        let workers = workers::how_many(&plan.share(slice), cores, table_limit);
        Ok(Setup {
            plan: plan.clone(),
            slice,
            workers,
            routes,
            choice,
            first_port: *supply.span().start(),
            may_meet_itself: may_meet_itself(&demand, &supply.span()),
            leasable,
            script,
            arrivals,
            end,
            grace,
            stop_by,
            open: Arc::default(),
            memory: Arc::default(),
            population,
            among_workers: (0, workers),
            reporting: Reporting::default(),
        })
    }

    /// The part of a worker.
    pub(super) fn part(&self, worker: u32) -> Part {
        let Population { number, of, .. } = self.population;
        Part::new(self.slice, worker, self.workers).of_population(number, of)
    }

    /// The arrivals of a worker.
    pub(super) fn pacer(&self, part: Part) -> Pacer {
        match &self.arrivals {
            Due::Planned(schedule) => Pacer::Open(OpenPacer::new(schedule.clone(), part)),
            Due::Slots(slots) => Pacer::Closed(ClosedPacer::new(*slots, self.plan.load.connections, part)),
        }
    }

    /// Configuration of a worker's attempts.
    pub(super) fn connection_config(&self, part: Part) -> ConnectionConfig {
        ConnectionConfig {
            choice: self.choice,
            connection: self.plan.connection,
            searched_from: (self.choice == PortChoice::AtConnect).then_some(self.first_port),
            may_meet_itself: self.may_meet_itself,
            pacing: match self.arrivals {
                Due::Planned(_) => Pacing::Planned,
                Due::Slots(_) => Pacing::Slots,
            },
            max_open: self.plan.load.max_open.map_or(u64::MAX, |most| part.share(most)),
            reconnect: self.plan.session.reconnect,
        }
    }

    /// The leases of a worker.
    pub(super) fn pool(&self, part: Part) -> Option<Pool> {
        let routes = self.routes.clone()?;
        Some(match &self.leasable {
            Some(ports) => {
                // Populations may have the same tuples.
                let (before, all) = self.among_workers;
                Pool::explicit(routes, part, partition(ports, before + part.worker(), all))
            }
            None => Pool::kernel_chooses(routes, part),
        })
    }

    /// Number of ports to lease on each tuple; `None` where the kernel chooses.
    pub(super) fn leasable_ports(&self) -> Option<u64> {
        self.leasable.as_ref().map(|ports| ports.len() as u64)
    }
}

/// The system calls of a policy.
fn port_choice(policy: PortPolicy, host: &HostSettings) -> Result<PortChoice, RunError> {
    match policy {
        PortPolicy::Kernel => Ok(PortChoice::AtConnect),
        PortPolicy::NaiveBind => Ok(PortChoice::AtBind),
        PortPolicy::Explicit { .. } => Ok(PortChoice::Leased),
        PortPolicy::Range { low, high } => {
            let range = host.ports();
            let (range_low, range_high) = (range.low, range.high);
            if low < range_low || high > range_high {
                return Err(RunError::RangeOutside { low, high, range_low, range_high });
            }
            if !has_port_range_option() {
                return Err(RunError::NoRangeOption { low, high });
            }
            Ok(PortChoice::AtConnectWithin { low, high })
        }
    }
}

/// True if any attempt can be given its own destination as its source: an address of this host, which the plan has
/// among its sources or the kernel chooses itself, and a port that can be chosen.
fn may_meet_itself(demand: &PortDemand, ports: &RangeInclusive<u16>) -> bool {
    let sources = demand.sources.blocks();
    let is_source = |ip: IpAddr| match ip.to_canonical() {
        // Each source is its own destination then.
        any if any.is_unspecified() => true,
        ip if sources.is_empty() => is_local(ip).unwrap_or(true),
        ip => sources.iter().any(|block| block.contains(ip)),
    };
    let with_such_port: Vec<_> =
        demand.destinations.iter().copied().filter(|to| ports.contains(&to.port())).collect();
    first_of_each_ip(&with_such_port).any(|to| is_source(to.ip()))
}

/// Ports listened on, on whatever address.
fn listened_on() -> Result<HashSet<u16>, RunError> {
    let what = "the list of listening sockets (sock_diag)";
    let listeners = SockDiag::open()
        .and_then(|mut diag| diag.listeners())
        .map_err(|error| RunError::Host { what, error })?;
    Ok(listeners.iter().map(|listener| listener.source.port()).collect())
}

/// The plan's sources. Leased ports need a source address to be bound to: where the plan has none, the
/// one that the routes give.
fn sources(plan: &Plan, destinations: &[std::net::SocketAddr], leased: bool) -> Result<AddressSet, RunError> {
    if !leased || !plan.source.addresses.is_empty() {
        return Ok(plan.source.addresses.clone());
    }
    let mut blocks: Vec<AddressBlock> = Vec::new();
    for destination in first_of_each_ip(destinations) {
        let block =
            source_for(destination).map_err(|error| RunError::NoSource { destination, error })?.into();
        if !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    Ok(AddressSet::new(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Close;

    #[test]
    fn only_an_address_and_a_port_that_can_be_chosen_can_meet_themselves() {
        let meets = |sources: &str, destination: &str| {
            let sources = if sources.is_empty() { AddressSet::default() } else { sources.parse().unwrap() };
            let demand = PortDemand {
                policy: PortPolicy::Kernel,
                close: Close::Fin,
                sources,
                destinations: vec!["192.0.2.1:9".parse().unwrap(), destination.parse().unwrap()],
                routed: Vec::new(),
            };
            may_meet_itself(&demand, &(32_768..=60_999))
        };
        assert!(meets("", "127.0.0.1:40000") && meets("127.0.0.0/28", "127.0.0.9:40000"));
        assert!(meets("", "[::ffff:127.0.0.1]:40000"));
        assert!(meets("10.0.0.1", "0.0.0.0:40000"), "each source is its own destination");
        assert!(!meets("", "127.0.0.1:9000"), "the port is never chosen");
        assert!(!meets("127.0.0.9", "127.0.0.1:40000") && !meets("", "192.0.2.1:40000"));
    }
}
