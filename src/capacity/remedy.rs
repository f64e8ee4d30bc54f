//! Changes with which a demand fits, each with its effect as the same forecast gives it.
//!
//! Invariant: a remedy that is listed puts off the limit it is meant for, or does away with it, and brings
//! the first failure no nearer. It may bring to light a limit that this one kept from being met.

use super::change::{Change, Cost};
use super::demand::Demand;
use super::forecast::forecast;
use super::limits::{HostLimits, PortSpan};
use super::profile::Profile;
use super::shape::{Break, Forecast, Limit, Moment, RateBound, Severity};
use crate::model::{Close, PortPolicy};
use serde::{Deserialize, Serialize};

/// Remedies for a demand that does not fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// Each change by itself: the limits at which attempts fail first, in the order in which they are met;
    /// for each, the changes that do away with it before those that put it off, then by cost.
    pub remedies: Vec<Remedy>,
    /// The fewest and cheapest changes that together make the demand fit; empty if it fits as it is, `None`
    /// if no set of them was found.
    pub enough: Option<Vec<Change>>,
}

/// A change, and what it brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// The change.
    pub change: Change,
    /// The limit that it is meant for.
    pub against: Limit,
    /// Cost of the change.
    pub cost: Cost,
    /// Commands or options that make the change.
    pub commands: Vec<String>,
    /// The state of things after it.
    pub after: Effect,
    /// True if the limit is then never met.
    pub clears: bool,
}

/// Outcome of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The constant rate that the ports sustain for ever.
    pub sustainable: RateBound,
    /// The same, without a TIME_WAIT cut short.
    pub sustainable_uncut: RateBound,
    /// When the ports run out.
    pub exhausted: Option<Moment>,
    /// When the limit that the change is meant for is met.
    pub limit_met: Option<Moment>,
    /// True if nothing fails any more.
    pub fits: bool,
}

/// The ports that need no privilege.
const WIDEST: PortSpan = PortSpan { low: 1024, high: u16::MAX };

/// Most source addresses, and most hosts, that are proposed.
const MOST_ADDRESSES: u64 = 65_536;
const MOST_HOSTS: u32 = 1024;

/// Changes in a set, at most: one for each limit, and one to spare.
const MOST_CHANGES: usize = 9;

/// Changes with which the demand fits the host. Every effect is a forecast of the changed input.
pub fn remedies(demand: &Demand, host: &HostLimits) -> Advice {
    let now = forecast(demand, host);
    let of = |severity| now.breaks.iter().filter(move |b| b.when.is_some() && b.limit.severity() == severity);
    let met = of(Severity::Failure).chain(of(Severity::Slowdown));
    let remedies = met.flat_map(|limit| against(demand, host, &now, limit)).collect();
    Advice { remedies, enough: enough(demand, host) }
}

/// The changes that help against one limit, the best first.
fn against(demand: &Demand, host: &HostLimits, now: &Forecast, met: &Break) -> Vec<Remedy> {
    let case = Case { demand, host, now };
    let mut found: Vec<Remedy> =
        case.candidates(met).into_iter().filter_map(|change| case.remedy(change, met)).collect();
    found.sort_by(|a, b| b.clears.cmp(&a.clears).then(a.cost.cmp(&b.cost)));
    found
}

/// Goes from one failing limit to the next, taking the best change each time; then leaves out what turns out
/// not to be needed.
fn enough(demand: &Demand, host: &HostLimits) -> Option<Vec<Change>> {
    let mut chosen: Vec<Change> = Vec::new();
    loop {
        let (changed, settings) = apply_all(&chosen, demand, host);
        let now = forecast(&changed, &settings);
        let Some(met) = now.breaks_first() else { break };
        if chosen.len() == MOST_CHANGES {
            return None;
        }
        let found = against(&changed, &settings, &now, met);
        let last = found.iter().max_by(|a, b| at(&a.after.limit_met).total_cmp(&at(&b.after.limit_met)));
        chosen.push(found.iter().find(|r| r.clears).or(last)?.change);
    }
    for i in (0..chosen.len()).rev() {
        let fewer: Vec<Change> =
            chosen.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, c)| *c).collect();
        let (changed, settings) = apply_all(&fewer, demand, host);
        if forecast(&changed, &settings).fits() {
            chosen = fewer;
        }
    }
    Some(chosen)
}

fn apply_all(changes: &[Change], demand: &Demand, host: &HostLimits) -> (Demand, HostLimits) {
    changes.iter().fold((demand.clone(), host.clone()), |(demand, host), change| change.apply(&demand, &host))
}

fn at(moment: &Option<Moment>) -> f64 {
    moment.map_or(f64::INFINITY, |moment| moment.at_s)
}

/// A demand on a host, as it is forecast now.
struct Case<'a> {
    demand: &'a Demand,
    host: &'a HostLimits,
    now: &'a Forecast,
}

impl Case<'_> {
    /// The changes that could help, before it is known whether they do.
    fn candidates(&self, met: &Break) -> Vec<Change> {
        let mut changes = match met.limit {
            Limit::Ports | Limit::PortSearch => self.for_ports(met),
            Limit::Descriptors => self.for_descriptors(met),
            Limit::FileMax => met.needed.map(Change::FileMax).into_iter().collect(),
            Limit::Conntrack => self.for_conntrack(met),
            Limit::AcceptQueue => self.longer_queue().into_iter().collect(),
            Limit::Memory | Limit::TcpMem | Limit::TimeWaitBuckets => Vec::new(),
        };
        changes.extend(self.largest_rate(met.limit).map(Change::Rate));
        changes.extend(self.fewest_hosts(met.limit).map(Change::Hosts));
        changes
    }

    fn for_ports(&self, met: &Break) -> Vec<Change> {
        let (demand, range) = (self.demand, self.host.port_range);
        let mut changes = Vec::new();
        if matches!(demand.ports, PortPolicy::NaiveBind | PortPolicy::Range { .. }) {
            changes.push(Change::ChooseAtConnect);
        }
        changes.extend(self.more_sources(met).map(Change::Sources));
        if !matches!(demand.ports, PortPolicy::Explicit { .. }) {
            changes.push(Change::ExplicitPorts(WIDEST));
        }
        let wide = PortSpan { low: range.low.min(WIDEST.low), high: WIDEST.high };
        if wide != range && matches!(demand.ports, PortPolicy::Kernel | PortPolicy::NaiveBind) {
            changes.push(Change::PortRange(wide));
        }
        if demand.close == Close::Fin {
            changes.extend([Change::ReuseTimeWait, Change::CloseByReset, Change::PeerCloses]);
        }
        changes
    }

    /// The fewest addresses whose ports suffice for what is needed at the peak.
    fn more_sources(&self, met: &Break) -> Option<u32> {
        let each = met.available / u64::from(self.demand.sources.max(1));
        let total = met.needed?.checked_div(each)?.saturating_add(1).min(MOST_ADDRESSES);
        let total = if each * (total - 1) >= met.needed? { total - 1 } else { total };
        (total > u64::from(self.demand.sources.max(1))).then_some(total as u32)
    }

    fn for_descriptors(&self, met: &Break) -> Vec<Change> {
        let tables = self.now.descriptors.tables_needed.map(Change::PrivateTables);
        tables.into_iter().chain(met.needed.map(Change::Descriptors)).collect()
    }

    fn for_conntrack(&self, met: &Break) -> Vec<Change> {
        let raised = met.needed.map(Change::ConntrackMax);
        let reset = (self.demand.close != Close::Rst).then_some(Change::CloseByReset);
        raised.into_iter().chain(reset).collect()
    }

    /// The shortest accept queue that does not overflow before the arrivals end.
    fn longer_queue(&self) -> Option<Change> {
        let accepted = self.demand.accept_rate?.max(0.0);
        let profile = Profile::new(&self.demand.arrivals);
        let overflows = |length: u32| profile.queue_reaches(accepted, f64::from(length) + 1.0).is_some();
        smallest(u32::from(u16::MAX), |length| !overflows(length)).map(Change::AcceptQueue)
    }

    /// The largest whole rate (hundredths below 1 a second) at which the limit is never met.
    fn largest_rate(&self, limit: Limit) -> Option<f64> {
        let peak = self.now.peak_rate;
        let unit = if peak > 1.0 { 1.0 } else { 0.01 };
        let most = (peak / unit).min(f64::from(u32::MAX)).floor() as u32;
        let meets = |steps: u32| self.meets(Change::Rate(f64::from(steps) * unit), limit);
        let first = smallest(most, meets).unwrap_or(most);
        (first > 1).then(|| f64::from(first - 1) * unit)
    }

    /// The fewest hosts among which the load can be divided so that none meets the limit.
    fn fewest_hosts(&self, limit: Limit) -> Option<u32> {
        smallest(MOST_HOSTS, |hosts| !self.meets(Change::Hosts(hosts), limit))
    }

    fn meets(&self, change: Change, limit: Limit) -> bool {
        let (demand, host) = change.apply(self.demand, self.host);
        forecast(&demand, &host).limit(limit).is_some_and(|b| b.when.is_some())
    }

    /// The remedy of a change; `None` unless it helps against the limit and harms nothing.
    fn remedy(&self, change: Change, met: &Break) -> Option<Remedy> {
        let (demand, host) = change.apply(self.demand, self.host);
        let then = forecast(&demand, &host);
        let limit_met = then.limit(met.limit).and_then(|b| b.when);
        let helps = at(&limit_met) > at(&met.when) * (1.0 + 1e-9) + 1e-9;
        let first = |forecast: &Forecast| at(&forecast.breaks_first().and_then(|b| b.when));
        let harms = first(&then) < first(self.now) - 1e-9;
        if !helps || harms || !self.keeps_rate(&then, change) {
            return None;
        }
        Some(Remedy {
            change,
            against: met.limit,
            cost: change.cost(),
            commands: change.commands(self.demand, self.host),
            after: Effect {
                sustainable: then.ports.sustainable,
                sustainable_uncut: then.ports.sustainable_uncut,
                exhausted: then.ports.exhausted,
                limit_met,
                fits: then.fits(),
            },
            clears: limit_met.is_none(),
        })
    }

    /// True if the ports sustain at least the rate that they sustain now. Of a divided load each host
    /// sustains what one did.
    fn keeps_rate(&self, then: &Forecast, change: Change) -> bool {
        let (before, after) = (self.now.ports.sustainable, then.ports.sustainable);
        matches!(change, Change::Hosts(_)) || after.as_per_second() >= before.as_per_second() * (1.0 - 1e-9)
    }
}

/// The smallest number from 1 to `most` for which `holds`, given that it holds for all beyond it.
fn smallest(most: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
    if most == 0 || !holds(most) {
        return None;
    }
    let (mut low, mut high) = (0, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Conntrack, RateCourse};
    use crate::model::Lifetime;
    use std::time::Duration;

    fn find(advice: &Advice, wanted: impl Fn(&Change) -> bool) -> &Remedy {
        advice.remedies.iter().find(|r| r.against == Limit::Ports && wanted(&r.change)).unwrap()
    }

    #[test]
    fn a_demand_that_fits_needs_nothing() {
        let advice = remedies(&Demand::constant(100.0), &HostLimits::default());
        assert_eq!(advice, Advice { remedies: vec![], enough: Some(vec![]) });
    }

    #[test]
    fn each_remedy_against_time_wait_has_its_own_effect() {
        let demand = Demand { loopback: true, ..Demand::constant(2000.0) };
        let host = HostLimits { tw_reuse: 0, ..HostLimits::default() };
        let advice = remedies(&demand, &host);
        // 2,000 × 60 s = 120,000 ports: 5 × 28,232.
        let sources = find(&advice, |c| matches!(c, Change::Sources(_)));
        assert_eq!((sources.change, sources.clears), (Change::Sources(5), true));
        assert_eq!(sources.commands, ["--source 127.0.0.1-127.0.0.5"]);
        let wide = find(&advice, |c| matches!(c, Change::PortRange(_)));
        assert_eq!(wide.after.exhausted.unwrap().ordinal, 64_513);
        assert!(!wide.clears && wide.after.sustainable.as_per_second().floor() == 1075.0);
        assert!(find(&advice, |c| *c == Change::ReuseTimeWait).clears);
        assert!(find(&advice, |c| *c == Change::CloseByReset).clears);
        assert!(find(&advice, |c| *c == Change::PeerCloses).clears);
        assert!(find(&advice, |c| matches!(c, Change::ExplicitPorts(_))).clears);
        assert_eq!(find(&advice, |c| matches!(c, Change::Rate(_))).change, Change::Rate(470.0));
        assert_eq!(advice.enough, Some(vec![Change::Sources(5)]));
    }

    #[test]
    fn the_fewest_changes_clear_every_limit() {
        let demand =
            Demand { lifetime: Lifetime::Fixed(Duration::from_secs(30)), ..Demand::constant(2000.0) };
        let host = HostLimits {
            // Fewer entries than any way to get by with the ports leaves tuples.
            conntrack: Some(Conntrack { max: 50_000, ..Conntrack::default() }),
            nofile: 1024,
            file_max: 50_000,
            ..HostLimits::default()
        };
        let set = remedies(&demand, &host).enough.unwrap();
        let (changed, settings) = apply_all(&set, &demand, &host);
        assert!(forecast(&changed, &settings).fits());
        assert!(set.iter().any(|c| matches!(c, Change::ConntrackMax(_))), "{set:?}");
        assert!(set.iter().any(|c| matches!(c, Change::PrivateTables(_))), "{set:?}");
        assert!(set.iter().any(|c| matches!(c, Change::FileMax(60_000))), "{set:?}");
        assert!(set.iter().all(|c| c.cost() < Cost::Load), "{set:?}");
    }

    #[test]
    fn memory_is_a_matter_of_load() {
        let demand = Demand { held: 100_000, ..Demand::constant(0.0) };
        let host = HostLimits {
            private_tables: true,
            memory_available: Some(100_000_000),
            port_range: WIDEST,
            ..HostLimits::default()
        };
        let set = remedies(&demand, &host).enough.unwrap();
        assert!(set.contains(&Change::Hosts(5)), "{set:?}");
    }

    #[test]
    fn an_accept_queue_is_made_as_long_as_a_bounded_run_needs() {
        let demand = Demand {
            arrivals: RateCourse::constant(300.0, Duration::from_secs(10)),
            accept_rate: Some(200.0),
            ..Demand::constant(0.0)
        };
        let host = HostLimits { backlog: 128, ..HostLimits::default() };
        let advice = remedies(&demand, &host);
        assert_eq!(advice.remedies[0].change, Change::AcceptQueue(1000));
    }
}
