//! The target against real sockets: what a peer sees of each behaviour, and how many it holds.

use connstorm::linux::fd_table;
use connstorm::server::{Behaviour, Config, Counters, Kind, Limits, Running, StartError, Target};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::thread::sleep;
use std::time::Duration;

fn config(behaviour: Behaviour) -> Config {
    Config { workers: NonZeroU32::new(2), ..Config::new(vec!["127.0.0.1:0".parse().unwrap()], behaviour) }
}

fn start(behaviour: Behaviour) -> (Running, SocketAddr) {
    let running = Target::start(config(behaviour)).unwrap();
    let address = running.addresses()[0];
    (running, address)
}

/// Waits for what is bound to come, for as long as a busy machine may need.
fn eventually(running: &Running, what: impl Fn(&Counters) -> bool) -> Counters {
    for _ in 0..1000 {
        let counters = running.counters();
        if what(&counters) {
            return counters;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("it never came to that: {:?}", running.counters());
}

/// Bytes with no short period, so that loss, doubling and disorder all show.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

/// True if the kernel holds a socket with these ends in TIME_WAIT (state 06 of `/proc/net/tcp`).
fn in_time_wait(local: SocketAddr, remote: SocketAddr) -> bool {
    let end = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from(*v4.ip()).swap_bytes(), v4.port()),
        SocketAddr::V6(_) => unreachable!("these tests use IPv4"),
    };
    let wanted = format!("{} {} 06", end(local), end(remote));
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&wanted)
}

#[test]
fn echo_returns_a_megabyte_in_odd_chunks_intact() {
    let (running, address) = start(Behaviour::Echo);
    let sent = noise(1_000_003);
    let mut stream = TcpStream::connect(address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        let mut rest = &copy[..];
        for size in [1, 7, 1021, 16_384, 16_385, 65_537].into_iter().cycle() {
            let (chunk, later) = rest.split_at(size.min(rest.len()));
            writer.write_all(chunk).unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "{} of {} bytes came back, or not the same", received.len(), sent.len());
    let counters = running.stop();
    assert_eq!((counters.accepted, counters.closed_by_peer, counters.open), (1, 1, 0));
    assert_eq!((counters.bytes_in, counters.bytes_out), (1_000_003, 1_000_003));
}

#[test]
fn a_reader_that_does_not_read_costs_one_read_of_memory() {
    let (running, address) = start(Behaviour::Echo);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    let sent = noise(100_000);
    let mut total = 0u64;
    let mut refusals_in_a_row = 0;
    // Until the kernel's buffers are full in both directions, and stay so.
    while refusals_in_a_row < 20 {
        match stream.write(&sent[(total % 100_000) as usize..]) {
            Ok(n) => (total, refusals_in_a_row) = (total + n as u64, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals_in_a_row += 1;
                sleep(Duration::from_millis(10));
            }
        }
    }
    let counters = running.counters();
    assert!(counters.bytes_in - counters.bytes_out <= 16 * 1024, "{counters:?}");
    assert!(counters.bytes_in < total, "reading went on although writing was blocked");

    // And once it reads, it gets everything.
    stream.set_nonblocking(false).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut received = 0usize;
    loop {
        let n = stream.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        assert!((received..received + n).zip(&buffer).all(|(at, &byte)| byte == sent[at % 100_000]));
        received += n;
    }
    assert_eq!(received as u64, total);
}

#[test]
fn sink_takes_everything_and_sends_nothing() {
    let (running, address) = start(Behaviour::Sink);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&noise(300_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received.is_empty());
    let counters = running.stop();
    assert_eq!((counters.bytes_in, counters.bytes_out, counters.closed_by_peer), (300_000, 0, 1));
}

#[test]
fn discard_closes_first_and_keeps_time_wait() {
    let (running, address) = start(Behaviour::Discard);
    let mut stream = TcpStream::connect(address).unwrap();
    let local = stream.local_addr().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    assert!(in_time_wait(address, local), "the server's end is not in TIME_WAIT");
    assert!(!in_time_wait(local, address), "the client's end is in TIME_WAIT");
    let counters = running.stop();
    assert_eq!((counters.accepted, counters.closed_by_us), (1, 1));
}

#[test]
fn reset_sends_rst() {
    let (running, address) = start(Behaviour::Reset);
    let mut stream = TcpStream::connect(address).unwrap();
    let local = stream.local_addr().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(!in_time_wait(address, local) && !in_time_wait(local, address));
    assert_eq!(running.stop().closed_by_us, 1);
}

#[test]
fn close_after_bytes_returns_them_first() {
    let (running, address) = start(Behaviour::CloseAfterBytes(100_000));
    let mut stream = TcpStream::connect(address).unwrap();
    let sent = noise(100_000);
    stream.write_all(&sent[..99_999]).unwrap();
    let mut received = vec![0; 99_999];
    stream.read_exact(&mut received).unwrap();
    stream.write_all(&sent[99_999..]).unwrap();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    assert_eq!(running.stop().closed_by_us, 1);
}

#[test]
fn close_after_a_time_closes_and_skips_who_left_before() {
    let (running, address) = start(Behaviour::CloseAfter(Duration::from_millis(300)));
    // Frees its slot, which the next one takes and must keep for its full time.
    drop(TcpStream::connect(address).unwrap());
    eventually(&running, |counters| counters.closed_by_peer == 1);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"still here?").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"still here?");
    let counters = running.stop();
    assert_eq!((counters.accepted, counters.closed_by_peer, counters.closed_by_us), (2, 1, 1));
}

#[test]
fn silent_never_reads_and_notices_how_the_peer_leaves() {
    let (running, address) = start(Behaviour::Silent);
    let mut polite = TcpStream::connect(address).unwrap();
    let rude = TcpStream::connect(address).unwrap();
    polite.write_all(b"anyone?").unwrap();
    polite.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(polite.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let counters = eventually(&running, |counters| counters.accepted == 2);
    assert_eq!((counters.open, counters.bytes_in, counters.bytes_out), (2, 0, 0));
    drop(polite);
    rustix::net::sockopt::set_socket_linger(&rude, Some(Duration::ZERO)).unwrap();
    drop(rude);
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.closed_by_peer, counters.reset), (1, 1));
}

#[test]
fn a_full_backlog_takes_one_more_than_its_length_and_no_other() {
    let running = Target::start(Config { backlog: 2, ..config(Behaviour::FullBacklog) }).unwrap();
    let address = running.addresses()[0];
    let wait = Duration::from_millis(300);
    let answers: Vec<_> = (0..5).map(|_| TcpStream::connect_timeout(&address, wait)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|e| e.kind() == ErrorKind::TimedOut));
    assert_eq!(running.stop(), Counters::default());
}

#[test]
fn slow_accept_leaves_connections_in_the_queue() {
    let (running, address) = start(Behaviour::SlowAccept { every: Duration::from_secs(3600) });
    let streams: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    eventually(&running, |counters| counters.accepted == 1);
    sleep(Duration::from_millis(50));
    assert_eq!(running.counters().accepted, 1);
    drop((streams, running));

    let (running, address) = start(Behaviour::SlowAccept { every: Duration::from_millis(5) });
    let mut streams: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(running.stop().accepted, 20);
}

#[test]
fn a_peers_reset_is_told_apart_from_its_fin() {
    let (running, address) = start(Behaviour::Echo);
    let (rude, polite) = (TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap());
    eventually(&running, |counters| counters.accepted == 2);
    rustix::net::sockopt::set_socket_linger(&rude, Some(Duration::ZERO)).unwrap();
    drop((rude, polite));
    let counters = eventually(&running, |counters| counters.open == 0);
    assert_eq!((counters.reset, counters.closed_by_peer, counters.failed), (1, 1, 0));
}

/// Opens as many connections, all of which must be accepted, held, and closed by `stop`.
fn hold(config: Config, connections: u64) -> Counters {
    fd_table::raise_soft_limit().unwrap();
    let running = Target::start(config).unwrap();
    let address = running.addresses()[0];
    let mut streams: Vec<_> = (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
    let counters = eventually(&running, |counters| counters.open == connections);
    assert_eq!(counters.accept_errors, 0);
    for stream in streams.iter_mut().step_by(97) {
        stream.write_all(b"here").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
    }
    let last = running.stop();
    assert_eq!((last.open, last.closed_at_stop), (0, connections));
    assert!(streams.iter_mut().all(|stream| stream.read(&mut [0]).unwrap() == 0));
    assert!(TcpStream::connect(address).is_err(), "the port is still open after stop()");
    counters
}

#[test]
fn five_thousand_connections_spread_over_tables_that_hold_a_thousand() {
    let limit = NonZeroU32::new(1000);
    let config = Config { workers: NonZeroU32::new(6), descriptors: limit, ..config(Behaviour::Echo) };
    let counters = hold(config, 5000);
    assert_eq!(counters.workers, 6);
}

#[test]
fn workers_are_added_as_tables_fill_up() {
    let limit = NonZeroU32::new(500);
    let config = Config { workers: None, descriptors: limit, ..config(Behaviour::Echo) };
    let counters = hold(config, 5000);
    assert!((11..=24).contains(&counters.workers), "{counters:?}");
    assert!(counters.full_workers >= 9, "{counters:?}");
}

#[test]
fn a_full_target_leaves_connections_in_the_queue_until_others_close() {
    let descriptors = NonZeroU32::new(9 + 10);
    let config = Config { workers: NonZeroU32::new(1), descriptors, ..config(Behaviour::Echo) };
    let running = Target::start(config).unwrap();
    let mut first: Vec<_> = (0..15).map(|_| TcpStream::connect(running.addresses()[0]).unwrap()).collect();
    let rest = first.split_off(10);
    eventually(&running, |counters| counters.full_workers == 1);
    assert_eq!(running.counters().accepted, 10);
    drop(first);
    let counters = eventually(&running, |counters| counters.accepted == 15);
    assert_eq!((counters.full_workers, counters.accept_errors), (0, 0));
    drop(rest);
}

#[test]
fn a_worker_out_of_descriptors_backs_off_and_counts() {
    // The limit is lowered behind the target's back, in a process that it can't hurt: this one, again.
    if std::env::var_os("CONNSTORM_TEST_LOWERS_ITS_LIMIT").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_worker_out_of_descriptors_backs_off_and_counts"])
            .env("CONNSTORM_TEST_LOWERS_ITS_LIMIT", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let running = Target::start(config(Behaviour::Echo)).unwrap();
    let set_limit = |current| {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current, maximum }).unwrap();
    };
    let before = fd_table::limits().0;
    let address = running.addresses()[0].into();
    // Made before the limit falls, which is the process's own too.
    let late = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    set_limit(Some(3));
    late.connect(&address).unwrap();
    let counters = eventually(&running, |counters| counters.accept_errors >= 2);
    assert_eq!(counters.accepted, 0);
    sleep(Duration::from_millis(500));
    let errors = running.counters().accept_errors;
    assert!(errors < 40, "two workers spin: {errors} failures of accept() in half a second");
    set_limit(before);
    eventually(&running, |counters| counters.accepted == 1);
}

#[test]
fn several_addresses_share_the_workers() {
    let listen = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"].map(|text| text.parse().unwrap()).to_vec();
    let running = Target::start(Config { listen, ..config(Behaviour::Echo) }).unwrap();
    let addresses = running.addresses().to_vec();
    assert_eq!(addresses.len(), 3);
    for address in &addresses {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(running.counters().accepted, 3);
    drop(running);
    assert!(addresses.iter().all(|address| TcpStream::connect(address).is_err()));
}

#[test]
fn a_stopped_target_frees_its_port_for_the_next() {
    let (running, address) = start(Behaviour::Echo);
    let held = TcpStream::connect(address).unwrap();
    eventually(&running, |counters| counters.open == 1);
    drop(running);
    let again = Target::start(Config { listen: vec![address], ..config(Behaviour::Echo) }).unwrap();
    assert_eq!(again.addresses(), [address]);
    drop(held);
}

#[test]
fn a_target_can_be_stopped_from_a_thread_with_another_table() {
    let (running, address) = start(Behaviour::Echo);
    let stop = |table: std::io::Result<()>, running: fd_table::NoDescriptors<Running>| {
        table.unwrap();
        running.0.stop()
    };
    let stopper = fd_table::NoDescriptors(running);
    let counters = fd_table::spawn(std::thread::Builder::new(), stopper, stop).unwrap();
    assert_eq!(counters.join().unwrap().workers, 2);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_cannot_start_says_why() {
    let told = |config| Target::start(config).map(|_| ()).unwrap_err().to_string();
    let few = Config { descriptors: NonZeroU32::new(9), ..config(Behaviour::Echo) };
    assert!(told(few).contains("may hold 9 descriptors and needs 10"));
    let nowhere = Config { cpu: Some(100_000), ..config(Behaviour::Echo) };
    assert!(told(nowhere).starts_with("cannot run on CPU 100000"));
    let missing = Config { cpu: Some(1023), ..config(Behaviour::Echo) };
    assert!(matches!(Target::start(missing), Err(StartError::Cpu { cpu: 1023, .. })));
    let (_running, address) = start(Behaviour::Echo);
    let taken = Config { listen: vec![address], ..config(Behaviour::Echo) };
    assert!(matches!(Target::start(taken), Err(StartError::Taken(at)) if at == address));
}

#[test]
fn workers_run_on_the_cpu_asked_for() {
    let running = Target::start(Config { cpu: Some(0), ..config(Behaviour::Echo) }).unwrap();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let allowed_of = |task: std::path::PathBuf| {
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        field("Name:\ttarget-").and(field("Cpus_allowed_list:\t"))
    };
    assert!(tasks.filter_map(allowed_of).filter(|list| list == "0").count() >= 2);
    drop(running);
}

#[test]
fn a_client_that_is_slow_with_what_it_began_is_closed_and_an_idle_one_is_not() {
    let limits = Limits { slow_client: Duration::from_millis(300), ..Limits::default() };
    let kind = Kind::Http;
    let running = Target::start(Config { kind, limits, ..config(Behaviour::Echo) }).unwrap();
    let address = running.addresses()[0];
    let idle = TcpStream::connect(address).unwrap();
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost").unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(slow.read(&mut [0; 8]).unwrap(), 0, "it is closed");
    let closed = eventually(&running, |counters| counters.closed == 1);
    assert_eq!((closed.closed_as_slow, closed.open), (1, 1));
    drop(idle);
}

#[test]
fn unfinished_messages_beyond_the_limit_of_all_are_closed_and_the_others_stay() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let kind = Kind::Http;
    let running = Target::start(Config { kind, limits, ..config(Behaviour::Echo) }).unwrap();
    let address = running.addresses()[0];
    let small = TcpStream::connect(address).unwrap();
    let begin = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n";
    let mut large = TcpStream::connect(address).unwrap();
    large.write_all(begin).unwrap();
    // It is reset in the midst of it.
    let _ = large.write_all(&vec![b'x'; 8_000_000]);
    let closed = eventually(&running, |counters| counters.closed == 1);
    assert_eq!((closed.closed_for_memory, closed.open), (1, 1));
    // What it held is free for the next.
    let mut next = TcpStream::connect(address).unwrap();
    next.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    next.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0; 12];
    next.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(small);
}
