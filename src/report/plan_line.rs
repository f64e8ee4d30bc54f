//! The plan of a run in a line, before it begins: what was left to defaults is said as well.

use crate::model::format::{bytes, seconds, thousands};
use crate::plan::{Arrivals, Close, Lifetime, Plan, PortPolicy, RateStage};
use std::time::Duration;

/// Memory below which it is said how much there is, where the plan does not say how much may be taken.
const LITTLE_MEMORY: u64 = 1 << 30;

/// Load, lifetime, close, ports and drain time; the limit of memory where the plan has one, or where little can be had
/// (`free`, in bytes). Of several populations the load and their names.
pub fn plan_line(plan: &Plan, free: Option<u64>) -> String {
    if !plan.populations.is_empty() {
        let names = plan.populations.iter().map(|population| population.name.as_str());
        return format!("{}; populations: {}", load(plan), names.collect::<Vec<_>>().join(", "));
    }
    let drain =
        plan.session.drain(plan.kind()).map(|drain| format!("; up to {} to come to their end", time(drain)));
    format!(
        "{}; connections {}, closed by {}; {}{}{}",
        load(plan),
        lifetime(plan),
        close(plan.connection.close),
        ports(plan.source.ports),
        drain.unwrap_or_default(),
        memory(plan.memory, free)
    )
}

fn memory(limit: Option<u64>, free: Option<u64>) -> String {
    match (limit, free) {
        (Some(limit), Some(free)) if limit > free => {
            format!("; at most {} of memory, and {} are free", bytes(limit), bytes(free))
        }
        (Some(limit), _) => format!("; at most {} of memory", bytes(limit)),
        (None, Some(free)) if free < LITTLE_MEMORY => format!("; only {} of memory are free", bytes(free)),
        (None, _) => String::new(),
    }
}

/// Who closes a connection, and how.
pub(super) fn close(close: Close) -> &'static str {
    match close {
        Close::Fin => "FIN",
        Close::Rst => "RST",
        Close::Peer => "the peer",
    }
}

/// Lifetime of a connection, in words.
pub(super) fn lifetime(plan: &Plan) -> String {
    match plan.connection.lifetime {
        Lifetime::Fixed(duration) if duration.is_zero() && !plan.session.steps.is_empty() => {
            "open as long as the steps last".to_owned()
        }
        Lifetime::Fixed(duration) if duration.is_zero() => "closed at once".to_owned(),
        Lifetime::Fixed(duration) => format!("open {}", time(duration)),
        Lifetime::Uniform(low, high) => format!("open {} to {}", time(low), time(high)),
        Lifetime::Exponential(mean) => format!("open {} on average", time(mean)),
        Lifetime::UntilEnd => "open until the end".to_owned(),
    }
}

/// Who chooses the source port.
pub(super) fn ports(policy: PortPolicy) -> String {
    match policy {
        PortPolicy::Kernel => "ports by the kernel".to_owned(),
        PortPolicy::NaiveBind => "ports by bind(0)".to_owned(),
        PortPolicy::Explicit { low, high } => format!("explicit ports {low}-{high}"),
        PortPolicy::Range { low, high } => format!("ports {low}-{high} by the kernel"),
    }
}

fn load(plan: &Plan) -> String {
    let number = plan.load.connections.map(|number| format!(", {} attempts", thousands(number)));
    let number = number.unwrap_or_default();
    match &plan.load.arrivals {
        Arrivals::Open(stages) => format!("{}{number}", open(stages)),
        Arrivals::Closed { slots, duration } => {
            let duration = duration.map(|duration| format!(" for {}", time(duration)));
            format!("{} at once{}{number}", thousands(*slots), duration.unwrap_or_default())
        }
    }
}

fn open(stages: &[RateStage]) -> String {
    let total: Duration = stages.iter().map(|stage| stage.over).sum();
    match stages {
        [only] if only.from == only.to => format!("{} for {}", only.to, time(only.over)),
        [ramp, hold] if ramp.to == hold.from && hold.from == hold.to => {
            format!("up to {} in {}, then for {}", hold.to, time(ramp.over), time(hold.over))
        }
        _ => {
            let rates = stages.iter().flat_map(|stage| [stage.from, stage.to]);
            let most = rates.max_by(|a, b| a.as_per_second().total_cmp(&b.as_per_second()));
            let most = most.map_or(String::new(), |rate| format!(", up to {rate}"));
            format!("{} stages{most}, for {}", thousands(stages.len() as u64), time(total))
        }
    }
}

fn time(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    fn of(url: &str, line: &str) -> String {
        let mut flags = Overrides::to(url);
        let words: Vec<&str> = line.split_whitespace().collect();
        words.chunks(2).for_each(|pair| flags.set(pair[0], pair[1]));
        plan_line(&from_flags(&flags).unwrap(), Some(8 << 30))
    }

    #[test]
    fn what_nobody_said_is_told() {
        assert_eq!(
            of("tcp://h:1", ""),
            "100/s for 10.0 s; connections closed at once, closed by FIN; ports by the kernel"
        );
        assert_eq!(
            of("ws://h:1/", "--concurrency 10 --connections 10 --send x --every 1s --close rst"),
            "10 at once for 10.0 s, 10 attempts; connections open until the end, closed by RST; ports by the kernel"
        );
        assert_eq!(
            of("http://h:1/", "--rate 50/s --ramp 2s --duration 4s --requests 5 --ports explicit"),
            "up to 50/s in 2.00 s, then for 4.00 s; connections closed at once, closed by FIN; explicit ports \
             1024-65535; up to 5.00 s to come to their end"
        );
    }

    #[test]
    fn memory_is_told_where_it_matters() {
        assert!(of("tcp://h:1", "--memory 256MiB").ends_with("; at most 256 MiB of memory"));
        assert!(
            of("tcp://h:1", "--memory 9GiB").ends_with("; at most 9.00 GiB of memory, and 8.00 GiB are free")
        );
        assert_eq!(memory(None, Some(100 << 20)), "; only 100 MiB of memory are free");
        assert_eq!((memory(None, Some(2 << 30)), memory(None, None)), (String::new(), String::new()));
    }
}
