//! Targets of ours, started in the test's own process.

use connstorm::server::{Behaviour, Config, Counters, Kind, Running, Target};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// A target on a port of loopback, with two workers.
pub(crate) fn start(kind: Kind, behaviour: Behaviour) -> (Running, SocketAddr) {
    start_with(kind, behaviour, |_| {})
}

/// As [`start`], with more said about it.
pub(crate) fn start_with(
    kind: Kind,
    behaviour: Behaviour,
    change: impl FnOnce(&mut Config),
) -> (Running, SocketAddr) {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let mut config = Config { kind, workers: NonZeroU32::new(2), ..Config::new(listen, behaviour) };
    change(&mut config);
    let running = Target::start(config).unwrap();
    let address = running.addresses()[0];
    (running, address)
}

/// Waits for what is bound to come, for as long as a busy machine may need.
pub(crate) fn eventually(running: &Running, what: impl Fn(&Counters) -> bool) -> Counters {
    for _ in 0..1000 {
        let counters = running.counters();
        if what(&counters) {
            return counters;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to that: {:?}", running.counters());
}
