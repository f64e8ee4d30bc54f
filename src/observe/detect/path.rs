//! Trouble on the way: SYNs sent again, connection tracking nearly full.

use super::{ObservedWindow, RunContext};
use crate::model::{Evidence, Onset, OnsetKind};

/// SYNs sent again in a window that can't be chance.
const RETRANSMITS: u64 = 3;

/// Onsets that were told already.
#[derive(Debug, Default)]
pub(super) struct PathTrouble {
    retransmits_told: bool,
    conntrack_told: bool,
}

impl PathTrouble {
    pub(super) fn look(&mut self, view: &ObservedWindow<'_>, context: &RunContext, onsets: &mut Vec<Onset>) {
        onsets.extend(self.retransmits(view, context));
        onsets.extend(self.conntrack(view));
    }

    /// The namespace's counter says it soonest, but it is everybody's: ours are only those of attempts
    /// that had to wait for it, or of connections to our destinations that are in SYN_SENT now.
    fn retransmits(&mut self, view: &ObservedWindow<'_>, context: &RunContext) -> Option<Onset> {
        if self.retransmits_told {
            return None;
        }
        let syn_sent = view.in_syn_sent(context);
        let counted = view.delta.and_then(|delta| delta.counters).map_or(0, |c| c.syn_retransmits);
        let ours = view.totals.syn_retransmits();
        if ours < RETRANSMITS && (syn_sent == 0 || counted < RETRANSMITS) {
            return None;
        }
        self.retransmits_told = true;
        let evidence = Evidence::default()
            .with("attempts_with_a_syn_sent_again", ours)
            .with("in_syn_sent", syn_sent)
            .with("tcp_syn_retrans_in_this_window", counted);
        Some(Onset::new(OnsetKind::SynRetransmits, view.now(), evidence))
    }

    fn conntrack(&mut self, view: &ObservedWindow<'_>) -> Option<Onset> {
        let conntrack = view.sample.conntrack.filter(|_| !self.conntrack_told)?;
        let drops = view.delta.and_then(|delta| delta.conntrack_drops).unwrap_or_default();
        let lost = drops.drop + drops.early_drop;
        // Losses have other causes, too: a bad packet, SNAT without a port, on whatever way.
        if !conntrack.is_nearly_full() {
            return None;
        }
        self.conntrack_told = true;
        let evidence = Evidence::default()
            .with("nf_conntrack_count", conntrack.count)
            .with("nf_conntrack_max", conntrack.max)
            .with("dropped_in_this_window", lost);
        Some(Onset::new(OnsetKind::ConntrackNearFull, view.now(), evidence))
    }
}
