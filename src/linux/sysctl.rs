//! The settings and limits of this host that decide how many connections it can open.
//!
//! `doctor --save` writes them to a file, and `plan --host` reads them on another machine, so every
//! field can be absent: a kernel, a namespace or the hand that wrote the file may not have it.

use super::fd_table;
use super::netns::sysctl_path;
use crate::model::port_set::{PortRange, PortSet};
use crate::model::{PortSettings, TimeWaitReuse};
use serde::{Deserialize, Serialize};
use std::io;
use std::str::FromStr;
use std::time::Duration;

/// The kernel settings and limits, as the reading thread and its network namespace see them.
///
/// Names are the kernel's (Documentation/networking/ip-sysctl.rst, admin-guide/sysctl/). Times are in
/// seconds unless the name says otherwise; `None` is what could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct HostSettings {
    /// `uname -n`.
    pub hostname: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// CPUs that this process may use, after affinity and CPU quotas.
    pub cores: Option<u32>,
    /// Memory of the machine, in bytes.
    pub memory_total: Option<u64>,
    /// Memory that can be had without swapping, in bytes (`MemAvailable`).
    pub memory_available: Option<u64>,
    /// Ticks of the kernel's timer a second (`CONFIG_HZ`).
    pub ticks_per_second: Option<u32>,
    /// Size of a page, in bytes.
    pub page_size: Option<u64>,
    /// `RLIMIT_NOFILE`, soft: descriptors in one table. `None` is no limit.
    pub nofile_soft: Option<u64>,
    /// `RLIMIT_NOFILE`, hard.
    pub nofile_hard: Option<u64>,
    /// `fs.file-max`: open files of the whole machine.
    pub file_max: Option<u64>,
    /// `fs.nr_open`: what a hard limit on descriptors can be raised to.
    pub nr_open: Option<u64>,
    /// `net.ipv4.ip_local_port_range`: the first and the last port that connect() chooses from.
    pub ip_local_port_range: Option<(u16, u16)>,
    /// `net.ipv4.ip_local_reserved_ports`: ports that it leaves out.
    pub ip_local_reserved_ports: PortSet,
    /// `net.ipv4.ip_unprivileged_port_start`: the first port that bind() gives to anybody.
    pub ip_unprivileged_port_start: Option<u16>,
    /// `net.ipv4.ip_nonlocal_bind`: bind() takes addresses that are not on this host.
    pub ip_nonlocal_bind: Option<bool>,
    /// `net.ipv6.conf.all.disable_ipv6`.
    pub disable_ipv6: Option<bool>,
    /// `net.ipv4.conf.all.rp_filter`: 0 none, 1 strict, 2 loose.
    pub rp_filter: Option<u32>,
    /// `net.ipv4.tcp_tw_reuse`: 0 off, 1 on, 2 on loopback only (the default since 4.19).
    pub tcp_tw_reuse: Option<u32>,
    /// `net.ipv4.tcp_tw_reuse_delay`, in milliseconds (Linux 6.14; 1,000 before that).
    pub tcp_tw_reuse_delay_ms: Option<u64>,
    /// `net.ipv4.tcp_timestamps`: 0 off, 1 on, 2 on without a random offset.
    pub tcp_timestamps: Option<u32>,
    /// `net.ipv4.tcp_max_tw_buckets`: TIME_WAIT sockets above it are destroyed at once.
    pub tcp_max_tw_buckets: Option<u64>,
    /// `net.ipv4.tcp_fin_timeout`: the time in FIN_WAIT_2, not in TIME_WAIT.
    pub tcp_fin_timeout: Option<u64>,
    /// `net.ipv4.tcp_max_orphans`: sockets without a process; above it they are reset.
    pub tcp_max_orphans: Option<u64>,
    /// `net.ipv4.tcp_mem`, in pages: above the last number nothing is given. Of the first namespace only.
    pub tcp_mem: Option<[u64; 3]>,
    /// `net.core.somaxconn`: the upper bound of a listener's backlog.
    pub somaxconn: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`: half-open connections remembered for a listener.
    pub tcp_max_syn_backlog: Option<u64>,
    /// `net.ipv4.tcp_syncookies`: 0 never, 1 when the queue is full, 2 always.
    pub tcp_syncookies: Option<u32>,
    /// `net.ipv4.tcp_syn_retries`.
    pub tcp_syn_retries: Option<u32>,
    /// `net.ipv4.tcp_syn_linear_timeouts`: SYN retransmits before the interval doubles (Linux 6.5).
    pub tcp_syn_linear_timeouts: Option<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`: a full accept queue is answered by RST.
    pub tcp_abort_on_overflow: Option<bool>,
    /// `net.core.netdev_max_backlog`, in packets; of the first namespace only.
    pub netdev_max_backlog: Option<u64>,
    /// Connection tracking, where the kernel has it loaded.
    pub conntrack: Option<ConntrackSettings>,
    /// Settings that exist and could not be read or understood, with the reason.
    pub unseen: Vec<String>,
}

/// Limits and timeouts of connection tracking, `net.netfilter.nf_conntrack_*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ConntrackSettings {
    /// Entries at most; above it packets of new connections are dropped.
    pub max: u64,
    /// Entries of this namespace when it was read. None at all: its module is loaded, and no rule makes it
    /// track anything.
    pub in_use: Option<u64>,
    /// `tcp_timeout_established`, in seconds.
    pub tcp_established: Option<u64>,
    /// `tcp_timeout_time_wait`, in seconds.
    pub tcp_time_wait: Option<u64>,
    /// `tcp_timeout_syn_sent`, in seconds.
    pub tcp_syn_sent: Option<u64>,
    /// `tcp_timeout_close`, in seconds: what a reset leaves behind.
    pub tcp_close: Option<u64>,
}

impl HostSettings {
    /// Reads them all. What cannot be read is `None`, and named in `unseen` if it exists.
    pub fn read() -> HostSettings {
        let mut reader = Reader::default();
        let mut settings = HostSettings {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            kernel_release: kernel_release(),
            ..HostSettings::default()
        };
        settings.read_machine(&mut reader);
        settings.read_ports(&mut reader);
        settings.read_tcp(&mut reader);
        settings.read_queues(&mut reader);
        settings.conntrack = reader.conntrack();
        settings.unseen = reader.unseen;
        settings
    }

    /// The range of source ports; Linux's own default where it is not known.
    pub fn ports(&self) -> PortRange {
        let (low, high) = self.ip_local_port_range.unwrap_or((32_768, 60_999));
        PortRange { low, high, reserved: self.ip_local_reserved_ports.clone() }
    }

    /// The settings that decide over source ports. What is not known is as Linux has it by default.
    pub fn port_settings(&self) -> PortSettings {
        PortSettings {
            range: self.ports(),
            reuse: TimeWaitReuse::from_number(self.tcp_tw_reuse.unwrap_or(2)),
            reuse_delay: Duration::from_millis(self.tcp_tw_reuse_delay_ms.unwrap_or(1000)),
            timestamps: self.tcp_timestamps.is_none_or(|value| value != 0),
            ticks_per_second: self.ticks_per_second,
        }
    }

    fn read_machine(&mut self, reader: &mut Reader) {
        self.cores = std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok());
        let memory = reader.text("/proc/meminfo".as_ref()).unwrap_or_default();
        self.memory_total = meminfo_bytes(&memory, "MemTotal");
        self.memory_available = meminfo_bytes(&memory, "MemAvailable");
        self.ticks_per_second = super::clock::ticks_per_second();
        self.page_size = u64::try_from(rustix::param::page_size()).ok();
        (self.nofile_soft, self.nofile_hard) = fd_table::limits();
        self.file_max = reader.sysctl("fs.file-max");
        self.nr_open = reader.sysctl("fs.nr_open");
    }

    fn read_ports(&mut self, reader: &mut Reader) {
        self.ip_local_port_range =
            reader.numbers("net.ipv4.ip_local_port_range").map(|[low, high]| (low, high));
        self.ip_local_reserved_ports = reader.sysctl("net.ipv4.ip_local_reserved_ports").unwrap_or_default();
        self.ip_unprivileged_port_start = reader.sysctl("net.ipv4.ip_unprivileged_port_start");
        self.ip_nonlocal_bind = reader.flag("net.ipv4.ip_nonlocal_bind");
        self.disable_ipv6 = reader.flag("net.ipv6.conf.all.disable_ipv6");
        self.rp_filter = reader.sysctl("net.ipv4.conf.all.rp_filter");
    }

    fn read_tcp(&mut self, reader: &mut Reader) {
        self.tcp_tw_reuse = reader.sysctl("net.ipv4.tcp_tw_reuse");
        self.tcp_tw_reuse_delay_ms = reader.sysctl("net.ipv4.tcp_tw_reuse_delay");
        self.tcp_timestamps = reader.sysctl("net.ipv4.tcp_timestamps");
        self.tcp_max_tw_buckets = reader.sysctl("net.ipv4.tcp_max_tw_buckets");
        self.tcp_fin_timeout = reader.sysctl("net.ipv4.tcp_fin_timeout");
        self.tcp_max_orphans = reader.sysctl("net.ipv4.tcp_max_orphans");
        self.tcp_mem = reader.numbers("net.ipv4.tcp_mem");
    }

    fn read_queues(&mut self, reader: &mut Reader) {
        self.somaxconn = reader.sysctl("net.core.somaxconn");
        self.tcp_max_syn_backlog = reader.sysctl("net.ipv4.tcp_max_syn_backlog");
        self.tcp_syncookies = reader.sysctl("net.ipv4.tcp_syncookies");
        self.tcp_syn_retries = reader.sysctl("net.ipv4.tcp_syn_retries");
        self.tcp_syn_linear_timeouts = reader.sysctl("net.ipv4.tcp_syn_linear_timeouts");
        self.tcp_abort_on_overflow = reader.flag("net.ipv4.tcp_abort_on_overflow");
        self.netdev_max_backlog = reader.sysctl("net.core.netdev_max_backlog");
    }
}

/// Reads one file after another and keeps a note of what exists but would not be read.
#[derive(Default)]
struct Reader {
    unseen: Vec<String>,
}

impl Reader {
    fn text(&mut self, path: &std::path::Path) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.unseen.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    fn sysctl<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.text(&sysctl_path(name))?;
        let value = text.trim().parse().ok();
        self.understood(value, name, &text)
    }

    fn numbers<T: FromStr, const N: usize>(&mut self, name: &str) -> Option<[T; N]> {
        let text = self.text(&sysctl_path(name))?;
        self.understood(numbers(&text), name, &text)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.sysctl::<u32>(name).map(|value| value != 0)
    }

    fn understood<T>(&mut self, value: Option<T>, name: &str, text: &str) -> Option<T> {
        if value.is_none() {
            let start: String = text.trim().chars().take(40).collect();
            self.unseen.push(format!("{name}: '{start}' is not what connstorm knows it to be"));
        }
        value
    }

    fn conntrack(&mut self) -> Option<ConntrackSettings> {
        let max = self.sysctl("net.netfilter.nf_conntrack_max")?;
        let in_use = self.sysctl("net.netfilter.nf_conntrack_count");
        let mut timeout = |state| self.sysctl(&format!("net.netfilter.nf_conntrack_tcp_timeout_{state}"));
        Some(ConntrackSettings {
            max,
            in_use,
            tcp_established: timeout("established"),
            tcp_time_wait: timeout("time_wait"),
            tcp_syn_sent: timeout("syn_sent"),
            tcp_close: timeout("close"),
        })
    }
}

/// True if IPv6 is switched off on an interface, or on `all`. `None` where it can't be read.
pub fn ipv6_is_disabled(interface: &str) -> Option<bool> {
    if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
        // ipv6.disable=1 on the kernel's command line, or a kernel without it.
        return std::path::Path::new("/proc/sys/net/ipv4").exists().then_some(true);
    }
    let text =
        std::fs::read_to_string(sysctl_path(&format!("net/ipv6/conf/{interface}/disable_ipv6"))).ok()?;
    Some(text.trim() != "0")
}

/// `uname -r`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Exactly `N` numbers, separated by white space.
fn numbers<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<Vec<T>>>()?.try_into().ok()
}

/// A line of `/proc/meminfo`, which is in KiB, in bytes.
pub(super) fn meminfo_bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;

    #[test]
    fn what_is_set_is_what_is_read() {
        netns::for_test(|| {
            for (name, value) in [
                ("net.ipv4.ip_local_port_range", "20000 21023"),
                ("net.ipv4.ip_local_reserved_ports", "20010-20019,30000"),
                ("net.ipv4.tcp_tw_reuse", "0"),
                ("net.ipv4.tcp_max_tw_buckets", "777"),
                ("net.ipv4.tcp_abort_on_overflow", "1"),
                ("net.core.somaxconn", "99"),
            ] {
                netns::set_sysctl(name, value).unwrap();
            }
            let settings = HostSettings::read();
            assert_eq!(settings.ip_local_port_range, Some((20_000, 21_023)));
            assert_eq!(settings.ports().usable(), 1014);
            assert_eq!(settings.tcp_tw_reuse, Some(0));
            assert_eq!(settings.tcp_max_tw_buckets, Some(777));
            assert_eq!(settings.tcp_abort_on_overflow, Some(true));
            assert_eq!(settings.somaxconn, Some(99));
            assert_eq!(settings.unseen, Vec::<String>::new());
            assert!(settings.memory_total >= settings.memory_available);
            assert!(settings.cores >= Some(1) && settings.file_max > Some(0) && settings.nr_open > Some(0));
        });
    }

    #[test]
    fn settings_survive_a_file_and_a_file_need_not_have_them_all() {
        let settings = HostSettings::read();
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<HostSettings>(&json).unwrap(), settings);
        let short: HostSettings = serde_json::from_str(
            r#"{"ip_local_port_range": [1024, 65535], "ip_local_reserved_ports": "8080", "of_a_later_version": 1}"#,
        )
        .unwrap();
        assert_eq!(short.ports().usable(), 64_511);
        assert_eq!(HostSettings::default().ports().usable(), 28_232);
    }

    #[test]
    fn strange_text_is_noted_and_not_guessed() {
        let mut reader = Reader::default();
        assert_eq!(reader.understood(numbers::<u16, 2>("1 2 3"), "a.b", "1 2 3"), None);
        assert!(reader.unseen[0].starts_with("a.b: '1 2 3'"));
        assert_eq!(reader.sysctl::<u64>("net.ipv4.no_such_thing"), None);
        assert_eq!(reader.unseen.len(), 1);
        assert_eq!(meminfo_bytes("MemTotal:   24 kB\n", "MemTotal"), Some(24_576));
        assert_eq!(meminfo_bytes("MemTotal: x kB", "MemTotal"), None);
        assert_eq!(meminfo_bytes("MemTotal: 18446744073709551615 kB", "MemTotal"), None);
    }
}
