//! The course of a run: how much of each thing is in use at each moment. Seconds throughout.
//!
//! Invariant: the search for a moment sees each corner of the arrival rate and each age at which connections
//! end or let go of something, so between two points that it looks at every curve is smooth.

use super::demand::{Demand, Ends};
use super::hold::Hold;
use super::limits::HostLimits;
use super::ports::{Group, Pools, PortFigures};
use super::profile::Profile;
use super::shape::Moment;
use crate::model::{Close, Lifetime, PortSettings};

/// Moments later than this are not forecast: settings and hosts change within a year.
const HORIZON_S: f64 = 366.0 * 86_400.0;

/// Points looked at between two corners.
const SUBDIVISION: u32 = 16;

/// Counts are told apart down to this part of them; what lies nearer is rounding.
const ROUNDING: f64 = 1e-9;

/// A peak counts as reached when less than this part of it, and less than half of one, is missing.
const NEARLY: f64 = 1e-3;

/// Amount of each thing in use at each moment.
pub(super) struct Course<'a> {
    demand: &'a Demand,
    host: &'a HostLimits,
    /// The ports there are.
    pub(super) supply: PortFigures,
    /// The pools that they are in.
    pub(super) groups: Vec<Group>,
    /// The host's rules of ports.
    pub(super) settings: PortSettings,
    /// The arrivals that are made, after the demand's own bounds.
    pub(super) profile: Profile,
    /// When the run ends.
    pub(super) end: Option<f64>,
    grid: Vec<f64>,
}

impl<'a> Course<'a> {
    /// The course of this demand on this host.
    pub(super) fn new(demand: &'a Demand, host: &'a HostLimits) -> Course<'a> {
        let asked = Profile::new(&demand.arrivals);
        let ends = asked.peak() > 0.0 && asked.endless_rate() == 0.0;
        let end = ends.then(|| asked.last_corner());
        let Pools { figures, groups } = Pools::of(demand, host);
        let mut course = Course {
            demand,
            host,
            supply: figures,
            groups,
            settings: host.ports(),
            profile: asked,
            end,
            grid: Vec::new(),
        };
        course.grid = course.points();
        course.bound_arrivals();
        course.grid = course.points();
        course
    }

    /// Stops or thins the arrivals where the demand's own bounds say so. Beyond `max_open` an arrival is made
    /// only when a connection has ended, so the rate is then at most `max_open` ÷ lifetime.
    fn bound_arrivals(&mut self) {
        let forever = self.demand.lifetime == Lifetime::UntilEnd;
        let count = match (self.demand.attempts, self.demand.max_open.filter(|_| forever)) {
            (Some(attempts), Some(open)) => Some(attempts.min(open)),
            (one, other) => one.or(other),
        };
        if let Some(t) = count.and_then(|count| self.profile.moment_of(count as f64)) {
            self.profile = self.profile.until(t);
        }
        let Some(most) = self.demand.max_open.filter(|_| !forever) else { return };
        let opened = |t: f64| self.profile.occupied(t, &self.hold(0.0));
        if let Some(t) = self.first_over(opened, most as f64) {
            let rate = most as f64 / self.hold(0.0).mean();
            self.profile = self.profile.capped_from(t, rate);
        }
    }

    fn hold(&self, tail: f64) -> Hold {
        Hold::new(self.demand.lifetime, tail)
    }

    /// Connections open.
    pub(super) fn open(&self, t: f64) -> f64 {
        let most = self.demand.max_open.map_or(f64::INFINITY, |most| most as f64);
        self.demand.held as f64 + self.profile.occupied(t, &self.hold(0.0)).min(most)
    }

    /// Connections closed within the last `tail` seconds.
    fn closed_within(&self, t: f64, tail: f64) -> f64 {
        (self.profile.occupied(t, &self.hold(tail)) - self.profile.occupied(t, &self.hold(0.0))).max(0.0)
    }

    /// Ports taken, over all pools. What `tcp_max_tw_buckets` does not let into TIME_WAIT keeps no port
    /// (measured: with 500 buckets, 5,000 connections one after the other through 1,024 ports).
    pub(super) fn ports(&self, t: f64) -> f64 {
        self.groups.iter().map(|group| self.ports_of(group, t)).sum()
    }

    /// Ports taken of the pools of one group, those held before the run among them.
    pub(super) fn ports_of(&self, group: &Group, t: f64) -> f64 {
        self.ports_by_run(group, t) + group.held.at(t) as f64
    }

    fn ports_by_run(&self, group: &Group, t: f64) -> f64 {
        let in_time_wait = self.closed_within(t, group.kept_s).min(self.host.max_tw_buckets as f64);
        group.share * (self.open(t) + in_time_wait)
    }

    /// Ports taken by the run, over all pools.
    fn own_ports(&self, t: f64) -> f64 {
        self.groups.iter().map(|group| self.ports_by_run(group, t)).sum()
    }

    /// Sockets in TIME_WAIT on this host, if `tcp_max_tw_buckets` did not bound them.
    pub(super) fn time_wait_unbounded(&self, t: f64) -> f64 {
        let here = match self.demand.close {
            Close::Fin => true,
            Close::Peer => self.demand.ends != Ends::Client,
            Close::Rst => false,
        };
        if !here {
            return 0.0;
        }
        let open = self.open(t);
        let picked = open + self.closed_within(t, self.settings.mean_time_wait());
        (self.supply.distinct(self.own_ports(t), picked) - open).max(0.0)
    }

    /// Sockets in TIME_WAIT on this host.
    pub(super) fn time_wait(&self, t: f64) -> f64 {
        self.time_wait_unbounded(t).min(self.host.max_tw_buckets as f64)
    }

    /// Time that a conntrack entry outlives its connection, in seconds.
    pub(super) fn conntrack_tail(&self) -> f64 {
        self.host.conntrack.map_or(0.0, |conntrack| {
            let timeout = if self.demand.close == Close::Rst { conntrack.close } else { conntrack.time_wait };
            timeout.as_secs_f64()
        })
    }

    /// Entries of connection tracking that are this run's.
    pub(super) fn conntrack(&self, t: f64) -> f64 {
        let picked = self.open(t) + self.closed_within(t, self.conntrack_tail());
        self.supply.distinct(self.own_ports(t), picked)
    }

    /// The moment at which `used` comes to more than `level`, found where it reaches it.
    pub(super) fn first_over(&self, used: impl Fn(f64) -> f64, level: f64) -> Option<f64> {
        let over = level + ROUNDING * level.max(1.0);
        let at = self.grid.iter().position(|t| used(*t) > over)?;
        Some(reached(used, level, self.grid[at.saturating_sub(1)], self.grid[at]))
    }

    /// The moment of [`Course::first_over`] with its attempt's ordinal; each connection uses `each`.
    pub(super) fn moment(&self, used: impl Fn(f64) -> f64, level: f64, each: f64) -> Option<Moment> {
        let start = used(0.0);
        let at_s = self.first_over(&used, level)?;
        let held = self.demand.held as f64;
        let before = if start >= level {
            (held - (start - level) / each).max(0.0)
        } else {
            held + self.profile.arrived(at_s)
        };
        Some(Moment { at_s, ordinal: ((before + 1e-6).floor() as u64).saturating_add(1) })
    }

    /// The most that `used` comes to, and when it first is that much; `None`: it grows without an end.
    pub(super) fn peak(&self, used: impl Fn(f64) -> f64) -> Option<(f64, f64)> {
        let highest = self.grid.iter().map(|t| used(*t)).fold(0.0, f64::max);
        let endless = self.profile.endless_rate() > 0.0 && self.hold(0.0).mean().is_infinite();
        let last = self.grid.last().copied().unwrap_or(0.0);
        if endless && used(last) > used(last / 2.0) + 0.5 {
            return None;
        }
        // Nearly: an exponential approach never quite arrives.
        let nearly = highest - (highest * NEARLY).min(0.5);
        let at = self.grid.iter().position(|t| used(*t) >= nearly).unwrap_or(0);
        let before = self.grid.get(at.saturating_sub(1)).copied().unwrap_or(0.0);
        let after = self.grid.get(at).copied().unwrap_or(0.0);
        Some((highest, reached(used, nearly, before, after)))
    }

    /// Moments at which ports that were held before the run come back, some 64 of them.
    fn returns(&self) -> Vec<f64> {
        let mut at: Vec<f64> = self
            .groups
            .iter()
            .flat_map(|group| group.held.returning.iter().map(|(after, _)| *after))
            .collect();
        at.sort_by(f64::total_cmp);
        at.dedup();
        let each = at.len().div_ceil(64).max(1);
        // Just before and just after.
        at.into_iter().step_by(each).flat_map(|at| [(at - 1e-6).max(0.0), at]).collect()
    }

    fn points(&self) -> Vec<f64> {
        let mut tails = vec![
            0.0,
            self.settings.mean_time_wait(),
            self.settings.longest_time_wait(),
            self.conntrack_tail(),
        ];
        tails.extend(self.groups.iter().map(|group| group.kept_s));
        tails.sort_by(f64::total_cmp);
        tails.dedup();
        let bends: Vec<f64> = tails.iter().flat_map(|tail| self.hold(*tail).bends()).collect();
        let corners = self.profile.corners();
        let mut at: Vec<f64> =
            corners.flat_map(|c| bends.iter().map(move |bend| c + bend).chain([c])).collect();
        let last = at.iter().copied().fold(0.0, f64::max);
        let unending = self.profile.endless_rate() > 0.0 && bends.is_empty();
        let horizon = if unending { HORIZON_S } else { last + 1.0 }.min(self.end.unwrap_or(HORIZON_S));
        at.extend([0.0, horizon]);
        at.extend(self.returns());
        at.retain(|t| *t <= horizon);
        at.sort_by(f64::total_cmp);
        at.dedup();
        let mut points: Vec<f64> = at.windows(2).flat_map(|pair| between(pair[0], pair[1])).collect();
        points.push(horizon);
        points
    }
}

/// The moment between `low` and `high` at which `used` reaches `level`, by bisection to the last digit.
fn reached(used: impl Fn(f64) -> f64, level: f64, mut low: f64, mut high: f64) -> f64 {
    if used(low) >= level {
        return low;
    }
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if used(middle) >= level { high = middle } else { low = middle }
    }
}

fn between(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..SUBDIVISION).map(move |i| low + (high - low) * f64::from(i) / f64::from(SUBDIVISION))
}
