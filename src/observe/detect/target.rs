//! Trouble of the target: refusals, and an accept queue that is full.

use super::{ObservedWindow, RunContext};
use crate::model::{Cause, Evidence, Onset, OnsetKind};

/// Onsets that were told already.
#[derive(Debug, Default)]
pub(super) struct TargetTrouble {
    refusals_told: bool,
    queue_told: bool,
    /// Attempts with a SYN sent again, at the last look.
    syn_retransmits: u64,
}

impl TargetTrouble {
    pub(super) fn look(&mut self, view: &ObservedWindow<'_>, context: &RunContext, onsets: &mut Vec<Onset>) {
        onsets.extend(self.refusals(view));
        onsets.extend(self.accept_queue(view, context));
    }

    fn refusals(&mut self, view: &ObservedWindow<'_>) -> Option<Onset> {
        if self.refusals_told {
            return None;
        }
        let refused = |cause| matches!(cause, Cause::Refused | Cause::RefusedIcmp);
        let kinds = view.totals.failures().iter().filter(|kind| refused(kind.failure.cause));
        let first = kinds.min_by_key(|kind| (kind.first_at, kind.first_ordinal))?;
        self.refusals_told = true;
        let lease = first.samples.first().map(|sample| sample.lease);
        let evidence = Evidence::default()
            .with("failure", first.failure.to_string())
            .with("refused_so_far", first.count)
            .with("opened_so_far", view.totals.opened());
        Some(Onset {
            ordinal: Some(first.first_ordinal),
            source: lease.and_then(|lease| lease.source),
            destination: lease.map(|lease| lease.destination),
            ..Onset::new(OnsetKind::Refusals, first.first_at, evidence)
        })
    }

    /// Only where the listener is on this host, and only with a connection of the run that waits for an
    /// answer, was answered late, or failed: the counters are every listener's of the namespace, and the drops of
    /// the run's own listeners are asked for beside them.
    fn accept_queue(&mut self, view: &ObservedWindow<'_>, context: &RunContext) -> Option<Onset> {
        let counters = view.delta?.counters?;
        let again = view.totals.syn_retransmits();
        let ours = view.in_syn_sent(context) > 0 || view.window.failed > 0 || again > self.syn_retransmits;
        self.syn_retransmits = again;
        let own = view.delta?.listener_drops;
        let of_another = own == Some(0);
        if self.queue_told
            || !context.target_is_local
            || counters.listen_overflows == 0
            || !ours
            || of_another
        {
            return None;
        }
        self.queue_told = true;
        let evidence = Evidence::default()
            .with("listen_overflows_in_this_window", counters.listen_overflows)
            .with("listen_drops_in_this_window", counters.listen_drops)
            .with_known("dropped_by_its_own_listener", own);
        Some(Onset::new(OnsetKind::AcceptQueueFull, view.now(), evidence))
    }
}
