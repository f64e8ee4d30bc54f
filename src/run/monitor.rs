//! The monitor thread: sampler and detectors, beside the engine's callback and not in it.
//!
//! Invariant: whoever has a window for it hands it over and goes on. However long a look at the kernel takes, the
//! run's own thread waits for it only after the engine has ended, and then tells it to hurry. The thread has the
//! lowest priority, so that it takes nothing from workers on a machine that has no core to spare, and is in the
//! network namespace of the thread that started it.

use crate::linux::clock::Clock;
use crate::linux::priority;
use crate::model::{Onset, Stamp, Tally, WindowRow};
use crate::observe::Hurry;
use crate::result::KernelWindow;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Work of the monitor on a window.
pub(super) trait Watch: Send + 'static {
    /// Looks, after a window, and tells what began and what was seen. Of windows that waited, only the newest is
    /// worth a look at the kernel.
    fn window(&mut self, window: &Complete, look: Look<'_>) -> Told;
}

/// A complete window.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) row: WindowRow,
    /// Everything counted up to its end.
    pub(super) totals: Tally,
    /// Time between the start of the monitor's clock and the run's.
    skew: Stamp,
}

/// Extent of the look that a window gets.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    /// A newer window waits: the last sample has to do.
    None,
    /// The kernel is looked at; the time since the start of the run is asked for when it is.
    At(&'a dyn Fn() -> Stamp),
}

/// Outcome of a window.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) onsets: Vec<Onset>,
    pub(super) seen: Option<KernelWindow>,
}

/// The run's own side of the monitor.
#[derive(Debug)]
pub(super) struct Monitor<W> {
    clock: Clock,
    hurry: Hurry,
    to_thread: Sender<Complete>,
    thread: JoinHandle<W>,
    told: Arc<Mutex<Told>>,
    /// Part of it that was taken over.
    known: Told,
}

impl<W: Watch> Monitor<W> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(watch: W, hurry: Hurry) -> io::Result<Monitor<W>> {
        let (to_thread, windows) = channel();
        let told = Arc::new(Mutex::new(Told::default()));
        let (theirs, clock) = (told.clone(), Clock::start());
        let thread = thread::Builder::new().name("monitor".into()).spawn(move || {
            // A lower priority is refused to nobody; where it is, the run is only watched less politely.
            let _ = priority::lowest();
            work(watch, &windows, &theirs, clock)
        })?;
        Ok(Monitor { clock, hurry, to_thread, thread, told, known: Told::default() })
    }

    /// Hands a window over, which ended `elapsed` after the start of the run.
    pub(super) fn window(&self, row: &WindowRow, totals: &Tally, elapsed: Stamp) {
        let skew = self.clock.now().saturating_sub(elapsed);
        // It is gone only after a panic, which the end of the run tells.
        let _ = self.to_thread.send(Complete { row: row.clone(), totals: totals.clone(), skew });
    }

    /// Takes over what the thread has told since the last time: all onsets, and what was seen last.
    pub(super) fn news(&mut self) -> (&[Onset], Option<&KernelWindow>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.known.onsets.append(&mut told.onsets);
        self.known.seen = told.seen.take().or(self.known.seen.take());
        (&self.known.onsets, self.known.seen.as_ref())
    }

    /// The watch, when it has been through all windows. The engine has ended: looks are hurried.
    ///
    /// # Errors
    /// A panic in the thread, in words.
    pub(super) fn finish(self) -> Result<W, String> {
        self.hurry.call();
        drop(self.to_thread);
        self.thread.join().map_err(|_| "the monitor panicked: this is a defect of connstorm".to_owned())
    }
}

fn work<W: Watch>(mut watch: W, windows: &Receiver<Complete>, to: &Mutex<Told>, clock: Clock) -> W {
    while let Ok(first) = windows.recv() {
        let waiting: Vec<Complete> = std::iter::once(first).chain(windows.try_iter()).collect();
        let newest = waiting.len() - 1;
        for (n, window) in waiting.iter().enumerate() {
            let now = || clock.now().saturating_sub(window.skew);
            let look = if n == newest { Look::At(&now) } else { Look::None };
            let Told { onsets, seen } = watch.window(window, look);
            let mut told = to.lock().unwrap_or_else(PoisonError::into_inner);
            told.onsets.extend(onsets);
            told.seen = seen.or(told.seen.take());
        }
    }
    watch
}

#[cfg(test)]
mod tests;
