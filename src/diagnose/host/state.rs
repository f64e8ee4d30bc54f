//! State of a host just now, beside its settings.

use super::SysctlLine;
use crate::diagnose::{Listening, Proxy};
use crate::linux::addresses::AssignedAddress;
use crate::linux::proc_net::{Conntrack, SocketTotals, SystemFiles};
use crate::linux::tuple_usage::TupleCount;
use serde::{Deserialize, Serialize};

/// State of a host just now. What could not be seen is `None` or empty, and named in `unseen`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostState {
    /// Open files of the machine.
    pub files: Option<SystemFiles>,
    /// Connection tracking, where it is loaded.
    pub conntrack: Option<Conntrack>,
    /// Totals of TCP sockets.
    pub sockets: Option<SocketTotals>,
    /// Connections in ESTABLISHED, where all sockets were looked at.
    pub established: Option<u64>,
    /// The fullest tuples of outgoing connections.
    pub tuples: Vec<TupleCount>,
    /// Not every socket was looked at: there were too many.
    pub truncated: bool,
    /// Sockets that listen.
    pub listening: Vec<Listening>,
    /// Addresses of the interfaces.
    pub addresses: Vec<AssignedAddress>,
    /// Proxy variables that are set.
    pub proxies: Vec<Proxy>,
    /// `no_proxy`, if it is set.
    pub no_proxy: Option<String>,
    /// Lines in files of sysctl about settings that matter here.
    pub sysctl_lines: Vec<SysctlLine>,
    /// Looks that failed, and why.
    pub unseen: Vec<String>,
}
