//! Counters and totals of the calling thread's network namespace, from `/proc`.
//!
//! `/proc/net` is the main thread's; a thread in a namespace of its own has to look into
//! `/proc/thread-self/net`. An open file there stays with the namespace it was opened in, so
//! [`ProcNet`] opens each once and reads it again and again.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The files, held open.
#[derive(Debug)]
pub struct ProcNet {
    netstat: File,
    snmp: File,
    sockstat: File,
    /// Absent where IPv6 is not built in, or disabled at boot.
    sockstat6: Option<File>,
    /// Absent where connection tracking is not loaded.
    conntrack: Option<ConntrackFiles>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct ConntrackFiles {
    count: File,
    max: File,
    /// Absent without `CONFIG_NF_CONNTRACK_PROCFS`.
    statistics: Option<File>,
}

impl ProcNet {
    /// Opens the files of the calling thread's namespace.
    ///
    /// # Errors
    /// What opening `netstat`, `snmp` or `sockstat` returns. That the others are absent is no error.
    pub fn open() -> io::Result<ProcNet> {
        let net = |name: &str| File::open(format!("/proc/thread-self/net/{name}"));
        let conntrack = |name: &str| File::open(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
        Ok(ProcNet {
            netstat: net("netstat")?,
            snmp: net("snmp")?,
            sockstat: net("sockstat")?,
            sockstat6: net("sockstat6").ok(),
            conntrack: conntrack("count")
                .ok()
                .zip(conntrack("max").ok())
                .map(|(count, max)| ConntrackFiles { count, max, statistics: net("stat/nf_conntrack").ok() }),
            buffer: Vec::new(),
        })
    }

    /// The counters.
    ///
    /// # Errors
    /// What reading returns.
    pub fn counters(&mut self) -> io::Result<Counters> {
        let mut counters = Counters::default();
        counters.take(read(&self.netstat, &mut self.buffer)?);
        counters.take(read(&self.snmp, &mut self.buffer)?);
        Ok(counters)
    }

    /// The totals of sockets.
    ///
    /// # Errors
    /// What reading returns.
    pub fn sockets(&mut self) -> io::Result<SocketTotals> {
        let mut totals = SocketTotals::default();
        totals.take(read(&self.sockstat, &mut self.buffer)?);
        if let Some(file) = &self.sockstat6 {
            totals.take(read(file, &mut self.buffer)?);
        }
        Ok(totals)
    }

    /// Connection tracking; `None` where it is not loaded.
    ///
    /// # Errors
    /// What reading returns; `InvalidData` when a number is none.
    pub fn conntrack(&mut self) -> io::Result<Option<Conntrack>> {
        let Some(files) = &self.conntrack else { return Ok(None) };
        let count = number(read(&files.count, &mut self.buffer)?)?;
        let max = number(read(&files.max, &mut self.buffer)?)?;
        let drops = match &files.statistics {
            Some(file) => Some(conntrack_drops(read(file, &mut self.buffer)?)),
            None => None,
        };
        Ok(Some(Conntrack { count, max, drops }))
    }
}

/// Reads a file from its beginning. The files of `/proc/net` are made anew by a read at position 0, and
/// given out a page or so at a time.
fn read<'a>(file: &File, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    const STEP: usize = 16 * 1024;
    let mut length = 0;
    loop {
        buffer.resize(buffer.len().max(length + STEP), 0);
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    std::str::from_utf8(&buffer[..length]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

macro_rules! counters {
    ($($field:ident = $group:literal $name:literal, $doc:literal;)*) => {
        /// Counters of the namespace since it was made (of the machine, since it was started), and their
        /// differences. A counter that this kernel does not have is 0.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Counters {
            $(#[doc = concat!("`", $group, " ", $name, "`: ", $doc)] pub $field: u64,)*
        }

        impl Counters {
            /// Counts since an earlier reading; 0 where a counter went back.
            #[must_use]
            pub fn since(&self, earlier: &Counters) -> Counters {
                Counters { $($field: self.$field.saturating_sub(earlier.$field),)* }
            }

            /// Each counter by the kernel's name, with its number.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)*].into_iter()
            }

            fn set(&mut self, group: &str, name: &str, value: u64) {
                match (group, name) {
                    $(($group, $name) => self.$field = value,)*
                    _ => {}
                }
            }
        }
    };
}

// Names and meanings: Documentation/networking/snmp_counter.rst, net/ipv4/proc.c.
counters! {
    listen_overflows = "TcpExt" "ListenOverflows", "a handshake met a full accept queue.";
    listen_drops = "TcpExt" "ListenDrops", "a listener dropped a SYN or an ACK for any reason, a full queue among them.";
    syn_retransmits = "TcpExt" "TCPSynRetrans", "SYN and SYN-ACK segments sent again.";
    time_wait_ended = "TcpExt" "TW", "TIME_WAIT sockets that began with the full minute before them (counted when the timer is set).";
    time_wait_recycled = "TcpExt" "TWRecycled", "TIME_WAIT sockets whose tuple was taken again by connect().";
    time_wait_killed = "TcpExt" "TWKilled", "TIME_WAIT sockets that began with a timer of 4 s or less.";
    time_wait_overflow = "TcpExt" "TCPTimeWaitOverflow", "TIME_WAIT sockets destroyed at once, above tcp_max_tw_buckets.";
    syn_queue_cookies = "TcpExt" "TCPReqQFullDoCookies", "SYNs that met a full SYN queue and got a cookie.";
    syn_queue_drops = "TcpExt" "TCPReqQFullDrop", "SYNs that met a full SYN queue and were dropped.";
    syncookies_sent = "TcpExt" "SyncookiesSent", "SYN cookies sent.";
    syncookies_failed = "TcpExt" "SyncookiesFailed", "ACKs whose SYN cookie was not valid.";
    aborts_on_memory = "TcpExt" "TCPAbortOnMemory", "connections reset for lack of memory, or as too many orphans.";
    aborts_on_timeout = "TcpExt" "TCPAbortOnTimeout", "connections given up after their last retransmit.";
    aborts_on_data = "TcpExt" "TCPAbortOnData", "connections closed by RST: SO_LINGER 0, or data behind a close.";
    aborts_on_close = "TcpExt" "TCPAbortOnClose", "connections reset because close() left data unread.";
    memory_pressures = "TcpExt" "TCPMemoryPressures", "times that TCP came under memory pressure (tcp_mem).";
    paws_active = "TcpExt" "PAWSActive", "answers in SYN_SENT rejected for an old timestamp.";
    paws_established = "TcpExt" "PAWSEstab", "segments of connections rejected for an old timestamp.";
    timeouts = "TcpExt" "TCPTimeouts", "retransmit timers that fired.";
    challenge_acks = "TcpExt" "TCPChallengeACK", "challenge ACKs sent, such as for a SYN on a tuple still in use.";
    backlog_drops = "TcpExt" "TCPBacklogDrop", "segments dropped because a socket's backlog was full.";
    md5_not_found = "TcpExt" "TCPMD5NotFound", "segments without the TCP-MD5 signature that the socket demands.";
    ao_required = "TcpExt" "TCPAORequired", "segments without the TCP-AO signature that the socket demands.";
    reverse_path_drops = "TcpExt" "IPReversePathFilter", "packets dropped by rp_filter.";
    active_opens = "Tcp" "ActiveOpens", "connect() that sent a SYN.";
    passive_opens = "Tcp" "PassiveOpens", "handshakes begun by a peer.";
    attempt_fails = "Tcp" "AttemptFails", "handshakes that failed, refusals among them.";
    established_resets = "Tcp" "EstabResets", "connections reset.";
    retransmits = "Tcp" "RetransSegs", "segments sent again.";
    resets_sent = "Tcp" "OutRsts", "RST segments sent.";
    segments_in = "Tcp" "InSegs", "segments received.";
    segments_out = "Tcp" "OutSegs", "segments sent.";
    icmp_unreachable_in = "Icmp" "InDestUnreachs", "ICMP destination unreachable received: a reject rule, a closed UDP port.";
    icmp_unreachable_out = "Icmp" "OutDestUnreachs", "ICMP destination unreachable sent.";
    no_routes_in = "IpExt" "InNoRoutes", "packets received for which there is no route.";
    no_routes_out = "Ip" "OutNoRoutes", "packets not sent, as no route leads there.";
}

impl Counters {
    /// Segments without the signature that a socket demands, be it TCP-MD5 or TCP-AO.
    pub fn unsigned(&self) -> u64 {
        self.md5_not_found + self.ao_required
    }

    /// Takes those it knows from a text of `/proc/net/netstat` or `snmp`: pairs of lines, names above
    /// numbers. What is malformed is passed over.
    fn take(&mut self, text: &str) {
        each_counter(text, |group, name, value| self.set(group, name, value));
    }
}

/// One counter of any name, for what [`Counters`] does not hold. The group is the word that its line
/// begins with: `counter(text, "TcpExt", "TCPFastRetrans")`.
pub fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut found = None;
    each_counter(text, |in_group, called, value| {
        if (in_group, called) == (group, name) {
            found = Some(value);
        }
    });
    found
}

fn each_counter<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str, u64)) {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    while let Some((group, names)) = lines.next() {
        let Some((_, values)) = lines.next().filter(|&(below, _)| below == group) else { return };
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            // Some are negative: `MaxConn` is -1. None of those counts anything.
            if let Ok(value) = value.parse() {
                each(group, name, value);
            }
        }
    }
}

/// Totals of `/proc/net/sockstat` and `sockstat6`. Read in constant time, however many sockets there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketTotals {
    /// TCP sockets of the namespace in the kernel's tables, IPv4 and IPv6, listeners included; TIME_WAIT and
    /// half-open ones are not.
    pub tcp_in_use: u64,
    /// TIME_WAIT sockets of the namespace, of both families.
    pub time_wait: u64,
    /// TCP sockets without a process. Of the whole machine.
    pub orphans: u64,
    /// TCP sockets allocated. Of the whole machine.
    pub allocated: u64,
    /// Memory of TCP's buffers, in pages, to compare with `tcp_mem`. Of the whole machine.
    pub memory_pages: u64,
}

impl SocketTotals {
    fn take(&mut self, text: &str) {
        for (protocol, rest) in text.lines().filter_map(|line| line.split_once(':')) {
            if !matches!(protocol, "TCP" | "TCP6") {
                continue;
            }
            let mut words = rest.split_ascii_whitespace();
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                let Ok(value) = value.parse::<u64>() else { continue };
                match name {
                    "inuse" => self.tcp_in_use = self.tcp_in_use.saturating_add(value),
                    "tw" => self.time_wait = value,
                    "orphan" => self.orphans = value,
                    "alloc" => self.allocated = value,
                    "mem" => self.memory_pages = value,
                    _ => {}
                }
            }
        }
    }
}

/// Connection tracking of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conntrack {
    /// Entries.
    pub count: u64,
    /// Entries at most, `nf_conntrack_max`.
    pub max: u64,
    /// Losses; `None` where the kernel does not tell.
    pub drops: Option<ConntrackDrops>,
}

/// Share of its entries at which connection tracking is nearly full.
const NEARLY_FULL: f64 = 0.9;

impl Conntrack {
    /// True if nine in ten of its entries are in use; one without any entry tracks nothing.
    pub fn is_nearly_full(&self) -> bool {
        self.max > 0 && self.count as f64 >= self.max as f64 * NEARLY_FULL
    }
}

/// Counters of `/proc/net/stat/nf_conntrack`, of all CPUs together, since the namespace was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackDrops {
    /// Packets dropped because there was no entry to be had.
    pub drop: u64,
    /// Entries removed early to make room.
    pub early_drop: u64,
    /// Entries that could not be put in, mostly because another had the same tuple.
    pub insert_failed: u64,
}

impl ConntrackDrops {
    /// Counts since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &ConntrackDrops) -> ConntrackDrops {
        ConntrackDrops {
            drop: self.drop.saturating_sub(earlier.drop),
            early_drop: self.early_drop.saturating_sub(earlier.early_drop),
            insert_failed: self.insert_failed.saturating_sub(earlier.insert_failed),
        }
    }
}

/// One line of names, and one of hexadecimal numbers for each CPU.
fn conntrack_drops(text: &str) -> ConntrackDrops {
    let mut drops = ConntrackDrops::default();
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    for line in lines {
        for (name, value) in names.split_ascii_whitespace().zip(line.split_ascii_whitespace()) {
            let value = u64::from_str_radix(value, 16).unwrap_or_default();
            let sum = match name {
                "drop" => &mut drops.drop,
                "early_drop" => &mut drops.early_drop,
                "insert_failed" => &mut drops.insert_failed,
                _ => continue,
            };
            *sum = sum.saturating_add(value);
        }
    }
    drops
}

/// Open files of the whole machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemFiles {
    /// Files allocated.
    pub open: u64,
    /// Files at most, `fs.file-max`.
    pub max: u64,
}

/// Reads `/proc/sys/fs/file-nr`.
///
/// # Errors
/// What reading returns; `InvalidData` when it is not understood.
pub fn system_files() -> io::Result<SystemFiles> {
    let text = std::fs::read_to_string("/proc/sys/fs/file-nr")?;
    parse_file_nr(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "file-nr is not three numbers"))
}

/// Allocated, free (0 since 2.6), max.
fn parse_file_nr(text: &str) -> Option<SystemFiles> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let (open, free, max) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(SystemFiles { open: open.saturating_sub(free), max })
}

#[cfg(test)]
mod tests;
