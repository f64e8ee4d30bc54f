//! Makes a setting true in the namespace that this process is in, and keeps it so until it is dropped.

use super::distractor::Distractor;
use super::holder::Holder;
use super::name_server;
use super::setting::{Cable, Server, Setting, Socket, Tracking};
use super::wire::{self, Wire};
use crate::linux::clock::Clock;
use crate::linux::netns::Namespace;
use crate::linux::packet::PacketSocket;
use crate::linux::{firewall, links, netns, sandbox, tracked};
use crate::protocol::Behaviour;
use crate::server::{Config, Running, Target};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Interfaces at both ends of the cable.
const HERE: &str = "client";
const THERE: &str = "server";
/// More entries than this are not made: some 320 bytes of kernel memory each.
const MOST_TRACKED: u64 = 1_100_000;

/// Reason for which a setting could not be made true.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    /// Something is missing on this host.
    #[error("{what}: {error}; {remedy}")]
    Missing {
        /// Step that was to be done.
        what: String,
        /// The kernel's answer.
        error: io::Error,
        /// Package, module or right that is missing.
        remedy: &'static str,
    },
    /// A server did not start.
    #[error("a server of the experiment did not start: {0}")]
    Server(String),
}

/// Things that keep a setting true.
#[derive(Debug, Default)]
pub(super) struct Environment {
    targets: Vec<Running>,
    processes: Vec<Child>,
    restarts: Vec<Restart>,
}

impl Drop for Environment {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended by itself needs no killing.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Makes the setting true. The servers listen when this returns, and times run from then on.
pub(super) fn set(setting: &Setting) -> Result<Environment, EnvironmentError> {
    for (name, value) in &setting.sysctls {
        netns::set_sysctl(name, value).map_err(missing(
            "a kernel parameter cannot be set",
            "this needs a kernel that has it, and in a container a /proc/sys that can be written",
        ))?;
    }
    for address in &setting.addresses {
        links::add_address("lo", *address, 32).map_err(no_link)?;
    }
    // Before the servers, whose times run from their start.
    let beside = setting.beside.map(other_program).transpose()?;
    let mut environment = Environment::default();
    match &setting.cable {
        None => environment.serve(setting)?,
        Some(cable) => environment = beyond(cable, setting)?,
    }
    environment.processes.extend(beside);
    if let Some(holder) = setting.holder {
        environment.processes.push(holding(holder)?);
    }
    if let Some((low, high)) = setting.masquerade {
        firewall::masquerade(low, high).map_err(no_firewall)?;
    }
    environment.restarts.extend(names(setting)?);
    track(setting.tracking)?;
    if let Some(nofile) = setting.nofile {
        sandbox::limit_descriptors(nofile)
            .map_err(missing("RLIMIT_NOFILE cannot be set", "it has to be below the hard limit"))?;
    }
    Ok(environment)
}

/// The hosts file and a name server, where the setting has any.
fn names(setting: &Setting) -> Result<Option<Restart>, EnvironmentError> {
    let replace = |path: &str, text: &str| {
        sandbox::replace_file(path, text).map_err(missing(
            &format!("{path} cannot be replaced"),
            "this needs the file, and the right to mount (no seccomp filter)",
        ))
    };
    if !setting.hosts.is_empty() || setting.dns.is_some() {
        let lines = setting.hosts.iter().map(|(address, name)| format!("{address} {name}\n"));
        replace("/etc/hosts", &(lines.collect::<String>() + "127.0.0.1 localhost\n"))?;
    }
    let Some(address) = setting.dns else { return Ok(None) };
    replace("/etc/resolv.conf", "nameserver 127.0.0.1\n")?;
    name_server::start(address)
        .map(|thread| Some(Restart { thread: Some(thread.0), end: thread.1, _namespace: None }))
        .map_err(|error| EnvironmentError::Server(format!("the name server: {error}")))
}

/// A second host: its namespace, the cable, and there the rules and servers of the setting.
fn beyond(cable: &Cable, setting: &Setting) -> Result<Environment, EnvironmentError> {
    let home = Namespace::current().map_err(no_link)?;
    let setting = setting.clone();
    let (client, server, wire) = (cable.client.clone(), cable.server.clone(), cable.wire);
    // A thread goes over there; the servers that it starts stay, and keep the namespace.
    let over_there = std::thread::spawn(move || {
        netns::enter_new().map_err(no_link)?;
        let there = Namespace::current().map_err(no_link)?;
        let wire = match wire {
            None => {
                home.enter().map_err(no_link)?;
                links::add_cable(HERE, THERE, &there).map_err(no_link)?;
                None
            }
            Some(wire) => Some(joined(wire, &home, &there).map_err(no_link)?),
        };
        for address in &client {
            links::add_address(HERE, *address, 24).map_err(no_link)?;
        }
        links::set_up(HERE).map_err(no_link)?;
        links::set_arp_retry(HERE, 100).map_err(no_link)?;
        there.enter().map_err(no_link)?;
        for address in &server {
            links::add_address(THERE, *address, 24).map_err(no_link)?;
        }
        links::set_up(THERE).map_err(no_link)?;
        // Every packet gets its ICMP answer, not one a second.
        netns::set_sysctl("net.ipv4.icmp_ratelimit", "0").map_err(no_link)?;
        let mut environment = Environment::default();
        environment.restarts.extend(wire);
        environment.serve(&setting)?;
        home.enter().map_err(no_link)?;
        if let Some(gateway) = server.first() {
            links::add_default_route(*gateway).map_err(no_link)?;
        }
        Ok((environment, there))
    });
    let answer = over_there.join().map_err(|_| EnvironmentError::Server("the second host".into()))?;
    // The namespace is kept by the cable's end in it only as long as something is open there.
    let (mut environment, there) = answer?;
    environment.restarts.push(Restart::keeping(there));
    Ok(environment)
}

/// A wire with something between its ends: a third namespace, in which frames are carried from one to the other. The
/// calling thread is at home when this returns.
fn joined(wire: Wire, home: &Namespace, there: &Namespace) -> io::Result<Restart> {
    const TO_CLIENT: &str = "to-client";
    const TO_SERVER: &str = "to-server";
    netns::enter_new()?;
    let middle = Namespace::current()?;
    there.enter()?;
    links::add_cable(THERE, TO_SERVER, &middle)?;
    home.enter()?;
    links::add_cable(HERE, TO_CLIENT, &middle)?;
    middle.enter()?;
    links::set_up(TO_CLIENT)?;
    links::set_up(TO_SERVER)?;
    let (client, server) = (PacketSocket::open(TO_CLIENT)?, PacketSocket::open(TO_SERVER)?);
    home.enter()?;
    let (thread, end) = wire::start(wire, client, server);
    Ok(Restart { thread: Some(thread), end, _namespace: Some(middle) })
}

impl Environment {
    /// Rules and servers, in the calling thread's namespace.
    fn serve(&mut self, setting: &Setting) -> Result<(), EnvironmentError> {
        if !setting.rules.is_empty() {
            firewall::add(&setting.rules).map_err(no_firewall)?;
        }
        for server in &setting.servers {
            match server {
                Server::Ours(config) => self.targets.push(start(config.clone())?),
                Server::Ordinary { listen, nofile, at_most } => {
                    self.processes.push(ordinary(*listen, *nofile, *at_most)?);
                }
                Server::Restarting { listen, away, socket } => {
                    self.restarts.push(Restart::start(*listen, *away, *socket)?);
                }
            }
        }
        Ok(())
    }
}

fn start(config: Config) -> Result<Running, EnvironmentError> {
    Target::start(config).map_err(|error| EnvironmentError::Server(error.to_string()))
}

/// The other program, beside the experiment.
fn other_program(distractor: Distractor) -> Result<Child, EnvironmentError> {
    let own = std::process::id().to_string();
    child(&["--beside", distractor.name(), "--generator", &own], distractor.name(), None)
}

/// Another program that holds connections.
fn holding(holder: Holder) -> Result<Child, EnvironmentError> {
    let (source, to) = (holder.source.to_string(), holder.destination.to_string());
    let count = holder.count.to_string();
    let arguments =
        ["--hold", holder.way.name(), "--hold-from", &source, "--hold-to", &to, "--hold-count", &count];
    child(&arguments, holder.way.name(), Some(u64::from(holder.count) + 64))
}

/// An ordinary server in a process of its own, under a limit on descriptors.
fn ordinary(listen: SocketAddr, nofile: u64, at_most: usize) -> Result<Child, EnvironmentError> {
    let (listen, at_most) = (listen.to_string(), at_most.to_string());
    child(&["--ordinary-server", &listen, "--at-most", &at_most], &listen, Some(nofile))
}

/// This program again, as `connstorm lab` with these arguments, in this namespace.
fn child(arguments: &[&str], named: &str, nofile: Option<u64>) -> Result<Child, EnvironmentError> {
    let failed = |error: io::Error| EnvironmentError::Server(format!("{named}: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("lab").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(nofile) = nofile {
        sandbox::limited(&mut command, nofile);
    }
    let mut child = sandbox::bind_to_us(&mut command).spawn().map_err(failed)?;
    // It says a line when it is ready, and nothing when it can't be.
    let mut ready = String::new();
    let said = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut ready));
    if ready.is_empty() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(EnvironmentError::Server(format!("{named}: it does not begin ({said:?})")));
    }
    Ok(child)
}

/// A server that is away for a while; or whatever else has to be kept until the end.
#[derive(Debug)]
struct Restart {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _namespace: Option<Namespace>,
}

impl Restart {
    fn keeping(namespace: Namespace) -> Restart {
        Restart { end: Arc::default(), thread: None, _namespace: Some(namespace) }
    }

    fn start(
        listen: SocketAddr,
        (after, for_how_long): (Duration, Duration),
        socket: Socket,
    ) -> Result<Restart, EnvironmentError> {
        let failed = |error: io::Error| EnvironmentError::Server(format!("{listen}: {error}"));
        let kept = match socket {
            Socket::Kept => Some(TcpListener::bind(listen).map_err(failed)?),
            Socket::Closed => None,
        };
        let mut first = Some(server(kept.as_ref(), listen)?);
        let end = Arc::<AtomicBool>::default();
        let (over, clock) = (end.clone(), Clock::start());
        let thread = std::thread::spawn(move || {
            let mut second = None;
            while !over.load(Relaxed) {
                let now = clock.now();
                if now >= after {
                    drop(first.take());
                }
                if now >= after + for_how_long && second.is_none() {
                    // Where it does not come back, refusals go on, and the experiment shows it.
                    second = server(kept.as_ref(), listen).ok();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(Restart { end, thread: Some(thread), _namespace: None })
    }
}

impl Drop for Restart {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A server on a socket of its own, or one that takes connections from a socket that was kept.
#[derive(Debug)]
enum Serving {
    Alone { _target: Running },
    OnKept { end: Arc<AtomicBool>, thread: Option<JoinHandle<()>> },
}

fn server(kept: Option<&TcpListener>, listen: SocketAddr) -> Result<Serving, EnvironmentError> {
    let Some(listener) = kept else {
        return Ok(Serving::Alone { _target: start(Config::new(vec![listen], Behaviour::Sink))? });
    };
    let failed = |error: io::Error| EnvironmentError::Server(format!("{listen}: {error}"));
    let listener = listener.try_clone().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let end = Arc::<AtomicBool>::default();
    let over = end.clone();
    let thread = std::thread::spawn(move || {
        let mut accepted = Vec::new();
        while !over.load(Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => accepted.push(stream),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    });
    Ok(Serving::OnKept { end, thread: Some(thread) })
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Serving::OnKept { end, thread } = self {
            end.store(true, Relaxed);
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

fn track(tracking: Tracking) -> Result<(), EnvironmentError> {
    let Tracking::Full { except } = tracking else { return Ok(()) };
    if let Some(port) = except {
        firewall::do_not_track(port).map_err(no_firewall)?;
    }
    firewall::track_connections().map_err(no_firewall)?;
    let most = netns::read_sysctl("net.netfilter.nf_conntrack_max")
        .and_then(|text| text.parse::<u64>().map_err(io::Error::other))
        .map_err(missing(
            "net.netfilter.nf_conntrack_max cannot be read",
            "this needs the kernel module nf_conntrack; as root: modprobe nf_conntrack",
        ))?;
    if most > MOST_TRACKED {
        return Err(missing(
            "connection tracking is too large to be filled here",
            "this needs net.netfilter.nf_conntrack_max of a million at most, which root can set",
        )(io::Error::other(format!("nf_conntrack_max is {most}"))));
    }
    tracked::fill(most + 1).map_err(missing(
        "connection tracking cannot be filled",
        "this needs the kernel module nf_conntrack_netlink; as root: modprobe nf_conntrack_netlink",
    ))?;
    Ok(())
}

fn no_link(error: io::Error) -> EnvironmentError {
    missing(
        "the network between two hosts cannot be made",
        "this needs the kernel module veth; as root: modprobe veth",
    )(error)
}

fn no_firewall(error: io::Error) -> EnvironmentError {
    missing(
        "a packet filter rule cannot be made",
        "this needs the kernel modules nf_tables, nft_ct, nft_reject_ipv4 and nft_numgen (no package: rules \
         are set over netlink); as root: modprobe nf_tables",
    )(error)
}

fn missing(what: &str, remedy: &'static str) -> impl Fn(io::Error) -> EnvironmentError {
    let what = what.to_owned();
    move |error| EnvironmentError::Missing { what: what.clone(), error, remedy }
}
