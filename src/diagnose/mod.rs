//! Findings: what the evidence proves or suggests, whose fault it is, and what mends it. Pure.
//!
//! One body of rules serves a run, the doctor and the lab: a rule sees [`Facts`] and never learns who
//! gathered them. `proved` is said only where the numbers leave no other cause; every rule that says it
//! has a test in which one number is changed and the proof is gone.
//!
//! # The findings
//!
//! Their ids are stable: programs rely on them.
//!
//! | id | what it means |
//! |---|---|
//! | `source-address-not-local` | bind() refused an address that is not this host's |
//! | `ports-exhausted-by-time-wait`, `ports-exhausted-by-live-connections`, `ports-exhausted-by-reserved-ports`, `ports-exhausted-by-poisoned-buckets`, `ports-exhausted-by-naive-bind`, `ports-exhausted` | source ports ran out, and what keeps them |
//! | `explicit-ports-all-leased`, `explicit-port-taken` | explicit ports are all in use, or one is another's |
//! | `port-search-slow` | connect() searches long: half of the ports are taken |
//! | `process-file-limit`, `system-file-limit`, `out-of-memory` | EMFILE, ENFILE, ENOBUFS on this host |
//! | `conntrack-full`, `time-wait-capped` | connection tracking, or TIME_WAIT, met its cap |
//! | `nothing-listens`, `wrong-port`, `listens-on-another-address` | refused by RST: no listener, one on a port much like it, one on another address |
//! | `listener-away`, `refused-at-times` | refused for one interval, as by a restart; or now and then |
//! | `refused-by-firewall` | refused by ICMP, or by RST although something listens |
//! | `connect-not-permitted` | this host itself forbids the connection |
//! | `accept-queue-full`, `syn-queue-full` | a local listener had no room |
//! | `dropped-on-the-way`, `some-timed-out`, `some-sources-time-out` | no answer: to anybody, at times, to some source addresses |
//! | `syn-lost-on-the-way` | connected, but late: the SYN had to be sent again |
//! | `private-address-out-of-reach`, `no-such-host`, `gateway-silent`, `no-route`, `host-unreachable` | no way to the address |
//! | `name-does-not-resolve`, `name-leads-elsewhere`, `some-addresses-fail` | the target's name |
//! | `proxy-in-the-way` | proxy variables are set |
//! | `target-out-of-descriptors`, `not-accepted`, `silent-after-connect` | connected, then silence |
//! | `no-websocket-there`, `redirected`, `not-authorised`, `wrong-path`, `upgrade-required`, `rate-limited`, `bad-request`, `no-backend`, `unavailable`, `server-error` | a status other than the one that was due ("Unexpected response code") |
//! | `bad-upgrade`, `unrequested-subprotocol`, `unrequested-extension`, `reply-is-http-1-0`, `reply-too-long` | a reply to an upgrade that breaks the rules |
//! | `tls-alert`, `certificate-expired`, `certificate-not-yet-valid`, `unknown-issuer`, `name-mismatch`, `certificate-invalid` | TLS that one side refuses |
//! | `closed-by-the-server`, `reset-by-the-server`, `closed-in-the-tls-handshake`, `closed-without-a-close-frame`, `no-answer-in-the-session`, `unexpected-reply`, `protocol-violated`, `server-restarted` | what happens to sessions |
//! | `reply-is-not-http`, `wrong-accept-key` | another protocol ("`ERR_INVALID_HTTP_RESPONSE`"), or a WebSocket server that does not prove itself |
//! | `plain-text-to-a-tls-port`, `tls-to-a-plain-port`, `tls-to-another-protocol`, `tls-fails` | TLS where there is none, or the other way round |
//! | `closed-before-the-reply`, `reset-in-the-handshake` | the server ended the connection |

mod facts;
mod finding;
mod handshake;
pub mod host;
mod limits;
mod listening;
mod local_listeners;
mod moment;
mod names;
mod no_reply;
mod own_source;
mod place;
mod ports;
mod proxies;
mod refused;
mod syn_retransmit;
mod timeout;
mod unreachable;

pub use facts::{Blocked, Facts, FailureFact, ForeignSockets, Name, Refusals, TupleFact};
pub use finding::{Certainty, Finding};
pub use listening::{Listening, Proxy, ProxyListener, exempted};
pub use moment::{
    ConntrackNow, ListenerNow, Moment, PortHolder, PortOwner, PortScope, SourceAddress, TuplePorts,
};
pub use names::is_localhost;
pub use place::{Place, Scope};

/// What the facts show, the surest and weightiest first.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let rules = [
        own_source::not_local,
        ports::exhausted,
        ports::search_slow,
        limits::descriptors,
        limits::memory,
        limits::conntrack,
        limits::time_wait_capped,
        // Of two that are as sure, the one that lies further up is the cause.
        names::elsewhere,
        proxies::in_the_way,
        refused::refused,
        timeout::timed_out,
        syn_retransmit::syn_lost,
        timeout::aborted_on_overflow,
        unreachable::unreachable,
        unreachable::not_permitted,
        names::unresolved,
        names::some_fail,
        no_reply::out_of_descriptors,
        no_reply::not_accepted,
    ];
    let mut findings: Vec<(u64, Finding)> = rules.iter().filter_map(|rule| rule(facts)).collect();
    findings.extend(handshake::all(facts));
    findings.sort_by_key(|(attempts, finding)| (finding.certainty, std::cmp::Reverse(*attempts)));
    findings.into_iter().map(|(_, finding)| finding).collect()
}
