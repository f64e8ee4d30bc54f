//! Limits of resources: descriptors, memory, connection tracking, TIME_WAIT buckets.

use super::{Certainty, Facts, Finding};
use crate::model::{Cause, Evidence, Side};

/// EMFILE and ENFILE.
pub(super) fn descriptors(facts: &Facts) -> Option<(u64, Finding)> {
    let (own, system) = (facts.failed_by(Cause::ProcessFileLimit), facts.failed_by(Cause::SystemFileLimit));
    if own + system == 0 {
        return None;
    }
    if system > own {
        let says = format!(
            "the machine has no file handle left (ENFILE): fs.file-max is {}",
            facts.host.file_max.map_or("reached".to_owned(), |max| max.to_string())
        );
        let finding = Finding::new("system-file-limit", Side::Generator, Certainty::Proved, says)
            .resting_on(
                Evidence::default().with("failed", system).with_known("fs_file_max", facts.host.file_max),
            )
            .remedy("sysctl -w fs.file-max=2097152");
        return Some((system, finding));
    }
    let says = format!(
        "this process met its limit on open descriptors (EMFILE){}: it is connstorm's own limit, not the target's",
        facts.host.nofile_soft.map_or(String::new(), |limit| format!(", {limit} a table"))
    );
    let evidence = Evidence::default()
        .with("failed", own)
        .with_known("nofile_soft", facts.host.nofile_soft)
        .with_known("nofile_hard", facts.host.nofile_hard);
    let finding = Finding::new("process-file-limit", Side::Generator, Certainty::Proved, says)
        .resting_on(evidence)
        .remedy("leave out --workers: connstorm starts as many descriptor tables as the connections need")
        .remedy("ulimit -n 1048576");
    Some((own, finding))
}

/// ENOBUFS and ENOMEM.
pub(super) fn memory(facts: &Facts) -> Option<(u64, Finding)> {
    let failed = facts.failed_by(Cause::OutOfMemory);
    if failed == 0 {
        return None;
    }
    let aborted = facts.counters.map(|counters| counters.aborts_on_memory);
    let evidence = Evidence::default()
        .with("failed", failed)
        .with_known("tcp_aborts_on_memory", aborted)
        .with_known("memory_available_bytes", facts.host.memory_available);
    let finding = Finding::new(
        "out-of-memory",
        Side::Generator,
        Certainty::Proved,
        "the kernel had no memory for another socket (ENOBUFS or ENOMEM)",
    )
    .resting_on(evidence)
    .remedy("look at the memory limit of this container or cgroup, and at net.ipv4.tcp_mem");
    Some((failed, finding))
}

/// Connection tracking lost entries. Only the kernel's own counter proves it.
pub(super) fn conntrack(facts: &Facts) -> Option<(u64, Finding)> {
    let (now, lost) = facts.conntrack?;
    let dropped = lost.drop + lost.early_drop;
    let failed = facts.failed_by(Cause::TimedOut);
    // Not every kernel tells what it dropped.
    let is_full = now.drops.is_none() && now.count >= now.max && failed > 0;
    if dropped == 0 && !is_full {
        return None;
    }
    let certainty = if failed > 0 && lost.drop > 0 { Certainty::Proved } else { Certainty::Likely };
    let says = format!(
        "connection tracking had no room: {} of {} entries in use, {dropped} packets or entries dropped meanwhile. A \
         dropped SYN looks like a firewall: the connection times out",
        now.count, now.max
    );
    let evidence = Evidence::default()
        .with("nf_conntrack_count", now.count)
        .with("nf_conntrack_max", now.max)
        .with("drop", lost.drop)
        .with("early_drop", lost.early_drop)
        .with("timed_out", failed);
    let finding = Finding::new("conntrack-full", Side::Path, certainty, says)
        .resting_on(evidence)
        .remedy(format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}",
            now.max.saturating_mul(4).max(262_144)
        ))
        .remedy("leave these connections out of tracking: a NOTRACK rule in the raw table");
    Some((failed.max(dropped), finding))
}

/// TIME_WAIT sockets were destroyed at once.
pub(super) fn time_wait_capped(facts: &Facts) -> Option<(u64, Finding)> {
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
    let finding = Finding::new("time-wait-capped", Side::Generator, Certainty::Proved, says)
        .resting_on(Evidence::default().with("destroyed", destroyed).with_known("tcp_max_tw_buckets", cap))
        .remedy("sysctl -w net.ipv4.tcp_max_tw_buckets=262144");
    Some((0, finding))
}
