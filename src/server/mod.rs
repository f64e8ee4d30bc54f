//! Targets: what `connstorm serve` and a scenario's `[serve]` table run.
//!
//! A target holds very many connections cheaply, beyond the descriptor limit of one table, or misbehaves
//! in one chosen way so that a diagnosis can be tried. All of it runs on threads of its own, each with a
//! private descriptor table ([`crate::linux::fd_table`]):
//!
//! ```text
//! Target::start ──► target-supervisor: binds, starts workers, starts more when they are full, stops them
//!                     ├── target-1: epoll over { wake-up, listeners (exclusive), its connections }
//!                     └── target-2: …        the listeners are shared: one accept queue an address
//!
//! worker ──► connection: socket, what is unsent, TLS ──► dispatch: bytes in, answers out (stream, http, ws)
//! ```
//!
//! Invariant: every connection accepted is open, or counted under exactly one way of ending
//! ([`Counters`]). A target must not print, and must not look at anything but its own sockets.

mod accept_limiter;
mod connection;
mod context;
mod counters;
mod deadlines;
mod dispatch;
mod http;
mod listen;
mod mailbox;
mod supervisor;
mod tls;
mod worker;
mod ws;

pub use crate::protocol::{Behaviour, Kind};
pub use counters::Counters;
pub use supervisor::{Running, Target};
pub use tls::{Certificate, Flaw};

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The accept queue that listen() is called with unless told otherwise: what `net.core.somaxconn` has
/// been by default since Linux 5.4.
pub const DEFAULT_BACKLOG: u32 = 4096;

/// Task of a target, and its means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses and ports to listen on, IPv4 and IPv6; port 0: the kernel's choice. At least one.
    pub listen: Vec<SocketAddr>,
    /// Protocol that is spoken.
    pub kind: Kind,
    /// Behaviour towards a connection; it has to suit the kind.
    pub behaviour: Behaviour,
    /// The certificate that a kind over TLS makes for itself.
    pub certificate: Certificate,
    /// Length of the accept queue of each listener; the kernel cuts it to `net.core.somaxconn`.
    pub backlog: u32,
    /// Number of worker threads. `None`: as many as there are cores, and one more whenever too few of
    /// them have room for another connection.
    pub workers: Option<NonZeroU32>,
    /// Descriptors that a worker's table may hold; `None`: as many as `RLIMIT_NOFILE` allows.
    pub descriptors: Option<NonZeroU32>,
    /// Limits of what one peer, or all together, may cost.
    pub limits: Limits,
    /// The CPU that all workers run on; `None`: any.
    pub cpu: Option<usize>,
}

/// Limits of what peers may cost a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all connections together may hold of what is not complete: heads, messages, bodies, and answers
    /// that their peers do not read. The connection that would go beyond is closed.
    pub memory: usize,
    /// Time in which a TLS handshake, a request or a message that has begun has to be complete, and what is sent has
    /// to be read. A connection on which nothing has begun may stay for ever.
    pub slow_client: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: 1 << 30, slow_client: Duration::from_secs(60) }
    }
}

impl Config {
    /// A TCP target with the defaults for all that is not said.
    pub fn new(listen: Vec<SocketAddr>, behaviour: Behaviour) -> Config {
        Config {
            listen,
            kind: Kind::Tcp,
            behaviour,
            certificate: Certificate::default(),
            backlog: DEFAULT_BACKLOG,
            workers: None,
            descriptors: None,
            limits: Limits::default(),
            cpu: None,
        }
    }
}

/// Reason for which a target could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The behaviour is one of another kind of target.
    #[error("a {kind} target can't do '{behaviour}'; `connstorm serve {kind} --help` lists what it can do")]
    Unsuitable {
        /// Protocol that is spoken.
        kind: Kind,
        /// Behaviour that was wanted.
        behaviour: Behaviour,
    },
    /// The certificate could not be made.
    #[error(
        "cannot make a certificate: {0}; its names are addresses, or host names in ASCII (xn--… for others)"
    )]
    Certificate(String),
    /// No address was given.
    #[error("the target has no address to listen on; give one, such as 127.0.0.1:9000")]
    NoAddress,
    /// EADDRINUSE.
    #[error("{0} is taken: another socket listens there; choose another port or 0")]
    Taken(SocketAddr),
    /// EADDRNOTAVAIL.
    #[error(
        "{ip} is not an address of this host; `ip addr add {ip} dev lo` makes it one, or listen on one that is",
        ip = .0.ip()
    )]
    NotLocal(SocketAddr),
    /// EACCES or EPERM.
    #[error(
        "{0}: the kernel does not let this user listen on port {port}; choose a port from 1024 up, or lower \
         net.ipv4.ip_unprivileged_port_start, or grant CAP_NET_BIND_SERVICE",
        port = .0.port()
    )]
    NotPermitted(SocketAddr),
    /// Any other failure of making a listener.
    #[error("cannot listen on {address}: {call}() failed: {error}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system call.
        call: &'static str,
        /// Error of the call.
        error: io::Error,
    },
    /// Not a single connection fits into a worker's descriptor table.
    #[error(
        "a worker may hold {limit} descriptors and needs {needed} before its first connection; raise \
         `ulimit -n`, or listen on fewer addresses"
    )]
    TooFewDescriptors {
        /// Descriptors that a table may hold.
        limit: usize,
        /// Descriptors that a worker needs, its first connection included.
        needed: usize,
    },
    /// The threads cannot run on the CPU asked for.
    #[error(
        "cannot run on CPU {cpu}: {error}; `nproc --all` counts the CPUs, `taskset -p $$` shows those allowed"
    )]
    Cpu {
        /// Number of the CPU, from 0.
        cpu: usize,
        /// Error of `sched_setaffinity`.
        error: io::Error,
    },
    /// A thread of the target could not be made, or could not get what it needs.
    #[error("cannot start the target: {what} failed: {error}")]
    Thread {
        /// Name of what was attempted.
        what: &'static str,
        /// Error of the call.
        error: io::Error,
    },
}
