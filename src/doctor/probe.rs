//! One careful connection: connect(), with everything that the kernel tells of it, and one exchange.

use crate::engine::{Script, handshake};
use crate::linux::clock::Clock;
use crate::linux::epoll::{Epoll, Events, Interest};
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
    _stream: Option<TcpStream>,
}

/// Words said on the connections of an examination.
#[derive(Clone, Copy)]
pub(super) struct Scripts<'s> {
    /// As the target's scheme has it; `None`: bare TCP.
    pub(super) asked: Option<&'s Script>,
    /// TLS and nothing more, to be tried where plain text is not answered; `None` where the scheme has TLS itself.
    pub(super) tls: Option<&'s Script>,
    /// A plain HTTP request, to be tried where TLS is not answered; `None` where the scheme has no TLS.
    pub(super) plain: Option<&'s Script>,
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
            return Probe { report, _stream: None };
        }
    };
    report.connected = true;
    let mut shaken = handshake(&stream, to, script);
    if is_local {
        let has_answered = !shaken.first.is_empty() || shaken.tls.is_some();
        let is_silent =
            !has_answered && shaken.failure.is_none_or(|failure| failure.cause == Cause::TimedOut);
        report.accepted = accepted(&stream, to, if is_silent { timeouts.reply } else { Duration::ZERO });
    }
    if let (Some(failure), Some(tls)) = (shaken.failure, scripts.tls)
        && is_no_answer(failure)
    {
        report.speaks_tls = speaks_tls(to, tls, scripts.source, timeouts);
    }
    if let (Some(failure), Some(plain)) = (shaken.failure, scripts.plain)
        && is_no_answer_to_tls(failure)
    {
        report.speaks_plain = speaks_plain(to, plain, scripts.source, timeouts);
    }
    // A reply of HTTP is all that there is, and its connection may end with it.
    if shaken.failure.is_none() && !scripts.answers_once() {
        shaken.failure = late_end(&stream);
    }
    report.failure = shaken.failure.map(FailureReport::from);
    report.tls = shaken.tls;
    report.greeting = (!shaken.first.is_empty()).then(|| shown(&shaken.first));
    report.reply = shaken.reply;
    Probe { report, _stream: Some(stream) }
}

/// True if plain text was not answered at all, as it is by many TLS servers.
fn is_no_answer(failure: Failure) -> bool {
    failure.stage == Stage::Handshake
        && matches!(failure.cause, Cause::ClosedEarly | Cause::Reset | Cause::TimedOut)
}

/// True if TLS was not answered at all, as it is by many servers of plain text.
fn is_no_answer_to_tls(failure: Failure) -> bool {
    failure.stage == Stage::Tls
        && matches!(failure.cause, Cause::ClosedEarly | Cause::Reset | Cause::TimedOut)
}

/// True if a plain request, on a connection of its own, is answered with HTTP. `None` where no connection could be had.
fn speaks_plain(to: SocketAddr, plain: &Script, source: Option<IpAddr>, timeouts: Timeouts) -> Option<bool> {
    let stream = connect(to, source, timeouts.connect, &mut AttemptReport::of(to)).ok()?;
    Some(handshake(&stream, to, Some(plain)).first.starts_with(b"HTTP/"))
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

/// True if a ClientHello, on a connection of its own, is answered with TLS: a handshake, or an alert. `None` where no
/// connection could be had.
fn speaks_tls(to: SocketAddr, tls: &Script, source: Option<IpAddr>, timeouts: Timeouts) -> Option<bool> {
    let stream = connect(to, source, timeouts.connect, &mut AttemptReport::of(to)).ok()?;
    let shaken = handshake(&stream, to, Some(tls));
    let is_alert = shaken.failure.is_some_and(|failure| failure.cause == Cause::TlsAlert);
    Some(is_alert || shaken.tls.is_some())
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
        Progress::Pending => wait(&socket, limit),
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

/// Waits for a handshake; whether it was completed in time.
fn wait(socket: &Connection, limit: Duration) -> Result<bool, CallError> {
    let failed = |error: io::Error| CallError {
        stage: Stage::Connect,
        errno: Errno::of(&error).unwrap_or(Errno::EIO),
    };
    let set = Epoll::new().map_err(failed)?;
    set.add(socket, 0, Interest::WRITABLE).map_err(failed)?;
    let (clock, mut events) = (Clock::start(), Events::with_capacity(1));
    loop {
        let left = limit.saturating_sub(clock.now());
        // What there is to know is asked of the socket itself.
        let _ = set.wait(&mut events, Some(left)).map_err(failed)?;
        match socket.progress()? {
            Progress::Established => return Ok(true),
            Progress::Pending if left.is_zero() => return Ok(false),
            Progress::Pending => {}
        }
    }
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
