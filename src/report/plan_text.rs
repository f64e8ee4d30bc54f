//! A forecast for a person at a terminal: what breaks first, each limit, the figures, what to change.

use crate::capacity::{
    Advice, Break, Change, Demand, ExhaustionError, Forecast, Limit, Moment, RateBound, Remedy, Severity,
};
use crate::model::format::{bytes, seconds, thousands};
use crate::model::{Close, Lifetime, PortPolicy};
use crate::report::findings::line;
use crate::report::style::Style;

/// Layout of text.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Columns that a line may have; below 40 counts as 40.
    pub width: usize,
    /// True if there are colours.
    pub style: Style,
}

impl Layout {
    pub(super) fn columns(self) -> usize {
        self.width.max(40)
    }
}

/// The forecast of one demand, and what to change; several lines with a line end each.
pub fn render(demand: &Demand, forecast: &Forecast, advice: &Advice, layout: Layout) -> String {
    let mut out = String::new();
    paragraph(&mut out, &load(demand, forecast), "", layout);
    line(&mut out, format_args!(""));
    first(&mut out, forecast, layout);
    line(&mut out, format_args!(""));
    limits(&mut out, forecast, layout.style);
    line(&mut out, format_args!(""));
    figures(&mut out, forecast, layout);
    remedies(&mut out, forecast, advice, layout);
    out
}

/// The load in one sentence.
fn load(demand: &Demand, forecast: &Forecast) -> String {
    let lasting = match demand.lifetime {
        Lifetime::Fixed(d) if d.is_zero() => "closed at once".to_owned(),
        Lifetime::Fixed(d) => format!("each open for {}", seconds(d.as_secs_f64())),
        Lifetime::Uniform(a, b) => {
            format!(
                "each open for {} to {}",
                seconds(a.min(b).as_secs_f64()),
                seconds(a.max(b).as_secs_f64())
            )
        }
        Lifetime::Exponential(mean) => format!("each open for {} on average", seconds(mean.as_secs_f64())),
        Lifetime::UntilEnd => "each open to the end".to_owned(),
    };
    let close = match demand.close {
        Close::Fin => "the client closes first, by FIN",
        Close::Rst => "the client closes, by RST",
        Close::Peer => "the server closes first",
    };
    let ports = match demand.ports {
        PortPolicy::Kernel => "the kernel chooses the port at connect()".to_owned(),
        PortPolicy::Explicit { low, high } => format!("bind() to ports {low}-{high}"),
        PortPolicy::NaiveBind => "the kernel chooses the port at bind()".to_owned(),
        PortPolicy::Range { low, high } => format!("the kernel chooses a port of {low}-{high}"),
    };
    let held = match demand.held {
        0 => String::new(),
        held => format!("{} held, and ", thousands(held)),
    };
    let ends = forecast.ends_at_s.map_or("without an end".to_owned(), |s| format!("for {}", seconds(s)));
    format!(
        "{held}{} {ends}, {lasting}; {close}; {}, {}; {ports}",
        per_second(forecast.peak_rate),
        counted(demand.sources.max(1), "source address", "source addresses"),
        counted(demand.destinations.max(1), "destination", "destinations"),
    )
}

fn first(out: &mut String, forecast: &Forecast, layout: Layout) {
    let style = layout.style;
    let Some(broken) = forecast.breaks_first() else {
        let slow =
            forecast.breaks.iter().find(|b| b.when.is_some() && b.limit.severity() == Severity::Slowdown);
        match slow.and_then(|b| b.when) {
            None => {
                paragraph(out, &format!("{}: {}", style.good("Fits"), ports_suffice(forecast)), "", layout)
            }
            Some(when) => {
                let fits = style.warn("Fits");
                let text = format!(
                    "{fits}: {}, but connect() becomes slow {}",
                    ports_suffice(forecast),
                    moment(when)
                );
                paragraph(out, &text, "", layout);
            }
        }
        return;
    };
    let when = broken.when.map_or(String::new(), moment);
    let text = format!("{}: {} {when}", "Breaks first", consequence(broken.limit, forecast));
    paragraph(out, &text, "", Layout { style: Style::Plain, ..layout });
    if let Some(slow) = forecast.ports.search_slow.filter(|_| broken.limit == Limit::Ports) {
        paragraph(out, &format!("Before that connect() becomes slow {}", moment(slow)), "", layout);
    }
}

/// The ports suffice: for which rate, how many of them are needed, and what that rests on.
pub(super) fn ports_suffice(forecast: &Forecast) -> String {
    let ports = &forecast.ports;
    let needed = ports.needed.map_or(String::new(), |needed| {
        format!(", {} of {} in use at most", thousands(needed), thousands(ports.capacity))
    });
    let held = held(forecast).map_or(String::new(), |held| format!(" ({held})"));
    let assumed = match forecast.assumes_that_the_peer_closes() {
        true => ", if the server closes as soon as the client has",
        false => "",
    };
    format!("ports: enough for {}{needed}{held}{assumed}", per_second(forecast.peak_rate))
}

/// Ports held before the run, if any are.
pub(super) fn held(forecast: &Forecast) -> Option<String> {
    let held = &forecast.ports.held;
    let by: Vec<String> =
        held.by.iter().map(|(by, ports)| format!("{} {}", thousands(*ports), by.in_words())).collect();
    (!by.is_empty()).then(|| {
        let all = held.by.values().sum::<u64>();
        format!("{} {} held already: {}", thousands(all), if all == 1 { "is" } else { "are" }, by.join(", "))
    })
}

/// Consequence of meeting a limit.
pub(super) fn consequence(limit: Limit, forecast: &Forecast) -> &'static str {
    match (limit, forecast.ports.error) {
        (Limit::Ports, ExhaustionError::AddressNotAvailable) => {
            "source ports run out (EADDRNOTAVAIL from connect())"
        }
        (Limit::Ports, ExhaustionError::AddressInUse) => "source ports run out (EADDRINUSE from bind())",
        (Limit::PortSearch, _) => "connect() becomes slow",
        (Limit::Descriptors, _) => "descriptors run out (EMFILE)",
        (Limit::FileMax, _) => "the host's open files run out (ENFILE)",
        (Limit::Memory, _) => "memory runs out",
        (Limit::TcpMem, _) => "TCP buffers run out (tcp_mem)",
        (Limit::Conntrack, _) => "connection tracking is full, and SYNs are dropped",
        (Limit::AcceptQueue, _) => "the accept queue overflows, and SYNs are dropped",
        (Limit::TimeWaitBuckets, _) => "TIME_WAIT is cut short (tcp_max_tw_buckets)",
    }
}

fn limits(out: &mut String, forecast: &Forecast, style: Style) {
    let row = |cells: [&str; 5]| {
        let [name, met, attempt, needed, there] = cells;
        format!("  {name:<20} {met:>9} {attempt:>12} {needed:>12} {there:>12}")
    };
    line(
        out,
        format_args!("{}", style.bold(&row(["limit", "met after", "at attempt", "needed", "there is"]))),
    );
    for b in &forecast.breaks {
        let (met, attempt) = match b.when {
            Some(when) => (seconds(when.at_s), thousands(when.ordinal)),
            None => ("never".to_owned(), "-".to_owned()),
        };
        let needed = b.needed.map_or("no end".to_owned(), |needed| amount(b.limit, needed));
        let text = row([name(b.limit), &met, &attempt, &needed, &amount(b.limit, b.available)]);
        line(out, format_args!("{}", coloured(b, &text, style)));
    }
}

fn coloured(b: &Break, text: &str, style: Style) -> String {
    match (b.when, b.limit.severity()) {
        (Some(_), Severity::Failure) => style.bad(text),
        (Some(_), Severity::Slowdown | Severity::Note) => style.warn(text),
        (None, _) => text.to_owned(),
    }
}

/// A limit's name, short enough for a table.
pub(super) fn name(limit: Limit) -> &'static str {
    match limit {
        Limit::Ports => "source ports",
        Limit::PortSearch => "ports tried first",
        Limit::Descriptors => "descriptors",
        Limit::FileMax => "fs.file-max",
        Limit::Memory => "memory",
        Limit::TcpMem => "tcp_mem",
        Limit::Conntrack => "nf_conntrack_max",
        Limit::AcceptQueue => "accepts a second",
        Limit::TimeWaitBuckets => "tcp_max_tw_buckets",
    }
}

fn amount(limit: Limit, count: u64) -> String {
    match limit {
        Limit::Memory | Limit::TcpMem => bytes(count),
        _ if count >= u64::from(u32::MAX) => "unlimited".to_owned(),
        _ => thousands(count),
    }
}

fn figures(out: &mut String, forecast: &Forecast, layout: Layout) {
    let (ports, time_wait) = (&forecast.ports, &forecast.time_wait);
    let mut rows = vec![(
        "ports",
        format!(
            "{} × {} = {}; a closed connection keeps its port for {}",
            thousands(u64::from(ports.supply.per_pool)),
            thousands(ports.supply.pools),
            thousands(ports.capacity),
            seconds(ports.supply.kept_after_close_s)
        ),
    )];
    let for_run = match (forecast.ends_at_s, ports.sustainable_for_run == ports.sustainable) {
        (Some(end), false) => {
            format!("; {} for the {} of this run", bound(ports.sustainable_for_run), seconds(end))
        }
        _ => String::new(),
    };
    let sustained = sustained(ports.sustainable_uncut, ports.sustainable);
    rows.push(("sustained by ports", format!("{sustained}, without an end{for_run}")));
    rows.push((
        "TIME_WAIT",
        match time_wait.peak {
            0 => "none on this host".to_owned(),
            peak => format!("{} from {} on", thousands(peak), seconds(time_wait.peak_from_s)),
        },
    ));
    if forecast.assumes_that_the_peer_closes() {
        rows.push((
            "assumed",
            "the server closes as soon as the client has; where it does not, the client's ports stay in FIN_WAIT_2 for 60 s \
             (net.ipv4.tcp_fin_timeout), which tcp_tw_reuse does not shorten"
                .to_owned(),
        ));
    }
    rows.push(("open at once", forecast.open.wanted.map_or("grows without an end".to_owned(), thousands)));
    let tables = forecast.descriptors.tables_needed.filter(|_| forecast.descriptors.private_tables);
    rows.extend(tables.map(|tables| {
        let each = thousands(forecast.descriptors.per_table);
        let text = format!("{} of {each} descriptors, one a worker", counted(tables, "table", "tables"));
        ("descriptor tables", text)
    }));
    if let (Some(kernel), Some(user)) = (forecast.memory.kernel, forecast.memory.user) {
        rows.push(("memory", format!("{} in the kernel, {} of the generator", bytes(kernel), bytes(user))));
    }
    rows.extend(queue_and_tracking(forecast));
    for (what, text) in rows {
        paragraph(out, &text, &format!("  {what:<20} "), layout);
    }
}

fn queue_and_tracking(forecast: &Forecast) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(conntrack) = &forecast.conntrack {
        let needed =
            conntrack.needed.map_or("no end of entries".to_owned(), |n| counted(n, "entry", "entries"));
        rows.push(("conntrack", format!("{needed}; the table sustains {}", bound(conntrack.sustainable))));
    }
    if let Some(queue) = &forecast.accept_queue {
        let pause = queue
            .pause_tolerated_s
            .map_or(String::new(), |pause| format!("; full after a pause of {}", seconds(pause)));
        rows.push(("accept queue", format!("a burst of {}{pause}", thousands(queue.holds))));
    }
    rows
}

fn remedies(out: &mut String, forecast: &Forecast, advice: &Advice, layout: Layout) {
    if advice.remedies.is_empty() {
        return;
    }
    line(out, format_args!(""));
    line(out, format_args!("{}", layout.style.bold("What to change, each by itself")));
    let mut against = None;
    for remedy in advice.remedies.iter().filter(|remedy| worth_telling(remedy)) {
        if against != Some(remedy.against) {
            against = Some(remedy.against);
            line(out, format_args!("  so that {}", aim(remedy.against)));
        }
        paragraph(out, &remedy_text(remedy), "    ", layout);
    }
    if forecast.fits() {
        return;
    }
    line(out, format_args!(""));
    match &advice.enough {
        Some(changes) => {
            let texts: Vec<String> = changes.iter().map(|change| enough(advice, change)).collect();
            paragraph(out, &format!("Enough to make it fit: {}", texts.join(" + ")), "", layout);
        }
        None => paragraph(out, "No set of these changes makes it fit.", "", layout),
    }
}

/// Against slowness there are many ways; those that only put it off are left to the JSON.
fn worth_telling(remedy: &Remedy) -> bool {
    remedy.clears || remedy.against.severity() == Severity::Failure
}

fn aim(limit: Limit) -> &'static str {
    match limit {
        Limit::Ports => "source ports do not run out",
        Limit::PortSearch => "connect() stays fast",
        Limit::Descriptors => "descriptors do not run out",
        Limit::FileMax => "the host's open files do not run out",
        Limit::Memory | Limit::TcpMem => "memory does not run out",
        Limit::Conntrack => "connection tracking does not fill up",
        Limit::AcceptQueue => "the accept queue does not overflow",
        Limit::TimeWaitBuckets => "TIME_WAIT is not cut short",
    }
}

fn remedy_text(remedy: &Remedy) -> String {
    let effect = match remedy.after.limit_met {
        None => "never met".to_owned(),
        Some(when) => format!("met only {}", moment(when)),
    };
    let rate = match remedy.against {
        Limit::Ports | Limit::PortSearch if !matches!(remedy.change, Change::Rate(_)) => {
            let after = &remedy.after;
            format!("; ports sustain {}", sustained(after.sustainable_uncut, after.sustainable))
        }
        _ => String::new(),
    };
    format!("{}: {effect}{rate}", remedy.commands.join(", "))
}

/// A change of the set that is enough. One whose command is not among the remedies is described.
fn enough(advice: &Advice, change: &Change) -> String {
    let known = advice.remedies.iter().find(|remedy| remedy.change == *change);
    known.map_or_else(|| described(change), |remedy| remedy.commands.join(", "))
}

fn described(change: &Change) -> String {
    match change {
        Change::Sources(total) => format!("{} source addresses", thousands(u64::from(*total))),
        Change::ExplicitPorts(span) => format!("--ports explicit:{}-{}", span.low, span.high),
        Change::ChooseAtConnect => "--ports kernel".to_owned(),
        Change::PrivateTables(tables) => format!("--workers {tables}"),
        Change::PortRange(span) => format!("net.ipv4.ip_local_port_range=\"{} {}\"", span.low, span.high),
        Change::ReuseTimeWait => "net.ipv4.tcp_tw_reuse=1".to_owned(),
        Change::Descriptors(limit) => format!("ulimit -n {limit}"),
        Change::FileMax(limit) => format!("fs.file-max={limit}"),
        Change::ConntrackMax(limit) => format!("net.netfilter.nf_conntrack_max={limit}"),
        Change::AcceptQueue(length) => format!("a backlog and net.core.somaxconn of {length}"),
        Change::CloseByReset => "--close rst".to_owned(),
        Change::PeerCloses => "--close peer".to_owned(),
        Change::Rate(rate) => format!("--rate {rate}/s"),
        Change::Hosts(hosts) => format!("{hosts} hosts"),
    }
}

/// A sustainable rate, and what lies beyond it where TIME_WAIT is cut short.
fn sustained(uncut: RateBound, sustainable: RateBound) -> String {
    if sustainable.as_per_second() > uncut.as_per_second() * 1.01 {
        format!("{} (more only with TIME_WAIT cut short)", bound(uncut))
    } else {
        bound(sustainable)
    }
}

pub(super) fn moment(when: Moment) -> String {
    format!("after {}, at attempt {}", seconds(when.at_s), thousands(when.ordinal))
}

/// A rate bound, as a rate.
pub(super) fn bound(bound: RateBound) -> String {
    match bound {
        RateBound::PerSecond(rate) => per_second(rate),
        RateBound::Unlimited => "any rate".to_owned(),
    }
}

/// A rate to the whole, or to hundredths below ten.
pub(super) fn per_second(rate: f64) -> String {
    if rate >= 10.0 || rate == rate.trunc() {
        format!("{}/s", thousands(rate as u64))
    } else {
        format!("{rate:.2}/s")
    }
}

fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{} {many}", thousands(count)),
    }
}

/// Text broken at white space to fit the width; the lead stands before the first line, and as much room
/// before the others.
fn paragraph(out: &mut String, text: &str, lead: &str, layout: Layout) {
    let indent = lead.chars().count();
    let room = layout.columns().saturating_sub(indent.max(2));
    let mut current = String::new();
    let mut lead = lead.to_owned();
    for word in text.split_whitespace() {
        if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > room {
            line(out, format_args!("{lead}{current}"));
            lead = " ".repeat(indent.max(2));
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    line(out, format_args!("{lead}{current}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Conntrack, Ends, HostLimits, RateCourse, forecast, remedies};
    use std::time::Duration;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn text(demand: &Demand, host: &HostLimits, width: usize) -> String {
        let (result, advice) = (forecast(demand, host), remedies(demand, host));
        render(demand, &result, &advice, Layout { width, style: Style::Plain })
    }

    #[test]
    fn it_says_what_breaks_first_and_what_to_do() {
        let host = HostLimits { private_tables: true, ..HostLimits::default() };
        insta::assert_snapshot!(text(&Demand::constant(2000.0), &host, 80));
    }

    #[test]
    fn a_load_that_fits_gets_its_figures_and_no_advice() {
        let demand = Demand {
            arrivals: RateCourse::constant(200.0, secs(30)),
            lifetime: Lifetime::Exponential(secs(2)),
            ends: Ends::TwoPrograms,
            ..Demand::constant(0.0)
        };
        let host = HostLimits { conntrack: Some(Conntrack::default()), ..HostLimits::default() };
        let text = text(&demand, &host, 80);
        assert!(text.contains("Fits: ports: enough for 200/s") && !text.contains("What to change"), "{text}");
        assert!(text.contains("accept queue") && text.contains("conntrack"), "{text}");
    }

    #[test]
    fn every_line_fits_the_width() {
        let host = HostLimits { conntrack: Some(Conntrack::default()), ..HostLimits::default() };
        for lifetime in [Lifetime::Fixed(secs(0)), Lifetime::Uniform(secs(9), secs(1)), Lifetime::UntilEnd] {
            let demand = Demand { lifetime, held: 20_000, ..Demand::constant(5000.0) };
            let text = text(&demand, &host, 80);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(!text.contains('\x1b'));
        }
    }
}
