//! Watches the kernel while a run goes on: a sample a window, the onsets that it shows, and at the end the
//! facts that the diagnosis wants.

use crate::diagnose::{Facts, FailureFact, ForeignSockets, Refusals, TargetFacts, TupleFact};
use crate::host::server_process::ServerWatch;
use crate::host::target;
use crate::linux::holders;
use crate::linux::proc_net::{ConntrackDrops, Counters};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tuple_usage::TupleCount;
use crate::model::{
    Cause, Failure, Onset, OnsetKind, Reply, Run, SlowSearch, Stage, Stamp, Tally, WindowRow,
};
use crate::observe::{Accuracy, Detectors, ObservedWindow, RunContext, Sample, Sampler, SamplerConfig};
use crate::plan::{Plan, PortPolicy};
use crate::result::LATE_US;
use crate::run::context::{context, foreign_sources, source_weights};
use crate::run::plateau::plateau;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Share of one core that watching may cost.
const BUDGET: f64 = 0.02;
/// Descriptors that the search for a foreign socket's process may look at.
const HOLDERS_BUDGET: u32 = 300_000;

/// What was seen in one window, in the size that a run of an hour can keep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// When the sample was taken.
    pub at: Stamp,
    /// Ports in use on the fullest tuple.
    pub ports_in_use: u64,
    /// Ports that a tuple can have.
    pub ports_usable: Option<u32>,
    /// TIME_WAIT among them.
    pub time_wait: u64,
    /// TIME_WAIT of the whole namespace.
    pub time_wait_total: Option<u64>,
    /// When that tuple will have no port left, as it then seemed.
    pub forecast_exhausted_at: Option<Stamp>,
    /// SYN and SYN-ACK segments sent again in the window, by all of the namespace.
    pub syn_retransmits: Option<u64>,
    /// Segments of any kind sent again in the window, by all of the namespace.
    pub retransmits: Option<u64>,
    /// Handshakes that met a full accept queue in the window, by all of the namespace.
    pub listen_overflows: Option<u64>,
    /// Whether all sockets were looked at, rather than some that stand for all.
    pub exact: bool,
    /// CPU that the sample cost.
    pub cost: Duration,
}

/// See the module.
pub(super) struct Observer {
    context: RunContext,
    host: HostSettings,
    destinations: Vec<SocketAddr>,
    ports: RangeInclusive<u16>,
    sampler: Sampler,
    detectors: Detectors,
    first: Option<Sample>,
    last: Option<Sample>,
    server: ServerWatch,
    /// The fullest tuple when ports ran out, and what others held then.
    at_exhaustion: Option<(TupleFact, ForeignSockets)>,
    pub(super) onsets: Vec<Onset>,
    pub(super) observations: Vec<Observation>,
}

impl Observer {
    /// An observer of this thread's network namespace; what it may not see it leaves out.
    pub(super) fn new(plan: &Plan, destinations: &[SocketAddr], host: HostSettings) -> Observer {
        let context = context(plan, destinations, &host);
        let ports = context.supply.span();
        let config = SamplerConfig {
            destinations: context.supply.destinations(),
            ports: ports.clone(),
            fraction: BUDGET,
        };
        let mut sampler = Sampler::open(config, Stamp::ZERO);
        let first = sampler.take(Stamp::ZERO);
        Observer {
            detectors: Detectors::new(context.clone()),
            server: ServerWatch::new(destinations, context.target_is_local),
            context,
            host,
            destinations: destinations.to_vec(),
            ports,
            sampler,
            last: Some(first.clone()),
            first: Some(first),
            at_exhaustion: None,
            onsets: Vec::new(),
            observations: Vec::new(),
        }
    }

    /// Looks at the kernel after a window, and tells what begins.
    pub(super) fn window(&mut self, window: &WindowRow, totals: &Tally) {
        let ran_out = self.at_exhaustion.is_none() && for_want_of_a_port(totals);
        let sample = if ran_out { self.sampler.take_whole(window.at) } else { self.sampler.take(window.at) };
        let delta = self.last.as_ref().map(|before| sample.since(before));
        let view = ObservedWindow { window, totals, sample: &sample, delta: delta.as_ref() };
        self.onsets.extend(self.detectors.window(&view));
        self.server.window(window);
        let fullest = fullest(&sample);
        if ran_out && let Some(tuple) = fullest {
            let foreign = self.foreign(&tuple);
            self.at_exhaustion = Some((tuple_fact(&sample, &tuple), foreign));
        }
        let counters = delta.and_then(|delta| delta.counters);
        self.observations.push(Observation {
            at: sample.taken_at,
            ports_in_use: fullest.map_or(0, |tuple| tuple.sockets.total()),
            ports_usable: self.context.usable_ports,
            time_wait: fullest.map_or(0, |tuple| tuple.sockets.get(TcpState::TimeWait)),
            time_wait_total: sample.sockets.map(|sockets| sockets.time_wait),
            forecast_exhausted_at: self.detectors.forecast(),
            syn_retransmits: counters.map(|c: Counters| c.syn_retransmits),
            retransmits: counters.map(|c| c.retransmits),
            listen_overflows: counters.map(|c| c.listen_overflows),
            exact: is_exact(&sample),
            cost: sample.cost,
        });
        self.last = Some(sample);
    }

    /// TIME_WAIT sockets of the namespace before the run; none where nobody can say.
    pub(super) fn time_wait_before(&self) -> u64 {
        self.first.as_ref().and_then(|first| first.sockets).map_or(0, |sockets| sockets.time_wait)
    }

    /// The run is over: what has an end gets it.
    pub(super) fn settle(&mut self, run: &Run) {
        for onset in self.onsets.iter_mut().filter(|onset| onset.kind == OnsetKind::Refusals) {
            onset.until = refusals_over(run);
        }
    }

    /// The facts of the whole run.
    pub(super) fn facts(&self, plan: &Plan, run: &Run) -> Facts {
        let (first, last) = (self.first.as_ref(), self.last.as_ref());
        let over = first.zip(last).map(|(first, last)| last.since(first));
        let tuple = match &self.at_exhaustion {
            Some((tuple, _)) => Some(*tuple),
            None => last.and_then(|sample| Some(tuple_fact(sample, &fullest(sample)?))),
        };
        let mut around =
            target::look(plan.target.as_ref().map(|target| target.host.as_str()), &self.destinations);
        if run.tally.failed() > 0 {
            around.name.as_mut().map(target::ask_dns);
        }
        Facts {
            destinations: self.destinations.clone(),
            started: run.tally.started(),
            opened: run.tally.opened(),
            held_max: run.held_max,
            tuples: run.tuples,
            failures: run.tally.failures().iter().map(failure_fact).collect(),
            spoken: Some(plan.kind()),
            url: plan.url(),
            replies: run.tally.failures().iter().filter_map(reply_fact).collect(),
            syn_retransmits: run.tally.syn_retransmits(),
            slow_search: self.slow_search(&run.tally),
            host: self.host.clone(),
            explicit_ports: matches!(plan.source.ports, PortPolicy::Explicit { .. }),
            usable_ports: self.context.usable_ports,
            tuple,
            foreign: self.at_exhaustion.as_ref().map(|(_, foreign)| foreign.clone()),
            time_wait_blocks_s: self.context.time_wait_blocks.as_secs_f64(),
            counters: over.and_then(|over| over.counters),
            conntrack: last.and_then(|sample| sample.conntrack).map(|now| {
                (now, over.and_then(|over| over.conntrack_drops).unwrap_or(ConntrackDrops::default()))
            }),
            foreign_sources: foreign_sources(plan),
            server_table: self.server.table.clone(),
            listener_seen_gone: self.server.seen_gone,
            refusals: Some(refusals(&run.windows)),
            sources: plan.source.addresses.len(),
            source_weights: source_weights(plan),
            plateau: plateau(&run.windows),
            connect_min: (run.tally.opened() > 0)
                .then(|| Duration::from_micros(run.tally.latencies.connect.min_max_us().0)),
            generator_late: run.tally.latencies.lateness.quantile_us(0.99) > LATE_US,
            target: TargetFacts { process_state: around.target.process_state, ..self.server.facts() },
            ..around
        }
    }

    /// The jump of connect()'s cost that the detectors confirmed.
    fn slow_search(&self, tally: &Tally) -> Option<SlowSearch> {
        let told = self.onsets.iter().find(|onset| onset.kind == OnsetKind::PortSearchSlow)?;
        tally.slow_searches().iter().find(|slow| Some(slow.ordinal) == told.ordinal).copied()
    }

    /// What others hold of the ports that a tuple could have and has not, on whatever address: a bucket that
    /// a bind() made is passed over for every source address.
    fn foreign(&self, tuple: &TupleCount) -> ForeignSockets {
        let Ok(mut diag) = SockDiag::open() else { return ForeignSockets::default() };
        let filter = Filter {
            source_ports: vec![self.ports.clone()],
            ..Filter::states(StateSet::ALL.without(TcpState::Listen))
        };
        let (mut own, mut others) = (HashSet::new(), HashMap::new());
        let looked = diag.dump(&filter, |socket| {
            let (address, port) = (socket.source.ip(), socket.source.port());
            if address == tuple.source && socket.destination == tuple.destination {
                own.insert(port);
            } else {
                others.insert(port, socket.inode);
            }
        });
        if looked.is_err() {
            return ForeignSockets::default();
        }
        others.retain(|port, _| !own.contains(port));
        let inodes: HashSet<u32> = others.values().copied().filter(|inode| *inode != 0).collect();
        let mut holders: BTreeMap<holders::Holder, u32> = BTreeMap::new();
        for holder in holders::find(&inodes, HOLDERS_BUDGET).by_inode.into_values() {
            *holders.entry(holder).or_default() += 1;
        }
        ForeignSockets {
            ports: u32::try_from(others.len()).unwrap_or(u32::MAX),
            holders: holders.into_iter().collect(),
        }
    }
}

fn fullest(sample: &Sample) -> Option<TupleCount> {
    sample.tuples().into_iter().max_by_key(|tuple| tuple.sockets.total())
}

fn tuple_fact(sample: &Sample, tuple: &TupleCount) -> TupleFact {
    TupleFact {
        source: tuple.source,
        destination: tuple.destination,
        sockets: tuple.sockets,
        exact: is_exact(sample),
    }
}

fn is_exact(sample: &Sample) -> bool {
    [TcpState::TimeWait, TcpState::Established]
        .iter()
        .all(|state| sample.accuracy(*state) == Some(Accuracy::Exact))
}

fn for_want_of_a_port(totals: &Tally) -> bool {
    totals.failures().iter().any(|kind| {
        matches!(
            (kind.failure.stage, kind.failure.cause),
            (Stage::Connect, Cause::AddressNotAvailable) | (Stage::Bind, Cause::AddressInUse)
        )
    })
}

fn is_refusal(failure: &Failure) -> bool {
    failure.stage == Stage::Connect && matches!(failure.cause, Cause::Refused | Cause::RefusedIcmp)
}

fn has_refusals(window: &WindowRow) -> bool {
    window.failures.iter().any(|(failure, _)| is_refusal(failure))
}

/// When the first interval of refusals was over; `None` where no connection opened after it.
fn refusals_over(run: &Run) -> Option<Stamp> {
    let windows = &run.windows;
    let first = windows.iter().position(has_refusals)?;
    let length = windows[first..].iter().position(|window| !has_refusals(window))?;
    let (interval, after) = windows[first..].split_at(length);
    if after.iter().all(|window| window.opened == 0) {
        return None;
    }
    // To the moment, where none came later.
    let kinds = run.tally.failures().iter().filter(|kind| is_refusal(&kind.failure));
    let last_of_all = kinds.map(|kind| kind.last_at).max()?;
    Some(last_of_all.min(interval.last()?.at))
}

/// When connections were refused, and what else happened then.
fn refusals(windows: &[WindowRow]) -> Refusals {
    let with: Vec<bool> = windows.iter().map(has_refusals).collect();
    let begins = |at: usize| with[at] && (at == 0 || !with[at - 1]);
    let opened = |part: &[WindowRow]| part.iter().map(|window| window.opened).sum();
    let first = with.iter().position(|with| *with).unwrap_or(windows.len());
    let last = with.iter().rposition(|with| *with).map_or(windows.len(), |last| last + 1);
    let closed = windows.iter().zip(&with).filter(|(window, with)| **with && window.opened == 0).count();
    Refusals {
        intervals: u32::try_from((0..with.len()).filter(|at| begins(*at)).count()).unwrap_or(u32::MAX),
        windows_closed: u32::try_from(closed).unwrap_or(u32::MAX),
        opened_before: opened(&windows[..first]),
        opened_after: opened(&windows[last..]),
    }
}

fn failure_fact(kind: &crate::model::FailureTally) -> FailureFact {
    FailureFact {
        failure: kind.failure,
        count: kind.count,
        first_at: kind.first_at,
        last_at: kind.last_at,
        first_ordinal: kind.first_ordinal,
        lease: kind.samples.first().map(|sample| sample.lease),
        by_source: kind.by_source.sorted(),
        by_destination: kind.by_destination.sorted(),
        acknowledged: kind.acknowledged,
        at_timeout: kind.samples.iter().filter_map(|sample| sample.at_timeout).collect(),
        ages: (kind.latency.count() > 0).then(|| {
            let at = |quantile| Duration::from_micros(kind.latency.quantile_us(quantile));
            (at(0.01), at(0.99))
        }),
        icmp_code: (kind.failure.stage == Stage::Connect)
            .then_some(kind.failure.code)
            .flatten()
            .and_then(|code| u8::try_from(code).ok()),
        icmp_offender: None,
    }
}

fn reply_fact(kind: &crate::model::FailureTally) -> Option<(crate::model::Failure, Reply)> {
    let reply = kind.samples.iter().find_map(|sample| sample.reply.as_deref())?;
    Some((kind.failure, reply.clone()))
}
