use super::*;
use crate::linux::netns;
use crate::observe::budget::Slice;
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

const DESTINATION: &str = "127.0.0.1:9001";

fn destination() -> SocketAddr {
    DESTINATION.parse().unwrap()
}

fn source(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn connect(listener: &TcpListener, from: IpAddr, port: u16) -> (TcpStream, TcpStream) {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_reuse_address(true).unwrap();
    client.bind(&SocketAddr::new(from, port).into()).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    (client.into(), listener.accept().unwrap().0)
}

fn sampler(fraction: f64) -> Sampler {
    let config = SamplerConfig { destinations: vec![destination()], ports: 20_000..=21_023, fraction };
    Sampler::open(config, Stamp::ZERO)
}

#[test]
fn a_sample_tells_sockets_counters_and_totals() {
    netns::for_test(|| {
        let listener = TcpListener::bind(destination()).unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:9002").unwrap();
        let mut sampler = sampler(1.0);
        let before = sampler.take(Stamp::ZERO);
        assert_eq!(before.tuples(), []);
        let held: Vec<_> = (20_000..20_300).map(|port| connect(&listener, source(2), port)).collect();
        (20_300..20_400).for_each(|port| drop(connect(&listener, source(2), port)));
        (20_000..20_050).for_each(|port| drop(connect(&listener, source(3), port)));
        let _foreign = connect(&elsewhere, source(2), 20_500);
        let after = sampler.take(Stamp::from_secs(1));
        assert_eq!(after.tuple(source(2), destination()).get(TcpState::Established), 300);
        assert_eq!(after.tuple(source(2), destination()).get(TcpState::TimeWait), 100);
        assert_eq!(after.tuple(source(3), destination()).get(TcpState::TimeWait), 50);
        assert_eq!(after.tuples().iter().map(|row| row.sockets.total()).sum::<u64>(), 450);
        assert_eq!(after.accuracy(TcpState::TimeWait), Some(Accuracy::Exact));
        assert_eq!(after.age(TcpState::Established), Some(Duration::ZERO));
        assert_eq!(after.sockets.unwrap().time_wait, 150);
        let delta = after.since(&before);
        assert_eq!(delta.counters.unwrap().active_opens, 451);
        assert_eq!(delta.over, Duration::from_secs(1));
        assert!(after.cost > Duration::ZERO);
        assert_eq!(sampler.unseen(), [] as [String; 0]);
        drop(held);
    });
}

#[test]
fn without_budget_a_sample_carries_what_was_seen_before_and_its_age() {
    netns::for_test(|| {
        let listener = TcpListener::bind(destination()).unwrap();
        let _held = connect(&listener, source(2), 20_000);
        let mut sampler = sampler(0.0);
        assert_eq!(sampler.take(Stamp::ZERO).accuracy(TcpState::Established), None);
        sampler.take_whole(Stamp::from_secs(1));
        let later = sampler.take(Stamp::from_secs(6));
        assert_eq!(later.age(TcpState::Established), Some(Duration::from_secs(5)));
        assert_eq!(later.age(TcpState::TimeWait), Some(Duration::from_secs(5)));
        assert_eq!(later.tuple(source(2), destination()).get(TcpState::Established), 1);
        assert!(later.sockets.is_some() && later.counters.is_some());
    });
}

#[test]
fn slices_approximate_and_say_so() {
    netns::for_test(|| {
        let listener = TcpListener::bind(destination()).unwrap();
        // In order, as leases are: a contiguous half of the ports is taken.
        let held: Vec<_> = (20_000..20_512).map(|port| connect(&listener, source(2), port)).collect();
        let mut sampler = sampler(1.0);
        for part in 0..4 {
            sampler.look(Look::Established(Slice { part, of: 4 }), YieldCpu::new(false), Stamp::from_secs(1));
            let established = sampler.established.clone().unwrap();
            assert_eq!(established.accuracy, Accuracy::Approximate { seen: 256, of: 1024 });
            assert_eq!(established.rows.len(), 1);
            assert_eq!(established.rows[0].sockets.get(TcpState::Established), 512);
        }
        assert!(sampler.passing.is_none());
        drop(held);
    });
}

#[test]
fn under_churn_no_port_is_counted_twice() {
    netns::for_test(|| {
        let listener = TcpListener::bind(destination()).unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let churn = std::thread::spawn(move || {
            for port in (20_000..21_024).cycle() {
                drop(connect(&listener, source(2), port));
                if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut sampler = sampler(1.0);
        for n in 0..200 {
            let sample = sampler.take_whole(Stamp::from_secs(n));
            let ports = sample.tuple(source(2), destination()).total();
            assert!(ports <= 1024, "{ports} of 1024 ports");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        churn.join().unwrap();
    });
}

#[test]
fn a_look_that_is_to_hurry_breaks_off_and_what_was_seen_before_stands() {
    netns::for_test(|| {
        let listener = TcpListener::bind(destination()).unwrap();
        let held: Vec<_> = (20_000..20_900).map(|port| connect(&listener, source(2), port)).collect();
        let hurry = Hurry::default();
        let mut sampler = sampler(1.0).hurried_by(hurry.clone());
        let whole = sampler.take_whole(Stamp::from_secs(1));
        drop(held);
        hurry.call();
        let later = sampler.take_whole(Stamp::from_secs(2));
        assert_eq!(later.passing, whole.passing);
        assert_eq!(later.age(TcpState::Established), Some(Duration::from_secs(1)));
        assert!(later.counters.is_some(), "totals are still read");
        sampler.look(Look::Whole, YieldCpu::new(true), Stamp::from_secs(3));
        assert_eq!(sampler.passing, whole.passing, "900 sockets in TIME_WAIT were not looked at to the end");
    });
}
