//! Watches the kernel while a run goes on: a sample a window, the onsets that it shows, and at the end the
//! facts that the diagnosis wants. It works on the monitor thread.

use crate::diagnose::{
    Facts, FailureFact, Moment, PortWindow, ProcessMemory, Refusals, TargetFacts, TupleFact,
};
use crate::host::server_process::{ServerWatch, own_drops};
use crate::host::state::Owners;
use crate::host::target;
use crate::linux::holders::Table;
use crate::linux::proc_net::{ConntrackDrops, Counters};
use crate::linux::ruleset;
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::TupleCount;
use crate::model::{
    Cause, Failure, Onset, OnsetKind, PortSupply, Reply, Run, Served, SlowSearch, Stage, Stamp, Tally,
    WindowRow,
};
use crate::observe::{
    Accuracy, Delta, Detectors, Hurry, ObservedWindow, RunContext, Sample, Sampler, SamplerConfig,
};
use crate::plan::{Plan, PortPolicy};
use crate::result::{KernelWindow, LATE_US};
use crate::run::context::{client, context, foreign_sources, planned_messages, source_weights};
use crate::run::monitor::{Complete, Look, Told, Watch};
use crate::run::plateau::plateau;
use std::net::SocketAddr;
use std::time::Duration;

/// Share of one core that watching may cost.
const BUDGET: f64 = 0.02;

/// See the module.
pub(super) struct Observer {
    context: RunContext,
    host: HostSettings,
    destinations: Vec<SocketAddr>,
    sampler: Sampler,
    detectors: Detectors,
    first: Option<Sample>,
    last: Option<Sample>,
    server: ServerWatch,
    /// The tuple that was the fullest in any sample.
    fullest: Option<TupleFact>,
    /// See [`Facts::port_windows`].
    port_windows: Vec<PortWindow>,
    /// See [`TargetFacts::drops_by`].
    drops_by: Vec<(Stamp, u64)>,
    hurry: Hurry,
    pub(super) onsets: Vec<Onset>,
    pub(super) seen: Vec<KernelWindow>,
}

impl Observer {
    /// An observer of this thread's network namespace; what it may not see it leaves out.
    pub(super) fn new(
        plan: &Plan,
        destinations: &[SocketAddr],
        host: HostSettings,
        supply: PortSupply,
        hurry: Hurry,
    ) -> Observer {
        let context = context(plan, destinations, &host, supply);
        let config = SamplerConfig {
            destinations: context.supply.destinations(),
            ports: context.supply.span(),
            fraction: BUDGET,
        };
        let mut sampler = Sampler::open(config, Stamp::ZERO).hurried_by(hurry.clone());
        let first = with_drops(sampler.take(Stamp::ZERO), &context, destinations);
        Observer {
            detectors: Detectors::new(context.clone()),
            server: ServerWatch::new(destinations, context.target_is_local),
            context,
            host,
            destinations: destinations.to_vec(),
            sampler,
            last: Some(first.clone()),
            first: Some(first),
            fullest: None,
            port_windows: Vec::new(),
            drops_by: Vec::new(),
            hurry,
            onsets: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Looks that failed, and why, each once.
    pub(super) fn unseen(&self) -> &[String] {
        self.sampler.unseen()
    }

    /// Content of a sample, in the size that a run of an hour can keep.
    fn kernel_window(&self, sample: &Sample, delta: Option<&Delta>) -> KernelWindow {
        let fullest = fullest(sample);
        let in_fullest =
            |count: &dyn Fn(&TupleCount) -> u64| is_seen(sample).then(|| fullest.as_ref().map_or(0, count));
        let counters = delta.and_then(|delta| delta.counters);
        KernelWindow {
            at_s: Some(sample.taken_at.as_secs_f64()),
            ports_in_use: in_fullest(&|tuple| tuple.sockets.total()),
            ports_usable: self.context.usable_ports.map(u64::from),
            time_wait: in_fullest(&|tuple| tuple.sockets.get(TcpState::TimeWait)),
            time_wait_total: sample.sockets.map(|sockets| sockets.time_wait),
            forecast_exhausted_at_s: self.detectors.forecast().map(|at| at.as_secs_f64()),
            syn_retransmits: counters.map(|c: Counters| c.syn_retransmits),
            retransmits: counters.map(|c| c.retransmits),
            listen_overflows: counters.map(|c| c.listen_overflows),
            exact: is_exact(sample),
            cost_us: sample.cost.as_secs_f64() * 1e6,
        }
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
    pub(super) fn facts(&self, plan: &Plan, run: &Run, moments: Vec<Moment>) -> Facts {
        let (first, last) = (self.first.as_ref(), self.last.as_ref());
        let over = first.zip(last).map(|(first, last)| last.since(first));
        let is_quiet = run.tally.failed() == 0 && run.tally.syn_retransmits() == 0 && self.onsets.is_empty();
        let owners = if is_quiet { Owners::LeftOut } else { Owners::Sought };
        let host = plan.target.as_ref().map(|target| target.host.as_str());
        let mut around = target::look(host, &self.destinations, owners);
        if run.tally.failed() > 0 {
            around.name.as_mut().map(target::ask_dns);
            around.rules = ruleset::read().ok();
        }
        Facts {
            destinations: self.destinations.clone(),
            started: run.tally.started(),
            opened: run.tally.opened(),
            held_max: run.held_max,
            tuples: run.start.tuples,
            planned_messages: planned_messages(plan),
            client: client(plan),
            failures: run.tally.failures().iter().map(failure_fact).collect(),
            spoken: Some(plan.kind()),
            url: plan.url(),
            replies: run.tally.failures().iter().filter_map(reply_fact).collect(),
            syn_retransmits: run.tally.syn_retransmits(),
            slow_search: self.slow_search(&run.tally),
            host: self.host.clone(),
            explicit_ports: matches!(plan.source.ports, PortPolicy::Explicit { .. }),
            usable_ports: self.context.usable_ports,
            tuple: self.fullest,
            port_windows: self.port_windows.clone(),
            counters: over.and_then(|over| over.counters),
            conntrack: last.and_then(|sample| sample.conntrack).map(|now| {
                (now, over.and_then(|over| over.conntrack_drops).unwrap_or(ConntrackDrops::default()))
            }),
            foreign_sources: foreign_sources(plan),
            server_table: server_table(&moments, self.server.table.as_ref()),
            listener_seen_gone: self.server.seen_gone,
            refusals: Some(refusals(&run.windows)),
            sources: plan.source.addresses.len(),
            moments,
            source_weights: source_weights(plan),
            plateau: plateau(&run.windows),
            connect_min: (run.tally.opened() > 0)
                .then(|| Duration::from_micros(run.tally.latencies.connect.min_max_us().0)),
            generator_late: run.tally.latencies.lateness.quantile_us(0.99) > LATE_US
                || Served::of(&run.tally, run.start.workers, run.elapsed).too_late().is_some(),
            target: TargetFacts {
                process_state: around.target.process_state,
                drops_by: self.drops_by.clone(),
                ..self.server.facts()
            },
            memory: ProcessMemory {
                limit: run.start.memory_limit,
                peak: Some(run.memory_peak).filter(|peak| *peak > 0),
            },
            ..around
        }
    }

    /// The jump of connect()'s cost that the detectors confirmed.
    fn slow_search(&self, tally: &Tally) -> Option<SlowSearch> {
        let told = self.onsets.iter().find(|onset| onset.kind == OnsetKind::PortSearchSlow)?;
        tally.slow_searches().iter().find(|slow| Some(slow.ordinal) == told.ordinal).copied()
    }
}

impl Watch for Observer {
    fn window(&mut self, window: &Complete, look: Look<'_>) -> Told {
        let sample = match (look, &self.last) {
            (Look::None, Some(last)) => last.clone(),
            (Look::None, None) => return Told::default(),
            (Look::At(now), _) => {
                let sample = self.sampler.take(now());
                with_drops(sample, &self.context, &self.destinations)
            }
        };
        let is_new = matches!(look, Look::At(_));
        let delta = self.last.as_ref().filter(|_| is_new).map(|before| sample.since(before));
        let row = &window.row;
        let view =
            ObservedWindow { window: row, totals: &window.totals, sample: &sample, delta: delta.as_ref() };
        let onsets = self.detectors.window(&view);
        self.onsets.extend(onsets.iter().cloned());
        // What is counted after the end is not what the window met.
        let is_during = is_new && !self.hurry.is_called_for();
        self.port_windows.extend(port_window(row, Some(&sample).filter(|_| is_during)));
        if !is_new {
            return Told { onsets, seen: None };
        }
        if is_during {
            self.server.window(row);
        }
        let dropped = delta.and_then(|delta| delta.listener_drops).filter(|more| *more > 0);
        self.drops_by.extend(dropped.map(|more| (sample.taken_at, more)));
        self.fullest = self
            .fullest
            .into_iter()
            .chain(fullest(&sample).map(|tuple| tuple_fact(&tuple)))
            .max_by_key(|tuple| tuple.sockets.total());
        let seen = self.kernel_window(&sample, delta.as_ref());
        self.seen.push(seen.clone());
        self.last = Some(sample);
        Told { onsets, seen: Some(seen) }
    }
}

/// The sample with what the destinations' own listeners dropped, where they are this host's.
fn with_drops(sample: Sample, context: &RunContext, destinations: &[SocketAddr]) -> Sample {
    let listener_drops = if context.target_is_local { own_drops(destinations) } else { None };
    Sample { listener_drops, ..sample }
}

fn fullest(sample: &Sample) -> Option<TupleCount> {
    sample.tuples().into_iter().max_by_key(|tuple| tuple.sockets.total())
}

/// A window in which attempts found no port, with the ports of the fullest tuple where they were counted at its end.
fn port_window(row: &WindowRow, sample: Option<&Sample>) -> Option<PortWindow> {
    let for_want_of_a_port =
        |failure: &Failure| (failure.stage, failure.cause) == (Stage::Connect, Cause::AddressNotAvailable);
    let failed = row.failures.iter().filter(|(failure, _)| for_want_of_a_port(failure));
    let failed: u64 = failed.map(|(_, count)| count).sum();
    // Of two looks, a connection may be in both or in neither.
    let sample = sample.filter(|sample| sample.is_one_look() && is_exact(sample));
    let fact = sample.and_then(fullest).map(|tuple| tuple_fact(&tuple));
    (failed > 0).then(|| PortWindow {
        at: sample.map_or(row.at, |sample| sample.taken_at),
        failed,
        sockets: fact.map(|fact| (fact.time_wait(), fact.live())),
    })
}

fn tuple_fact(tuple: &TupleCount) -> TupleFact {
    TupleFact {
        source: tuple.source,
        destination: tuple.destination,
        sockets: tuple.sockets,
        // It is no look at the moment of a failure.
        exact: false,
    }
}

/// True if the sockets were looked at, now or before.
fn is_seen(sample: &Sample) -> bool {
    [TcpState::TimeWait, TcpState::Established].iter().all(|state| sample.accuracy(*state).is_some())
}

/// The descriptor table of the server when connections to it failed, or waited and were not accepted; the full
/// one, if any was full.
fn server_table(moments: &[Moment], watched: Option<&Table>) -> Option<Table> {
    let tables = moments.iter().filter_map(|moment| moment.listener.as_ref()?.table.as_ref());
    tables.chain(watched).max_by_key(|table| table.is_full()).cloned()
}

fn is_exact(sample: &Sample) -> bool {
    [TcpState::TimeWait, TcpState::Established]
        .iter()
        .all(|state| sample.accuracy(*state) == Some(Accuracy::Exact))
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
        answers: kind.answers.sorted(),
        at_timeout: kind.samples.iter().filter_map(|sample| sample.at_timeout).collect(),
        ages: (kind.latency.count() > 0).then(|| {
            let at = |quantile| Duration::from_micros(kind.latency.quantile_us(quantile));
            (at(0.01), at(0.99))
        }),
        median_age: (kind.latency.count() > 0).then(|| Duration::from_micros(kind.latency.quantile_us(0.5))),
        icmp_code: (kind.failure.stage == Stage::Connect)
            .then_some(kind.failure.code)
            .flatten()
            .and_then(|code| u8::try_from(code).ok()),
        icmp_offender: kind.samples.iter().find_map(|sample| sample.icmp_from),
        // `by_kind` fills them in.
        steps: Vec::new(),
    }
}

fn reply_fact(kind: &crate::model::FailureTally) -> Option<(crate::model::Failure, Reply)> {
    let reply = kind.samples.iter().find_map(|sample| sample.reply.as_deref())?;
    Some((kind.failure, reply.clone()))
}
