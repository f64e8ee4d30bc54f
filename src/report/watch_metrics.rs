//! A look of a watch as OpenMetrics text, for Prometheus.
//!
//! A tuple is a label set of its own; those beyond the number that a look holds are only counted, so that a program that
//! connects to thousands of destinations makes no thousands of series.

use crate::diagnose::watched::{HalfClosedEnd, TupleSeen};
use crate::report::openmetrics::{Figures, Labels, Values, labels, written};
use crate::report::output::RenderError;
use crate::report::shown::clean;
use crate::result::{OnsetReport, WatchLook};
use std::collections::BTreeMap;

/// A value of a tuple; `None` where it is not known.
type OfTuple = fn(&TupleSeen) -> Option<f64>;

/// The text.
///
/// # Errors
/// When it can't be written, which no look does.
pub fn render(look: &WatchLook, onsets: &[OnsetReport], version: &str) -> Result<String, RenderError> {
    let mut figures = Figures::default();
    figures.add("build", "The program", Values::Info(labels(&[("version", version)])));
    tuples(&mut figures, look);
    programs(&mut figures, look);
    namespace(&mut figures, look);
    let mut told: BTreeMap<&str, u64> = BTreeMap::new();
    onsets.iter().for_each(|onset| *told.entry(onset.kind.name()).or_default() += 1);
    let told = told.into_iter().map(|(kind, count)| (labels(&[("kind", kind)]), count)).collect();
    figures.add("onsets", "Troubles that began", Values::Counters(told));
    written("connstorm_watch", figures)
}

fn tuples(figures: &mut Figures, look: &WatchLook) {
    let of_tuple: [(&str, &'static str, OfTuple); 7] = [
        ("ports_in_use", "Source ports of a tuple that connect() can't take", |t| Some(t.ports_used as f64)),
        ("ports_usable", "Source ports that a tuple can have", |t| Some(t.ports_usable as f64)),
        ("ports_taken_per_second", "Ports taken a second, beside those that came back", |t| t.taken_per_s),
        ("closed_per_second", "Connections that this side closed first, a second", |t| t.closed_per_s),
        ("time_left_seconds", "Time until no port is left, if it goes on like this", |t| t.time_left_s),
        ("ceiling_per_second", "Connections a second that the ports bear with tcp_tw_reuse", |t| {
            t.ceiling_per_s
        }),
        ("look_age_seconds", "Age of the oldest part of the count", |t| Some(t.age_s)),
    ];
    for (name, help, value) in of_tuple {
        let values = look.tuples.iter().filter_map(|tuple| Some((way(tuple), value(tuple)?)));
        figures.add(name, help, Values::Gauges(values.collect()));
    }
    let states = look.tuples.iter().flat_map(|tuple| {
        tuple.sockets.iter().map(|(state, count)| {
            let mut labels = way(tuple);
            labels.push(("state".into(), state.name().into()));
            (labels, count as f64)
        })
    });
    figures.add("tuple_sockets", "Sockets of a tuple, by state", Values::Gauges(states.collect()));
    figures.gauge("tuples", "Tuples of outgoing connections", look.tuples_in_all as f64);
}

fn programs(figures: &mut Figures, look: &WatchLook) {
    let named = |holder: &Option<crate::linux::holders::Holder>| {
        holder.as_ref().map_or(String::new(), |holder| clean(&holder.name))
    };
    let listener = |at: &crate::diagnose::watched::ListenerSeen| {
        labels(&[("address", &at.address.to_string()), ("program", &named(&at.holder))])
    };
    let waiting = look.listeners.iter().map(|at| (listener(at), f64::from(at.waiting))).collect();
    figures.add("listener_waiting", "Connections that wait for accept()", Values::Gauges(waiting));
    let backlog = look.listeners.iter().map(|at| (listener(at), f64::from(at.backlog))).collect();
    figures.add("listener_backlog", "Length of the accept queue", Values::Gauges(backlog));
    let dropped = look.listeners.iter().filter_map(|at| Some((listener(at), at.dropped?))).collect();
    figures.add("listener_dropped", "Handshakes dropped since the watch began", Values::Counters(dropped));
    let close_wait = look.half_closed.iter().map(|half| {
        let end = match half.end {
            HalfClosedEnd::AcceptedOn(port) => format!("accepted on {port}"),
            HalfClosedEnd::MadeTo(to) => format!("to {to}"),
        };
        (labels(&[("end", &end), ("program", &named(&half.holder))]), half.for_long as f64)
    });
    let help = "Connections in CLOSE_WAIT for 10 s or longer";
    figures.add("close_wait", help, Values::Gauges(close_wait.collect()));
    let of = |table: &crate::linux::holders::Table| {
        labels(&[("pid", &table.holder.pid.to_string()), ("program", &clean(&table.holder.name))])
    };
    let open = look.tables.iter().map(|table| (of(table), table.open as f64)).collect();
    figures.add("descriptors_open", "Descriptors that a program has open", Values::Gauges(open));
    let limit = look.tables.iter().filter_map(|table| Some((of(table), table.limit? as f64))).collect();
    figures.add("descriptors_limit", "Descriptors that a program may have", Values::Gauges(limit));
}

fn namespace(figures: &mut Figures, look: &WatchLook) {
    if let Some(sockets) = look.sockets {
        figures.gauge("tcp_sockets", "TCP sockets of the namespace", sockets.tcp_in_use as f64);
        figures.gauge("time_wait_sockets", "TIME_WAIT of the namespace", sockets.time_wait as f64);
    }
    if let Some(conntrack) = look.conntrack {
        figures.gauge("conntrack_entries", "Entries of connection tracking", conntrack.count as f64);
        figures.gauge("conntrack_max", "Entries that connection tracking may have", conntrack.max as f64);
    }
    figures.gauge("cost_ratio", "Part of one core that watching costs", look.cost_share);
    figures.gauge("unseen", "Kinds of things that could not be seen", look.unseen.len() as f64);
}

fn way(tuple: &TupleSeen) -> Labels {
    let program = tuple.holders.iter().map(|holder| clean(&holder.name)).collect::<Vec<_>>().join(",");
    labels(&[
        ("source", &tuple.source.to_string()),
        ("destination", &tuple.destination.to_string()),
        ("program", &program),
    ])
}
