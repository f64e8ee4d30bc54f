//! Cost of looking at many sockets, in µs of CPU a socket.
//!
//! `cargo bench --bench observe_cost [-- SOCKETS]` makes 200,000 sockets in a network namespace of its own,
//! half of them in TIME_WAIT and half of them the two ends of open connections, and looks at them in
//! every way the sampler does. Compare the figures of one run with each other; machines and kernels differ.

use connstorm::linux::fd_table::{self, NoDescriptors};
use connstorm::linux::proc_net::ProcNet;
use connstorm::linux::sock_diag::{Cookies, Filter, SockDiag};
use connstorm::linux::tcp_state::{StateSet, TcpState};
use connstorm::linux::tuple_usage::TupleUsage;
use connstorm::linux::{netns, usage};
use connstorm::observe::{Sampler, SamplerConfig};
use connstorm::watch::{Watch, WatchConfig};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const ROUNDS: usize = 5;
/// Samples to take, one for each second that is said to have passed.
const SAMPLES: u64 = 120;
/// Connections to one destination: less than half the default port range, where connect() is fast.
const PER_DESTINATION: usize = 14_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    // `cargo test --benches` runs this too, without `--bench`: then it only has to work.
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let sockets: usize = asked.unwrap_or(if measured { 200_000 } else { 400 });
    let time_wait = sockets / 2;
    let connections = (sockets - time_wait) / 2;

    netns::enter_new().expect("a network namespace of its own");
    fd_table::raise_soft_limit().expect("a soft limit can be raised");
    let _ = netns::set_sysctl("net.ipv4.tcp_max_tw_buckets", "4000000");
    let empty = base_cost();
    let holders = hold(connections);
    let waiting = thread::spawn(move || leave_time_wait(time_wait));
    waiting.join().expect("TIME_WAIT sockets are made");
    report(empty);
    report_sampler();
    report_watch();
    drop(holders);
}

/// Threads that hold connections, both ends, until they are let go.
fn hold(connections: usize) -> Vec<Sender<()>> {
    let (soft, _) = fd_table::limits();
    let table = usize::try_from(soft.unwrap_or(1024)).unwrap_or(usize::MAX).saturating_sub(64);
    let most = (table / 2).min(PER_DESTINATION);
    let parts = connections.div_ceil(most);
    let (ready, all_ready) = channel();
    let release = (0..parts)
        .map(|part| {
            let (release, released) = channel();
            let share = most.min(connections - part * most);
            let part = NoDescriptors(Part { part, share, ready: ready.clone(), released });
            fd_table::spawn(thread::Builder::new(), part, hold_part).expect("a thread");
            release
        })
        .collect();
    for _ in 0..parts {
        all_ready.recv().expect("every part is opened");
    }
    release
}

/// One thread's connections.
struct Part {
    part: usize,
    share: usize,
    ready: Sender<()>,
    released: Receiver<()>,
}

fn hold_part(table: std::io::Result<()>, part: NoDescriptors<Part>) {
    table.expect("a private descriptor table");
    let Part { part, share, ready, released } = part.0;
    let listener = TcpListener::bind(destination(2, part)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let held: Vec<_> = (0..share)
        .map(|_| (TcpStream::connect(address).expect("a connection"), listener.accept().expect("its end").0))
        .collect();
    ready.send(()).expect("the main thread waits");
    let _ = released.recv();
    drop(held);
}

fn leave_time_wait(connections: usize) {
    for part in 0..connections.div_ceil(PER_DESTINATION) {
        let listener = TcpListener::bind(destination(3, part)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        for _ in 0..PER_DESTINATION.min(connections - part * PER_DESTINATION) {
            let client = TcpStream::connect(address).expect("a connection");
            let server = listener.accept().expect("its end").0;
            drop(client);
            drop(server);
        }
    }
}

fn destination(net: u8, part: usize) -> SocketAddr {
    SocketAddr::from(([127, net, 0, u8::try_from(part + 1).expect("at most 254 parts")], 9001))
}

/// A walk through the kernel's empty table.
fn base_cost() -> Duration {
    let mut diag = SockDiag::open().expect("sock_diag");
    median(|| {
        diag.dump(&Filter::states(StateSet::CONNECTIONS), |_| {}).expect("a dump");
    })
}

fn report(empty: Duration) {
    let mut diag = SockDiag::open().expect("sock_diag");
    let mut count = |filter: &Filter| diag.dump(filter, |_| {}).expect("a dump").sockets;
    let established = Filter::states(StateSet::NONE.with(TcpState::Established));
    let waiting = Filter::states(StateSet::TIME_WAIT);
    let all = Filter::states(StateSet::CONNECTIONS);
    let destinations = Filter { destinations: targets(), ..all.clone() };
    let one = Filter { destinations: vec![destination(2, 0)], ..all.clone() };
    let elsewhere = Filter { destinations: vec!["192.0.2.1:1".parse().expect("an address")], ..all.clone() };
    let no_state = Filter::states(StateSet::NONE.with(TcpState::Closing));
    let stripes = (0..16u16).map(|stripe| stripe * 4096..=stripe * 4096 + 511).collect();
    let striped = Filter { source_ports: stripes, ..destinations.clone() };
    let total = count(&all);
    println!("{total} sockets; a walk through an empty table {:.0} µs", empty.as_secs_f64() * 1e6);
    println!("{:44} {:>9} {:>9} {:>12} {:>12}", "dump of", "sockets", "ms", "µs/shown", "µs/present");
    let mut line = |what: &str, filter: &Filter, look: &mut dyn FnMut(&mut SockDiag, &Filter)| {
        let shown = diag.dump(filter, |_| {}).expect("a dump").sockets;
        let cost = median(|| look(&mut diag, filter)).as_secs_f64() * 1e6;
        let each = if shown == 0 { "-".to_owned() } else { format!("{:.3}", cost / shown as f64) };
        println!("{what:44} {shown:>9} {:>9.1} {each:>12} {:>12.3}", cost / 1e3, cost / total as f64);
    };
    let mut plain = |diag: &mut SockDiag, filter: &Filter| {
        diag.dump(filter, |_| {}).expect("a dump");
    };
    line("TIME_WAIT", &waiting, &mut plain);
    line("ESTABLISHED", &established, &mut plain);
    line("all", &all, &mut plain);
    line("16 destinations", &destinations, &mut plain);
    line("16 destinations, counted by tuple", &destinations, &mut |diag, filter| {
        let mut usage = TupleUsage::default();
        diag.dump(filter, |socket| usage.add(socket)).expect("a dump");
    });
    let mut cookies = Cookies::default();
    line("16 destinations, each cookie once", &destinations, &mut |diag, filter| {
        cookies.clear();
        diag.dump(filter, |socket| _ = cookies.is_new(socket)).expect("a dump");
    });
    line("16 destinations, an eighth of the ports", &striped, &mut plain);
    line("one destination", &one, &mut plain);
    line("another destination (none shown)", &elsewhere, &mut plain);
    line("another state (none shown)", &no_state, &mut plain);
    let mut files = ProcNet::open().expect("/proc/net");
    let counters = median(|| _ = files.counters().expect("counters"));
    let totals = median(|| _ = files.sockets().expect("totals"));
    println!("netstat + snmp {:.0} µs, sockstat + sockstat6 {:.0} µs", micros(counters), micros(totals));
}

/// CPU that the sampler spends of the 2 % of a core that it may, and what it sees for it. Its time is an
/// argument, so that two minutes pass at once.
fn report_sampler() {
    let config = SamplerConfig { destinations: targets(), ports: 32_768..=60_999, fraction: 0.02 };
    let mut sampler = Sampler::open(config, Duration::ZERO);
    let (mut cost, mut oldest) = (Duration::ZERO, Duration::ZERO);
    let mut last = None;
    for second in 0..SAMPLES {
        let sample = sampler.take(Duration::from_secs(second));
        cost += sample.cost;
        oldest = oldest.max(sample.age(TcpState::TimeWait).unwrap_or_default());
        last = Some(sample);
    }
    let Some(last) = last else { return };
    println!(
        "sampler, a sample a second: {:.2} % of a core; TIME_WAIT never older than {} s, {:?}; ESTABLISHED {:?}",
        100.0 * cost.as_secs_f64() / SAMPLES as f64,
        oldest.as_secs(),
        last.accuracy(TcpState::TimeWait),
        last.accuracy(TcpState::Established),
    );
}

/// CPU that `connstorm watch` spends, with four looks a second, of the hundredth of a core that it may: looks at sockets,
/// listeners, counters, programs and descriptors, and the figures that are shown and exported.
fn report_watch() {
    let mut watch = Watch::new(WatchConfig::default(), Duration::ZERO);
    let before = usage::thread_cpu();
    let (mut shown, mut oldest) = (0, 0f64);
    for quarter in 1..=SAMPLES * 4 {
        watch.look(Duration::from_millis(quarter * 250));
        if quarter % 4 == 0 {
            let look = watch.shown(50);
            shown = look.tuples_in_all;
            if quarter > 40 {
                oldest = look.tuples.iter().map(|tuple| tuple.age_s).fold(oldest, f64::max);
            }
        }
    }
    let cost = usage::thread_cpu() - before;
    println!(
        "watch, four looks a second: {:.2} % of a core; {shown} tuples, no part of a count older than {oldest:.1} s",
        100.0 * cost.as_secs_f64() / SAMPLES as f64,
    );
}

fn targets() -> Vec<SocketAddr> {
    [2, 3].into_iter().flat_map(|net| (0..8).map(move |part| destination(net, part))).collect()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut costs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let before = usage::thread_cpu();
            work();
            usage::thread_cpu() - before
        })
        .collect();
    costs.sort();
    costs[ROUNDS / 2]
}
