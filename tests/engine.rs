//! The engine against real listeners on loopback: counts and kinds, never durations.

use connstorm::engine::{Control, Destinations, Progress, RunError, run};
use connstorm::model::{Cause, Errno, Run, SkipReason, Stage};
use connstorm::plan::units::Rate;
use connstorm::plan::{
    Arrivals, Close, Connection, Lifetime, Load, Plan, PortPolicy, RateStage, Reconnect, Scheme, Source,
    Target, Until,
};
use std::collections::HashSet;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A listener that drains every connection and remembers who came.
struct Server {
    address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, peers) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let seen = peers.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                seen.lock().unwrap().push(stream.peer_addr().unwrap());
                std::thread::Builder::new()
                    .stack_size(32 * 1024)
                    .spawn(move || while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {})
                    .unwrap();
            }
        });
        Server { address, peers }
    }

    /// Peers that the target saw, once it has seen so many.
    fn peers(&self, count: usize) -> Vec<SocketAddr> {
        for _ in 0..500 {
            let peers = self.peers.lock().unwrap();
            if peers.len() >= count {
                return peers.clone();
            }
            drop(peers);
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the listener saw {} of {count}", self.peers.lock().unwrap().len());
    }
}

fn plan(address: SocketAddr) -> Plan {
    Plan {
        name: "test".into(),
        seed: 1,
        target: Some(Target {
            scheme: Scheme::Tcp,
            host: address.ip().to_string(),
            ports: vec![address.port()],
        }),
        source: Source { addresses: "127.0.0.2-127.0.0.4".parse().unwrap(), ports: PortPolicy::Kernel },
        load: closed(4, 300),
        connection: Connection {
            lifetime: Lifetime::Fixed(Duration::ZERO),
            close: Close::Fin,
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
        },
        session: connstorm::plan::Session::default(),
        spacing: Default::default(),
        data: Vec::new(),
        populations: Vec::new(),
        secrets: connstorm::plan::Secrets::default(),
        serve: None,
        workers: NonZeroU32::new(2),
        memory: None,
        thresholds: Vec::new(),
        abort_when: Vec::new(),
    }
}

fn closed(slots: u64, connections: u64) -> Load {
    Load {
        arrivals: Arrivals::Closed { slots, duration: Some(Duration::from_secs(20)) },
        max_open: None,
        connections: Some(connections),
        until: Until::Time,
    }
}

fn open(rate: f64, over: Duration) -> Load {
    let rate = Rate::per_second(rate).unwrap();
    let stages = vec![RateStage { from: rate, to: rate, over }];
    Load { arrivals: Arrivals::Open(stages), max_open: None, connections: None, until: Until::Time }
}

fn start(plan: &Plan, control: &Control, watch: impl FnMut(&Progress<'_>)) -> Result<Run, RunError> {
    let destinations = Destinations::resolve(plan.target.as_ref().unwrap());
    run(plan, &destinations, control, None, watch)
}

fn go(plan: &Plan) -> Run {
    let run = start(plan, &Control::default(), |_| {}).unwrap();
    assert_eq!(run.conservation(), Ok(()));
    assert_eq!(run.worker_errors, Vec::<String>::new());
    run
}

#[test]
fn a_closed_loop_makes_its_attempts_from_every_source() {
    let server = Server::start();
    let run = go(&plan(server.address));
    assert_eq!((run.planned, run.tally.ok(), run.tally.failed()), (300, 300, 0));
    let peers = server.peers(300);
    for source in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        let source: IpAddr = source.parse().unwrap();
        assert_eq!(peers.iter().filter(|peer| peer.ip() == source).count(), 100, "{source}");
    }
    assert_eq!(run.tally.latencies.connect.count(), 300);
}

#[test]
fn an_open_loop_makes_exactly_its_planned_arrivals() {
    let server = Server::start();
    let run = go(&Plan { load: open(500.0, Duration::from_secs(1)), ..plan(server.address) });
    assert_eq!((run.planned, run.tally.ok()), (500, 500));
    assert_eq!(run.tally.latencies.lateness.count(), 500);
    assert_eq!(run.tally.latencies.connect_from_due.count(), 500);
}

#[test]
fn a_number_of_attempts_is_made_in_full_however_late() {
    let server = Server::start();
    let mut plan = plan(server.address);
    // All of them are due within 2 ms, which nobody can keep.
    plan.load = Load { connections: Some(2000), until: Until::Number, ..open(1e6, Duration::from_millis(2)) };
    let run = go(&plan);
    assert_eq!((run.tally.started(), run.tally.ok(), run.tally.skipped()), (2000, 2000, 0));
}

/// The count at the ends of windows, one worker's beside the other's, was 0 where 100 were held in between.
#[test]
fn the_most_open_at_once_is_exact_over_all_workers() {
    let server = Server::start();
    let mut plan = Plan { load: closed(100, 100), ..plan(server.address) };
    plan.connection.lifetime = Lifetime::Fixed(Duration::from_millis(600));
    let run = go(&plan);
    assert_eq!((run.planned, run.tally.ok(), run.held_max), (100, 100, 100));
}

/// What is held when the run ends just at the end of a window was told twice, the second time of no time at all.
#[test]
fn no_window_is_without_length() {
    let server = Server::start();
    let mut plan = Plan { load: open(100.0, Duration::from_secs(2)), ..plan(server.address) };
    plan.connection.lifetime = Lifetime::UntilEnd;
    let run = go(&plan);
    let ends: Vec<_> = run.windows.iter().map(|window| window.at).collect();
    assert!(ends.len() >= 3 && ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
}

/// A client that connects again is no arrival of the plan.
#[test]
fn what_is_connected_again_was_not_planned() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut plan = Plan { load: open(50.0, Duration::from_secs(1)), ..plan(address) };
    let backoff = Duration::from_millis(50);
    plan.session.reconnect = Some(Reconnect { backoff, max: backoff, ..Reconnect::default() });
    let run = go(&plan);
    let again = run.tally.traffic.reconnects;
    assert!(run.planned == 50 && again > 0, "{} planned, {again} again", run.planned);
    assert_eq!(run.planned + again, run.tally.started() + run.tally.skipped());
}

/// A worker that got no CPU at the last moment skipped what was due in it.
#[test]
fn arrivals_due_at_the_last_moment_are_late_and_not_skipped() {
    let server = Server::start();
    // 300 fall due in the run's only millisecond, and no number of attempts is asked for.
    let run = go(&Plan { load: open(300_000.0, Duration::from_millis(1)), ..plan(server.address) });
    assert_eq!((run.planned, run.tally.ok(), run.tally.skipped()), (300, 300, 0));
    assert_eq!(run.tally.latencies.lateness.count(), 300);
}

#[test]
fn explicit_ports_are_those_of_the_range_each_once() {
    // Of two workers each has 60 ports: which of them meets its 61st attempt first, the machine decides.
    for (workers, first) in [(1, 120..=120), (2, 120..=121)] {
        let server = Server::start();
        let mut plan = plan(server.address);
        plan.workers = NonZeroU32::new(workers);
        plan.source.ports = PortPolicy::Explicit { low: 21_000, high: 21_039 };
        plan.connection.lifetime = Lifetime::UntilEnd;
        plan.load = open(1000.0, Duration::from_millis(500));
        plan.load.connections = Some(130);
        let run = go(&plan);
        // 3 sources × 40 ports; the others find none free.
        assert_eq!((run.tally.ok(), run.tally.failed(), run.held_max), (120, 10, 120));
        let failure = &run.tally.failures()[0];
        assert_eq!((failure.failure.stage, failure.failure.cause), (Stage::Lease, Cause::NoFreePort));
        assert!(first.contains(&failure.first_ordinal), "{workers}: {}", failure.first_ordinal);
        let peers: HashSet<SocketAddr> = server.peers(120).into_iter().collect();
        assert_eq!(peers.len(), 120);
        assert!(peers.iter().all(|peer| (21_000..=21_039).contains(&peer.port())));
    }
}

#[test]
fn held_connections_live_until_the_end_and_more_are_skipped() {
    let server = Server::start();
    let mut plan = plan(server.address);
    plan.connection.lifetime = Lifetime::UntilEnd;
    plan.load = open(400.0, Duration::from_millis(500));
    plan.load.max_open = Some(150);
    plan.load.connections = Some(200);
    let run = go(&plan);
    assert_eq!((run.tally.ok(), run.held_max), (150, 150));
    assert_eq!(run.tally.skipped_for(SkipReason::MaxOpen), 50);
}

/// Slots that `max_open` has no room for: with two workers one of them had none at all, and waited for ever.
#[test]
fn a_closed_loop_uses_no_more_slots_than_may_be_open() {
    let server = Server::start();
    for lifetime in [Duration::ZERO, Duration::from_millis(2)] {
        let mut plan = plan(server.address);
        plan.load = Load { max_open: Some(1), ..closed(4, 100) };
        plan.connection.lifetime = Lifetime::Fixed(lifetime);
        let run = go(&plan);
        assert_eq!((run.planned, run.tally.ok(), run.tally.skipped()), (100, 100, 0));
        assert!(run.elapsed < Duration::from_secs(20), "it ended by its count");
    }
}

#[test]
fn a_refusal_is_told_and_slots_back_off() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut plan = plan(address);
    plan.load = Load {
        arrivals: Arrivals::Closed { slots: 4, duration: Some(Duration::from_millis(600)) },
        max_open: None,
        connections: None,
        until: Until::Time,
    };
    let run = go(&plan);
    let [refused] = run.tally.failures() else { panic!("one kind") };
    assert_eq!(refused.failure.errno, Some(Errno::ECONNREFUSED));
    assert_eq!(refused.failure.cause, Cause::Refused);
    assert_eq!((run.tally.ok(), refused.count), (0, run.tally.started()));
    assert_eq!(run.tally.backoffs(), refused.count);
    // Without back-off it would be tens of thousands (FIELD.md §6).
    assert!(refused.count < 200, "{}", refused.count);
    assert_eq!(run.tally.latencies.connect.count(), 0);
}

#[test]
fn the_peers_close_is_awaited_or_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut plan = plan(address);
    plan.connection.close = Close::Peer;
    plan.load = closed(4, 40);
    assert_eq!(go(&plan).tally.ok(), 40);

    plan.connection.close = Close::Fin;
    plan.connection.lifetime = Lifetime::UntilEnd;
    plan.load = open(100.0, Duration::from_millis(400));
    let run = go(&plan);
    let [early] = run.tally.failures() else { panic!("one kind") };
    assert_eq!((early.failure.stage, early.failure.cause), (Stage::Session, Cause::ClosedEarly));
    assert_eq!(early.count, 40);
}

#[test]
fn a_peer_that_never_closes_fails_the_close_stage() {
    let server = Server::start();
    let mut plan = plan(server.address);
    plan.connection.close = Close::Peer;
    plan.connection.lifetime = Lifetime::Fixed(Duration::from_millis(100));
    plan.load = closed(4, 8);
    let run = go(&plan);
    let [silent] = run.tally.failures() else { panic!("one kind") };
    assert_eq!(
        (silent.failure.stage, silent.failure.cause, silent.count),
        (Stage::Close, Cause::TimedOut, 8)
    );
}

#[test]
fn a_full_backlog_times_out_and_the_run_ends() {
    // Backlog 1 is the least std can ask for through socket2; nobody accepts.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut plan = plan(address);
    plan.connection.connect_timeout = Duration::from_millis(300);
    plan.connection.lifetime = Lifetime::UntilEnd;
    plan.load = open(40.0, Duration::from_millis(500));
    let run = go(&plan);
    let [timed_out] = run.tally.failures() else { panic!("{:?}", run.tally.failures()) };
    assert_eq!((timed_out.failure.stage, timed_out.failure.cause), (Stage::Connect, Cause::TimedOut));
    assert_eq!(run.tally.ok(), 2, "backlog + 1");
    assert_eq!(timed_out.count, 18);
}

#[test]
fn a_name_that_does_not_resolve_fails_every_attempt_and_no_more() {
    let mut plan = plan("127.0.0.1:1".parse().unwrap());
    plan.target.as_mut().unwrap().host = "name.that.does.not.exist.invalid".into();
    plan.load = open(100.0, Duration::from_millis(200));
    let run = go(&plan);
    let [unresolved] = run.tally.failures() else { panic!("one kind") };
    assert_eq!((unresolved.failure.cause, unresolved.count), (Cause::NameResolution, 20));
}

#[test]
fn a_source_that_is_not_ours_fails_at_bind() {
    let server = Server::start();
    let mut plan = plan(server.address);
    plan.source.addresses = "192.0.2.1".parse().unwrap();
    plan.load = closed(1, 3);
    let run = go(&plan);
    let [not_local] = run.tally.failures() else { panic!("one kind") };
    assert_eq!((not_local.failure.stage, not_local.failure.cause), (Stage::Bind, Cause::AddressNotAvailable));
}

#[test]
fn an_interruption_ends_the_run_and_the_books_still_balance() {
    let server = Server::start();
    let mut plan = plan(server.address);
    plan.connection.lifetime = Lifetime::UntilEnd;
    plan.load = open(200.0, Duration::from_secs(60));
    let control = Control::default();
    let run = start(&plan, &control, |progress| {
        if progress.tally.started() > 100 {
            control.interrupt();
        }
    })
    .unwrap();
    assert!(run.interrupted);
    assert_eq!(run.conservation(), Ok(()));
    assert!(run.tally.ok() > 100 && run.planned < 2000, "{} of {}", run.tally.ok(), run.planned);
}

#[test]
fn a_port_range_that_the_kernel_would_ignore_is_refused() {
    let mut plan = plan("127.0.0.1:1".parse().unwrap());
    plan.source.ports = PortPolicy::Range { low: 1024, high: 2048 };
    let error = start(&plan, &Control::default(), |_| {}).unwrap_err();
    assert!(matches!(error, RunError::RangeOutside { .. }));
    assert!(error.to_string().contains("explicit:1024-2048"), "{error}");
}
