//! The time before a run begins: its own target is started, names are resolved, the forecast is made.
//!
//! Each of these may take long (a name server that is silent, a plan of thousands of stages, a first look at a million
//! sockets). A thread of its own does it, so that whoever ends the run in the meantime is obeyed at once; what that thread
//! still does then is of no consequence and ends with the program.

use super::{Mustered, Prepared, StartRunError};
use crate::engine::Control;
use crate::model::Slice;
use crate::plan::Plan;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Time between two looks at whether the user has ended it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Makes everything ready for what this process does of `plan`, or gives it up as soon as `is_interrupted` says so.
///
/// # Errors
/// When the plan's own target can't start, there is nothing to connect to, or the user has ended it.
pub fn prepare(
    plan: &Plan,
    slice: Slice,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<Prepared, StartRunError> {
    let plan = plan.clone();
    waiting(move || Prepared::new(&plan, slice), is_interrupted)
}

/// Sets up the workers and the threads that watch them, or gives it up as soon as `is_interrupted` says so.
///
/// # Errors
/// When the run can't begin, or the user has ended it.
pub fn muster(
    prepared: Prepared,
    control: &Control,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<Mustered, StartRunError> {
    let control = control.clone();
    waiting(move || prepared.muster(&control), is_interrupted)
}

/// Has work done by another thread, and waits for it as long as the run is not interrupted.
fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartRunError> + Send + 'static,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<T, StartRunError> {
    let (done, prepared) = channel();
    let work = move || {
        // Nobody waits for it any more only when the run was given up.
        let _ = done.send(work());
    };
    let thread =
        thread::Builder::new().name("preparation".into()).spawn(work).map_err(StartRunError::Thread)?;
    loop {
        match prepared.recv_timeout(LOOK_EVERY) {
            _ if is_interrupted() => return Err(StartRunError::Interrupted),
            Ok(prepared) => return prepared,
            Err(RecvTimeoutError::Timeout) => {}
            // It panicked: as if the panic were here.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(StartRunError::Interrupted),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    #[test]
    fn an_end_that_comes_before_the_beginning_is_obeyed() {
        let plan = from_flags(&Overrides::to("tcp://127.0.0.1:9")).unwrap();
        assert!(matches!(prepare(&plan, Slice::WHOLE, &|| true), Err(StartRunError::Interrupted)));
        assert!(prepare(&plan, Slice::WHOLE, &|| false).is_ok());
    }
}
