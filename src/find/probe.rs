//! The plan of a probe: a scenario's plan with another load, from tuples of its own where that can be.

use crate::model::AddressSet;
use crate::plan::threshold::{Counter, Threshold};
use crate::plan::units::Rate;
use crate::plan::{Arrivals, Lifetime, Load, Plan, PortPolicy, RateStage, Until};
use crate::result::find::Quantity;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The plan that probes a value. `length` is how long its load lasts; `nth` counts probes from 0.
pub(super) fn plan(of: &Plan, quantity: Quantity, value: f64, length: Duration, nth: u32) -> Plan {
    let mut plan = of.clone();
    if quantity != Quantity::Rate && of.thresholds.is_empty() {
        plan.thresholds.push(Threshold::DEFAULT);
    }
    let stages = match quantity {
        Quantity::Rate => vec![stage(value, length)],
        // Opened in the first half, held in the second.
        Quantity::Held => {
            plan.connection.lifetime = Lifetime::UntilEnd;
            plan.thresholds.push(Threshold::at_least(Counter::HeldMax, value.round() as u64));
            let half = length / 2;
            vec![stage(value / half.as_secs_f64(), half), stage(0.0, half)]
        }
        // Opened in the first quarter; each then sends so often that all together make the value.
        Quantity::Messages => {
            let connections = connections(of).unwrap_or(1).max(1);
            let messages = &mut plan.session.messages;
            let senders = messages.senders.unwrap_or(connections).clamp(1, connections);
            messages.every = Duration::try_from_secs_f64(senders as f64 / value).ok();
            (messages.count, messages.think) = (None, Duration::ZERO);
            plan.connection.lifetime = Lifetime::UntilEnd;
            let quarter = length / 4;
            let least = value * (length - quarter).as_secs_f64() * SENT_AT_LEAST;
            plan.thresholds.push(Threshold::at_least(Counter::Sent, least as u64));
            vec![stage(connections as f64 / quarter.as_secs_f64(), quarter), stage(0.0, length - quarter)]
        }
    };
    let connections = match quantity {
        Quantity::Rate => None,
        Quantity::Held => Some(value.round() as u64),
        Quantity::Messages => connections(of),
    };
    plan.load =
        Load { arrivals: Arrivals::Open(stages), max_open: None, connections: None, until: Until::Time };
    if let (Some(connections), Arrivals::Open(stages)) = (connections, &mut plan.load.arrivals) {
        exactly(stages, connections);
    }
    if let Some(source) = fresh_source(of, nth) {
        plan.source.addresses = AddressSet::new(vec![source.into()]);
    }
    plan
}

/// Share of the messages due while all connections are open that have to be sent, or the probe asked for
/// less than its value. Not all: each connection's last interval is cut by the end.
const SENT_AT_LEAST: f64 = 0.95;

/// Over how many connections a scenario sends its messages: the attempts that it makes, its slots, or as
/// many as it may have open. `None` where it does not say, or sends nothing.
pub fn connections(plan: &Plan) -> Option<u64> {
    let slots = match plan.load.arrivals {
        Arrivals::Closed { slots, .. } => Some(slots),
        Arrivals::Open(_) => None,
    };
    plan.session.messages.send.as_ref()?;
    slots.or(plan.load.connections).or(plan.load.max_open)
}

fn stage(per_second: f64, over: Duration) -> RateStage {
    let rate = Rate::per_second(per_second).unwrap_or(Rate::ZERO);
    RateStage { from: rate, to: rate, over }
}

/// A little more than as many arrivals as are wanted would be one too many, and a little less one too few:
/// the first stage is made to end between two arrivals.
fn exactly(stages: &mut [RateStage], connections: u64) {
    if let Some(first) = stages.first_mut() {
        let rate = (connections as f64 - 0.5) / first.over.as_secs_f64();
        let rate = Rate::per_second(rate.max(0.0)).unwrap_or(Rate::ZERO);
        (first.from, first.to) = (rate, rate);
    }
}

/// A source address that no earlier probe used: its tuples are free of TIME_WAIT. All of 127/8 is this
/// host's, so that there is one where the target is in it, and where the user did not ask for addresses.
fn fresh_source(plan: &Plan, nth: u32) -> Option<IpAddr> {
    let host = plan.target.as_ref()?.host.parse::<Ipv4Addr>().ok()?;
    if !host.is_loopback() || !plan.source.addresses.is_empty() || plan.source.ports == PortPolicy::NaiveBind
    {
        return None;
    }
    let [high, low] = u16::try_from(nth % 65_024 + 256).unwrap_or(256).to_be_bytes();
    Some(Ipv4Addr::new(127, 99, high, low).into())
}

/// True if the probes of a plan have tuples of their own, so that none has to wait for another's TIME_WAIT.
pub(super) fn is_always_fresh(plan: &Plan) -> bool {
    let own_port = |serve: &crate::plan::Serve| serve.listen.iter().all(|address| address.port() == 0);
    match &plan.target {
        Some(_) => fresh_source(plan, 0).is_some(),
        None => plan.serve.as_ref().is_some_and(own_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};
    use std::collections::HashSet;

    fn scenario(change: impl FnOnce(&mut Overrides)) -> Plan {
        let mut overrides = Overrides::to("tcp://127.0.0.1:9");
        change(&mut overrides);
        from_flags(&overrides).unwrap()
    }

    const SECONDS: Duration = Duration::from_secs(4);

    fn texts(plan: &Plan) -> Vec<String> {
        plan.thresholds.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rate_is_held_for_the_whole_probe() {
        let probe = plan(&scenario(|_| {}), Quantity::Rate, 250.0, SECONDS, 0);
        let Arrivals::Open(stages) = &probe.load.arrivals else { panic!() };
        assert_eq!((stages.len(), stages[0].from.as_per_second(), stages[0].over), (1, 250.0, SECONDS));
        assert_eq!(probe.connection, scenario(|_| {}).connection, "the cooldown is as it was");
    }

    #[test]
    fn connections_that_are_to_be_held_stay_and_are_asked_for() {
        let probe =
            plan(&scenario(|o| o.set("--threshold", "connect.p99 < 1s")), Quantity::Held, 500.0, SECONDS, 0);
        assert_eq!(probe.connection.lifetime, Lifetime::UntilEnd);
        assert_eq!(texts(&probe), ["connect.p99 < 1s", "held.max >= 500"]);
        let default = plan(&scenario(|_| {}), Quantity::Held, 500.0, SECONDS, 0);
        assert_eq!(texts(&default), ["failed.ratio < 1%", "held.max >= 500"]);
    }

    #[test]
    fn messages_are_spread_over_the_connections_that_the_scenario_has() {
        let mut of = scenario(|o| {
            o.set("--concurrency", "50");
            o.set("--duration", "9s");
        });
        assert_eq!(connections(&of), None, "it sends nothing");
        of.session.messages.send = Some(crate::protocol::Template::parse("x").unwrap());
        assert_eq!(connections(&of), Some(50));
        let probe = plan(&of, Quantity::Messages, 1000.0, SECONDS, 0);
        assert_eq!(probe.session.messages.every, Some(Duration::from_millis(50)));
        assert_eq!(texts(&probe), ["failed.ratio < 1%", "messages.sent >= 2850"]);
        assert_eq!((probe.connection.lifetime, probe.load.connections), (Lifetime::UntilEnd, None));
        of.session.messages.senders = Some(2);
        let few = plan(&of, Quantity::Messages, 1000.0, SECONDS, 0);
        assert_eq!(few.session.messages.every, Some(Duration::from_millis(2)));
    }

    #[test]
    fn every_probe_has_a_source_of_its_own_where_that_can_be() {
        let plan_of = scenario(|_| {});
        let source = |nth| {
            plan(&plan_of, Quantity::Rate, 1.0, SECONDS, nth).source.addresses.blocks()[0]
                .nth(0)
                .unwrap()
                .to_string()
        };
        let all: HashSet<String> = (0..1000).map(source).collect();
        assert_eq!(all.len(), 1000);
        assert!(is_always_fresh(&plan_of));
        let given = scenario(|o| o.set("--source", "127.0.0.7"));
        assert!(!is_always_fresh(&given));
        let kept = plan(&given, Quantity::Rate, 1.0, SECONDS, 5).source.addresses;
        assert_eq!(kept, given.source.addresses);
        assert!(!is_always_fresh(&scenario(|o| *o = Overrides::to("tcp://192.0.2.1:9"))));
    }
}
