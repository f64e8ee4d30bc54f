//! Faults of a process: it does not close what its peer has closed, or does not stay within its descriptors; and connection tracking.

use super::{HalfClosed, HalfClosedEnd, WatchedFacts};
use crate::diagnose::FindingId;
use crate::diagnose::claim::{Claim, Owner, Span};
use crate::linux::holders::Table;
use crate::model::{Evidence, Side};
use std::net::{Ipv4Addr, SocketAddr};

/// Connections in CLOSE_WAIT for long that are worth telling: one or two may wait for a slow program.
const WORTH_TELLING: u64 = 10;
/// Seconds in CLOSE_WAIT after which no program is merely slow.
const NEVER_S: f64 = 60.0;
/// Share of the descriptors at which they are nearly used up.
const NEARLY_FULL: f64 = 0.9;

/// Connections that the peer has closed and the program has not, by program and end.
pub(super) fn never_closed(facts: &WatchedFacts) -> Vec<Claim> {
    facts.half_closed.iter().filter(|half| half.for_long >= WORTH_TELLING).map(one).collect()
}

fn one(half: &HalfClosed) -> Claim {
    let who = half.holder.as_ref().map_or("a program that was not seen".to_owned(), |holder| {
        format!("{} (pid {})", holder.name, holder.pid)
    });
    let (which, owner) = match half.end {
        HalfClosedEnd::AcceptedOn(port) => (
            format!("accepted on port {port}"),
            Owner::Listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        ),
        HalfClosedEnd::MadeTo(to) => (format!("to {to}"), Owner::Tuple(None, to)),
    };
    let says = format!(
        "{who} keeps {} connections {which} that the peer has closed (CLOSE_WAIT), {} of them for {:.0} s or longer, the oldest for \
         {:.0} s: each holds a descriptor and memory until the program closes it, whatever the kernel's timeouts",
        half.sockets,
        half.for_long,
        HalfClosed::LONG_S,
        half.oldest_s
    );
    let evidence = Evidence::default()
        .with("close_wait", half.sockets)
        .with("close_wait_for_long", half.for_long)
        .with("oldest_s", half.oldest_s)
        .with("connections", which)
        .with_known("held_by", half.holder.as_ref().map(|_| who.clone()));
    // A program that is slow to close looks the same for a while.
    let span = if half.oldest_s >= NEVER_S { Span::Throughout } else { Span::Unknown };
    Claim::new(FindingId::CloseWaitLeak, Side::Generator, says)
        .resting_on(evidence)
        .seen(owner, span)
        .remedy("close the connection when read() gives 0 bytes: in Go `defer resp.Body.Close()`, in Python `with` or response.close(), in Java try-with-resources; a pool: an idle timeout shorter than the server's")
        .remedy("ss -tnp state close-wait    # which connections, and whose")
}

/// Programs whose descriptors are used up, or nearly.
pub(super) fn descriptors(facts: &WatchedFacts) -> Vec<Claim> {
    let tables = facts.tables.iter();
    tables.filter(|table| nearly_full(table)).map(table).collect()
}

fn nearly_full(table: &Table) -> bool {
    table.limit.is_some_and(|limit| table.open as f64 >= limit as f64 * NEARLY_FULL)
}

fn table(table: &Table) -> Claim {
    let limit = table.limit.unwrap_or(u64::MAX);
    let then = if table.is_full() {
        "the next socket(), accept() or open() fails with EMFILE (\"Too many open files\")"
    } else {
        "at the limit, socket(), accept() and open() fail with EMFILE (\"Too many open files\")"
    };
    let says = format!(
        "{} (pid {}) had {} of {limit} descriptors open: {then}",
        table.holder.name, table.holder.pid, table.open
    );
    let evidence = Evidence::default()
        .with("descriptors_open", table.open)
        .with("descriptors_limit", limit)
        .with("pid", table.holder.pid);
    Claim::new(FindingId::DescriptorsUsedUp, Side::Generator, says)
        .resting_on(evidence)
        .seen(Owner::Process, Span::Throughout)
        .remedy(format!("prlimit --pid {} --nofile=65536:65536    # now; LimitNOFILE=65536 in its systemd unit for later", table.holder.pid))
        .remedy("close what is no longer used; look for what grows: ls -l /proc/PID/fd | awk '{print $NF}' | sort | uniq -c | sort -n")
}

/// Connection tracking had no room, or hardly any.
pub(super) fn conntrack(facts: &WatchedFacts) -> Option<Claim> {
    let now =
        facts.conntrack.filter(|now| now.max > 0 && now.count as f64 >= now.max as f64 * NEARLY_FULL)?;
    let says = format!(
        "connection tracking of this network namespace had {} of {} entries: packets of new connections are dropped above it, \
         and connect() times out",
        now.count, now.max
    );
    let evidence =
        Evidence::default().with("nf_conntrack_count", now.count).with("nf_conntrack_max", now.max);
    let claim = Claim::new(FindingId::ConntrackFull, Side::Path, says)
        .resting_on(evidence)
        .seen(Owner::Everybody, Span::Throughout)
        .remedy(format!("sysctl -w net.netfilter.nf_conntrack_max={}", now.max.saturating_mul(4)))
        .remedy("leave such traffic out: nft add rule ip raw prerouting tcp dport PORT notrack");
    Some(claim)
}
