//! A target that was tried with another scheme than the one asked for, on a connection of its own, because it did not
//! answer as that one has it.

use super::Facts;
use crate::model::{Cause, Failure};
use crate::protocol::{Application, Kind};

/// One such trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemeTrial {
    /// Scheme that was tried.
    pub kind: Kind,
    /// True if TLS was answered with TLS: a handshake, a certificate, an alert.
    pub answered_tls: bool,
    /// True if the answer, without TLS, began as HTTP does.
    pub answered_http: bool,
    /// Reason for which the certificate is not taken on this host; the handshakes were then tried without verification.
    pub untrusted: Option<Cause>,
    /// Reason for which the handshakes were not done; `None`: the scheme works.
    pub failure: Option<Failure>,
}

impl SchemeTrial {
    /// True if the target was heard by this scheme: it answers, if perhaps by another status than is wished.
    pub fn works(&self) -> bool {
        match self.failure {
            None => true,
            Some(failure) => {
                self.kind.application() == Application::Http && failure.cause == Cause::HttpStatus
            }
        }
    }

    /// True if the answer is another one than that to the scheme that was asked for.
    pub(super) fn differs_from(&self, failure: Failure) -> bool {
        self.failure.is_none_or(|own| (own.cause, own.code) != (failure.cause, failure.code))
    }
}

impl Facts {
    /// Trial of one scheme.
    pub fn trial(&self, kind: Kind) -> Option<&SchemeTrial> {
        self.trials.iter().find(|trial| trial.kind == kind)
    }

    /// True if the target, spoken to by TLS, has answered plain HTTP.
    pub fn speaks_plain(&self) -> bool {
        self.trials.iter().any(|trial| !trial.kind.is_encrypted() && trial.answered_http)
    }
}
