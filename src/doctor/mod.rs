//! An examination: of this host, and of one target by one careful connection to each of its addresses.
//!
//! It gathers facts, and leaves it to the rules that judge runs to say what they prove.

mod probe;

pub use probe::Timeouts;

use crate::diagnose::host::checks;
use crate::diagnose::{Facts, FailureFact, Listening, TupleFact, diagnose};
use crate::engine::{Destinations, OtherSchemes, Script, ScriptError};
use crate::host::server_process::{own_drops, server_table};
use crate::host::{state, target};
use crate::linux::addresses::{is_local, route_to};
use crate::linux::clock::Clock;
use crate::linux::proc_net::{Conntrack, ConntrackDrops, Counters, ProcNet};
use crate::linux::ruleset;
use crate::linux::sysctl::HostSettings;
use crate::model::{Cause, Failure, Lease, Stage};
use crate::plan::{Close, Connection, Lifetime, Scheme, Session, Target, TargetUrl};
use crate::result::SCHEMA_VERSION;
use crate::result::examination::{AttemptReport, Examination, TargetExamination};
use probe::{Probe, Scripts, probe_all};
use std::net::{IpAddr, SocketAddr};

/// Addresses of a name that are tried.
const TRIED: usize = 8;

/// Examines this host.
pub fn host() -> Examination {
    let began = Clock::start().wall_epoch();
    let host = HostSettings::read();
    let state = state::look(&host);
    Examination {
        schema_version: SCHEMA_VERSION,
        connstorm_version: env!("CARGO_PKG_VERSION").to_owned(),
        began,
        checks: checks(&host, &state),
        host,
        state,
        target: None,
        findings: Vec::new(),
    }
}

/// Examines this host, and a target, to which `session` says what is said. `expected`: the addresses that its
/// name should lead to, if that is known. `source`: the address to connect from; what fails from there is tried from
/// the kernel's choice as well.
///
/// # Errors
/// When a file that the session names can't be used.
pub fn target(
    target: &TargetUrl,
    session: &Session,
    expected: &[IpAddr],
    source: Option<IpAddr>,
    timeouts: Timeouts,
) -> Result<Examination, ScriptError> {
    let connection = Connection {
        lifetime: Lifetime::UntilEnd,
        close: Close::Fin,
        connect_timeout: timeouts.connect,
        handshake_timeout: timeouts.reply,
    };
    let script = Script::new(target.scheme, Some(target.host.clone()), session, connection)?;
    let others = OtherSchemes::of(target.scheme, Some(&target.host), session, connection)?;
    let examination = host();
    let asked = Target { scheme: Scheme::Tcp, host: target.host.clone(), ports: target.ports.clone() };
    let resolved = Destinations::resolve(&asked);
    let destinations = resolved.addresses();
    let (tried, untried) = choose(destinations);
    let scripts = Scripts { asked: script.as_ref(), others: Some(&others), source };
    let local = |to: SocketAddr| is_local(to.ip()).unwrap_or(false);
    let before = Counted::now(&tried);
    let mut probes = probe_all(&tried, scripts, local, timeouts);
    // What fails at once is tried again: a second failure of the kind is no chance.
    let failed_at_once = |probe: &&Probe| {
        probe
            .report
            .failure
            .as_ref()
            .is_some_and(|failure| !matches!(failure.cause, Cause::TimedOut | Cause::Stalled))
    };
    let again: Vec<SocketAddr> =
        probes.iter().filter(failed_at_once).map(|probe| probe.report.destination).collect();
    let second = probe_all(&again, Scripts { others: None, ..scripts }, local, timeouts);
    let failed: Vec<SocketAddr> = probes
        .iter()
        .filter(|probe| source.is_some() && !probe.report.connected)
        .map(|probe| probe.report.destination)
        .collect();
    let elsewhence = probe_all(&failed, Scripts { source: None, ..scripts }, local, timeouts);
    let after = Counted::now(&tried);
    let first = probes.len();
    probes.extend(second);
    let by_source = source.map(|source| (source, probes.len() as u64));
    let shown_besides = elsewhence.len();
    probes.extend(elsewhence);
    let mut facts = Facts {
        destinations: tried,
        spoken: Some(target.scheme),
        url: Some(target.to_string()),
        ..target::look(Some(&target.host), destinations, state::Owners::Sought)
    };
    if let Some(name) = &mut facts.name {
        name.expected = expected.to_vec();
        name.error = resolved.why_not();
        target::ask_dns(name);
    }
    facts.started = probes.len() as u64;
    facts.host = examination.host.clone();
    facts.rules = ruleset::read().ok();
    add_probes(&mut facts, &probes);
    if let Some((source, count)) = by_source {
        add_sources(&mut facts, source, count, &probes);
    }
    add_counted(&mut facts, &before, &after);
    add_ports(&mut facts, &examination);
    let findings = diagnose(&facts);
    let on_port =
        |at: &Listening| target.ports.contains(&at.address.port()) && facts.target_is_local == Some(true);
    let target = TargetExamination {
        url: target.to_string(),
        name: facts.name,
        places: facts.places,
        listening: facts.listening.iter().filter(|at| on_port(at)).cloned().collect(),
        attempts: reports(probes, first, shown_besides),
        untried,
    };
    Ok(Examination { target: Some(target), findings, ..examination })
}

/// The attempts to tell of: the first to each address, and those from another source.
fn reports(probes: Vec<Probe>, first: usize, besides: usize) -> Vec<AttemptReport> {
    let again = probes.len() - besides;
    let told = probes.into_iter().enumerate().filter(|(at, _)| *at < first || *at >= again);
    told.map(|(_, probe)| probe.report).collect()
}

/// Number of attempts from the source that was asked for, and from the kernel's choice.
fn add_sources(facts: &mut Facts, source: IpAddr, count: u64, probes: &[Probe]) {
    let others = probes.len() as u64 - count;
    let chosen = probes.last().and_then(|probe| probe.report.source).map(|address| address.ip());
    let Some(chosen) = chosen.filter(|chosen| others > 0 && *chosen != source) else { return };
    facts.sources = 2;
    facts.source_weights = vec![(source, count), (chosen, others)];
    for failed in &mut facts.failures {
        let of = |probe: &&Probe| {
            probe.report.failure.as_ref().is_some_and(|failure| failure.failure() == failed.failure)
        };
        let from_source = probes.iter().take(count as usize).filter(of).count() as u64;
        let from_chosen = failed.count.saturating_sub(from_source);
        failed.by_source = [(source, from_source), (chosen, from_chosen)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
    }
}

/// Addresses to try, and the others. Those without a route are left out where others have one, as a
/// client's resolver puts them last (RFC 6724): on a host without IPv6, IPv6 addresses are no trouble.
fn choose(destinations: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let has_route = |to: &SocketAddr| route_to(to.ip()).is_ok_and(|route| route.is_some());
    let (mut with, without): (Vec<SocketAddr>, Vec<SocketAddr>) =
        destinations.iter().partition(|to| has_route(to));
    if with.is_empty() {
        with = without.clone();
    }
    with.truncate(TRIED);
    let left = destinations.iter().copied().filter(|to| !with.contains(to)).collect();
    (with, left)
}

/// Outcome of the connections, added to the facts.
fn add_probes(facts: &mut Facts, probes: &[Probe]) {
    facts.opened = probes.iter().filter(|probe| probe.report.connected).count() as u64;
    facts.held_max = facts.opened;
    for (ordinal, probe) in (0..).zip(probes) {
        let report = &probe.report;
        facts.syn_retransmits += u64::from(report.syn_retransmits > 0);
        facts.trials.extend(&probe.trials);
        if report.accepted == Some(false) && facts.unaccepted.is_none() {
            facts.unaccepted = Some(report.destination);
            facts.server_table = server_table(report.destination);
        }
        if let Some(failure) = &report.failure {
            add_failure(facts, failure.failure(), ordinal, report);
        }
    }
    // A queue that is full lets nobody in at all; its server may have no descriptor left.
    if let Some(full) = facts.full_listener().map(|at| at.address)
        && facts.server_table.is_none()
    {
        facts.server_table = server_table(full);
    }
}

fn add_failure(facts: &mut Facts, failure: Failure, ordinal: u64, report: &AttemptReport) {
    let to = report.destination;
    if let Some(known) = facts.failures.iter_mut().find(|known| known.failure == failure) {
        known.count += 1;
        match known.by_destination.iter_mut().find(|(known, _)| *known == to) {
            Some((_, count)) => *count += 1,
            None => known.by_destination.push((to, 1)),
        }
        return;
    }
    facts.replies.extend(report.reply.clone().map(|reply| (failure, reply)));
    facts.failures.push(FailureFact {
        first_ordinal: ordinal,
        lease: Some(Lease { source: None, port: None, destination: to }),
        by_destination: vec![(to, 1)],
        icmp_code: report.icmp.map(|(_, code)| code),
        icmp_offender: report.icmp_from,
        ..FailureFact::new(failure, 1)
    });
}

/// Counters of the namespace at one moment.
#[derive(Default)]
struct Counted {
    counters: Option<Counters>,
    conntrack: Option<Conntrack>,
    own_drops: Option<u64>,
}

impl Counted {
    fn now(destinations: &[SocketAddr]) -> Counted {
        let Ok(mut files) = ProcNet::open() else { return Counted::default() };
        Counted {
            counters: files.counters().ok(),
            conntrack: files.conntrack().ok().flatten(),
            own_drops: own_drops(destinations),
        }
    }
}

fn add_counted(facts: &mut Facts, before: &Counted, after: &Counted) {
    facts.counters = after.counters.zip(before.counters).map(|(after, before)| after.since(&before));
    if facts.target_is_local == Some(true) {
        let drops = after.own_drops.zip(before.own_drops);
        facts.target.listener_drops = drops.map(|(after, before)| after.saturating_sub(before));
    }
    facts.conntrack = after.conntrack.map(|now| {
        let drops = now.drops.zip(before.conntrack.and_then(|before| before.drops));
        (now, drops.map_or(ConntrackDrops::default(), |(now, before)| now.since(&before)))
    });
}

/// Ports to the target in use, where none was left for one connection.
fn add_ports(facts: &mut Facts, examination: &Examination) {
    let Some(failed) = facts.failed(Stage::Connect, Cause::AddressNotAvailable) else { return };
    let destination = failed.lease.map(|lease| lease.destination);
    let fullest = examination.state.tuples.iter().find(|tuple| Some(tuple.destination) == destination);
    facts.tuples = 1;
    facts.usable_ports = Some(examination.host.port_settings().usable(crate::model::PortPolicy::Kernel));
    facts.tuple = fullest.map(|tuple| TupleFact {
        source: tuple.source,
        destination: tuple.destination,
        sockets: tuple.sockets,
        exact: !examination.state.truncated,
    });
}
