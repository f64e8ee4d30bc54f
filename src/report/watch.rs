//! Text of a watch, for people: onsets as they begin, a table of tuples, and the outcome of it all.

use crate::diagnose::watched::{HalfClosed, HalfClosedEnd, TupleSeen};
use crate::diagnose::{Certainty, Finding};
use crate::linux::tcp_state::TcpState;
use crate::model::OnsetKind;
use crate::model::format::{seconds, thousands};
use crate::report::findings::{line, numbers, wrapped};
use crate::report::shown::clean;
use crate::report::style::Style;
use crate::result::{OnsetReport, WatchLook, WatchReport};

/// Order of the table's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The largest share of ports in use first.
    #[default]
    Used,
    /// The soonest to have none left first.
    TimeLeft,
    /// The fastest to take ports first.
    Rate,
    /// By destination.
    Destination,
    /// By program.
    Program,
}

impl Sort {
    /// The next of them, and after the last the first.
    #[must_use]
    pub fn next(self) -> Sort {
        match self {
            Sort::Used => Sort::TimeLeft,
            Sort::TimeLeft => Sort::Rate,
            Sort::Rate => Sort::Destination,
            Sort::Destination => Sort::Program,
            Sort::Program => Sort::Used,
        }
    }

    /// Name of the order.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Used => "ports in use",
            Sort::TimeLeft => "time left",
            Sort::Rate => "rate",
            Sort::Destination => "destination",
            Sort::Program => "program",
        }
    }
}

/// An onset, in a line or two.
pub fn onset(onset: &OnsetReport, style: Style) -> String {
    let mut out = String::new();
    let calm = matches!(onset.kind, OnsetKind::PortsRecovered | OnsetKind::TimeWaitSteady);
    let name = onset.kind.name();
    let kind = match onset.kind {
        OnsetKind::PortsExhausted | OnsetKind::FdLimit => style.bad(name),
        _ if calm => style.good(name),
        _ => style.warn(name),
    };
    let way = match (onset.source, onset.destination) {
        (Some(source), Some(to)) => format!("  {source} to {to}"),
        (None, Some(to)) => format!("  {to}"),
        _ => String::new(),
    };
    let text = |name: &str| onset.evidence.get(name).map(ToString::to_string);
    let who = text("held_by").map_or(String::new(), |who| format!("  {}", clean(&who)));
    line(&mut out, format_args!("  {:>7}  {kind}{way}{who}", seconds(onset.at_s)));
    let mut parts = vec![numbers(onset)];
    parts.retain(|part| !part.is_empty());
    let told = |name: &str, words: &str| text(name).map(|number| format!("{number} {words}"));
    parts.extend(told("dropped_by_it", "handshakes dropped by this listener"));
    parts.extend(told("close_wait_for_long", "connections that the peer closed and the program did not"));
    parts.extend(told("syn_sent_again", "SYNs sent again"));
    if onset.kind == OnsetKind::PortSearchSlow {
        parts.push("all ports that connect() tries first are taken: from here on it searches long".into());
    }
    if let (Some(open), Some(limit)) = (text("descriptors_open"), text("descriptors_limit")) {
        parts.push(format!("{open} of {limit} descriptors"));
    }
    if !parts.is_empty() {
        line(&mut out, format_args!("           {}", parts.join("; ")));
    }
    out
}

/// One line for a pipe or a log: the fullest tuple.
pub fn one_line(look: &WatchLook) -> String {
    let Some(tuple) = look.tuples.first() else {
        return format!("{:>9}  no outgoing connection", seconds(look.at_s));
    };
    let left = left(tuple).map_or(String::new(), |left| format!(", {left} left"));
    let who = tuple.who().map_or(String::new(), |who| format!("  {}", clean(&who)));
    format!(
        "{:>9}  {} of {} ports in use{left}  {}{who}",
        seconds(look.at_s),
        thousands(tuple.ports_used),
        thousands(tuple.ports_usable),
        tuple.way()
    )
}

/// Tuples that hold what is searched for, in an order.
pub fn rows<'a>(tuples: &'a [TupleSeen], filter: &str, sort: Sort) -> Vec<&'a TupleSeen> {
    let filter = filter.to_lowercase();
    let text =
        |tuple: &TupleSeen| format!("{} {}", tuple.way(), tuple.who().unwrap_or_default()).to_lowercase();
    let mut rows: Vec<&TupleSeen> = tuples.iter().filter(|tuple| text(tuple).contains(&filter)).collect();
    let descending = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    rows.sort_by(|a, b| match sort {
        Sort::Used => descending(a.share(), b.share()),
        Sort::TimeLeft => a.time_left_s.unwrap_or(f64::MAX).total_cmp(&b.time_left_s.unwrap_or(f64::MAX)),
        Sort::Rate => descending(a.taken_per_s, b.taken_per_s),
        Sort::Destination => (a.destination, a.source).cmp(&(b.destination, b.source)),
        Sort::Program => a.who().unwrap_or_default().cmp(&b.who().unwrap_or_default()),
    });
    rows
}

/// Columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// All of them.
    All,
    /// Those that fit into 80 characters together with the destination and the program.
    Few,
}

/// Width of a terminal from which on it has room for all columns.
const WIDE: u16 = 120;

impl Columns {
    /// Columns for a terminal of this width.
    pub fn within(width: u16) -> Columns {
        if width >= WIDE { Columns::All } else { Columns::Few }
    }

    /// Head of the table.
    pub fn head(self) -> &'static str {
        match self {
            Columns::All => {
                "  in use   usable     %  TIME_WAIT     live   other   taken/s     left  from → to  program"
            }
            Columns::Few => "  in use     %  TIME_WAIT  taken/s     left  to  program  from",
        }
    }

    /// A row of the table.
    pub fn row(self, tuple: &TupleSeen, style: Style) -> String {
        let in_time_wait = tuple.sockets.get(TcpState::TimeWait);
        let share = tuple.share().unwrap_or(0.0);
        let percent = format!("{:>5.1}", share * 100.0);
        let percent = match share {
            share if share >= 0.8 => style.bad(&percent),
            share if share >= 0.5 => style.warn(&percent),
            _ => percent,
        };
        let rate = tuple.taken_per_s.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
        let who = tuple.who().map_or(String::new(), |who| format!("  {}", clean(&who)));
        let (used, time_wait) = (thousands(tuple.ports_used), thousands(in_time_wait));
        let left = left(tuple).unwrap_or_else(|| "–".into());
        let (from, to) = (tuple.source, tuple.destination);
        match self {
            Columns::All => format!(
                "{used:>8} {:>8} {percent}  {time_wait:>9} {:>8} {:>7} {rate:>9} {left:>8}  {from} → {to}{who}",
                thousands(tuple.ports_usable),
                thousands(tuple.live()),
                thousands(tuple.sockets.total() - in_time_wait - tuple.live()),
            ),
            Columns::Few => {
                format!("{used:>8} {percent}  {time_wait:>9} {rate:>8} {left:>8}  {to}{who}  {from}")
            }
        }
    }
}

/// The lines of a live view: what there is, a table of tuples, listeners and programs in trouble.
pub fn screen(look: &WatchLook, watches: &str, view: &View, columns: Columns, style: Style) -> Vec<String> {
    let mut lines = vec![style.bold(&format!("connstorm watch  {watches}")), totals(look)];
    let filter = if view.filter.is_empty() {
        "type to filter".to_owned()
    } else {
        format!("filter '{}' (Esc clears it)", clean(&view.filter))
    };
    lines.push(format!("{filter}   Tab: by {}   q: leave", view.sort.name()));
    lines.push(String::new());
    lines.push(style.bold(columns.head()));
    let rows = rows(&look.tuples, &view.filter, view.sort).into_iter();
    lines.extend(rows.map(|tuple| columns.row(tuple, style)));
    if look.tuples.is_empty() {
        lines.push("  no outgoing connection".into());
    }
    let trouble: Vec<String> = troubles(look);
    if !trouble.is_empty() {
        lines.push(String::new());
        lines.extend(trouble);
    }
    if !view.onsets.is_empty() {
        lines.push(String::new());
        lines.push(style.bold("What began"));
        lines.extend(
            view.onsets
                .iter()
                .rev()
                .take(6)
                .flat_map(|told| onset(told, style).lines().map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    if !look.unseen.is_empty() {
        lines.push(String::new());
        lines.extend(look.unseen.iter().map(|note| format!("not seen: {}", clean(note))));
    }
    lines
}

/// View that a person has chosen.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Text that rows have to hold.
    pub filter: String,
    /// Order of the rows.
    pub sort: Sort,
    /// Onsets so far.
    pub onsets: Vec<OnsetReport>,
}

fn totals(look: &WatchLook) -> String {
    let sockets = look.sockets.map_or("sockets not seen".to_owned(), |sockets| {
        format!(
            "{} TCP sockets, {} in TIME_WAIT",
            thousands(sockets.tcp_in_use),
            thousands(sockets.time_wait)
        )
    });
    let conntrack = look.conntrack.map_or(String::new(), |now| {
        format!("   conntrack {} of {}", thousands(now.count), thousands(now.max))
    });
    format!(
        "{:>9}   {sockets}   {} tuples{conntrack}   watching costs {:.2} % of a core",
        seconds(look.at_s),
        thousands(look.tuples_in_all),
        look.cost_share * 100.0
    )
}

/// Listeners that drop, programs that leak or have few descriptors left.
fn troubles(look: &WatchLook) -> Vec<String> {
    let who = |holder: &Option<crate::linux::holders::Holder>| {
        holder.as_ref().map_or(String::new(), |at| format!("  {} (pid {})", clean(&at.name), at.pid))
    };
    let listeners = look.listeners.iter().filter(|at| at.dropped.unwrap_or(0) > 0 || at.waiting > at.backlog);
    let mut lines: Vec<String> = listeners
        .map(|at| {
            let dropped =
                at.dropped.map_or("drops not seen".to_owned(), |n| format!("{} dropped", thousands(n)));
            format!(
                "listener {}  {} of {} waiting, {dropped}{}",
                at.address,
                at.waiting,
                at.backlog,
                who(&at.holder)
            )
        })
        .collect();
    lines.extend(look.half_closed.iter().filter(|half| half.for_long > 0).map(|half| {
        format!(
            "CLOSE_WAIT {} {}, oldest {}{}",
            thousands(half.sockets),
            end(half),
            seconds(half.oldest_s),
            who(&half.holder)
        )
    }));
    let full = |table: &&crate::linux::holders::Table| {
        table.limit.is_some_and(|limit| table.open as f64 >= limit as f64 * 0.5)
    };
    lines.extend(look.tables.iter().filter(full).map(|table| {
        let limit = table.limit.map_or("no limit".to_owned(), thousands);
        format!(
            "descriptors {} of {limit}  {} (pid {})",
            thousands(table.open),
            clean(&table.holder.name),
            table.holder.pid
        )
    }));
    lines
}

fn end(half: &HalfClosed) -> String {
    match half.end {
        HalfClosedEnd::AcceptedOn(port) => format!("accepted on port {port}"),
        HalfClosedEnd::MadeTo(to) => format!("to {to}"),
    }
}

fn left(tuple: &TupleSeen) -> Option<String> {
    let left = tuple.time_left_s?;
    Some(match left {
        left if left >= 3600.0 => format!("{:.1} h", left / 3600.0),
        left if left >= 600.0 => format!("{:.0} min", left / 60.0),
        left => format!("{left:.0} s"),
    })
}

/// Outcome of the watch.
pub fn summary(report: &WatchReport, style: Style) -> String {
    let mut out = String::new();
    let verdict = crate::result::verdict_word(report.verdict);
    let told = match report.verdict {
        crate::result::Verdict::Passed => style.good(verdict),
        _ => style.bad(verdict),
    };
    let judged = if report.thresholds.is_empty() { String::new() } else { format!("  {told}") };
    let head = format!("watched {} for {}", report.watches, seconds(report.elapsed_s));
    line(&mut out, format_args!("{}{judged}", style.bold(&clean(&head))));
    for judged in &report.thresholds {
        let mark = if judged.passed { style.good("✓") } else { style.bad("✗") };
        line(&mut out, format_args!("  {mark} {}", judged.says));
    }
    if report.fullest.is_empty() {
        line(&mut out, format_args!("  no outgoing connection was seen"));
    } else {
        line(&mut out, format_args!("Tuples at their fullest"));
        line(&mut out, format_args!("{}", Columns::All.head()));
        for tuple in report.fullest.iter().take(10) {
            // What was growing at its fullest is over.
            let tuple = TupleSeen { time_left_s: None, ..tuple.clone() };
            line(&mut out, format_args!("{}", Columns::All.row(&tuple, style)));
        }
    }
    for lines in troubles(&report.last) {
        line(&mut out, format_args!("  {lines}"));
    }
    if !report.findings.is_empty() {
        line(&mut out, format_args!("What it means"));
    }
    for (place, found) in report.findings.iter().enumerate() {
        finding(&mut out, found, if place == 0 { usize::MAX } else { 2 }, style);
    }
    for note in &report.unseen {
        line(&mut out, format_args!("not seen: {}", clean(note)));
    }
    line(&mut out, format_args!("watching cost {:.2} % of a core", report.last.cost_share * 100.0));
    out
}

/// A finding: nobody's side is told, since the watched program is not the generator of anything.
fn finding(out: &mut String, found: &Finding, remedies: usize, style: Style) {
    let certainty = format!("{}:", found.certainty);
    let head =
        if found.certainty == Certainty::Proved { style.bad(&certainty) } else { style.warn(&certainty) };
    line(out, format_args!("  {head} {}", found.id));
    wrapped(out, &clean(&found.says), 4);
    for rival in found.rivals.iter().filter(|rival| !rival.ruled_out) {
        wrapped(out, &format!("not ruled out: {}; {}", rival.id, rival.by), 4);
    }
    for remedy in found.remedies.iter().take(remedies) {
        line(out, format_args!("    {} {remedy}", style.good("▸")));
    }
}
