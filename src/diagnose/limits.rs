//! Limits of resources: descriptors, memory, TIME_WAIT buckets.

use super::claim::{Claim, Owner, Span};
use super::{Facts, FindingId};
use crate::model::format::bytes;
use crate::model::{Cause, Close, Evidence, Side};

/// ENFILE.
pub(super) fn system_descriptors(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed_by(Cause::SystemFileLimit);
    if failed == 0 {
        return None;
    }
    let max = facts.host.file_max;
    let says = format!(
        "the machine has no file handle left (ENFILE): fs.file-max is {}",
        max.map_or("reached".to_owned(), |max| max.to_string())
    );
    let finding = Claim::new(FindingId::SystemFileLimit, Side::Generator, says)
        .resting_on(Evidence::default().with("failed", failed).with_known("fs_file_max", max))
        .remedy("keep fewer connections and files open in the programs of this machine: lsof -n | awk '{print $1}' | sort | uniq -c | sort -rn | head")
        .remedy(format!("sysctl -w fs.file-max={}", max.map_or(2_097_152, |max| max.saturating_mul(4).max(2_097_152))));
    Some(explaining(finding, facts, Cause::SystemFileLimit))
}

/// EMFILE.
pub(super) fn process_descriptors(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed_by(Cause::ProcessFileLimit);
    if failed == 0 {
        return None;
    }
    let says = format!(
        "this process met its limit on open descriptors (EMFILE){}: it is connstorm's own limit, not the target's",
        facts.host.nofile_soft.map_or(String::new(), |limit| format!(", {limit} a table"))
    );
    let evidence = Evidence::default()
        .with("failed", failed)
        .with_known("nofile_soft", facts.host.nofile_soft)
        .with_known("nofile_hard", facts.host.nofile_hard);
    let finding = Claim::new(FindingId::ProcessFileLimit, Side::Generator, says).resting_on(evidence);
    let finding = raised(facts, finding)
        .remedy("leave out --workers: connstorm starts as many descriptor tables as the connections need");
    Some(explaining(finding, facts, Cause::ProcessFileLimit))
}

/// The command that raises the limit, where there is room above it.
fn raised(facts: &Facts, finding: Claim) -> Claim {
    match (facts.host.nofile_soft, facts.host.nofile_hard) {
        (Some(soft), Some(hard)) if soft >= hard => finding
            .remedy("as root: prlimit --pid $$ --nofile=1048576:1048576    # in the shell that starts the program; its hard limit is reached"),
        (_, Some(hard)) => finding.remedy(format!("ulimit -n {hard}    # up to the hard limit")),
        _ => finding.remedy("ulimit -n 1048576"),
    }
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
    .remedy("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.current    # the limit of this container or cgroup")
    .remedy("cat /proc/net/sockstat /proc/sys/net/ipv4/tcp_mem    # pages of TCP's buffers in use, and their limits");
    Some(explaining(finding, facts, Cause::OutOfMemory))
}

/// The limit of this process on memory.
pub(super) fn own_memory(facts: &Facts) -> Option<Claim> {
    let failed = facts.failed_by(Cause::MemoryLimit);
    if failed == 0 {
        return None;
    }
    let limit = match facts.memory.limit {
        Some(limit) => format!("its limit of memory ({})", bytes(limit)),
        None => "nine tenths of the memory that can be had".to_owned(),
    };
    let says = format!(
        "connstorm met {limit}: the bytes of messages and replies that the target began and did not finish, or that it \
         does not read, are kept for each connection"
    );
    let evidence = Evidence::default()
        .with("failed", failed)
        .with("held_max", facts.held_max)
        .with_known("memory_limit_bytes", facts.memory.limit)
        .with_known("rss_peak_bytes", facts.memory.peak)
        .with_known("memory_available_bytes", facts.host.memory_available);
    let claim = Claim::new(FindingId::MemoryLimit, Side::Generator, says)
        .resting_on(evidence)
        .remedy("look why the target does not finish its messages, or does not read: an ordinary client would keep them as well")
        .remedy("hold fewer connections at once: --max-open");
    let claim = match facts.memory.limit {
        Some(limit) => claim.remedy(format!("where there is more: --memory {}MiB", (limit >> 19).max(1))),
        None => claim.remedy("a machine, or a cgroup, with more memory, or several machines (--part K/N)"),
    };
    Some(explaining(claim, facts, Cause::MemoryLimit))
}

/// All failures of a cause: it has no other.
fn explaining(claim: Claim, facts: &Facts, cause: Cause) -> Claim {
    facts
        .failures
        .iter()
        .filter(|failed| failed.failure.cause == cause)
        .fold(claim, Claim::explaining)
        .seen(Owner::Attempts, Span::EachAttempt)
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
    // The counter is everybody's. This run's own connections fill the cap where it has closed more than that.
    let closes_first = matches!(facts.client.close, None | Some(Close::Fin));
    let own = closes_first && cap.is_none_or(|cap| facts.opened > cap) && facts.opened >= destroyed;
    let finding = Claim::new(FindingId::TimeWaitCapped, Side::Generator, says)
        .seen(if own { Owner::Process } else { Owner::Everybody }, Span::Throughout)
        .resting_on(Evidence::default().with("destroyed", destroyed).with_known("tcp_max_tw_buckets", cap))
        .remedy(
            "close fewer connections from this side: a pool, HTTP keep-alive; or let the server close first",
        )
        .remedy("sysctl -w net.ipv4.tcp_max_tw_buckets=262144");
    Some(finding)
}
