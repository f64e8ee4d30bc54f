//! A program that is started to be watched: signals of ours are passed on to it, and it is ended when its time is over.

use crate::model::Stamp;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Time that a program has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Signals that are passed on, each with its flag.
    signals: Vec<(Signal, Arc<AtomicBool>)>,
    asked_to_end: Option<Stamp>,
}

impl Program {
    /// Starts a program.
    ///
    /// # Errors
    /// `NotFound` where there is no such program; what fork and exec return.
    pub fn start(words: &[OsString]) -> io::Result<Program> {
        let (name, arguments) =
            words.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program"))?;
        // The terminal sends these two to all of its foreground group: to the program as well.
        let by_terminal = io::stdin().is_terminal();
        let all = [
            (SIGINT, Signal::INT),
            (SIGQUIT, Signal::QUIT),
            (SIGTERM, Signal::TERM),
            (SIGHUP, Signal::HUP),
            (SIGUSR1, Signal::USR1),
            (SIGUSR2, Signal::USR2),
        ];
        let mut signals = Vec::new();
        for (number, signal) in all {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(number, flag.clone())?;
            if !(by_terminal && matches!(number, SIGINT | SIGQUIT)) {
                signals.push((signal, flag));
            }
        }
        let child = Command::new(name).args(arguments).spawn()?;
        Ok(Program { child, signals, asked_to_end: None })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Passes on what has come; its exit code once it has ended: 128 and the number of a signal, as shells have it.
    ///
    /// # Errors
    /// What `wait` returns.
    pub fn ended(&mut self) -> io::Result<Option<u8>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(code(status)));
        }
        for (signal, flag) in &self.signals {
            if flag.swap(false, Relaxed) {
                // It may have ended just now.
                let _ = kill_process(Pid::from_child(&self.child), *signal);
            }
        }
        Ok(None)
    }

    /// Asks it to end, and ends it when it takes too long.
    pub fn end(&mut self, now: Stamp) {
        let pid = Pid::from_child(&self.child);
        // It may have ended just now: then there is nobody to ask, and its end is seen next.
        let _ = match self.asked_to_end {
            None => {
                self.asked_to_end = Some(now);
                kill_process(pid, Signal::TERM)
            }
            Some(since) if now.saturating_sub(since) > GRACE => kill_process(pid, Signal::KILL),
            Some(_) => Ok(()),
        };
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}
