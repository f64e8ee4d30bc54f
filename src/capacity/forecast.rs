//! The forecast: the course of a run held against each limit of the host.

use super::course::Course;
use super::demand::{Demand, Ends};
use super::hold::Hold;
use super::limits::{Conntrack, HostLimits};
use super::ports::Group;
use super::shape::{
    AcceptQueueForecast, Break, ConntrackForecast, DescriptorForecast, ExhaustionError, Forecast, Limit,
    MemoryForecast, Moment, OpenForecast, PortForecast, RateBound, TimeWaitForecast,
};
use crate::model::{HeldPorts, PortPolicy};

/// Forecasts what a demand does to a host. Pure; never fails: rates that are no number count as zero.
pub fn forecast(demand: &Demand, host: &HostLimits) -> Forecast {
    let view = View { demand, host, course: Course::new(demand, host) };
    let ports = view.ports();
    let time_wait = view.time_wait();
    let conntrack = host.conntrack.map(|conntrack| view.conntrack(conntrack));
    let accept_queue = view.accept_queue();
    let mut breaks = vec![
        view.ports_break(&ports),
        Break {
            limit: Limit::TimeWaitBuckets,
            when: time_wait.capped,
            needed: view.most(|t| view.course.time_wait_unbounded(t)),
            available: host.max_tw_buckets,
        },
    ];
    breaks.extend(ports.supply.first_pass().map(|first| Break {
        limit: Limit::PortSearch,
        when: ports.search_slow,
        needed: ports.needed,
        available: first,
    }));
    breaks.extend(conntrack.as_ref().map(|c| Break {
        limit: Limit::Conntrack,
        when: c.full,
        needed: c.needed,
        available: c.max,
    }));
    breaks.extend(view.accept_queue_break(accept_queue.as_ref()));
    breaks.extend(view.resources());
    breaks.sort_by(in_order);
    Forecast {
        peak_rate: view.course.profile.peak(),
        ends_at_s: view.course.end,
        open: view.open(ports.capacity),
        descriptors: view.descriptors(),
        memory: view.memory(),
        ports,
        time_wait,
        conntrack,
        accept_queue,
        breaks,
    }
}

/// Met limits by their moment, the worse first; then the others, the nearest to being met first.
fn in_order(a: &Break, b: &Break) -> std::cmp::Ordering {
    let at = |b: &Break| b.when.map_or(f64::INFINITY, |moment| moment.at_s);
    at(a)
        .total_cmp(&at(b))
        .then(a.limit.severity().cmp(&b.limit.severity()))
        .then(b.load().total_cmp(&a.load()))
}

/// A demand, a host, and the course that follows.
struct View<'a> {
    demand: &'a Demand,
    host: &'a HostLimits,
    course: Course<'a>,
}

impl View<'_> {
    /// The most that `used` comes to, to the next whole.
    fn most(&self, used: impl Fn(f64) -> f64) -> Option<u64> {
        self.course.peak(used).map(|(peak, _)| whole(peak))
    }

    fn ports(&self) -> PortForecast {
        let course = &self.course;
        let (supply, capacity) = (course.supply, course.supply.capacity());
        let used = |t: f64| course.ports(t);
        let open = Hold::new(self.demand.lifetime, 0.0);
        let kept = |group: &Group| Hold::new(self.demand.lifetime, group.kept_s);
        let least =
            |rate: &dyn Fn(&Group) -> f64| course.groups.iter().map(rate).fold(f64::INFINITY, f64::min);
        let for_ever = |group: &Group| self.port_rate(group, open.mean(), kept(group).mean());
        let sustainable = least(&for_ever);
        let uncut = least(&|group| self.uncut_rate(group, kept(group).mean(), for_ever(group)));
        let for_run = course.end.map_or(sustainable, |end| {
            let until =
                |group: &Group| self.port_rate(group, open.after_step(end), kept(group).after_step(end));
            least(&|group| until(group).max(for_ever(group)))
        });
        let mut held = HeldPorts::default();
        course.groups.iter().for_each(|group| held.add(&group.held));
        let first = |each: u32| self.first_moment(each);
        PortForecast {
            supply,
            capacity,
            held,
            needed: self.most(used),
            sustainable: RateBound::of(sustainable),
            sustainable_uncut: RateBound::of(uncut),
            sustainable_per_pool: RateBound::of(sustainable / supply.pools as f64),
            sustainable_for_run: RateBound::of(for_run),
            search_slow: supply.tried_first.and_then(first),
            exhausted: first(supply.per_pool),
            error: match self.demand.ports {
                PortPolicy::NaiveBind => ExhaustionError::AddressInUse,
                _ => ExhaustionError::AddressNotAvailable,
            },
        }
    }

    /// The constant rate at which the ports just suffice, when a connection is open for `open` seconds and
    /// keeps its port for `kept`: ports ÷ kept (Little's law). Where `tcp_max_tw_buckets` is smaller than
    /// what TIME_WAIT would take, (ports − buckets) ÷ open, if that is more. Infinite without a bound.
    fn port_rate(&self, group: &Group, open: f64, kept: f64) -> f64 {
        let free = self.free(group);
        if free <= 0.0 {
            return 0.0;
        }
        let buckets = if kept > open { self.host.max_tw_buckets as f64 } else { 0.0 };
        let past_buckets = if free > buckets { (free - buckets) / open } else { 0.0 };
        let bounded = self.demand.max_open.is_some_and(|most| {
            let most = most as f64;
            most + (most / open * (kept - open)).min(buckets) <= free
        });
        if bounded { f64::INFINITY } else { past_buckets.max(free / kept) }
    }

    /// The first moment at which the pools of some group have more than `each` ports taken.
    fn first_moment(&self, each: u32) -> Option<Moment> {
        let course = &self.course;
        let of = |group: &Group| {
            course.moment(|t| course.ports_of(group, t), f64::from(each) * group.pools, group.share)
        };
        course.groups.iter().filter_map(of).min_by(|a, b| a.at_s.total_cmp(&b.at_s))
    }

    /// Ports of a group that the run can have for good, as if the whole run went to this group.
    fn free(&self, group: &Group) -> f64 {
        let free = f64::from(self.course.supply.per_pool) * group.pools - group.held.lasting as f64;
        free / group.share - self.demand.held as f64
    }

    /// The limit of ports: of the pools that run out first where they are not alike.
    fn ports_break(&self, ports: &PortForecast) -> Break {
        let course = &self.course;
        let load = |group: &Group| {
            let there = f64::from(course.supply.per_pool) * group.pools;
            (self.most(|t| course.ports_of(group, t)), there as u64)
        };
        let fullness = |(needed, there): &(Option<u64>, u64)| {
            needed.map_or(f64::INFINITY, |needed| needed as f64 / (*there).max(1) as f64)
        };
        let loads = course.groups.iter().map(load);
        let fullest = loads.max_by(|a, b| fullness(a).total_cmp(&fullness(b)));
        let (needed, available) = fullest.unwrap_or((ports.needed, ports.capacity));
        Break { limit: Limit::Ports, when: ports.exhausted, needed, available }
    }

    /// The part of the sustainable rate at which `tcp_max_tw_buckets` is not met: buckets ÷ TIME_WAIT, and
    /// ports ÷ what a connection keeps its port for.
    fn uncut_rate(&self, group: &Group, kept: f64, sustainable: f64) -> f64 {
        if group.kept_s == 0.0 {
            return sustainable;
        }
        let free = self.free(group);
        let buckets = self.host.max_tw_buckets as f64 / group.kept_s;
        sustainable.min(buckets).min(free.max(0.0) / kept)
    }

    fn time_wait(&self) -> TimeWaitForecast {
        let used = |t: f64| self.course.time_wait(t);
        let (peak, peak_from_s) = self.course.peak(used).unwrap_or_default();
        let unbounded = |t: f64| self.course.time_wait_unbounded(t);
        TimeWaitForecast {
            peak: whole(peak),
            peak_from_s,
            capped: self.course.moment(unbounded, self.host.max_tw_buckets as f64, 1.0),
        }
    }

    fn open(&self, capacity: u64) -> OpenForecast {
        let wanted = self.most(|t| self.course.open(t));
        OpenForecast { wanted, attainable: wanted.unwrap_or(u64::MAX).min(capacity) }
    }

    fn conntrack(&self, conntrack: Conntrack) -> ConntrackForecast {
        let course = &self.course;
        let used = |t: f64| conntrack.in_use as f64 + course.conntrack(t);
        let hold = Hold::new(self.demand.lifetime, course.conntrack_tail()).mean();
        let free = conntrack.max.saturating_sub(conntrack.in_use.saturating_add(self.demand.held));
        let rate = if free == 0 { 0.0 } else { free as f64 / hold };
        ConntrackForecast {
            needed: self.most(used),
            max: conntrack.max,
            sustainable: RateBound::of(rate),
            full: course.moment(used, conntrack.max as f64, 1.0),
        }
    }

    fn accept_queue(&self) -> Option<AcceptQueueForecast> {
        if self.demand.ends == Ends::Client && self.demand.accept_rate.is_none() {
            return None;
        }
        let profile = &self.course.profile;
        let holds = self.host.accept_queue();
        let full = self.demand.accept_rate.and_then(|rate| {
            let at_s = profile.queue_reaches(rate.max(0.0), holds as f64)?;
            let arrived = (profile.arrived(at_s) + 1e-6).floor() as u64;
            let ordinal = self.demand.held.saturating_add(arrived).saturating_add(1);
            Some(Moment { at_s, ordinal })
        });
        let peak = profile.peak();
        Some(AcceptQueueForecast {
            holds,
            pause_tolerated_s: (peak > 0.0).then(|| holds as f64 / peak),
            full,
        })
    }

    fn accept_queue_break(&self, queue: Option<&AcceptQueueForecast>) -> Option<Break> {
        let available = self.demand.accept_rate?.max(0.0).floor() as u64;
        let needed = Some(whole(self.course.profile.peak()));
        Some(Break { limit: Limit::AcceptQueue, when: queue?.full, needed, available })
    }

    fn descriptors(&self) -> DescriptorForecast {
        let needed = self.most(|t| self.descriptors_at(t));
        let standing = self.host.costs.standing_descriptors;
        let room = self.host.nofile.saturating_sub(standing);
        let tables = |needed: u64| needed.saturating_sub(standing).div_ceil(room.max(1)).max(1);
        DescriptorForecast {
            needed,
            per_table: self.host.nofile,
            tables_needed: needed.map(tables),
            private_tables: self.host.private_tables,
        }
    }

    fn descriptors_at(&self, t: f64) -> f64 {
        let each = f64::from(self.demand.ends.in_process());
        self.host.costs.standing_descriptors as f64 + each * self.course.open(t)
    }

    fn memory(&self) -> MemoryForecast {
        MemoryForecast {
            kernel: self.most(|t| self.kernel_memory(t)),
            user: self.most(|t| self.user_memory(t)),
            available: self.host.memory_available,
        }
    }

    fn kernel_memory(&self, t: f64) -> f64 {
        let costs = self.host.costs;
        let tracked = if self.host.conntrack.is_some() { self.course.conntrack(t) } else { 0.0 };
        let socket = costs.tcp_socket.saturating_add(self.demand.queued_bytes) as f64;
        self.course.open(t) * f64::from(self.demand.ends.here()) * socket
            + self.course.time_wait(t) * costs.time_wait as f64
            + tracked * costs.conntrack_entry as f64
    }

    fn user_memory(&self, t: f64) -> f64 {
        self.course.open(t) * f64::from(self.demand.ends.in_process()) * self.host.costs.user_per_end as f64
    }

    /// The limits of descriptors, files and memory.
    fn resources(&self) -> Vec<Break> {
        let (host, ends) = (self.host, self.demand.ends);
        let here = f64::from(ends.here());
        let private = host.private_tables && host.nofile > host.costs.standing_descriptors;
        let mut found = Vec::new();
        if !private {
            let used = |t: f64| self.descriptors_at(t);
            found.push(self.resource(Limit::Descriptors, used, host.nofile, f64::from(ends.in_process())));
        }
        let files = |t: f64| host.files_in_use as f64 + here * self.course.open(t);
        found.push(self.resource(Limit::FileMax, files, host.file_max, here));
        if let Some(available) = host.memory_available {
            let used = |t: f64| self.kernel_memory(t) + self.user_memory(t);
            let each = here * host.costs.tcp_socket as f64
                + f64::from(ends.in_process()) * host.costs.user_per_end as f64;
            found.push(self.resource(Limit::Memory, used, available, each.max(1.0)));
        }
        if let Some(available) = host.tcp_mem.filter(|_| self.demand.queued_bytes > 0) {
            let each = here * self.demand.queued_bytes as f64;
            found.push(self.resource(Limit::TcpMem, |t| self.course.open(t) * each, available, each));
        }
        found
    }

    fn resource(&self, limit: Limit, used: impl Fn(f64) -> f64, available: u64, each: f64) -> Break {
        let when = self.course.moment(&used, available as f64, each);
        Break { limit, when, needed: self.most(used), available }
    }
}

/// To the next whole, rounding apart.
fn whole(value: f64) -> u64 {
    (value - 1e-6).ceil().max(0.0) as u64
}
