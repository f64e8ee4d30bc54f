//! Number of workers of a run. Pure.

use crate::model::Schedule;
use crate::plan::{Arrivals, Lifetime, Plan};
use std::time::Duration;

/// Descriptors of a table that are not connections: standard streams, an epoll set, and some to
/// spare for name resolution and the like.
pub(super) const OVERHEAD: u64 = 32;

/// The number of workers for a plan that does not say.
///
/// As many as cores, or as many private tables as the connections open at once ask for; never more than
/// there are attempts or slots to divide.
pub(super) fn how_many(plan: &Plan, cores: u64, table_limit: Option<u64>) -> u32 {
    let open = open_at_once(plan);
    let tables = table_limit.map_or(1, |limit| open.div_ceil(limit.saturating_sub(OVERHEAD).max(1)));
    let wanted = plan.workers.map_or(cores.max(tables), |workers| workers.get().into());
    let most = match plan.load.arrivals {
        Arrivals::Closed { slots, .. } => slots_used(plan, slots),
        Arrivals::Open(_) => plan.load.connections.unwrap_or(u64::MAX),
    };
    // A worker without its share of what may be open could start nothing.
    let most = most.min(plan.load.max_open.unwrap_or(u64::MAX));
    u32::try_from(wanted.clamp(1, most.max(1)).min(4096)).unwrap_or(4096)
}

/// Number of a closed loop's slots that are used: no more than connections may be open. A slot beyond that would
/// only ever be skipped.
pub(super) fn slots_used(plan: &Plan, slots: u64) -> u64 {
    slots.min(plan.load.max_open.unwrap_or(u64::MAX))
}

/// An upper estimate of the connections open or opening at once (Little's law, with room for rng
/// and for a target that answers nothing until the timeout).
pub(super) fn open_at_once(plan: &Plan) -> u64 {
    let stages = match &plan.load.arrivals {
        Arrivals::Closed { slots, .. } => {
            return slots_used(plan, *slots).min(plan.load.connections.unwrap_or(u64::MAX));
        }
        Arrivals::Open(stages) => stages,
    };
    let total = Schedule::new(stages, plan.load.connections).total();
    let peak = stages.iter().flat_map(|stage| [stage.from, stage.to]).map(|r| r.as_per_second());
    let peak = peak.fold(0.0, f64::max);
    let open = match plan.life_of_a_connection(plan.session.messages.timeout) {
        Lifetime::Fixed(time) if plan.connection.close != crate::plan::Close::Peer => peak * seconds(time),
        Lifetime::Uniform(_, longest) => peak * seconds(longest),
        Lifetime::Exponential(mean) => {
            let mean_open = peak * seconds(mean);
            // A Poisson number of connections: six standard deviations above its mean.
            mean_open + 6.0 * mean_open.sqrt()
        }
        Lifetime::Fixed(_) | Lifetime::UntilEnd => f64::INFINITY,
    };
    let opening = peak * seconds(plan.connection.connect_timeout);
    let most = total.min(plan.load.max_open.unwrap_or(u64::MAX));
    // The cast saturates: infinity becomes u64::MAX.
    ((open + opening).ceil() as u64).min(most)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
