//! Failures above TCP: what the peer's answer to a handshake means, and what mends it.
//!
//! A browser's words for the same are quoted where there are any, so that who searches for them finds them.

mod close;
mod other_scheme;
mod status;
mod tls;

use super::claim::{Claim, Owner, Span};
use super::{Facts, FailureFact, FindingId, queues, server_end, unanswered};
use crate::model::format::shell_word;
use crate::model::{Cause, Evidence, Reply, Side, Stage};
use crate::protocol::{ECHO, Kind};

/// Chrome's words for a reply that is not HTTP.
const INVALID_RESPONSE: &str =
    "browsers say: 'Error during WebSocket handshake: net::ERR_INVALID_HTTP_RESPONSE'";

/// A claim for each kind of failure above TCP that no shape in time explains.
pub(super) fn all(facts: &Facts) -> Vec<Claim> {
    let shapes = server_end::all(facts);
    let is_told = |failed: &FailureFact| shapes.iter().any(|claim| claim.explained_of(failed.failure) > 0);
    let each = facts
        .failures
        .iter()
        .filter(|failed| !is_told(failed) && !unanswered::is_of_the_way(failed))
        .filter_map(|failed| {
            let case = Case { facts, failed, reply: facts.reply_to(failed) };
            Some(case.claim()?.explaining(failed).resting_on(case.evidence()))
        });
    let each: Vec<Claim> = each.collect();
    shapes.into_iter().chain(each).collect()
}

/// One kind of failure with what is known of it.
struct Case<'f> {
    facts: &'f Facts,
    failed: &'f FailureFact,
    reply: Option<&'f Reply>,
}

impl Case<'_> {
    fn claim(&self) -> Option<Claim> {
        use Cause as C;
        let stage = self.failed.failure.stage;
        if matches!(stage, Stage::Lease | Stage::Bind | Stage::Connect) {
            return None;
        }
        if let Some(claim) = other_scheme::claim(self) {
            return Some(claim);
        }
        Some(match self.failed.failure.cause {
            C::HttpStatus => status::finding(self),
            C::NotHttp => self.not_http(),
            C::Http10 => self.http10(),
            C::ReplyTooLong => self.target(FindingId::ReplyTooLong,
                format!(
                    "the reply of {} has a head of more than 32 KiB or 128 headers: no client takes it",
                    self.url()
                ),
            )
            .remedy("let the server send fewer headers"),
            C::WrongAcceptKey
            | C::BadUpgrade
            | C::UnrequestedSubprotocol
            | C::SubprotocolNotSelected
            | C::UnrequestedExtension => self.violated(),
            C::TlsOnPlainText => other_scheme::tls_port(self),
            C::PlainTextOnTls | C::NotTls | C::TlsAlert | C::TlsError => tls::finding(self),
            C::CertificateExpired
            | C::CertificateNotYetValid
            | C::UnknownIssuer
            | C::NameMismatch
            | C::CertificateInvalid => tls::certificate(self),
            C::ClosedEarly | C::Reset | C::TimedOut if stage == Stage::Close => close::at_the_close(self),
            C::ClosedEarly | C::Reset
                if stage != Stage::Session && self.reply.is_some_and(|reply| reply.certificate_asked) =>
            {
                tls::certificate_asked(self)
            }
            // Told with the queue.
            C::Reset if queues::resets_on_overflow(self.facts) => return None,
            C::ClosedEarly if stage != Stage::Session => self.closed_before_reply(),
            C::Reset if stage != Stage::Session => self.reset_in_handshake(),
            C::ClosedEarly if self.failed.failure.code.is_some() => close::by_code(self),
            C::Stalled => self.stalled(),
            C::ClosedEarly | C::Reset => self.ended_by_the_server(),
            C::TimedOut if matches!(stage, Stage::Tls | Stage::Handshake) => {
                return (!self.facts.silence_is_explained()).then(|| self.silent());
            }
            C::TimedOut if self.facts.is_stopped() => return None,
            C::TimedOut if stage == Stage::Session => self.target(FindingId::NoAnswerInTheSession,
                format!("{} took a message and did not answer it in time: {}", self.url(), self.says()),
            )
            .remedy("--reply-timeout: the longest wait; look into the server's log for what it did with the message"),
            C::UnexpectedReply => self.unexpected_reply(),
            C::ProtocolViolation => self.target(FindingId::ProtocolViolated,
                format!("{} broke the rules of its protocol: {}", self.url(), self.says()),
            )
            .remedy("mend the server; RFC 6455 for WebSocket, RFC 9112 for HTTP"),
            _ => return None,
        })
    }

    /// A claim of what the attempt itself saw.
    fn target(&self, id: FindingId, says: String) -> Claim {
        Claim::new(id, Side::Target, says).seen(Owner::Attempts, Span::EachAttempt)
    }

    fn evidence(&self) -> Evidence {
        let failure = self.failed.failure;
        let headers = self.reply.map(|reply| {
            let lines: Vec<String> =
                reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            lines.join("; ")
        });
        Evidence::default()
            .with("failed", self.failed.count)
            .with("opened", self.facts.opened)
            .with("stage", failure.stage.name())
            .with("cause", failure.cause.name())
            .with_known("code", failure.code.map(u32::from))
            .with_known("reply", self.reply.and_then(|reply| reply.status.clone()))
            .with_known("headers", headers.filter(|lines| !lines.is_empty()))
            .with_known("body", self.reply.and_then(Reply::body_text))
            .with_known("close_reason", self.reply.and_then(|reply| reply.close_reason.clone()))
            .with_known("protocol", self.reply.and_then(|reply| reply.protocol.clone()))
            .with_known("bytes", self.reply.and_then(|reply| reply.bytes.clone()))
            .with_known("says", self.reply.and_then(|reply| reply.says.clone()))
    }

    fn kind(&self) -> Kind {
        self.facts.spoken.unwrap_or_default()
    }

    fn is_websocket(&self) -> bool {
        matches!(self.kind(), Kind::Ws | Kind::Wss)
    }

    /// The target, as the user wrote it.
    fn url(&self) -> String {
        let by_address = || {
            let destination =
                self.failed.lease.map(|lease| lease.destination).or(self.facts.destinations.first().copied());
            format!("{}://{}", self.kind(), destination.map_or_else(|| "?".to_owned(), |d| d.to_string()))
        };
        self.facts.url.clone().unwrap_or_else(by_address)
    }

    /// The same with another scheme.
    fn url_with(&self, scheme: Kind) -> String {
        let url = self.url();
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        format!("{scheme}://{rest}")
    }

    /// The scheme that speaks the same, with TLS or without.
    fn other_scheme(&self) -> Kind {
        match self.kind() {
            Kind::Tcp => Kind::Tls,
            Kind::Tls => Kind::Tcp,
            Kind::Http => Kind::Https,
            Kind::Https => Kind::Http,
            Kind::Ws => Kind::Wss,
            Kind::Wss => Kind::Ws,
        }
    }

    fn says(&self) -> &str {
        self.reply.and_then(|reply| reply.says.as_deref()).unwrap_or("no details")
    }

    fn protocol(&self) -> Option<&str> {
        self.reply.and_then(|reply| reply.protocol.as_deref())
    }

    fn bytes(&self) -> String {
        let bytes = self.reply.and_then(|reply| reply.bytes.as_deref());
        bytes.map_or(String::new(), |bytes| format!(" (its first bytes: {bytes})"))
    }

    fn not_http(&self) -> Claim {
        let found = match self.protocol() {
            Some("HTTP") => "it begins as HTTP, and its status line breaks the rules".to_owned(),
            Some(ECHO) => "the port sends back whatever it gets, as an echo server does".to_owned(),
            Some(protocol) => format!("the port speaks {protocol}"),
            None => "the port speaks another protocol".to_owned(),
        };
        let quoted = if self.is_websocket() { format!("; {INVALID_RESPONSE}") } else { String::new() };
        let says = format!(
            "{} was reached, and its reply is not HTTP: {found}{}{quoted}. Client and server have to use the same \
             protocol",
            self.url(),
            self.bytes()
        );
        self.target(FindingId::ReplyIsNotHttp, says)
            .remedy("connect to the port of the HTTP or WebSocket server: ss -ltnp on the server shows which is which")
            .remedy("Workerman, GatewayWorker: let it listen on websocket://0.0.0.0:PORT, not on tcp:// or text://")
    }

    fn http10(&self) -> Claim {
        let status = self.reply.and_then(|reply| reply.status.as_deref()).unwrap_or("a status");
        let says = format!(
            "{} answered {status}, by a version that has no upgrade: a plain HTTP server that knows nothing of WebSocket \
             (python3 -m http.server is one), or a proxy that speaks HTTP/1.0 to its backend (nginx does by default)",
            self.url()
        );
        self.target(FindingId::ReplyIsHttp10, says)
            .remedy("give the port and the path of the WebSocket endpoint: ss -ltnp on the server shows what listens where")
            .remedy("nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";")
    }

    fn violated(&self) -> Claim {
        let id = match self.failed.failure.cause {
            Cause::WrongAcceptKey => FindingId::WrongAcceptKey,
            Cause::BadUpgrade => FindingId::BadUpgrade,
            Cause::UnrequestedSubprotocol => FindingId::UnrequestedSubprotocol,
            Cause::SubprotocolNotSelected => FindingId::SubprotocolNotSelected,
            _ => FindingId::UnrequestedExtension,
        };
        let quoted = match self.failed.failure.cause {
            Cause::WrongAcceptKey => {
                "; browsers say: 'Error during WebSocket handshake: Incorrect \
                                      'Sec-WebSocket-Accept' header value'"
            }
            _ => "",
        };
        let says = format!(
            "{} answered 101, and not as RFC 6455 wants it: {}{quoted}. A browser would refuse it as well",
            self.url(),
            self.says()
        );
        let finding = self.target(id, says);
        match self.failed.failure.cause {
            Cause::WrongAcceptKey => {
                finding.remedy("look for a cache or proxy that answers with another client's reply, or mend the server")
            }
            Cause::UnrequestedSubprotocol => finding.remedy(
                "offer the subprotocol that the server wants: --subprotocol NAME, or subprotocols in [target]",
            ),
            Cause::SubprotocolNotSelected => finding
                .remedy("offer a subprotocol that the server knows, or none: --subprotocol NAME; subprotocols in [target]")
                .remedy("let the server answer with the Sec-WebSocket-Protocol that it chose from those offered"),
            Cause::UnrequestedExtension => {
                finding.remedy("let the server agree to offered extensions only; connstorm offers none")
            }
            _ => finding.remedy("mend the server, or the proxy that drops the headers Upgrade and Connection"),
        }
    }

    fn closed_before_reply(&self) -> Claim {
        let stage = self.failed.failure.stage;
        let (what, id) = match stage {
            Stage::Tls => ("TLS handshake was done", FindingId::ClosedInTheTlsHandshake),
            _ => ("reply", FindingId::ClosedBeforeTheReply),
        };
        let says = format!(
            "{} took the connection and closed it before its {what}: another protocol on that port (redis-server does so with HTTP, \
             many TLS servers with plain text), a limit of connections, a proxy whose backend is away, or a server that refuses this \
             client",
            self.url()
        );
        let finding = self.target(id, says).remedy("look into the server's log, and the proxy's");
        if stage == Stage::Tls {
            return finding.remedy(format!(
                "if that port has no TLS: {}",
                shell_word(&self.url_with(self.other_scheme()))
            ));
        }
        if !self.kind().is_encrypted() {
            let other = shell_word(&self.url_with(self.other_scheme()));
            return finding.remedy(format!(
                "if that port has TLS: {other}; `connstorm doctor {}` tries it",
                shell_word(&self.url())
            ));
        }
        finding
    }

    fn reset_in_handshake(&self) -> Claim {
        let says = format!(
            "{} reset connections in the {} stage, after they were established: a full accept queue with \
             tcp_abort_on_overflow, a proxy whose backend is away, or a server that closes with our request unread",
            self.url(),
            self.failed.failure.stage
        );
        self.target(FindingId::ResetInTheHandshake, says)
            .remedy("on the server: sysctl net.ipv4.tcp_abort_on_overflow; nstat -az TcpExtListenOverflows")
            .remedy("look into the log of the server, and of a proxy before it")
    }

    /// The connection stood, and the server ended it before its time.
    fn ended_by_the_server(&self) -> Claim {
        let (id, did) = match self.failed.failure.cause {
            Cause::Reset => (FindingId::ResetByTheServer, "reset"),
            _ => (FindingId::ClosedByTheServer, "closed"),
        };
        let code = self.failed.failure.code.map_or(String::new(), |code| format!(" (close code {code})"));
        if let Some(words) = self.last_words() {
            let says = format!(
                "{} {did} {} that stood, and said before: '{words}'{}",
                self.url(),
                connections(self.failed.count),
                self.protocol().map_or(String::new(), |protocol| format!(" ({protocol})"))
            );
            return self
                .target(id, says)
                .remedy("the server's own words say why; look into its log and its limits");
        }
        let says = format!(
            "{} {did} {} that stood, before our time to close them{code}: an idle timeout, a limit of connections, a \
             restart or a crash of the server, or of a proxy before it; or it does so by design",
            self.url(),
            connections(self.failed.count)
        );
        // A server of bare TCP may well be the one that closes.
        let span = if self.kind() == Kind::Tcp { Span::Unknown } else { Span::EachAttempt };
        Claim::new(id, Side::Target, says)
            .seen(Owner::Attempts, span)
            .remedy("look into the server's log, and the proxy's, for its idle timeout and its limits")
            .remedy("--close peer, if the server is meant to be the one that closes")
    }

    fn silent(&self) -> Claim {
        let says = format!(
            "{} took connections and said nothing until the timeout of the {} stage: TCP works (the kernel \
             completes handshakes by itself), the server does not answer. It is stuck, stopped, out of descriptors, or \
             waits for another protocol",
            self.url(),
            self.failed.failure.stage
        );
        let finding = self.target(FindingId::SilentAfterConnect, says).remedy(
            "on the server: ss -ltn (Recv-Q above 0: nobody accepts); its limit of open files; its log",
        );
        if self.failed.failure.stage == Stage::Tls {
            return finding.remedy(format!(
                "if that port has no TLS: {}",
                shell_word(&self.url_with(self.other_scheme()))
            ));
        }
        finding
    }

    /// Last line that a peer of bare TCP sent.
    fn last_words(&self) -> Option<String> {
        let text = self.reply?.body_text()?;
        let is_text = !text.contains('\u{fffd}') && text.chars().any(char::is_alphanumeric);
        is_text.then_some(text)
    }

    /// The server began to answer, and did not go on.
    fn stalled(&self) -> Claim {
        let says = format!(
            "{} began to answer and {}, until the timeout of the {} stage: the server is stuck in the midst of its answer, or \
             what it sent was lost on the way",
            self.url(),
            self.says(),
            self.failed.failure.stage
        );
        self.target(FindingId::StalledInTheReply, says)
            .remedy("look into the log of the server, and of a proxy before it, for this request")
            .remedy("--handshake-timeout TIME, or --reply-timeout TIME in the session, if it is only slow")
    }

    fn unexpected_reply(&self) -> Claim {
        let says = format!("{} answered otherwise than expected: {}", self.url(), self.says());
        self.target(FindingId::UnexpectedReply, says)
            .remedy("see `expect`: echo, any, contains(TEXT) or json(/POINTER == VALUE)")
    }
}

/// A number of them, in words.
fn connections(count: u64) -> String {
    if count == 1 { "a connection".to_owned() } else { format!("{count} connections") }
}

#[cfg(test)]
mod tests;
