//! Connection tracking of this host: a table that is full, and address translation that has no port left.
//!
//! A dropped packet alone is no full table: the kernel counts there as well what found no port to be translated to, and
//! what is no valid packet. A table is full only by its count, looked at when the first attempt timed out; and none of
//! it matters to connections that are left out of it (NOTRACK).

use super::claim::{Claim, Owner, Span};
use super::rivals::TIMEOUTS;
use super::{ConntrackNow, Facts, FailureFact, FindingId, Moment};
use crate::linux::proc_net::ConntrackDrops;
use crate::model::{Cause, Evidence, Side, Stage};

/// SYNs of one attempt, at most: sent again after 1, 2, 3, 4 and 5 s (`tcp_syn_linear_timeouts`).
const SYNS_OF_AN_ATTEMPT: u64 = 6;

/// The table when the first attempt timed out, and what was lost during the run.
#[derive(Debug, Clone, Copy)]
struct Table {
    count: u64,
    max: u64,
    /// Lost between the start and the end of the run, of all connections; `None`: not counted.
    lost: Option<ConntrackDrops>,
    /// A connection of the failing tuple has an entry.
    tracks_us: Option<bool>,
    /// The table grew by one entry for each connection of this run.
    grew_with_us: bool,
}

/// Connections with as many new entries that are no chance.
const FEWEST: u64 = 20;

/// True if there were as many new entries at the first time-out as attempts before it.
fn grew_with_us(moment: &Moment, now: &ConntrackNow) -> bool {
    let attempts = moment.ordinal;
    let grew = now.before.map(|before| now.count.saturating_sub(before));
    attempts >= FEWEST && grew.is_some_and(|grew| grew.abs_diff(attempts) * 10 <= attempts)
}

impl Table {
    /// The look at the first time-out. Where nobody looked then, the end has to do.
    fn of(facts: &Facts) -> Option<Table> {
        let lost = facts.conntrack.and_then(|(now, lost)| now.drops.map(|_| lost));
        let during = facts.moments_of(Stage::Connect, Cause::TimedOut).filter(|moment| !moment.after_the_end);
        let mut looks = during.filter_map(|moment| Some((moment, moment.conntrack?)));
        if let Some((moment, first)) = looks.next() {
            return Some(Table {
                count: first.count,
                max: first.max,
                lost: lost.or(first.lost),
                tracks_us: first.tracks_us.or_else(|| looks.find_map(|(_, look)| look.tracks_us)),
                grew_with_us: grew_with_us(moment, &first),
            });
        }
        let (now, _) = facts.conntrack?;
        Some(Table { count: now.count, max: now.max, lost, tracks_us: None, grew_with_us: false })
    }

    /// An entry that ends is taken again at once: a full table is within 2 % of its size.
    fn is_full(&self) -> bool {
        self.count + self.max / 50 >= self.max && self.count > 0
    }

    fn evidence(&self, timed_out: &FailureFact) -> Evidence {
        Evidence::default()
            .with("nf_conntrack_count", self.count)
            .with("nf_conntrack_max", self.max)
            .with_known("drop", self.lost.map(|lost| lost.drop))
            .with_known("early_drop", self.lost.map(|lost| lost.early_drop))
            .with_known("insert_failed", self.lost.map(|lost| lost.insert_failed))
            .with_known("tracks_these_connections", self.tracks_us.map(|us| if us { "yes" } else { "no" }))
            .with("timed_out", timed_out.count)
    }
}

impl Facts {
    /// True if a full table can be behind most of these time-outs.
    pub(super) fn conntrack_explains(&self, failed: &FailureFact) -> bool {
        let lost = Table::of(self).and_then(|table| table.lost);
        self.conntrack_is_full() && lost.is_none_or(|lost| lost.drop * 2 >= failed.count)
    }

    /// True if the table was full when attempts timed out, and lost something or does not count what it loses.
    fn conntrack_is_full(&self) -> bool {
        Table::of(self).is_some_and(|table| {
            table.is_full() && table.tracks_us != Some(false) && table.lost.is_none_or(|lost| lost.drop > 0)
        })
    }

    /// True if connection tracking is ruled out: it was seen to have lost nothing.
    pub(super) fn tracking_lost_nothing(&self) -> Option<&'static str> {
        match self.conntrack {
            Some((now, lost)) if now.drops.is_some() && lost.drop + lost.insert_failed == 0 => {
                Some("connection tracking lost nothing")
            }
            // Its files are there as soon as it is loaded.
            None if self.counters.is_some() => Some("connection tracking is not loaded"),
            _ => None,
        }
    }
}

/// Connection tracking had no room.
pub(super) fn table_full(facts: &Facts) -> Option<Claim> {
    let timed_out = facts.failed(Stage::Connect, Cause::TimedOut)?;
    if !facts.conntrack_explains(timed_out) {
        return None;
    }
    let table = Table::of(facts)?;
    let drops = table.lost.map(|lost| lost.drop);
    let says = format!(
        "connection tracking had no room: {} of {} entries were in use when attempts timed out, and {} packets were dropped \
         meanwhile. A dropped SYN looks like a firewall: the connection times out",
        table.count,
        table.max,
        drops.map_or("an unknown number of".to_owned(), |drops| drops.to_string())
    );
    // Without the right to ask or to read the rules, the table's growth tells whose connections are in it.
    let by_growth = table.tracks_us.is_none() && facts.rules.is_none() && table.grew_with_us;
    let sees_us =
        table.tracks_us == Some(true) || by_growth || facts.rules.is_some_and(|rules| rules.tracks_all());
    // Each attempt that timed out sent its SYN at least once into a table that had no room.
    let counted = drops.filter(|drops| *drops >= timed_out.count && sees_us).map(|drops| {
        format!("{drops} packets found no room in the table, for {} attempts that timed out", timed_out.count)
    });
    Some(
        Claim::new(FindingId::ConntrackFull, Side::Path, says)
            .explaining_some(timed_out, drops.unwrap_or(timed_out.count))
            .seen(Owner::Destinations, Span::Throughout)
            .without_if(TIMEOUTS, counted, "conntrack -S: drop, by CPU; a NOTRACK rule for these connections")
            .resting_on(table.evidence(timed_out))
            .remedy("keep connections open and use them again (a pool, HTTP keep-alive): a short one holds its entry for 120 s after its end")
            .remedy(format!(
                "sysctl -w net.netfilter.nf_conntrack_max={}",
                table.max.saturating_mul(4).max(262_144)
            ))
            .remedy("leave these connections out of tracking: a NOTRACK rule in the raw table"),
    )
}

/// Address translation on this host had no port: packets are dropped while the table has room, one for each SYN.
pub(super) fn own_snat(facts: &Facts) -> Option<Claim> {
    let timed_out = facts.failed(Stage::Connect, Cause::TimedOut)?;
    let table = Table::of(facts)?;
    let lost = table.lost?;
    if table.is_full()
        || lost.drop == 0
        || lost.drop * 10 < timed_out.count * 9
        || table.tracks_us == Some(false)
    {
        return None;
    }
    if facts.rules.is_some_and(|rules| rules.masks == 0 && rules.unread == 0) {
        return None;
    }
    let says = format!(
        "connection tracking of this host dropped {} packets although its table has room ({} of {} entries), for {} attempts \
         that timed out: a rule of this host that translates source addresses (masquerade, SNAT) had no port left to give, as \
         with `masquerade to :20000-20099`",
        lost.drop, table.count, table.max, timed_out.count
    );
    // More drops than SYNs are another's.
    let is_ours = lost.drop <= timed_out.count.saturating_mul(SYNS_OF_AN_ATTEMPT);
    let has_rule = facts.rules.is_some_and(|rules| rules.masks > 0) && is_ours;
    let seen = has_rule.then(|| {
        format!("this host has a rule that translates sources, and tracking dropped {} packets, as many as these attempts sent", lost.drop)
    });
    let after_some = facts.opened > 0 && has_rule;
    Some(
        Claim::new(FindingId::SnatPortsExhausted, Side::Generator, says)
            .explaining_some(timed_out, lost.drop)
            .seen(if is_ours { Owner::Destinations } else { Owner::Everybody }, Span::Throughout)
            .without(&[FindingId::ConntrackFull], "the table has room")
            .without_if(
                TIMEOUTS,
                seen.filter(|_| after_some),
                "conntrack -S: insert_failed beside drop; nft list ruleset: masquerade, snat",
            )
            .resting_on(table.evidence(timed_out))
            .remedy("keep connections open and use them again (a pool, HTTP keep-alive): each new one takes a translated port")
            .remedy("nft list ruleset | grep -n -e masquerade -e snat    # a wider range of ports, or more addresses to translate to")
            .remedy("no translation for this traffic: a rule `return` or `accept` before it in the nat chain, or NOTRACK in the raw table"),
    )
}

/// True if nearly all of these are of that cause, by numbers of their own.
pub(super) fn is_own_snat(facts: &Facts, failed: &FailureFact) -> bool {
    own_snat(facts).is_some_and(|claim| {
        claim.is_of_the_owner() && claim.explained_of(failed.failure) * 10 >= failed.count * 9
    })
}

/// The same where every SYN that was sent again found a port in the end.
pub(super) fn snat_was_short(facts: &Facts, late: u64) -> Option<Claim> {
    let (now, lost) = facts.conntrack?;
    let masks = facts.rules.is_none_or(|rules| rules.masks + rules.unread > 0);
    let fits = lost.drop >= late && lost.drop <= late.saturating_mul(SYNS_OF_AN_ATTEMPT);
    if now.drops.is_none() || !masks || !fits || now.count >= now.max {
        return None;
    }
    let says = format!(
        "{late} connections were late by a second or more, and connection tracking of this host dropped {} packets although \
         its table has room ({} of {} entries): a rule that translates source addresses (masquerade, SNAT) had no port to \
         give until others had ended",
        lost.drop, now.count, now.max
    );
    Some(
        Claim::new(FindingId::SnatPortsExhausted, Side::Generator, says)
            .unless(&[FindingId::SynLostOnTheWay], "conntrack -S: insert_failed beside drop; nft list ruleset: masquerade, snat")
            .resting_on(Evidence::default().with("drop", lost.drop).with("insert_failed", lost.insert_failed))
            .remedy("keep connections open and use them again (a pool, HTTP keep-alive): each new one takes a translated port")
            .remedy("nft list ruleset | grep -n -e masquerade -e snat    # a wider range of ports, or more addresses to translate to"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Certainty, diagnose};
    use crate::linux::proc_net::Conntrack;
    use crate::linux::ruleset::Ruleset;
    use crate::model::{Errno, Failure, Lease};
    use std::time::Duration;

    const MAX: u64 = 1000;

    /// 40 attempts timed out, with so many entries at the first, and so many drops until the end.
    fn facts(count: u64, drop: u64, tracks_us: Option<bool>) -> Facts {
        let destination = ([192, 0, 2, 7], 9000).into();
        let lease = Lease { source: None, port: None, destination };
        let failure = Failure::from_errno(Stage::Connect, Errno::ETIMEDOUT);
        let lost = ConntrackDrops { drop, ..ConntrackDrops::default() };
        let mut moment = Moment::new(failure, lease, 0, Duration::from_secs(1));
        moment.conntrack = Some(ConntrackNow { count, max: MAX, before: None, lost: Some(lost), tracks_us });
        Facts {
            destinations: vec![destination],
            opened: 60,
            started: 100,
            failures: vec![FailureFact { lease: Some(lease), ..FailureFact::new(failure, 40) }],
            // At the end the table has room again.
            conntrack: Some((Conntrack { count: 10, max: MAX, drops: Some(lost) }, lost)),
            moments: vec![moment],
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> (FindingId, Certainty) {
        let found = diagnose(facts).remove(0);
        (found.id, found.certainty)
    }

    #[test]
    fn a_table_is_full_by_its_count_at_the_first_time_out_and_not_at_the_end() {
        assert_eq!(first(&facts(MAX, 80, Some(true))), (FindingId::ConntrackFull, Certainty::Proved));
        assert_ne!(first(&facts(MAX / 2, 80, Some(true))).0, FindingId::ConntrackFull);
        let mut full_at_the_end = facts(MAX / 2, 80, Some(true));
        full_at_the_end.conntrack =
            full_at_the_end.conntrack.map(|(now, lost)| (Conntrack { count: MAX, ..now }, lost));
        assert_ne!(first(&full_at_the_end).0, FindingId::ConntrackFull);
    }

    #[test]
    fn a_full_table_is_no_proof_where_it_may_not_see_these_connections() {
        assert_eq!(first(&facts(MAX, 80, None)), (FindingId::ConntrackFull, Certainty::Likely));
        let mut read = facts(MAX, 80, None);
        read.rules = Some(Ruleset::default());
        assert_eq!(first(&read).1, Certainty::Proved, "no rule leaves anything out");
        assert_eq!(first(&facts(MAX, 80, Some(false))).0, FindingId::SomeTimedOut, "NOTRACK");
        assert_eq!(first(&facts(MAX, 0, Some(true))).0, FindingId::SomeTimedOut, "it dropped nothing");
        assert_eq!(first(&facts(MAX, 20, Some(true))).1, Certainty::Possible, "20 drops are no 40 failures");
    }

    #[test]
    fn without_rights_the_tables_growth_tells_whose_connections_fill_it() {
        let grown = |before, ordinal| {
            let mut facts = facts(MAX, 80, None);
            facts.moments[0].ordinal = ordinal;
            facts.moments[0].conntrack.as_mut().unwrap().before = Some(before);
            facts
        };
        assert_eq!(first(&grown(MAX - 60, 60)), (FindingId::ConntrackFull, Certainty::Proved));
        assert_eq!(first(&grown(MAX - 10, 60)).1, Certainty::Likely, "others had filled it");
        assert_eq!(first(&grown(100, 60)).1, Certainty::Likely, "others filled it meanwhile");
        assert_eq!(first(&grown(MAX - 3, 3)).1, Certainty::Likely, "three may be chance");
        let mut left_out = grown(MAX - 60, 60);
        left_out.rules = Some(Ruleset { untracked: 1, ..Ruleset::default() });
        assert_eq!(first(&left_out).1, Certainty::Likely, "a rule that leaves something out is there");
    }

    #[test]
    fn a_few_drops_are_not_what_many_attempts_failed_of() {
        let found = diagnose(&facts(MAX, 2, Some(true)));
        assert_eq!(found[0].id, FindingId::SomeTimedOut, "{found:?}");
    }

    #[test]
    fn drops_with_room_are_translation_without_ports_where_there_is_such_a_rule() {
        let masks = |masks| Some(Ruleset { masks, ..Ruleset::default() });
        let mut snat = facts(100, 80, Some(true));
        assert_eq!(first(&snat), (FindingId::SnatPortsExhausted, Certainty::Likely));
        snat.rules = masks(1);
        assert_eq!(first(&snat), (FindingId::SnatPortsExhausted, Certainty::Proved));
        snat.rules = masks(0);
        assert_eq!(first(&snat).0, FindingId::SomeTimedOut, "nothing is translated here");
        let mut others = facts(100, 8000, Some(true));
        others.rules = masks(1);
        let found = diagnose(&others);
        let of_snat = found.iter().find(|finding| finding.id == FindingId::SnatPortsExhausted);
        assert_eq!(
            of_snat.map(|finding| finding.certainty),
            Some(Certainty::Possible),
            "more drops than these attempts had packets"
        );
    }
}
