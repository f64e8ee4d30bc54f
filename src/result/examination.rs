//! Findings of the doctor, as data.

use crate::diagnose::host::{Check, HostState};
use crate::diagnose::{Finding, Listening, Name, Place, SchemeTrial};
use crate::linux::sysctl::HostSettings;
use crate::model::{Cause, Errno, Failure, Reply, Side, Stage};
use crate::protocol::Kind;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Everything that an examination found. Versioned as results of runs are; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examination {
    /// See [`crate::result::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program that made it.
    pub connstorm_version: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// The settings and limits of this host.
    pub host: HostSettings,
    /// State of the host now.
    pub state: HostState,
    /// Worth of each setting.
    pub checks: Vec<Check>,
    /// Findings about the target, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetExamination>,
    /// Causes of trouble, the surest and weightiest first.
    pub findings: Vec<Finding>,
}

/// Findings about a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetExamination {
    /// The target, as a URL.
    pub url: String,
    /// Name of the target and the addresses that it leads to; absent for a literal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Addresses of the target, seen from this host.
    pub places: Vec<Place>,
    /// Sockets of this host that listen on the target's port, where the target is this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<Listening>,
    /// The connections that were tried, one to each address.
    pub attempts: Vec<AttemptReport>,
    /// Addresses that were not tried: those without a route where others have one, and those beyond eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untried: Vec<SocketAddr>,
}

/// One connection that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Where it went.
    pub destination: SocketAddr,
    /// Where it came from, as far as the kernel had chosen.
    pub source: Option<SocketAddr>,
    /// True if it was established.
    pub connected: bool,
    /// Time until it was, or until it failed, in microseconds.
    pub connect_us: u64,
    /// SYNs sent again.
    pub syn_retransmits: u32,
    /// Type and code of an ICMP message that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
    /// Who sent that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_from: Option<IpAddr>,
    /// Failure of the connection, or of what came after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReport>,
    /// True if the server took it by accept(), where that can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// Version of TLS, where its handshake was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// True if a ClientHello on a connection of its own was answered with TLS, where plain text was not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks_tls: Option<bool>,
    /// True if a plain request on a connection of its own was answered with HTTP, where TLS was not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks_plain: Option<bool>,
    /// Other schemes that were tried where the target did not answer as the one asked for has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_schemes: Vec<TriedScheme>,
    /// The first line that came, or the first bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// The server's reply to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// A scheme that was tried beside the one asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedScheme {
    /// The scheme.
    pub scheme: Kind,
    /// True if the target answers as the scheme has it.
    pub works: bool,
    /// Reason for which its certificate is not taken here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<Cause>,
    /// Failure of its handshakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReport>,
}

/// A failure in the words of results of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// Stage that the attempt had come to.
    pub stage: Stage,
    /// Cause.
    pub cause: Cause,
    /// The error number.
    pub errno: Option<Errno>,
    /// The peer's own number: HTTP status, TLS alert, WebSocket close code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Who has to change something, as far as the attempt alone can tell.
    pub side: Side,
}

impl From<Failure> for FailureReport {
    fn from(failure: Failure) -> FailureReport {
        let Failure { stage, cause, errno, code, step: _ } = failure;
        FailureReport { stage, cause, errno, code, side: failure.side() }
    }
}

impl FailureReport {
    /// The failure itself.
    pub fn failure(&self) -> Failure {
        let FailureReport { stage, cause, errno, code, .. } = *self;
        Failure { stage, cause, errno, code, step: None }
    }
}

impl AttemptReport {
    /// Tells of other schemes that were tried.
    pub fn tell_of(&mut self, trials: &[SchemeTrial]) {
        for trial in trials {
            let (told, answered) = match trial.kind.is_encrypted() {
                true => (&mut self.speaks_tls, trial.answered_tls),
                false => (&mut self.speaks_plain, trial.answered_http),
            };
            *told = Some(told.unwrap_or(false) || answered);
            self.other_schemes.push(TriedScheme {
                scheme: trial.kind,
                works: trial.works(),
                untrusted: trial.untrusted,
                failure: trial.failure.map(FailureReport::from),
            });
        }
    }

    /// An attempt of which nothing is known yet.
    pub fn of(destination: SocketAddr) -> AttemptReport {
        AttemptReport {
            destination,
            source: None,
            connected: false,
            connect_us: 0,
            syn_retransmits: 0,
            icmp: None,
            icmp_from: None,
            failure: None,
            accepted: None,
            tls: None,
            speaks_tls: None,
            speaks_plain: None,
            other_schemes: Vec::new(),
            greeting: None,
            reply: None,
        }
    }
}
