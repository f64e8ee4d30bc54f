//! From single values to a whole that can be run: defaults, and the checks that look at several fields.

mod mix;

use super::definition::{Arrivals, Connection, Lifetime, Load, Plan, Serve, Source, Spacing, Target};
use super::diagnostics::{Mistake, Place};
use super::field::{Field, Placed};
use super::fields::Settings;
use super::file::Written;
use super::load::{DEFAULT_DURATION, arrivals, until};
use super::secrets::Secrets;
use super::serve;
use super::session::{self, Session};
use super::stages::arrivals as planned;
use super::target_url::TargetUrl;
use super::threshold::{Threshold, Unmeasured};
use crate::model::MOST_AT_RANDOM;
use std::net::IpAddr;
use std::time::Duration;

/// The plan, or every mistake: those `found` already, and those that only the whole shows.
pub(super) fn resolve(
    written: Written,
    flags: Settings,
    default_name: &str,
    found: Vec<Mistake>,
) -> Result<Plan, Vec<Mistake>> {
    let Written { settings, target_table, serve_table, populations } = written;
    let common = Common { settings, target_table, serve_table };
    let mut mistakes = found;
    let (populations, of_populations) = mix::resolve(&common, &flags, populations);
    mistakes.extend(of_populations);
    let (thresholds, conditions) = judged(&common.settings, &flags);
    let data = common.settings.data.value().cloned().unwrap_or_default();
    let whole = one(mix::whole(common, &populations), flags, default_name, mistakes).map_err(each_once)?;
    let plan = mix::shared_out(whole, populations, data)?;
    let conditions = conditions
        .into_iter()
        .filter_map(|condition| of_a_population(&condition).or_else(|| unmeasured(&plan, condition)));
    let thresholds = thresholds.into_iter().filter_map(|threshold| unmeasured(&plan, threshold));
    let unmeasured: Vec<Mistake> = thresholds.chain(conditions).collect();
    if unmeasured.is_empty() { Ok(plan) } else { Err(unmeasured) }
}

/// Mistakes without those that were found again.
fn each_once(mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let mut all = Vec::new();
    for mistake in mistakes {
        if !all.contains(&mistake) {
            all.push(mistake);
        }
    }
    all
}

/// Fields that populations have in common; of a scenario without populations all.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) settings: Settings,
    /// The table `[target]`, if there is one.
    pub(super) target_table: Field<()>,
    /// The table `[serve]`, if there is one.
    pub(super) serve_table: Field<()>,
}

/// Thresholds of the whole, and the conditions that end it early.
fn judged(file: &Settings, flags: &Settings) -> (Vec<Placed<Threshold>>, Vec<Placed<Threshold>>) {
    let both = flags.clone().over(file.clone());
    let [thresholds, conditions] = [both.thresholds, both.abort_when]
        .map(|field: Field<Vec<Placed<Threshold>>>| field.into_value().unwrap_or_default());
    (thresholds, conditions)
}

/// The mistake of a condition about one population: while a run goes on, the figures of all are looked at.
fn of_a_population(condition: &Placed<Threshold>) -> Option<Mistake> {
    condition.value.population()?;
    let says = "a run is ended early by what all of it does, not by one population";
    Some(Mistake::new(condition.place.clone(), says).expected("the same without the population"))
}

/// The plan of clients that all do the same.
fn one(
    written: Common,
    flags: Settings,
    default_name: &str,
    found: Vec<Mistake>,
) -> Result<Plan, Vec<Mistake>> {
    let mut mistakes = found;
    let mut settings = flags.over(written.settings);
    session::lifetime_of_messages(&mut settings);
    let arrivals = arrivals(&settings, longest_life(&settings)).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    mistakes.extend(arrivals.as_ref().and_then(|arrivals| at_random(&settings, arrivals)));
    let serve = serve::resolve(&written.serve_table, &mut settings, &mut mistakes);
    let session = conversation(&mut settings, &serve, &mut mistakes);
    let serves = !serve.is_absent();
    let target = target(&settings, &written.target_table, serves).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    mistakes.extend(family_mismatch(&settings, target.as_ref()));
    match arrivals {
        Some(arrivals) if mistakes.is_empty() => {
            let mut plan = assemble(settings, target, serve.into_value(), arrivals, default_name);
            plan.session = session;
            Ok(plan)
        }
        _ => Err(mistakes),
    }
}

/// The mistake of a threshold or a condition on what the plan never measures.
fn unmeasured(plan: &Plan, threshold: Placed<Threshold>) -> Option<Mistake> {
    let Unmeasured { why, needed } = threshold.value.unmeasured_by(plan)?;
    let says = format!("{} is not measured in this scenario: {why}", threshold.value.named());
    Some(Mistake::new(threshold.place, says).expected(needed))
}

/// The mistake of arrivals at random that can't be.
fn at_random(settings: &Settings, arrivals: &Arrivals) -> Option<Mistake> {
    let spacing = settings.spacing.given().filter(|spacing| spacing.value == Spacing::Poisson)?;
    let mistake = |says: &str| Mistake::new(spacing.place.clone(), says);
    match arrivals {
        Arrivals::Closed { .. } => {
            Some(mistake("a closed loop has no arrivals that could be spaced").expected("an open loop"))
        }
        Arrivals::Open(stages) if stages.iter().map(planned).sum::<f64>() > MOST_AT_RANDOM as f64 => Some(
            mistake("these are too many arrivals to be spaced at random").expected("at most 200 million"),
        ),
        Arrivals::Open(_) => None,
    }
}

/// Session above TCP, by whatever target the plan has.
fn conversation(settings: &mut Settings, serve: &Field<Serve>, mistakes: &mut Vec<Mistake>) -> Session {
    if settings.url.is_bad() || serve.is_bad() {
        // What fits can't be told.
        return Session::default();
    }
    let kind = settings.url.value().map(|url| url.scheme);
    let kind = kind.or(serve.value().map(|serve| serve.kind)).unwrap_or_default();
    session::resolve(settings, kind, mistakes)
}

/// The plan of parts that have nothing against them, with a default for each that is left out.
fn assemble(
    settings: Settings,
    target: Option<Target>,
    serve: Option<Serve>,
    arrivals: Arrivals,
    default_name: &str,
) -> Plan {
    let (source, connection) = (Source::default(), Connection::default());
    let until = until(&settings);
    Plan {
        name: settings.name.into_value().unwrap_or_else(|| default_name.to_owned()),
        seed: settings.seed.into_value().unwrap_or(Plan::DEFAULT_SEED),
        target,
        source: Source {
            addresses: settings.addresses.into_value().unwrap_or(source.addresses),
            ports: settings.ports.into_value().unwrap_or(source.ports),
        },
        load: Load {
            arrivals,
            max_open: settings.max_open.into_value(),
            connections: settings.connections.into_value(),
            until,
        },
        spacing: settings.spacing.into_value().unwrap_or_default(),
        connection: Connection {
            lifetime: settings.lifetime.into_value().unwrap_or(connection.lifetime),
            close: settings.close.into_value().unwrap_or(connection.close),
            connect_timeout: settings.connect_timeout.into_value().unwrap_or(connection.connect_timeout),
            handshake_timeout: settings
                .handshake_timeout
                .into_value()
                .unwrap_or(connection.handshake_timeout),
        },
        session: Session::default(),
        data: settings.data.into_value().unwrap_or_default(),
        populations: Vec::new(),
        serve,
        workers: settings.workers.into_value(),
        memory: settings.memory.into_value(),
        thresholds: without_places(settings.thresholds),
        abort_when: without_places(settings.abort_when),
        secrets: Secrets::default(),
    }
}

fn without_places(thresholds: Field<Vec<Placed<Threshold>>>) -> Vec<Threshold> {
    thresholds.into_value().unwrap_or_default().into_iter().map(|placed| placed.value).collect()
}

/// Longest life of a connection, where it ends by itself: its lifetime, or what it has to say. Of an
/// exponential lifetime, so long that one in a hundred million lives longer.
fn longest_life(settings: &Settings) -> Duration {
    let lifetime = match settings.lifetime.value() {
        Some(Lifetime::Fixed(time) | Lifetime::Uniform(_, time)) => *time,
        Some(Lifetime::Exponential(mean)) => mean.saturating_mul(20),
        // Messages without a number are sent as long as a load that does not say how long.
        Some(Lifetime::UntilEnd) if session::sends_until_the_end(settings) => DEFAULT_DURATION,
        Some(Lifetime::UntilEnd) | None => Duration::ZERO,
    };
    lifetime.max(session::longest_speech(settings))
}

/// Where to connect; `None` where a target is served, or is bad and reported.
fn target(settings: &Settings, table: &Field<()>, serves: bool) -> Result<Option<Target>, Mistake> {
    let (url, beside) = (&settings.url, &settings.target_ports);
    match (url.given(), table) {
        (Some(url), _) if beside.is_bad() => Ok(Some(with_ports(&url.value, Vec::new()))),
        (Some(placed), _) => {
            let in_url = placed.value.ports.clone();
            match (
                in_url.is_empty() || (placed.value.default_port && beside.given().is_some()),
                beside.given(),
            ) {
                (false, None) => Ok(Some(with_ports(&placed.value, in_url))),
                // A flag's ports override the file's.
                (false, Some(_)) if url.is_from_flag() => Ok(Some(with_ports(&placed.value, in_url))),
                (false, Some(ports)) => {
                    Err(Mistake::new(ports.place.clone(), "the ports are given twice, here and in `url`")
                        .expected("`ports` here or in the URL, not both")
                        .also(&placed.place, "the other ports are here"))
                }
                (true, Some(ports)) => Ok(Some(with_ports(&placed.value, ports.value.clone()))),
                (true, None) => Err(Mistake::new(placed.place.clone(), "the target has no port")
                    .expected(format!("a port after the host: {}://host:port", placed.value.scheme))),
            }
        }
        (None, Field::Given(table)) if url.is_absent() && !serves => {
            Err(Mistake::new(table.place.clone(), "the field `url` is missing")
                .expected("`url`: the target, such as \"tcp://127.0.0.1:9001\""))
        }
        (None, Field::Absent) if url.is_absent() && !serves => {
            Err(Mistake::new(Place::Whole, "there is no target to connect to")
                .expected("[target] with `url`, or [serve] for a target of its own"))
        }
        _ => Ok(None),
    }
}

fn with_ports(url: &TargetUrl, ports: Vec<u16>) -> Target {
    Target { scheme: url.scheme, host: url.host.clone(), ports }
}

/// Source addresses of IPv4 alone reach no IPv6 address, and the other way round. A name may have both, so
/// only literal addresses are looked at.
fn family_mismatch(settings: &Settings, target: Option<&Target>) -> Option<Mistake> {
    let sources = settings.addresses.given().filter(|sources| !sources.value.is_empty())?;
    let host = &target?.host;
    let literal = host.split('%').next()?.parse::<IpAddr>().ok()?;
    if !sources.value.of_family(literal.is_ipv4()).is_empty() {
        return None;
    }
    let (wanted, other) = if literal.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    let says = format!("{other} source addresses cannot reach {host}");
    let mistake =
        Mistake::new(sources.place.clone(), says).expected(format!("at least one {wanted} address"));
    Some(match settings.url.given() {
        Some(url) => mistake.also(&url.place, format!("the target is an {wanted} address")),
        None => mistake,
    })
}
