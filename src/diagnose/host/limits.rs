//! Descriptors, memory, connection tracking.

use super::{Area, Check, HostState, Severity};
use crate::linux::sysctl::HostSettings;

/// Descriptors that a machine of today gives to one process without being asked (systemd's hard limit).
const NOFILE: u64 = 524_288;
/// Share of a limit from which on it is told.
const NEAR: f64 = 0.8;

pub(super) fn checks(settings: &HostSettings, state: &HostState) -> Vec<Check> {
    [descriptors(settings), nr_open(settings), files(settings, state), memory(settings, state)]
        .into_iter()
        .chain([conntrack(settings, state)])
        .flatten()
        .collect()
}

fn descriptors(settings: &HostSettings) -> Option<Check> {
    let (soft, hard) = (settings.nofile_soft, settings.nofile_hard);
    let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let value = format!("{} (hard limit {})", text(soft), text(hard));
    let check = |worth, why: &str| Check::new(Area::Limits, "ulimit -n", &value, worth, why);
    let Some(soft) = soft else {
        return Some(check(Severity::Ok, "any number of connections fits into one descriptor table"));
    };
    let raised = hard.unwrap_or(NOFILE);
    Some(if soft >= 65_536 {
        check(
            Severity::Ok,
            "an ordinary program can hold so many connections and files; connstorm is not bound by it",
        )
    } else if soft < raised {
        check(
            Severity::Note,
            "an ordinary program fails with EMFILE (\"Too many open files\") above it. Connstorm is not bound by it: \
             each of its threads has a table of its own",
        )
        .change(format!("ulimit -n {raised}"))
    } else {
        check(
            Severity::Note,
            "an ordinary program fails with EMFILE above it, and only root can raise the hard limit. Connstorm is \
             not bound by it: each of its threads has a table of its own",
        )
        .change("systemd: LimitNOFILE=524288; else a line \"* hard nofile 524288\" in /etc/security/limits.conf")
    })
}

fn nr_open(settings: &HostSettings) -> Option<Check> {
    let nr_open = settings.nr_open?;
    let low = nr_open < NOFILE;
    let worth = if low { Severity::Note } else { Severity::Ok };
    let check =
        Check::new(Area::Limits, "fs.nr_open", nr_open, worth, "no limit on descriptors can be set above it");
    Some(if low { check.change("sysctl -w fs.nr_open=1048576") } else { check })
}

fn files(settings: &HostSettings, state: &HostState) -> Option<Check> {
    let name = "fs.file-max";
    let Some(files) = state.files else {
        let max = settings.file_max?;
        return Some(Check::new(Area::Limits, name, max, Severity::Ok, "open files of the whole machine"));
    };
    let value = if files.max > i64::MAX as u64 / 2 {
        format!("no limit, {} open", files.open)
    } else {
        format!("{}, {} open", files.max, files.open)
    };
    let near = files.open as f64 > files.max as f64 * NEAR;
    Some(if near {
        let why = "nearly all open files of the machine are in use: every program will fail with ENFILE";
        let wanted = files.max.saturating_mul(4);
        Check::new(Area::Limits, name, value, Severity::Warning, why)
            .change(format!("sysctl -w fs.file-max={wanted}"))
    } else {
        Check::new(Area::Limits, name, value, Severity::Ok, "open files of the whole machine; far from it")
    })
}

fn memory(settings: &HostSettings, state: &HostState) -> Option<Check> {
    let name = "net.ipv4.tcp_mem";
    let Some((mem, page)) = settings.tcp_mem.zip(settings.page_size) else {
        let why = "memory that all TCP buffers may take; a network namespace does not show it";
        return Some(Check::unseen(Area::Limits, name, why));
    };
    let mib = |pages: u64| pages.saturating_mul(page) / (1024 * 1024);
    let used = state.sockets.map(|sockets| sockets.memory_pages);
    let value = format!(
        "{} MiB at most{}",
        mib(mem[2]),
        used.map_or(String::new(), |used| format!(", {} MiB in use", mib(used)))
    );
    let pressed = used.is_some_and(|used| used >= mem[1]);
    Some(if pressed {
        let why = "TCP's buffers are under memory pressure: windows shrink, then connections are reset";
        Check::new(Area::Limits, name, value, Severity::Warning, why).change(format!(
            "sysctl -w net.ipv4.tcp_mem=\"{} {} {}\"",
            mem[0].saturating_mul(2),
            mem[1].saturating_mul(2),
            mem[2].saturating_mul(2)
        ))
    } else {
        Check::new(
            Area::Limits,
            name,
            value,
            Severity::Ok,
            "memory of all TCP buffers, sockets themselves apart",
        )
    })
}

fn conntrack(settings: &HostSettings, state: &HostState) -> Option<Check> {
    let name = "net.netfilter.nf_conntrack_max";
    let Some(limits) = &settings.conntrack else {
        let why = "connection tracking is not loaded: nothing is counted, nothing can be full";
        return Some(Check::new(Area::Limits, name, "off", Severity::Ok, why));
    };
    let time_wait = limits.tcp_time_wait.unwrap_or(120).max(1);
    let ceiling = limits.max / time_wait;
    let count = state.conntrack.map(|now| now.count);
    let value = format!("{}{}", limits.max, count.map_or(String::new(), |count| format!(", {count} in use")));
    let wanted =
        format!("sysctl -w net.netfilter.nf_conntrack_max={}", limits.max.saturating_mul(4).max(262_144));
    let check = |worth, why: String| Some(Check::new(Area::Limits, name, &value, worth, why));
    if count.is_some_and(|count| count as f64 > limits.max as f64 * NEAR) {
        let why =
            "nearly full: above it the packets of new connections are dropped, which looks like a firewall";
        return check(Severity::Warning, why.into()).map(|check| check.change(wanted));
    }
    let why = format!(
        "where a rule tracks connections, each stays {time_wait} s after it was closed: {ceiling} short \
         connections a second at most"
    );
    if ceiling < 2000 {
        check(Severity::Note, why).map(|check| check.change(wanted))
    } else {
        check(Severity::Ok, why)
    }
}
