//! Onsets of a program that is not ours: the detectors of every run, fed with what the kernel alone shows.
//!
//! What an attempt would tell (its errors, its latencies) is not known here. That ports have run out is
//! seen by their number, and refusals by the counters.

use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::TupleCount;
use crate::model::{
    AddressSet, Close, Evidence, Onset, OnsetKind, PortDemand, PortPolicy, PortSupply, Stamp, Tally,
    WindowRow,
};
use crate::observe::{Books, Delta, Detectors, ObservedWindow, RunContext, Sample, Sampler, SamplerConfig};
use crate::result::OnsetReport;
use std::time::Duration;

/// The detectors measure growth from window to window, and are made for windows of a second.
const WINDOW: Duration = Duration::from_secs(1);
/// Share of a core that looking may cost; beyond it not every socket is counted each time.
const BUDGET: f64 = 0.05;

/// So many sockets are counted one by one at each look: a program may live for less than it takes a budget
/// to allow a second one. About 1 µs each.
const FEW: u64 = 5_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    sampler: Sampler,
    detectors: Detectors,
    usable: u32,
    first: Sample,
    window: Sample,
    told: Vec<OnsetKind>,
    /// The fullest that a tuple was.
    fullest: Option<TupleCount>,
}

impl Watch {
    /// A watch of this thread's network namespace, with the settings that it has now.
    pub(super) fn new(now: Stamp) -> Watch {
        let host = HostSettings::read();
        let supply = PortSupply::new(&anybodys(), host.port_settings());
        let (range, usable) = (supply.span(), supply.usable());
        let context = RunContext {
            usable_ports: Some(usable),
            reserved_ports: supply.reserved(),
            tuples: 1,
            largest_share: 1.0,
            open_for: Some(Duration::ZERO),
            fin_timeout: Duration::from_secs(host.tcp_fin_timeout.unwrap_or(60)),
            books: Books::None,
            supply,
            time_wait_cap: host.tcp_max_tw_buckets,
            target_is_local: true,
            open_loop: false,
            ends_at: None,
            cores: host.cores.unwrap_or(1),
        };
        let config = SamplerConfig { destinations: Vec::new(), ports: range, fraction: BUDGET };
        let mut sampler = Sampler::open(config, now);
        let first = sampler.take_whole(now);
        Watch {
            detectors: Detectors::new(context),
            sampler,
            usable,
            window: first.clone(),
            first,
            told: Vec::new(),
            fullest: None,
        }
    }

    /// What has begun since the last look.
    pub(super) fn look(&mut self, now: Stamp) -> Vec<OnsetReport> {
        let few = self.window.sockets.is_none_or(|sockets| sockets.tcp_in_use + sockets.time_wait < FEW);
        let sample = if few { self.sampler.take_whole(now) } else { self.sampler.take(now) };
        let mut onsets = Vec::new();
        if sample.taken_at.saturating_sub(self.window.taken_at) >= WINDOW {
            let delta = sample.since(&self.window);
            let view = ObservedWindow {
                window: &row(now, &delta),
                totals: &Tally::default(),
                sample: &sample,
                delta: Some(&delta),
            };
            onsets = self.detectors.window(&view);
            self.window = sample.clone();
        }
        let since_start = sample.since(&self.first);
        onsets.extend(self.queue(now, &since_start));
        onsets.extend(self.refusals(now, &since_start));
        onsets.extend(self.retransmits(now, &since_start));
        onsets.extend(self.ports(now, &sample));
        // The detectors and the quick looks may see the same: it is told once.
        onsets.retain(|onset| {
            let new = !self.told.contains(&onset.kind);
            if new {
                self.told.push(onset.kind);
            }
            new
        });
        onsets.iter().map(OnsetReport::from).collect()
    }

    /// How full it became.
    pub(super) fn summary(&self) -> String {
        match &self.fullest {
            None => "no connection stayed for long enough to be seen".into(),
            Some(tuple) => format!(
                "{} to {}: {} of {} ports in use at most, {} of them in TIME_WAIT",
                tuple.source,
                tuple.destination,
                tuple.sockets.total(),
                self.usable,
                tuple.sockets.get(TcpState::TimeWait)
            ),
        }
    }

    fn ports(&mut self, now: Stamp, sample: &Sample) -> Option<Onset> {
        let now_fullest = sample.tuples().into_iter().max_by_key(|tuple| tuple.sockets.total())?;
        let before = self.fullest.map_or(0, |tuple| tuple.sockets.total());
        if now_fullest.sockets.total() >= before {
            self.fullest = Some(now_fullest);
        }
        let (used, usable) = (now_fullest.sockets.total(), u64::from(self.usable));
        // Half a range is searched in vain before the other half; at four fifths it is nearly over.
        let kind = match used {
            _ if used >= usable => OnsetKind::PortsExhausted,
            _ if used * 5 >= usable * 4 => OnsetKind::PortsLow,
            _ => return None,
        };
        let evidence = Evidence::default()
            .with("ports_in_use", used)
            .with("ports_usable", usable)
            .with("time_wait", now_fullest.sockets.get(TcpState::TimeWait));
        Some(Onset {
            source: Some(now_fullest.source),
            destination: Some(now_fullest.destination),
            ..Onset::new(kind, now, evidence)
        })
    }

    fn queue(&self, now: Stamp, since_start: &Delta) -> Option<Onset> {
        let overflows = since_start.counters?.listen_overflows;
        let evidence = Evidence::default().with("listen_overflows_in_this_window", overflows);
        (overflows > 0).then(|| Onset::new(OnsetKind::AcceptQueueFull, now, evidence))
    }

    /// A SYN that was sent again, and again: once may be chance.
    fn retransmits(&self, now: Stamp, since_start: &Delta) -> Option<Onset> {
        let again = since_start.counters?.syn_retransmits;
        let evidence = Evidence::default().with("tcp_syn_retrans", again);
        (again > 1).then(|| Onset::new(OnsetKind::SynRetransmits, now, evidence))
    }

    /// A handshake that failed, and a RST of this namespace's own.
    fn refusals(&self, now: Stamp, since_start: &Delta) -> Option<Onset> {
        let counters = since_start.counters?;
        let refused = counters.attempt_fails > 0 && counters.resets_sent > 0;
        let evidence = Evidence::default().with("attempt_fails", counters.attempt_fails);
        refused.then(|| Onset::new(OnsetKind::Refusals, now, evidence))
    }
}

/// The ports of a program of which nothing is known. How long each stays taken is decided by the addresses of
/// the tuples that are seen.
fn anybodys() -> PortDemand {
    PortDemand {
        policy: PortPolicy::Kernel,
        close: Close::Fin,
        sources: AddressSet::default(),
        destinations: Vec::new(),
        routed: Vec::new(),
    }
}

/// A window in which so many connections were opened; nothing else is known of them.
fn row(at: Stamp, delta: &Delta) -> WindowRow {
    let opened = delta.counters.map_or(0, |counters| counters.active_opens);
    WindowRow {
        at,
        planned: opened,
        started: opened,
        opened,
        ok: 0,
        failed: 0,
        cut_short: 0,
        skipped: 0,
        open: 0,
        connect_us: [0; 4],
        connect_histogram: None,
        connect_call_p99_us: 0,
        lateness_p99_us: 0,
        message_lateness_p99_us: None,
        speech: crate::model::Speech::default(),
        cpu: Duration::ZERO,
        failures: Vec::new(),
    }
}
