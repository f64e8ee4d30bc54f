//! One careful connection: connect(), with everything that the kernel tells of it, and one exchange.

use crate::diagnose::SchemeTrial;
use crate::engine::{self, OtherSchemes, Script, handshake_and_stay, until_connected};
use crate::linux::clock::Clock;
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::socket::{CallError, Connection, IcmpError, PortChoice, Progress};
use crate::linux::tcp_info::TcpInfo;
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::model::{Cause, Errno, Failure, Lease, Stage};
use crate::protocol::Application;
use crate::result::examination::{AttemptReport, FailureReport};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Time in which a server that ends what it has taken, a proxy with a dead backend for one, does so.
const STAYS: Duration = Duration::from_secs(1);
/// Time from one look to the next at whether a connection was accepted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Longest waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection. Above the 3 s after which a host that is not there is known by ARP.
    pub connect: Duration,
    /// For each handshake above TCP.
    pub reply: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(4), reply: Duration::from_secs(3) }
    }
}

/// A connection that was tried. It stays open as long as this lives, so that the kernel can be asked about
/// its other end.
pub(super) struct Probe {
    pub(super) report: AttemptReport,
    /// Other schemes that were tried.
    pub(super) trials: Vec<SchemeTrial>,
    _stream: Option<TcpStream>,
}

/// Words said on the connections of an examination.
#[derive(Clone, Copy)]
pub(super) struct Scripts<'s> {
    /// As the target's scheme has it; `None`: bare TCP.
    pub(super) asked: Option<&'s Script>,
    /// As other schemes have it, to be tried where the target does not answer so; `None`: none is tried.
    pub(super) others: Option<&'s OtherSchemes>,
    /// The source address; `None`: the kernel chooses it.
    pub(super) source: Option<IpAddr>,
}

impl Scripts<'_> {
    /// True if the server's part is over with one reply.
    fn answers_once(&self) -> bool {
        self.asked.is_some_and(|script| script.application == Application::Http)
    }
}

/// Tries all destinations side by side: what takes longest is what one takes, not all.
pub(super) fn probe_all(
    destinations: &[SocketAddr],
    scripts: Scripts<'_>,
    is_local: impl Fn(SocketAddr) -> bool + Sync,
    timeouts: Timeouts,
) -> Vec<Probe> {
    let one = |to: SocketAddr| probe(to, scripts, is_local(to), timeouts);
    std::thread::scope(|scope| {
        let probes: Vec<_> = destinations
            .iter()
            .map(|to| (*to, std::thread::Builder::new().spawn_scoped(scope, || one(*to))))
            .collect();
        let mut found = Vec::with_capacity(probes.len());
        for (to, thread) in probes {
            // Where no thread can be had it is tried here, after the others.
            found.push(match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(probe)) => probe,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => one(to),
            });
        }
        found
    })
}

/// Tries one destination: connects, and says what the scripts say. `is_local`: whether its other end can be seen
/// on this host.
fn probe(to: SocketAddr, scripts: Scripts<'_>, is_local: bool, timeouts: Timeouts) -> Probe {
    let script = scripts.asked;
    let mut report = AttemptReport::of(to);
    let clock = Clock::start();
    let connected = connect(to, scripts.source, timeouts.connect, &mut report);
    report.connect_us = u64::try_from(clock.now().as_micros()).unwrap_or(u64::MAX);
    let stream = match connected {
        Ok(stream) => stream,
        Err(failure) => {
            // At a later stage it stood, and was reset before a word was said.
            report.connected = failure.stage == Stage::Session;
            let failure = script.map_or(failure, |script| script.in_its_place(failure));
            report.failure = Some(FailureReport::from(failure));
            return Probe { report, trials: Vec::new(), _stream: None };
        }
    };
    report.connected = true;
    // A reply of HTTP is all that there is, and its connection may end with it.
    let stay = if scripts.answers_once() { Duration::ZERO } else { STAYS };
    let mut shaken = handshake_and_stay(&stream, to, script, stay);
    if is_local {
        let has_answered = !shaken.first.is_empty() || shaken.tls.is_some();
        let is_silent =
            !has_answered && shaken.failure.is_none_or(|failure| failure.cause == Cause::TimedOut);
        report.accepted = accepted(&stream, to, if is_silent { timeouts.reply } else { Duration::ZERO });
    }
    // A server that serves one connection after the other would not come to the next.
    let ended = shaken.failure.is_some_and(|failure| failure.cause != Cause::TimedOut);
    let stream = if ended { None } else { Some(stream) };
    let mut trials = Vec::new();
    if let (Some(failure), Some(others)) = (shaken.failure, scripts.others) {
        trials = others.tried_after(failure, to, || engine::connect(to, scripts.source, timeouts.connect));
        report.tell_of(&trials);
    }
    if shaken.failure.is_none() && script.is_none() {
        shaken.failure = stream.as_ref().and_then(late_end);
    }
    report.failure = shaken.failure.map(FailureReport::from);
    report.tls = shaken.tls;
    report.greeting = (!shaken.first.is_empty()).then(|| shown(&shaken.first));
    report.reply = shaken.reply;
    Probe { report, trials, _stream: stream }
}

/// The end of a connection that stood, where the server ends it within a second.
fn late_end(mut stream: &TcpStream) -> Option<Failure> {
    let clock = Clock::start();
    let mut buffer = [0; 4096];
    loop {
        let left = STAYS.saturating_sub(clock.now());
        if left.is_zero() {
            return None;
        }
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut buffer)) {
            Ok(0) => return Some(Failure::new(Stage::Session, Cause::ClosedEarly)),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Some(Failure::from_errno(Stage::Session, Errno::of(&error).unwrap_or(Errno::EIO)));
            }
        }
    }
}

/// The first line of text, or the first bytes in hexadecimal, for a person: at most 60 characters.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let is_printable = |byte: &u8| (0x20..=0x7e).contains(byte);
    if !line.is_empty() && line.iter().all(is_printable) {
        return line.iter().take(MOST).map(|byte| char::from(*byte)).collect();
    }
    let hex: Vec<String> = bytes.iter().take(MOST / 3).map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}

fn connect(
    to: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
    report: &mut AttemptReport,
) -> Result<TcpStream, Failure> {
    let lease = Lease { source, port: None, destination: to };
    let socket = Connection::bind(&lease, PortChoice::AtConnect).map_err(Failure::from)?;
    // Without it a refusal by a firewall looks like one by the host.
    let _ = socket.keep_icmp_errors(to, true);
    let done = socket.connect(to).and_then(|progress| match progress {
        Progress::Established => Ok(true),
        Progress::Pending => until_connected(&socket, limit),
    });
    report.source = socket.local_address();
    if let Ok(info) = TcpInfo::of(&socket) {
        let resent = info.total_retransmits.unwrap_or(0).max(u32::from(info.retransmits));
        report.syn_retransmits = resent;
    }
    match done {
        Ok(true) => {}
        Ok(false) => return Err(Failure::new(Stage::Connect, Cause::TimedOut)),
        Err(error) => return Err(explained(error, socket.icmp_error(), report)),
    }
    let _ = socket.keep_icmp_errors(to, false);
    let stream = TcpStream::from(OwnedFd::from(socket));
    let failed =
        |error: io::Error| Failure::from_errno(Stage::Session, Errno::of(&error).unwrap_or(Errno::EIO));
    stream.set_nonblocking(false).map_err(failed)?;
    Ok(stream)
}

fn explained(error: CallError, icmp: Option<IcmpError>, report: &mut AttemptReport) -> Failure {
    let mut failure = Failure::from(error);
    if let Some(icmp) = icmp {
        report.icmp = Some((icmp.icmp_type, icmp.icmp_code));
        report.icmp_from = icmp.offender;
        if failure.cause == Cause::Refused {
            failure.cause = Cause::RefusedIcmp;
        }
    }
    failure
}

/// True if the server has taken a local connection: its end then belongs to a program. Looks until it has,
/// or the time is over; `None` where its end can't be seen.
fn accepted(stream: &TcpStream, to: SocketAddr, limit: Duration) -> Option<bool> {
    let own = stream.local_addr().ok()?;
    // Not SYN_RECV: with TCP_DEFER_ACCEPT a server takes a connection when its first byte has come.
    let states = StateSet::NONE.with(TcpState::Established).with(TcpState::CloseWait);
    let filter = Filter {
        source_ports: vec![to.port()..=to.port()],
        destinations: vec![own],
        ..Filter::states(states)
    };
    let (mut diag, clock) = (SockDiag::open().ok()?, Clock::start());
    loop {
        let mut taken = None;
        diag.dump(&filter, |socket| taken = Some(socket.inode != 0)).ok()?;
        if taken != Some(false) || clock.now() >= limit {
            return taken;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
