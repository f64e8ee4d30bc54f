//! Looks at failing tuples, on a thread of its own that sleeps until a worker tells a first failure.
//!
//! It has the ordinary priority: what holds the ports may be gone in a quarter of a second, and a thread of the
//! lowest priority would not get its turn within that on a busy machine. It looks a few times in a run.

use crate::diagnose::Moment;
use crate::engine::FirstFailure;
use crate::host::moment::{Circumstances, MomentLook};
use crate::model::{Cause, Failure, Lease};
use crate::observe::Hurry;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Looks at tuples that fail in the same way.
const OF_A_KIND: usize = 4;
/// Looks in a run.
const MOST: usize = 16;

/// The run's own side of it.
#[derive(Debug)]
pub(super) struct Moments {
    thread: JoinHandle<Vec<Moment>>,
}

impl Moments {
    /// Starts the thread; first failures are told it by the sender.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(look: MomentLook, hurry: Hurry) -> io::Result<(Moments, Sender<FirstFailure>)> {
        let (to_thread, failures) = channel();
        let thread = thread::Builder::new().name("moments".into());
        let thread = thread.spawn(move || work(&look, &failures, &hurry))?;
        Ok((Moments { thread }, to_thread))
    }

    /// Looks that were made, by time. All senders have to be gone.
    ///
    /// # Errors
    /// A panic in the thread, in words.
    pub(super) fn finish(self) -> Result<Vec<Moment>, String> {
        let joined = self.thread.join();
        joined.map_err(|_| "the look at a failing tuple panicked: this is a defect of connstorm".to_owned())
    }
}

fn work(look: &MomentLook, failures: &Receiver<FirstFailure>, hurry: &Hurry) -> Vec<Moment> {
    let mut seen: Vec<Moment> = Vec::new();
    for first in failures {
        if !is_worth_a_look(&seen, first.failure, first.lease) {
            continue;
        }
        let mut moment = Moment::new(first.failure, first.lease, first.ordinal, first.at);
        moment.after_the_end = hurry.is_called_for();
        let now = || first.clock.now();
        let keep_on = || !hurry.is_called_for();
        seen.push(look.look(moment, &Circumstances { now: &now, keep_on: &keep_on }));
    }
    seen.sort_by_key(|moment| (moment.failed_at, moment.ordinal));
    seen
}

/// True if a failure shows something that was not looked at: another kind, or another way.
fn is_worth_a_look(seen: &[Moment], failure: Failure, lease: Lease) -> bool {
    let of_a_kind = || seen.iter().filter(|moment| moment.failure == failure);
    let way = |lease: &Lease| (lease.source, lease.destination);
    // A name that has no address has no tuple.
    failure.cause != Cause::NameResolution
        && seen.len() < MOST
        && of_a_kind().count() < OF_A_KIND
        && of_a_kind().all(|moment| way(&moment.lease) != way(&lease))
}
