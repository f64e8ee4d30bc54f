//! The taxonomy of failures: at which stage, from which cause, on whose side.

use super::Errno;
use std::fmt;

macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(schemars::JsonSchema)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $type { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)* }

        impl $type {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// The name in JSON, in thresholds and in every report.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// Meaning, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($type::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// Stage at which an attempt failed.
    Stage {
        /// Choosing the source address, the source port and the destination.
        Lease = "lease",
        /// socket(), its options and bind().
        Bind = "bind",
        /// From connect() to the established connection.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// The handshake of the protocol: HTTP upgrade, first reply.
        Handshake = "handshake",
        /// The life of the connection.
        Session = "session",
        /// Closing, where the peer was to close first.
        Close = "close",
    }
}

named! {
    /// Who has to change something for the failure to go away.
    Side {
        /// This machine: its ports, its descriptors, its memory, its own firewall.
        Generator = "generator",
        /// The way between: routes, firewalls, NAT, name service.
        Path = "path",
        /// The server.
        Target = "target",
    }
}

named! {
    /// Cause of a failure. Kinds with different remedies are never merged: EADDRINUSE is not EADDRNOTAVAIL,
    /// and a refusal by RST is not one by ICMP.
    Cause {
        /// EADDRNOTAVAIL. At bind: the source address is not on this host. At connect: no port is left.
        AddressNotAvailable = "address_not_available",
        /// EADDRINUSE: the port is taken, or, when bound without a port, none is left.
        AddressInUse = "address_in_use",
        /// Every port of the pool is leased to an open connection of this run.
        NoFreePort = "no_free_port",
        /// The connection was to itself: nothing listens, and the source port was the destination's.
        SelfConnect = "self_connect",
        /// ECONNREFUSED by RST: nothing listens there.
        Refused = "refused",
        /// ECONNREFUSED by an ICMP message: a firewall's reject rule, or a service without endpoints.
        RefusedIcmp = "refused_icmp",
        /// No answer within the time allowed.
        TimedOut = "timed_out",
        /// The peer began to answer and did not go on within the time allowed.
        Stalled = "stalled",
        /// ECONNRESET: the connection was torn down by RST.
        Reset = "reset",
        /// EHOSTUNREACH.
        HostUnreachable = "host_unreachable",
        /// ENETUNREACH.
        NetworkUnreachable = "network_unreachable",
        /// EPERM or EACCES: a local firewall rule, or a policy.
        Permission = "permission",
        /// EMFILE: the descriptor limit of this process.
        ProcessFileLimit = "process_file_limit",
        /// ENFILE: the descriptor limit of the system.
        SystemFileLimit = "system_file_limit",
        /// ENOBUFS or ENOMEM.
        OutOfMemory = "out_of_memory",
        /// The limit of this process on memory: what peers left unfinished or did not read went beyond it.
        MemoryLimit = "memory_limit",
        /// The peer closed before the plan said so.
        ClosedEarly = "closed_early",
        /// The target's name could not be resolved.
        NameResolution = "name_resolution",
        /// An HTTP status that was not wanted; it is kept beside the cause.
        HttpStatus = "http_status",
        /// The reply is not HTTP.
        NotHttp = "not_http",
        /// The reply is by HTTP/1.0, which has no upgrade.
        Http10 = "http_1_0",
        /// The head of the reply is longer than any that makes sense.
        ReplyTooLong = "reply_too_long",
        /// 101 without the headers that make it the answer to a WebSocket's handshake.
        BadUpgrade = "bad_upgrade",
        /// `Sec-WebSocket-Accept` does not answer our key.
        WrongAcceptKey = "wrong_accept_key",
        /// A subprotocol that was not offered.
        UnrequestedSubprotocol = "unrequested_subprotocol",
        /// A subprotocol was offered, and the server has selected none.
        SubprotocolNotSelected = "subprotocol_not_selected",
        /// An extension that was not offered.
        UnrequestedExtension = "unrequested_extension",
        /// A fatal TLS alert of the peer; its number is kept beside the cause.
        TlsAlert = "tls_alert",
        /// Plain text came where TLS was due.
        PlainTextOnTls = "plain_text_on_tls",
        /// TLS came where plain text was due.
        TlsOnPlainText = "tls_on_plain_text",
        /// Bytes that are no TLS and no text came where TLS was due.
        NotTls = "not_tls",
        /// The certificate is no longer valid.
        CertificateExpired = "certificate_expired",
        /// The certificate is not yet valid.
        CertificateNotYetValid = "certificate_not_yet_valid",
        /// The certificate is signed by nobody who is trusted.
        UnknownIssuer = "unknown_issuer",
        /// The certificate is for another name.
        NameMismatch = "name_mismatch",
        /// The certificate is refused for another reason.
        CertificateInvalid = "certificate_invalid",
        /// TLS fails for another reason.
        TlsError = "tls_error",
        /// The peer breaks the rules of its protocol after the handshake.
        ProtocolViolation = "protocol_violation",
        /// An answer is not what was expected.
        UnexpectedReply = "unexpected_reply",
        /// Any other error number; it is kept beside the cause.
        Other = "other",
    }
}

/// One failure: where, why, and the kernel's own word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Failure {
    /// Stage that the attempt had come to.
    pub stage: Stage,
    /// Cause.
    pub cause: Cause,
    /// The error number, if a system call gave one.
    pub errno: Option<Errno>,
    /// The peer's own number, if it gave one: HTTP status, TLS alert, WebSocket close code. Different numbers
    /// are different kinds.
    pub code: Option<u16>,
    /// Number of the step of a conversation in which it happened, if there is one. Failures in different steps are
    /// different kinds.
    pub step: Option<u16>,
}

impl Failure {
    /// A failure without an error number.
    pub fn new(stage: Stage, cause: Cause) -> Failure {
        Failure { stage, cause, errno: None, code: None, step: None }
    }

    /// A failure with the peer's own number for it.
    pub fn with_code(stage: Stage, cause: Cause, code: u16) -> Failure {
        Failure { code: Some(code), ..Failure::new(stage, cause) }
    }

    /// The failure that an error number means at a stage.
    ///
    /// ECONNREFUSED is taken for a RST here; whoever knows of an ICMP message says
    /// [`Cause::RefusedIcmp`] instead.
    pub fn from_errno(stage: Stage, errno: Errno) -> Failure {
        let cause = match errno {
            Errno::EADDRNOTAVAIL => Cause::AddressNotAvailable,
            Errno::EADDRINUSE => Cause::AddressInUse,
            Errno::ECONNREFUSED => Cause::Refused,
            Errno::ETIMEDOUT => Cause::TimedOut,
            Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => Cause::Reset,
            Errno::EHOSTUNREACH | Errno::EHOSTDOWN => Cause::HostUnreachable,
            Errno::ENETUNREACH | Errno::ENETDOWN => Cause::NetworkUnreachable,
            Errno::EPERM | Errno::EACCES => Cause::Permission,
            Errno::EMFILE => Cause::ProcessFileLimit,
            Errno::ENFILE => Cause::SystemFileLimit,
            Errno::ENOBUFS | Errno::ENOMEM => Cause::OutOfMemory,
            _ => Cause::Other,
        };
        Failure { errno: Some(errno), ..Failure::new(stage, cause) }
    }

    /// Who has to change something, as far as the attempt alone can tell. The diagnosis, which sees
    /// the whole run and the host, may know better.
    pub fn side(self) -> Side {
        match self.cause {
            Cause::AddressNotAvailable
            | Cause::AddressInUse
            | Cause::NoFreePort
            | Cause::Permission
            | Cause::ProcessFileLimit
            | Cause::SystemFileLimit
            | Cause::OutOfMemory
            | Cause::MemoryLimit
            | Cause::Other => Side::Generator,
            Cause::HostUnreachable
            | Cause::NetworkUnreachable
            | Cause::NameResolution
            | Cause::RefusedIcmp => Side::Path,
            Cause::TimedOut if self.stage == Stage::Connect => Side::Path,
            // How the target answers, or what it proves itself by.
            _ => Side::Target,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.name())?;
        if let Some(code) = self.code {
            write!(f, " {code}")?;
        }
        write!(f, " at {}", self.stage)?;
        match self.errno {
            Some(errno) => write!(f, " ({errno}: {})", errno.text()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_the_field_guide_separates_stays_separate() {
        let at = |stage, errno| Failure::from_errno(stage, errno);
        let in_use = at(Stage::Bind, Errno::EADDRINUSE);
        let not_local = at(Stage::Bind, Errno::EADDRNOTAVAIL);
        let exhausted = at(Stage::Connect, Errno::EADDRNOTAVAIL);
        assert_ne!(in_use.cause, exhausted.cause);
        assert_ne!(not_local, exhausted);
        assert_eq!(exhausted.cause, Cause::AddressNotAvailable);
        assert_ne!(at(Stage::Bind, Errno::EMFILE).cause, at(Stage::Bind, Errno::ENFILE).cause);
    }

    #[test]
    fn an_error_number_nobody_foresaw_is_kept() {
        let failure = Failure::from_errno(Stage::Connect, Errno(4000));
        assert_eq!(failure.cause, Cause::Other);
        assert_eq!(failure.to_string(), "other at connect (errno 4000: Unknown error)");
    }

    #[test]
    fn text_says_what_an_application_would_print() {
        assert_eq!(
            Failure::from_errno(Stage::Connect, Errno::EADDRNOTAVAIL).to_string(),
            "address_not_available at connect (EADDRNOTAVAIL: Cannot assign requested address)"
        );
    }
}
