//! Listeners whose queue was full, each with its own drops.

use super::{ListenerSeen, WatchedFacts};
use crate::diagnose::FindingId;
use crate::diagnose::claim::{Claim, Owner, Span};
use crate::model::{Evidence, Side};

/// A listener that dropped handshakes meanwhile, for each one.
pub(super) fn overflowed(facts: &WatchedFacts) -> Vec<Claim> {
    facts.listeners.iter().filter_map(|listener| one(facts, listener)).collect()
}

fn one(facts: &WatchedFacts, listener: &ListenerSeen) -> Option<Claim> {
    let dropped = listener.dropped.filter(|dropped| *dropped > 0)?;
    let full = listener.waiting_max > listener.backlog;
    let who = listener.holder.as_ref().map_or("a program that was not seen".to_owned(), |holder| {
        format!("{} (pid {})", holder.name, holder.pid)
    });
    let seen = if full {
        format!("{} connections waited in a queue of {}", listener.waiting_max, listener.backlog)
    } else {
        format!("its queue of {} was not seen full at a look", listener.backlog)
    };
    let says = format!(
        "the listener {} of {who} has dropped {dropped} handshakes since the watch began, and {seen}: clients see slow \
         connects (1 s, 3 s, 7 s) or timeouts",
        listener.address
    );
    let evidence = Evidence::default()
        .with("listener", listener.address.to_string())
        .with("dropped_by_it", dropped)
        .with("waiting_max", listener.waiting_max)
        .with("backlog", listener.backlog)
        .with_known("somaxconn", facts.host.somaxconn);
    let claim = Claim::new(FindingId::AcceptQueueFull, Side::Target, says)
        .resting_on(evidence)
        .seen(Owner::Listener(listener.address), if full { Span::Throughout } else { Span::Unknown });
    let claim = claim.unless(
        if full { &[] } else { &[FindingId::SynQueueFull] },
        "ss -ltn 'sport = :PORT', again and again: Recv-Q above Send-Q is a full accept queue",
    );
    let bounded = facts.host.somaxconn.is_some_and(|most| u64::from(listener.backlog) >= most);
    let claim = claim.remedy("accept faster: more workers or threads, less work between two accept() calls");
    Some(if bounded {
        claim.remedy(
            "sysctl -w net.core.somaxconn=65535    # and listen() with as much, then restart the program",
        )
    } else {
        claim.remedy(
            "give listen() a larger backlog: nginx: listen 80 backlog=4096; Node: server.listen({ backlog: 4096 }); Go takes somaxconn",
        )
    })
}
