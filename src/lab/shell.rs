//! The user's own program in a namespace, with what the kernel shows of it.
//!
//! Three processes of ours, so that nothing is left whatever happens, and so that the program is told
//! nothing:
//!
//! ```text
//! start ──► watch: confined; settings; a look at the sockets, again and again
//!             └─► guard: number 1 of a namespace of processes ──► the program
//! ```
//!
//! When the program ends, so does the guard, and with it whatever else the program has started. When one of
//! us is killed, the kernel kills those below. Signals from the terminal are the program's: it alone says
//! what they do.

use super::isolated::{LabError, not_started};
use crate::linux::clock::Clock;
use crate::linux::firewall::{Rule, Verdict};
use crate::linux::sandbox::Processes;
use crate::linux::tcp_state::TcpState;
use crate::linux::{firewall, netns, sandbox};
use crate::model::OnsetKind;
use crate::result::OnsetReport;
use crate::watch::{Closeness, Company, Watch, WatchConfig};
use rustix::process::WaitOptions;
use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// From one look at the sockets to the next, which costs some 0.2 ms. Closer at first: a program that meets
/// its limit often ends within a few milliseconds.
const STEP: Duration = Duration::from_millis(20);
const STEP_AT_FIRST: Duration = Duration::from_millis(1);
const AT_FIRST: Duration = Duration::from_secs(2);
/// Share of a core that looking may cost; beyond it not every socket is counted each time.
const WATCH_BUDGET: f64 = 0.05;
/// The exit code of a shell that finds no such program, and of one that can't start it (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// Settings of the namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellSettings {
    /// The first and the last port that connect() chooses from.
    pub ports: Option<(u16, u16)>,
    /// `net.ipv4.tcp_tw_reuse`.
    pub tw_reuse: Option<u8>,
    /// `RLIMIT_NOFILE` of the program, soft and hard.
    pub nofile: Option<u64>,
    /// `net.core.somaxconn`: what every backlog is cut to.
    pub backlog: Option<u32>,
    /// Addresses of 127/8 whose segments are dropped, as a security group does.
    pub deny_sources: Vec<Ipv4Addr>,
}

/// Starts this program again, confined, with these arguments, and waits. Returns the exit code.
///
/// # Errors
/// When no namespace can be made, or the signals can't be left to the program.
pub fn start(arguments: &[OsString]) -> Result<u8, LabError> {
    leave_signals_to_the_program().map_err(LabError::Start)?;
    let mut command = Command::new(std::env::current_exe().map_err(LabError::Start)?);
    command.args(arguments);
    let status = sandbox::confine(&mut command, Processes::Own)
        .status()
        .map_err(|error| not_started(error, "shell -- CMD"))?;
    Ok(code(status))
}

/// Inside: makes the settings, starts the guard with these arguments, and watches. Each onset is told to
/// `tell` when it begins. Returns the program's exit code.
///
/// # Errors
/// A setting that the kernel refuses, by its name; or that the guard can't be started.
pub fn watch(
    settings: &ShellSettings,
    arguments: &[OsString],
    mut tell: impl FnMut(&OnsetReport),
) -> io::Result<(u8, String)> {
    leave_signals_to_the_program()?;
    set(settings)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    sandbox::bind_to_us(&mut command);
    if let Some(nofile) = settings.nofile {
        sandbox::limited(&mut command, nofile);
    }
    let clock = Clock::start();
    // Nobody else is in the namespace, and the program may be gone soon.
    let config = WatchConfig {
        company: Company::Alone,
        closeness: Closeness::WhileFew,
        budget: WATCH_BUDGET,
        ..WatchConfig::default()
    };
    let mut watch = Watch::new(config, clock.now());
    let mut guard = command.spawn()?;
    let mut told: Vec<OnsetKind> = Vec::new();
    loop {
        let ended = guard.try_wait()?;
        for onset in watch.look(clock.now()) {
            // One program, in a sandbox: each kind of trouble is told once, at its first tuple.
            if !told.contains(&onset.kind) {
                told.push(onset.kind);
                tell(&OnsetReport::from(&onset));
            }
        }
        if let Some(status) = ended {
            return Ok((code(status), summary(&watch)));
        }
        std::thread::sleep(if clock.now() < AT_FIRST { STEP_AT_FIRST } else { STEP });
    }
}

/// Fullest state of a tuple, in words.
fn summary(watch: &Watch) -> String {
    match watch.fullest(1).first() {
        None => "no connection stayed for long enough to be seen".into(),
        Some(tuple) => format!(
            "{} to {}: {} of {} ports in use at most, {} of them in TIME_WAIT",
            tuple.source,
            tuple.destination,
            tuple.ports_used,
            tuple.ports_usable,
            tuple.sockets.get(TcpState::TimeWait)
        ),
    }
}

/// As number 1 of a namespace of processes: runs the program to its end. Returns its exit code, and what
/// kept it from starting.
pub fn guard(program: &[OsString]) -> (u8, Option<String>) {
    let signals = leave_signals_to_the_program();
    // Where a container hides parts of /proc this is refused. The program then sees the numbers of the
    // processes outside, and can't touch them.
    let _ = sandbox::mount_own_proc();
    let Some((name, arguments)) = program.split_first() else {
        return (NOT_FOUND, Some("there is no program to run".into()));
    };
    match signals.and_then(|()| Command::new(name).args(arguments).spawn()).and_then(|child| ended(&child)) {
        Ok(code) => (code, None),
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED };
            (code, Some(format!("cannot start '{}': {error}", name.to_string_lossy())))
        }
    }
}

/// Waits for the program's end. Number 1 is the parent of all whose own has ended: they are buried here.
fn ended(program: &Child) -> io::Result<u8> {
    loop {
        let ended = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::empty()))?;
        if let Some((pid, status)) = ended
            && pid.as_raw_nonzero().get().unsigned_abs() == program.id()
        {
            let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
            return Ok(exit_code(code));
        }
    }
}

fn set(settings: &ShellSettings) -> io::Result<()> {
    if let Some((low, high)) = settings.ports {
        netns::set_sysctl("net.ipv4.ip_local_port_range", &format!("{low} {high}"))?;
    }
    if let Some(reuse) = settings.tw_reuse {
        netns::set_sysctl("net.ipv4.tcp_tw_reuse", &reuse.to_string())?;
    }
    if let Some(backlog) = settings.backlog {
        netns::set_sysctl("net.core.somaxconn", &backlog.to_string())?;
    }
    let rule = |&source| Rule { port: None, source: Some(source), verdict: Verdict::Drop };
    let rules: Vec<Rule> = settings.deny_sources.iter().map(rule).collect();
    if !rules.is_empty() {
        firewall::add(&rules).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "--deny-source needs the kernel module nf_tables ({error}); as root: modprobe nf_tables"
                ),
            )
        })?;
    }
    Ok(())
}

/// Signals of the terminal go to all of its foreground group. A handler that does nothing, unlike being
/// ignored, is not handed down to a program that is started.
fn leave_signals_to_the_program() -> io::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// The exit code, and 128 + its number for a signal, as shells have it.
fn code(status: ExitStatus) -> u8 {
    exit_code(status.code().or_else(|| Some(128 + status.signal()?)))
}

fn exit_code(code: Option<i32>) -> u8 {
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}
