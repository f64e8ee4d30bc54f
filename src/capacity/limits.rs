//! Limits of a host: the settings and amounts that a load can run into.

use crate::model::port_set::PortRange;
use crate::model::{PortSettings, TimeWaitReuse};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The settings and amounts of a host that a load can run into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HostLimits {
    /// `net.ipv4.ip_local_port_range`, both ends included.
    pub port_range: PortSpan,
    /// `net.ipv4.ip_local_reserved_ports`. Overlaps and ports outside of the range do no harm.
    pub reserved_ports: Vec<PortSpan>,
    /// `net.ipv4.tcp_tw_reuse`: 0 off, 1 on, 2 for loopback addresses only (the default since 4.19).
    pub tw_reuse: u8,
    /// `net.ipv4.tcp_tw_reuse_delay` (Linux 6.14; before it, one second).
    pub tw_reuse_delay: Duration,
    /// `net.ipv4.tcp_timestamps` is not 0. Without them no TIME_WAIT is reused, in any way.
    pub timestamps: bool,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub max_tw_buckets: u64,
    /// Ticks of the kernel's timer a second (`CONFIG_HZ`); the resolution of `CLOCK_MONOTONIC_COARSE` is
    /// its inverse. `None`: unknown, and TIME_WAIT is taken to last 60 s exactly.
    pub ticks_per_second: Option<u32>,
    /// The soft `RLIMIT_NOFILE`, in descriptors a table.
    pub nofile: u64,
    /// Each worker thread has its own descriptor table, so that `nofile` bounds a worker, not the run.
    pub private_tables: bool,
    /// `fs.file-max`, in open files of the whole host.
    pub file_max: u64,
    /// Open files of the whole host before the run (first field of `/proc/sys/fs/file-nr`).
    pub files_in_use: u64,
    /// `net.core.somaxconn`.
    pub somaxconn: u32,
    /// The backlog that the listener asks for.
    pub backlog: u32,
    /// Connection tracking; `None`: it does not see these connections.
    pub conntrack: Option<Conntrack>,
    /// Memory that can be had, in bytes (`MemAvailable`); `None`: unknown, not judged.
    pub memory_available: Option<u64>,
    /// The third figure of `net.ipv4.tcp_mem`, in bytes (pages × page size); `None`: not judged.
    pub tcp_mem: Option<u64>,
    /// Cost of one of each thing.
    #[serde(default)]
    pub costs: Costs,
}

impl Default for HostLimits {
    /// The kernel's own defaults (Linux 6.18), with 1,024 descriptors and nothing known of memory.
    fn default() -> Self {
        HostLimits {
            port_range: PortSpan { low: 32_768, high: 60_999 },
            reserved_ports: Vec::new(),
            tw_reuse: 2,
            tw_reuse_delay: Duration::from_secs(1),
            timestamps: true,
            max_tw_buckets: 131_072,
            ticks_per_second: None,
            nofile: 1024,
            private_tables: false,
            file_max: u64::MAX,
            files_in_use: 0,
            somaxconn: 4096,
            backlog: 4096,
            conntrack: None,
            memory_available: None,
            tcp_mem: None,
            costs: Costs::default(),
        }
    }
}

impl HostLimits {
    /// The settings that decide over source ports.
    pub fn ports(&self) -> PortSettings {
        let reserved = self.reserved_ports.iter().map(|span| span.low..=span.high).collect();
        PortSettings {
            range: PortRange { low: self.port_range.low, high: self.port_range.high, reserved },
            reuse: TimeWaitReuse::from_number(self.tw_reuse.into()),
            reuse_delay: self.tw_reuse_delay,
            timestamps: self.timestamps,
            ticks_per_second: self.ticks_per_second,
        }
    }

    /// Connections that a listener queues before accept() takes them: one more than the smaller of its
    /// backlog and somaxconn, since `sk_acceptq_is_full()` compares with "greater than" (measured with
    /// backlogs of 0, 1, 8 and 128: 1, 2, 9 and 129 queued; the next stay in SYN_SENT).
    pub fn accept_queue(&self) -> u64 {
        u64::from(self.backlog.min(self.somaxconn)) + 1
    }
}

/// A span of ports, both ends included. Empty if `low > high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PortSpan {
    /// First port.
    pub low: u16,
    /// Last port, included.
    pub high: u16,
}

impl PortSpan {
    /// Number of ports in the span.
    pub fn len(self) -> u32 {
        (u32::from(self.high) + 1).saturating_sub(u32::from(self.low))
    }

    /// True if there is no port in the span.
    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// True if a port lies in the span.
    pub fn contains(self, port: u16) -> bool {
        self.low <= port && port <= self.high
    }
}

/// Connection tracking (netfilter).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Conntrack {
    /// `net.netfilter.nf_conntrack_max`, entries. Counted for each network namespace, set only in the first.
    pub max: u64,
    /// Entries before the run (`nf_conntrack_count`).
    pub in_use: u64,
    /// `nf_conntrack_tcp_timeout_time_wait`: how long an entry outlives a close by FIN (120 s by default).
    pub time_wait: Duration,
    /// `nf_conntrack_tcp_timeout_close`: how long it outlives an RST (10 s by default). The count itself
    /// falls later, when the collector comes round; an expired entry is dropped when room is needed.
    pub close: Duration,
}

impl Default for Conntrack {
    fn default() -> Self {
        Conntrack {
            max: 262_144,
            in_use: 0,
            time_wait: Duration::from_secs(120),
            close: Duration::from_secs(10),
        }
    }
}

/// Cost of one of each thing. Amounts are bytes; they are inputs because kernels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Costs {
    /// Kernel memory of an idle, established TCP socket. Sum of the slab objects of one on Linux 6.18
    /// x86-64: socket 2,368, inode 832, file 192, dentry 192, security 56. MemAvailable fell by 3,460
    /// a socket over 96,000 of them.
    pub tcp_socket: u64,
    /// Kernel memory of a TIME_WAIT socket with its port's bind buckets. Slab grew by 515 a socket over
    /// 29,900 of them on Linux 6.18 (the socket itself is 256).
    pub time_wait: u64,
    /// Kernel memory of a conntrack entry. 256 on Linux 6.18 x86-64, without extensions.
    pub conntrack_entry: u64,
    /// The generator's own memory for an open end: 861 measured, both ends in one process, over 2,007,252
    /// sockets, without a session above TCP.
    pub user_per_end: u64,
    /// Descriptors a table needs beside its sockets: 5 (of 20,000, 19,995 were sockets).
    pub standing_descriptors: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            tcp_socket: 3_640,
            time_wait: 515,
            conntrack_entry: 256,
            user_per_end: 861,
            standing_descriptors: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_queue_holds_one_more_than_the_smaller_of_backlog_and_somaxconn() {
        assert_eq!(HostLimits { backlog: 8, ..HostLimits::default() }.accept_queue(), 9);
        assert_eq!(HostLimits { backlog: 9999, somaxconn: 128, ..HostLimits::default() }.accept_queue(), 129);
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_empty() {
        assert_eq!(PortSpan { low: 10, high: 9 }.len(), 0);
        assert_eq!(PortSpan { low: 0, high: u16::MAX }.len(), 65_536);
    }
}
