//! Ports that were kept by one thing first and by another later: connections are open when the first attempt fails, and
//! in TIME_WAIT when the next hundred do. Each window of the run has its own count.

use super::claim::{Claim, Owner, Span};
use super::port_shares::PortShares;
use super::ports::mended;
use super::rivals::NO_PORT;
use super::{Facts, FailureFact, FindingId, PortWindow};
use crate::model::{Evidence, Side, Stamp};

/// Share of the sockets that has to be of one sort for that sort to be what keeps the ports.
const MOSTLY: f64 = 0.6;
/// Share of the usable ports that has to be taken.
const FULL: f64 = 0.9;
/// Share of the failures that has to be another's for it to be told.
const WORTH: f64 = 0.1;

/// Failures of a cause that kept the ports after the first one did.
pub(super) struct Later {
    id: FindingId,
    failed: FailureFact,
    /// The most sockets in TIME_WAIT, and in any other state, of a window.
    fullest: (u64, u64),
    windows: usize,
}

/// The failures of the cause that was seen first, and those of another that took its place. All are the first one's
/// where the windows do not tell.
pub(super) fn divided(facts: &Facts, failed: &FailureFact, first: FindingId) -> (FailureFact, Option<Later>) {
    let usable = facts.usable_ports.unwrap_or(u32::MAX);
    let other = match first {
        FindingId::PortsExhaustedByLiveConnections => FindingId::PortsExhaustedByTimeWait,
        FindingId::PortsExhaustedByTimeWait => FindingId::PortsExhaustedByLiveConnections,
        _ => return (failed.clone(), None),
    };
    // Where nobody counted, what kept the ports before goes on. A look after the last failure may see what the end of
    // the run has closed.
    let (mut state, mut of_other) = (first, Vec::new());
    for window in &facts.port_windows {
        let seen = Some(window).filter(|window| window.at < failed.last_at);
        state = seen.and_then(|window| cause(window, usable)).unwrap_or(state);
        if state == other {
            of_other.push(window);
        }
    }
    let count: u64 = of_other.iter().map(|window| window.failed).sum();
    // The first was seen to be of the first cause.
    let count = count.min(failed.count.saturating_sub(1));
    let fullest = of_other.iter().filter_map(|window| window.sockets).max_by_key(|(a, b)| *a.max(b));
    let Some(fullest) = fullest.filter(|_| count as f64 >= failed.count as f64 * WORTH) else {
        return (failed.clone(), None);
    };
    let span = (of_other[0].at.saturating_sub(WINDOW), of_other[of_other.len() - 1].at);
    let theirs = part(failed, count, span);
    let rest = FailureFact { count: failed.count - count, ..failed.clone() };
    (rest, Some(Later { id: other, failed: theirs, fullest, windows: of_other.len() }))
}

/// Length of a window.
const WINDOW: Stamp = Stamp::from_secs(1);

fn part(failed: &FailureFact, count: u64, (from, to): (Stamp, Stamp)) -> FailureFact {
    let (first_at, last_at) = (failed.first_at.max(from), failed.last_at.min(to.max(failed.first_at)));
    FailureFact { count, first_at, last_at, ..failed.clone() }
}

fn cause(window: &PortWindow, usable: u32) -> Option<FindingId> {
    let (time_wait, live) = window.sockets?;
    let taken = time_wait + live;
    if (taken as f64) < f64::from(usable) * FULL {
        return None;
    }
    let mostly = |sockets: u64| sockets as f64 >= taken as f64 * MOSTLY;
    if mostly(time_wait) {
        Some(FindingId::PortsExhaustedByTimeWait)
    } else {
        mostly(live).then_some(FindingId::PortsExhaustedByLiveConnections)
    }
}

impl Later {
    /// The claim of that cause.
    pub(super) fn claim(self, facts: &Facts, look: &PortShares<'_>) -> Claim {
        let source = look.source.map_or("this host".to_owned(), |source| source.to_string());
        let to = look.moment.destination;
        let usable = facts.usable_ports.unwrap_or(look.ports.usable);
        let (sockets, what) = match self.id {
            FindingId::PortsExhaustedByTimeWait => (
                self.fullest.0,
                "in TIME_WAIT, which connections keep for 60 s after this side closed them first",
            ),
            _ => (self.fullest.1, "open connections"),
        };
        let says = format!(
            "later, {} attempts found no source port from {source} to {to} while up to {sockets} of its {usable} ports were \
             {what} (in {} windows, until {:.1} s)",
            self.failed.count,
            self.windows,
            self.failed.last_at.as_secs_f64()
        );
        // Of several tuples, the fullest need not be the failing one.
        let owner = if facts.tuples <= 1 { Owner::Tuple(look.source, to) } else { Owner::Everybody };
        let claim = Claim::new(self.id, Side::Generator, says)
            .explaining(&self.failed)
            .seen(owner, Span::Throughout)
            .without(NO_PORT, format!("{sockets} of the tuple's {usable} ports were counted in that state"))
            .resting_on(
                Evidence::default()
                    .with("tuple", format!("{source} to {to}"))
                    .with("time_wait", self.fullest.0)
                    .with("live", self.fullest.1)
                    .with("ports_usable", usable)
                    .with("failed", self.failed.count)
                    .with("windows", self.windows as u64),
            );
        mended(facts, claim)
    }
}
