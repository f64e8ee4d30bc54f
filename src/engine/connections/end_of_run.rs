//! The end of the run for what is still under way: closed, given time to come to its end, cut, or abandoned.

use super::going_on::GoingOn;
use super::{Connections, Slot};
use crate::model::{Outcome, Stamp};
use std::time::Duration;

/// State of the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The run goes on.
    No,
    /// The run is over but for counted conversations, which go on to their end for so long.
    Draining(Duration),
    /// The run is over, and sessions end when they can.
    AtOnce,
}

impl Connections {
    /// The run ended at `at`: closes every established connection as the plan says. Where the peer was to close, we do: the
    /// run has ended, and nobody failed. Counted conversations under way go on where they are given time for
    /// it ([`Connections::drain`]), until [`Connections::cut`].
    pub(in crate::engine) fn close_all(&mut self, at: Stamp) {
        self.close_but_for(at, self.drain().map_or(Ending::AtOnce, Ending::Draining));
    }

    /// Closes every established connection, and cuts conversations under way.
    pub(in crate::engine) fn cut(&mut self, at: Stamp) {
        self.close_but_for(at, Ending::AtOnce);
    }

    /// Ends whatever is still under way when the time of the run and of all its waits is over: its worker was too late
    /// to see what became of it, so that it is neither ok nor failed.
    pub(in crate::engine) fn abandon(&mut self, at: Stamp) {
        self.cut(at);
        let left: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        for key in left {
            match self.slots.get(key) {
                Some(Slot { session: Some(_), .. }) => self.abandon_session(key),
                _ => self.end_slot(key, Outcome::CutShort),
            }
        }
    }

    /// Time that conversations under way are given after the end; `None` where there are none.
    pub(in crate::engine) fn drain(&self) -> Option<Duration> {
        self.script.as_ref().and_then(|script| script.drain)
    }

    fn close_but_for(&mut self, at: Stamp, ending: Ending) {
        let open: Vec<usize> =
            self.slots.iter().filter(|(_, slot)| slot.connected.is_some()).map(|(key, _)| key).collect();
        (self.ending, self.ended) = (ending, Some(at));
        if ending == Ending::AtOnce {
            self.going_on = GoingOn::default();
        }
        for key in open {
            match self.slots.get(key) {
                Some(Slot { session: Some(_), .. }) => self.stop_session(key),
                _ => self.end_slot(key, Outcome::Ok),
            }
        }
    }
}
