//! The wrong scheme: what the port speaks instead, proved by a connection of its own, and the advice to use that.

use super::{Case, INVALID_RESPONSE};
use crate::diagnose::claim::Claim;
use crate::diagnose::{FindingId, SchemeTrial, rivals};
use crate::model::format::shell_word;
use crate::model::{Cause, Failure, Stage};
use crate::protocol::{Application, Kind};

/// The claim of a failure that another scheme would not have had; `None` where none was tried, or none was answered
/// better.
pub(super) fn claim(case: &Case<'_>) -> Option<Claim> {
    use Cause as C;
    let failure = case.failed.failure;
    let is_no_answer = matches!(failure.cause, C::ClosedEarly | C::Reset | C::TimedOut);
    let is_other_text = matches!(failure.cause, C::PlainTextOnTls | C::NotTls);
    match failure.stage {
        // HTTP that came as the answer to a ClientHello needs no other proof.
        Stage::Tls if is_no_answer || is_other_text && case.protocol() != Some("HTTP") => {
            case.facts.speaks_plain().then(|| plain_port(case))
        }
        Stage::Handshake if is_no_answer || failure.cause == C::HttpStatus => {
            let trials = &case.facts.trials;
            let by_tls = |trial: &SchemeTrial| {
                !case.kind().is_encrypted()
                    && trial.answered_tls
                    && (is_no_answer || trial.differs_from(failure))
            };
            if trials.iter().any(by_tls) {
                return Some(tls_port(case));
            }
            let is_websocket = |trial: &SchemeTrial| {
                trial.kind.application() == Application::WebSocket && trial.works() && !case.is_websocket()
            };
            trials.iter().any(is_websocket).then(|| websocket(case))
        }
        _ => None,
    }
}

/// TLS is spoken on a port that was asked for without.
pub(super) fn tls_port(case: &Case<'_>) -> Claim {
    let quoted = if case.is_websocket() { format!("; {INVALID_RESPONSE}") } else { String::new() };
    let status = case.reply.and_then(|reply| reply.status.as_deref());
    let proof = match (case.failed.failure.cause, status) {
        (Cause::TlsOnPlainText, _) => "it answered plain text with a TLS record".to_owned(),
        (Cause::HttpStatus, Some(status)) => {
            format!("it answered {status} to plain HTTP, and a TLS ClientHello with a TLS record")
        }
        _ => "it did not answer plain text, and answers a TLS ClientHello with a TLS record".to_owned(),
    };
    let says = format!("{} is a TLS port: {proof}{quoted}", case.url());
    let claim = advised(case, case.target(FindingId::PlainTextToATlsPort, says), case.other_scheme());
    ruled_out(case, claim, "a ClientHello on a connection of its own was answered with TLS")
}

/// No TLS is spoken on a port that was asked for with it.
fn plain_port(case: &Case<'_>) -> Claim {
    let says = format!(
        "{} has no TLS on that port: it did not answer our ClientHello{}, and a plain request on a connection of its own was \
         answered with HTTP; browsers say: 'net::ERR_SSL_PROTOCOL_ERROR'",
        case.url(),
        if case.bytes().is_empty() { String::new() } else { format!(" with TLS{}", case.bytes()) }
    );
    let claim = advised(case, case.target(FindingId::TlsToAPlainPort, says), case.other_scheme());
    ruled_out(case, claim, "a plain request on a connection of its own was answered with HTTP")
}

/// A WebSocket is spoken where HTTP was asked for.
pub(super) fn websocket(case: &Case<'_>) -> Claim {
    let status = case.reply.and_then(|reply| reply.status.as_deref());
    let answered = match (case.failed.failure.cause, status) {
        (Cause::HttpStatus, Some(status)) => format!("it answered {status} to plain HTTP"),
        (Cause::HttpStatus, None) => "it refused plain HTTP".to_owned(),
        _ => "it did not answer plain HTTP".to_owned(),
    };
    let kind = if case.kind().is_encrypted() { Kind::Wss } else { Kind::Ws };
    let was_tried = case.facts.trial(kind).is_some_and(SchemeTrial::works);
    let wants = if was_tried { "and took the handshake of a WebSocket" } else { "and wants an upgrade" };
    let says = format!("{} is a WebSocket endpoint: {answered}, {wants}", case.url());
    let claim = advised(case, case.target(FindingId::UpgradeRequired, says), kind);
    if was_tried {
        ruled_out(case, claim, "a WebSocket was opened on a connection of its own")
    } else {
        claim
    }
}

/// The claim with the advice to use a scheme.
pub(super) fn advised(case: &Case<'_>, claim: Claim, kind: Kind) -> Claim {
    advice(case, kind).into_iter().fold(claim, Claim::remedy)
}

/// Advice to use a scheme, or a WebSocket in its place where that was answered better; as far as a trial did not show that
/// it fails too.
pub(super) fn advice(case: &Case<'_>, kind: Kind) -> Vec<String> {
    let opens = |kind| case.facts.trial(kind).filter(|trial| trial.failure.is_none());
    let websocket = match kind {
        Kind::Http => Some(Kind::Ws),
        Kind::Https => Some(Kind::Wss),
        _ => None,
    };
    let kind = websocket.filter(|ws| opens(kind).is_none() && opens(*ws).is_some()).unwrap_or(kind);
    let url = shell_word(&case.url_with(kind));
    let Some(trial) = case.facts.trial(kind) else { return vec![format!("use {url}")] };
    let insecure = if trial.untrusted.is_some() { " --insecure" } else { "" };
    let untrusted = trial.untrusted.map(|cause| match cause {
        Cause::CertificateExpired => "--insecure, as its certificate has expired; better renew it on the server",
        Cause::NameMismatch => "--server-name NAME instead of --insecure: the name that its certificate is for",
        _ => "--ca FILE instead of --insecure: the certificate of who signed the server's, whom this host does not trust",
    });
    let used = match trial.failure {
        None => format!("use {url}{insecure}"),
        Some(Failure { cause: Cause::HttpStatus, code: Some(status), .. }) => {
            let lacks = if kind.application() == Application::WebSocket {
                ", and no WebSocket: another path"
            } else {
                ""
            };
            format!("use {url}{insecure}    # it answers {status} there{lacks}")
        }
        Some(_) => {
            let server = if case.is_websocket() { "WebSocket" } else { "HTTP" };
            return vec![
                format!(
                    "connect to the port of the {server} server: ss -ltnp on the server shows which is which"
                ),
                format!("{url} was tried as well, and fails: see `connstorm doctor {url}{insecure}`"),
            ];
        }
    };
    std::iter::once(used).chain(untrusted.map(str::to_owned)).collect()
}

/// Rivals of an end or a silence are ruled out by an answer to another scheme. A reply has none.
fn ruled_out(case: &Case<'_>, claim: Claim, seen: &str) -> Claim {
    match case.failed.failure.cause {
        Cause::ClosedEarly | Cause::Reset | Cause::TimedOut => {
            claim.without(rivals::IN_THE_HANDSHAKE, seen).without(rivals::SILENCES, seen)
        }
        _ => claim,
    }
}
