//! Other schemes than the one asked for, to be tried on a connection of their own where a target does not answer as
//! that one has it: TLS where plain text is refused, plain text where TLS is, a WebSocket where HTTP is.
//!
//! The answer to the other scheme proves what stands on the port, whatever the server is and says; and an advice
//! to use that scheme has been tried before it is given.

use super::handshake::{Handshake, handshake};
use super::session::{Script, ScriptError};
use crate::diagnose::SchemeTrial;
use crate::model::{Cause, Failure, Stage};
use crate::plan::{Connection, Request, Session, Tls};
use crate::protocol::Kind;
use std::net::{SocketAddr, TcpStream};

/// Schemes that a target of one scheme may be meant by.
#[derive(Debug, Default)]
pub struct OtherSchemes {
    asked: Kind,
    of: Vec<OtherScheme>,
}

#[derive(Debug)]
struct OtherScheme {
    kind: Kind,
    script: Script,
    /// The same without verification of the certificate, where there is one.
    unverified: Option<Script>,
}

impl OtherSchemes {
    /// Those of a target that is asked for by `asked`. Bare TCP is answered by whatever is there: it has none.
    ///
    /// # Errors
    /// When a file that the session names can't be used.
    pub fn of(
        asked: Kind,
        host: Option<&str>,
        session: &Session,
        connection: Connection,
    ) -> Result<OtherSchemes, ScriptError> {
        let kinds: &[Kind] = match asked {
            Kind::Tcp | Kind::Tls => &[],
            Kind::Http => &[Kind::Https, Kind::Ws, Kind::Wss],
            Kind::Https => &[Kind::Http, Kind::Wss, Kind::Ws],
            Kind::Ws => &[Kind::Wss],
            Kind::Wss => &[Kind::Ws],
        };
        let mut of = Vec::new();
        for &kind in kinds {
            let session = alike(asked, kind, session);
            let script = |session: &Session| Script::new(kind, host.map(str::to_owned), session, connection);
            let Some(verified) = script(&session)? else { continue };
            let may_be_refused = kind.is_encrypted() && !session.tls.insecure;
            let tls = Tls { insecure: true, ..session.tls.clone() };
            let unverified = if may_be_refused { script(&Session { tls, ..session })? } else { None };
            of.push(OtherScheme { kind, script: verified, unverified });
        }
        Ok(OtherSchemes { asked, of })
    }

    /// Tries those that may be meant where the target failed so, side by side. `connect` makes a connection to it.
    pub fn tried_after(
        &self,
        failure: Failure,
        to: SocketAddr,
        connect: impl Fn() -> Option<TcpStream> + Sync,
    ) -> Vec<SchemeTrial> {
        let worth = self.of.iter().filter(|other| may_be_meant(self.asked, other.kind, failure));
        let connect = &connect;
        std::thread::scope(|scope| {
            let trials: Vec<_> = worth
                .map(|other| {
                    std::thread::Builder::new().spawn_scoped(scope, move || other.tried(to, connect))
                })
                .collect();
            // Where no thread can be had, nothing is known of that scheme.
            trials.into_iter().filter_map(|trial| trial.ok()?.join().ok()?).collect()
        })
    }
}

impl OtherScheme {
    fn tried(&self, to: SocketAddr, connect: &impl Fn() -> Option<TcpStream>) -> Option<SchemeTrial> {
        let shaken = handshake(&connect()?, to, Some(&self.script));
        let cause = shaken.failure.map(|failure| failure.cause);
        let untrusted = cause.filter(|cause| is_of_a_certificate(*cause));
        let again = match (&self.unverified, untrusted) {
            (Some(script), Some(_)) => connect().map(|stream| handshake(&stream, to, Some(script))),
            _ => None,
        };
        let answered_tls = has_tls(&shaken) || again.as_ref().is_some_and(has_tls);
        let last = again.unwrap_or(shaken);
        Some(SchemeTrial {
            kind: self.kind,
            answered_tls: self.kind.is_encrypted() && answered_tls,
            answered_http: last.first.starts_with(b"HTTP/"),
            untrusted,
            failure: last.failure,
        })
    }
}

/// Words of the other scheme: the same; but nothing that may be secret goes out in plain text where TLS was asked
/// for.
fn alike(asked: Kind, kind: Kind, session: &Session) -> Session {
    let request = &session.request;
    let path = request.path.split('?').next().unwrap_or_default().to_owned();
    let request = match asked.is_encrypted() && !kind.is_encrypted() {
        true => Request { path, statuses: request.statuses.clone(), ..Request::default() },
        false => Request { method: None, requests: 1, ..request.clone() },
    };
    Session { request, tls: session.tls.clone(), ..Session::default() }
}

/// True if a failure looks like that of the wrong scheme, and `other` like the right one.
fn may_be_meant(asked: Kind, other: Kind, failure: Failure) -> bool {
    use Cause as C;
    let no_answer = matches!(failure.cause, C::ClosedEarly | C::Reset | C::TimedOut);
    match failure.stage {
        Stage::Tls => {
            !other.is_encrypted() && (no_answer || matches!(failure.cause, C::PlainTextOnTls | C::NotTls))
        }
        Stage::Handshake => {
            // Who authenticates, or counts requests, has understood them.
            let refused = failure.cause == C::HttpStatus
                && failure.code.is_some_and(|code| {
                    (400..=499).contains(&code) && !matches!(code, 401 | 407 | 408 | 429)
                });
            let is_tls = failure.cause == C::TlsOnPlainText;
            let other_application = other.application() != asked.application();
            let keeps_tls = other.is_encrypted() == asked.is_encrypted();
            (no_answer || refused || is_tls && !keeps_tls)
                && (keeps_tls && other_application || !asked.is_encrypted() && other.is_encrypted())
        }
        _ => false,
    }
}

fn has_tls(shaken: &Handshake) -> bool {
    let failed_by = shaken.failure.map(|failure| failure.cause);
    shaken.tls.is_some()
        || failed_by.is_some_and(|cause| cause == Cause::TlsAlert || is_of_a_certificate(cause))
}

/// True if a certificate came, and is not taken.
fn is_of_a_certificate(cause: Cause) -> bool {
    use Cause as C;
    matches!(
        cause,
        C::CertificateExpired
            | C::CertificateNotYetValid
            | C::UnknownIssuer
            | C::NameMismatch
            | C::CertificateInvalid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(asked: Kind, failure: Failure) -> Vec<Kind> {
        let connection = Connection::default();
        let others = OtherSchemes::of(asked, Some("h"), &Session::default(), connection).unwrap();
        others
            .of
            .iter()
            .map(|other| other.kind)
            .filter(|other| may_be_meant(asked, *other, failure))
            .collect()
    }

    #[test]
    fn a_scheme_is_tried_where_the_failure_looks_like_that_of_another() {
        let closed = |stage| Failure::new(stage, Cause::ClosedEarly);
        let status = |code| Failure::with_code(Stage::Handshake, Cause::HttpStatus, code);
        assert_eq!(meant(Kind::Ws, closed(Stage::Handshake)), [Kind::Wss]);
        assert_eq!(meant(Kind::Ws, status(400)), [Kind::Wss]);
        assert_eq!(meant(Kind::Http, status(426)), [Kind::Https, Kind::Ws, Kind::Wss]);
        assert_eq!(meant(Kind::Http, closed(Stage::Handshake)), [Kind::Https, Kind::Ws, Kind::Wss]);
        assert_eq!(meant(Kind::Https, closed(Stage::Tls)), [Kind::Http, Kind::Ws]);
        assert_eq!(meant(Kind::Https, status(400)), [Kind::Wss]);
        assert_eq!(meant(Kind::Wss, Failure::new(Stage::Tls, Cause::PlainTextOnTls)), [Kind::Ws]);
        for (asked, failure) in [
            (Kind::Ws, status(401)),
            (Kind::Http, status(429)),
            (Kind::Http, status(503)),
            (Kind::Ws, closed(Stage::Session)),
            (Kind::Wss, status(400)),
            (Kind::Tcp, closed(Stage::Session)),
        ] {
            assert!(meant(asked, failure).is_empty(), "{asked} {failure:?}");
        }
    }

    #[test]
    fn no_secret_goes_out_in_plain_text_where_tls_was_asked_for() {
        let mut session = Session::default();
        session.request.path = "/chat?token=abc".into();
        session.request.headers =
            vec![crate::plan::Header { name: "Authorization".into(), value: "Bearer abc".into() }];
        let plain = alike(Kind::Wss, Kind::Ws, &session);
        assert_eq!((plain.request.path.as_str(), plain.request.headers.len()), ("/chat", 0));
        let tls = alike(Kind::Ws, Kind::Wss, &session);
        assert_eq!((tls.request.path.as_str(), tls.request.headers.len()), ("/chat?token=abc", 1));
    }
}
