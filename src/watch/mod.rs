//! Watches programs that are not ours: no load of our own, no attempt of theirs seen, and none of their errors.
//!
//! ```text
//! survey      one look at the sockets after another, within a budget of CPU
//! tally       outgoing sockets by tuple: which ports are taken, and when they come back
//! history     growth of a tuple, and when none of its ports will be left
//! owners      which programs hold the connections of a tuple
//! half_closed which programs do not close what their peers have closed
//! begin       what begins
//! program     the program that is started to be watched
//! ```
//!
//! It looks at the network namespace of the thread that makes it, and changes nothing in it. `connstorm watch` and
//! `connstorm lab shell` use the same.

mod begin;
mod half_closed;
mod history;
mod listeners;
mod owners;
pub mod program;
mod survey;
mod tally;
mod tuples;

pub use begin::Company;
pub use survey::Closeness;

use crate::diagnose::Finding;
use crate::diagnose::watched::{self, HalfClosed, TupleSeen, WatchedFacts};
use crate::linux::holders::{self, Table};
use crate::linux::proc_net::{Conntrack, Counters};
use crate::linux::sysctl::HostSettings;
use crate::linux::usage;
use crate::model::{AddressSet, Close, Onset, PortDemand, PortPolicy, PortSupply, Stamp};
use crate::plan::threshold::{Evaluation, Metric, Observed, Threshold};
use crate::result::WatchLook;
use begin::ToldOfOthers;
use half_closed::HalfClosedWatch;
use listeners::ListenerWatch;
use std::net::SocketAddr;
use std::time::Duration;
use survey::{Seen, Survey};
use tuples::Tuples;

/// Share of one core that watching may cost.
pub const BUDGET: f64 = 0.01;
/// Time between two looks at descriptors.
const TABLES_EVERY: Duration = Duration::from_secs(1);
/// Tuples that findings are made of.
const TUPLES_JUDGED: usize = 16;

/// Subject of the watch, and its means.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// Destinations; empty: all.
    pub destinations: Vec<SocketAddr>,
    /// A process whose connections alone are looked at, with those of its children; `None`: everybody's.
    pub process: Option<u32>,
    /// Who else is in the namespace.
    pub company: Company,
    /// Closeness of the looks.
    pub closeness: Closeness,
    /// Share of one core that watching may cost.
    pub budget: f64,
}

impl Default for WatchConfig {
    fn default() -> WatchConfig {
        WatchConfig {
            destinations: Vec::new(),
            process: None,
            company: Company::Others,
            closeness: Closeness::Budgeted,
            budget: BUDGET,
        }
    }
}

/// A watch of one network namespace.
#[derive(Debug)]
pub struct Watch {
    config: WatchConfig,
    host: HostSettings,
    survey: Survey,
    tuples: Tuples,
    half_closed: HalfClosedWatch,
    listeners: ListenerWatch,
    others: ToldOfOthers,
    onsets: Vec<Onset>,
    /// The process that is watched and its children.
    family: Vec<u32>,
    tables: Vec<Table>,
    tables_at_fullest: Vec<Table>,
    tables_due: Stamp,
    counters_before: Option<Counters>,
    /// The look with which the watch began, until the next.
    first: Option<Seen>,
    last: Option<Seen>,
    conntrack_at_fullest: Option<Conntrack>,
    began: Stamp,
    now: Stamp,
    /// CPU time of the thread when the watch began.
    cpu_before: Duration,
    /// The same when it was charged last.
    cpu_settled: Duration,
}

impl Watch {
    /// A watch of the calling thread's network namespace, with the settings that it has now.
    pub fn new(config: WatchConfig, now: Stamp) -> Watch {
        let host = HostSettings::read();
        let supply = PortSupply::new(&anybodys(), host.port_settings());
        let survey = Survey::open(supply.clone(), config.destinations.clone(), config.budget, now);
        let mut watch = Watch {
            tuples: Tuples::new(supply),
            config,
            host,
            survey,
            half_closed: HalfClosedWatch::default(),
            listeners: ListenerWatch::default(),
            others: ToldOfOthers::default(),
            onsets: Vec::new(),
            family: Vec::new(),
            tables: Vec::new(),
            tables_at_fullest: Vec::new(),
            tables_due: Stamp::ZERO,
            counters_before: None,
            first: None,
            last: None,
            conntrack_at_fullest: None,
            began: now,
            now,
            cpu_before: Duration::ZERO,
            cpu_settled: Duration::ZERO,
        };
        // What there is already begins with the watch, and is told by the first look of its owner.
        let first = watch.survey.look(now, Closeness::First);
        watch.counters_before = first.counters;
        if let Some(listeners) = &first.listeners {
            watch.listeners.look(listeners, &mut watch.survey);
        }
        watch.first = Some(first);
        watch.survey.forgive(now);
        watch.cpu_before = usage::thread_cpu();
        watch.cpu_settled = watch.cpu_before;
        watch
    }

    /// From now on looks as closely as this.
    pub fn look_as(&mut self, closeness: Closeness) {
        if self.config.closeness != closeness {
            self.survey.forgive(self.now);
        }
        self.config.closeness = closeness;
    }

    /// Looks alone at the connections of a process from now on, and of its children.
    pub fn follow(&mut self, process: u32) {
        self.config.process = Some(process);
        self.tables_due = Stamp::ZERO;
    }

    /// Ports that a tuple can have in this namespace, before what is bound or listened on.
    pub fn ports_usable(&self) -> u32 {
        self.tuples.supply().usable()
    }

    /// Looks, and tells what has begun since the last look.
    pub fn look(&mut self, now: Stamp) -> Vec<Onset> {
        let mut onsets = Vec::new();
        self.now = now;
        let soon = self.tuples.are_about_to_run_out(now);
        let seen = self.survey.look(now, if soon { Closeness::Now } else { self.config.closeness });
        if let Some(listeners) = &seen.listeners {
            self.listeners.look(listeners, &mut self.survey);
            onsets.extend(self.listeners.now.iter().filter_map(|at| self.others.listener(at, now)));
        }
        self.look_at_tables(now);
        onsets.extend(self.tables.iter().filter_map(|table| self.others.table(table, now)));
        if let Some(first) = self.first.take() {
            let cost = self.tuples.learn(&first, &self.family, first.at);
            self.survey.charge(cost);
            onsets.extend(self.tuples.look(&first, &self.family));
        }
        if seen.changed {
            let cost = self.tuples.learn(&seen, &self.family, now);
            self.survey.charge(cost);
        }
        onsets.extend(self.tuples.look(&seen, &self.family));
        self.half_closed.look(&mut self.survey, now);
        onsets.extend(self.half_closed.now.iter().filter_map(|half| self.others.leak(half, now)));
        if let Some(since) = seen.counters.zip(self.counters_before).map(|(now, before)| now.since(&before)) {
            onsets.extend(self.others.counters(&since, self.config.company, now));
        }
        if let Some(conntrack) = &seen.conntrack {
            onsets.extend(self.others.conntrack(conntrack, now));
            if self.conntrack_at_fullest.is_none_or(|before| before.count < conntrack.count) {
                self.conntrack_at_fullest = Some(*conntrack);
            }
        }
        self.last = Some(seen);
        // Whatever this thread did beside, such as showing what was seen, is part of what watching costs.
        let cpu = usage::thread_cpu();
        self.survey.settle(cpu.saturating_sub(self.cpu_settled));
        self.cpu_settled = cpu;
        self.onsets.extend(onsets.iter().cloned());
        onsets
    }

    /// State to show, with so many tuples at most.
    pub fn shown(&self, most: usize) -> WatchLook {
        let last = self.last.as_ref();
        WatchLook {
            at_s: self.now.as_secs_f64(),
            tuples: self.tuples.now(most),
            tuples_in_all: self.tuples.len(),
            sockets: last.and_then(|seen| seen.sockets),
            listeners: self.listeners.worst_first(most),
            half_closed: self.half_closed.now.clone(),
            tables: self.tables.clone(),
            conntrack: last.and_then(|seen| seen.conntrack),
            cost_share: self.cost_share(),
            unseen: self.unseen(),
        }
    }

    /// Part of one core that the watching thread has used, everything that it does beside included.
    pub fn cost_share(&self) -> f64 {
        let elapsed = self.now.saturating_sub(self.began).as_secs_f64();
        let spent = usage::thread_cpu().saturating_sub(self.cpu_before).as_secs_f64();
        if elapsed > 0.0 { spent / elapsed } else { 0.0 }
    }

    /// Onsets so far.
    pub fn onsets(&self) -> &[Onset] {
        &self.onsets
    }

    /// Tuples, each as it was at its fullest, the fullest first.
    pub fn fullest(&self, most: usize) -> Vec<TupleSeen> {
        self.tuples.fullest(most)
    }

    /// Looks that failed, and why.
    pub fn unseen(&self) -> Vec<String> {
        let mut unseen = self.survey.unseen().to_vec();
        let hidden = self.tuples.hidden_processes();
        if hidden > 0 {
            unseen.push(format!(
                "the descriptors of {hidden} processes of other users: their connections are counted, and not named; as root, \
                 or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, they are"
            ));
        }
        if self.tuples.beyond() > 0 {
            unseen.push(format!("{} sockets of tuples beyond the first 10,000", self.tuples.beyond()));
        }
        unseen
    }

    /// Causes of what was seen.
    pub fn findings(&self) -> Vec<Finding> {
        watched::diagnose(&self.facts())
    }

    /// Everything that was seen, for the rules.
    fn facts(&self) -> WatchedFacts {
        let since = self.last.as_ref().and_then(|seen| seen.counters).zip(self.counters_before);
        WatchedFacts {
            host: self.host.clone(),
            tuples: self.tuples.fullest(TUPLES_JUDGED),
            half_closed: self.half_closed.worst.values().cloned().collect(),
            listeners: self.listeners.now.clone(),
            tables: self.tables_at_fullest.clone(),
            conntrack: self.conntrack_at_fullest,
            time_wait_overflow: since.map(|(now, before)| now.since(&before).time_wait_overflow),
        }
    }

    /// Holds what was seen against thresholds.
    pub fn judge(&self, thresholds: &[Threshold]) -> Vec<Evaluation> {
        let facts = self.facts();
        thresholds.iter().map(|threshold| threshold.evaluate(&|metric| self.value(metric, &facts))).collect()
    }

    /// The value of a metric in its unit; `None` where it was not seen.
    fn value(&self, metric: &Metric, facts: &WatchedFacts) -> Option<f64> {
        let blind = self.survey.unseen().iter().any(|note| note.starts_with("sockets (sock_diag)"));
        let by_socket = |value: Option<f64>| if blind { None } else { Some(value.unwrap_or(0.0)) };
        let worst = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
        match metric {
            Metric::Onset(kind) => {
                let told = self.onsets.iter().find(|onset| onset.kind == *kind);
                told.map(|onset| onset.at.as_secs_f64()).or(blind.then_some(f64::NAN))
            }
            Metric::Observed(observed) => match observed {
                Observed::PortsUsed => by_socket(self.tuples.worst_share()),
                Observed::TimeWait => by_socket(self.tuples.worst_time_wait().map(|n| n as f64)),
                Observed::CloseWait => {
                    let long = |half: &HalfClosed| half.for_long as f64;
                    by_socket(worst(&mut facts.half_closed.iter().map(long)))
                }
                Observed::Descriptors => worst(&mut facts.tables.iter().filter_map(|table| {
                    Some(table.open as f64 / table.limit.filter(|limit| *limit > 0)? as f64)
                })),
                Observed::ListenerDrops => {
                    let drops = facts.listeners.iter().filter_map(|at| at.dropped);
                    by_socket(Some(drops.sum::<u64>() as f64))
                }
                Observed::Conntrack => {
                    let now = self.conntrack_at_fullest.filter(|now| now.max > 0)?;
                    Some(now.count as f64 / now.max as f64)
                }
            },
            _ => None,
        }
    }

    /// Descriptors of the process that is watched and of its children; where none is, of the programs that hold the
    /// fullest tuples.
    fn look_at_tables(&mut self, now: Stamp) {
        if now < self.tables_due {
            return;
        }
        let begun = usage::thread_cpu();
        self.family = self.config.process.map(holders::family).unwrap_or_default();
        let pids = if self.family.is_empty() { self.tuples.programs() } else { self.family.clone() };
        self.tables = pids.into_iter().filter_map(holders::table_of_process).collect();
        self.tables.sort_by_key(|table| std::cmp::Reverse(table.open));
        for table in &self.tables {
            match self.tables_at_fullest.iter_mut().find(|before| before.holder.pid == table.holder.pid) {
                Some(before) if before.open <= table.open => *before = table.clone(),
                Some(_) => {}
                None => self.tables_at_fullest.push(table.clone()),
            }
        }
        let cost = usage::thread_cpu().saturating_sub(begun);
        self.survey.charge(cost);
        self.tables_due = now + TABLES_EVERY.max(cost * 500);
    }
}

/// The ports of a program of which nothing is known.
fn anybodys() -> PortDemand {
    PortDemand {
        policy: PortPolicy::Kernel,
        close: Close::Fin,
        sources: AddressSet::default(),
        destinations: Vec::new(),
        routed: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
