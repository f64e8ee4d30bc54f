//! The target's own numbers, where it is on this host: of the listeners at the destinations, and of the process
//! behind them. Absent is not seen.

use crate::model::Stamp;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// SYNs and ACKs that the destinations' own listeners dropped meanwhile (`sk_drops`, `d` in `ss -ltm`).
    pub listener_drops: Option<u64>,
    /// More complete connections than the backlog allows were seen to wait at a listener.
    pub queue_seen_full: bool,
    /// The most half-open connections seen at the destinations' ports.
    pub half_open_max: Option<u64>,
    /// State of the process behind the listener, as `/proc/PID/stat` has it: `T` is stopped.
    pub process_state: Option<char>,
    /// A listener was there at the end.
    pub listens_at_end: Option<bool>,
    /// When a destination was first seen without its listener.
    pub gone_at: Option<Stamp>,
}

/// Connections held level while others were refused or ended: the number that the server, or something before
/// it, lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plateau {
    /// Connections held in all.
    pub held: u64,
    /// Windows in which that number stood, with failures in each.
    pub windows: u32,
    /// When it was first reached.
    pub from: Stamp,
    /// The end of the last of these windows.
    pub to: Stamp,
}
