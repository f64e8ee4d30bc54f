//! Errors for which a run could not begin.

use super::session::ScriptError;
use crate::model::RoutesError;
use crate::model::format::bytes;
use std::io;
use std::net::SocketAddr;

/// Reason for which a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Sources and destinations don't fit.
    #[error(transparent)]
    Routes(#[from] RoutesError),
    /// The script of what is said can't be made ready.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Explicit ports want a source address, and the routes give none.
    #[error(
        "no route to {destination}: {error}. Explicit ports need a source address: give one with --source"
    )]
    NoSource {
        /// Where to.
        destination: SocketAddr,
        /// The kernel's error.
        error: io::Error,
    },
    /// The port range lies outside what the kernel obeys.
    #[error(
        "ports {low}-{high} lie outside net.ipv4.ip_local_port_range ({range_low}-{range_high}), and the kernel \
         would quietly choose others. Widen it (sysctl -w net.ipv4.ip_local_port_range=\"{low} {high}\"), or \
         choose the ports yourself with --ports explicit:{low}-{high}"
    )]
    RangeOutside {
        /// First port wanted.
        low: u16,
        /// Last port wanted.
        high: u16,
        /// First port of the host's range.
        range_low: u16,
        /// Last port of the host's range.
        range_high: u16,
    },
    /// The kernel has no `IP_LOCAL_PORT_RANGE`.
    #[error(
        "this kernel has no IP_LOCAL_PORT_RANGE (it came with Linux 6.3): choose the ports yourself with \
         --ports explicit:{low}-{high}"
    )]
    NoRangeOption {
        /// First port wanted.
        low: u16,
        /// Last port wanted.
        high: u16,
    },
    /// No port is left to lease.
    #[error(
        "every port of {low}-{high} is reserved or listened on: choose another range with --ports explicit:LO-HI"
    )]
    NoPorts {
        /// First port wanted.
        low: u16,
        /// Last port wanted.
        high: u16,
    },
    /// The host's settings can't be read.
    #[error("can't read {what}: {error}")]
    Host {
        /// Subject that was to be read.
        what: &'static str,
        /// Reason.
        error: io::Error,
    },
    /// The limit of memory leaves nothing for connections.
    #[error(
        "a limit of {} of memory leaves nothing for connections: connstorm itself takes {} with these workers; give a \
         larger one with --memory",
        bytes(*limit),
        bytes(*own)
    )]
    Memory {
        /// The limit, in bytes.
        limit: u64,
        /// Memory of the process before the run, in bytes.
        own: u64,
    },
    /// A worker could not be set up.
    #[error("worker {worker} could not start: {error}")]
    Worker {
        /// Number of the worker.
        worker: u32,
        /// Reason.
        error: io::Error,
    },
}
