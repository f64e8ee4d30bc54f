//! Flag by which a run is ended from outside: every worker looks at it on its own timer.
//!
//! Workers have private descriptor tables, so that no pipe and no waker could reach them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a run early. Clones act on the same run.
#[derive(Debug, Clone, Default)]
pub struct Control {
    interrupted: Arc<AtomicBool>,
}

impl Control {
    /// Ends the run as soon as each worker comes round, which is within 100 ms or one attempt.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// True if the run is to end now.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
