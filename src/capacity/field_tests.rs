//! The figures that were measured on real kernels, reproduced by the forecast.

use super::*;
use crate::model::{Close, Lifetime, PortPolicy};
use std::time::Duration;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn rate(bound: RateBound) -> f64 {
    bound.as_per_second()
}

fn small(tw_reuse: u8) -> HostLimits {
    let port_range = PortSpan { low: 32_768, high: 33_791 };
    HostLimits { port_range, tw_reuse, ticks_per_second: Some(250), nofile: 100_000, ..HostLimits::default() }
}

#[test]
fn the_default_range_sustains_470_a_second_and_the_widened_one_1075() {
    let host = HostLimits::default();
    let ports = forecast(&Demand::constant(100.0), &host).ports;
    assert_eq!((ports.capacity, ports.supply.tried_first), (28_232, Some(14_116)));
    assert_eq!(rate(ports.sustainable).floor(), 470.0);
    let wide = HostLimits { port_range: PortSpan { low: 1024, high: 65_535 }, ..host };
    let ports = forecast(&Demand::constant(100.0), &wide).ports;
    assert_eq!((ports.capacity, rate(ports.sustainable).floor()), (64_512, 1075.0));
}

#[test]
fn the_search_slows_down_after_half_the_range_and_the_next_after_all_fails() {
    let ports = forecast(&Demand::constant(1000.0), &HostLimits::default()).ports;
    let (slow, exhausted) = (ports.search_slow.unwrap(), ports.exhausted.unwrap());
    assert_eq!((slow.ordinal, exhausted.ordinal), (14_117, 28_233));
    assert!((slow.at_s - 14.116).abs() < 1e-6 && (exhausted.at_s - 28.232).abs() < 1e-6);
}

#[test]
fn a_rate_that_sixty_seconds_would_allow_fails_by_the_timers_rounding() {
    // Measured: 1,024 ports at 250 Hz: 16.5/s went on for 200 s, 17/s failed at the 1,025th after 60.2 s.
    assert_eq!(forecast(&Demand::constant(16.5), &small(0)).ports.exhausted, None);
    let exhausted = forecast(&Demand::constant(17.0), &small(0)).ports.exhausted.unwrap();
    assert_eq!(exhausted.ordinal, 1025);
    assert!((exhausted.at_s - 60.236).abs() < 0.01);
}

#[test]
fn reuse_sustains_ports_over_a_second_and_the_lifetime() {
    // Measured: 1,020/s without a failure, 1,030/s fails from the 1,025th; lifetime of 1 s: 500/s, 520/s.
    assert!(forecast(&Demand::constant(1020.0), &small(1)).fits());
    let fails = forecast(&Demand::constant(1030.0), &small(1)).ports.exhausted.unwrap();
    assert!((fails.at_s - 0.994).abs() < 0.001 && fails.ordinal == 1025);
    let lasting = |rate| Demand { lifetime: Lifetime::Fixed(secs(1)), ..Demand::constant(rate) };
    assert!(forecast(&lasting(500.0), &small(1)).fits());
    let fails = forecast(&lasting(520.0), &small(1)).ports.exhausted.unwrap();
    assert!((fails.at_s - 1.969).abs() < 0.001 && fails.ordinal == 1025);
}

#[test]
fn reuse_on_loopback_by_default_is_for_loopback_addresses_only() {
    // Measured at 800/s: 127.0.0.1 went on; 10.9.9.1 on lo failed at the 1,025th after 1.28 s.
    let demand = Demand::constant(800.0);
    assert!(forecast(&Demand { loopback: true, ..demand.clone() }, &small(2)).fits());
    let fails = forecast(&demand, &small(2)).ports.exhausted.unwrap();
    assert!((fails.at_s - 1.28).abs() < 0.001);
}

#[test]
fn held_connections_fill_the_range_exactly() {
    let held = |held| Demand { held, arrivals: RateCourse::endless(0.0), ..Demand::constant(0.0) };
    assert_eq!(forecast(&held(1024), &small(0)).ports.exhausted, None);
    let over = forecast(&held(1100), &small(0)).ports;
    assert_eq!(over.exhausted, Some(Moment { at_s: 0.0, ordinal: 1025 }));
    assert_eq!(over.search_slow.unwrap().ordinal, 513);
    let reserved = HostLimits { reserved_ports: vec![PortSpan { low: 32_800, high: 32_899 }], ..small(0) };
    assert_eq!(forecast(&held(1100), &reserved).ports.exhausted.unwrap().ordinal, 925);
}

#[test]
fn explicit_ports_reset_and_the_peers_close_need_no_more_than_the_open_connections() {
    let demand = Demand { lifetime: Lifetime::Fixed(secs(2)), ..Demand::constant(100.0) };
    let explicit = PortPolicy::Explicit { low: 10_000, high: 11_999 };
    for demand in [
        Demand { close: Close::Rst, ..demand.clone() },
        Demand { close: Close::Peer, ..demand.clone() },
        Demand { ports: explicit, ..demand.clone() },
    ] {
        let ports = forecast(&demand, &small(0)).ports;
        assert_eq!(ports.needed, Some(200));
        assert_eq!(rate(ports.sustainable), ports.capacity as f64 / 2.0);
    }
    let at_once = Demand { ports: explicit, ..Demand::constant(100.0) };
    assert_eq!(forecast(&at_once, &small(0)).ports.sustainable, RateBound::Unlimited);
    let no_stamps = HostLimits { timestamps: false, ..small(1) };
    let fails = forecast(&Demand { ports: explicit, ..Demand::constant(500.0) }, &no_stamps).ports;
    assert_eq!(fails.exhausted.unwrap().ordinal, 2001);
}

#[test]
fn naive_bind_shares_no_port_between_destinations() {
    let demand = Demand { destinations: 2, ports: PortPolicy::NaiveBind, ..Demand::constant(800.0) };
    let ports = forecast(&demand, &small(1)).ports;
    assert_eq!((ports.capacity, ports.error), (1024, ExhaustionError::AddressInUse));
    assert!((ports.exhausted.unwrap().at_s - 1.28).abs() < 0.001);
    let kernel = Demand { ports: PortPolicy::Kernel, ..demand };
    assert_eq!(forecast(&kernel, &small(1)).ports.capacity, 2048);
}

#[test]
fn time_wait_is_steady_after_a_minute_and_capped_by_its_buckets() {
    let host = HostLimits { ticks_per_second: None, ..HostLimits::default() };
    let steady = forecast(&Demand::constant(100.0), &host).time_wait;
    assert_eq!((steady.peak, steady.capped), (6000, None));
    assert!((steady.peak_from_s - 60.0).abs() < 0.1);
    // Measured: 500 buckets, 5,000 connections through 1,024 ports without a failure.
    let capped = HostLimits { max_tw_buckets: 500, ..small(0) };
    let result = forecast(&Demand::constant(5000.0), &capped);
    assert!(result.fits());
    assert_eq!((result.time_wait.peak, result.time_wait.capped.unwrap().ordinal), (500, 501));
    assert_eq!(result.ports.sustainable, RateBound::Unlimited);
}

#[test]
fn a_ramp_is_integrated() {
    // rate = 100·t: 50·t² = 28,232 at 23.76 s.
    let demand = Demand { arrivals: RateCourse::ramp(5000.0, secs(50), secs(10)), ..Demand::constant(0.0) };
    let exhausted = forecast(&demand, &HostLimits::default()).ports.exhausted.unwrap();
    assert!((exhausted.at_s - (28_232.0_f64 / 50.0).sqrt()).abs() < 1e-6);
    assert_eq!(exhausted.ordinal, 28_233);
}

#[test]
fn open_connections_follow_littles_law_and_the_runs_end() {
    let open = |lifetime, arrivals| {
        let demand = Demand { lifetime, arrivals, close: Close::Rst, ..Demand::constant(0.0) };
        forecast(&demand, &HostLimits::default()).open.wanted
    };
    let forever = RateCourse::endless(100.0);
    assert_eq!(open(Lifetime::Exponential(secs(20)), forever.clone()), Some(2000));
    assert_eq!(open(Lifetime::Fixed(secs(20)), RateCourse::constant(100.0, secs(5))), Some(500));
    assert_eq!(open(Lifetime::UntilEnd, RateCourse::constant(100.0, secs(5))), Some(500));
    assert_eq!(open(Lifetime::UntilEnd, forever), None);
}

#[test]
fn a_bound_on_open_connections_bounds_them_and_the_rate() {
    let demand = Demand {
        lifetime: Lifetime::Fixed(secs(10)),
        max_open: Some(500),
        close: Close::Rst,
        ..Demand::constant(1000.0)
    };
    let result = forecast(&demand, &small(0));
    assert_eq!(result.open.wanted, Some(500));
    assert_eq!(result.ports.sustainable, RateBound::Unlimited);
    let until_end = Demand { lifetime: Lifetime::UntilEnd, ..demand.clone() };
    assert_eq!(forecast(&until_end, &small(0)).open.wanted, Some(500));
    // By FIN: 500 at a time, every 10 s; TIME_WAIT holds up to seven such lots, beside the 500 open.
    let fin = forecast(&Demand { close: Close::Fin, ..demand }, &small(0)).ports;
    assert!(fin.exhausted.is_some() && (3900..=4100).contains(&fin.needed.unwrap()), "{:?}", fin.needed);
}

#[test]
fn a_bound_on_attempts_stops_the_forecast_there() {
    let attempts = |n| Demand { attempts: Some(n), ..Demand::constant(1000.0) };
    assert_eq!(forecast(&attempts(1024), &small(0)).ports.exhausted, None);
    assert_eq!(forecast(&attempts(1025), &small(0)).ports.exhausted.unwrap().ordinal, 1025);
}

#[test]
fn descriptors_files_and_memory_are_held_against_open_connections() {
    let host = HostLimits {
        nofile: 1024,
        file_max: 10_000,
        files_in_use: 1000,
        memory_available: Some(100_000_000),
        ..HostLimits::default()
    };
    let demand = Demand { held: 20_000, ends: Ends::OneProgram, ..Demand::constant(1.0) };
    let result = forecast(&demand, &host);
    let when = |limit| result.limit(limit).unwrap().when.unwrap().ordinal;
    // (1,024 − 5) ÷ 2 connections fit; (10,000 − 1,000) ÷ 2; 100 MB ÷ 2 × (3,640 + 861).
    assert_eq!(when(Limit::Descriptors), 510);
    assert_eq!(when(Limit::FileMax), 4501);
    assert_eq!(when(Limit::Memory), 100_000_000 / 9002 + 1);
    assert!(!result.fits());
    let private = HostLimits { private_tables: true, ..host };
    let result = forecast(&demand, &private);
    assert!(result.limit(Limit::Descriptors).is_none());
    assert_eq!(result.descriptors.tables_needed, Some(40_002_u64.div_ceil(1019)));
}

#[test]
fn conntrack_counts_tuples_not_connections() {
    // Measured: 3,000 connections through 1,024 ports with reuse left 1,023 entries.
    let host = HostLimits { conntrack: Some(Conntrack::default()), ..small(1) };
    let entries = forecast(&Demand::constant(900.0), &host).conntrack.unwrap().needed.unwrap();
    assert!((1000..=1024).contains(&entries), "{entries}");
    // The churn ceiling with ports enough: max ÷ 120 a second.
    let wide = HostLimits {
        conntrack: Some(Conntrack { max: 12_000, ..Conntrack::default() }),
        ..HostLimits::default()
    };
    let explicit = PortPolicy::Explicit { low: 1024, high: 65_535 };
    let demand = Demand { ports: explicit, ..Demand::constant(200.0) };
    let conntrack = forecast(&demand, &wide).conntrack.unwrap();
    assert_eq!(rate(conntrack.sustainable), 100.0);
    assert_eq!(conntrack.full.unwrap().ordinal, 12_001);
    let reset = Demand { close: Close::Rst, ..demand };
    assert_eq!(rate(forecast(&reset, &wide).conntrack.unwrap().sustainable), 1200.0);
}

#[test]
fn the_accept_queue_tolerates_a_burst_and_overflows_when_the_target_is_slow() {
    let host = HostLimits { backlog: 511, somaxconn: 128, ..HostLimits::default() };
    let demand = Demand { ends: Ends::TwoPrograms, ..Demand::constant(258.0) };
    let queue = forecast(&demand, &host).accept_queue.unwrap();
    assert_eq!((queue.holds, queue.pause_tolerated_s, queue.full), (129, Some(0.5), None));
    let slow = forecast(&Demand { accept_rate: Some(129.0), ..demand.clone() }, &host);
    assert_eq!(slow.accept_queue.as_ref().unwrap().full, Some(Moment { at_s: 1.0, ordinal: 259 }));
    assert_eq!(slow.breaks_first().unwrap().limit, Limit::AcceptQueue);
    assert_eq!(forecast(&Demand { ends: Ends::Client, ..demand }, &host).accept_queue, None);
}

#[test]
fn what_breaks_first_comes_first() {
    let host = HostLimits { nofile: 2000, ..small(0) };
    let demand = Demand { lifetime: Lifetime::Fixed(secs(10)), ..Demand::constant(200.0) };
    let breaks = forecast(&demand, &host).breaks;
    let order: Vec<Limit> = breaks.iter().map(|b| b.limit).collect();
    assert_eq!(order[..3], [Limit::PortSearch, Limit::Ports, Limit::Descriptors]);
    assert!(breaks.windows(2).all(|pair| pair[0].when.is_some() || pair[1].when.is_none()));
}

#[test]
fn a_forecast_survives_json() {
    let host = HostLimits { conntrack: Some(Conntrack::default()), ..small(0) };
    let result = forecast(&Demand::constant(100.0), &host);
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<Forecast>(&text).unwrap(), result);
}

#[test]
fn no_input_makes_it_panic() {
    let odd = HostLimits {
        port_range: PortSpan { low: 60_000, high: 10 },
        nofile: 0,
        file_max: 0,
        max_tw_buckets: 0,
        memory_available: Some(0),
        tcp_mem: Some(0),
        conntrack: Some(Conntrack { max: 0, in_use: u64::MAX, ..Conntrack::default() }),
        ticks_per_second: Some(u32::MAX),
        costs: Costs { tcp_socket: 0, user_per_end: 0, standing_descriptors: u64::MAX, ..Costs::default() },
        ..HostLimits::default()
    };
    for rate in [0.0, f64::NAN, f64::INFINITY, -5.0, 1e300] {
        for held in [0, u64::MAX] {
            let demand = Demand {
                held,
                sources: u32::MAX,
                destinations: u32::MAX,
                queued_bytes: u64::MAX,
                accept_rate: Some(f64::NAN),
                ..Demand::constant(rate)
            };
            let result = forecast(&demand, &odd);
            serde_json::to_string(&result).unwrap();
            forecast(&demand, &HostLimits::default());
        }
    }
}
