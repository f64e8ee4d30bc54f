//! Limits of resources: descriptors, memory, connection tracking, TIME_WAIT buckets.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FindingId};
use crate::model::{Cause, Evidence, Side, Stage};

/// EMFILE and ENFILE.
pub(super) fn descriptors(facts: &Facts) -> Option<Claim> {
    let (own, system) = (facts.failed_by(Cause::ProcessFileLimit), facts.failed_by(Cause::SystemFileLimit));
    if own + system == 0 {
        return None;
    }
    if system > own {
        let says = format!(
            "the machine has no file handle left (ENFILE): fs.file-max is {}",
            facts.host.file_max.map_or("reached".to_owned(), |max| max.to_string())
        );
        let finding = Claim::new(FindingId::SystemFileLimit, Side::Generator, says)
            .resting_on(
                Evidence::default().with("failed", system).with_known("fs_file_max", facts.host.file_max),
            )
            .remedy("sysctl -w fs.file-max=2097152");
        return Some(explaining(finding, facts, Cause::SystemFileLimit));
    }
    let says = format!(
        "this process met its limit on open descriptors (EMFILE){}: it is connstorm's own limit, not the target's",
        facts.host.nofile_soft.map_or(String::new(), |limit| format!(", {limit} a table"))
    );
    let evidence = Evidence::default()
        .with("failed", own)
        .with_known("nofile_soft", facts.host.nofile_soft)
        .with_known("nofile_hard", facts.host.nofile_hard);
    let finding = Claim::new(FindingId::ProcessFileLimit, Side::Generator, says)
        .resting_on(evidence)
        .remedy("leave out --workers: connstorm starts as many descriptor tables as the connections need")
        .remedy("ulimit -n 1048576");
    Some(explaining(finding, facts, Cause::ProcessFileLimit))
}

/// ENOBUFS and ENOMEM.
pub(super) fn memory(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed_by(Cause::OutOfMemory);
    if failed == 0 {
        return None;
    }
    let aborted = facts.counters.map(|counters| counters.aborts_on_memory);
    let evidence = Evidence::default()
        .with("failed", failed)
        .with_known("tcp_aborts_on_memory", aborted)
        .with_known("memory_available_bytes", facts.host.memory_available);
    let finding = Claim::new(
        FindingId::OutOfMemory,
        Side::Generator,
        "the kernel had no memory for another socket (ENOBUFS or ENOMEM)",
    )
    .resting_on(evidence)
    .remedy("look at the memory limit of this container or cgroup, and at net.ipv4.tcp_mem");
    Some(explaining(finding, facts, Cause::OutOfMemory))
}

/// All failures of a cause: the error number has no other.
fn explaining(claim: Claim, facts: &Facts, cause: Cause) -> Claim {
    facts
        .failures
        .iter()
        .filter(|failed| failed.failure.cause == cause)
        .fold(claim, Claim::explaining)
        .seen(Owner::Attempts, Span::EachAttempt)
}

/// Connection tracking had no room. A dropped packet alone is no full table: SNAT without a port and bad packets
/// are counted there as well.
pub(super) fn conntrack(facts: &Facts) -> Option<Claim> {
    let (now, lost) = facts.conntrack?;
    let timed_out = facts.failed(Stage::Connect, Cause::TimedOut)?;
    if !facts.conntrack_is_full() {
        return None;
    }
    let says = format!(
        "connection tracking had no room: {} of {} entries in use, {} packets or entries dropped meanwhile. A \
         dropped SYN looks like a firewall: the connection times out",
        now.count,
        now.max,
        lost.drop + lost.early_drop
    );
    // Each attempt that timed out sent its SYN at least once into a table that had no room.
    let dropped = now.drops.map(|_| lost.drop);
    let claim = Claim::new(FindingId::ConntrackFull, Side::Path, says)
        .explaining_some(timed_out, dropped.unwrap_or(timed_out.count))
        .seen(Owner::Destinations, Span::Throughout);
    let claim = match dropped.filter(|dropped| *dropped >= timed_out.count) {
        Some(dropped) => claim.without(
            super::rivals::TIMEOUTS,
            format!("{dropped} packets found no entry, for {} attempts that timed out", timed_out.count),
        ),
        None => claim.unless(super::rivals::TIMEOUTS, "conntrack -S: drop, by CPU"),
    };
    Some(
        claim
            .resting_on(
                Evidence::default()
                    .with("nf_conntrack_count", now.count)
                    .with("nf_conntrack_max", now.max)
                    .with_known("drop", now.drops.map(|_| lost.drop))
                    .with_known("early_drop", now.drops.map(|_| lost.early_drop))
                    .with("timed_out", timed_out.count),
            )
            .remedy(format!(
                "sysctl -w net.netfilter.nf_conntrack_max={}",
                now.max.saturating_mul(4).max(262_144)
            ))
            .remedy("leave these connections out of tracking: a NOTRACK rule in the raw table"),
    )
}

/// Address translation on this host had no port: packets are dropped while the table has room, one for each SYN.
pub(super) fn own_snat(facts: &Facts) -> Option<Claim> {
    let (now, lost) = facts.conntrack?;
    let timed_out = facts.failed(Stage::Connect, Cause::TimedOut)?;
    if now.count >= now.max || lost.drop == 0 || lost.drop * 10 < timed_out.count * 9 {
        return None;
    }
    let says = format!(
        "connection tracking of this host dropped {} packets although its table has room ({} of {} entries), for {} attempts \
         that timed out: a rule of this host that translates source addresses (masquerade, SNAT) had no port left to give, as \
         with `masquerade to :20000-20099`",
        lost.drop, now.count, now.max, timed_out.count
    );
    // A SYN is sent up to five times in the time that an attempt is given: more drops are another's.
    let is_ours = lost.drop <= timed_out.count.saturating_mul(6);
    Some(
        Claim::new(FindingId::SnatPortsExhausted, Side::Generator, says)
            .explaining_some(timed_out, lost.drop)
            .seen(if is_ours { Owner::Destinations } else { Owner::Everybody }, Span::Throughout)
            .without(&[FindingId::ConntrackFull], "the table has room")
            .unless(
                &[FindingId::SomeTimedOut, FindingId::DroppedOnTheWay],
                "conntrack -S: insert_failed beside drop; nft list ruleset: masquerade, snat",
            )
            .resting_on(
                Evidence::default()
                    .with("drop", lost.drop)
                    .with("insert_failed", lost.insert_failed)
                    .with("nf_conntrack_count", now.count)
                    .with("nf_conntrack_max", now.max)
                    .with("timed_out", timed_out.count),
            )
            .remedy("keep connections open and use them again (a pool, HTTP keep-alive): each new one takes a translated port")
            .remedy("nft list ruleset | grep -n -e masquerade -e snat    # a wider range of ports, or more addresses to translate to")
            .remedy("no translation for this traffic: a rule `return` or `accept` before it in the nat chain, or NOTRACK in the raw table"),
    )
}

impl Facts {
    /// True if the table is full, and lost something or does not count what it loses.
    pub(super) fn conntrack_is_full(&self) -> bool {
        self.conntrack
            .is_some_and(|(now, lost)| now.count >= now.max && (now.drops.is_none() || lost.drop > 0))
    }
}

/// TIME_WAIT sockets were destroyed at once.
pub(super) fn time_wait_capped(facts: &Facts) -> Option<Claim> {
    let destroyed = facts.counters?.time_wait_overflow;
    if destroyed == 0 {
        return None;
    }
    let cap = facts.host.tcp_max_tw_buckets;
    let says = format!(
        "{destroyed} TIME_WAIT sockets were destroyed at once because there were more than \
         net.ipv4.tcp_max_tw_buckets{}. That hides ports running out, and lets a late segment of an old connection \
         reach a new one (RFC 1337)",
        cap.map_or(String::new(), |cap| format!(" ({cap})"))
    );
    let finding = Claim::new(FindingId::TimeWaitCapped, Side::Generator, says)
        .seen(Owner::Process, Span::Throughout)
        .resting_on(Evidence::default().with("destroyed", destroyed).with_known("tcp_max_tw_buckets", cap))
        .remedy("sysctl -w net.ipv4.tcp_max_tw_buckets=262144");
    Some(finding)
}
