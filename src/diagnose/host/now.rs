//! Sockets that there are now, and how full that makes the ports.

use super::{Area, Check, HostState, Severity};
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::TcpState;
use crate::linux::tuple_usage::TupleCount;
use crate::model::PortPolicy;

/// Tuples told, the fullest first.
const TOLD: usize = 5;
/// A tuple with fewer sockets is not worth a line.
const FEW: u64 = 8;

pub(super) fn checks(settings: &HostSettings, state: &HostState) -> Vec<Check> {
    let mut checks = totals(settings, state);
    let told = state.tuples.iter().filter(|tuple| tuple.sockets.total() >= FEW).take(TOLD);
    checks.extend(told.map(|tuple| self::tuple(tuple, settings)));
    checks.extend(state.listening.iter().filter(|at| at.is_full()).map(|at| {
        let why = "its accept queue is full: further connections time out, or are slow by whole seconds";
        let value = format!("{} waiting of {}", at.waiting, at.backlog);
        Check::new(Area::Now, &format!("listener {}", at.address), value, Severity::Warning, why)
            .change(format!("ss -ltn sport = :{}    # accept faster, or a longer backlog", at.address.port()))
    }));
    checks.extend(state.unseen.iter().map(|what| Check::unseen(Area::Now, "not seen", what.clone())));
    checks
}

fn totals(settings: &HostSettings, state: &HostState) -> Vec<Check> {
    let mut checks = Vec::new();
    match state.established {
        Some(established) => {
            let why = "open connections, both ends of local ones counted";
            checks.push(Check::new(Area::Now, "established", established, Severity::Ok, why));
        }
        None => {
            let why = if state.truncated {
                "there are too many sockets to look at each"
            } else {
                "the sockets could not be listed (sock_diag)"
            };
            checks.push(Check::unseen(Area::Now, "established", why));
        }
    }
    if let Some(totals) = state.sockets {
        let cap = settings.tcp_max_tw_buckets;
        let capped = cap.is_some_and(|cap| totals.time_wait >= cap);
        let why = if capped {
            "as many as tcp_max_tw_buckets allows: more are destroyed at once"
        } else {
            "connections that this host closed first, each keeps its port for 60 s"
        };
        let worth = if capped { Severity::Warning } else { Severity::Ok };
        checks.push(Check::new(Area::Now, "time_wait", totals.time_wait, worth, why));
    }
    checks
}

fn tuple(tuple: &TupleCount, settings: &HostSettings) -> Check {
    let usable = u64::from(settings.port_settings().usable(PortPolicy::Kernel).max(1));
    let (used, time_wait) = (tuple.sockets.total(), tuple.sockets.get(TcpState::TimeWait));
    let name = format!("{} to {}", tuple.source, tuple.destination);
    let value = format!("{used} of {usable} ports, {time_wait} in TIME_WAIT");
    let share = used as f64 / usable as f64;
    let (worth, why) = match () {
        () if share >= 0.97 => (
            Severity::Warning,
            "no source port is left: connect() fails with \"Cannot assign requested address\"",
        ),
        () if share >= 0.5 => (
            Severity::Warning,
            "more than half of the ports are taken: connect() searches long for a free one, and slows down",
        ),
        () => (Severity::Ok, "source ports taken on the way to this destination"),
    };
    let check = Check::new(Area::Now, &name, value, worth, why);
    match worth {
        Severity::Warning if time_wait * 2 > used => check.change("sysctl -w net.ipv4.tcp_tw_reuse=1"),
        Severity::Warning => check.change("use more source addresses, or a wider ip_local_port_range"),
        _ => check,
    }
}
