//! Counts of a run so far, beside its `--json` file: should the program be killed or crash, the last
//! windows are not lost with it.
//!
//! `FILE.partial` is a whole result, written anew from time to time and renamed as a whole; `connstorm report`
//! reads it. When the run's own result is written, it is taken away. A thread of its own writes it, and spends at most
//! a twentieth of its time on that; the run waits for nothing here.

use crate::cli::file_identity::Identity;
use crate::cli::replacement::Replacement;
use crate::linux::clock::Clock;
use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::report::output::{Format, Json};
use crate::result::{RunResult, WindowSummary};
use crate::run::Watched;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Shortest time between two.
const EVERY: Duration = Duration::from_secs(1);
/// Share of the time that may be spent on writing: one in so many.
const SHARE: u32 = 20;
/// Longest time between two, however long it takes to write one.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// The journal, until it is dropped.
pub(super) struct Journal {
    path: PathBuf,
    windows: Vec<WindowSummary>,
    results: Option<SyncSender<Box<RunResult>>>,
    /// Dropped to end the pause between two.
    pause: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// A journal beside this file, if it is one that is kept and a file can be made there. `None` otherwise: the
    /// run is as good without.
    pub(super) fn beside(file: &Path, plan: &Plan) -> Option<Journal> {
        let mut path = file.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let kept = matches!(Identity::of(file), Ok(Identity::File(..) | Identity::New(_)));
        let target = kept.then(|| Replacement::prepare(&path).ok()).flatten()?;
        let (results, written) = sync_channel::<Box<RunResult>>(0);
        let (pause, pausing) = channel::<()>();
        let secrets = plan.secret_texts();
        let write = move || {
            for result in written {
                let clock = Clock::start();
                // What a peer repeated is as secret here as in the result itself.
                if let Ok(text) = Json.render(&hide_in(*result, &secrets)) {
                    // A disk that is full now may not be so at the end; then it is told.
                    let _ = target.write_soon(text.as_bytes());
                }
                if pausing.recv_timeout((clock.now() * SHARE).clamp(EVERY, AT_LEAST_EVERY))
                    == Err(RecvTimeoutError::Disconnected)
                {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(write).ok()?;
        let (results, pause, thread) = (Some(results), Some(pause), Some(thread));
        Some(Journal { path, windows: Vec::new(), results, pause, thread })
    }

    /// Keeps a window when it is complete, and hands everything over if the last has been written.
    pub(super) fn look(&mut self, watched: &Watched<'_>) {
        let Some(window) = watched.last_window() else { return };
        self.windows.push(window);
        let Some(results) = &self.results else { return };
        let result = watched.so_far(self.windows.clone());
        if let Err(TrySendError::Disconnected(_)) = results.try_send(Box::new(result)) {
            self.results = None;
        }
    }

    /// Takes the file away: the result itself is written.
    pub(super) fn remove(mut self) {
        self.end();
        // One that was never written is none.
        let _ = std::fs::remove_file(&self.path);
    }

    fn end(&mut self) {
        (self.results, self.pause) = (None, None);
        if let Some(thread) = self.thread.take() {
            // A panic in it would have been a defect, and ends nothing else.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
    }
}
