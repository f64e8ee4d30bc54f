use super::*;
use crate::model::Routes;
use crate::model::port_set::PortRange;
use std::collections::HashMap;

fn settings(range: (u16, u16), reserved: &str, reuse: TimeWaitReuse) -> PortSettings {
    let range = PortRange { low: range.0, high: range.1, reserved: reserved.parse().unwrap() };
    let reuse_delay = Duration::from_secs(1);
    PortSettings { range, reuse, reuse_delay, timestamps: true, ticks_per_second: None }
}

fn demand(policy: PortPolicy, sources: &str, destinations: &[&str]) -> PortDemand {
    PortDemand {
        policy,
        close: Close::Fin,
        sources: if sources.is_empty() { AddressSet::default() } else { sources.parse().unwrap() },
        destinations: destinations.iter().map(|d| d.parse().unwrap()).collect(),
        routed: vec![],
    }
}

fn supply(policy: PortPolicy, sources: &str, destinations: &[&str]) -> PortSupply {
    PortSupply::new(
        &demand(policy, sources, destinations),
        settings((40_000, 41_023), "", TimeWaitReuse::Loopback),
    )
}

fn socket(local: &str, peer: &str, by: Holder, ends_in_s: Option<u64>) -> HeldSocket {
    HeldSocket {
        local: local.parse().unwrap(),
        peer: (!peer.is_empty()).then(|| peer.parse().unwrap()),
        by,
        ends_in: ends_in_s.map(Duration::from_secs),
    }
}

const EXPLICIT: PortPolicy = PortPolicy::Explicit { low: 20_000, high: 20_099 };

#[test]
fn only_reserved_ports_of_the_range_in_use_count() {
    let of = |policy| {
        let settings = settings((10_000, 60_999), "30000-60000,20050", TimeWaitReuse::Off);
        let supply = PortSupply::new(&demand(policy, "", &["127.0.0.1:9000"]), settings);
        (supply.usable(), supply.reserved())
    };
    assert_eq!(of(PortPolicy::Range { low: 20_000, high: 20_099 }), (99, 1));
    assert_eq!(of(PortPolicy::Kernel), (51_000 - 30_002, 30_002));
    assert_eq!(of(EXPLICIT), (99, 1));
    // A bound outside of the namespace's range is no bound.
    assert_eq!(of(PortPolicy::Range { low: 5000, high: 20_099 }), (10_100 - 1, 1));
}

/// `tcp_tw_reuse=2` asks for either end in 127/8 or ::1, v4-mapped too.
#[test]
fn loopback_is_either_end_as_the_kernel_asks() {
    let blocks = |sources, destinations: &[&str]| supply(PortPolicy::Kernel, sources, destinations).blocks();
    let (reused, not) = (Duration::from_secs(1), TIME_WAIT);
    assert_eq!(blocks("", &["127.0.0.1:80"]), reused);
    assert_eq!(blocks("", &["[::ffff:127.0.0.1]:80"]), reused);
    assert_eq!(blocks("127.0.0.2", &["10.9.9.1:80"]), reused, "the source is enough");
    assert_eq!(blocks("10.9.9.1", &["127.0.0.1:80"]), reused, "and so is the destination");
    assert_eq!(blocks("10.9.9.1", &["10.9.9.1:80"]), not, "over lo, and yet not loopback");
    assert_eq!(blocks("127.0.0.2, 10.9.9.2", &["10.9.9.1:80"]), not, "some tuples are not");
    assert_eq!(blocks("", &["[::1]:80"]), reused);
    assert_eq!(blocks("fd00::2", &["[fd00::1]:80"]), not);
    assert_eq!(blocks("", &["0.0.0.0:80"]), reused, "0.0.0.0 is 127.0.0.1");
}

#[test]
fn reuse_and_close_and_policy_decide_together() {
    let kept = |policy, close, reuse, timestamps| {
        let settings = PortSettings { timestamps, ..settings((1, 2), "", reuse) };
        settings.kept_after_close(policy, close, false).nominal().as_secs()
    };
    use TimeWaitReuse::{Loopback, Off, On};
    assert_eq!(kept(PortPolicy::Kernel, Close::Fin, Off, true), 60);
    assert_eq!(kept(PortPolicy::Kernel, Close::Fin, On, true), 1);
    assert_eq!(kept(PortPolicy::Kernel, Close::Fin, Loopback, true), 60);
    assert_eq!(kept(PortPolicy::Kernel, Close::Fin, On, false), 60);
    assert_eq!(kept(PortPolicy::NaiveBind, Close::Fin, On, true), 60, "bind() never reuses");
    assert_eq!(kept(EXPLICIT, Close::Fin, Off, true), 0);
    assert_eq!(kept(EXPLICIT, Close::Fin, On, false), 60);
    assert_eq!(kept(PortPolicy::NaiveBind, Close::Rst, Off, false), 0);
    assert_eq!(kept(PortPolicy::Kernel, Close::Peer, Off, true), 0);
}

/// Equal addresses are one tuple, used as often as they were written; and the engine's routes agree.
#[test]
fn duplicates_are_one_tuple_with_their_weights_added() {
    let written = "127.0.0.2, 127.0.0.3, 127.0.0.2, ::ffff:127.0.0.2, 127.0.0.2-127.0.0.3 * 2";
    let there = ["127.0.0.1:80", "[::ffff:127.0.0.1]:80"];
    let supply = supply(PortPolicy::Kernel, written, &there);
    assert_eq!((supply.tuples(), supply.pools()), (2, 2));
    let mut shares: Vec<(u64, u32)> =
        supply.groups().iter().map(|g| (g.tuples, (g.share * 800.0).round() as u32)).collect();
    shares.sort_unstable();
    assert_eq!(shares, [(1, 300), (1, 500)]);
    let routes = Routes::new(&written.parse().unwrap(), &there.map(|d| d.parse().unwrap())).unwrap();
    let mut used: HashMap<Option<IpAddr>, u32> = HashMap::new();
    for n in 0..800 {
        *used.entry(routes.source(routes.choose(n))).or_default() += 1;
    }
    assert_eq!(used[&Some("127.0.0.2".parse().unwrap())], 500);
    assert_eq!(used[&Some("127.0.0.3".parse().unwrap())], 300);
    assert_eq!(routes.len(), 2);
}

#[test]
fn any_address_is_the_one_that_connect_makes_of_it() {
    let to = |source: &str, destination: &str| {
        as_connected(source.parse().ok(), destination.parse().unwrap()).to_string()
    };
    assert_eq!(to("", "0.0.0.0:80"), "127.0.0.1:80");
    assert_eq!(to("10.0.0.2", "0.0.0.0:80"), "10.0.0.2:80");
    assert_eq!(to("", "[::]:80"), "[::1]:80");
    assert_eq!(to("fd00::2", "[::]:80"), "[::1]:80");
    assert_eq!(to("", "[::ffff:10.0.0.1]:80"), "10.0.0.1:80");
    let routes = Routes::new(&"10.0.0.2, 10.0.0.3".parse().unwrap(), &["0.0.0.0:80".parse().unwrap()]);
    let routes = routes.unwrap();
    assert_eq!(routes.destination(routes.choose(1)).to_string(), "10.0.0.3:80");
    let supply = supply(PortPolicy::Kernel, "10.0.0.2, 10.0.0.3", &["0.0.0.0:80"]);
    assert!(supply.has("10.0.0.3".parse().unwrap(), "10.0.0.3:80".parse().unwrap()));
    assert!(!supply.has("10.0.0.3".parse().unwrap(), "10.0.0.2:80".parse().unwrap()));
}

#[test]
fn a_tuple_of_another_source_or_destination_is_not_ours() {
    let supply = supply(PortPolicy::Kernel, "127.0.0.3", &["127.0.0.1:9000"]);
    let has = |source: &str, to: &str| supply.has(source.parse().unwrap(), to.parse().unwrap());
    assert!(has("127.0.0.3", "127.0.0.1:9000"));
    assert!(!has("127.0.0.2", "127.0.0.1:9000") && !has("127.0.0.3", "127.0.0.1:9001"));
}

#[test]
fn what_is_held_is_told_by_state_and_by_when_it_comes_back() {
    let there = ["10.0.0.1:80"];
    let held = |policy, reuse| {
        let settings = settings((40_000, 41_023), "40900", reuse);
        let supply = PortSupply::new(&demand(policy, "10.0.0.2, 10.0.0.3", &there), settings);
        let supply = supply.holding([
            socket("10.0.0.2:40001", there[0], Holder::Live, None),
            socket("10.0.0.2:40002", there[0], Holder::TimeWait, Some(20)),
            socket("10.0.0.2:40003", there[0], Holder::TimeWait, Some(60)),
            socket("10.0.0.2:40004", there[0], Holder::FinWait2, Some(30)),
            socket("10.0.0.2:40005", "10.0.0.9:80", Holder::Live, None),
            socket("10.0.0.4:40006", there[0], Holder::Live, None),
            socket("10.0.0.2:30000", there[0], Holder::Live, None),
            socket("10.0.0.2:40900", there[0], Holder::Live, None),
            socket("127.0.0.1:40007", "", Holder::Listening, None),
            socket("0.0.0.0:40008", "", Holder::Bound, None),
        ]);
        supply.held("10.0.0.2".parse().unwrap(), there[0].parse().unwrap())
    };
    let plain = held(PortPolicy::Kernel, TimeWaitReuse::Off);
    assert_eq!((plain.now(), plain.at(25.0), plain.at(59.9), plain.at(60.0)), (6, 5, 4, 3));
    assert_eq!(plain.by[&Holder::TimeWait], 2);
    let reuse = held(PortPolicy::Kernel, TimeWaitReuse::On);
    assert_eq!((reuse.now(), reuse.at(1.0), reuse.at(30.0)), (5, 4, 3), "FIN_WAIT_2 is not reused");
    let naive = held(PortPolicy::NaiveBind, TimeWaitReuse::On);
    assert_eq!(
        (naive.now(), naive.lasting),
        (6, 3),
        "another destination's port, too; no other address's listener"
    );
    let others = held(PortPolicy::Range { low: 40_006, high: 40_020 }, TimeWaitReuse::Off);
    assert_eq!((others.now(), others.lasting), (2, 2), "only what is bound or listened on");
}

#[test]
fn groups_keep_apart_what_is_not_alike() {
    let there = ["10.0.0.1:80", "10.0.0.1:81"];
    let supply = supply(PortPolicy::Kernel, "10.0.0.2-10.0.0.4, 127.0.0.9 * 3", &there);
    let supply = supply.holding([socket("10.0.0.3:40001", there[1], Holder::Live, None)]);
    let mut told: Vec<(u64, u32, bool, u64)> = supply
        .groups()
        .iter()
        .map(|g| (g.tuples, (g.share * 12.0).round() as u32, !g.loopback, g.held.now()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 1, true, 1), (2, 3, false, 0), (5, 1, true, 0)]);
    let shares: f64 = supply.groups().iter().map(|g| g.share * g.tuples as f64).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn leases_leave_out_reserved_and_listened_on_ports() {
    let settings = settings((40_000, 41_023), "20010-20019", TimeWaitReuse::Off);
    let supply = PortSupply::new(&demand(EXPLICIT, "", &["127.0.0.1:80"]), settings);
    let ports = supply.leasable(&[20_000, 9000].into());
    assert_eq!((ports.len(), ports[0]), (89, 20_001));
    assert!(supply_kernel_leases_nothing());
}

fn supply_kernel_leases_nothing() -> bool {
    supply(PortPolicy::Kernel, "", &["127.0.0.1:80"]).leasable(&[].into()).is_empty()
}

#[test]
fn time_wait_is_rounded_up_by_the_timer_wheel() {
    let at = |ticks_per_second| PortSettings { ticks_per_second, ..settings((1, 2), "", TimeWaitReuse::Off) };
    assert_eq!(at(None).longest_time_wait(), 60.0);
    for (hz, longest) in [(100, 65.12), (250, 62.048), (300, 61.707), (1000, 64.096)] {
        assert!((at(Some(hz)).longest_time_wait() - longest).abs() < 0.001, "{hz}");
    }
    assert_eq!(at(Some(0)).longest_time_wait(), 60.0);
    assert!((at(Some(250)).mean_time_wait() - 61.024).abs() < 0.001);
}

#[test]
fn reuse_needs_timestamps_and_its_scope() {
    let with = |number, timestamps, loopback| {
        let reuse = TimeWaitReuse::from_number(number);
        PortSettings { timestamps, ..settings((1, 2), "", reuse) }.reuses(loopback)
    };
    assert!(with(1, true, false) && with(2, true, true));
    assert!(!with(2, true, false) && !with(0, true, true) && !with(1, false, true));
}

#[test]
fn the_first_pass_is_of_one_parity_less_what_is_reserved() {
    let of = |policy, reserved: &str| {
        let settings = settings((32_768, 33_791), reserved, TimeWaitReuse::Off);
        (settings.usable(policy), settings.tried_first(policy))
    };
    let reserved = "33000-33099,33050-33149,1-100,40000-50000";
    assert_eq!(of(PortPolicy::Kernel, reserved), (1024 - 150, Some(512 - 75)));
    let even: Vec<String> = (32_768..33_268).step_by(2).map(|port| port.to_string()).collect();
    assert_eq!(of(PortPolicy::Kernel, &even.join(",")), (774, Some(262)));
    assert_eq!(of(PortPolicy::NaiveBind, &even.join(",")), (774, Some(512)));
    assert_eq!(of(PortPolicy::Range { low: 33_000, high: 33_009 }, "").1, None);
}
