//! Asks the kernel, one [`Sample`] a call.
//!
//! Counters and totals are read each time (some 100 µs). The sockets themselves are looked at as closely as
//! the [`Budget`] allows; in between a sample carries what was seen last, with its age. What the kernel
//! refuses to tell is left out and noted in [`Sampler::unseen`]; it never ends a run.

use super::budget::{Ages, Budget, Look, Population};
use super::hurry::Hurry;
use super::sample::{Accuracy, Part, Sample};
use super::yield_cpu::YieldCpu;
use crate::linux::proc_net::{ProcNet, system_files};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tuple_usage::{TupleCount, TupleUsage};
use crate::linux::usage;
use crate::model::Stamp;
use std::io;
use std::net::SocketAddr;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

/// Sockets looked at before it is asked again whether to hurry: 0.2 to 0.5 ms of work.
const LOOKED_AT_ONCE: u32 = 512;

/// Sockets to watch.
#[derive(Debug, Clone)]
pub struct SamplerConfig {
    /// The destinations of the run. Connections to others are not counted.
    pub destinations: Vec<SocketAddr>,
    /// The source ports that the run may use. Where not all can be looked at, some of these stand for all.
    pub ports: RangeInclusive<u16>,
    /// The share of one core that looking may cost; 0.02 unless the user says otherwise.
    pub fraction: f64,
}

/// Takes samples of the network namespace, and with the descriptor table, of the thread that opened it.
#[derive(Debug)]
pub struct Sampler {
    config: SamplerConfig,
    budget: Budget,
    diag: Option<SockDiag>,
    files: Option<ProcNet>,
    passing: Option<Arc<Part>>,
    established: Option<Arc<Part>>,
    unseen: Vec<String>,
    hurry: Hurry,
}

impl Sampler {
    /// Opens what can be opened; what cannot is noted in [`Sampler::unseen`].
    pub fn open(config: SamplerConfig, now: Stamp) -> Sampler {
        let mut unseen = Vec::new();
        let diag = noted(SockDiag::open(), "sockets (sock_diag)", &mut unseen);
        let files = noted(ProcNet::open(), "counters (/proc/net)", &mut unseen);
        let budget = Budget::new(config.fraction, now);
        Sampler {
            config,
            budget,
            diag,
            files,
            passing: None,
            established: None,
            unseen,
            hurry: Hurry::default(),
        }
    }

    /// The same, whose looks break off when they are to hurry: what was seen before then stands.
    #[must_use]
    pub fn hurried_by(mut self, hurry: Hurry) -> Sampler {
        self.hurry = hurry;
        self
    }

    /// Takes a sample, within the budget.
    pub fn take(&mut self, now: Stamp) -> Sample {
        self.sample(now, None)
    }

    /// Takes a sample with a look at every connection, whatever that costs: for the moment at which
    /// something went wrong. The budget is charged, so that later samples make up for it.
    pub fn take_whole(&mut self, now: Stamp) -> Sample {
        self.sample(now, Some(Look::Whole))
    }

    /// Looks that failed, and why, each once.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    fn sample(&mut self, now: Stamp, asked: Option<Look>) -> Sample {
        let begun = usage::thread_cpu();
        let mut sample = self.totals(now);
        let read = usage::thread_cpu();
        self.budget.charge(read.saturating_sub(begun));
        // Without totals nothing is known of what a look would cost; the budget learns it from the first.
        let population = sample.sockets.map_or_else(Population::default, |sockets| Population {
            time_wait: sockets.time_wait,
            others: sockets.tcp_in_use,
        });
        let ages = Ages { passing: taken_at(&self.passing), established: taken_at(&self.established) };
        let asked = if self.hurry.is_called_for() { Some(Look::Nothing) } else { asked };
        let look = asked.unwrap_or_else(|| self.budget.choose(now, population, ages));
        self.look(look, YieldCpu::new(asked.is_some()), now);
        let looked = usage::thread_cpu();
        self.budget.looked(look, population, looked.saturating_sub(read));
        sample.passing = self.passing.clone();
        sample.established = self.established.clone();
        sample.cost = looked.saturating_sub(begun);
        sample
    }

    /// All of a sample but the sockets.
    fn totals(&mut self, now: Stamp) -> Sample {
        let (files, unseen) = (self.files.as_mut(), &mut self.unseen);
        let (counters, sockets, conntrack) = match files {
            Some(files) => (
                noted(files.counters(), "counters (netstat, snmp)", unseen),
                noted(files.sockets(), "totals of sockets (sockstat)", unseen),
                noted(files.conntrack(), "connection tracking", unseen).flatten(),
            ),
            None => (None, None, None),
        };
        Sample {
            taken_at: now,
            cost: Duration::ZERO,
            counters,
            sockets,
            conntrack,
            files: noted(system_files(), "open files of the machine (file-nr)", unseen),
            listener_drops: None,
            passing: None,
            established: None,
        }
    }

    fn look(&mut self, look: Look, yield_cpu: YieldCpu, now: Stamp) {
        let established = StateSet::NONE.with(TcpState::Established);
        match look {
            Look::Whole => {
                if let Some(whole) = self.dump(StateSet::CONNECTIONS, None, yield_cpu, now) {
                    let (passing, established) = divided(whole);
                    self.passing = Some(Arc::new(passing));
                    self.established = Some(Arc::new(established));
                }
            }
            Look::Passing => {
                if let Some(part) = self.dump(StateSet::PASSING, None, yield_cpu, now) {
                    self.passing = Some(Arc::new(part));
                }
            }
            Look::Established(slice) => {
                let ports = slice.ports(&self.config.ports);
                if let Some(part) = self.dump(established, Some(ports), yield_cpu, now) {
                    self.established = Some(Arc::new(part));
                }
            }
            Look::Nothing => {}
        }
    }

    /// `None` where the kernel would not tell; it is not asked again.
    fn dump(
        &mut self,
        states: StateSet,
        ports: Option<Vec<RangeInclusive<u16>>>,
        mut yield_cpu: YieldCpu,
        now: Stamp,
    ) -> Option<Part> {
        let accuracy = match &ports {
            None => Accuracy::Exact,
            Some(ports) => {
                Accuracy::Approximate { seen: ports.iter().map(count).sum(), of: count(&self.config.ports) }
            }
        };
        let filter = Filter {
            destinations: self.config.destinations.clone(),
            source_ports: ports.unwrap_or_default(),
            ..Filter::states(states)
        };
        let mut tuples = TupleUsage::default();
        let (hurry, mut seen) = (&self.hurry, 0u32);
        let answer = self.diag.as_mut()?.dump_while(&filter, |socket| {
            tuples.add(socket);
            yield_cpu.looked();
            seen = seen.wrapping_add(1);
            let go_on = !seen.is_multiple_of(LOOKED_AT_ONCE) || !hurry.is_called_for();
            if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let Some(stats) = noted(answer, "sockets (sock_diag)", &mut self.unseen) else {
            self.diag = None;
            return None;
        };
        if stats.truncated {
            return None;
        }
        let mut rows = tuples.into_rows();
        if let Accuracy::Approximate { seen, of } = accuracy {
            rows.iter_mut().for_each(|row| row.sockets = row.sockets.extrapolated(seen, of));
        }
        Some(Part { taken_at: now, accuracy, inconsistent: stats.inconsistent, rows })
    }
}

fn taken_at(part: &Option<Arc<Part>>) -> Option<Stamp> {
    Some(part.as_ref()?.taken_at)
}

fn count(range: &RangeInclusive<u16>) -> u32 {
    if range.is_empty() { 0 } else { u32::from(*range.end()) - u32::from(*range.start()) + 1 }
}

/// Divides a look at everything into what is passing and what is established.
fn divided(whole: Part) -> (Part, Part) {
    let only = |states: StateSet| -> Vec<TupleCount> {
        whole
            .rows
            .iter()
            .map(|row| TupleCount { sockets: row.sockets.only(states), ..*row })
            .filter(|row| row.sockets.total() > 0)
            .collect()
    };
    let passing = Part { rows: only(StateSet::PASSING), ..whole };
    let established = Part { rows: only(StateSet::NONE.with(TcpState::Established)), ..whole };
    (passing, established)
}

/// Value of an answer, or a note of the reason why there is none; each reason is noted once.
pub(crate) fn noted<T>(answer: io::Result<T>, what: &str, unseen: &mut Vec<String>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            let note = format!("{what}: {error}");
            if !unseen.contains(&note) {
                unseen.push(note);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
