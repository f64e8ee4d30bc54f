//! Properties that hold of every forecast, whatever the demand and the host.

use super::*;
use crate::model::{Close, Lifetime, PortPolicy};
use proptest::prelude::*;
use std::time::Duration;

fn lifetimes() -> impl Strategy<Value = Lifetime> {
    let time = || (0..60_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        time().prop_map(Lifetime::Fixed),
        (time(), time()).prop_map(|(a, b)| Lifetime::Uniform(a, b)),
        time().prop_map(Lifetime::Exponential),
        Just(Lifetime::UntilEnd),
    ]
}

fn arrivals() -> impl Strategy<Value = RateCourse> {
    let time = || (1..120_u64).prop_map(Duration::from_secs);
    prop_oneof![
        (1.0..5000.0).prop_map(RateCourse::endless),
        (1.0..5000.0, time()).prop_map(|(rate, over)| RateCourse::constant(rate, over)),
        (1.0..5000.0, time(), time()).prop_map(|(peak, ramp, hold)| RateCourse::ramp(peak, ramp, hold)),
    ]
}

fn policies() -> impl Strategy<Value = PortPolicy> {
    prop_oneof![
        Just(PortPolicy::Kernel),
        Just(PortPolicy::NaiveBind),
        Just(PortPolicy::Explicit { low: 20_000, high: 29_999 }),
        Just(PortPolicy::Range { low: 33_000, high: 34_999 }),
    ]
}

prop_compose! {
    fn demands()(
        arrivals in arrivals(),
        lifetime in lifetimes(),
        close in prop_oneof![Just(Close::Fin), Just(Close::Rst), Just(Close::Peer)],
        ports in policies(),
        sources in 1..8_u32,
        destinations in 1..4_u32,
        held in prop_oneof![Just(0), 0..50_000_u64],
        max_open in prop_oneof![Just(None), (1..50_000_u64).prop_map(Some)],
        loopback in any::<bool>(),
    ) -> Demand {
        Demand {
            arrivals, lifetime, close, ports, sources, destinations, held, max_open, loopback,
            ..Demand::constant(0.0)
        }
    }
}

prop_compose! {
    fn hosts()(
        low in 1024..40_000_u16,
        ports in 1..25_000_u16,
        tw_reuse in 0..3_u8,
        timestamps in any::<bool>(),
        max_tw_buckets in prop_oneof![Just(131_072), 0..40_000_u64],
        hz in prop_oneof![Just(None), Just(Some(250)), Just(Some(1000))],
        nofile in 1024..100_000_u64,
        private_tables in any::<bool>(),
        tracked in any::<bool>(),
    ) -> HostLimits {
        HostLimits {
            port_range: PortSpan { low, high: low + ports - 1 },
            tw_reuse, timestamps, max_tw_buckets, ticks_per_second: hz, nofile, private_tables,
            conntrack: tracked.then(|| Conntrack { max: 30_000, ..Conntrack::default() }),
            ..HostLimits::default()
        }
    }
}

fn at(moment: Option<Moment>) -> f64 {
    moment.map_or(f64::INFINITY, |moment| moment.at_s)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn more_ports_are_never_worse(demand in demands(), host in hosts(), more in 1..500_u16) {
        // IP_LOCAL_PORT_RANGE is ignored outside of the namespace's range, and narrows within it.
        prop_assume!(!matches!(demand.ports, PortPolicy::Range { .. }));
        let high = host.port_range.high.saturating_add(more * 2);
        let wider = HostLimits { port_range: PortSpan { high, ..host.port_range }, ..host.clone() };
        let (narrow, wide) = (forecast(&demand, &host).ports, forecast(&demand, &wider).ports);
        prop_assert!(wide.capacity >= narrow.capacity);
        prop_assert!(wide.sustainable.as_per_second() >= narrow.sustainable.as_per_second());
        prop_assert!(at(wide.exhausted) >= at(narrow.exhausted) - 1e-6);
    }

    #[test]
    fn a_higher_rate_never_exhausts_later(demand in demands(), host in hosts(), factor in 1.0..5.0_f64) {
        // With a bound on open connections a higher rate only meets the bound sooner.
        let demand = Demand { max_open: None, ..demand };
        let more = Demand { arrivals: demand.arrivals.scaled(factor), ..demand.clone() };
        let (slow, fast) = (forecast(&demand, &host).ports, forecast(&more, &host).ports);
        prop_assert!(at(fast.exhausted) <= at(slow.exhausted) + 1e-6);
        prop_assert!(at(fast.search_slow) <= at(slow.search_slow) + 1e-6);
    }

    #[test]
    fn the_sustainable_rate_goes_on_and_one_above_it_does_not(demand in demands(), host in hosts()) {
        let sustainable = forecast(&demand, &host).ports.sustainable.as_per_second();
        prop_assume!(sustainable > 0.01 && sustainable < 1e6);
        let at_rate = |rate| Demand { arrivals: RateCourse::endless(rate), ..demand.clone() };
        let goes_on = forecast(&at_rate(sustainable * 0.999), &host);
        prop_assert_eq!(goes_on.ports.exhausted, None);
        let exhausts = forecast(&at_rate(sustainable * 1.01), &host);
        prop_assert!(demand.max_open.is_some() || exhausts.ports.exhausted.is_some());
    }

    #[test]
    fn the_search_is_slow_before_the_ports_are_gone(demand in demands(), host in hosts()) {
        let ports = forecast(&demand, &host).ports;
        if ports.supply.tried_first.is_some() {
            prop_assert!(at(ports.search_slow) <= at(ports.exhausted));
        }
        if let Some(moment) = ports.exhausted {
            prop_assert!(moment.ordinal > ports.capacity || ports.capacity == 0);
        }
    }

    #[test]
    fn time_wait_keeps_within_its_bounds(demand in demands(), host in hosts()) {
        let result = forecast(&demand, &host);
        prop_assert!(result.time_wait.peak <= host.max_tw_buckets);
        prop_assert!(result.time_wait.peak <= result.ports.capacity);
        if demand.close == Close::Rst {
            prop_assert_eq!(result.time_wait.peak, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_remedy_never_makes_it_worse(demand in demands(), host in hosts()) {
        let now = forecast(&demand, &host);
        let advice = remedies(&demand, &host);
        prop_assert_eq!(advice.enough == Some(vec![]), now.fits());
        for remedy in advice.remedies {
            let met = now.limit(remedy.against).and_then(|b| b.when);
            prop_assert!(at(remedy.after.limit_met) > at(met), "{:?}", remedy);
            prop_assert!(at(remedy.after.exhausted) >= at(now.ports.exhausted) - 1e-6, "{:?}", remedy);
            prop_assert!(!remedy.commands.is_empty());
        }
        if let Some(changes) = advice.enough {
            let (mut demand, mut host) = (demand, host);
            for change in changes {
                (demand, host) = change.apply(&demand, &host);
            }
            prop_assert!(forecast(&demand, &host).fits());
        }
    }
}
