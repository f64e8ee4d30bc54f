//! The TCP sockets of a network namespace, as the kernel lists them over `NETLINK_SOCK_DIAG`.
//!
//! Filters run inside the kernel, so that what is not asked for costs a look and not a copy. Sockets of
//! every user are seen, without privilege. A dump is no snapshot: the kernel walks its hash table and
//! lets go of it in between, so that a socket can be missed, or seen twice, while others come and go.
//! [`Cookies`] tells who was seen before; [`TupleUsage`](super::tuple_usage::TupleUsage) counts each port
//! once by itself.

use super::netlink::{NLM_F_DUMP, Netlink, push_attribute, u32_at};
use super::sock_filter::Program;
use super::tcp_state::{StateSet, TcpState};
use rustix::net::netlink::SOCK_DIAG;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{ControlFlow, RangeInclusive};

/// `TCPDIAG_GETSOCK`: the older request, the only one that lists both families in one walk.
pub(super) const TCPDIAG_GETSOCK: u16 = 18;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// `sizeof(struct inet_diag_req)` and `sizeof(struct inet_diag_msg)`.
pub(super) const REQUEST_BYTES: usize = 60;
pub(super) const MESSAGE_BYTES: usize = 72;

/// Sockets to list. Conditions of different kinds all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The states asked for.
    pub states: StateSet,
    /// Source addresses, as address and length of the prefix; any of them. Empty: every address.
    pub sources: Vec<(IpAddr, u8)>,
    /// Source ports, any of these ranges. Empty: every port.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Destinations, any of them; port 0 stands for every port. Empty: every destination.
    pub destinations: Vec<SocketAddr>,
    /// The most sockets to list before giving up.
    pub limit: u64,
}

impl Filter {
    /// All sockets in these states.
    pub fn states(states: StateSet) -> Filter {
        Filter { states, sources: vec![], source_ports: vec![], destinations: vec![], limit: u64::MAX }
    }

    fn program(&self) -> Option<Program> {
        let sources = self.sources.iter().map(|&(address, prefix)| Program::source(address, prefix));
        let destinations = self.destinations.iter().map(|&destination| Program::destination(destination));
        let ports = self.source_ports.iter().map(Program::source_port);
        // What rejects most at the least cost comes first.
        [Program::any(destinations), Program::any(sources), Program::any(ports)]
            .into_iter()
            .flatten()
            .reduce(Program::and)
    }
}

/// Destinations that are compiled into one request: a jump reaches over 64 KiB of conditions.
const MOST_DESTINATIONS: usize = 1000;

/// Destinations that are too many for the kernel's filter: looked up here.
struct Destinations(HashSet<SocketAddr>);

impl Destinations {
    fn matches(&self, socket: &Socket) -> bool {
        let any_port = SocketAddr::new(socket.destination.ip(), 0);
        self.0.contains(&SocketAddr::new(any_port.ip(), socket.destination.port()))
            || self.0.contains(&any_port)
    }
}

impl Filter {
    /// Filter for the kernel, and destinations that are looked up here in the answer, where there are too many.
    fn divided(&self) -> (std::borrow::Cow<'_, Filter>, Option<Destinations>) {
        use std::borrow::Cow;
        if self.destinations.len() <= MOST_DESTINATIONS {
            return (Cow::Borrowed(self), None);
        }
        let plain =
            |destination: &SocketAddr| SocketAddr::new(destination.ip().to_canonical(), destination.port());
        let all: HashSet<SocketAddr> = self.destinations.iter().map(plain).collect();
        let addresses: HashSet<IpAddr> = all.iter().map(SocketAddr::ip).collect();
        let mut destinations: Vec<SocketAddr> =
            addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        if destinations.len() > MOST_DESTINATIONS {
            destinations.clear();
        }
        (Cow::Owned(Filter { destinations, ..self.clone() }), Some(Destinations(all)))
    }
}

/// One socket. An IPv4-mapped IPv6 address is given as the IPv4 address that it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// State.
    pub state: TcpState,
    /// Address and port of the socket itself.
    pub source: SocketAddr,
    /// The peer's; unspecified for a listener.
    pub destination: SocketAddr,
    /// The inode of `/proc/PID/fd`; 0 when no process holds it (TIME_WAIT, orphans, not accepted yet).
    pub inode: u32,
    /// Number that tells the socket from every other since the machine was started. A TIME_WAIT socket keeps
    /// the cookie of the connection that it was.
    pub cookie: u64,
    /// The owner; 0 for TIME_WAIT.
    pub uid: u32,
    /// Bytes received and not read. For a listener: connections waiting for accept().
    pub receive_queue: u32,
    /// Bytes sent and not acknowledged. For a listener: its backlog, as bounded by `somaxconn`.
    pub send_queue: u32,
    /// The timer that runs: 0 none, 1 retransmit, 2 keepalive, 3 TIME_WAIT, 4 zero window probe.
    pub timer: u8,
    /// Number of times that the timer has fired in a row: retransmits.
    pub retransmits: u8,
    /// Until the timer fires, in milliseconds.
    pub expires_ms: u32,
}

impl Socket {
    /// True if the TIME_WAIT timer ends it: a socket in TIME_WAIT, or one in FIN_WAIT_2 that no process has.
    pub fn ends_by_timer(&self) -> bool {
        const TIME_WAIT_TIMER: u8 = 3;
        self.timer == TIME_WAIT_TIMER
    }
}

/// Outcome of a dump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpStats {
    /// Sockets handed over.
    pub sockets: u64,
    /// The kernel says that the list changed in a way that spoils it (`NLM_F_DUMP_INTR`).
    pub inconsistent: bool,
    /// The filter's limit was reached, or the reader broke off, before the end.
    pub truncated: bool,
    /// Messages that could not be understood: sockets of a state that this program does not know.
    pub unknown: u64,
}

/// A connection to the kernel's socket lister, and its buffer, for one dump after another.
///
/// It looks at the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct SockDiag {
    netlink: Netlink,
}

impl SockDiag {
    /// Opens one.
    ///
    /// # Errors
    /// What `socket` returns: EPROTONOSUPPORT or EAFNOSUPPORT where the kernel has no sock_diag, EMFILE.
    pub fn open() -> io::Result<SockDiag> {
        Ok(SockDiag { netlink: Netlink::open(Some(SOCK_DIAG))? })
    }

    /// Hands each socket that passes the filter to `each`, of both address families.
    ///
    /// # Errors
    /// `InvalidInput` when the filter has more sources or ranges than a request can hold (some 2,000); ENOENT
    /// where the kernel lacks `inet_diag` (`modprobe inet_diag tcp_diag`); ENOBUFS, ENOMEM.
    pub fn dump(&mut self, filter: &Filter, mut each: impl FnMut(&Socket)) -> io::Result<DumpStats> {
        self.dump_while(filter, |socket| {
            each(socket);
            ControlFlow::Continue(())
        })
    }

    /// As [`SockDiag::dump`], until `each` breaks off; [`DumpStats::truncated`] then says so.
    ///
    /// # Errors
    /// As [`SockDiag::dump`].
    pub fn dump_while(
        &mut self,
        filter: &Filter,
        mut each: impl FnMut(&Socket) -> ControlFlow<()>,
    ) -> io::Result<DumpStats> {
        let (in_kernel, here) = filter.divided();
        let body = request(&in_kernel)?;
        let mut stats = DumpStats::default();
        let answer = self.netlink.ask(TCPDIAG_GETSOCK, NLM_F_DUMP, &body, |_, body| {
            if stats.sockets >= filter.limit {
                return ControlFlow::Break(());
            }
            match parse(body) {
                Some(socket) if here.as_ref().is_some_and(|here| !here.matches(&socket)) => {
                    ControlFlow::Continue(())
                }
                Some(socket) => {
                    stats.sockets += 1;
                    each(&socket)
                }
                None => {
                    stats.unknown += 1;
                    ControlFlow::Continue(())
                }
            }
        })?;
        stats.inconsistent = answer.interrupted;
        stats.truncated = answer.stopped;
        Ok(stats)
    }

    /// All listeners, with their queues: [`Socket::receive_queue`] waiting of [`Socket::send_queue`].
    ///
    /// # Errors
    /// As [`SockDiag::dump`].
    pub fn listeners(&mut self) -> io::Result<Vec<Socket>> {
        let mut listeners = Vec::new();
        self.dump(&Filter::states(StateSet::LISTEN), |socket| listeners.push(*socket))?;
        Ok(listeners)
    }

    /// The ports that a socket which wants to bind `source` explicitly has to keep clear of: those
    /// listened on, at this address or at any address, and those bound and not connected (of these,
    /// Linux before 6.8 says nothing). Sorted, each once.
    ///
    /// # Errors
    /// As [`SockDiag::dump`].
    pub fn bound_ports(&mut self, source: IpAddr) -> io::Result<Vec<u16>> {
        let mut ports = Vec::new();
        self.dump(&Filter::states(StateSet::LISTEN.with(TcpState::BoundInactive)), |socket| {
            let bound = socket.source.ip();
            // A listener at [::] takes IPv4 as well, unless it says IPV6_V6ONLY, which is rare.
            if bound == source || bound.is_unspecified() && (bound.is_ipv6() || source.is_ipv4()) {
                ports.push(socket.source.port());
            }
        })?;
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }
}

/// `struct inet_diag_req`, followed by the program. All but the states is left at zero: any.
fn request(filter: &Filter) -> io::Result<Vec<u8>> {
    let mut body = vec![0; REQUEST_BYTES];
    body[52..56].copy_from_slice(&filter.states.mask().to_ne_bytes());
    if let Some(program) = filter.program() {
        push_attribute(&mut body, INET_DIAG_REQ_BYTECODE, program.bytes())?;
    }
    Ok(body)
}

/// `struct inet_diag_msg`. The attributes behind it are not looked at.
pub(super) fn parse(body: &[u8]) -> Option<Socket> {
    let message: &[u8; MESSAGE_BYTES] = body.get(..MESSAGE_BYTES)?.try_into().ok()?;
    let number = |at| u32_at(message, at);
    let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let family = i32::from(message[0]);
    Some(Socket {
        state: TcpState::from_number(message[1])?,
        timer: message[2],
        retransmits: message[3],
        source: SocketAddr::new(address(family, message, 8)?, port(4)),
        destination: SocketAddr::new(address(family, message, 24)?, port(6)),
        cookie: u64::from(number(44)?) | u64::from(number(48)?) << 32,
        expires_ms: number(52)?,
        receive_queue: number(56)?,
        send_queue: number(60)?,
        uid: number(64)?,
        inode: number(68)?,
    })
}

fn address(family: i32, message: &[u8; MESSAGE_BYTES], at: usize) -> Option<IpAddr> {
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = message[at..at + 4].try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = message[at..at + 16].try_into().ok()?;
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// The sockets that a dump has shown already, by cookie. About 18 bytes a socket.
#[derive(Debug, Default)]
pub struct Cookies {
    seen: HashSet<u64, BuildHasherDefault<CookieHasher>>,
}

impl Cookies {
    /// True if this socket was not seen before; it is from now on.
    pub fn is_new(&mut self, socket: &Socket) -> bool {
        self.seen.insert(socket.cookie)
    }

    /// Forgets all, for the next dump, and keeps the memory.
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

/// Cookies are numbers that the kernel counts up, so one multiplication spreads them well enough.
#[derive(Debug, Default)]
struct CookieHasher(u64);

impl Hasher for CookieHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, cookie: u64) {
        // 2^64 divided by the golden ratio; the high half is folded down, where the table takes its index.
        let spread = cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}

#[cfg(test)]
mod tests;
