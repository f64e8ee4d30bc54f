//! Ctrl-C, SIGTERM, SIGHUP and SIGQUIT, as a flag that the main thread looks at.
//!
//! A flag and no pipe: a pipe's number would mean nothing in the private descriptor tables of workers.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// True if the user asked the program to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the first SIGINT, SIGTERM, SIGHUP (the terminal is gone) or SIGQUIT only sets the flag, and the second ends the program at
    /// once, with 130, as signals do that nobody handles.
    ///
    /// # Errors
    /// What `sigaction` returns.
    pub(super) fn watch() -> io::Result<Interrupt> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            // In this order: the first must not see the flag that the second sets.
            let exit = super::Exit::Interrupted as i32;
            signal_hook::flag::register_conditional_shutdown(signal, exit, asked.clone())?;
            signal_hook::flag::register(signal, asked.clone())?;
        }
        Ok(Interrupt { asked })
    }

    /// True if it was asked to end.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Relaxed)
    }
}
