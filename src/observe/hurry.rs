//! A sign to a look under way that somebody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clones give and see the same sign.
#[derive(Debug, Clone, Default)]
pub struct Hurry(Arc<AtomicBool>);

impl Hurry {
    /// True if it is time to come to an end.
    pub fn is_called_for(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks looks under way to come to an end.
    pub fn call(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
