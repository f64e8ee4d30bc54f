//! The end of a WebSocket: what the server's close code and words mean, and a close that did not go as it should.

use super::{Case, connections};
use crate::diagnose::FindingId;
use crate::diagnose::claim::Claim;
use crate::model::{Cause, close_code_name};

/// The server ended sessions with a close code.
pub(super) fn by_code(case: &Case<'_>) -> Claim {
    let code = case.failed.failure.code.unwrap_or(0);
    let says = format!(
        "{} closed {} that stood with close code {code} ({}){}: {}",
        case.url(),
        connections(case.failed.count),
        close_code_name(code),
        words(case),
        meaning(code)
    );
    // What the code says is the server's own statement; why it says so is not known.
    let finding = case.target(FindingId::ClosedByTheServer, says);
    remedies(code).iter().fold(finding, |finding, remedy| finding.remedy(*remedy))
}

/// The server's reason, quoted.
fn words(case: &Case<'_>) -> String {
    let reason = case.reply.and_then(|reply| reply.close_reason.as_deref());
    reason.map_or(String::new(), |reason| format!(" and the reason '{reason}'"))
}

fn meaning(code: u16) -> &'static str {
    match code {
        1000 => "it had nothing more to say, or an idle timeout ended the session as planned",
        1001 => "it goes down or goes away: a restart, a deployment, or an idle timeout",
        1002 | 1003 | 1007 => "it does not take what we sent",
        1008 => "it refuses this client or what it sent by its own policy",
        1009 => "a message of ours is longer than it takes",
        1010 => "it wants an extension; connstorm offers none",
        1011 => "it failed by itself while it served us",
        1012 => "it restarts",
        1013 => "it is overloaded, or its limit of connections is reached",
        1014 => "it is a proxy, and the server behind it failed",
        3000 => "it does not accept who we are",
        3003 => "it knows who we are, and does not let us in",
        4401 | 4001 => "by custom: it does not accept who we are",
        4403 => "by custom: it knows who we are, and does not let us in",
        4408 => "by custom: it waited too long for a message of ours",
        4429 => "by custom: too many messages or connections of this client",
        _ if code >= 3000 => "the application's manual says what this code means",
        _ => "an end that RFC 6455 does not name",
    }
}

fn remedies(code: u16) -> &'static [&'static str] {
    match code {
        1001 | 1012 => &[
            "look into the server's log: was it restarted, or does it close idle sessions?",
            "--ping-every TIME keeps a session from being idle; --reconnect comes back after a restart",
        ],
        1002 | 1003 | 1007 => {
            &["look into the server's log for what it found wrong; --binary sends binary messages"]
        }
        1008 | 3000 | 3003 | 4001 | 4401 | 4403 => &[
            "--auth, --header 'Cookie: …', --origin or --subprotocol, as the server's manual has it",
            "look whether a token has expired",
        ],
        1009 => {
            &["send shorter messages, or raise the server's limit of a message (max_size, maxPayload, …)"]
        }
        1011 | 1014 => &["look into the server's log, and the proxy's, for an error at that time"],
        1013 | 4429 => &["raise the server's limits, or use a lower --rate or fewer connections"],
        1000 => &["--close peer, if the server is meant to be the one that closes"],
        _ => &["look into the server's manual and log for this code"],
    }
}

/// The session was over, and the close did not go as it should.
pub(super) fn at_the_close(case: &Case<'_>) -> Claim {
    let url = case.url();
    let count = connections(case.failed.count);
    match (case.failed.failure.cause, case.failed.failure.code) {
        (Cause::TimedOut, _) if case.is_websocket() => {
            let says = format!(
                "{url} did not answer our close frame on {count} within the timeout, nor closed: it does not follow RFC 6455, \
                 section 5.5.1, no longer reads, or leaves clients half open"
            );
            case.target(FindingId::CloseNotAnswered, says)
                .remedy("look into the server's handler of close frames; a server that is stuck answers no ping either")
                .remedy("--close rst ends a session without waiting for the server")
        }
        (Cause::TimedOut, _) => {
            let says = format!(
                "{url} was to close {count} (--close peer), and had not when their lifetime was over"
            );
            case.target(FindingId::PeerDoesNotClose, says)
                .remedy("--lifetime TIME: longer than the server keeps a connection; or --close fin")
        }
        (Cause::Reset, _) => {
            let says = format!(
                "{url} reset {count} at the close, after the session: it answered our close with RST instead of a close frame, or \
                 closed its socket with bytes unread"
            );
            case.target(FindingId::ResetAtTheClose, says).remedy(
                "let the server read until the end and answer the close frame; nothing was lost before it",
            )
        }
        (_, Some(1006)) => {
            let says = format!(
                "{url} ended {count} without a close frame (code 1006): a crash, a kill, a proxy's idle timeout or a limit; a \
                 WebSocket that is closed as RFC 6455 has it sends one"
            );
            case.target(FindingId::ClosedWithoutACloseFrame, says)
                .remedy("look into the log of the server, and of a proxy before it, at that time")
        }
        (_, Some(_)) => by_code(case),
        _ => {
            let says = format!("{url} closed {count} before its close frame was answered");
            case.target(FindingId::ClosedWithoutACloseFrame, says)
                .remedy("look into the server's log, and the proxy's")
        }
    }
}
